"""ConvLSTM layers in ONNX: a Scan whose body has one convolution, against the float64 oracle."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
import pytest

import export
from biport.compare.tolerance import Verdict
from biport.errors import UnsupportedError
from biport.graph import Graph, Node, Value
from testing import conv_lstms
from testing.masks import MASKS
from testing.recurrent_graphs import verdicts

CASES = {case.name: case for case in conv_lstms.cases()}
FEW = ["2D padding same even 3 sum"]
SIZES = (*((pattern, 4, 5) for pattern in MASKS), ("holes", 0, 5), ("holes", 3, 0), ("right", 1, 1))


def check(graph: Graph, path: Path) -> None:
    export.write(graph, path, overwrite=True, vectors=False)
    cases = {str(size): conv_lstms.inputs_of(graph, *size) for size in SIZES}
    found = verdicts(graph, path, cases)
    assert all(verdict is Verdict.SAME for verdict, _ in found.values()), found


@pytest.mark.parametrize("name", FEW)
def test_few(name: str, tmp_path: Path) -> None:
    check(CASES[name].graph(masked=True, states=True), tmp_path / "model.onnx")


@pytest.mark.sweep
@pytest.mark.parametrize("name", CASES)
def test_every_setting(name: str, tmp_path: Path) -> None:
    """Masks and states each in both ways, and together in every way from one case to the next."""
    first = bool(list(CASES).index(name) % 2)
    for masked, states in ((True, first), (False, not first)):
        check(CASES[name].graph(masked=masked, states=states), tmp_path / "model.onnx")


def test_the_loop_has_one_convolution_and_no_transposition(tmp_path: Path) -> None:
    graph = CASES["2D padding same odd 0"].graph(masked=False, states=False)
    export.write(graph, tmp_path / "model.onnx", vectors=False)
    model = onnx.load(tmp_path / "model.onnx")
    (scan,) = (node for node in model.graph.node if node.op_type == "Scan")
    (body,) = (attribute.g for attribute in scan.attribute if attribute.name == "body")
    inside = Counter(node.op_type for node in body.node)
    assert inside["Conv"] == 1
    assert inside["Transpose"] == 0
    assert sum(node.op_type == "Conv" for node in model.graph.node) == 1


def test_images_of_a_size_that_varies(tmp_path: Path) -> None:
    op = CASES["2D padding same odd 2"].op
    x = Value("x", ("N", "T", "H", 4, 2), "float32")
    graph = Graph((x,), (Node("it", op, ("x",), ("y", "h", "c")),), ("y",))
    with pytest.raises(UnsupportedError, match=r"node 'it': size of a step='\(H, 4, 3\)'"):
        export.write(graph, tmp_path / "model.onnx")
