"""Elements looked up by integers, and put in order: every form against the reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

import export
import keras_side
import torch_side
from biport import ops, reference
from biport.analysis.lengths import needed_steps
from biport.errors import GraphError, InputError
from biport.graph import Graph, Node, Value
from testing.operations import check_forms, drawn, forms, side_by_side

I = 4
INPUTS = (
    Value("x", ("N", "T", I), "float32"),
    Value("i", ("N", "T", I), "int64"),
    Value("j", ("N", "T", I), "int32"),
    Value("b", ("N", "T", I), "bool"),
    Value("pair", ("N", 2), "int64"),
    Value("row", ("N",), "int32"),
    Value("alike", ("N", "T", 1), "int64"),
    Value("fewer", ("N", "T", 2), "int32"),
)
STEPS = (
    Value("steps", ("N",), "int64"),
    Value("each", ("N", 3, I), "int64"),
    Value("one", ("N", 3, 1), "int32"),
)
Call = tuple[ops.Op, Sequence[str]]


def of_features() -> Iterator[Call]:
    for name in "xijb":
        yield ops.Take(axis=2), [name, "pair"]
        yield ops.Take(axis=-1), [name, "row"]
        yield ops.TakeAlongAxis(axis=2), [name, "fewer"]
        yield ops.TakeAlongAxis(axis=-1), [name, "alike"]
    for name in ("i", "row"):
        for dtype in ("float32", "bool", "int32", "int64"):
            yield ops.OneHot(num_classes=2, output_dtype=dtype), [name]


def ordered() -> Iterator[Call]:
    for name in "xij":
        for axis in (0, 1, -1):
            for descending in (False, True):
                yield ops.Sort(axis=axis, descending=descending), [name]
                yield ops.ArgSort(axis=axis, descending=descending), [name]
        yield ops.TopK(k=3, axis=2), [name]
        yield ops.TopK(k=I, largest=False), [name]


def of_steps() -> Iterator[Call]:
    for name in "xb":
        yield ops.StepAt(), [name, "steps"]
        yield ops.StepAt(), [name, "row"]
        yield ops.Take(axis=1), [name, "pair"]
        yield ops.TakeAlongAxis(axis=1), [name, "each"]
        yield ops.TakeAlongAxis(axis=-2), [name, "one"]
    yield ops.StepAt(), ["i", "steps"]
    yield ops.TopK(k=1, axis=1), ["x"]
    yield ops.TopK(k=1, axis=0, largest=False), ["i"]


def test_every_form(tmp_path: Path) -> None:
    """Negative integers count from the end, equal numbers stay in their order."""
    graph = side_by_side(INPUTS, [*of_features(), *ordered()])
    cases = [drawn(graph, {"N": N, "T": T}) for N, T in ((3, 6), (1, 1), (0, 3), (2, 0), (0, 0))]
    check_forms(graph, cases, forms(graph, tmp_path))


def test_of_steps(tmp_path: Path) -> None:
    graph = side_by_side((*INPUTS, *STEPS), list(of_steps()))
    cases = [drawn(graph, {"N": N, "T": T}, bound=min(T, 3)) for N, T in ((3, 5), (2, 3), (1, 1))]
    check_forms(graph, cases, forms(graph, tmp_path))
    assert {name: least.size for name, least in needed_steps(graph).items()} == {"x": 1, "i": 1, "b": 1}
    rows = [call for call in of_steps() if call[0] != ops.TopK(k=1, axis=0, largest=False)]
    empty = side_by_side((*INPUTS, *STEPS), rows)
    check_forms(empty, [drawn(empty, {"N": 0, "T": T}) for T in (3, 1)], forms(empty, tmp_path))


def test_last_valid_step(tmp_path: Path) -> None:
    """The first at which a running sum of the mask is largest."""
    nodes = (
        Node("running", ops.CumulativeSum(axis=1), ("mask",)),
        Node("last", ops.ArgReduction(function="argmax", axis=1), ("running",)),
        Node("step", ops.StepAt(), ("x", "last")),
    )
    inputs = (Value("x", ("N", "T", I), "float32"), Value("mask", ("N", "T"), "int64"))
    graph = Graph(inputs, nodes, ("step",))
    mask = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]])
    x = np.random.default_rng(0).normal(size=(4, 4, I)).astype("float32")
    np.testing.assert_array_equal(reference.run(graph, [x, mask])[0], x[range(4), [1, 2, 0, 3]])
    check_forms(graph, [[x, mask]], forms(graph, tmp_path))


ONE = Value("x", ("N", 3, I), "float32")
OUTSIDE: dict[str, tuple[ops.Op, Value, np.ndarray]] = {
    "take": (ops.Take(axis=1), Value("at", ("N",), "int64"), np.array([0, 3])),
    "take, below": (ops.Take(axis=-1), Value("at", ("N",), "int64"), np.array([-I - 1, 0])),
    "along": (ops.TakeAlongAxis(axis=1), Value("at", ("N", 1, I), "int64"), np.full((2, 1, I), 3)),
    "along, below": (
        ops.TakeAlongAxis(axis=1),
        Value("at", ("N", 1, 1), "int32"),
        np.full((2, 1, 1), -4, "int32"),
    ),
    "step": (ops.StepAt(), Value("at", ("N",), "int32"), np.array([0, 3], "int32")),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_outside_is_an_error_everywhere(name: str, tmp_path: Path) -> None:
    """On the CPU; torch's own `take_along_dim` gives some element."""
    op, value, at = OUTSIDE[name]
    graph = side_by_side((ONE, value), [(op, ["x", "at"])])
    x = np.ones((2, 3, I), "float32")
    with pytest.raises(InputError):
        reference.run(graph, [x, at])
    for form, (run, _) in forms(graph, tmp_path).items():
        with pytest.raises(Exception, match=r"(?i)index|indices|out of|bound|range"):
            raise AssertionError(f"{form} gives {run([x, at])}")


def test_too_few_for_the_largest(tmp_path: Path) -> None:
    graph = side_by_side((Value("x", ("N", "T"), "float32"),), [(ops.TopK(k=3), ["x"])])
    assert {name: least.size for name, least in needed_steps(graph).items()} == {"x": 3}
    x = np.ones((2, 2), "float32")
    export.write(graph, tmp_path / "m.onnx")
    for run in (
        lambda: reference.run(graph, [x]),
        lambda: torch_side.write(graph)(torch.tensor(x)),
        lambda: export.Session(tmp_path / "m.onnx").run([x]),
        lambda: keras_side.write(graph)(x),
    ):
        with pytest.raises(Exception, match=r"3|k columns|narrow"):
            run()


def test_what_does_not_go_together_is_refused() -> None:
    x = ops.Tensor(("N", 5, I), "float32")
    for op, indices in (
        (ops.Take(axis=3), ops.Tensor(("N",), "int64")),
        (ops.Take(axis=1), ops.Tensor(("N",), "float32")),
        (ops.TakeAlongAxis(axis=1), ops.Tensor(("N", 2), "int64")),
        (ops.TakeAlongAxis(axis=1), ops.Tensor(("N", 2, 3), "int64")),
        (ops.StepAt(), ops.Tensor(("N", 1), "int64")),
    ):
        with pytest.raises(GraphError):
            op.infer([x, indices])
    for op in (ops.TopK(k=6, axis=1), ops.TopK(k=1, axis=3), ops.Sort(axis=3), ops.OneHot(num_classes=2)):
        with pytest.raises(GraphError):
            op.infer([x])
    with pytest.raises(GraphError):
        ops.TopK(k=0)
    with pytest.raises(GraphError):
        ops.OneHot(num_classes=2, output_dtype="float16")


def test_code_as_a_person_writes_it() -> None:
    graph = side_by_side(
        (Value("x", ("N", "T", I), "float32"), Value("at", ("N",), "int64")),
        [
            (ops.Reduction(function="sum", axes=(1,)), ["x"]),
            (ops.Reduction(function="max", axes=(1, 2), keepdims=True), ["x"]),
            (ops.ArgReduction(function="argmax", axis=-1), ["x"]),
            (ops.Take(axis=-1), ["x", "at"]),
            (ops.StepAt(), ["x", "at"]),
            (ops.Sort(axis=1, descending=True), ["x"]),
        ],
    )
    code = torch_side.write(graph).code
    for line in (
        "x.sum(dim = 1)",
        "x.amax(dim = (1, 2), keepdim = True)",
        "x.argmax(dim = -1)",
        "x[:, :, at]",
        "x.sort(dim = 1, descending = True, stable = True)",
    ):
        assert line in code
