"""The oracle against formulas written down a second time, step by step and row by row."""

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from biport import ops, reference
from biport.errors import InputError
from biport.graph import Graph, Node, Value
from biport.reference.functions import ACTIVATIONS, sigmoid
from testing.graphs import MERGES, bidirectional, classifier, lstm
from testing.masks import MASKS, padded_ids, valid_steps

N, T, I, H = 4, 6, 3, 2


def scalar_lstm(op: ops.LSTM, x: np.ndarray, mask: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """One row ``(T, I)``, one number at a time: every step's output, and the last state."""
    h, c, outputs, previous = np.zeros(H), np.zeros(H), [], np.zeros(H)
    for t in reversed(range(len(x))) if op.reverse else range(len(x)):
        if mask[t]:
            new_h, new_c = np.zeros(H), np.zeros(H)
            for unit in range(H):
                z = {}
                for gate in "ifco":
                    z[gate] = sum(op.weight_ih[gate][unit, k] * x[t, k] for k in range(op.input_size))
                    z[gate] += sum(op.weight_hh[gate][unit, k] * h[k] for k in range(H))
                    z[gate] += sum(bias[gate][unit] for bias in (op.bias_ih, op.bias_hh) if bias is not None)
                i, f, o = (1 / (1 + math.exp(-z[gate])) for gate in "ifo")
                new_c[unit] = f * c[unit] + i * math.tanh(z["c"])
                new_h[unit] = o * math.tanh(new_c[unit])
            h, c, previous = new_h, new_c, new_h
            outputs.append(new_h)
        else:
            outputs.append(np.zeros(H) if op.zero_output_for_mask else previous)
    return outputs, h


@pytest.mark.parametrize("pattern", MASKS)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("biases", [0, 1, 2])
def test_lstm(pattern: str, reverse: bool, zero: bool, biases: int) -> None:
    rng = np.random.default_rng(3)
    op = lstm(rng, I, H, biases, reverse=reverse, zero_output_for_mask=zero, return_sequences=True)
    op = op.astype("float64")
    x, mask = rng.normal(size=(N, T, I)), valid_steps(pattern, N, T, rng)
    (every_step,) = reference.REFERENCES.lookup(ops.LSTM, "")(op, [x], [mask])
    last = dataclasses.replace(op, return_sequences=False)
    (final,) = reference.REFERENCES.lookup(ops.LSTM, "")(last, [x], [mask])
    for row in range(N):
        outputs, state = scalar_lstm(op, x[row], mask[row])
        np.testing.assert_allclose(every_step[row], outputs, atol=1e-14)
        end = 0 if reverse else T - 1
        wanted = np.zeros(H) if zero and not mask[row, end] else state
        np.testing.assert_allclose(final[row], wanted, atol=1e-14)


def test_merge_modes_put_the_backward_direction_in_time_order() -> None:
    rng = np.random.default_rng(4)
    x, mask = rng.normal(size=(N, T, I)).astype("float32"), valid_steps("holes", N, T, rng)
    for merge in MERGES:
        op: Any = bidirectional(rng, I, H, merge, return_sequences=True)
        run = reference.REFERENCES.lookup(ops.Bidirectional, "")
        forward = np.array([scalar_lstm(op.forward, x[r], mask[r])[0] for r in range(N)])
        backward = np.array([scalar_lstm(op.backward, x[r], mask[r])[0][::-1] for r in range(N)])
        wanted = {
            "concat": lambda a, b: [np.concatenate([a, b], -1)],
            "sum": lambda a, b: [a + b],
            "mul": lambda a, b: [a * b],
            "ave": lambda a, b: [(a + b) / 2],
            None: lambda a, b: [a, b],
        }[merge](forward, backward)
        outputs = run(op, [x], [mask])
        assert len(outputs) == len(wanted)
        for a, b in zip(outputs, wanted, strict=True):
            np.testing.assert_allclose(a, b, atol=2e-6)


def test_float32_and_float64_agree_and_are_what_they_say() -> None:
    rng = np.random.default_rng(5)
    graph = classifier(rng, units=(4, 3))
    ids = padded_ids("holes", 5, 9, rng)
    (single,), (double,) = reference.run(graph, [ids], "float32"), reference.run(graph, [ids])
    assert (single.dtype, double.dtype) == ("float32", "float64")
    assert 0 < np.abs(single - double).max() < 1e-6


def test_empty_batches_and_sequences() -> None:
    rng = np.random.default_rng(6)
    graph = classifier(rng, units=(4, 3))
    assert reference.run(graph, [np.zeros((0, 5), "int32")])[0].shape == (0, 3)
    none = reference.run(graph, [np.zeros((2, 0), "int32")])[0]
    padding = reference.run(graph, [np.zeros((2, 4), "int32")])[0]
    np.testing.assert_array_equal(none, padding)


def test_pooling() -> None:
    x = np.array([[[1.0, -2], [3, 5], [-7, 0]], [[4, 4], [1, 2], [2, 9]]])
    mask = np.array([[True, False, True], [False, False, False]])
    average = reference.REFERENCES.lookup(ops.GlobalAveragePooling1D, "")
    np.testing.assert_array_equal(
        average(ops.GlobalAveragePooling1D(), [x], [mask])[0], [[-3, -1], [np.nan] * 2]
    )
    np.testing.assert_array_equal(average(ops.GlobalAveragePooling1D(), [x], [None])[0][0], [-1, 1])
    largest = reference.REFERENCES.lookup(ops.GlobalMaxPooling1D, "")
    np.testing.assert_array_equal(largest(ops.GlobalMaxPooling1D(), [x], [None])[0], [[3, 5], [4, 9]])
    with pytest.raises(InputError, match="over 0 steps"):
        largest(ops.GlobalMaxPooling1D(), [x[:, :0]], [None])


@pytest.mark.parametrize("kind, rule", [(ops.LogicalAnd, all), (ops.LogicalOr, any)])
def test_masks_joined(kind: type[ops.Op], rule: Callable[[Iterable[bool]], bool]) -> None:
    rng = np.random.default_rng(9)
    values = [Value(name, ("N", "T"), "bool") for name in "abc"] + [Value("one", ("N", 1), "bool")]
    joins = [Node("long", kind(), ("a", "b", "c")), Node("short", kind(), ("a", "one"))]
    a, b, c, one = masks = [rng.random((N, 1 if value.name == "one" else T)) < 0.6 for value in values]
    long, short = reference.run(Graph(tuple(values), tuple(joins), ("long", "short")), masks)
    assert long.dtype == short.dtype == bool
    for n in range(N):
        assert long[n].tolist() == [rule((a[n, t], b[n, t], c[n, t])) for t in range(T)]
        assert short[n].tolist() == [rule((a[n, t], one[n, 0])) for t in range(T)]


def test_activations_at_the_ends_of_their_range() -> None:
    x = np.array([[-1000.0, 0, 1000]])
    np.testing.assert_array_equal(sigmoid(x), [[0, 0.5, 1]])
    np.testing.assert_allclose(ACTIVATIONS["softmax"](x), [[0, 0, 1]])
    np.testing.assert_array_equal(ACTIVATIONS["relu"](x), [[0, 0, 1000]])


def test_the_two_hard_sigmoids() -> None:
    x = np.array([-9.0, -2.75, -1, 0, 1, 2.75, 9])
    np.testing.assert_allclose(ACTIVATIONS["hard_sigmoid_keras2"](x), [0, 0, 0.3, 0.5, 0.7, 1, 1], atol=1e-15)
    sixths = [0, 0.25 / 6, 1 / 3, 0.5, 2 / 3, 5.75 / 6, 1]
    np.testing.assert_allclose(ACTIVATIONS["hard_sigmoid"](x), sixths, atol=1e-15)


INPUT = Value("ids", ("N", "T"), "int32")
BAD = {
    "float ids": (np.ones((2, 3)), "input 'ids': expected integer ids"),
    "id of -1": (np.array([[1, -1]]), r"ids should be in \[0, 11\), found -1"),
    "id of V": (np.array([[1, 11]]), r"ids should be in \[0, 11\), found 11"),
    "rank": (np.array([1, 2]), r"expected int32 \(N, T\), found shape \(2,\)"),
    "huge id": (np.array([[2**40]]), "found 1099511627776"),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_input_is_told_in_words(fault: str) -> None:
    array, message = BAD[fault]
    with pytest.raises(InputError, match=message):
        reference.run(classifier(np.random.default_rng(7)), [array])


def test_float_inputs_are_checked_too() -> None:
    rng = np.random.default_rng(8)
    node = Node("y", lstm(rng, 3, 2), ("x",))
    graph = Graph((Value("x", ("N", 4, 3), "float32"), INPUT), (node,), ("y",))
    ids, x = np.ones((2, 5), "int32"), np.ones((2, 4, 3))
    assert reference.run(graph, [x, ids])[0].shape == (2, 2)
    for bad, message in [
        ([x], "takes 2 inputs"),
        ([x, ids[:1]], "different batch sizes"),
        ([x[:, :3], ids], "expected float32"),
        ([x * np.nan, ids], "'x': holds NaN"),
        ([x.astype(str), ids], "'x': expected numbers"),
    ]:
        with pytest.raises(InputError, match=message):
            reference.run(graph, bad)
