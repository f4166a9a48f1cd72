"""From the state of a module back to its op, and what is seen of a module that was changed since."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import biport.reference
import torch_side
from biport import ops
from biport.errors import WeightError
from biport.graph import Graph, Node, Value
from biport.ops.conv_lstm import CONV_LSTMS
from biport.ops.convolution import CONVOLUTIONS, TRANSPOSED
from testing import scans
from testing.graphs import cell, conv_lstm, dense, embedding, normal
from testing.torch_graphs import bidirectional, data, lstm, one, worst
from torch_side.registry import PARTS, STATES
from torch_side.state import in_source, op_of, shapes_of, with_state


def heads(rng: np.random.Generator, biases: bool) -> ops.MultiHeadAttention:
    shapes = {"query": (6, 3), "key": (6, 4), "value": (10, 5), "output": (7, 10)}
    arrays: dict[str, Any] = {f"{part}_weight": normal(rng, *shape) for part, shape in shapes.items()}
    arrays |= {f"{part}_bias": normal(rng, shape[0]) if biases else None for part, shape in shapes.items()}
    return ops.MultiHeadAttention(num_heads=2, key_size=3, value_size=5, **arrays)


def stacked(rng: np.random.Generator, **scan: Any) -> ops.StackedRNN:
    first = cell(rng, ops.LSTM, 3, 4)
    return ops.StackedRNN(cells=(first, cell(rng, ops.GRU, 4, 2, reset_after=False)), **scan)


def both(rng: np.random.Generator, make: Callable[..., Any]) -> ops.Bidirectional:
    return ops.Bidirectional(forward=make(rng), backward=make(rng, reverse=True), merge="concat")


def convolution(rng: np.random.Generator, dimensions: int, **settings: Any) -> Any:
    """Of 4 features to 6, in two groups."""
    kernel = tuple(range(1, dimensions + 1))
    given = {"input_size": 4, "output_size": 6, "kernel_size": kernel, "groups": 2} | settings
    weight = normal(rng, given["output_size"], given["input_size"] // given["groups"], *given["kernel_size"])
    bias = normal(rng, given["output_size"])
    return CONVOLUTIONS[dimensions](**{"bias": bias, "weight": weight, **given})


def transposed(rng: np.random.Generator, dimensions: int) -> ops.Op:
    kernel = tuple(range(1, dimensions + 1))
    steps = dict.fromkeys(("strides", "dilation"), (1,) * dimensions)
    sizes = {"input_size": 4, "output_size": 6, "kernel_size": kernel, "groups": 2, **steps}
    cropping, weight = ((0, 0),) * dimensions, normal(rng, 4, 3, *kernel)
    return TRANSPOSED[dimensions](**sizes, cropping=cropping, weight=weight, bias=normal(rng, 6))


def separable(rng: np.random.Generator, dimensions: int) -> ops.Op:
    depthwise = convolution(rng, dimensions, output_size=8, groups=4, bias=None)
    ones = {"input_size": 8, "kernel_size": (1,) * dimensions, "groups": 1}
    kind = (ops.SeparableConv1D, ops.SeparableConv2D)[dimensions - 1]
    return kind(depthwise=depthwise, pointwise=convolution(rng, dimensions, **ones))


WITH_WEIGHTS: dict[str, Callable[[np.random.Generator], ops.Op]] = {
    "PReLU": lambda rng: ops.PReLU(alpha=normal(rng, 1, 4)),
    "Attention": lambda rng: ops.Attention(
        score_mode="concat", scale=normal(rng, 1)[0, ...], score_weight=normal(rng, 1)[0, ...]
    ),
    "AdditiveAttention": lambda rng: ops.AdditiveAttention(scale=normal(rng, 5)),
    "MultiHeadAttention": lambda rng: heads(rng, True),
    "MultiHeadAttention without biases": lambda rng: heads(rng, False),
    **{f"Conv{n}D in groups": lambda rng, n=n: convolution(rng, n) for n in CONVOLUTIONS},
    **{f"Conv{n}DTranspose": lambda rng, n=n: transposed(rng, n) for n in TRANSPOSED},
    **{f"SeparableConv{n}D": lambda rng, n=n: separable(rng, n) for n in (1, 2)},
    "Dense": lambda rng: dense(rng, 3, 4),
    "Dense without a bias": lambda rng: ops.Dense(
        input_size=3, output_size=4, weight=normal(rng, 4, 3), bias=None
    ),
    "Embedding": lambda rng: embedding(rng, 5),
    "LearnedAverage": lambda rng: ops.LearnedAverage(weight=normal(rng, 4)),
    "BatchNormalization": lambda rng: ops.BatchNormalization(
        size=4, weight=normal(rng, 4), bias=None, mean=normal(rng, 4), variance=normal(rng, 4) ** 2
    ),
    "LayerNormalization": lambda rng: ops.LayerNormalization(weight=normal(rng, 4), bias=normal(rng, 4)),
    "LayerNormalization without weights": lambda rng: ops.LayerNormalization(weight=None, bias=None),
    "RMSNormalization": lambda rng: ops.RMSNormalization(weight=normal(rng, 4)),
    "GroupNormalization": lambda rng: ops.GroupNormalization(groups=2, weight=None, bias=normal(rng, 4)),
    "Normalization": lambda rng: ops.Normalization(mean=normal(rng, 4), variance=normal(rng, 4) ** 2),
    "CategoryEncoding": lambda rng: ops.CategoryEncoding(num_tokens=4),
    "LSTM": lambda rng: cell(rng, ops.LSTM, 3, 4),
    "LSTM of two biases": lambda rng: cell(rng, ops.LSTM, 3, 4, biases=2),
    "LSTM without biases": lambda rng: cell(rng, ops.LSTM, 3, 4, biases=0),
    "GRU": lambda rng: cell(rng, ops.GRU, 3, 4),
    "GRU, reset before": lambda rng: cell(rng, ops.GRU, 3, 4, reset_after=False),
    "RNN": lambda rng: cell(rng, ops.RNN, 3, 4),
    **{
        f"ConvLSTM{n}D": lambda rng, n=n: conv_lstm(rng, n, 3, 4, (1, 2, 3)[:n], biased=n != 2)
        for n in CONV_LSTMS
    },
    "Bidirectional of images": lambda rng: both(
        rng, lambda rng, **way: conv_lstm(rng, 2, 3, 4, (1, 2), **way)
    ),
    "StackedRNN": stacked,
    "Bidirectional": lambda rng: both(rng, lambda rng, **way: cell(rng, ops.LSTM, 3, 4, **way)),
    "Bidirectional, a pair": lambda rng: both(
        rng, lambda rng, **way: cell(rng, ops.LSTM, 3, 4, activation="relu", **way)
    ),
    "Bidirectional of stacks": lambda rng: both(rng, stacked),
    "Constant": lambda rng: ops.Constant(value=normal(rng, 2, 3)),
    "Parameter": lambda rng: ops.Parameter(value=normal(rng, 3)),
    "Scan": scans.ind_rnn,
    "Scan of cells": scans.nested_cells,
    "TimeDistributed": lambda rng: ops.TimeDistributed(layer=dense(rng, 3, 4)),
}


def state_of(op: ops.Op) -> dict[str, np.ndarray]:
    return dict(STATES.lookup(type(op), op.kind)(op))


def back(op: ops.Op, state: dict[str, np.ndarray]) -> ops.Op:
    if type(op) in PARTS:
        unknown = {path: np.zeros_like(array) for path, array in op.weights().items()}
        return with_state("layer", type(op).build(op.settings(), {**unknown, **in_source(op)}), state)
    return op_of("layer", type(op), op.settings(), shapes_of(op), state)


def test_every_op_with_weights_is_among_these() -> None:
    made = {type(make(np.random.default_rng(0))) for make in WITH_WEIGHTS.values()}
    assert set(STATES._functions) == made


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_an_op_comes_back_from_its_state_bit_for_bit(name: str) -> None:
    op = WITH_WEIGHTS[name](np.random.default_rng(1))
    state = state_of(op)
    assert back(op, state) == op
    if not op.weights():
        return
    wide = op.astype("float64")
    assert back(op, {path: np.asarray(array, "float64") for path, array in state.items()}) == wide


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_a_tensor_of_another_shape_or_of_no_number_is_refused_by_its_name(name: str) -> None:
    op = WITH_WEIGHTS[name](np.random.default_rng(1))
    if not op.weights():
        return
    state = state_of(op)
    for path in [path for path, array in state.items() if array.dtype.kind == "f"]:
        longer = np.concatenate([state[path].ravel(), np.ones(1, "float32")])
        with pytest.raises(WeightError, match=rf"^layer: {path} should be of shape"):
            back(op, state | {path: longer})
        with pytest.raises(WeightError, match=rf"^layer: {path} should be of shape .* found none"):
            back(op, {other: array for other, array in state.items() if other != path})
        if name != "Constant":
            bad = state[path].copy()
            bad.flat[-1] = np.nan
            with pytest.raises(WeightError, match=r"^layer: .*NaN"):
                back(op, state | {path: bad})


ONE_BIAS = ("LSTM", "GRU, reset before", "RNN", "StackedRNN", "Bidirectional", "Bidirectional of stacks")


@pytest.mark.parametrize("name", ONE_BIAS)
def test_a_second_bias_that_has_grown_is_a_weight(name: str) -> None:
    op = WITH_WEIGHTS[name](np.random.default_rng(1))
    state = state_of(op)
    grown = next(reversed([path for path in state if "bias_hh" in path]))
    assert not state[grown].any()
    state[grown] = normal(np.random.default_rng(2), *state[grown].shape)
    now = back(op, state)
    assert state_of(now).keys() == state.keys()
    for path, array in state_of(now).items():
        np.testing.assert_array_equal(array, state[path])


@pytest.mark.parametrize("biases", ["one", "two"])
@pytest.mark.parametrize("masked", [False, True])
def test_a_second_bias_grows_in_training_only_where_it_may(biases: Any, masked: bool) -> None:
    graph = one(bidirectional(3, 4), 3, masked)
    module = torch_side.write(graph, biases=biases)
    seconds = [p for name, p in module.named_parameters() if "bias_hh" in name]
    assert len(seconds) == 2
    assert all(p.requires_grad is (biases == "two") for p in seconds)
    arrays = data(4, 5, 3, "holes" if masked else "none")
    descent = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=0.1)
    module.train()(*map(torch.from_numpy, arrays)).square().sum().backward()
    descent.step()
    now = torch_side.read(module.eval())
    op = now["layer"].op
    assert isinstance(op, ops.Bidirectional)
    assert isinstance(op.forward, ops.LSTM)
    assert (op.forward.bias_hh is None) is (biases == "one")
    assert op != graph["layer"].op
    assert worst(torch_side.run(module, arrays), biport.reference.run(now, arrays)) <= 1e-12


def layered() -> Graph:
    """A masked LSTM, dropout and a head."""
    nodes = (
        Node("lstm", lstm(3, 4, return_sequences=True, dtype="float32"), ("x",), masks=("mask",)),
        Node("drop", ops.SpatialDropout1D(rate=0.25), ("lstm",)),
        Node("head", dense(np.random.default_rng(3), 4, 2), ("drop",)),
    )
    values = Value("x", ("N", "T", 3), "float32"), Value("mask", ("N", "T"), "bool")
    return Graph(values, nodes, ("head",))


def rate(module: Any) -> None:
    module.drop.p = 0.5


def zero_outputs(module: Any) -> None:
    module.lstm.zero_output_for_mask = True


def another_layer(module: Any) -> None:
    module.head = nn.Sequential(module.head, nn.Tanh())


CHANGES: dict[str, tuple[Callable[[Any], None], Callable[[Graph], object], object]] = {
    "a rate": (rate, lambda graph: graph["drop"].op.settings()["rate"], 0.5),
    "what stands at masked steps": (
        zero_outputs, lambda graph: graph["lstm"].op.settings()["zero_output_for_mask"], True
    ),
    "another layer": (
        another_layer, lambda graph: [node.op.kind for node in graph.nodes][-1], "Dense"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_module_that_was_changed_is_read_as_it_is_now(name: str) -> None:
    change, asked, answer = CHANGES[name]
    graph = layered()
    module = torch_side.write(graph)
    change(module)
    now = torch_side.read(module)
    assert asked(now) == answer
    assert asked(graph) != answer or name == "another layer"
    arrays = data(4, 5, 3, "holes", "float32")
    assert worst(torch_side.run(module, arrays), biport.reference.run(now, arrays)) <= 1e-6
    if name != "a rate":
        assert worst(torch_side.run(module, arrays), biport.reference.run(graph, arrays)) > 1e-3
