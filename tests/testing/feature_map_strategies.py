"""Hypothesis strategies: Keras models of feature maps in front of recurrence.

One layer after another is drawn over one axis, two or three, then what makes a sequence of the map, then the
recurrent layers.
"""

from __future__ import annotations

import math
import random
import warnings
from typing import Any

import keras
from hypothesis import assume, event, reject
from hypothesis import strategies as st

from testing.models import randomize
from testing.strategies import Draw, choice, one_way, seldom, sizes

layers: Any = keras.layers

LONG = 17
"""Of an axis whose size varies, at the least: no stack that is drawn here needs more."""
ACTIVATIONS = ("linear", "relu", "tanh", "elu", "sigmoid", "softplus")


def per_axis(draw: Draw, dimensions: int, lowest: int, highest: int) -> tuple[int, ...]:
    return tuple(draw(st.integers(lowest, highest)) for _ in range(dimensions))


def pairs(draw: Draw, dimensions: int) -> tuple[tuple[int, int], ...]:
    return tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in range(dimensions))


def divisor(draw: Draw, number: int) -> int:
    return draw(choice(*(size for size in range(1, number + 1) if number % size == 0)))


def layout(draw: Draw, first: bool) -> str:
    """Seldom another one than that of the model."""
    return "channels_first" if first != draw(seldom()) else "channels_last"


def channels(x: Any, data_format: str) -> int:
    return x.shape[1 if data_format == "channels_first" else -1]


def convolution(draw: Draw, x: Any, first: bool) -> Any:
    dimensions = len(x.shape) - 2
    data_format = layout(draw, first)
    features = channels(x, data_format)
    assume(features is not None)
    strided = draw(st.booleans())
    kinds = ["Conv", "Conv", *(["DepthwiseConv", "SeparableConv"] if dimensions < 3 else [])]
    kind = draw(choice(*kinds))
    causal = ["causal"] if kind == "Conv" and dimensions == 1 else []
    # Keras has one stride for all axes of a depthwise kernel.
    same_stride = (draw(st.integers(1, 3)),) * dimensions
    settings: dict[str, Any] = {
        "kernel_size": per_axis(draw, dimensions, 1, 3),
        "strides": 1 if not strided else same_stride if kind != "Conv" else per_axis(draw, dimensions, 1, 3),
        "dilation_rate": 1 if strided else per_axis(draw, dimensions, 1, 2),
        "padding": draw(choice("valid", "same", "same", *causal)),
        "data_format": data_format,
        "activation": draw(choice(*ACTIVATIONS)),
        "use_bias": not draw(seldom()),
    }
    if kind == "Conv":
        settings["groups"] = divisor(draw, features)
        settings["filters"] = settings["groups"] * draw(sizes(2))
    else:
        settings["depth_multiplier"] = draw(sizes(2))
    if kind == "SeparableConv":
        settings["filters"] = draw(sizes())
    return getattr(layers, f"{kind}{dimensions}D")(**settings)(x)


def transposed(draw: Draw, x: Any, first: bool) -> Any:
    dimensions = len(x.shape) - 2
    strides = per_axis(draw, dimensions, 1, 3)
    dilation = per_axis(draw, dimensions, 1, 2) if draw(seldom()) and set(strides) == {1} else 1
    more = None
    if draw(seldom()) and max(strides) > 1:
        more = tuple(draw(st.integers(0, stride - 1)) for stride in strides)
    return getattr(layers, f"Conv{dimensions}DTranspose")(
        draw(sizes(3)),
        per_axis(draw, dimensions, 1, 4),
        strides=strides,
        padding=draw(choice("valid", "same")),
        output_padding=more,
        dilation_rate=dilation,
        data_format=layout(draw, first),
        activation=draw(choice(*ACTIVATIONS)),
        use_bias=not draw(seldom()),
    )(x)


def pool(draw: Draw, x: Any, first: bool) -> Any:
    dimensions = len(x.shape) - 2
    kind = draw(choice("Max", "Average"))
    return getattr(layers, f"{kind}Pooling{dimensions}D")(
        per_axis(draw, dimensions, 1, 3),
        strides=draw(choice(None, per_axis(draw, dimensions, 1, 3))),
        padding=draw(choice("valid", "same")),
        data_format=layout(draw, first),
    )(x)


def resized(draw: Draw, x: Any, first: bool) -> Any:
    """Padded, cropped or repeated."""
    dimensions = len(x.shape) - 2
    data_format = {"data_format": layout(draw, first)} if dimensions > 1 else {}
    match draw(choice("pad", "crop", "repeat")):
        case "pad":
            # Of one axis alone Keras takes no pair of pairs.
            amount = pairs(draw, dimensions)
            amount = amount[0] if dimensions == 1 else amount
            return getattr(layers, f"ZeroPadding{dimensions}D")(amount, **data_format)(x)
        case "crop":
            amount = pairs(draw, dimensions)
            amount = amount[0] if dimensions == 1 else amount
            return getattr(layers, f"Cropping{dimensions}D")(amount, **data_format)(x)
    if dimensions == 1:
        return layers.UpSampling1D(draw(st.integers(1, 3)))(x)
    way = {"interpolation": draw(choice("nearest", "bilinear"))} if dimensions == 2 else {}
    return getattr(layers, f"UpSampling{dimensions}D")(
        per_axis(draw, dimensions, 1, 3), **data_format, **way
    )(x)


def normalised(draw: Draw, x: Any, first: bool) -> Any:
    axis = 1 if first != draw(seldom()) else -1
    fixed = [position for position in range(1, len(x.shape)) if x.shape[position] is not None]
    match draw(choice("batch", "batch", "layer", "group")):
        case "batch":
            assume(x.shape[axis] is not None)
            return layers.BatchNormalization(axis=axis, epsilon=draw(choice(1e-3, 1e-5)))(x)
        case "layer":
            axes = draw(st.lists(choice(*fixed), min_size=1, unique=True))
            assume(math.prod(x.shape[position] for position in axes) > 1)
            return layers.LayerNormalization(axis=sorted(axes), epsilon=1e-2)(x)
    assume(x.shape[axis] is not None)
    return layers.GroupNormalization(divisor(draw, x.shape[axis]), axis=axis, epsilon=0.1)(x)


def regularised(draw: Draw, x: Any, first: bool) -> Any:
    dimensions = len(x.shape) - 2
    options = {"data_format": layout(draw, first)} if dimensions > 1 else {}
    dropout = (
        layers.Dropout(0.3)
        if draw(st.booleans())
        else getattr(layers, f"SpatialDropout{dimensions}D")(0.3, **options)
    )
    return dropout(x)


def activated(draw: Draw, x: Any, first: bool) -> Any:
    kind = draw(choice("relu6", "leaky", "prelu", "name"))
    if kind == "name":
        return layers.Activation(draw(choice(*ACTIVATIONS)))(x)
    varying = [position for position in range(1, len(x.shape)) if x.shape[position] is None]
    shared = sorted({*varying, *range(2 if first else 1, len(x.shape) - (0 if first else 1))})
    return {
        "relu6": layers.ReLU(6.0),
        "leaky": layers.LeakyReLU(0.2),
        "prelu": layers.PReLU(shared_axes=shared),
    }[kind](x)


def joined(draw: Draw, x: Any, first: bool) -> Any:
    """A convolution beside x, joined with it by channels or added up; or weights of its channels."""
    dimensions = len(x.shape) - 2
    data_format = "channels_first" if first else "channels_last"
    features = channels(x, data_format)
    assume(features is not None)
    kind = getattr(layers, f"Conv{dimensions}D")
    if draw(seldom()):
        average = getattr(layers, f"GlobalAveragePooling{dimensions}D")(
            data_format=data_format, keepdims=True
        )(x)
        return layers.Multiply()(
            [x, kind(features, 1, activation="sigmoid", data_format=data_format)(average)]
        )
    beside = kind(features, 3, padding="same", activation="relu", data_format=data_format)(x)
    if draw(st.booleans()):
        return layers.Concatenate(axis=1 if first else -1)([x, beside])
    return getattr(layers, draw(choice("Add", "Maximum", "Average", "Multiply")))()([x, beside])


def turned(draw: Draw, x: Any, first: bool) -> Any:
    order = draw(st.permutations(range(1, len(x.shape))))
    return layers.Permute(tuple(order))(x)


STACK = (
    convolution,
    convolution,
    convolution,
    transposed,
    pool,
    pool,
    resized,
    normalised,
    normalised,
    regularised,
    activated,
    joined,
)


def sequence_of(draw: Draw, x: Any, first: bool) -> Any:
    """Steps of a map: one of its axes, the others their features."""
    dimensions = len(x.shape) - 2
    varying = [position for position in range(1, len(x.shape)) if x.shape[position] is None]
    assume(len(varying) < 2)
    if dimensions == 1:
        return layers.Permute((2, 1))(x) if first else x
    if draw(seldom()):
        kind = draw(choice("Max", "Average"))
        data_format = "channels_first" if first else "channels_last"
        whole = getattr(layers, f"Global{kind}Pooling{dimensions}D")(data_format=data_format)(x)
        return layers.Reshape((1, whole.shape[-1]))(whole)
    step = varying[0] if varying else draw(st.integers(1, len(x.shape) - 1))
    if step != 1 or draw(seldom()):
        others = [position for position in range(1, len(x.shape)) if position != step]
        x = layers.Permute((step, *draw(st.permutations(others))))(x)
    if draw(st.booleans()):
        return layers.TimeDistributed(layers.Flatten())(x)
    return layers.Reshape((-1, math.prod(x.shape[2:])))(x)


def recurrent(draw: Draw, x: Any) -> Any:
    for _ in range(draw(st.integers(1, 2))):
        if draw(st.booleans()):
            inner = one_way(draw, x, draw(sizes(3)), return_sequences=True)
            x = layers.Bidirectional(inner, merge_mode=draw(choice("concat", "sum", "mul", "ave")))(x)
        else:
            x = one_way(draw, x, draw(sizes(3)), return_sequences=True, go_backwards=draw(seldom()))(x)
    return x


@st.composite
def keras_feature_maps(draw: Draw) -> Any:
    """A functional model of one input, channels first or last, with weights of trained scale."""
    keras.utils.clear_session()
    state = random.getstate()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not support masking.*")
        try:
            model = _keras_model(draw)
        except (ValueError, NotImplementedError) as error:
            event(f"Keras does not build it: {' '.join(str(error).split())[:120]}")
            reject()
        finally:
            random.setstate(state)
    return randomize(model, draw(st.integers(0, 2**16)))


def _keras_model(draw: Draw) -> Any:
    first = draw(seldom())
    dimensions = draw(choice(1, 2, 2, 2, 3))
    over = [draw(st.integers(4, 9)) for _ in range(dimensions)]
    spatial: list[int | None] = [*over]
    if draw(st.booleans()):
        spatial[draw(st.integers(0, dimensions - 1))] = None
    features = draw(sizes(3))
    film = dimensions == 2 and draw(seldom())
    x = given = keras.Input((features, *spatial) if first else (*spatial, features), name="image")
    if film:
        return _film(draw, given, first)
    for _ in range(draw(st.integers(1, 5))):
        x = draw(choice(*STACK))(draw, x, first)
        assume(all(size is None or 1 <= size <= 60 for size in x.shape[1:]))
    if draw(seldom()):
        x = turned(draw, x, first)
    x = recurrent(draw, sequence_of(draw, x, first))
    return keras.Model(given, layers.Dense(2, activation=draw(choice("linear", "softmax")))(x))


def _film(draw: Draw, given: Any, first: bool) -> Any:
    """The same stack for each frame, by a model or layer for layer."""
    inner = keras.Input(given.shape[1:])
    x: Any = inner
    for _ in range(draw(st.integers(1, 3))):
        x = draw(choice(*STACK))(draw, x, first)
        assume(all(size is None or 1 <= size <= 60 for size in x.shape[1:]))
    kind = getattr(layers, f"Global{draw(choice('Max', 'Average'))}Pooling2D")
    x = (
        layers.Flatten()(x)
        if None not in x.shape[1:]
        else kind(data_format="channels_first" if first else "channels_last")(x)
    )
    assume(x.shape[-1] is not None)
    film = keras.Input((draw(choice(None, 3)), *given.shape[1:]), name="film")
    x = layers.TimeDistributed(keras.Model(inner, x))(film)
    return keras.Model(film, layers.Dense(2)(recurrent(draw, x)))
