"""Operations between layers, read from live models and from files, against Keras itself."""

from __future__ import annotations

import types
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from keras.src.ops.numpy import Split

import keras_side
from biport import ops as graph_ops
from biport import reference
from biport.errors import UnsupportedError
from biport.graph import Graph
from biport.inputs import id_bounds, safe_bounds
from keras_side.operations.refused import REFUSED, supported_functions
from keras_side.operations.registry import MADE, OPERATIONS, WINDOWED
from keras_side.operations.source import ABOUT_A_TENSOR, CONSTANTS
from keras_side.reading.graph_builder import MASK_OPS
from testing.keras_models import check_model, embedding, floats, live_outputs, randomize, token_ids, tokens
from testing.keras_operations import EVERY, Call, by_function

ops: Any = keras.ops
N, T = 3, 5

ROUNDED = ("batch_normalization", "gelu", "leaky_relu", "var of integers", "var of booleans")
"""What TensorFlow computes with constants of float32, and of integers in float32."""
IN_FLOAT32 = ("mean of integers", "mean of booleans", "add of pictures")
"""What Keras gives as float32 whatever its default is."""


def arrays(dtype: str) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    x, f = rng.normal(size=(N, T, 4)).astype(dtype), rng.normal(size=(N, 6, 4)).astype(dtype)
    x[0, 0] = 0
    i = rng.integers(0, 7, (N, T)).astype("int32")
    i[0, 3:] = 0
    return [x, f, i, rng.random((N, T)) < 0.6]


def calls_model(calls: Mapping[str, Call]) -> tuple[Any, list[str]]:
    """One model that makes all calls, and whose output is whose."""
    inputs = [
        keras.Input((None, 4), name="x"),
        keras.Input((6, 4), name="f"),
        keras.Input((None,), dtype="int32", name="i"),
        keras.Input((None,), dtype="bool", name="b"),
    ]
    # So that the model has a float dtype.
    outputs, names = [layers.Dense(2)(inputs[0])], ["dense"]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*softmax over axis.*")
        # Of Keras itself, where it adds up over pairs of axes.
        warnings.filterwarnings("ignore", message="NotImplemented should not be used in a boolean context")
        for name, call in calls.items():
            parts = keras.tree.flatten(call(*inputs))
            outputs += parts
            names += [name] * len(parts)
    return keras.Model(inputs, outputs), names


def check_calls(calls: Mapping[str, Call], dtype: str, folder: Path) -> Graph:
    given = arrays(dtype)
    with floats(dtype):
        model, names = calls_model(calls)
        graph = keras_side.read(model)
        for suffix in ("keras", "h5"):
            model.save(folder / f"model.{suffix}")
            assert keras_side.read(folder / f"model.{suffix}") == graph
        wanted = live_outputs(model, given)
    for name, one, two in zip(names, reference.run(graph, given, dtype), wanted, strict=True):
        assert one.shape == two.shape, name
        if dtype == "float32" or name not in IN_FLOAT32:
            assert one.dtype == two.dtype, name
        limit = 1e-12 if dtype == "float64" else 1e-5
        limit = max(limit, 1e-6) if name.startswith((*ROUNDED, *IN_FLOAT32)) else limit
        np.testing.assert_allclose(one, two, rtol=limit, atol=limit, err_msg=name)
    return graph


def test_every_function(tmp_path: Path) -> None:
    graph = check_calls(by_function(), "float64", tmp_path)
    assert {type(node.op) for node in graph.nodes} <= {*MADE, *WINDOWED, *MASK_OPS, graph_ops.Dense}


@pytest.mark.sweep
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_way_to_call_it(dtype: str, tmp_path: Path) -> None:
    graph = check_calls(EVERY, dtype, tmp_path)
    of_keras_2 = {graph_ops.Arange, graph_ops.ToIds}
    made = {type(node.op) for node in graph.nodes}
    assert {*MADE} - made == of_keras_2


def test_every_function_of_keras_is_read_or_refused() -> None:
    """Those that are read are called by `EVERY`, and recorded as what their readers are registered for."""
    public = {
        name
        for name in dir(ops)
        if not name.startswith("_") and not isinstance(getattr(ops, name), types.ModuleType)
    }
    refused = [name for names in REFUSED.values() for name in names]
    read = supported_functions()
    assert len(refused) == len(set(refused))
    assert not {*refused} & {*read, *CONSTANTS, *ABOUT_A_TENSOR}
    assert {*refused, *read, *CONSTANTS, *ABOUT_A_TENSOR} == public
    called = {name.partition(" ")[0] for name in EVERY}
    # Keras 3.15 calls its own convolution wrongly here (ops/nn.py, ``ConvTranspose.call``): no model runs it.
    assert called == {*read} - {"conv_transpose"}
    x = keras.Input((6, 4), name="x")
    i = keras.Input((6,), dtype="int32")
    b = keras.Input((6,), dtype="bool")
    classes = set()
    for name, call in by_function().items():
        output = keras.tree.flatten(call(x, x, i, b))[0]
        operation = output._keras_history.operation
        classes.add(type(operation).__name__)
        assert name.partition(" ")[0] in OPERATIONS.lookup(type(operation).__name__, name).functions
    others = {"Abs", "Conj", "ConvTranspose", "ConvertToTensor", "Mish", "ReLU", "Resize"}
    assert {name for name in OPERATIONS if not name.startswith("tf.")} - classes <= others


@pytest.mark.parametrize("name", ["median", "cumprod", "cross"])
def test_what_is_refused_is_refused_by_name(name: str) -> None:
    x = keras.Input((3, 3))
    y = ops.cross(x, x) if name == "cross" else getattr(ops, name)(x, axis=1)
    with pytest.raises(UnsupportedError, match=f"operation='{name.title()}' is not supported; supported: "):
        keras_side.read(keras.Model(x, layers.Dense(2)(layers.Flatten()(ops.reshape(y, (-1, 3))))))


X: Any = keras.Input((4, 4), name="x")
IDS: Any = keras.Input((4,), dtype="int32", name="i")


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (lambda: ops.round(X, decimals=2), "decimals=2 is not supported; supported: 0"),
        (lambda: ops.max(X, axis=1, initial=0.5), "initial=0.5"),
        (lambda: ops.cast(X, "float16"), "dtype='float16'"),
        (lambda: ops.cast(ops.cast(X, "float16"), "float32"), "dtype='float16'"),
        (lambda: ops.cast(X, "float64"), "dtype='float64' is not supported; supported: float32"),
        (lambda: ops.one_hot(IDS, 3, dtype="int8"), "dtype='int8'"),
        (lambda: X * np.array([1, 2, 3, np.nan], "float32"), "constant='NaN'"),
        (lambda: X * np.array([1, 2, 3, 4], "float16"), "dtype='float16'"),
        (lambda: ops.where(IDS > 1), "x1=None"),
        (lambda: ops.repeat(X, [1, 2, 1, 2], axis=1), r"repeats=\[1, 2, 1, 2\]"),
        (lambda: ops.norm(X, ord=3, axis=1), "ord=3"),
        (lambda: ops.norm(X, ord="nuc", axis=(1, 2)), "ord='nuc'"),
        (lambda: ops.celu(X, alpha=0.5), "alpha=0.5"),
        (
            lambda: ops.softmax(X, axis=(1, 2)),
            r"axis=\(?\[?1, 2",
        ),
        (lambda: ops.pad(X, ((0, 0), (1, 1), (0, 0)), mode="symmetric"), "mode='symmetric'"),
        (lambda: ops.top_k(X, 2, sorted=False)[0], "sorted=False"),
        (lambda: ops.einsum("nti,ij", X, np.ones((4, 2), "float32")), "backends of Keras order"),
        (lambda: ops.einsum("ntt->nt", X), "an axis twice"),
        (lambda: ops.einsum("nt,ns->nts", IDS, IDS), "cast integers first"),
        (lambda: ops.split(keras.Input((None, 4)), 2, axis=1)[0], "indices_or_sections=2"),
        (lambda: ops.nan_to_num(X), "posinf=None"),
        (lambda: ops.unstack(keras.Input((2000, 1)), axis=1)[0], "num=2000 is not supported"),
        (lambda: ops.diff(X, n=99, axis=1), "n=99"),
        (lambda: ops.convert_to_tensor(X) + keras.Input((4,), dtype="uint8"), "dtype='uint8'"),
    ],
)
def test_settings_that_no_graph_has(output: Any, reason: str) -> None:
    y = output()
    model = keras.Model(keras.utils.get_source_inputs(y), y)
    with pytest.raises(UnsupportedError, match=reason):
        keras_side.read(model)


def test_operations_take_no_masks_and_hand_none_on(tmp_path: Path) -> None:
    """Unlike layers of their names; but what gives the very tensor it was given leaves its mask there."""
    ids = tokens()
    x = embedding()(ids)
    following = [
        layers.GlobalAveragePooling1D()(y)
        for y in (
            *(
                layers.Multiply()([x, x]),
                ops.multiply(x, x),
                layers.Maximum()([x, x * 2]),
                ops.maximum(x, x * 2),
            ),
            *(x * 0.5, x[:, 1:], ops.copy(x), ops.relu(x), ops.transpose(x, (0, 1, 2))),
            *(ops.cast(x, "float32"), ops.convert_to_tensor(x), ops.moveaxis(x, 1, 1), ops.conjugate(x)),
        )
    ]
    graph = check_model(randomize(keras.Model(ids, following)), [token_ids()[[0, 1, 2, 3, 5]]], tmp_path)
    masked = [
        node.masks[0] is not None
        for node in graph.nodes
        if isinstance(node.op, graph_ops.GlobalAveragePooling1D)
    ]
    assert masked == [True, *[False] * 8, *[True] * 4]
    kinds = [node.op.kind for node in graph.nodes]
    assert kinds.count("Multiply") == 1
    assert kinds.count("Maximum") == 1


def test_masks_that_a_model_computes(tmp_path: Path) -> None:
    """Of comparisons, of lengths, of counted steps; those that Keras makes itself stay what they are."""
    ids, x, lengths = tokens(), keras.Input((7, 3)), keras.Input((1,), dtype="int32")
    y = embedding(masked=False)(ids)
    masks = [
        ops.not_equal(ids, 0),
        ops.logical_and(ops.not_equal(ids, 0), ops.not_equal(ids, 3)),
        ops.logical_and(ids > 2, ops.not_equal(ids, 3)),
        ~ops.equal(ids, 0),
        ops.cumsum(ops.ones_like(ids), axis=1) <= lengths,
        ops.cast(ops.minimum(ids, 1), "bool"),
        ops.less(ops.arange(7), lengths),
        ops.any(ops.not_equal(x, 0.5), axis=-1),
    ]
    outputs = [layers.GlobalAveragePooling1D()(y, mask=mask) for mask in masks]
    outputs += [layers.Bidirectional(layers.LSTM(2))(x, mask=masks[6]), layers.GRU(2)(y, mask=masks[2])]
    rows = token_ids()[[0, 1, 2, 3, 5]]
    rows[:, 0] = 7
    padded = np.where((rows != 0)[..., None], np.random.default_rng(0).normal(size=(5, 7, 3)), 0.5)
    given = [rows, padded.astype("float32"), np.array([[7], [3], [1], [5], [2]], "int32")]
    graph = check_model(randomize(keras.Model([ids, x, lengths], outputs)), given, tmp_path)
    masked = (graph_ops.Recurrent, graph_ops.GlobalAveragePooling1D)
    assert all(node.masks[0] for node in graph.nodes if isinstance(node.op, masked))
    kinds = [node.op.kind for node in graph.nodes]
    assert kinds.count("NotEqual") == 2
    assert kinds.count("LogicalAnd") == 2
    assert kinds.count("FeaturesNotEqual") == 1


def test_a_mask_that_is_data_too(tmp_path: Path) -> None:
    """One node gives both, and what nobody reads is not there."""
    ids = tokens()
    x = embedding()(ids)
    valid = ops.not_equal(ids, 0)
    spread = ops.cast(ops.expand_dims(valid, -1), "float32")
    mean = ops.sum(layers.LSTM(4, return_sequences=True)(x, mask=valid) * spread, axis=1) / ops.sum(
        spread, axis=1
    )
    unused = ops.exp(x) + 2  # noqa: F841
    graph = check_model(
        randomize(keras.Model(ids, mean + 0.0)), [np.abs(token_ids()[[0, 1, 2, 3, 5]])], tmp_path
    )
    (mask,) = [node for node in graph.nodes if isinstance(node.op, graph_ops.NotEqual)]
    readers = [node.op.kind for node in graph.nodes if mask.name in (*node.inputs, *node.masks)]
    assert sorted(readers) == ["ExpandDims", "LSTM"]


def test_what_is_no_mask_is_refused() -> None:
    ids = tokens()
    y = embedding(masked=False)(ids)
    for mask in (ops.cast(ops.not_equal(ids, 0), "int32"), ops.not_equal(ids, 0)[..., None]):
        with pytest.raises(UnsupportedError, match=r"mask='.*supported: (bool|masks of the steps,) \(N, T\)"):
            keras_side.read(keras.Model(ids, layers.LSTM(2)(y, mask=mask)))


def test_ids_that_operations_make(tmp_path: Path) -> None:
    """Of integers and of floats, in parts and by arithmetic; an input is cut to ids only where it is ids."""
    ids, floating = tokens(), keras.Input((7,))
    both: Any = keras.Input((2,), dtype="int32")
    outputs = [
        layers.Embedding(14, 3)(ids * 2 % 13),
        layers.LSTM(2)(
            layers.Embedding(8, 3, mask_zero=True)(ops.floor(ops.abs(layers.Dense(7)(floating))) + 1)
        ),
        layers.Embedding(20, 3)(ops.cumsum(ops.ones_like(ids), axis=1) - 1),
        layers.LSTM(2)(layers.Embedding(13, 3)(ids[:, 1:]), mask=ops.not_equal(ids, 0)[:, 1:]),
        layers.Embedding(7, 2)(both[:, 0]) + layers.Embedding(50, 2)(both[:, 1]),
        layers.GRU(2)(keras.layers.Reshape((7, 1))(floating), mask=ops.not_equal(floating, 0)),
    ]
    given = [
        token_ids(),
        np.where(token_ids() == 0, 0, 0.4).astype("float32"),
        np.arange(12, dtype="int32").reshape(6, 2),
    ]
    given[2] = np.array([[1, 40], [2, 30], [3, 0], [4, 7], [5, 49], [6, 1]], "int32")
    graph = check_model(randomize(keras.Model([ids, floating, both], outputs)), given, tmp_path)
    assert [value.dtype for value in graph.inputs] == ["int32", "float32", "int32"]
    assert graph.inputs[2].name not in id_bounds(graph)
    assert safe_bounds(graph)[graph.inputs[2].name] == 7
    assert not any(isinstance(node.op, graph_ops.ToIds) for node in graph.nodes)


def test_a_cast_of_ids_stays_ids(tmp_path: Path) -> None:
    ids = keras.Input((5,))
    y = layers.GRU(2)(layers.Embedding(13, 3)(ops.cast(ids, "int32")))
    graph = check_model(randomize(keras.Model(ids, y)), [token_ids(steps=5).astype("float32")], tmp_path)
    assert graph.nodes[0].op == graph_ops.ToIds()
    assert id_bounds(graph) == {graph.inputs[0].name: 13}


def test_a_model_inside_that_is_called_twice(tmp_path: Path) -> None:
    """Its operations have names, constants are shared, and outputs of lists go their ways."""
    inside = keras.Input((None, 4))
    parts: Any = Split([1], axis=-1, name="parts")(layers.Dense(4)(inside))
    first, last = parts
    inner = keras.Model(inside, [first * 0.5, ops.tanh(last) + np.array([1, 2, 3], "float32")], name="inner")
    x, y = keras.Input((None, 4)), keras.Input((6, 4))
    outputs = [*inner(x), *inner(y)]
    values, places = ops.top_k(outputs[1], 2)
    rest = ops.unstack(ops.stack([outputs[2], outputs[2] * 0.5], axis=1), axis=1)
    model = keras.Model([x, y], [*outputs, values, places, *rest])
    given = [np.random.default_rng(0).normal(size=(4, steps, 4)).astype("float32") for steps in (5, 6)]
    graph = keras_side.read(model)
    for suffix in ("keras", "h5"):
        model.save(tmp_path / f"model.{suffix}")
        assert keras_side.read(tmp_path / f"model.{suffix}") == graph
    for one, two in zip(reference.run(graph, given, "float32"), live_outputs(model, given), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)
        assert one.dtype == two.dtype
    constants = [node.op.value.tolist() for node in graph.nodes if isinstance(node.op, graph_ops.Constant)]
    assert constants == [0.5, [1, 2, 3]]
    assert {"inner.parts", "inner@1.parts"} <= {node.name for node in graph.nodes}


def weighted_average() -> tuple[Any, Any]:
    ids = tokens()
    h = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(embedding()(ids))
    forwards, backwards = ops.split(h, 2, axis=-1)
    return ids, layers.Dense(2)(0.7 * forwards + 0.3 * backwards)


def attention() -> tuple[Any, Any]:
    ids = tokens()
    h = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(embedding()(ids))
    scores = ops.squeeze(layers.Dense(1)(h), -1)
    a = ops.softmax(ops.where(ops.not_equal(ids, 0), scores, -1e9))
    return ids, [ops.sum(a[..., None] * h, axis=1), a]


def softmax_over_steps() -> tuple[Any, Any]:
    ids = tokens()
    h = layers.LSTM(3, return_sequences=True)(embedding()(ids))
    return ids, ops.sum(ops.softmax(layers.Dense(1)(h), axis=1) * h, axis=1)


@pytest.mark.parametrize("build", [weighted_average, attention, softmax_over_steps])
def test_what_people_write(build: Any, tmp_path: Path) -> None:
    with floats("float64"):
        check_model(randomize(keras.Model(*build())), [token_ids()], tmp_path, "float64")


def test_a_float64_model_of_operations_alone_is_one() -> None:
    x: Any = keras.Input((3,), dtype="float64")
    graph = keras_side.read(keras.Model(x, ops.sin(x) * 0.1))
    assert {tensor.dtype for tensor in graph.tensors.values()} == {"float64"}
    assert reference.run(graph, [np.ones((1, 3))])[0][0, 0] == np.sin(1.0) * 0.1
