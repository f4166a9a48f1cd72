"""The mask that each layer's outputs carry when Keras runs, against what is propagated while reading."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import keras_side
from biport import ops, reference
from biport.errors import UnsupportedError
from biport.graph import Graph, Value
from biport.ops import Softmax
from keras_side.masks import Full, Mask, OfScores
from keras_side.reading.live_model import LiveVariables, describe
from keras_side.reading.traverse import Traversal
from keras_side.registered import LAYERS as OWN
from keras_side.registry import READERS
from keras_side.release import Release
from testing.keras_models import E, T, V, token_ids, tokens
from testing.models import quiet_model

IDS = tokens(steps=T)
CELL = layers.LSTMCell(3)


class Probe(layers.Layer):
    """What a layer that takes a mask gets."""

    def __init__(self) -> None:
        super().__init__()
        self.supports_masking = True
        self.mask: np.ndarray | None = None

    def call(self, x: Any, mask: Any = None) -> Any:
        self.mask = None if mask is None else np.array(mask)
        return x

    def compute_output_spec(self, x: Any, mask: Any = None) -> Any:
        return keras.KerasTensor(x.shape, x.dtype)


def sequence(masked: bool = True, size: int = E) -> Any:
    """A tensor of its own, since an attention takes masks off what it reads."""
    return layers.Embedding(V, size, mask_zero=masked)(IDS)


def other() -> Any:
    """Of another mask."""
    return layers.Masking(1.0)(layers.Dropout(0.1)(sequence()))


def attended(kind: Any, query: Any, value: Any, **call: Any) -> Any:
    given = [query, value] if isinstance(kind, layers.MultiHeadAttention) else [[query, value]]
    return kind(*given, **call)


def merging(name: str) -> list[Any]:
    merge = getattr(layers, name)
    options = {"axes": 1} if name == "Dot" else {}
    pairs = [(True, True), (True, False), (False, True)]
    results = [merge(**options)([sequence(one), sequence(two)]) for one, two in pairs]
    return [*results, merge(**options)([sequence(), other()])]


def attending(name: str) -> list[Any]:
    settings = {"num_heads": 2, "key_dim": 3} if name == "MultiHeadAttention" else {}
    outputs: list[Any] = []
    for call in ({}, {"return_attention_scores": True}):
        for query, value in ((True, True), (True, False), (False, True), (False, False)):
            layer = getattr(layers, name)(**settings)
            outputs += keras.tree.flatten(attended(layer, sequence(query), sequence(value), **call))
        layer = getattr(layers, name)(**settings)
        causal = attended(layer, sequence(False), sequence(False), use_causal_mask=True, **call)
        outputs += keras.tree.flatten(causal)
    dropping = getattr(layers, name)(**settings, dropout=0.2)
    return [*outputs, *attended(dropping, sequence(), sequence(), return_attention_scores=True)]


def scanning(make: Callable[..., Any]) -> list[Any]:
    outputs: list[Any] = []
    for settings in ({}, {"return_sequences": True}, {"return_sequences": True, "return_state": True}):
        outputs += keras.tree.flatten(make(**settings)(sequence()))
    return outputs


def both(merge: str | None) -> Callable[..., Any]:
    return lambda **settings: layers.Bidirectional(layers.GRU(3, **settings), merge_mode=merge)  # type: ignore[arg-type]


SETTINGS: dict[str, dict[str, Any]] = {
    "Conv1D": {"filters": 3, "kernel_size": 2},
    "Dense": {"units": 3},
    "AveragePooling1D": {"pool_size": 2},
    "Permute": {"dims": (2, 1)},
    "Reshape": {"target_shape": (E, T)},
    "GaussianNoise": {"stddev": 0.1},
    **{name: {"rate": 0.1} for name in ("Dropout", "SpatialDropout1D", "AlphaDropout", "GaussianDropout")},
    "Activation": {"activation": "tanh"},
    "TimeDistributed": {"layer": layers.Dense(2)},
    "GroupNormalization": {"groups": E},
    "Rescaling": {"scale": 0.5},
    "CategoryEncoding": {"num_tokens": V},
    "IntegerLookup": {"vocabulary": [1, 3]},
    "Discretization": {"bin_boundaries": [1.0, 2.0]},
}


MAPS = {
    "AveragePooling": {"pool_size": 1},
    "MaxPooling": {"pool_size": 1},
    "Cropping": {"cropping": 0},
    "SpatialDropout": {"rate": 0.1},
    "DepthwiseConv": {"kernel_size": 1},
    "Conv": {"filters": 3, "kernel_size": 1},
    "": {},
}
"""Settings of layers over one axis to three, by how their names begin."""


def over_maps(name: str) -> list[Any]:
    """A layer over one axis to three, or over the steps of such, on a tensor with the mask of its steps."""
    settings = next(
        given for begin, given in MAPS.items() if name.removeprefix("Separable").startswith(begin)
    )
    layer = getattr(layers, name)(**settings)
    axes = int(re.findall("([123])D", name)[0])
    ones = [1] * (axes - (0 if name.startswith("ConvLSTM") else 1))
    x = layers.TimeDistributed(layers.Reshape((E, *ones)))(sequence()) if ones else sequence()
    given = keras.Input(x.shape[1:])
    return [layer(x), keras.Model(given, layer(given))(x)]


def inside(layer: Any) -> Any:
    x = keras.Input((T, E))
    return keras.Model(x, layer(x))


def of(name: str) -> list[Any]:
    """Outputs of a layer, called in all ways in which masks reach it."""
    match name:
        case "Add" | "Average" | "Concatenate" | "Dot" | "Maximum" | "Minimum" | "Multiply" | "Subtract":
            return merging(name)
        case "Attention" | "AdditiveAttention" | "MultiHeadAttention":
            return attending(name)
        case "LSTM" | "GRU" | "SimpleRNN":
            return scanning(lambda **settings: getattr(layers, name)(3, **settings))
        case "RNN":
            return scanning(lambda **settings: layers.RNN(layers.LSTMCell(3), **settings))
        case "Bidirectional":
            return [x for merge in ("sum", "concat", None) for x in scanning(both(merge))]
        case "Embedding":
            return [sequence(True), sequence(False)]
        case "Softmax":
            numbers = layers.Reshape((T,))(layers.Dense(1)(sequence()))
            return [layers.Softmax()(numbers, mask=keras.ops.not_equal(IDS, 0)), layers.Softmax()(numbers)]
        case "CategoryEncoding" | "Discretization" | "IntegerLookup":
            return [getattr(layers, name)(**SETTINGS[name])(IDS)]
        case "RepeatVector":
            return [layers.RepeatVector(2)(layers.Flatten()(sequence()))]
    if name not in SETTINGS and re.search("[123]D", name):
        return over_maps(name)
    layer = getattr(layers, name)(**SETTINGS.get(name, {}))
    return [layer(sequence()), inside(layer)(sequence())]


def propagated(inputs: Any, outputs: list[Any]) -> list[Any]:
    """For each output its mask as read: ``None``, an array, or `OfScores`."""
    model = keras.Model(inputs, outputs)
    data, variables = describe(model, "model"), LiveVariables(model, "model")
    traversal = Traversal("model", Release(keras.__version__), in_order=True)
    tensors = traversal.model("Functional", data["config"], variables, "", None)
    return [_value(traversal, tensor.mask) for tensor in tensors]


def _value(traversal: Traversal, mask: Mask | None) -> Any:
    if mask is None or isinstance(mask, Full | OfScores):
        return mask
    value = traversal.builder.mask_value(mask)
    given = (Value(IDS.name, ("N", T), "int32"),)
    graph = Graph(given, tuple(traversal.builder.nodes), (value,))
    return reference.run(graph, [token_ids()])[0]


# A layer of two names is saved under one of them.
LAYERS = sorted({getattr(layers, name).__name__ for name in set(READERS) - set(OWN.values())})


@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask:UserWarning")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.sweep) if "3D" in name else name for name in LAYERS]
)
def test_outputs_carry_what_keras_hangs_on_them(name: str) -> None:
    outputs = of(name)
    probes = [Probe() for _ in outputs]
    keras.Model(IDS, [probe(x) for probe, x in zip(probes, outputs, strict=True)])(token_ids())
    for position, (probe, mask) in enumerate(zip(probes, propagated(IDS, outputs), strict=True)):
        if isinstance(mask, OfScores):
            assert probe.mask is not None
            assert probe.mask.ndim == 4
        elif mask is None or isinstance(mask, Full):
            assert probe.mask is None or probe.mask.all(), (position, probe.mask)
        else:
            np.testing.assert_array_equal(mask, probe.mask, err_msg=str(position))


@pytest.mark.parametrize("layer", [layers.Softmax(), layers.Multiply(), layers.Maximum()])
@pytest.mark.parametrize("causal", [False, True])
def test_what_takes_the_mask_of_scores_is_refused(layer: Any, causal: bool) -> None:
    x = sequence(not causal)
    attention = layers.MultiHeadAttention(2, 3, name="looks")
    y, scores = attention(x, x, return_attention_scores=True, use_causal_mask=causal)
    passed = layers.Activation("relu")(scores)
    taken = layer(passed) if isinstance(layer, layers.Softmax) else layer([passed, passed])
    with pytest.raises(UnsupportedError, match=r"(?s)layer .*mask=.*scores of 'looks'.*Activation"):
        keras_side.read(keras.Model(IDS, [y, taken]))
    keras_side.read(keras.Model(IDS, [y, layers.Activation("softmax")(passed)]))


def test_such_a_layer_is_not_written_either() -> None:
    x = sequence(False)
    attention = layers.MultiHeadAttention(2, 3, name="looks")
    _, scores = attention(x, x, return_attention_scores=True, use_causal_mask=True)
    graph = keras_side.read(keras.Model(IDS, layers.Activation("softmax", name="last")(scores)))
    nodes = [dataclasses.replace(node, op=Softmax()) if node.name == "last" else node for node in graph.nodes]
    with pytest.raises(UnsupportedError, match=r"'last'.*scores of 'looks'"):
        keras_side.write(Graph(graph.inputs, tuple(nodes), graph.outputs))


@pytest.mark.parametrize("masked", [(), (0,), (0, 1)], ids=str)
def test_a_model_inside_another_is_given_a_mask_for_each_of_its_inputs(masked: tuple[int, ...]) -> None:
    inner_inputs = [keras.Input((4, 3)), keras.Input((4, 3))]
    hidden = [layers.GRU(2)(one) for one in inner_inputs]
    inner = keras.Model(inner_inputs, layers.Concatenate()(hidden), name="inner")
    inputs = [keras.Input((4, 3), name=name) for name in "ab"]
    given = [layers.Masking()(one) if at in masked else one for at, one in enumerate(inputs)]
    model = quiet_model(inputs, inner(given))
    x = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    x[0, 2:] = x[1, :2] = 0
    graph = keras_side.read(model)
    assert sum(any(node.masks) for node in graph.nodes if isinstance(node.op, ops.GRU)) == len(masked)
    np.testing.assert_allclose(reference.run(graph, [x, x])[0], np.asarray(model([x, x])), atol=1e-6)
