"""Attention of many heads: on every side, under every pattern of mask, and what it does to others' masks."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch

import keras_side
import torch_side
from biport import ops, reference, verify
from biport.errors import GraphError, UnsupportedError, WeightError
from biport.graph import Graph, Node, Value
from biport.ops.attention import PROJECTIONS
from keras_side.reading.call_order import run_order
from keras_side.reading.config_entries import read_calls
from testing.attention import (
    FAULTS,
    I,
    O,
    S,
    T,
    arrays_of,
    check_empty,
    check_fault,
    embedded,
    looking,
    written_by,
)
from testing.graphs import normal
from testing.masks import MASKS
from testing.models import check_everywhere, quiet_model

layers: Any = keras.layers  # Keras annotates fewer types than it takes.


def pooled(x: Any, name: str | None = None) -> Any:
    """Shows which mask ``x`` carries."""
    return layers.GlobalAveragePooling1D(name=name)(x)


def heads(
    count: int = 2, key_size: int = 4, value_size: int = 3, bias: bool = True, width: int = O, **settings: Any
) -> ops.MultiHeadAttention:
    """An op of random weights, for queries and keys of ``I`` and values of ``width``."""
    rng = np.random.default_rng(4)
    rows = {"query": count * key_size, "key": count * key_size, "value": count * value_size, "output": I}
    columns = {"query": I, "key": I, "value": width, "output": count * value_size}
    return ops.MultiHeadAttention(
        num_heads=count,
        key_size=key_size,
        value_size=value_size,
        **{f"{part}_weight": normal(rng, rows[part], columns[part]) for part in rows},
        **{f"{part}_bias": normal(rng, rows[part]) if bias else None for part in rows},
        **settings,
    )


def test_many_heads_on_every_side(tmp_path: Path) -> None:
    """Masks carried and given, causal, keys of their own, scores, without biases, heads of one number."""
    ids, (query, value) = embedded()
    wide = layers.Dense(O)(value)
    three = ids[1]
    first = layers.MultiHeadAttention(2, 3, value_dim=5, name="scores")(
        query, wide, value, use_causal_mask=True, return_attention_scores=True
    )
    other = layers.MultiHeadAttention(3, 1, dropout=0.2, use_bias=False, name="dropout")(
        query=first[0], value=value, value_mask=keras.ops.not_equal(three, 3)
    )
    keyed = layers.MultiHeadAttention(1, 2, name="keyed")(
        value, other, key_mask=keras.ops.not_equal(ids[0], 2), query_mask=keras.ops.not_equal(three, 4)
    )
    ends = [pooled(first[0], "behind"), pooled(other), pooled(keyed)]
    graph = check_everywhere(quiet_model(ids, [*first, other, keyed, *ends]), tmp_path)
    masked = {
        name: [mask is not None for mask in graph[name].masks] for name in ("scores", "dropout", "keyed")
    }
    assert masked == {
        "scores": [True, True, True],
        "dropout": [True, True],
        "keyed": [False, True, True],
    }
    assert graph["behind"].masks == graph["scores"].masks[:1]


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_many_heads_over_nothing(causal: bool, scores: bool, dropout: float, tmp_path: Path) -> None:
    op = heads(causal=causal, return_scores=scores, dropout=dropout)
    check_empty(looking(op), tmp_path)


@pytest.mark.cover(1)
@pytest.mark.parametrize("key_size", [4, 3])
@pytest.mark.parametrize(("scores", "dropout"), [(False, 0.0), (True, 0.0), (False, 0.3)])
@pytest.mark.parametrize("causal", [False, True])
def test_many_heads_in_float64(causal: bool, scores: bool, dropout: float, key_size: int) -> None:
    """Keras itself and torch; Keras rounds √K to float32."""
    op = heads(key_size=key_size, causal=causal, return_scores=scores, dropout=dropout)
    graph = looking(op).astype("float64")
    module = torch_side.write(graph)
    layer = layers.MultiHeadAttention(2, key_size, value_dim=3, dropout=dropout, dtype="float64")
    layer.build((None, S, I), (None, T, O), (None, T, I))
    layer.set_weights(keras_weights(graph))
    allowed = 1e-12 if key_size == 4 else 1e-7
    assert keras_side.float64_allowed(graph) == (1e-12 if key_size == 4 else 1e-6)
    for pattern in MASKS:
        arrays = arrays_of(graph, pattern)
        exact = reference.run(graph, arrays)
        tensors: Any = [keras.ops.convert_to_tensor(array) for array in arrays]
        query, value, key, queries, values = tensors
        query._keras_mask = queries
        found = layer(
            query, value, key, value_mask=values, return_attention_scores=scores, use_causal_mask=causal
        )
        for one, two in zip(exact, found if scores else [found], strict=True):
            np.testing.assert_allclose(two, one, rtol=0, atol=allowed)
        for one, two in zip(exact, torch_side.run(module, arrays), strict=True):
            np.testing.assert_allclose(two, one, rtol=0, atol=1e-12)


def keras_weights(graph: Graph) -> list[np.ndarray]:
    """The weights of the graph's one op as its Keras layer has them."""
    from keras_side.registry import written_layer

    op = graph.nodes[0].op
    return list(written_layer(op, "y").weights)


def test_a_query_without_a_step_to_look_at() -> None:
    """It weighs all steps alike, or none, as Keras goes one way or the other."""
    for op in (heads(), heads(return_scores=True), heads(dropout=0.1)):
        arrays = arrays_of(looking(op), "full", "float32")
        arrays[-1][:] = False
        made = reference.run(looking(op), arrays)[0]
        weights = {path: array.astype("float64") for path, array in op.weights().items()}
        values = arrays[1] @ weights["value_weight"].T + weights["value_bias"]
        wanted = 0 * values[:, :1] if op.forgets else values.mean(axis=1, keepdims=True)
        wanted = wanted @ weights["output_weight"].T + weights["output_bias"]
        np.testing.assert_allclose(made, np.broadcast_to(wanted, made.shape), rtol=0, atol=1e-12)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("settings", [{}, {"return_scores": True}], ids=["plain", "scores"])
def test_a_fault_is_found(settings: dict, fault: str, tmp_path: Path) -> None:
    op = heads(causal=True, width=I, **settings)
    check_fault(looking(op, width=I, values=I), fault, tmp_path)


def encoder(query: Any, value: Any) -> list:
    """The mask of ``query`` is gone where it is added up again, and with it that of all behind."""
    one = layers.MultiHeadAttention(2, 4, name="one")(query, query)
    added = layers.LayerNormalization()(layers.Add()([query, one]))
    two = layers.MultiHeadAttention(2, 4, name="two")(added, added)
    return [added, two, pooled(two), layers.Maximum()([query, one])]


def decoder(query: Any, value: Any) -> list:
    """The second layer looks at the padding of the values: the first has taken their mask off."""
    one = layers.MultiHeadAttention(2, 4, name="one")(query, value)
    two = layers.MultiHeadAttention(2, 4, name="two")(one, value)
    return [two, pooled(two)]


def race(query: Any, value: Any) -> list:
    """Who runs first gets the mask; a Dropout gives the very tensor it got."""
    same = layers.Dropout(0.1)(query)
    one = layers.MultiHeadAttention(2, 4, name="one")(query, query)
    two = layers.MultiHeadAttention(2, 4, name="two")(same, same)
    three = layers.Attention()([query, same])
    four = layers.Maximum()([query, layers.Activation("tanh")(same)])
    return [one, two, three, four, pooled(one), pooled(same), layers.Maximum()([query, four])]


def nested(query: Any, value: Any) -> list:
    """A model inside takes masks off tensors of the model around it."""
    x = keras.Input((None, I))
    inner = keras.Model(x, layers.Add()([x, layers.MultiHeadAttention(2, 4)(x, x)]), name="inner")
    once = inner(query)
    return [inner(once), pooled(once), layers.Maximum()([query, once])]


@pytest.mark.filterwarnings("ignore:.*does not support masking.*")
@pytest.mark.parametrize("build", [pytest.param(encoder, marks=pytest.mark.sweep), decoder, race, nested])
def test_masks_are_taken_off(build: Callable[[Any, Any], list], tmp_path: Path) -> None:
    ids, tables = embedded(steps=(5, T))
    check_everywhere(quiet_model(ids, build(*tables)), tmp_path)


def test_the_second_layer_of_a_decoder_gets_no_mask_of_the_values() -> None:
    ids, tables = embedded(steps=(5, T))
    graph = keras_side.read(keras.Model(ids, decoder(*tables)))
    assert [mask is None for mask in graph["one"].masks] == [False, False]
    assert [mask is None for mask in graph["two"].masks] == [False, True]


@pytest.mark.parametrize("seed", range(10))
def test_the_order_is_the_one_keras_runs_in(seed: int) -> None:
    """Models of shared layers, at random."""
    rng = random.Random(seed)
    tensors = [keras.Input((I,)) for _ in range(2)]
    inputs = list(tensors)
    shared = [layers.Dense(I) for _ in range(3)]
    for _ in range(12):
        pair = rng.sample(tensors, 2)
        tensors.append(rng.choice(shared)(pair[0]) if rng.random() < 0.6 else layers.Add()(pair))
    model = keras.Model(inputs, rng.sample(tensors[2:], 4))
    function: Any = model
    wanted = [
        (node.operation.name, number)
        for depth in sorted(function._nodes_by_depth, reverse=True)
        for node in function._nodes_by_depth[depth]
        for number in [[n for n in node.operation._inbound_nodes if n in own(function)].index(node)]
        if not node.is_input
    ]
    config = json.loads(model.to_json())["config"]
    calls = {
        (entry["name"], index): read_calls((call["args"], call["kwargs"]))
        for entry in config["layers"]
        for index, call in enumerate(entry["inbound_nodes"])
    }
    outputs = [(name, call) for name, call, _ in config["output_layers"]]
    assert run_order(calls, outputs) == wanted


def own(function: Any) -> list:
    """The calls that belong to a model."""
    return [node for nodes in function._nodes_by_depth.values() for node in nodes]


class Native(torch.nn.Module):
    """Torch's own layer, its output alone or with the weights of every head."""

    def __init__(self, scores: bool, **settings: Any) -> None:
        super().__init__()
        self.looks = torch.nn.MultiheadAttention(6, 2, batch_first=True, **settings)
        self.scores = scores

    def forward(self, query, key, value):
        """Queries, keys and values."""
        if self.scores:
            return self.looks(query, key, value, average_attn_weights=False)
        return self.looks(query, key, value, need_weights=False)[0]


@pytest.mark.cover(1)
@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize("settings", [{}, {"bias": False, "dropout": 0.1}, {"kdim": 4, "vdim": 5}], ids=str)
def test_torch_s_own_layer_is_read(settings: dict, scores: bool) -> None:
    torch.manual_seed(0)
    module = Native(scores, **settings).double().eval()
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(torch.randn_like(weight) * 0.6)
    widths = {"query": 6, "key": settings.get("kdim", 6), "value": settings.get("vdim", 6)}
    values = [Value(name, ("N", "ST"[name != "query"], n), "float64") for name, n in widths.items()]
    graph = torch_side.read(module, values)
    assert graph.nodes[0].op.kind == "MultiHeadAttention"
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(3, 4 if name == "query" else 5, n)) for name, n in widths.items()]
    for one, two in zip(reference.run(graph, arrays), torch_side.run(module, arrays), strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-12)
    assert verify(graph.astype("float32"), keras_side.write(graph.astype("float32"))).ok


class Looks(torch.nn.Module):
    """Torch's own layer with settings that no layer of Keras has."""

    def __init__(self) -> None:
        super().__init__()
        self.steps_first = torch.nn.MultiheadAttention(6, 2)
        self.biased = torch.nn.MultiheadAttention(6, 2, batch_first=True, add_bias_kv=True)
        self.with_zeros = torch.nn.MultiheadAttention(6, 3, batch_first=True, add_zero_attn=True)
        self.masked = torch.nn.MultiheadAttention(6, 2, batch_first=True)

    def forward(self, x, lengths):
        """Of one sequence, the weights of each head on their own once."""
        padding = torch.arange(x.shape[1]) >= lengths[:, None]
        whole = self.masked(x, x, x, key_padding_mask=padding, average_attn_weights=False)
        return (
            self.steps_first(x.transpose(0, 1), x.transpose(0, 1), x.transpose(0, 1)),
            *(part(x, x, x)[0] for part in (self.biased, self.with_zeros)),
            *(whole, self.masked(x, x, x, key_padding_mask=padding)),
        )


@pytest.mark.sweep
def test_torch_s_own_layer_in_every_setting() -> None:
    module = Looks()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    values = [Value("x", ("N", "T", 6), "float32"), Value("lengths", ("N",), "int64")]
    graph = torch_side.read(module, values)
    report = verify(module, torch_side.write(graph), graph, example=values)
    assert report.ok, report.table


def refused(x: Any, name: str, **settings: Any) -> Any:
    return layers.MultiHeadAttention(2, 4, name=name, **settings)(x, x)


@pytest.mark.parametrize(
    ("setting", "build"),
    [
        ("use_gate", lambda x: refused(x, "it", use_gate=True)),
        ("sliding_window", lambda x: refused(x, "it", sliding_window=2)),
        ("attention_axes", lambda x: refused(layers.Reshape((2, 2, I))(x), "it")),
        ("training", lambda x: layers.MultiHeadAttention(2, 4, dropout=0.1, name="it")(x, x, training=True)),
    ],
)
def test_keras_settings_are_refused_by_name(setting: str, build: Callable[[Any], Any]) -> None:
    x = keras.Input((4, I))
    with pytest.raises(UnsupportedError, match=setting):
        keras_side.read(keras.Model(x, build(x)))


def test_many_heads_under_masks_of_an_older_keras(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    for masked in (False, True):
        ids, (query, value) = embedded(masked)
        model = keras.Model(ids, layers.MultiHeadAttention(2, 4, name="looks")(query, value))
        model.save(path)
        written_by(path, "3.14.0")
        if not masked:
            assert keras_side.read(path) == keras_side.read(model)
    with pytest.raises(UnsupportedError, match=r"3\.15 and later"):
        keras_side.read(path)


def test_a_mask_of_the_queries_is_given_to_keras_as_an_attention_mask() -> None:
    """It takes that of the queries off them alone."""
    values = tuple(Value(name, ("N", letter, I), "float32") for name, letter in (("q", "S"), ("v", "T")))
    mask = Value("mask", ("N", "S"), "bool")
    node = Node("y", heads(width=I), ("q", "v"), masks=("mask", None))
    graph = Graph((*values, mask), (node,), ("y",))
    model = keras_side.write(graph)
    assert keras_side.read(model)["y"] == node
    assert verify(graph, model, inputs=arrays_of(graph, "holes", "float32")).ok


def without(op: ops.MultiHeadAttention, *names: str, **changed: Any) -> Any:
    """The op of other settings and weights."""
    weights = {path: array for path, array in op.weights().items() if path not in names}
    return ops.MultiHeadAttention.build(op.settings() | changed, weights)


BAD: dict[str, Callable[[], Any]] = {
    "heads": lambda: without(heads(), num_heads=0),
    "sizes": lambda: without(heads(), key_size=5),
    "a weight": lambda: without(heads(), "key_weight"),
    "some biases": lambda: without(heads(), "key_bias"),
    "queries": lambda: heads().infer([ops.Tensor(("N", 4, 2), "float32")] * 2),
    "a row": lambda: heads().infer([ops.Tensor(("N", I), "float32")] * 2),
    "batches": lambda: heads(width=I).infer([ops.Tensor((n, 4, I), "float32") for n in (2, 3)]),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_settings_are_no_ops(what: str) -> None:
    with pytest.raises((GraphError, WeightError)):
        BAD[what]()


def test_heads_of_one_number_each() -> None:
    """The smallest there is, by hand."""
    sizes = {"num_heads": 1, "key_size": 1, "value_size": 1}
    op = ops.MultiHeadAttention.build(
        sizes, {f"{part}_weight": np.ones((1, 1), "float32") for part in PROJECTIONS}
    )
    graph = Graph((Value("x", ("N", "T", 1), "float32"),), (Node("y", op, ("x", "x")),), ("y",))
    (made,) = reference.run(graph, [np.array([[[0.0], [math.log(3)]]])])
    np.testing.assert_allclose(made[0, 0, 0], math.log(3) / 2, rtol=1e-7)
