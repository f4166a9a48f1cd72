"""How the layers behind a widened value take it: with more weights, or by being wider themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biport import ops
from biport.errors import UnsupportedError
from biport.graph import Graph, Node
from biport.ops import Op

EACH_FEATURE = (
    ops.ActivityRegularization,
    ops.AlphaDropout,
    ops.AveragePooling1D,
    ops.Cropping1D,
    ops.Dropout,
    ops.ELU,
    ops.Flip,
    ops.GaussianDropout,
    ops.GaussianNoise,
    ops.GlobalAveragePooling1D,
    ops.GlobalMaxPooling1D,
    ops.Identity,
    ops.LeakyReLU,
    ops.MaxPooling1D,
    ops.ReLU,
    ops.RepeatVector,
    ops.SpatialDropout1D,
    ops.UpSampling1D,
    ops.ZeroPadding1D,
)
"""What is computed of each feature by itself."""
OF_EQUALS = (ops.Add, ops.Average, ops.Maximum, ops.Minimum, ops.Multiply, ops.Subtract)
SUPPORTED = [
    "Dense",
    "recurrent layers",
    "Conv1D in one group",
    "MultiHeadAttention",
    "BatchNormalization",
    "Concatenate of features",
    "Flatten",
    "pooling, dropout and activations feature by feature",
]


@dataclass(frozen=True)
class Widening:
    """Where the features of a wider value come from.

    Args:
        of: for each feature the one of the original value it stands for, ``(W',)``.
        share: the part of that one's weight in the next layer it gets, ``(W',)``; the shares of what stands
            for one feature add up to 1.
    """

    of: NDArray[np.intp]
    share: NDArray[np.float64]

    def spread(self, weight: np.ndarray, axis: int = 1) -> np.ndarray:
        """A weight with more entries along the axis of the inputs."""
        taken = np.take(weight, self.of, axis=axis)
        shape = [1] * weight.ndim
        shape[axis] = -1
        return np.ascontiguousarray(taken * self.share.reshape(shape).astype(weight.dtype))

    def equals(self, other: Widening | None) -> bool:
        """Whether the other one is the same."""
        return (
            other is not None
            and np.array_equal(self.of, other.of)
            and np.array_equal(self.share, other.share)
        )


def doubled(size: int, share: float) -> Widening:
    """Two directions side by side, the backward one with this share."""
    of = np.arange(size)
    shares = np.repeat([1 - share, share], size)
    return Widening(np.concatenate([of, of]), shares)


def scaled(size: int, share: float) -> Widening:
    """As wide as before, all of it with one share."""
    return Widening(np.arange(size), np.full(size, share))


Widenings = Sequence[Widening | None]
Taken = tuple[Op, Widening | None]
"""The op for the wider inputs, and how its output is wider: ``None`` where it is as it was."""


def take(graph: Graph, node: Node, op: Op, widenings: Widenings) -> Taken:
    """Make ``op``, of ``node``, read inputs that are wider.

    Raises:
        UnsupportedError: its size is fixed, or it looks at all features together; the message names it.
    """
    first = widenings[0]
    if isinstance(op, OF_EQUALS):
        return op, _equal(node, widenings)
    if isinstance(op, ops.TimeDistributed):
        layer, widening = take(graph, node, op.layer, widenings)
        return dataclasses.replace(op, layer=layer), widening
    for kinds, function in _BY_KIND:
        if isinstance(op, kinds):
            return function(op, widenings)
    shapes = [graph.tensors[name].shape for name in node.inputs]
    if isinstance(op, ops.Concatenate) and op.axis % len(shapes[0]) == len(shapes[0]) - 1:
        return op, _side_by_side(widenings, [int(shape[-1]) for shape in shapes])
    if isinstance(op, ops.BatchNormalization) and op.axis % len(shapes[0]) == len(shapes[0]) - 1:
        assert first is not None
        return _normalise(op, first), first
    if (
        isinstance(op, ops.Flatten)
        and first is not None
        and all(isinstance(size, int) for size in shapes[0][1:])
    ):
        return op, _flat(first, [int(size) for size in shapes[0][1:]])
    if isinstance(op, ops.Activation) and op.function != "softmax":
        return op, first
    raise refused(node)


def refused(node: Node) -> UnsupportedError:
    """What is said of a layer that cannot take a wider input."""
    supported = ", ".join(SUPPORTED)
    return UnsupportedError(
        f"layer {node.name!r} ({node.op.kind})", "input", "wider by a backward half", f"before {supported}"
    )


def _rows(*names: str) -> Callable[[Any, Widenings], Taken]:
    """An op whose one input meets these weights, inputs along axis 1."""

    def function(op: Any, widenings: Widenings) -> Taken:
        (widening,) = widenings
        assert widening is not None
        weights = {name: widening.spread(getattr(op, name)) for name in names}
        return dataclasses.replace(op, input_size=len(widening.of), **weights), None

    return function


def _cell(op: ops.Cell, widenings: Widenings) -> Taken:
    widening, *states = widenings
    if widening is None or any(states):
        raise UnsupportedError(op.kind, "initial_state", "wider by a backward half", "states as they were")
    gates = {gate: widening.spread(array) for gate, array in op.weight_ih.items()}
    return dataclasses.replace(op, input_size=len(widening.of), weight_ih=gates), None


def _stack(op: ops.StackedRNN, widenings: Widenings) -> Taken:
    below, _ = _cell(op.cells[0], widenings)
    return dataclasses.replace(op, cells=(below, *op.cells[1:])), None  # type: ignore[arg-type]


def _both(op: ops.Bidirectional, widenings: Widenings) -> Taken:
    halves = {}
    for name in ("forward", "backward"):
        half: Any = getattr(op, name)
        taken = _stack(half, widenings) if isinstance(half, ops.StackedRNN) else _cell(half, widenings)
        halves[name] = taken[0]
    return dataclasses.replace(op, **halves), None


def _convolution(op: ops.Conv1D, widenings: Widenings) -> Taken:
    if op.groups > 1:
        raise UnsupportedError(op.kind, "groups", op.groups, "before Conv1D in one group")
    return _rows("weight")(op, widenings)


def _heads(op: ops.MultiHeadAttention, widenings: Widenings) -> Taken:
    query, value, *key = widenings
    parts = {"query": query, "value": value, "key": key[0] if key else value}
    weights = {
        f"{part}_weight": widening.spread(getattr(op, f"{part}_weight"))
        for part, widening in parts.items()
        if widening is not None
    }
    return dataclasses.replace(op, **weights), None


def _same(op: Op, widenings: Widenings) -> Taken:
    return op, widenings[0]


def _slopes(op: ops.PReLU, widenings: Widenings) -> Taken:
    (widening,) = widenings
    assert widening is not None
    alpha = op.alpha if op.alpha.shape[-1] == 1 else np.take(op.alpha, widening.of, axis=-1)
    return dataclasses.replace(op, alpha=np.ascontiguousarray(alpha)), widening


_BY_KIND: Sequence[tuple[Any, Callable[[Any, Widenings], Taken]]] = (
    (ops.Dense, _rows("weight")),
    (ops.Cell, _cell),
    (ops.StackedRNN, _stack),
    (ops.Bidirectional, _both),
    (ops.Conv1D, _convolution),
    (ops.MultiHeadAttention, _heads),
    (ops.PReLU, _slopes),
    (EACH_FEATURE, _same),
)


def _equal(node: Node, widenings: Widenings) -> Widening:
    """Of a merge feature by feature: all inputs have to be wider in the same way."""
    first = widenings[0]
    if first is None or not all(first.equals(other) for other in widenings[1:]):
        raise refused(node)
    return first


def _normalise(op: ops.BatchNormalization, widening: Widening) -> Op:
    parts = {
        name: getattr(op, name)[widening.of]
        for name in ("weight", "bias", "mean", "variance")
        if getattr(op, name) is not None
    }
    return dataclasses.replace(op, size=len(widening.of), **parts)


def _side_by_side(widenings: Widenings, sizes: Sequence[int]) -> Widening:
    starts = np.cumsum([0, *sizes[:-1]])
    parts = [widening or scaled(size, 1.0) for widening, size in zip(widenings, sizes, strict=True)]
    of = [part.of + start for part, start in zip(parts, starts, strict=True)]
    return Widening(np.concatenate(of), np.concatenate([part.share for part in parts]))


def _flat(widening: Widening, sizes: Sequence[int]) -> Widening:
    steps, size = int(np.prod(sizes[:-1])), sizes[-1]
    of = (size * np.arange(steps)[:, None] + widening.of).reshape(-1)
    return Widening(of, np.tile(widening.share, steps))
