"""An op and what computes it stand in files of one name."""

from pathlib import Path

import pytest

import biport.ops
from biport import ops
from biport.reference import REFERENCES

FAMILIES = {
    *(
        "activation",
        "attention",
        "conv_lstm",
        "convolution",
        "dense",
        "embedding",
        "mask",
        "merge",
        "normalization",
    ),
    *("pooling", "preprocessing", "recurrent", "regularization", "shape", "time_distributed"),
    *("elementwise", "indexing", "product", "reduction", "scan", "shaping", "source"),
}


@pytest.mark.parametrize("op", ops.op_classes(), ids=lambda op: op.__name__)
def test_reference_family(op: type[ops.Op]) -> None:
    family = op.__module__.removeprefix("biport.ops.")
    assert family in FAMILIES
    assert REFERENCES.lookup(op, op.__name__).__module__ == f"biport.reference.{family}"


def test_files() -> None:
    files = {path.stem for path in Path(biport.ops.__file__).parent.glob("*.py")}
    assert files == FAMILIES | {
        "__init__",
        "base",
        "checks",
        "learning",
        "rows",
        "tensor",
        "windows",
        "wiring",
    }
