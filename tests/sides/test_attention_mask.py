"""Attention told which steps each query looks at: beside all other masks, on every side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import keras_side
import torch_side
from biport import ops, reference, verify
from biport.errors import GraphError, UnsupportedError
from biport.graph import Graph, Node, Value
from testing.attention import I, N, S, T, check_empty
from testing.graphs import normal
from testing.masks import MASKS, valid_steps
from testing.models import check_everywhere, quiet_model

layers: Any = keras.layers  # Keras annotates fewer types than it takes.
P = 2
EVERY, QUERY, VALUE, HEADS = ("N", "S", "T"), ("N", "S", 1), ("N", 1, "T"), ("N", P, "S", "T")
"""Shapes that a mask may have."""


def heads(**settings: Any) -> ops.MultiHeadAttention:
    """Two heads of four numbers, which Keras' √K does not round."""
    rng = np.random.default_rng(4)
    shapes = {"query": (P * 4, I), "key": (P * 4, I), "value": (P * 3, I), "output": (I, P * 3)}
    weights = {f"{part}_weight": normal(rng, *shape) for part, shape in shapes.items()}
    biases = {f"{part}_bias": normal(rng, shape[0]) for part, shape in shapes.items()}
    sizes = {"num_heads": P, "key_size": 4, "value_size": 3, "has_attention_mask": True}
    return ops.MultiHeadAttention(**sizes, **weights, **biases, **settings)


def one_head(kind: str, **settings: Any) -> ops.Op:
    """One of the other two, with weights."""
    rng, settings = np.random.default_rng(3), {"has_attention_mask": True, **settings}
    if kind == "additive":
        return ops.AdditiveAttention(scale=normal(rng, I), **settings)
    concat = normal(rng) if kind == "concat" else None
    return ops.Attention(
        score_mode=kind, scale=np.asarray(normal(rng)), score_weight=concat and np.asarray(concat), **settings
    )


def limited(op: ops.Op, shape: Sequence, masked: bool = True) -> Graph:
    """A graph of the attention whose masks are inputs."""
    inputs = [Value("q", ("N", "S", I), "float32"), Value("v", ("N", "T", I), "float32")]
    inputs.append(Value("attention_mask", tuple(shape), "bool"))
    masks = (("queries", ("N", "S")), ("values", ("N", "T"))) if masked else ()
    inputs += [Value(name, letters, "bool") for name, letters in masks]
    made = tuple(f"y:{n}" for n in range(op.output_count)) if op.output_count > 1 else ("y",)
    names = (*(name for name, _ in masks), None) if masked else ()
    return Graph(tuple(inputs), (Node("y", op, ("q", "v", "attention_mask"), made, names),), made)


def arrays_of(graph: Graph, pattern: str = "holes", dtype: str = "float64") -> list[np.ndarray]:
    """Random inputs; a query looks at about half of the steps, and the first of each row at none."""
    rng, sizes = np.random.default_rng(5), {"N": N, "S": S, "T": T}
    arrays = []
    for value in graph.inputs:
        shape = [dim if isinstance(dim, int) else sizes[str(dim)] for dim in value.shape]
        if value.dtype != "bool":
            arrays.append(rng.normal(size=shape).astype(dtype))
        elif len(shape) == 2:
            arrays.append(valid_steps(pattern, shape[0], shape[1], rng))
        else:
            arrays.append(rng.random(shape) < 0.5)
            arrays[-1][..., :1, :] &= shape[-2] == 1
    return arrays


def softmax(scores: np.ndarray) -> np.ndarray:
    raised = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


@pytest.mark.cover(1)
@pytest.mark.parametrize("settings", [{}, {"return_scores": True}, {"dropout": 0.3}], ids=str)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", [EVERY, QUERY, VALUE, HEADS], ids=str)
def test_heads_in_float64(shape: tuple, causal: bool, settings: dict) -> None:
    """Keras itself, torch and the reference, with a row that has nothing to look at."""
    op = heads(causal=causal, **settings)
    for masked in (True, False) if shape is not HEADS else (False,):
        graph = limited(op, shape, masked).astype("float64")
        arrays = arrays_of(graph)
        exact = reference.run(graph, arrays)
        for made in (torch_side.run(torch_side.write(graph), arrays), from_keras(graph, arrays)):
            for one, two in zip(exact, made, strict=True):
                np.testing.assert_allclose(two, one, rtol=0, atol=1e-12)


def from_keras(graph: Graph, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """What a layer of Keras gives that is made by hand."""
    from keras_side.registry import written_layer

    op: Any = graph.nodes[0].op
    layer = layers.MultiHeadAttention(P, 4, value_dim=3, dropout=op.dropout, dtype="float64")
    layer.build((None, S, I), (None, T, I))
    layer.set_weights(written_layer(op, "y").weights)
    tensors: list[Any] = [keras.ops.convert_to_tensor(array) for array in arrays]
    query, value, mask, *others = tensors
    options: dict[str, Any] = {"return_attention_scores": op.return_scores, "use_causal_mask": op.causal}
    if others:
        query._keras_mask = others[0]
        options["value_mask"] = others[1]
    made = layer(query, value, attention_mask=mask, **options)
    return [np.asarray(part) for part in (made if op.return_scores else [made])]


def test_the_reference_is_the_formula() -> None:
    """Weights by hand: a query that looks at nothing weighs all alike, or with scores none of them."""
    op = heads()
    q, v, mask = arrays_of(limited(op, HEADS, masked=False))
    weights = {path: array.astype("float64") for path, array in op.weights().items()}
    parts = {
        part: (x @ weights[f"{part}_weight"].T + weights[f"{part}_bias"]).reshape(N, x.shape[1], P, -1)
        for part, x in (("query", q), ("key", v), ("value", v))
    }
    scores = np.einsum("nspk,ntpk->npst", parts["query"], parts["key"]) / 2
    for forgets in (False, True):
        shares = softmax(np.where(mask, scores, -1e300))
        shares = np.where(mask | (not forgets), shares, 0)
        joined = np.einsum("npst,ntpv->nspv", shares, parts["value"]).reshape(N, S, -1)
        wanted = joined @ weights["output_weight"].T + weights["output_bias"]
        graph = limited(heads(return_scores=forgets), HEADS, masked=False).astype("float64")
        made = reference.run(graph, [q, v, mask])
        np.testing.assert_allclose(made[0], wanted, rtol=0, atol=1e-12)
        if forgets:
            np.testing.assert_allclose(made[1], shares, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [EVERY, VALUE], ids=str)
@pytest.mark.parametrize("kind", ["dot", "concat", "additive"])
def test_one_head(kind: str, shape: tuple) -> None:
    """Keras has it in place of the mask of the values."""
    for scores in (False, True):
        graph = limited(one_head(kind, return_scores=scores), shape, masked=False)
        arrays = arrays_of(graph, dtype="float32")
        model = keras_side.write(graph)
        assert keras_side.read(model).nodes[0].op == graph.nodes[0].op
        exact = reference.run(graph, arrays)
        for made in (model(arrays), torch_side.run(torch_side.write(graph), arrays)):
            for one, two in zip(exact, made if isinstance(made, list) else [made], strict=True):
                np.testing.assert_allclose(two, one, rtol=0, atol=2e-6)
    counted = np.broadcast_to(arrays[2], exact[1].shape)
    rows = np.broadcast_to(counted.any(axis=-1, keepdims=True), counted.shape)
    assert exact[1][rows & ~counted].max() == 0


@pytest.mark.parametrize("op", [heads(causal=True), heads(return_scores=True), one_head("dot", causal=True)])
def test_over_nothing_and_in_onnx(op: ops.Op, tmp_path: Path) -> None:
    for shape in (EVERY, VALUE, *([HEADS] if isinstance(op, ops.MultiHeadAttention) else [])):
        graph = limited(op, shape)
        check_empty(graph, tmp_path)
        arrays = arrays_of(graph, dtype="float32")
        assert verify(graph, torch_side.write(graph), tmp_path / "empty.onnx", inputs=arrays).ok
        assert torch_side.read(torch_side.write(graph)) == graph


def test_models_of_keras(tmp_path: Path) -> None:
    """Ids with masks of their own beside one that is an input; and a mask that a model spreads itself."""
    ids = [keras.Input((size,), dtype="int32", name=name) for name, size in (("q", S), ("v", T))]
    query, value = (layers.Embedding(9, I, mask_zero=True)(x) for x in ids)
    given = keras.Input((S, T), dtype="bool", name="given")
    first = layers.MultiHeadAttention(P, 4, name="scores")(
        query, value, attention_mask=given, return_attention_scores=True
    )
    plain = layers.Embedding(9, I)
    padding = keras.ops.expand_dims(keras.ops.not_equal(ids[1], 0), 1)
    spread = layers.MultiHeadAttention(P, 4, name="spread")(
        plain(ids[0]), plain(ids[1]), attention_mask=padding, use_causal_mask=True
    )
    rows = keras.ops.expand_dims(keras.ops.not_equal(ids[0], 0), -1)
    widened = layers.MultiHeadAttention(P, 4, name="widened")(
        plain(ids[0]), value, attention_mask=rows, return_attention_scores=True
    )
    one = layers.AdditiveAttention(name="one")([plain(ids[0]), plain(ids[1])], mask=[None, given])
    behind = layers.GlobalAveragePooling1D(name="behind")(first[0])
    steps = keras.Input((T,), dtype="bool", name="steps")
    flags = layers.MultiHeadAttention(P, 4, name="flags")(
        plain(ids[0]), plain(ids[1]), attention_mask=keras.ops.expand_dims(steps, 1)
    )
    first = [*first, flags]
    graph = check_everywhere(
        quiet_model([*ids, given, steps], [*first, spread, *widened, one, behind]), tmp_path
    )
    wanted = {"scores": True, "spread": False, "widened": False, "one": True}
    assert {name: graph[name].op.settings()["has_attention_mask"] for name in wanted} == wanted
    assert [mask is not None for mask in graph["scores"].masks] == [True, True, False]
    assert [mask is not None for mask in graph["spread"].masks] == [False, True]
    # The first of them has taken the mask off its values.
    assert [mask is not None for mask in graph["widened"].masks] == [True, False]
    assert graph["behind"].masks == graph["scores"].masks[:1]


@pytest.mark.parametrize("pattern", MASKS)
def test_a_fault_is_found(pattern: str) -> None:
    graph = limited(heads(), EVERY)
    arrays = arrays_of(graph, pattern, "float32")
    node = graph.nodes[0]
    wrong = Graph(graph.inputs, (Node("y", node.op, node.inputs, masks=(None, None, None)),), ("y",))
    told = verify(graph, torch_side.write(wrong), inputs=arrays).ok
    assert told == (pattern == "full")


def test_a_mask_of_numbers_is_where_they_are_not_zero() -> None:
    x, numbers = keras.Input((S, I)), keras.Input((S, S), name="numbers")
    model = keras.Model([x, numbers], layers.MultiHeadAttention(P, 4)(x, x, attention_mask=numbers))
    draw = np.random.default_rng(0)
    given = draw.normal(size=(3, S, I)).astype("float32"), draw.integers(-1, 3, (3, S, S)).astype("float32")
    wanted = model(list(given))
    (actual,) = reference.run(keras_side.read(model), given)
    np.testing.assert_allclose(wanted, actual, atol=1e-6)


def test_refusals() -> None:
    x: Any = keras.Input((S, I))
    y = layers.MultiHeadAttention(P, 4, name="it")(x, x, attention_mask=np.ones((1, S, S), bool))
    with pytest.raises(UnsupportedError, match=r"'it'.*attention_mask='a constant'"):
        keras_side.read(keras.Model(x, y))
    causal = one_head("dot", causal=True)
    for op, shape, message in ((causal, EVERY, "Attention.*causal"), (heads(), HEADS, r"\(N, P, S, T\)")):
        with pytest.raises(UnsupportedError, match=message):
            keras_side.write(limited(op, shape, masked=isinstance(op, ops.MultiHeadAttention)))
    for shape in (("N", "S"), ("N", P + 1, "S", "T"), ("N", "S", "T", 1, 1)):
        with pytest.raises(GraphError, match="attention mask"):
            limited(heads(), shape)
    inputs = limited(heads(), EVERY).inputs
    node = Node("y", heads(), ("q", "v", "attention_mask"), masks=(None, None, "queries"))
    with pytest.raises(UnsupportedError, match="of an attention mask"):
        Graph(inputs, (node,), ("y",))
