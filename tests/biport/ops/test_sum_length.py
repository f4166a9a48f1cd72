"""The longest sum of an op, against how many weights, or inputs, one of its numbers hangs on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from biport import ops
from biport.graph import Graph, Node, Value, sum_lengths
from biport.reference import REFERENCES
from testing import scans
from testing.examples import EXAMPLES
from testing.graphs import bidirectional, cell, dense, lstm

RNG = np.random.default_rng(7)


def numbers(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape) * 0.6


def length(op: ops.Op, inputs: Sequence[np.ndarray]) -> int:
    return op.sum_length([ops.Tensor(x.shape, "float64") for x in inputs])


def count(function: Callable[[np.ndarray], np.ndarray], array: np.ndarray, index: tuple[int, ...]) -> int:
    """How many elements of ``array`` the number at ``index`` of the output changes with."""
    exact, reached = function(array)[index], 0
    for element in np.ndindex(array.shape):
        changed = array.copy()
        changed[element] += 0.7
        reached += abs(function(changed)[index] - exact) > 1e-12
    return reached


def compute(op: ops.Op, inputs: Sequence[np.ndarray], output: int = 0) -> np.ndarray:
    return REFERENCES.lookup(type(op), "")(op, inputs, [None] * len(inputs))[output]


def weight_count(op: ops.Op, path: str, inputs: Sequence[np.ndarray], index: tuple, output: int = 0) -> int:
    """How many numbers of one weight reach the number at ``index``."""
    weights = op.weights()

    def with_weight(array: np.ndarray) -> np.ndarray:
        return compute(type(op).build(op.settings(), weights | {path: array}), inputs, output)

    return count(with_weight, weights[path], index)


def test_dense() -> None:
    op, x = dense(RNG, 5, 3).astype("float64"), numbers(2, 4, 5)
    assert length(op, [x]) == weight_count(op, "weight", [x], (1, 2, 0)) == 5
    inside = ops.TimeDistributed(layer=op)
    assert length(inside, [x]) == weight_count(inside, "layer.weight", [x], (1, 2, 0))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
def test_convolution(groups: int, dilation: int) -> None:
    sizes: Any = {"input_size": 6, "output_size": 4, "kernel_size": 3, "dilation": dilation, "groups": groups}
    op, x = ops.Conv1D(**sizes, weight=numbers(4, 6 // groups, 3), bias=numbers(4)), numbers(2, 8, 6)
    assert length(op, [x]) == weight_count(op, "weight", [x], (1, 1, 0)) == 18 // groups


@pytest.mark.parametrize("kind", [ops.LSTM, ops.GRU, ops.RNN])
def test_cells(kind: type[ops.Cell]) -> None:
    op = cell(RNG, kind, 4, 3, dtype="float64")
    x, states = numbers(2, 1, 4), [numbers(2, 3) for _ in kind.states]
    gate = op.gates[-1]
    reached = [
        weight_count(op, f"{name}.{gate}", [x, *states], (1, 2)) for name in ("weight_ih", "weight_hh")
    ]
    assert length(op, [x]) == sum(reached) == 4 + 3


def test_scan() -> None:
    """The longest sum of a step: here of what is beside x, its own features and those that it saw."""
    op = scans.attention_cell(RNG, "float64")
    inputs = [numbers(2, 1, scans.I), numbers(2, scans.H), numbers(2, 3, 4)]
    reached = weight_count(op, "body.x_h.weight", inputs, (1, 2))
    assert length(op, inputs) == reached == scans.I + 4


def test_layers_of_cells() -> None:
    stack = ops.StackedRNN(cells=(lstm(RNG, 3, 6), lstm(RNG, 6, 2)))
    assert (
        length(stack, [numbers(2, 1, 3)]) == max(length(one, [numbers(2, 1, 3)]) for one in stack.cells) == 9
    )
    both = bidirectional(RNG, 3, 6)
    both = dataclasses.replace(both, forward=lstm(RNG, 3, 5))
    assert length(both, [numbers(2, 1, 3)]) == 3 + 6


@pytest.mark.parametrize(
    "op",
    [
        ops.Attention(scale=np.asarray(0.7), score_weight=None, return_scores=True),
        ops.Attention(scale=None, score_weight=np.asarray(0.6), score_mode="concat", return_scores=True),
        ops.AdditiveAttention(scale=numbers(5), return_scores=True),
        ops.AdditiveAttention(scale=None, return_scores=True),
    ],
    ids=str,
)
def test_attention(op: ops.Op) -> None:
    query, value = numbers(2, 3, 5), numbers(2, 4, 5)
    reached = count(lambda q: compute(op, [q, value], output=1), query, (1, 2, 0))
    assert length(op, [query, value]) == reached == 5


@pytest.mark.parametrize(
    "sizes", [(3, 4, 5, 2, 6), (7, 4, 5, 2, 6), (3, 9, 5, 2, 6), (3, 4, 5, 11, 6)], ids=str
)
def test_multi_head_attention(sizes: tuple[int, ...]) -> None:
    query_size, value_size, key_features, key_size, out = sizes
    heads, head_values = 2, 3
    op = ops.MultiHeadAttention(
        num_heads=heads,
        key_size=key_size,
        value_size=head_values,
        return_scores=True,
        query_weight=numbers(heads * key_size, query_size),
        key_weight=numbers(heads * key_size, key_features),
        value_weight=numbers(heads * head_values, value_size),
        output_weight=numbers(out, heads * head_values),
        **dict.fromkeys(("query_bias", "key_bias", "value_bias", "output_bias")),
    )
    inputs = [numbers(1, 2, query_size), numbers(1, 3, value_size), numbers(1, 3, key_features)]
    # One score is a sum over K, of numbers that are sums over the features themselves.
    queries = weight_count(op, "query_weight", inputs, (0, 0, 1, 0), output=1) / key_size
    keys = weight_count(op, "key_weight", inputs, (0, 0, 1, 0), output=1) / key_size
    outputs = weight_count(op, "output_weight", inputs, (0, 1, 0))
    values = weight_count(op, "value_weight", inputs, (0, 1, 0)) / outputs
    assert length(op, inputs) == max(key_size, queries, keys, outputs, values)


@pytest.mark.parametrize("axes, fixed", [((2, 2), True), ((1, 2), True), ((1, 1), False)])
def test_dot(axes: tuple[int, int], fixed: bool) -> None:
    op = ops.Dot(axes=axes)
    shapes = {(2, 2): ((2, 3, 5), (2, 4, 5)), (1, 2): ((2, 5, 3), (2, 4, 5)), (1, 1): ((2, 5, 3), (2, 5, 4))}
    one, two = (numbers(*shape) for shape in shapes[axes])
    reached = count(lambda x: compute(op, [x, two]), one, (1, 2, 3))
    assert length(op, [one, two]) == reached == 5
    varying = [ops.Tensor(("N", "T", 3), "float32"), ops.Tensor(("N", "T", 4), "float32")]
    if not fixed:
        assert op.sum_length(varying) == 1


@pytest.mark.parametrize("function", ["sum", "norm", "logsumexp"])
def test_reduction(function: str) -> None:
    x = numbers(2, 3, 4)
    for axes in ((1,), (0, 2)):
        op = ops.Reduction(function=function, axes=axes, keepdims=True)
        index = tuple(0 if axis in axes else size - 1 for axis, size in enumerate(x.shape))
        assert length(op, [x]) == count(lambda x, op=op: compute(op, [x]), x, index)
    assert ops.Reduction(function=function, axes=(1,)).sum_length([ops.Tensor(("N", "T", 4), "float32")]) == 1
    assert length(ops.Reduction(function=function, axes=(1,)), [x[:, :0]]) == 1


def test_running_sum() -> None:
    op, x = ops.CumulativeSum(axis=1), numbers(2, 3, 4)
    assert length(op, [x]) == count(lambda x: compute(op, [x]), x, (1, 2, 3)) == 3
    assert op.sum_length([ops.Tensor(("N", "T", 4), "float32")]) == 1


@pytest.mark.parametrize("shape", [(2, 5, 3), (5, 3), (5,)])
def test_matrix_product(shape: tuple[int, ...]) -> None:
    a, b = numbers(2, 4, 5), numbers(*shape)
    index = (1, 2, 0)[: 2 if b.ndim == 1 else 3]
    assert length(ops.MatMul(), [a, b]) == count(lambda a: compute(ops.MatMul(), [a, b]), a, index) == 5
    varying = [ops.Tensor(("N", "S", "T"), "float32"), ops.Tensor(("N", "T", 4), "float32")]
    assert ops.MatMul().sum_length(varying) == 1
    assert length(ops.MatMul(), [a[..., :0], b[..., :0, :] if b.ndim > 1 else b[:0]]) == 1


def test_einsum() -> None:
    op, a, b = ops.Einsum(equation="nthk,nsqk,hk->nsq"), numbers(2, 3, 4, 5), numbers(2, 6, 7, 5)
    w = numbers(4, 5)
    reached = count(lambda a: compute(op, [a, b, w]), a, (1, 2, 3))
    assert length(op, [a, b, w]) == reached == 3 * 4 * 5
    varying = [ops.Tensor(("N", "T", 4, 5), "float32"), ops.Tensor(("N", "S", 7, 5), "float32")]
    assert op.sum_length([*varying, ops.Tensor((4, 5), "float32")]) == 4 * 5


@pytest.mark.parametrize(("strides", "dilation"), [((1, 2), (1, 1)), ((2, 3), (2, 1)), ((2, 4), (3, 2))])
def test_transposed_convolutions(strides: tuple[int, int], dilation: tuple[int, int]) -> None:
    """Where all numbers are 1, what comes out says how many products were added up."""
    op = ops.Conv2DTranspose(
        input_size=4,
        output_size=6,
        kernel_size=(3, 5),
        strides=strides,
        dilation=dilation,
        cropping=((0, 0), (1, 0)),
        groups=2,
        weight=np.ones((4, 3, 3, 5)),
        bias=None,
    )
    x = np.ones((1, 9, 9, 4))
    assert length(op, [x]) == compute(op, [x]).max()


def test_of_all_others_it_is_one() -> None:
    adding = (
        ops.Dense,
        ops.Convolution,
        ops.ConvolutionalLSTM,
        ops.SeparableConvolution,
        ops.TransposedConvolution,
        ops.Cell,
        ops.StackedRNN,
        ops.Bidirectional,
        ops.Scan,
        ops.TimeDistributed,
        ops.Dot,
        ops.Reduction,
        ops.CumulativeSum,
        ops.MatMul,
        ops.Einsum,
    )
    adding = (*adding, ops.Attention, ops.AdditiveAttention, ops.MultiHeadAttention)
    others = [example for example in EXAMPLES if not isinstance(example.op, adding)]
    assert {example.op.sum_length(example.tensors) for example in others} == {1}


def test_graph() -> None:
    inputs = (Value("x", ("N", "T", 4), "float32"), Value("y", ("N", "S", 4), "float32"))
    nodes = (
        Node("lstm", lstm(RNG, 4, 3, return_sequences=True), ("x",)),
        Node("scores", ops.Dot(axes=(2, 2)), ("x", "y")),
        Node("drop", ops.Dropout(rate=0.5), ("lstm",)),
    )
    assert sum_lengths(Graph(inputs, nodes, ("drop", "scores"))) == [7, 4, 1]
