"""Whether a decoder can be stepped: which values have the target's time as their second axis."""

from __future__ import annotations

from biport import ops
from biport.errors import UnsupportedError
from biport.graph import Graph, Node
from biport.ops import Dim, Op

PER_ELEMENT = (
    ops.Activation,
    ops.ELU,
    ops.LeakyReLU,
    ops.ReLU,
    ops.ActivityRegularization,
    ops.AlphaDropout,
    ops.Dropout,
    ops.GaussianDropout,
    ops.GaussianNoise,
    ops.Identity,
    ops.SpatialDropout1D,
)
PER_STEP = (ops.Dense, ops.Embedding, ops.FeaturesNotEqual, ops.Masking, ops.NotEqual, ops.OnesLike)
OF_MASKS = (ops.LogicalAnd, ops.LogicalOr)
MERGES = (
    ops.Add,
    ops.Average,
    ops.LearnedAverage,
    ops.Maximum,
    ops.Minimum,
    ops.Multiply,
    ops.Subtract,
)
ATTENTIONS = (ops.AdditiveAttention, ops.Attention, ops.MultiHeadAttention)
SUPPORTED = [
    "layers that work on one step at a time",
    "recurrent layers that walk forwards",
    "attention over the encoder's values",
]

Problem = tuple[str | None, object]
"""The setting that cannot be stepped, and its value."""


class Timeliness:
    """The values of a graph that have a step of the target on axis 1, found out node by node.

    Such a value can be computed for one step alone if every op on its way there looks at that step only, at
    values of the encoder's side, and, in a recurrent layer, at its own states.
    """

    def __init__(self, graph: Graph, target: str) -> None:
        self._graph = graph
        self._late = {target}
        self._timely = {target}

    def check(self, node: Node) -> None:
        """Take the next node in.

        Raises:
            UnsupportedError: it cannot be stepped.
        """
        problem = self._problem(node)
        if problem is not None:
            setting, value = problem
            raise UnsupportedError(
                f"decoding step by step: layer {node.name!r} ({node.op.kind})", setting, value, SUPPORTED
            )
        self._late |= set(node.outputs)
        # States after the last step belong to no step, and nothing may read them.
        outputs = node.outputs[:1] if isinstance(node.op, ops.Recurrent) else node.outputs
        self._timely |= set(outputs)

    def check_output(self, name: str) -> None:
        """The graph's first output.

        Raises:
            UnsupportedError: it is not one vector for each step of the target.
        """
        tensor = self._graph.tensors[name]
        if name not in self._timely or len(tensor.shape) != 3:
            raise UnsupportedError(
                "decoding step by step",
                f"output {name!r}",
                str(tensor),
                ["(N, T, V) over the target's steps"],
            )

    def _problem(self, node: Node) -> Problem | None:
        op = node.op
        for name in (*node.inputs, *node.masks):
            if name in self._late and name not in self._timely:
                return "input", f"{name}, which belongs to no step"
        timely = [name in self._timely for name in node.inputs]
        for is_timely, mask in zip(timely, node.masks, strict=True):
            if mask is not None and (mask in self._timely) != is_timely:
                return "mask", f"{mask}, whose steps are not the input's"
        if isinstance(op, ops.Recurrent):
            return self._recurrent(op, timely)
        if isinstance(op, (*ATTENTIONS, ops.Dot)):
            return self._selects(op, timely)
        if isinstance(op, ops.Concatenate):
            return self._concatenate(node, op, timely)
        if isinstance(op, (*MERGES, *OF_MASKS)):
            return self._stretched(node, timely)
        return self._alone(node, op)

    @staticmethod
    def _recurrent(op: ops.Recurrent, timely: list[bool]) -> Problem | None:
        if op.reverse:
            return "reverse", True
        if not op.return_sequences:
            return "return_sequences", False
        if not timely[0]:
            return "input", "the encoder's steps, from a state of the target's"
        return ("initial_state", "of the target's side") if any(timely[1:]) else None

    @staticmethod
    def _selects(op: Op, timely: list[bool]) -> Problem | None:
        if not timely[0]:
            return "query", "of the encoder's side"
        if any(timely[1:]):
            return "value", "of the target's side"
        if isinstance(op, ops.Dot):
            return None if op.axes[0] in (2, -1) else ("axes", op.axes)
        return ("causal", True) if getattr(op, "causal", False) else None

    def _concatenate(self, node: Node, op: ops.Concatenate, timely: list[bool]) -> Problem | None:
        rank = len(self._graph.tensors[node.inputs[0]].shape)
        if op.axis % rank == 1:
            return "axis", op.axis
        return None if all(timely) else ("input", "of the encoder's side")

    def _stretched(self, node: Node, timely: list[bool]) -> Problem | None:
        """Inputs of the encoder's side have one step, which is stretched over the target's."""
        for name, is_timely in zip(node.inputs, timely, strict=True):
            shape = self._graph.tensors[name].shape
            if not is_timely and (len(shape) < 2 or shape[1] != 1):
                return "input", f"{name}, whose steps are not the target's"
        return None

    def _alone(self, node: Node, op: Op) -> Problem | None:
        """Ops of one input; a mask there would be for other steps."""
        rank = len(self._graph.tensors[node.inputs[0]].shape)
        if isinstance(op, (*PER_ELEMENT, *PER_STEP, ops.TimeDistributed)):
            if isinstance(op, ops.Dense | ops.Activation) and rank < 3:
                return "input", f"{node.inputs[0]}, which has no axis of its own for the steps"
            return None
        if isinstance(op, ops.Softmax) and node.masks[0] is None:
            return None if _is_last(op.axis, rank) else ("axis", op.axis)
        if isinstance(op, ops.LayerNormalization):
            return None if _is_last(op.axes, rank) else ("axis", op.axes)
        if isinstance(op, ops.BatchNormalization):
            return None if _is_last(op.axis, rank) else ("axis", op.axis)
        if isinstance(op, ops.PReLU):
            steps: Dim = op.alpha.shape[0] if op.alpha.ndim == rank - 1 else 1
            return None if steps == 1 else ("alpha", f"of {steps} steps")
        return None, None


def _is_last(axes: int | tuple[int, ...], rank: int) -> bool:
    given = (axes,) if isinstance(axes, int) else axes
    return {axis % rank for axis in given} == {rank - 1}
