"""How the layers behind a widened value take it: with more weights, or by being wider themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biport import ops
from biport.dims import Dim, known
from biport.errors import UnsupportedError
from biport.graph import Node
from biport.ops import Locality, Op, Tensor
from biport.ops.checks import on_axis

WIDER = "wider by a backward direction"
SUPPORTED = [
    "Dense",
    "recurrent layers",
    "convolutions in one group",
    "MultiHeadAttention",
    "BatchNormalization",
    "Concatenate of features",
    "Flatten",
    "pooling, dropout, activations and operations feature by feature",
    "MatMul from the right",
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


def take(node: Node, op: Op, inputs: Sequence[Tensor], widenings: Widenings) -> Taken:
    """Make an op read inputs that are wider.

    Args:
        node: whose op it is; named in errors.
        op: the node's, or one inside of it.
        inputs: what it read before.
        widenings: how each of these is wider; at least one is.

    Raises:
        UnsupportedError: its size is fixed, or it looks at all features together; the message names it.
    """
    if isinstance(op, ops.TimeDistributed):
        layer, widening = take(node, op.layer, [op.inner(inputs[0])], widenings)
        return dataclasses.replace(op, layer=layer), widening
    for kinds, function in _BY_KIND:
        if isinstance(op, kinds):
            return function(op, widenings)
    locality = op.locality(inputs)
    if Locality.EVERY_FEATURE in locality and not isinstance(op, ops.GroupNormalization):
        # What has one feature, or none, is the same for all of the others', however many these are.
        alike = [w for w, x in zip(widenings, inputs, strict=True) if w is not None or _width(x) != 1]
        return op, _equal(node, alike)
    first, shapes = widenings[0], [tensor.shape for tensor in inputs]
    if isinstance(op, ops.MatMul) and first is None and len(shapes[1]) > 1:
        return op, widenings[1]
    if isinstance(op, ops.Concatenate) and on_axis(op, op.axis, inputs[0]) == len(shapes[0]) - 1:
        return op, _side_by_side(widenings, [known(shape[-1]) for shape in shapes])
    if Locality.FEATURE in locality and type(op) in _BY_FEATURE and first is not None:
        return _BY_FEATURE[type(op)](op, first), first
    if (
        isinstance(op, ops.Flatten)
        and first is not None
        and all(isinstance(size, int) for size in shapes[0][1:])
    ):
        return op, _flat(first, [known(size) for size in shapes[0][1:]])
    raise refused(node)


def _width(x: Tensor) -> Dim:
    return x.shape[-1] if x.shape else 1


def refused(node: Node) -> UnsupportedError:
    """What is said of a layer that cannot take a wider input."""
    owner, supported = f"layer {node.name!r} ({node.op.kind})", ", ".join(SUPPORTED)
    return UnsupportedError(owner, "input", WIDER, f"before {supported}")


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
        raise UnsupportedError(op.kind, "initial_state", WIDER, "states as they were")
    gates = {gate: widening.spread(array) for gate, array in op.weight_ih.items()}
    return dataclasses.replace(op, input_size=len(widening.of), weight_ih=gates), None


def _stack(op: ops.StackedRNN, widenings: Widenings) -> Taken:
    below, _ = _cell(op.cells[0], widenings)
    return dataclasses.replace(op, cells=(below, *op.cells[1:])), None  # type: ignore[arg-type]


def _both(op: ops.Bidirectional, widenings: Widenings) -> Taken:
    directions = {}
    for name in ("forward", "backward"):
        layer: Any = getattr(op, name)
        wider = _stack(layer, widenings) if isinstance(layer, ops.StackedRNN) else _cell(layer, widenings)
        directions[name], _ = wider
    return dataclasses.replace(op, **directions), None


def _convolution(op: ops.Convolution, widenings: Widenings) -> Taken:
    if op.groups > 1:
        raise UnsupportedError(op.kind, "groups", op.groups, f"before {op.kind} in one group")
    return _rows("weight")(op, widenings)


def _heads(op: ops.MultiHeadAttention, widenings: Widenings) -> Taken:
    (query, value, *key), _ = op.split(widenings)
    parts = {"query": query, "value": value, "key": key[0] if key else value}
    weights = {
        f"{part}_weight": widening.spread(getattr(op, f"{part}_weight"))
        for part, widening in parts.items()
        if widening is not None
    }
    return dataclasses.replace(op, **weights), None


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
    (ops.Convolution, _convolution),
    (ops.MultiHeadAttention, _heads),
    (ops.PReLU, _slopes),
)


def _equal(node: Node, widenings: Widenings) -> Widening:
    """Of an op feature by feature: all inputs have to be wider in the same way."""
    first = widenings[0]
    if first is None or not all(first.equals(other) for other in widenings[1:]):
        raise refused(node)
    return first


def _normalise(op: ops.BatchNormalization, widening: Widening) -> Op:
    return dataclasses.replace(op, size=len(widening.of), **_features(op, widening))


def _normalise_alone(op: ops.GroupNormalization, widening: Widening) -> Op:
    """Each feature is a group of its own."""
    return dataclasses.replace(op, groups=len(widening.of), **_features(op, widening))


def _features(op: Op, widening: Widening) -> dict[str, np.ndarray]:
    """The weights of the wider features; their last axis is that of the features."""
    return {
        name: np.ascontiguousarray(np.take(array, widening.of, axis=-1))
        for name, array in op.weights().items()
    }


def _rescale(op: ops.Rescaling, widening: Widening) -> Op:
    numbers = {name: getattr(op, name) for name in ("scale", "offset")}
    listed = {name: value for name, value in numbers.items() if isinstance(value, tuple) and len(value) > 1}
    return dataclasses.replace(op, **{name: tuple(np.take(v, widening.of)) for name, v in listed.items()})


_BY_FEATURE: dict[type[Op], Callable[[Any, Widening], Op]] = {
    ops.BatchNormalization: _normalise,
    ops.GroupNormalization: _normalise_alone,
    ops.Normalization: lambda op, widening: dataclasses.replace(op, **_features(op, widening)),
    ops.Rescaling: _rescale,
}
"""Ops that have weights of each feature's own, along the last axis."""


def _side_by_side(widenings: Widenings, sizes: Sequence[int]) -> Widening:
    starts = np.cumsum([0, *sizes[:-1]])
    parts = [widening or scaled(size, 1.0) for widening, size in zip(widenings, sizes, strict=True)]
    of = [part.of + start for part, start in zip(parts, starts, strict=True)]
    return Widening(np.concatenate(of), np.concatenate([part.share for part in parts]))


def _flat(widening: Widening, sizes: Sequence[int]) -> Widening:
    steps, size = int(np.prod(sizes[:-1])), sizes[-1]
    of = (size * np.arange(steps)[:, None] + widening.of).reshape(-1)
    return Widening(of, np.tile(widening.share, steps))
