"""Every op is there on every side, and the README says so."""

import gc
import importlib
import re
from pathlib import Path

import pytest

from biport.app.support import SIDES, support_rows, support_table
from biport.ops import Op, op_classes
from biport.registry import snake_case

ROOT = Path(__file__).parents[1]
OPS = [op.__name__ for op in op_classes()]


@pytest.mark.parametrize("row", support_rows(), ids=OPS)
def test_every_side_has_the_op(row: dict) -> None:
    assert [side for side in SIDES if not row[side]] == []


@pytest.mark.parametrize("side", ["keras_side", "torch_side", "export"])
@pytest.mark.parametrize("op", OPS)
def test_the_op_has_its_file(side: str, op: str) -> None:
    module = importlib.import_module(f"{side}.ops.{snake_case(op)}")
    functions = [name for name in vars(module) if name.startswith(("read_", "write_"))]
    assert f"write_{snake_case(op)}" in functions


def test_an_op_without_its_files_is_found() -> None:
    class Telepathy(Op):
        """Known to nobody."""

    (row,) = [row for row in support_rows() if row["op"] == "Telepathy"]
    assert not any(row[side] for side in SIDES)
    del Telepathy
    gc.collect()
    assert [op.__name__ for op in op_classes()] == OPS


def test_the_readme_has_the_support_table_of_the_registries() -> None:
    text = (ROOT / "README.md").read_text()
    found = re.search(r"<!-- support -->\n(.*?)\n<!-- /support -->", text, re.DOTALL)
    assert found is not None
    wanted = support_table(support_rows())
    assert found[1] == wanted, f"the README's support table should be:\n{wanted}"
