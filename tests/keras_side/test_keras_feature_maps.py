"""Layers over one axis, two or three between batch and features: read, written, and from old files."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from old_files import FEATURE_MAPS, largest_error, unpack

import keras_side
from biport import ops, reference
from biport.errors import UnsupportedError
from biport.graph import Graph, Node, Value
from biport.ops.convolution import CONVOLUTIONS, TRANSPOSED
from biport.ops.pooling import MAXIMA, MEANS
from testing.keras_models import check_model, live_outputs, randomize

L: Any = layers  # Keras annotates fewer types than it takes.
TD = L.TimeDistributed
LIMIT = 3e-5
"""Of float32 sums of a few hundred products."""
LARGEST = 1e-5
"""Of what old versions predicted, of sizes around 10."""


def drawn(model: keras.Model) -> keras.Model:
    """Random weights, variances positive."""
    randomize(model, 3)
    for variable in model.weights:
        if "variance" in variable.name:
            variable.assign(np.abs(np.asarray(variable.value)) + 0.3)
    return model


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def predicted(model: Any, given: np.ndarray) -> Any:
    """Of a graph of TensorFlow, which has more kernels on the CPU than a call has."""
    return tf.function(model, autograph=False)(given, training=False)


def written_back(graph: Graph, inputs: list[np.ndarray], limit: float = LIMIT) -> keras.Model:
    """The graph as a Keras model, which computes what the oracle does and is read as such a graph again."""
    model = keras_side.write(graph)
    wanted = reference.run(graph, inputs)
    for found, exact in zip(live_outputs(model, inputs), wanted, strict=True):
        np.testing.assert_allclose(found, exact, limit, limit)
    for found, exact in zip(reference.run(keras_side.read(model), inputs), wanted, strict=True):
        np.testing.assert_allclose(found, exact, limit, limit)
    return model


def kinds(model: keras.Model) -> list[str]:
    return [type(layer).__name__ for layer in model.layers if not isinstance(layer, layers.InputLayer)]


def test_every_layer_over_two_axes_is_read_and_written_as_itself(tmp_path: Path) -> None:
    x = keras.Input((9, None, 4), name="x")
    chain = [
        L.Conv2D(6, (3, 2), strides=(2, 1), padding="same", groups=2, activation="relu"),
        L.MaxPooling2D((2, 3), strides=1, padding="same"),
        L.BatchNormalization(),
        L.SpatialDropout2D(0.2),
        L.ZeroPadding2D(((1, 0), (2, 1))),
        L.DepthwiseConv2D((2, 3), depth_multiplier=3, padding="same", dilation_rate=(1, 2)),
        L.SeparableConv2D(5, 2, depth_multiplier=2, strides=2, activation="tanh"),
        L.Conv2DTranspose(3, (3, 4), strides=(2, 3), padding="same", output_padding=(1, 1)),
        L.UpSampling2D((1, 2), interpolation="bilinear"),
        L.UpSampling2D(2),
        L.Cropping2D(((1, 0), (2, 1))),
        L.AveragePooling2D((2, 3), padding="same"),
    ]
    y = x
    for layer in chain:
        y = layer(y)
    outputs = [y, L.GlobalMaxPooling2D()(y), L.GlobalAveragePooling2D(keepdims=True)(y)]
    graph = check_model(drawn(keras.Model(x, outputs)), [numbers(4, 9, 7, 4)], tmp_path)
    model = written_back(graph, [numbers(4, 9, 7, 4)])
    assert kinds(model) == [
        *(type(layer).__name__ for layer in chain), "GlobalMaxPooling2D", "GlobalAveragePooling2D"
    ]  # fmt: skip
    for one, two in zip(chain, model.layers[1:], strict=False):
        settings = one.get_config()
        assert {key: value for key, value in two.get_config().items() if key not in LABELS} == {
            key: value for key, value in settings.items() if key not in LABELS
        }


LABELS = ("name", "dtype", "seed")


@pytest.mark.parametrize("steps", [4, None])
@pytest.mark.sweep
def test_pictures_at_every_step(steps: int | None, tmp_path: Path) -> None:
    """Layers, a Sequential and a functional model, one after the other."""
    x = keras.Input((steps, 9, 8, 3), name="x")
    y = TD(L.Conv2D(4, 3, activation="relu", padding="same"))(x)
    y = TD(L.BatchNormalization())(TD(L.MaxPooling2D(2))(y))
    inside = keras.Sequential([keras.Input((4, 4, 4)), L.SeparableConv2D(5, 2), L.BatchNormalization()])
    picture = keras.Input((3, 3, 5))
    both = L.Concatenate()([L.Conv2D(2, 2)(picture), L.AveragePooling2D(2, strides=1)(picture)])
    y = TD(keras.Model(picture, L.Flatten()(both)))(TD(inside)(y))
    graph = check_model(drawn(keras.Model(x, L.LSTM(3)(y))), [numbers(4, 4, 9, 8, 3)], tmp_path)
    written_back(graph, [numbers(4, 4, 9, 8, 3)])


def test_a_video_of_layers_and_a_model() -> None:
    x = keras.Input((None, 5, 4, 2), name="x")
    inside = keras.Sequential([keras.Input((2, 2, 3)), L.SeparableConv2D(4, 2), L.Flatten()])
    y = TD(inside)(TD(L.MaxPooling2D(2, padding="same", strides=2))(TD(L.Conv2D(3, 2))(x)))
    model = drawn(keras.Model(x, L.LSTM(3)(y)))
    written_back(keras_side.read(model), [numbers(3, 4, 5, 4, 2)])


@pytest.mark.sweep
def test_features_in_front() -> None:
    """Turned behind for each layer and back again; a Flatten turns them alone."""
    first: dict[str, Any] = {"data_format": "channels_first"}
    x = keras.Input((3, 9, 8), name="x")
    y = L.Conv2D(4, (3, 2), activation="softmax", **first)(x)
    y = L.BatchNormalization(axis=1)(L.MaxPooling2D((2, 1), **first)(y))
    y = L.DepthwiseConv2D(2, **first)(L.ZeroPadding2D((1, 0), **first)(y))
    outputs = [L.Flatten(**first)(y), L.Flatten()(y), L.GlobalAveragePooling2D(keepdims=True, **first)(y)]
    model = drawn(keras.Model(x, outputs))
    given = numbers(4, 3, 9, 8)
    graph = keras_side.read(model)
    for found, exact in zip(predicted(model, given), reference.run(graph, [given]), strict=True):
        np.testing.assert_allclose(found, exact, LIMIT, LIMIT)
    written_back(graph, [given])


def back(dimensions: int, **settings: Any) -> ops.TransposedConvolution:
    """A transposed convolution of 4 features to 2."""
    groups = settings.get("groups", 1)
    weight = numbers(4, 2 // groups, *settings["kernel_size"])
    return TRANSPOSED[dimensions](
        input_size=4, output_size=2, weight=weight, bias=None, dilation=(1,) * dimensions, **settings
    )


def explicit(op: ops.Op, *shape: Any) -> Graph:
    return Graph((Value("x", shape, "float32"),), (Node("y", op, ("x",)),), ("y",))


def conv(dimensions: int, padding: Any, **settings: Any) -> ops.Convolution:
    rng = np.random.default_rng(1)
    size = settings.setdefault("kernel_size", (3,) * dimensions)
    weight = rng.normal(size=(5, 4 // settings.get("groups", 1), *size)).astype("float32")
    bias = rng.normal(size=5).astype("float32")
    return CONVOLUTIONS[dimensions](
        input_size=4, output_size=5, padding=padding, weight=weight, bias=bias, **settings
    )


EXPLICIT: list[tuple[ops.Op, tuple[Any, ...], list[str]]] = [
    (conv(2, ((1, 1), (1, 1))), ("N", "H", 8, 4), ["Conv2D"]),
    (conv(1, ((2, 0),), strides=2), ("N", "T", 4), ["Conv1D"]),
    (conv(2, ((1, 0), (2, 1)), strides=2), ("N", 9, "W", 4), ["ZeroPadding2D", "Conv2D"]),
    (MAXIMA[2](pool_size=(3, 3), strides=(2, 2), padding=((1, 1), (1, 1))), ("N", 9, 8, 4), ["MaxPooling2D"]),
    (
        MEANS[2](pool_size=(3, 2), strides=(2, 2), padding=((1, 1), (0, 1))),
        ("N", "H", 8, 4),
        ["AveragePooling2D", "AveragePooling2D", "TensorOperation", "ZeroPadding2D", "ZeroPadding2D"],
    ),
    (
        ops.TimeDistributed(layer=conv(2, ((0, 1), (1, 1)), strides=2)),
        ("N", 3, 9, 8, 4),
        ["TimeDistributed", "TimeDistributed"],
    ),
    (
        back(2, kernel_size=(3, 4), strides=(2, 1), cropping=((2, 0), (1, 1))),
        ("N", "H", 8, 4),
        ["Conv2DTranspose", "Cropping2D"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("op", "shape", "wanted"), EXPLICIT, ids=lambda part: getattr(part, "kind", None))
def test_paddings_in_numbers(op: ops.Op, shape: tuple[Any, ...], wanted: list[str]) -> None:
    """A word where it says the same, else layers in front or behind."""
    sizes: dict[Any, int] = {"N": 2, "T": 7, "H": 7, "W": 6}
    given = numbers(*(sizes[size] if isinstance(size, str) else size for size in shape))
    model = written_back(explicit(op, *shape), [given])
    assert sorted(kinds(model)) == sorted(wanted)


REFUSED = [
    (conv(2, "valid", strides=(2, 2), dilation=(2, 2)), "y \\(Conv2D\\): strides=\\(2, 2\\)"),
    (
        back(1, kernel_size=(3,), strides=(2,), cropping=((0, -2),)),
        "y \\(Conv1DTranspose\\): cropping",
    ),
    (
        back(1, kernel_size=(3,), strides=(2,), cropping=((0, 0),), groups=2),
        "y \\(Conv1DTranspose\\): groups=2",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("op", "reason"), REFUSED, ids=["both", "beyond", "groups"])
def test_what_keras_has_nothing_for_is_refused_by_name(op: Any, reason: str) -> None:
    with pytest.raises(UnsupportedError, match=reason):
        keras_side.write(explicit(op, "N", *[8] * op.dimensions, 4))


def test_how_weights_are_trained_travels(tmp_path: Path) -> None:
    """Of a kernel that has another name, and of two in one layer."""
    x = keras.Input((6, 5, 3))
    y = L.DepthwiseConv2D(2, depthwise_regularizer="l2", bias_regularizer="l1")(x)
    y = L.SeparableConv2D(2, 2, depthwise_regularizer="l1", pointwise_regularizer="l2", trainable=False)(y)
    y = L.Conv2DTranspose(2, 2, kernel_regularizer="l2")(y)
    model = keras.Model(x, L.Flatten()(y))
    model.save(tmp_path / "m.keras")
    graph = keras_side.read(tmp_path / "m.keras")
    learning = [node.op.all_learning() for node in graph.nodes[:3]]
    assert sorted(learning[0][""].penalties) == ["bias", "weight"]
    assert {part: (sorted(about.frozen), sorted(about.penalties)) for part, about in learning[1].items()} == {
        "depthwise": (["weight"], ["weight"]),
        "pointwise": (["bias", "weight"], ["weight"]),
    }
    again = keras_side.read(keras_side.write(graph))
    assert [node.op.all_learning() for node in again.nodes[:3]] == learning
    frozen = ops.Learning(frozen=frozenset({"weight"}))
    separable = graph.nodes[1].op.with_learning({"depthwise": frozen})
    with pytest.warns(UserWarning, match=r"depthwise\.weight frozen, but not all"):
        keras_side.write(Graph(graph.inputs, (Node("y", separable, (graph.inputs[0].name,)),), ("y",)))


def test_weights_into_layers_that_are_there() -> None:
    """A group for each feature is one of two layers; a padding in numbers is a word, or in front."""
    x = keras.Input((5, 4, 2))
    y = L.ZeroPadding2D(((1, 0), (0, 0)))(x)
    y = L.Conv2D(2, (2, 1), strides=(2, 1), groups=2, name="groups")(y)
    y = L.DepthwiseConv2D(2, depth_multiplier=2, padding="same", name="each")(y)
    model, kernel = keras.Model(x, y), numbers(4, 1, 2, 2)
    first = ops.Conv2D(
        input_size=2, output_size=2, groups=2, kernel_size=(2, 1), strides=(2, 1), padding=((1, 0), (0, 0)),
        weight=kernel[:2, :, :, :1], bias=kernel[:2, 0, 0, 0],
    )  # fmt: skip
    second = ops.Conv2D(
        input_size=2, output_size=4, groups=2, kernel_size=(2, 2), padding=((0, 1), (0, 1)),
        weight=kernel, bias=kernel[:, 0, 0, 1],
    )  # fmt: skip
    value = Value("x", ("N", 5, 4, 2), "float32")
    nodes = (Node("groups", first, ("x",)), Node("each", second, ("groups",)))
    graph, given = Graph((value,), nodes, ("each",)), numbers(2, 5, 4, 2)
    assert keras_side.load(model, graph).filled == ("groups", "each")
    (exact,), (found,) = reference.run(graph, [given]), live_outputs(model, [given])
    np.testing.assert_allclose(found, exact, LIMIT, LIMIT)


@pytest.mark.parametrize("version", ["keras-1.2.2", "keras-2.2.4"])
def test_old_files_mean_what_they_meant(version: str, tmp_path: Path) -> None:
    """With the features last and first, which Keras 1 does not say of every layer."""
    files = list(unpack(version, tmp_path, FEATURE_MAPS))
    assert len(files) > 8
    assert {file.name: error for file in files if (error := largest_error(file)) > LARGEST} == {}


def layer_of(rng: random.Random, dimensions: int, order: str) -> Callable[[], Any]:
    """Any layer over so many axes, with any settings that Keras takes; some of them it refuses after all."""

    def each(low: int, high: int) -> Any:
        one = tuple(rng.randint(low, high) for _ in range(dimensions))
        return one if rng.random() < 0.7 else one[0]

    def edges() -> Any:
        pairs = tuple((rng.randint(0, 2), rng.randint(0, 2)) for _ in range(dimensions))
        return rng.choice([1, pairs if dimensions > 1 else pairs[0]])

    word, where = rng.choice(["valid", "same"]), {"data_format": order}
    apart: dict[str, Any] = rng.choice([{}, {"strides": each(1, 3)}, {"dilation_rate": each(1, 3)}])
    ending = {"activation": rng.choice([None, "tanh", "softmax"]), "use_bias": rng.random() < 0.7}
    windows = {"padding": word, **apart, **where}
    D = f"{dimensions}D"
    choices: list[Callable[[], Any]] = [
        lambda: getattr(L, f"Conv{D}")(4, each(1, 3), groups=rng.choice([1, 1, 2, 4]), **windows, **ending),
        lambda: getattr(L, f"Conv{D}Transpose")(
            3, each(1, 4), output_padding=rng.choice([None, None, each(0, 2)]), **windows, **ending
        ),
        lambda: getattr(L, f"MaxPooling{D}")(each(1, 3), rng.choice([None, each(1, 3)]), word, **where),
        lambda: getattr(L, f"AveragePooling{D}")(each(1, 3), rng.choice([None, each(1, 3)]), word, **where),
        lambda: getattr(L, f"GlobalMaxPooling{D}")(keepdims=rng.random() < 0.5, **where),
        lambda: getattr(L, f"GlobalAveragePooling{D}")(keepdims=rng.random() < 0.5, **where),
        lambda: getattr(L, f"ZeroPadding{D}")(edges(), **where),
        lambda: getattr(L, f"Cropping{D}")(edges(), **(where if dimensions > 1 else {})),
        lambda: getattr(L, f"UpSampling{D}")(
            rng.randint(1, 3) if dimensions == 1 else each(1, 3),
            **({} if dimensions == 1 else where),
            **({"interpolation": rng.choice(["nearest", "bilinear"])} if dimensions == 2 else {}),
        ),
    ]
    if dimensions < 3:
        multiple = {"depth_multiplier": rng.choice([1, 2, 3]), **windows, **ending}
        choices += [
            lambda: getattr(L, f"DepthwiseConv{D}")(each(1, 3), **multiple),
            lambda: getattr(L, f"SeparableConv{D}")(5, each(1, 3), **multiple),
        ]
    return rng.choice(choices)


def models(seeds: range) -> Iterator[tuple[keras.Model, np.ndarray]]:
    """One layer each, over sizes that are fixed or vary, and what it is given."""
    for seed in seeds:
        rng = random.Random(seed)
        dimensions = rng.choice([1, 2, 2, 3])
        order = rng.choice(["channels_last", "channels_last", "channels_first"])
        sizes = [rng.randint(4, 9) for _ in range(dimensions)]
        shape = [rng.choice([size, size, None]) for size in sizes]
        last = order == "channels_last"
        given, full = ((*shape, 4), (*sizes, 4)) if last else ((4, *shape), (4, *sizes))
        # Keras takes a bias for one of the last axis where that is as long, see ``_check_bias``.
        if not last and sizes[-1] - 3 <= 5:
            continue
        x = keras.Input(given)
        try:
            model = drawn(keras.Model(x, layer_of(rng, dimensions, order)()(x)))
        except ValueError:
            continue
        yield model, numbers(2, *full, seed=seed)


@pytest.mark.sweep
@pytest.mark.parametrize("start", range(0, 300, 50))
def test_any_layer_with_any_settings(start: int) -> None:
    checked = 0
    for model, given in models(range(start, start + 50)):
        try:
            wanted = predicted(model, given)
        except (ValueError, tf.errors.OpError):
            continue
        try:
            graph = keras_side.read(model)
        except UnsupportedError as problem:
            if "as many steps as filters" not in str(problem):
                raise
            continue
        (found,) = reference.run(graph, [given])
        np.testing.assert_allclose(found, wanted, LIMIT, LIMIT, err_msg=str(model.layers[1].get_config()))
        again = keras_side.write(graph)
        np.testing.assert_allclose(predicted(again, given), wanted, LIMIT, LIMIT)
        assert keras_side.read(again) == graph
        checked += 1
    assert checked > 15
