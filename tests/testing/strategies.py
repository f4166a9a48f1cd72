"""Hypothesis strategies: functional Keras models of every layer biport knows, and recurrent graphs.

A model is drawn layer by layer, each of them chosen among those that its input's shape allows. What Keras
refuses to build all the same is counted and left out.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from hypothesis import assume, event, reject
from hypothesis import strategies as st

from biport import ops
from biport.dims import known
from biport.graph import Graph, Node, Value
from biport.ops import ACTIVATIONS, MERGE_MODES
from export.onnx.fused_node import FUSED
from keras_side.layers import LearnedAverage
from keras_side.require import register
from keras_side.shared.activations import write_activation
from testing.graphs import cell
from testing.models import randomize

layers: Any = keras.layers
register()

ROWS = 9
LONGEST = 6
WIDEST = 4
CELLS = ("LSTM", "GRU", "SimpleRNN")
BOUNDED = (
    *("tanh", "sigmoid", "hard_sigmoid", "hard_sigmoid_keras2"),
    *("softsign", "hard_tanh", "sparse_sigmoid", "softmax"),
)
GROWING = ("exponential", "squareplus", "sparse_plus", "softplus")
STABLE = tuple(name for name in ACTIVATIONS if name not in GROWING)
"""What a recurrence may have; even of these, most that have no bound leave the range of float32 at times."""

Draw = Callable[[st.SearchStrategy], Any]


def choice(*options: Any) -> st.SearchStrategy:
    return st.sampled_from(options)


def sizes(largest: int = WIDEST) -> st.SearchStrategy[int]:
    return st.integers(1, largest)


def seldom() -> st.SearchStrategy[bool]:
    """True about once in five times, and where hypothesis looks for the simplest case, false."""
    return st.integers(0, 4).map(lambda number: number == 4)


def mostly(*options: Any, otherwise: Sequence[Any]) -> st.SearchStrategy:
    """One of ``options``, or once in ten times one of ``otherwise``."""
    return st.integers(0, 9).flatmap(lambda number: choice(*(otherwise if number == 9 else options)))


activations = st.one_of(choice(*FUSED), choice(*ACTIVATIONS)).map(write_activation)
gates = mostly(*BOUNDED, otherwise=STABLE).map(write_activation)
candidates = mostly(*BOUNDED, "relu", "elu", "leaky_relu", otherwise=STABLE).map(write_activation)


@dataclass
class Drawing:
    """What has been drawn of one model.

    Args:
        draw: hypothesis' function.
        states: final states that something further on may start from, a list for each layer.
        outputs: what the model gives beside its last tensors.
    """

    draw: Draw
    states: list[list[Any]] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)

    def one_of(self, *options: Any) -> Any:
        return self.draw(choice(*options))


def is_sequence(x: Any) -> bool:
    return len(x.shape) == 3


def cell_settings(draw: Draw, kind: str) -> dict[str, Any]:
    """What a cell computes; all but its size."""
    settings: dict[str, Any] = {"activation": draw(candidates), "use_bias": not draw(seldom())}
    if kind != "SimpleRNN":
        settings["recurrent_activation"] = draw(gates)
    if kind == "GRU":
        settings["reset_after"] = draw(st.booleans())
    if draw(seldom()):
        settings |= {"dropout": 0.3, "recurrent_dropout": 0.2}
    return settings


def walk_settings(draw: Draw, x: Any, both_ways: bool = False) -> dict[str, Any]:
    """How a layer walks."""
    walk: dict[str, Any] = {"return_sequences": not draw(seldom()), "return_state": draw(seldom())}
    if not both_ways:
        walk |= {"go_backwards": draw(seldom()), "zero_output_for_mask": draw(seldom())}
    if x.shape[1] is not None and draw(seldom()):
        walk["unroll"] = x.shape[1] > 1
    return walk


def one_way(draw: Draw, x: Any, units: int | None = None, **walk: Any) -> Any:
    """A recurrent layer of one direction: of a kind, around one cell, or around several."""
    shape = draw(choice("layer", "layer", "layer", "cell", "cells"))
    if shape == "layer":
        kind = draw(choice(*CELLS))
        settings = cell_settings(draw, kind)
        return getattr(layers, kind)(units or draw(sizes()), **settings, **walk)
    count = 1 if shape == "cell" else draw(st.integers(1, 3))
    # Keras fails to run a stack of a single LSTM: it takes the two states for two cells'.
    kinds = [draw(choice(*(CELLS[1:] if shape == "cells" and count == 1 else CELLS))) for _ in range(count)]
    widths = [*(draw(sizes()) for _ in kinds[1:]), units or draw(sizes())]
    cells = [
        getattr(layers, f"{kind}Cell")(width, **cell_settings(draw, kind))
        for kind, width in zip(kinds, widths, strict=True)
    ]
    return layers.RNN(cells[0] if shape == "cell" else layers.StackedRNNCells(cells), **walk)


def both_ways(draw: Draw, x: Any) -> tuple[Any, bool]:
    """A Bidirectional, its backward layer a copy or its own, and whether its halves are of one size."""
    walk = walk_settings(draw, x, both_ways=True)
    merge = draw(choice(*MERGE_MODES))
    units = draw(sizes())
    forward = one_way(draw, x, units, **walk)
    own, other = {}, units
    if draw(seldom()):
        other = draw(sizes()) if merge in ("concat", None) and not walk["return_state"] else units
        own["backward_layer"] = one_way(draw, x, other, go_backwards=True, **walk)
    return layers.Bidirectional(forward, merge_mode=merge, **own), other == units


def recurrent(drawing: Drawing, x: Any) -> Any:
    """A recurrent layer, from initial states where some fit, and its output; its states are kept."""
    draw = drawing.draw
    if draw(st.integers(0, 2)) == 0:
        layer, balanced = both_ways(draw, x)
        if not balanced:
            # Keras takes the halves for equal and is wrong about the output's shape: nothing can follow.
            drawing.outputs += keras.tree.flatten(layer(x))
            return x
    else:
        layer = one_way(draw, x, **walk_settings(draw, x))
    layer.build(x.shape)
    made = keras.tree.flatten(layer(x, **initial_states(drawing, layer)))
    half = layer.forward_layer if isinstance(layer, layers.Bidirectional) else layer
    outputs = 2 if isinstance(layer, layers.Bidirectional) and layer.merge_mode is None else 1
    if half.return_state:
        drawing.states.append(made[outputs:])
        if draw(seldom()):
            drawing.outputs += made[outputs:]
    return made[0] if outputs == 1 else joined(draw, made[:2])


def joined(draw: Draw, pair: Sequence[Any]) -> Any:
    """Two halves that were not merged, put together by a layer."""
    if pair[0].shape[-1] == pair[1].shape[-1] and draw(st.booleans()):
        return getattr(layers, draw(choice("Add", "Multiply", "Maximum", "Average")))()(list(pair))
    return layers.Concatenate()(list(pair))


def initial_states(drawing: Drawing, layer: Any) -> dict[str, Any]:
    """States of an earlier layer to start from, resized where they do not fit; or none."""
    draw = drawing.draw
    if not drawing.states or draw(st.booleans()):
        return {}
    wanted = state_sizes(layer)
    if isinstance(layer, layers.Bidirectional):
        one, two = (
            keras.tree.flatten(state_sizes(half)) for half in (layer.forward_layer, layer.backward_layer)
        )
        if len(one) != len(two):
            # Keras cuts the list in the middle.
            return {}
    found = [state for states in drawing.states for state in states]
    given = [draw(choice(*found)) for _ in keras.tree.flatten(wanted)]
    made = [
        state if state.shape[-1] == size else layers.Dense(size, activation="tanh")(state)
        for state, size in zip(given, keras.tree.flatten(wanted), strict=True)
    ]
    return {"initial_state": keras.tree.pack_sequence_as(wanted, made)}


def state_sizes(layer: Any) -> Any:
    """The sizes of a layer's states, nested as Keras nests them."""
    if isinstance(layer, layers.Bidirectional):
        halves = [state_sizes(layer.forward_layer), state_sizes(layer.backward_layer)]
        return [*halves[0], *halves[1]]
    size = layer.state_size if hasattr(layer, "state_size") else layer.cell.state_size
    return [size] if isinstance(size, int) else list(size)


def elementwise(drawing: Drawing, x: Any) -> Any:
    """A layer that leaves shape and mask alone."""
    draw = drawing.draw
    last = x.shape[-1]
    options: dict[str, Callable[[], Any]] = {
        "Dense": lambda: layers.Dense(draw(sizes()), draw(activations), use_bias=draw(st.booleans())),
        "Activation": lambda: layers.Activation(draw(activations)),
        "ReLU": lambda: layers.ReLU(
            draw(choice(None, 0.7, 6.0)), draw(choice(0.0, 0.25)), draw(choice(0.0, 0.5))
        ),
        "LeakyReLU": lambda: layers.LeakyReLU(draw(choice(0.2, 0.3))),
        "ELU": lambda: layers.ELU(draw(choice(1.0, 0.4))),
        "PReLU": lambda: layers.PReLU(shared_axes=[1] if is_sequence(x) else None),
        "Dropout": lambda: layers.Dropout(0.3),
        "GaussianDropout": lambda: layers.GaussianDropout(0.3),
        "AlphaDropout": lambda: layers.AlphaDropout(0.3),
        "GaussianNoise": lambda: layers.GaussianNoise(0.3),
        "Identity": lambda: layers.Identity(),
        "ActivityRegularization": lambda: layers.ActivityRegularization(0.1, 0.1),
        "RMSNormalization": lambda: layers.RMSNormalization(epsilon=draw(choice(1e-3, 0.1))),
        "Rescaling": lambda: layers.Rescaling(draw(choice(0.5, [0.3] * last)), draw(choice(0.0, -0.1))),
        "Normalization": lambda: layers.Normalization(mean=0.1, variance=0.5, invert=draw(st.booleans())),
        "BatchNormalization": lambda: layers.BatchNormalization(
            scale=draw(st.booleans()), center=draw(st.booleans()), epsilon=draw(choice(1e-3, 1e-5))
        ),
    }
    if last > 1:
        # Over one feature the variance is zero and the result is beta alone.
        options["LayerNormalization"] = lambda: layers.LayerNormalization(
            scale=draw(st.booleans()), center=draw(st.booleans()), epsilon=draw(choice(1e-3, 1e-2))
        )
        groups = draw(choice(*(size for size in range(1, last) if last % size == 0)))
        options["GroupNormalization"] = lambda: layers.GroupNormalization(groups, epsilon=0.1)
        # Of one feature it is the sign, which rounding turns around.
        options["UnitNormalization"] = lambda: layers.UnitNormalization()
        # Under a mask a Softmax is supported over (N, T) only.
        if getattr(x, "_keras_mask", None) is None:
            options["Softmax"] = lambda: layers.Softmax()
    return options[drawing.one_of(*options)]()(x)


def windows(drawing: Drawing, x: Any) -> Any:
    """Convolution or pooling over windows."""
    draw = drawing.draw
    padding = draw(choice("valid", "same"))
    if drawing.one_of("conv", "pool") == "pool":
        kind = draw(choice("MaxPooling1D", "AveragePooling1D"))
        size = draw(st.integers(1, 3))
        assume(padding == "same" or x.shape[1] is None or x.shape[1] >= size)
        return getattr(layers, kind)(size, draw(choice(None, 1, 2, 3)), padding)(x)
    padding = draw(choice("same", "causal", "valid"))
    size, dilation = draw(st.integers(1, 3)), draw(choice(1, 1, 2))
    span = (size - 1) * dilation + 1
    assume(padding != "valid" or x.shape[1] is None or x.shape[1] >= span)
    groups = draw(choice(*(g for g in (1, 2, 3, 4) if x.shape[-1] % g == 0)))
    return layers.Conv1D(
        groups * draw(sizes(2)), size, draw(st.integers(1, 3)) if dilation == 1 else 1, padding,
        dilation_rate=dilation, groups=groups, activation=draw(activations), use_bias=draw(st.booleans()),
    )(x)  # fmt: skip


def lengths(drawing: Drawing, x: Any) -> Any:
    """A layer that changes how many steps there are, or a Reshape or Permute."""
    draw = drawing.draw
    before, behind = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    kinds = ["pad", "crop", "repeat", "reshape"]
    kinds += ["permute"] if x.shape[1] is not None else []
    match drawing.one_of(*kinds):
        case "pad":
            return layers.ZeroPadding1D((before, behind))(x)
        case "crop":
            if x.shape[1] is None or x.shape[1] <= before + behind:
                x = layers.ZeroPadding1D(2)(x)
            return layers.Cropping1D((before, behind))(x)
        case "repeat":
            return layers.UpSampling1D(draw(st.integers(1, 3)))(x)
        case "permute":
            return layers.Permute(draw(choice((2, 1), (1, 2))))(x)
    divisors = [size for size in range(1, 5) if x.shape[-1] % size == 0]
    return layers.Reshape((-1, draw(choice(*divisors))))(x)


def steps(drawing: Drawing, x: Any) -> Any:
    """TimeDistributed around a layer of vectors, or around one of sequences."""
    draw = drawing.draw
    if draw(seldom()):
        wide = layers.Reshape((-1, 1, x.shape[-1]))(x)
        inner = draw(choice("rnn", "pool", "conv"))
        layer = {
            "rnn": lambda: one_way(draw, wide, return_sequences=False),
            "pool": lambda: layers.GlobalMaxPooling1D(),
            "conv": lambda: layers.Conv1D(draw(sizes()), 1),
        }[inner]()
        made = layers.TimeDistributed(layer)(wide)
        return made if is_sequence(made) else layers.Reshape((-1, made.shape[-1]))(made)
    layer = draw(choice("dense", "norm", "activation", "dropout", "batch"))
    return layers.TimeDistributed(
        {
            "dense": lambda: layers.Dense(draw(sizes()), draw(activations)),
            "norm": lambda: layers.LayerNormalization(),
            "activation": lambda: layers.Activation(draw(activations)),
            "dropout": lambda: layers.Dropout(0.2),
            "batch": lambda: layers.BatchNormalization(),
        }[layer]()
    )(x)


def branches(drawing: Drawing, x: Any) -> Any:
    """Two or three ways from ``x``, merged again."""
    draw = drawing.draw
    kind = drawing.one_of(
        *("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "time"),
        *("Dot", "LearnedAverage", "attention", "attention"),
    )
    if not is_sequence(x) and kind in ("time", "attention"):
        kind = "Concatenate"
    two = kind in ("Subtract", "Dot", "LearnedAverage", "attention")
    ways = [x, *(branch(drawing, x) for _ in range(1 if two else draw(choice(1, 2))))]
    if kind == "Concatenate":
        return layers.Concatenate()(ways)
    if kind == "Dot":
        return scored(drawing, ways)
    if kind == "attention":
        return attention(drawing, *ways)
    ways = [way if way.shape[-1] == x.shape[-1] else layers.Dense(x.shape[-1])(way) for way in ways]
    if draw(seldom()):
        ways.reverse()
    if kind == "time":
        return layers.Concatenate(axis=1)(ways)
    if kind == "LearnedAverage":
        return LearnedAverage(per_unit=draw(st.booleans()))(ways)
    return getattr(layers, kind)()(ways)


def branch(drawing: Drawing, x: Any) -> Any:
    """A way that keeps the number of steps."""
    draw = drawing.draw
    if is_sequence(x) and draw(st.booleans()):
        walk = {"return_sequences": True, "go_backwards": draw(seldom())}
        return one_way(draw, x, x.shape[-1], **walk)(x)
    if is_sequence(x) and draw(seldom()):
        return layers.Conv1D(x.shape[-1], 2, padding="same")(x)
    return elementwise(drawing, x)


def scored(drawing: Drawing, ways: Sequence[Any]) -> Any:
    """Scores of every step against every other, over which a Softmax may go; vectors give a number."""
    one, two = ways
    if one.shape[-1] != two.shape[-1]:
        two = layers.Dense(one.shape[-1])(two)
    scores = layers.Dot(axes=-1, normalize=drawing.draw(seldom()))([one, two])
    if not is_sequence(one):
        return scores
    if drawing.draw(st.booleans()):
        scores = layers.Softmax()(scores)
    return layers.Dot(axes=(2, 1))([scores, two])


def attention(drawing: Drawing, queries: Any, values: Any) -> Any:
    """An attention layer, of one head or of many, with keys of its own or the values as keys."""
    draw = drawing.draw
    options: dict[str, Any] = {"use_causal_mask": True} if draw(seldom()) else {}
    if draw(seldom()):
        options["return_attention_scores"] = True
    many = draw(st.booleans())
    if many:
        layer = layers.MultiHeadAttention(
            draw(sizes(2)), draw(sizes()), draw(choice(None, 1, 3)), use_bias=draw(st.booleans())
        )
        keys = layers.Dense(draw(sizes()))(values)
    else:
        scale, mode = draw(st.booleans()), draw(choice("dot", "concat", "additive"))
        additive = mode == "additive"
        layer = layers.AdditiveAttention(scale) if additive else layers.Attention(scale, mode)
        width = queries.shape[-1]
        keys = values if values.shape[-1] == width else layers.Dense(width)(values)
        values = layers.Dense(draw(sizes()))(values) if draw(st.booleans()) else keys
    sequences = [queries, values] if keys is values or draw(st.booleans()) else [queries, values, keys]
    if not many and len(sequences) == 2:
        sequences = [queries, keys]
    made = keras.tree.flatten(layer(*sequences, **options) if many else layer(sequences, **options))
    drawing.outputs += made[1:]
    return made[0]


def inside(drawing: Drawing, x: Any) -> Any:
    """A model in the model, functional or Sequential, which may be called twice."""
    draw = drawing.draw
    inner: Any = keras.Input(x.shape[1:])
    if is_sequence(x) and draw(st.booleans()):
        parts = [inner, one_way(draw, inner, x.shape[-1], return_sequences=True), layers.Dense(x.shape[-1])]
        model: Any = keras.Sequential(parts)
    else:
        part = Drawing(draw)
        made: Any = layer_on(part, inner, deep=False)
        made = made if made.shape[-1] == x.shape[-1] else layers.Dense(x.shape[-1])(made)
        model = keras.Model(inner, made)
    again = draw(seldom()) and model.outputs[0].shape == inner.shape
    return model(model(x)) if again else model(x)


def shared(drawing: Drawing, x: Any) -> Any:
    """One layer called twice."""
    draw = drawing.draw
    width = x.shape[-1]
    if is_sequence(x) and draw(st.booleans()):
        layer = one_way(draw, x, width, return_sequences=True)
    elif draw(st.booleans()):
        layer = layers.Dense(width, activation="tanh")
    else:
        layer = layers.BatchNormalization()
    return layer(layer(x)) if draw(st.booleans()) else layers.Add()([layer(x), layer(layer(x))])


def given_mask(drawing: Drawing, x: Any) -> Any:
    """A layer that ends the mask, or a Masking in the middle of the model, which starts one."""
    draw = drawing.draw
    return layers.Masking(0.0)(layers.ReLU()(x)) if draw(st.booleans()) else layers.SpatialDropout1D(0.2)(x)


def layer_on(drawing: Drawing, x: Any, deep: bool = True) -> Any:
    """One more layer on a sequence or a vector."""
    kinds: list[Callable[[Drawing, Any], Any]]
    if is_sequence(x):
        kinds = [
            recurrent,
            recurrent,
            recurrent,
            recurrent,
            elementwise,
            elementwise,
            windows,
            lengths,
            steps,
        ]
        kinds += [branches, branches, shared, given_mask] + ([inside] if deep else [])
    else:
        kinds = [elementwise, elementwise, branches, repeated, shared] + ([inside] if deep else [])
    return drawing.one_of(*kinds)(drawing, x)


def repeated(drawing: Drawing, x: Any) -> Any:
    return layers.RepeatVector(drawing.draw(sizes()))(x)


def start(drawing: Drawing, number: int) -> tuple[Any, Any]:
    """An input and the sequence made of it, masked or not."""
    draw = drawing.draw
    steps = draw(choice(None, None, None, 1, LONGEST - 1, LONGEST))
    if draw(st.integers(0, 3)):
        dtype = draw(choice("int32", "int32", "int64", "float32"))
        ids = keras.Input((steps,), dtype=dtype, name=f"ids_{number}")
        return ids, layers.Embedding(ROWS, draw(sizes()), mask_zero=draw(st.integers(0, 3)) > 0)(ids)
    x = keras.Input((steps, draw(sizes())), name=f"x_{number}")
    masked = draw(st.booleans())
    return x, layers.Masking(draw(choice(0.0, 0.5, -1.0)))(x) if masked else x


def merged_start(drawing: Drawing, one: Any, two: Any) -> Any:
    """Two sequences of one length, each with a mask of its own, made one."""
    if two.shape[-1] != one.shape[-1]:
        two = layers.Dense(one.shape[-1])(two)
    kind = drawing.one_of("Concatenate", "Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")
    return getattr(layers, kind)()([one, two])


def end(drawing: Drawing, x: Any) -> Any:
    """A sequence to what the model gives, often a vector."""
    if not is_sequence(x):
        return x
    draw = drawing.draw
    fixed = ["flatten"] if x.shape[1] is not None else []
    match drawing.one_of("last", "last", "sequence", "max", "average", *fixed):
        case "last":
            return one_way(draw, x, go_backwards=draw(seldom()))(x)
        case "max":
            return layers.GlobalMaxPooling1D(keepdims=draw(seldom()))(x)
        case "average":
            return layers.GlobalAveragePooling1D(keepdims=draw(seldom()))(x)
        case "flatten":
            return layers.Flatten()(x)
    return x


@st.composite
def keras_models(draw: Draw) -> Any:
    """A functional model of one or two inputs, one output or more, and weights of trained scale."""
    keras.utils.clear_session()
    # Keras draws seeds of layers from the random module, which hypothesis keeps for itself.
    state = random.getstate()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not support masking.*")
        warnings.filterwarnings("ignore", message=".*using a softmax over axis.*")
        try:
            model = _model(draw)
        except ValueError as error:
            event(f"Keras does not build it: {' '.join(str(error).split())[:120]}")
            reject()
        finally:
            random.setstate(state)
    return randomize(model, draw(st.integers(0, 2**16)))


def _model(draw: Draw) -> Any:
    drawing = Drawing(draw)
    outputs = []
    starts = [start(drawing, number) for number in range(1 + draw(seldom()))]
    inputs = [given for given, _ in starts]
    if len(starts) == 2 and starts[0][1].shape[1] == starts[1][1].shape[1]:
        starts = [(inputs[0], merged_start(drawing, starts[0][1], starts[1][1]))]
    for number, (_, x) in enumerate(starts):
        for _ in range(draw(st.integers(1, 4 if number == 0 else 2))):
            x = layer_on(drawing, x)
        outputs.append(end(drawing, x))
    ranks = {len(x.shape) for x in outputs}
    if len(outputs) > 1 and ranks == {2} and draw(st.booleans()):
        outputs = [layers.Concatenate()(outputs)]
    if draw(st.booleans()):
        outputs = [
            layers.Dense(2, activation=draw(choice("sigmoid", "softmax", "linear")))(x) for x in outputs
        ]
    made = [*outputs, *drawing.outputs]
    assume(all(x is not given for x in made for given in inputs))
    return keras.Model(inputs, made)


KINDS = (ops.LSTM, ops.GRU, ops.RNN)


@st.composite
def recurrent_graphs(draw: Draw) -> Graph:
    """One to three masked recurrent layers; the last gives every step, or the last one and the states.

    Only the last may give its steps in the reverse order: under the mask of the others, in the order of time,
    padding would lie elsewhere.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    width, nodes, x = draw(sizes()), [], "x"
    inputs = Value("x", ("N", "T", width), "float32"), Value("mask", ("N", "T"), "bool")
    for number in reversed(range(draw(st.integers(1, 3)))):
        whole = number > 0 or draw(st.booleans())
        op = _recurrent(draw, rng, width, whole, last=number == 0)
        name = f"layer_{len(nodes)}"
        names = (name,) if op.output_count == 1 else tuple(f"{name}:{i}" for i in range(op.output_count))
        nodes.append(Node(name, op, (x,), names, ("mask",)))
        x = names[0]
        width = known(Graph(inputs, tuple(nodes), (x,)).tensors[x].shape[-1])
    return Graph(inputs, tuple(nodes), nodes[-1].outputs)


def _recurrent(draw: Draw, rng: np.random.Generator, width: int, whole: bool, last: bool) -> Any:
    walk: dict[str, Any] = {"return_sequences": whole, "return_state": last and not whole}
    size, kind = draw(sizes()), draw(choice(*KINDS))
    settings = {"reset_after": draw(st.booleans())} if kind is ops.GRU else {}
    shape = draw(choice("one way", "both ways", "stack"))
    if shape == "both ways":
        walk["zero_output_for_mask"] = whole
        merge = draw(choice("concat", "sum", "mul", "ave"))
        halves = [
            cell(rng, kind, width, size, **settings, **walk, reverse=reverse) for reverse in (False, True)
        ]
        return ops.Bidirectional(forward=halves[0], backward=halves[1], merge=merge)
    # Without every step, Keras gives zeros where the last one is padding.
    zero = whole and draw(st.booleans())
    walk |= {"reverse": last and draw(st.booleans()), "zero_output_for_mask": zero}
    if shape == "one way":
        return cell(rng, kind, width, size, **settings, **walk)
    cells = cell(rng, kind, width, size, **settings), cell(rng, draw(choice(*KINDS)), size, draw(sizes()))
    return ops.StackedRNN(cells=cells, **walk)
