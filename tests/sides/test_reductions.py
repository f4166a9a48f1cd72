"""Sums and their like, places of extremes, running sums and softmax: every form against the reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from onnxruntime import InferenceSession

import export
import keras_side
import torch_side
from biport import ops, reference
from biport.analysis.lengths import needed_steps
from biport.analysis.undefined import may_be_nan
from biport.errors import GraphError, InputError
from biport.graph import Graph, Node, Value
from biport.ops.reduction import REDUCTIONS
from biport.reference import REFERENCES
from testing.graphs import lstm
from testing.masks import padded_ids
from testing.models import randomize
from testing.operations import check_forms, drawn, forms, side_by_side

I = 4
INPUTS = (
    Value("x", ("N", "T", I), "float32"),
    Value("i", ("N", "T", I), "int64"),
    Value("j", ("N", "T", I), "int32"),
    Value("b", ("N", "T", I), "bool"),
    Value("v", ("N",), "float32"),
)
NAMES = {"float32": "x", "int64": "i", "int32": "j", "bool": "b"}
AXES = ((1,), (-1,), (0, 2), (2, 1), (0, 1, 2))
Call = tuple[ops.Op, Sequence[str]]


def defined_of_nothing() -> Iterator[Call]:
    for function, dtypes in REDUCTIONS.items():
        for dtype in dtypes:
            name = NAMES.get(dtype)
            if name is None or function in ("max", "min"):
                continue
            for axes in AXES:
                keepdims = len(axes) != 2 and axes != (1,)
                yield ops.Reduction(function=function, axes=axes, keepdims=keepdims), [name]
            if function not in ("norm", "var", "std"):
                yield ops.Reduction(function=function, axes=(), keepdims=dtype == "float32"), [name]
    for function, correction in (("var", 1), ("std", 2.5)):
        for axes in ((1,), (0, 2)):
            yield ops.Reduction(function=function, axes=axes, correction=correction), ["x"]
    yield ops.Reduction(function="norm", axes=(1, 0), order=1), ["x"]
    for axis in (0, 1, 2):
        for name in "xij":
            yield ops.CumulativeSum(axis=axis), [name]
        yield ops.LogSoftmax(axis=axis), ["x"]
        yield ops.Softmax(axis=axis - 3), ["x"]
    yield ops.Softmax(axis=(0, 2)), ["x"]
    yield ops.Softmax(axis=0), ["v"]
    yield ops.LogSoftmax(axis=-1), ["v"]
    yield ops.Activation(function="softmax"), ["v"]
    yield ops.Activation(function="tanh"), ["v"]


def extremes(axes: Sequence[int], keepdims: bool) -> Iterator[Call]:
    for name in "xij":
        for function in ("max", "min"):
            yield ops.Reduction(function=function, axes=tuple(axes), keepdims=keepdims), [name]
            yield ops.ArgReduction(function=f"arg{function}", axis=axes[0], keepdims=keepdims), [name]
    yield ops.Reduction(function="norm", axes=tuple(axes), order=float("inf"), keepdims=keepdims), ["x"]


def test_every_form(tmp_path: Path) -> None:
    calls = [*defined_of_nothing(), *extremes([2], False), *extremes([-1], True)]
    graph = side_by_side(INPUTS, calls)
    cases = [drawn(graph, {"N": N, "T": T}) for N, T in ((3, 5), (2, 1), (1, 1), (0, 3), (2, 0), (0, 0))]
    check_forms(graph, cases, forms(graph, tmp_path))


def test_extremes_over_what_varies(tmp_path: Path) -> None:
    graph = side_by_side(INPUTS, [*extremes([1], False), *extremes([0, 1], True)])
    runs = forms(graph, tmp_path)
    check_forms(graph, [drawn(graph, {"N": N, "T": T}) for N, T in ((3, 5), (1, 1))], runs)
    assert {name: least.size for name, least in needed_steps(graph).items()} == {"x": 1, "i": 1, "j": 1}


@pytest.mark.parametrize("op", [op for op, (name,) in extremes([1], False) if name == "x"], ids=str)
def test_there_is_no_extreme_of_nothing(op: ops.Op, tmp_path: Path) -> None:
    """Nobody gives a number, not even onnxruntime by itself, which has infinity for one."""
    graph = side_by_side(INPUTS[:1], [(op, ["x"])])
    empty = np.zeros((2, 0, I), "float32")
    export.write(graph, tmp_path / "m.onnx")
    alone = InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    for run in (
        lambda: reference.run(graph, [empty]),
        lambda: torch_side.run(torch_side.write(graph), [empty]),
        lambda: export.Session(tmp_path / "m.onnx").run([empty]),
        lambda: keras_side.run(keras_side.write(graph), [empty], graph),
    ):
        with pytest.raises(InputError):
            run()
    with pytest.raises(Exception, match=r"Reshape|ArgM"):
        alone.run(None, {"x": empty})


def test_zeros_of_two_signs(tmp_path: Path) -> None:
    """Are equal, and the first is the largest; but for Keras, where the positive one is."""
    call = ops.ArgReduction(function="argmax", axis=1), ["x"]
    graph = side_by_side((Value("x", ("N", 3), "float32"),), [call])
    x = np.array([[-0.0, 0.0, -1.0]], "float32")
    positions = {form: run([x])[0].item() for form, (run, _) in forms(graph, tmp_path).items()}
    assert positions.pop("keras float64") == 1
    assert {reference.run(graph, [x])[0].item(), *positions.values()} == {0}


def test_rows_of_infinities(tmp_path: Path) -> None:
    """Nothing but minus infinity has no softmax, in any form; its sum of exponentials is 0.

    Past the checks of what goes in, which refuse infinity; within a model there may be some.
    """
    calls = [
        (ops.Softmax(axis=1), ["x"]),
        (ops.Softmax(axis=(1, 2)), ["y"]),
        (ops.LogSoftmax(axis=1), ["x"]),
        (ops.Activation(function="log_softmax"), ["x"]),
        (ops.Reduction(function="logsumexp", axes=(1,)), ["x"]),
    ]
    graph = side_by_side((Value("x", ("N", 3), "float32"), Value("y", ("N", 3, 1), "float32")), calls)
    nothing = -np.inf
    x = np.array([[nothing] * 3, [nothing, 1, 2], [1e4, 1e4, -1e4]], "float32")
    arrays = [x, x[:, :, None]]
    runs = forms(graph, tmp_path)
    alone = InferenceSession(tmp_path / "operations.onnx", providers=["CPUExecutionProvider"])
    exact = [
        REFERENCES.lookup(type(op), "")(op, [arrays["xy".index(name)]], [None])[0] for op, (name,) in calls
    ]
    softmax, _, logarithm, _, total = exact
    assert np.isnan(softmax[0]).all()
    assert np.isnan(logarithm[0]).all()
    assert total[0] == -np.inf
    assert np.isfinite(softmax[1:]).all()
    for run in (
        runs["torch float64"][0],
        runs["keras float64"][0],
        lambda given: [*map(np.asarray, alone.run(None, dict(zip("xy", given, strict=True))))],
    ):
        for given, wanted in zip(run(arrays), exact, strict=True):
            np.testing.assert_allclose(given, wanted, rtol=1e-6, atol=1e-6)


def test_integers_stay_exact(tmp_path: Path) -> None:
    """Up to the largest of int32, and to 2^53; float32 would end at 2^24."""
    calls = [(ops.Reduction(function=name, axes=(1,)), [x]) for name in ("sum", "max", "min") for x in "ij"]
    calls += [
        (op, [name])
        for name in "ij"
        for op in (ops.CumulativeSum(axis=1), ops.ArgReduction(function="argmin", axis=1))
    ]
    graph = side_by_side((Value("i", ("N", "T"), "int64"), Value("j", ("N", "T"), "int32")), calls)
    i, j = np.array([[2**53 - 3, 1, 2]], "int64"), np.array([[2**31 - 4, 2, 1]], "int32")
    runs = forms(graph, tmp_path)
    for form, (run, _) in runs.items():
        for given, wanted in zip(run([i, j]), reference.run(graph, [i, j]), strict=True):
            np.testing.assert_array_equal(given, wanted, err_msg=form)


def test_where_nan_comes_from() -> None:
    """A mean over as many steps as there are; not one over features."""
    calls = [
        (ops.Reduction(function="mean", axes=(1,)), ["x"]),
        (ops.Reduction(function="mean", axes=(2,)), ["x"]),
        (ops.Reduction(function="std", axes=(2,), correction=I), ["x"]),
        (ops.Reduction(function="sum", axes=(1,)), ["x"]),
    ]
    graph = side_by_side(INPUTS[:1], calls)
    assert [name in may_be_nan(graph) for name in graph.outputs] == [True, False, True, False]


def test_nan_is_no_extreme_that_is_left_out(tmp_path: Path) -> None:
    """onnxruntime leaves NaN out where it is not the first."""
    mean = Node("mean", ops.Reduction(function="mean", axes=(1,)), ("x",))
    joined = Node("joined", ops.Concatenate(axis=1), ("y", "mean"))
    found = [
        Node(f"{name}imum", ops.Reduction(function=name, axes=(1,)), ("joined",)) for name in ("max", "min")
    ]
    inputs = (Value("x", ("N", "T", I), "float32"), Value("y", ("N", I), "float32"))
    graph = Graph(inputs, (mean, joined, *found), tuple(node.name for node in found))
    arrays = [np.zeros((2, 0, I), "float32"), np.ones((2, I), "float32")]
    runs = forms(graph, tmp_path)
    check_forms(graph, [arrays], runs)
    assert np.isnan(reference.run(graph, arrays)).all()


def test_what_is_not_defined_is_refused() -> None:
    for settings in (
        {"function": "median", "axes": (1,)},
        {"function": "var", "axes": ()},
        {"function": "sum", "axes": (1,), "correction": 1},
        {"function": "var", "axes": (1,), "correction": -1},
        {"function": "norm", "axes": (1,), "order": 3},
    ):
        with pytest.raises(GraphError):
            ops.Reduction(**settings)
    x = ops.Tensor(("N", "T", I), "float32")
    for op in (
        ops.Reduction(function="sum", axes=(1, -2)),
        ops.Reduction(function="any", axes=(1,)),
        ops.Softmax(axis=(1, -2)),
        ops.Softmax(axis=3),
        ops.ArgReduction(function="argmax", axis=-4),
        ops.CumulativeSum(axis=3),
    ):
        with pytest.raises(GraphError):
            op.infer([x])
    with pytest.raises(GraphError):
        ops.Activation(function="softmax").infer([ops.Tensor((), "float32")])


def test_outputs_without_rows(tmp_path: Path) -> None:
    """They stay whole, and no batch is cut or empty where its rows meet."""
    calls = [(ops.Reduction(function="sum", axes=axes), ["x"]) for axes in ((0,), (0, 1, 2), (1,))]
    graph = side_by_side(INPUTS[:1], calls)
    x = np.random.default_rng(0).normal(size=(2, 5, I)).astype("float32")
    model = keras_side.write(graph)
    for given, wanted in zip(keras_side.run(model, [x], graph), reference.run(graph, [x]), strict=True):
        np.testing.assert_allclose(given, wanted, rtol=0, atol=1e-5)
    with pytest.raises(InputError, match="no rows"):
        keras_side.run(model, [x[:0]], graph)
    export.write(graph, tmp_path / "met.onnx")
    with pytest.raises(InputError, match="rows of a batch meet in 'Reduction_sum_0'"):
        next(export.Session(tmp_path / "met.onnx").predict([*x]))
    apart = side_by_side(INPUTS[:1], calls[2:])
    assert keras_side.run(keras_side.write(apart), [x[:0]], apart)[0].shape == (0, I)
    export.write(apart, tmp_path / "apart.onnx")
    (first, second) = export.Session(tmp_path / "apart.onnx").predict([*x])
    np.testing.assert_allclose([first[0], second[0]], x.sum(axis=1), rtol=0, atol=1e-5)


def scanned() -> tuple[Any, list[Any]]:
    """Ids, and recurrent layers over them; in masked steps they leave repeated outputs, or zeros."""
    ids = keras.Input((None,), dtype="int32", name="ids")
    x = layers.Embedding(9, 3, mask_zero=True)(ids)
    h = layers.LSTM(4, return_sequences=True)(x)
    both = layers.Bidirectional(layers.GRU(2, return_sequences=True))(x)
    again = layers.SimpleRNN(3, return_sequences=True, go_backwards=True)(h)
    return ids, [h, both, again]


def test_masked_steps_show_in_a_sum(tmp_path: Path) -> None:
    ids, sequences = scanned()
    summed = [keras.ops.sum(h, axis=1) for h in sequences]
    model = randomize(keras.Model(ids, [*summed, keras.ops.max(sequences[0], axis=1)]))
    layers_alone = keras_side.read(keras.Model(ids, sequences))
    sums = [
        Node(f"sum_{name}", ops.Reduction(function="sum", axes=(1,)), (name,))
        for name in layers_alone.outputs
    ]
    largest = Node("largest", ops.Reduction(function="max", axes=(1,)), layers_alone.outputs[:1])
    nodes = (*layers_alone.nodes, *sums, largest)
    graph = Graph(layers_alone.inputs, nodes, tuple(node.name for node in (*sums, largest)))
    rng = np.random.default_rng(0)
    patterns = ("right", "left", "holes", "full", "all padding")
    rows = np.concatenate([padded_ids(pattern, 2, 5, rng, 9) for pattern in patterns])
    wanted = [np.asarray(output) for output in model(rows)]
    found = {
        "reference": reference.run(graph, [rows]),
        "torch": torch_side.run(torch_side.write(graph), [rows]),
        "keras": keras_side.run(keras_side.write(graph), [rows], graph),
    }
    for lowering in ("auto", "fused"):
        export.write(graph, tmp_path / f"{lowering}.onnx", lowering=lowering)
        found[lowering] = export.Session(tmp_path / f"{lowering}.onnx").run([rows])
    for form, outputs in found.items():
        for given, value in zip(outputs, wanted, strict=True):
            np.testing.assert_allclose(given, value, rtol=0, atol=3e-6, err_msg=form)


def test_softmax_behind_a_masked_layer(tmp_path: Path) -> None:
    """Keras' layer would take the mask that hangs on the sequence, and fit it to no axis."""
    nodes = (
        Node("h", lstm(np.random.default_rng(2), 3, 4, return_sequences=True), ("x",), masks=("mask",)),
        *(Node(f"shares{axis}", ops.Softmax(axis=axis), ("h",)) for axis in (1, 2, (1, 2))),
    )
    inputs = Value("x", ("N", "T", 3), "float32"), Value("mask", ("N", "T"), "bool")
    graph = Graph(inputs, nodes, tuple(node.name for node in nodes))
    x = np.random.default_rng(3).normal(size=(2, 5, 3)).astype("float32")
    mask = np.array([[1, 1, 0, 0, 1], [0, 0, 0, 0, 0]], bool)
    check_forms(graph, [[x, mask]], forms(graph, tmp_path))
