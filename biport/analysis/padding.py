"""Whether zeros behind a row of ids change what a model says of it.

Found by going through the graph once: every value is constant, a sequence that is right where the row is, or
the mask that is false behind it. What is not known to keep one of these is taken to see the padding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from biport import ops
from biport.dims import letters_in
from biport.graph import Graph, Node
from biport.ops import INTEGERS, Locality
from biport.ops.attention import Attends

Axes = tuple[int, ...]
"""The axes of a value that are time; none where padding does not show at all."""

FIXED: Axes = ()
STEPS: Axes = (1,)

SUMS_OF_ZEROS = ("sum", "norm", "any")
"""Reductions to which zeros, or false, add nothing."""


def masked_axes(graph: Graph) -> dict[str, Axes] | None:
    """The time axes of each output, or ``None`` where padding may change what stands before it.

    Said of rows without a 0 of their own, padded with 0 on the right: before the row's end every output is
    what it is without the padding, up to the rounding of sums; behind it an output with a time axis holds
    anything. Models of one input, ids ``(N, T)``, are looked into; for all others it is ``None``.
    """
    if len(graph.inputs) != 1:
        return None
    (ids,) = graph.inputs
    if len(ids.shape) != 2 or ids.dtype not in INTEGERS or ids.shape[1] == 1:
        return None
    known = _Traversal(graph, ids.name)
    for node in graph.nodes:
        known.visit(node)
    if any(name not in known.axes for name in graph.outputs):
        return None
    return {name: known.axes[name] for name in graph.outputs}


class _Traversal:
    """What is known of each value; one that sees the padding is in neither collection."""

    def __init__(self, graph: Graph, ids: str) -> None:
        self.graph = graph
        self.ids = ids
        self.steps = graph.tensors[ids].shape[1]
        self.axes: dict[str, Axes] = {ids: STEPS}
        self.masks: set[str] = set()
        """Booleans that are false at every step of the padding."""
        self.zeros: set[str] = set()
        """Sequences that are 0 at every step of the padding."""
        self.nothing = {node.outputs[0] for node in graph.nodes if _is_nothing(node.op)}
        """Constants that are 0 alone."""
        self.ones: set[str] = set()
        """Masks in whole numbers, ``(N, T)``: 1 at valid steps."""
        self.counts: set[str] = set()
        """Numbers of steps, one a row: no more than it has without the padding, where it has any."""
        self.positions: set[str] = set()
        """Which step each is, from 0 on."""

    def visit(self, node: Node) -> None:
        if self._is_positions(node):
            self.positions |= set(node.outputs)
            return
        if self._is_before_the_end(node):
            self.axes |= dict.fromkeys(node.outputs, STEPS)
            self.masks |= set(node.outputs)
            return
        used = [*node.inputs, *(mask for mask in node.masks if mask is not None)]
        if any(name not in self.axes for name in used) or letters_in(self.steps) & node.op.letters:
            return
        if node.op.letters:
            # It is as long as the padded rows are, or counts their steps.
            return
        if all(self.axes[name] == FIXED for name in used):
            self.axes |= dict.fromkeys(node.outputs, FIXED)
            if self._counts_on(node):
                self.counts |= set(node.outputs)
            return
        axes = self._output_axes(node, [self.axes[name] for name in node.inputs])
        if axes is None or not all(map(self._in_time, node.outputs, axes)):
            return
        self.axes |= zip(node.outputs, axes, strict=True)
        if self._is_mask(node):
            self.masks |= set(node.outputs)
        if self._is_zero(node):
            self.zeros |= set(node.outputs[:1])
        if (
            isinstance(node.op, ops.Cast)
            and node.inputs[0] in self.masks
            and node.op.output_dtype in INTEGERS
        ):
            self.ones |= set(node.outputs)
        if self._counts(node):
            self.counts |= set(node.outputs)

    def _output_axes(self, node: Node, axes: Sequence[Axes]) -> Sequence[Axes] | None:
        if any(time not in (FIXED, STEPS) for time in axes):
            return None
        match node.op:
            case ops.Recurrent() | ops.Bidirectional():
                return self._scanned(node, axes)
            case ops.GlobalAveragePooling1D():
                return [FIXED] if self._masked(node, 0) else None
            case ops.Attention() | ops.AdditiveAttention() | ops.MultiHeadAttention():
                return self._attended(node, axes)
            case ops.Softmax() if node.masks[0] is not None:
                return [STEPS] if self._masked(node, 0) else None
            case ops.Reduction() if axes == [STEPS] and 1 in self._front(node):
                return [FIXED] if self._adds_nothing(node) else None
            case ops.Dot(axes=(1, 1), normalize=False) if axes == [STEPS, STEPS]:
                return [FIXED] if self.zeros & set(node.inputs) else None
            case ops.Reshape():
                return [STEPS] if self._drops_ones(node) else None
        local = node.op.locality([self.graph.tensors[name] for name in node.inputs])
        return [STEPS] * len(node.outputs) if Locality.STEP in local else None

    def _scanned(self, node: Node, axes: Sequence[Axes]) -> Sequence[Axes] | None:
        """A recurrent layer skips the padding, and so ends with the states of the row's last step."""
        op = node.op
        layer = op.forward if isinstance(op, ops.Bidirectional) else op
        assert isinstance(layer, ops.Recurrent)
        # Reversed and left so, a sequence begins with the padding.
        turned = layer.reverse and layer.return_sequences
        if op.mixes_rows([self.graph.tensors[name] for name in node.inputs]):
            return None
        if turned or not self._masked(node, 0) or any(time != FIXED for time in axes[1:]):
            return None
        sequences = 2 if isinstance(op, ops.Bidirectional) and op.merge is None else 1
        first = STEPS if layer.return_sequences else FIXED
        return [first if number < sequences else FIXED for number in range(op.output_count)]

    def _attended(self, node: Node, axes: Sequence[Axes]) -> Sequence[Axes] | None:
        """The padding gets no weight under a mask of the values, in a `MultiHeadAttention` or of the keys."""
        assert isinstance(node.op, Attends)
        if node.op.has_attention_mask:
            return None
        queries, values = axes[0], axes[1]
        if any(time != values for time in axes[1:]):
            return None
        positions = range(1, len(axes)) if isinstance(node.op, ops.MultiHeadAttention) else (1,)
        if values == STEPS and not any(self._masked(node, position) for position in positions):
            return None
        if node.op.output_count == 1:
            return [queries]
        rank = 4 if isinstance(node.op, ops.MultiHeadAttention) else 3
        scores = [rank - 2] * (queries == STEPS) + [rank - 1] * (values == STEPS)
        return [queries, tuple(scores)]

    def _front(self, node: Node) -> Sequence[int]:
        """The axes of a reduction, counted from the front."""
        assert isinstance(node.op, ops.Reduction)
        rank = len(self.graph.tensors[node.inputs[0]].shape)
        return [axis % rank for axis in node.op.axes]

    def _adds_nothing(self, node: Node) -> bool:
        """Whether a reduction over time is that of zeros at the padding, row by row."""
        op = node.op
        assert isinstance(op, ops.Reduction)
        known = self.masks if op.function == "any" else self.zeros
        inputs = [self.graph.tensors[name] for name in node.inputs]
        sums = op.function in SUMS_OF_ZEROS and not op.extreme and not op.mixes_rows(inputs)
        return sums and node.inputs[0] in known

    def _drops_ones(self, node: Node) -> bool:
        """Whether a reshape keeps N and T and loses nothing but axes of size 1."""
        given, kept = (self.graph.tensors[name].shape for name in (node.inputs[0], node.outputs[0]))
        return given[:2] == kept and all(size == 1 for size in given[2:])

    def _in_time(self, name: str, axes: Axes) -> bool:
        """Whether those axes are as long as the ids; a sequence of one step may have been stretched."""
        shape = self.graph.tensors[name].shape
        return all(shape[axis] == self.steps for axis in axes)

    def _masked(self, node: Node, position: int) -> bool:
        return node.masks[position] in self.masks

    def _counts(self, node: Node) -> bool:
        """Whether the valid steps of each row are summed, as lengths to pack by are."""
        op = node.op
        counted = isinstance(op, ops.Reduction) and op.function == "sum"
        return counted and node.inputs[0] in self.ones and list(self._front(node)) == [1]

    def _numbers(self, node: Node) -> bool:
        """Whether a cast gives whole numbers."""
        return isinstance(node.op, ops.Cast) and node.op.output_dtype in INTEGERS

    def _counts_on(self, node: Node) -> bool:
        """Whether lengths stay such: at least 1 is what a row of any step has."""
        match node.op:
            case ops.Clip():
                fits = node.op.min is None or node.op.min <= 1
            case ops.ExpandDims():
                fits = True
            case _:
                fits = self._numbers(node)
        return fits and node.inputs[0] in self.counts

    def _is_positions(self, node: Node) -> bool:
        match node.op:
            case ops.Arange():
                return (node.op.start, node.op.stop, node.op.step) == (0, self.steps, 1)
        return self._numbers(node) and node.inputs[0] in self.positions

    def _is_before_the_end(self, node: Node) -> bool:
        """Whether steps ``(T,)`` are compared with lengths ``(N, 1)``: false at and behind a row's length."""
        if not isinstance(node.op, ops.Elementwise) or node.op.function not in ("less", "greater"):
            return False
        steps, lengths = node.inputs if node.op.function == "less" else node.inputs[::-1]
        shape = self.graph.tensors[lengths].shape if lengths in self.counts else ()
        return steps in self.positions and len(shape) == 2 and shape[1] == 1

    def _is_mask(self, node: Node) -> bool:
        match node.op:
            case ops.NotEqual(value=0) | ops.Cast(output_dtype="bool"):
                return node.inputs == (self.ids,)
            case ops.Elementwise(function="greater" | "not_equal"):
                return node.inputs[0] == self.ids and node.inputs[1] in self.nothing
            case ops.Elementwise(function="less"):
                return node.inputs[1] == self.ids and node.inputs[0] in self.nothing
            case ops.LogicalAnd() | ops.Elementwise(function="logical_and"):
                return any(name in self.masks for name in node.inputs)
            case ops.LogicalOr() | ops.Elementwise(function="logical_or"):
                return all(name in self.masks for name in node.inputs)
            case ops.ExpandDims():
                return node.inputs[0] in self.masks
        return False

    def _is_zero(self, node: Node) -> bool:
        """Elements that are masked weigh nothing in a softmax; recurrent layers may be asked for zeros.

        So is a mask in numbers, and what is multiplied by zeros.
        """
        op = node.op
        match op:
            case ops.Softmax():
                return self._masked(node, 0)
            case ops.Cast():
                return node.inputs[0] in self.masks | self.zeros
            case ops.Elementwise(function="multiply") | ops.Multiply() if not any(node.masks):
                return not self.zeros.isdisjoint(node.inputs)
            case ops.ExpandDims():
                return node.inputs[0] in self.zeros
        layer = op.forward if isinstance(op, ops.Bidirectional) else op
        wanted = isinstance(layer, ops.Recurrent) and layer.zero_output_for_mask and layer.return_sequences
        return wanted and self._masked(node, 0)


def _is_nothing(op: ops.Op) -> bool:
    return isinstance(op, ops.Constant) and not np.any(op.value)


def described(axes: Mapping[str, Axes] | None) -> dict[str, Any]:
    """The same as plain data, for an ONNX file's metadata."""
    return {"masked": axes is not None, "axes": {name: list(time) for name, time in (axes or {}).items()}}
