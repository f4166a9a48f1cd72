"""What stands in front of a model: ids as vectors, and tokens as ids, on every side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnxruntime
import pytest
import torch

import export
import keras_side
import torch_side
from biport import ops, reference, verify
from biport.errors import GraphError, InputError, UnsupportedError
from biport.graph import Graph, Node, Value
from testing.models import check_everywhere, quiet_model

layers: Any = keras.layers  # Keras annotates fewer types than it takes.
V = 4
MODES = ("one_hot", "multi_hot", "count")


@pytest.mark.cover(1)
@pytest.mark.parametrize("shape", [(3,), (1,), (None,)], ids=str)
@pytest.mark.parametrize("mode", MODES)
def test_category_encoding(mode: str, shape: tuple, tmp_path: Path) -> None:
    x = keras.Input(shape, dtype="int32", name="x")
    model = keras.Model(x, layers.CategoryEncoding(V, mode)(x))
    graph = check_everywhere(model, tmp_path)
    session, module = export.Session(tmp_path / "fused.onnx"), torch_side.write(graph)
    steps = [shape[0]] if shape[0] else [0, 2, 5] if mode != "one_hot" else [2, 5]
    for N in (0, 3):
        for T in steps:
            # -1 and V are no categories.
            ids = np.random.default_rng(1).integers(-1, V + 1, (N, T)).astype("int32")
            (exact,) = reference.run(graph, [ids])
            for made in (session.run([ids]), torch_side.run(module, [ids])):
                np.testing.assert_array_equal(made[0], exact)
                assert made[0].dtype == np.float32
            if N and T and (mode == "one_hot" or ids.min() >= 0):
                np.testing.assert_array_equal(model(ids), exact)


def test_what_keras_says_of_ids_out_of_range() -> None:
    """Zeros, but for negative ids of a row that is counted: there it raises, and no form here does."""
    for mode in MODES:
        x = keras.Input((3,), dtype="int32")
        model = keras.Model(x, layers.CategoryEncoding(V, mode)(x))
        graph = keras_side.read(model)
        for ids in ([[0, V, 9], [2, 2, 1]], [[0, -1, 3], [2, 2, -5]]):
            array = np.array(ids, "int32")
            (exact,) = reference.run(graph, [array])
            if mode != "one_hot" and array.min() < 0:
                with pytest.raises(Exception, match="non-negative"):
                    model(array)
            else:
                np.testing.assert_array_equal(model(array), exact)


@pytest.mark.parametrize("shape", [(2, 3), ()], ids=str)
def test_one_hot_of_any_rank(shape: tuple, tmp_path: Path) -> None:
    x = keras.Input(shape, dtype="int32", name="x")
    check_everywhere(keras.Model(x, layers.CategoryEncoding(V, "one_hot")(x)), tmp_path)


def test_one_id_of_steps_that_vary(tmp_path: Path) -> None:
    """Keras makes (N, V) of it, where it says (N, 1, V); so no form takes one step."""
    x = keras.Input((None,), dtype="int32", name="x")
    model = keras.Model(x, layers.CategoryEncoding(V, "one_hot")(x))
    one = np.ones((2, 1), "int32")
    assert model(one).shape == (2, V)
    graph = keras_side.read(model)
    export.write(graph, tmp_path / "m.onnx")
    for run in (
        lambda: reference.run(graph, [one]),
        lambda: torch_side.run(torch_side.write(graph), [one]),
        lambda: export.Session(tmp_path / "m.onnx").run([one]),
    ):
        with pytest.raises(InputError):
            run()


def test_vectors_of_the_dtype_of_the_model() -> None:
    x = keras.Input((3,), dtype="int64", name="x")
    y = layers.Dense(2, dtype="float64")(layers.CategoryEncoding(V, "count", dtype="float64")(x))
    model = quiet_model(x, y)
    graph = keras_side.read(model)
    ids = np.array([[0, 1, 1], [3, 2, 2]])
    (exact,) = reference.run(graph, [ids])
    np.testing.assert_allclose(model(ids), exact, rtol=0, atol=1e-14)
    np.testing.assert_allclose(torch_side.run(torch_side.write(graph), [ids])[0], exact, rtol=0, atol=1e-14)
    assert {tensor.dtype for tensor in graph.astype("float32").tensors.values()} == {"int64", "float32"}


LOOKUPS = [
    {},
    {"num_oov_indices": 3},
    {"mask_token": 0},
    {"mask_token": -9, "num_oov_indices": 2},
]


@pytest.mark.parametrize(
    "settings", [pytest.param(s, marks=pytest.mark.sweep) for s in LOOKUPS[:2]] + LOOKUPS[2:], ids=str
)
def test_integer_lookup(settings: dict, tmp_path: Path) -> None:
    x = keras.Input((None,), dtype="int64", name="x")
    lookup = layers.IntegerLookup(vocabulary=[12, 36, -5, 1138], **settings)
    ids = lookup(x)
    masked = settings.get("mask_token") is not None
    made = layers.LSTM(3)(layers.Embedding(9, 2, mask_zero=masked)(ids))
    graph = check_everywhere(quiet_model(x, [ids, made]), tmp_path)
    tokens = np.array([[12, 36, -5, 0], [7, 1138, 8, -9], [9, -7, 2**40, -(2**40)]])
    (exact, _) = reference.run(graph, [tokens])
    np.testing.assert_array_equal(lookup(tokens), exact)
    session = export.Session(tmp_path / "fused.onnx")
    np.testing.assert_array_equal(session.run([tokens])[0], exact)
    for shape in ((0, 3), (2, 0)):
        assert session.run([np.ones(shape, "int64")])[0].shape == shape


@pytest.mark.cover(1)
@pytest.mark.parametrize("size", [3, 1])
@pytest.mark.parametrize("mode", MODES)
def test_a_lookup_that_encodes(mode: str, size: int, tmp_path: Path) -> None:
    """Its vectors are integers when Keras runs it, whatever it says of them."""
    x = keras.Input((size,), dtype="int64", name="x")
    padded = {"max_tokens": 9, "pad_to_max_tokens": True} if mode == "count" else {}
    lookup = layers.IntegerLookup(vocabulary=[12, 36, 7], num_oov_indices=2, output_mode=mode, **padded)
    graph = check_everywhere(quiet_model(x, layers.Dense(2)(lookup(x))), tmp_path)
    assert graph.nodes[1].op.settings()["num_tokens"] == (9 if padded else 5)
    tokens = np.array([[12, 7, 5], [12, 12, 8]])[:, :size]
    encoded = Graph(graph.inputs, graph.nodes[:2], graph.nodes[1].outputs)
    np.testing.assert_array_equal(reference.run(encoded, [tokens])[0], lookup(tokens))


WEIGHTED = {"output_mode": "tf_idf", "idf_weights": [0.5, 0.25, 2.0]}
VECTORS = [
    {**WEIGHTED, "mask_token": 7, "max_tokens": 9, "pad_to_max_tokens": True},
    {"output_mode": "one_hot", "mask_token": 7},
    {"output_mode": "count", "mask_token": 7, "num_oov_indices": 2},
    WEIGHTED,
]


@pytest.mark.parametrize(
    "settings", [VECTORS[0], *(pytest.param(s, marks=pytest.mark.sweep) for s in VECTORS[1:])], ids=str
)
def test_a_mask_token_counts_nowhere_and_others_by_their_weight(settings: dict, tmp_path: Path) -> None:
    lookup = layers.IntegerLookup(vocabulary=[12, 36, 5], **settings)
    model = keras.Sequential([keras.Input((3,), dtype="int64", name="x"), lookup, layers.Dense(2)])
    graph = check_everywhere(model, tmp_path)
    tokens = np.array([[12, 7, 5], [12, 12, 8], [7, 7, 7]])
    np.testing.assert_allclose(reference.run(graph, [tokens])[0], model(tokens), rtol=0, atol=1e-6)
    model.save(tmp_path / "model.h5")
    assert keras_side.read(tmp_path / "model.h5") == graph


def test_lookups_and_bins_inside_every_step() -> None:
    x = keras.Input((2, 3), dtype="int32", name="x")
    lookup = layers.IntegerLookup(vocabulary=[12, 36], output_mode="count")
    model = keras.Model(x, layers.TimeDistributed(lookup)(x))
    tokens = np.array([[[12, 12, 5], [36, 0, 0]]], "int32")
    np.testing.assert_array_equal(reference.run(keras_side.read(model), [tokens])[0], model(tokens))


def test_the_vocabulary_is_the_one_that_is_looked_up() -> None:
    lookup = layers.IntegerLookup(vocabulary=[12, 36, 5])
    lookup.set_vocabulary([5, 12])
    x = keras.Input((3,), dtype="int64")
    (node,) = keras_side.read(keras.Model(x, lookup(x))).nodes
    assert node.op.settings()["vocabulary"] == (5, 12)


BOUNDARIES = [-1.0, 0.1, 0.5, 0.5]
BELOW_THEM = [np.nextafter(np.float32(boundary), np.float32(-9)) for boundary in BOUNDARIES]


@pytest.mark.parametrize(
    "mode", ["count", *(pytest.param(m, marks=pytest.mark.sweep) for m in ("int", "one_hot", "multi_hot"))]
)
def test_bins(mode: str, tmp_path: Path) -> None:
    """A boundary is in the bin behind it, and NaN in the last."""
    x = keras.Input((2,), name="x")
    bins = layers.Discretization(bin_boundaries=BOUNDARIES, output_mode=mode)
    model = keras.Model(x, bins(x))
    graph = check_everywhere(model, tmp_path)
    numbers = np.reshape(np.array([*BOUNDARIES, *BELOW_THEM], "float32"), (4, 2))
    np.testing.assert_array_equal(reference.run(graph, [numbers])[0], model(numbers))
    numbers = np.concatenate([numbers, np.array([[np.nan, np.inf], [-np.inf, np.nan]], "float32")])
    session = onnxruntime.InferenceSession(tmp_path / "fused.onnx")
    for given in (torch_side.write(graph)(torch.tensor(numbers)), session.run(None, {"x": numbers})[0]):
        np.testing.assert_array_equal(given, model(numbers))


@pytest.mark.sweep
@pytest.mark.parametrize("dtype", ["int32", "int64", "float64"])
def test_bins_of_other_numbers(dtype: str, tmp_path: Path) -> None:
    """All are compared as float32: the numbers, and the boundaries."""
    x = keras.Input((3,), dtype=dtype, name="x")
    policy = "float64" if dtype == "float64" else "float32"
    model = keras.Model(x, layers.Discretization(bin_boundaries=[0.1, 2.0, 2.0**24], dtype=policy)(x))
    graph = keras_side.read(model)
    numbers = np.array([[0, 2, 2**24 - 1], [2**24 + 1, -3, 0]]).astype(dtype)
    if dtype == "float64":
        numbers[0] = 0.1, np.nextafter(2, 0), float(np.float32(0.1))
    (exact,) = reference.run(graph, [numbers])
    np.testing.assert_array_equal(model(numbers), exact)
    np.testing.assert_array_equal(torch_side.run(torch_side.write(graph), [numbers])[0], exact)


@pytest.mark.sweep
def test_adapted_bins(tmp_path: Path) -> None:
    x = keras.Input((4,), name="x")
    bins = layers.Discretization(num_bins=5)
    bins.adapt(np.random.default_rng(2).normal(size=100))
    check_everywhere(quiet_model(x, layers.Embedding(5, 2)(bins(x))), tmp_path)
    with pytest.raises(UnsupportedError, match="bin_boundaries"):
        keras_side.read(keras.Model(x, layers.Discretization(num_bins=3)(x)))


def test_a_vocabulary_may_begin_with_what_is_special() -> None:
    x = keras.Input((4,), dtype="int32")
    for settings, vocabulary in (
        ({"mask_token": 0}, [0, -1, 5, 3]),
        ({}, [-1, 5, 3]),
        ({}, [5, -1, 3]),
        ({"num_oov_indices": 2, "oov_token": 7}, [7, 7, 5, 3]),
    ):
        lookup = layers.IntegerLookup(vocabulary=vocabulary, **settings)
        graph = keras_side.read(keras.Model(x, lookup(x)))
        tokens = np.array([[5, 3, -1, 0], [7, 8, 5, 5]], "int32")
        (exact,) = reference.run(graph, [tokens])
        np.testing.assert_array_equal(lookup(tokens), exact)
        np.testing.assert_array_equal(keras_side.write(graph)(tokens), exact)


@pytest.mark.parametrize("settings", LOOKUPS[2:], ids=str)
def test_an_adapted_vocabulary(settings: dict, tmp_path: Path) -> None:
    """Of a lookup in a model inside another, too; HDF5 does not keep it."""
    inside = keras.Input((3,), dtype="int64")
    lookups = [layers.IntegerLookup(max_tokens=size, **settings) for size in (None, 7)]
    for lookup, tokens in zip(lookups, ([5, 5, 3, 9, 9, 9, 1], [4, 4, 8, 2, 1, -3, 11]), strict=True):
        lookup.adapt(np.array(tokens))
    inner = keras.Model(inside, lookups[0](inside), name="inner")
    x = keras.Input((3,), dtype="int64", name="x")
    model = keras.Model(x, [inner(x), lookups[1](x)])
    graph = check_everywhere(model, tmp_path)
    tokens = np.array([[5, 3, 9], [1, 0, 2], [4, 8, 11]])
    for one, two in zip(model(tokens), reference.run(graph, [tokens]), strict=True):
        np.testing.assert_array_equal(one, two)
    model.save(tmp_path / "model.h5")
    with pytest.raises(UnsupportedError, match=r"vocabulary='adapted.*get_vocabulary"):
        keras_side.read(tmp_path / "model.h5")


def test_tokens_are_looked_up_before_they_are_encoded(tmp_path: Path) -> None:
    x = keras.Input((3,), name="x")
    encoded = layers.CategoryEncoding(6, "count")(layers.IntegerLookup(vocabulary=[5, 3, 9, 2])(x))
    graph = check_everywhere(quiet_model(x, layers.Dense(2)(encoded)), tmp_path)
    assert graph.inputs[0].dtype == "int32"


def test_a_fault_is_found() -> None:
    inputs = (Value("x", ("N", "T"), "int64"),)
    right = ops.IntegerLookup(vocabulary=(12, 36, 7), mask_token=0)
    table = ops.Embedding(
        num_embeddings=6, embedding_dim=2, weight=np.arange(12, dtype="float32").reshape(6, 2)
    )

    def model(op: ops.Op) -> Graph:
        return Graph(inputs, (Node("ids", op, ("x",)), Node("y", table, ("ids",))), ("y",))

    for wrong in (
        ops.IntegerLookup(vocabulary=(36, 12, 7), mask_token=0),
        ops.IntegerLookup(vocabulary=(12, 36, 7), num_oov_indices=2, mask_token=0),
        ops.IntegerLookup(vocabulary=(12, 36, 7)),
    ):
        assert not verify(model(right), torch_side.write(model(wrong))).ok


def test_refusals() -> None:
    x = keras.Input((3,), dtype="int32")
    wide = keras.Input((2, 3), dtype="int32")
    for layer, given, message in (
        (layers.IntegerLookup(vocabulary=[5], num_oov_indices=0), x, "num_oov_indices=0"),
        (layers.IntegerLookup(vocabulary=[5], invert=True), x, "invert=True"),
        (layers.IntegerLookup(vocabulary=[5], oov_method="farmhash"), x, "oov_method='farmhash'"),
        (layers.CategoryEncoding(V, "count"), wide, "output_mode='count of 3 dimensions'"),
    ):
        with pytest.raises(UnsupportedError, match=message):
            keras_side.read(keras.Model(given, layer(given)))
    for bad in (
        lambda: ops.IntegerLookup(vocabulary=()),
        lambda: ops.IntegerLookup(vocabulary=(1, 1)),
        lambda: ops.IntegerLookup(vocabulary=(1, 0), mask_token=0),
        lambda: ops.IntegerLookup(vocabulary=(2**63,)),
        lambda: ops.IntegerLookup(vocabulary=(1,), num_oov_indices=0),
        lambda: ops.CategoryEncoding(num_tokens=0),
        lambda: ops.Discretization(boundaries=()),
        lambda: ops.Discretization(boundaries=(2.0, 1.0)),
        lambda: ops.Discretization(boundaries=(float("inf"),)),
        lambda: ops.CategoryEncoding(num_tokens=2, output_mode="tf_idf"),
    ):
        with pytest.raises(GraphError):
            bad()
