"""Every rule by which Keras makes, hands on, merges and ends a mask, against Keras itself in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import keras_side
from biport import ops, reference
from biport.graph import Graph, Node
from keras_side.masks import AllOf, AnyOf, Full, Unequal, all_of, any_of
from testing.keras_models import (
    E,
    H,
    O,
    T,
    check_model,
    embedding,
    features,
    floats,
    live_outputs,
    randomize,
    token_ids,
    tokens,
    valid_steps,
)

IDS = [token_ids()]
MERGES: tuple[Any, ...] = ("concat", "sum", "mul", "ave", None)


@pytest.fixture(autouse=True)
def _float64():
    with floats("float64"):
        yield


def check(inputs, outputs, arrays, folder: Path):
    return check_model(randomize(keras.Model(inputs, outputs)), arrays, folder, "float64")


@pytest.mark.sweep
@pytest.mark.parametrize("masked", [True, False])
def test_bidirectional(masked: bool, tmp_path: Path) -> None:
    ids = tokens()
    x = embedding(masked=masked)(ids)
    outputs = []
    for merge in MERGES:
        for sequences in (True, False):
            inner = layers.LSTM(H, return_sequences=sequences, use_bias=merge != "mul")
            result = layers.Bidirectional(inner, merge_mode=merge, name=f"{merge}_{sequences}")(x)
            outputs += keras.tree.flatten(result)
            # What the layer hands on decides what the next one skips.
            follow = keras.tree.flatten(result)[0]
            if sequences:
                outputs.append(layers.LSTM(2)(follow))
    graph = check(ids, outputs, IDS, tmp_path)
    masks = {node.masks[0] for node in graph.nodes if isinstance(node.op, ops.Bidirectional | ops.LSTM)}
    assert (None in masks) != masked


def test_bidirectional_with_a_backward_layer_of_its_own(tmp_path: Path) -> None:
    ids = tokens()
    x = layers.Bidirectional(
        layers.LSTM(H, return_sequences=True, name="there"),
        backward_layer=layers.LSTM(H, return_sequences=True, go_backwards=True, dropout=0.1, name="back"),
    )(embedding()(ids))
    check(ids, [x, layers.LSTM(2)(x)], IDS, tmp_path)


def test_lstm_rules(tmp_path: Path) -> None:
    ids = tokens()
    outputs = []
    for masked in (True, False):
        x = embedding(f"embedding_{masked}", masked)(ids)
        rules: list[dict[str, Any]] = [
            {"return_sequences": True},
            {"return_sequences": True, "zero_output_for_mask": True},
            {"zero_output_for_mask": True},
            {"go_backwards": True},
            {"go_backwards": True, "return_sequences": True, "use_bias": False},
            {"go_backwards": True, "return_sequences": True, "zero_output_for_mask": True},
        ]
        for settings in rules:
            y = layers.LSTM(H, **settings)(x)
            outputs.append(y)
            if settings.get("return_sequences"):
                outputs.append(layers.LSTM(2)(y))
    check(ids, outputs, IDS, tmp_path)


def test_concatenate_of_masked_inputs(tmp_path: Path) -> None:
    one, two = tokens("one"), tokens("two")
    a, b = embedding("a")(one), embedding("b", size=2)(two)
    outputs = [
        layers.LSTM(H, return_sequences=True)(layers.Concatenate(name="different")([a, b])),
        layers.LSTM(2)(layers.Concatenate(axis=2, name="same")([a, layers.Dense(2)(a)])),
        layers.LSTM(2)(layers.Concatenate(name="three")([a, b, embedding("c", size=4)(one)])),
        layers.GlobalAveragePooling1D()(layers.Concatenate(name="pooled")([b, a])),
    ]
    graph = check([one, two], outputs, [token_ids(), token_ids(seed=5)[::-1].copy()], tmp_path)
    assert any(isinstance(node.op, ops.LogicalOr) for node in graph.nodes)


def test_concatenate_of_a_masked_and_an_unmasked_input(tmp_path: Path) -> None:
    ids, wide = tokens(), keras.Input((None, 2), name="wide")
    x = layers.Concatenate(name="joined")([embedding()(ids), wide])
    y = layers.Concatenate(name="turned")([wide, embedding("other")(ids)])
    outputs = [layers.LSTM(H, return_sequences=True)(x), layers.LSTM(2)(y)]
    graph = check([ids, wide], outputs, [token_ids(), features(6, T, 2)], tmp_path)
    assert all(mask is None for node in graph.nodes for mask in node.masks)


def test_concatenate_along_time(tmp_path: Path) -> None:
    one, two = tokens("one"), tokens("two")
    table = embedding()
    x = layers.Concatenate(axis=1, name="late")([table(one), table(two)])
    outputs = [layers.LSTM(H, return_sequences=True)(x), layers.GlobalAveragePooling1D()(x)]
    check([one, two], outputs, [token_ids(), token_ids(steps=9, seed=5)], tmp_path)


def test_concatenate_along_time_of_masked_and_unmasked(tmp_path: Path) -> None:
    ids, wide = tokens(), keras.Input((None, E), name="wide")
    outputs = []
    for order in ("masked first", "masked last"):
        parts = [embedding(f"table_{order[-5:].strip()}")(ids), wide]
        x = layers.Concatenate(axis=1)(parts if order == "masked first" else parts[::-1])
        outputs += [layers.LSTM(H, return_sequences=True)(x), layers.GlobalAveragePooling1D()(x)]
    graph = check([ids, wide], outputs, [token_ids(), features(6, 4, E)], tmp_path)
    assert sum(isinstance(node.op, ops.OnesLike) for node in graph.nodes) == 1


def test_pooling(tmp_path: Path) -> None:
    ids, wide = tokens(), keras.Input((None, 2), name="wide")
    masked = embedding()(ids)
    outputs = [
        layers.GlobalAveragePooling1D(name="average")(masked),
        layers.GlobalMaxPooling1D(name="largest")(masked),
        layers.GlobalAveragePooling1D()(wide),
        layers.GlobalMaxPooling1D()(wide),
    ]
    model = randomize(keras.Model([ids, wide], outputs))
    with np.errstate(invalid="ignore", divide="ignore"):
        graph = check_model(model, [token_ids(), features(6, 9, 2)], tmp_path, "float64")
        average = reference.run(graph, [token_ids(), features(6, 9, 2)])[0]
    assert np.isnan(average[4]).all()
    assert not np.isnan(np.delete(average, 4, 0)).any()


def test_explicit_masks(tmp_path: Path) -> None:
    ids = tokens()
    plain, masked = embedding("plain", masked=False)(ids), embedding("masked")(ids)
    two = keras.ops.not_equal(ids, 2)
    outputs = [
        layers.LSTM(H, return_sequences=True)(plain, mask=two),
        layers.LSTM(H, name="other")(masked, mask=two),
        layers.Bidirectional(layers.LSTM(2))(plain, mask=two),
        layers.GlobalAveragePooling1D()(plain, mask=two),
        layers.LSTM(O)(layers.LSTM(H, return_sequences=True)(plain, mask=two)),
    ]
    graph = check(ids, outputs, [token_ids(pad=2)], tmp_path)
    values = {node.op.value for node in graph.nodes if isinstance(node.op, ops.NotEqual)}
    assert values == {2}
    # And a batch in which both 0 and 2 occur: only 2 is padding.
    both = token_ids(pad=2)
    both[0, :3] = 0
    check(ids, outputs, [both], tmp_path)


def test_masks_joined_by_the_author(tmp_path: Path) -> None:
    ids, given = tokens(), keras.Input((None,), dtype="bool", name="given")
    x = embedding()(ids)
    two, three = keras.ops.not_equal(ids, 2), keras.ops.not_equal(ids, 3)
    both = keras.ops.logical_and(two, three)
    masks = {
        "both": both,
        "nested": keras.ops.logical_and(keras.ops.logical_or(both, given), given),
        "twice": keras.ops.logical_and(two, two),
        "either": keras.ops.logical_or(two, given),
    }
    outputs = [layers.LSTM(H, return_sequences=True, name=name)(x, mask=masks[name]) for name in masks]
    arrays = [token_ids(), valid_steps()[::-1].copy()]
    graph = check([ids, given], outputs, arrays, tmp_path)

    makers = {node.name: node for node in graph.nodes}
    asked = {name: makers[str(graph[name].masks[0])].op for name in masks}
    assert {name: op.kind for name, op in asked.items()} == {
        "both": "LogicalAnd",
        "nested": "LogicalAnd",
        "twice": "NotEqual",
        "either": "LogicalOr",
    }
    exact = reference.run(graph, arrays)
    again = reference.run(keras_side.read(keras_side.write(graph)), arrays)
    assert all(np.array_equal(a, b) for a, b in zip(exact, again, strict=True))
    wrong = [
        Node(node.name, ops.LogicalOr(), node.inputs) if isinstance(node.op, ops.LogicalAnd) else node
        for node in graph.nodes
    ]
    outputs = reference.run(Graph(graph.inputs, tuple(wrong), graph.outputs), arrays)
    assert [bool((a != b).any()) for a, b in zip(exact, outputs, strict=True)] == [True, True, False, False]


def test_what_masks_joined_are() -> None:
    one, two, every, other = Unequal("x", 0, "one"), Unequal("x", 1, "two"), Full("x"), Full("y")
    assert all_of([one, two, one], "m") == AllOf((one, two), "m")
    assert any_of([one, two, one], "m") == AnyOf((one, two), "m")
    assert all_of([every, one, other, one], "m") == one
    assert any_of([one, every, two], "m") == every
    assert all_of([every, other], "m") == every
    assert all_of([one, one], "m") == any_of([one, one], "m") == one


def test_a_mask_given_as_a_model_input(tmp_path: Path) -> None:
    x = keras.Input((None, E), name="x")
    valid = keras.Input((None,), dtype="bool", name="valid")
    y = layers.LSTM(H, return_sequences=True)(x, mask=valid)
    outputs = [y, layers.Bidirectional(layers.LSTM(2))(y), layers.GlobalAveragePooling1D()(x, mask=valid)]
    with np.errstate(invalid="ignore", divide="ignore"):
        graph = check([x, valid], outputs, [features(6, T, E), valid_steps()], tmp_path)
    assert [node.masks for node in graph.nodes if node.op.masked] == [("valid",)] * 3


def test_masks_through_nested_models(tmp_path: Path) -> None:
    inside = keras.Input((None, E))
    inner = keras.Model(inside, layers.LSTM(H, return_sequences=True)(inside), name="inner")
    plain = keras.Sequential([keras.Input((None, E)), layers.Dense(2), layers.LSTM(O)], name="plain")
    ids = tokens()
    masked, unmasked = embedding("masked")(ids), embedding("unmasked", masked=False)(ids)
    outputs = [
        layers.LSTM(2)(inner(masked)),
        layers.LSTM(2)(inner(unmasked)),
        plain(masked),
        plain(unmasked),
        inner(unmasked, mask=keras.ops.not_equal(ids, 2)),
    ]
    check(ids, outputs, [token_ids()], tmp_path)


def test_the_patterns_reach_the_rules() -> None:
    """The carry rule and the zero rule give different numbers on these inputs, as do masked and unmasked."""
    ids = tokens()
    x = embedding()(ids)
    lstm = {"units": H, "return_sequences": True}
    outputs = [layers.LSTM(**lstm)(x), layers.LSTM(**lstm, zero_output_for_mask=True)(x)]
    model = keras.Model(ids, outputs)
    for layer in model.layers[-2:]:
        layer.set_weights([np.full(array.shape, 0.3) for array in layer.get_weights()])
    carry, zero = live_outputs(model, IDS)
    differ = (carry != zero).any(axis=(1, 2))
    assert differ.tolist() == [False, True, False, True, False, True]
