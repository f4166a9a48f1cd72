"""Whether a decoder can be stepped: which values have the target's time as their second axis."""

from __future__ import annotations

from collections.abc import Collection, Sequence, Set
from typing import ClassVar

from biport import ops
from biport.dims import letters_in
from biport.errors import UnsupportedError
from biport.graph import Graph, Node
from biport.ops import Locality, Op
from biport.ops.elementwise import Broadcasting

ATTENTIONS = (ops.AdditiveAttention, ops.Attention, ops.MultiHeadAttention)
SUPPORTED = [
    "layers that work on one step at a time",
    "recurrent layers that scan forwards",
    "attention over the encoder's values",
]

Problem = tuple[str | None, object]
"""The setting that cannot be stepped, and its value."""


def own_letters(graph: Graph, target: str) -> set[str]:
    """The letters of sizes that only the target has."""
    of_target, of_others = (
        {
            letter
            for value in graph.inputs
            if (value.name == target) is own
            for letter in letters_in(value.shape)
        }
        for own in (True, False)
    )
    return of_target - of_others


class SteppableValues:
    """The values of a graph that have a step of the target on axis 1, gathered node by node.

    Such a value can be computed for one step alone if every op on its way there looks at that step only, at
    values of the encoder's side, and, in a recurrent layer, at its own states.

    Args:
        graph: the model.
        targets: the inputs that are stepped along.
        sized: the letters of sizes that they alone have.
    """

    stepped: ClassVar = "the target's side"
    """What is stepped along, as errors say it."""
    other: ClassVar = "the encoder's side"

    def __init__(self, graph: Graph, targets: Collection[str], sized: Set[str]) -> None:
        self._graph = graph
        # Of no step either is what is as long as the target, or counts its steps.
        counted = (node for node in graph.nodes if not node.inputs and node.op.letters & sized)
        self._late: set[str] = {*targets}.union(*(node.outputs for node in counted))
        self._steppable: set[str] = {*targets}

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
        self._steppable |= set(outputs)

    def check_output(self, name: str) -> None:
        """The graph's first output.

        Raises:
            UnsupportedError: it is not one vector for each step of the target.
        """
        tensor = self._graph.tensors[name]
        if name not in self._steppable or len(tensor.shape) != 3:
            raise UnsupportedError(
                "decoding step by step",
                f"output {name!r}",
                str(tensor),
                ["(N, T, V) over the target's steps"],
            )

    def _problem(self, node: Node) -> Problem | None:
        op = node.op
        if op.letters:
            return "sizes", ", ".join(sorted(op.letters))
        for name in (*node.inputs, *node.masks):
            if name in self._late and name not in self._steppable:
                return "input", f"{name}, which belongs to no step"
        steppable = [name in self._steppable for name in node.inputs]
        for of_target, mask in zip(steppable, node.masks, strict=True):
            if mask is not None and (mask in self._steppable) != of_target:
                return "mask", f"{mask}, whose steps are not the input's"
        if isinstance(op, ops.Recurrent):
            return self._recurrent(op, op.split(steppable))
        if isinstance(op, (*ATTENTIONS, ops.Dot)):
            return self._selects(op, steppable)
        if Locality.EVERY_STEP not in op.locality([self._graph.tensors[name] for name in node.inputs]):
            return self._mixes(node)
        if isinstance(op, ops.Concatenate):
            return None if all(steppable) else ("input", f"of {self.other}")
        return self._stretched(node, steppable)

    @staticmethod
    def _recurrent(
        op: ops.Recurrent, steppable: tuple[bool, Sequence[bool], Sequence[bool]]
    ) -> Problem | None:
        x, initial, constants = steppable
        if op.reverse:
            return "reverse", True
        if not op.return_sequences:
            return "return_sequences", False
        if not x:
            return "input", "the encoder's steps, from a state of the target's"
        if any(constants):
            return "constants", "of the target's side"
        return ("initial_state", "of the target's side") if any(initial) else None

    def _selects(self, op: Op, steppable: list[bool]) -> Problem | None:
        if not steppable[0]:
            return "query", f"of {self.other}"
        if any(steppable[1:]):
            return "value", f"of {self.stepped}"
        if isinstance(op, ops.Dot):
            return None if op.axes[0] in (2, -1) else ("axes", op.axes)
        if getattr(op, "has_attention_mask", False):
            return "attention_mask", "which is of all steps"
        return ("causal", True) if getattr(op, "causal", False) else None

    @staticmethod
    def _mixes(node: Node) -> Problem:
        """What makes the op look at several steps, or treat them differently."""
        match node.op:
            case ops.Dense() | ops.Activation():
                return "input", f"{node.inputs[0]}, which has no axis of its own for the steps"
            case ops.Concatenate() | ops.BatchNormalization():
                return "axis", node.op.axis
            case ops.Softmax() if node.masks[0] is None:
                return "axis", node.op.axis
            case ops.LayerNormalization() | ops.UnitNormalization() | ops.Normalization():
                return "axis", node.op.axes
            case ops.GroupNormalization():
                return "axis", f"{node.op.axis}, over all steps together"
            case ops.PReLU():
                return "alpha", f"of {node.op.alpha.shape[0]} steps"
        return None, None

    def _stretched(self, node: Node, steppable: list[bool]) -> Problem | None:
        """Inputs of the encoder's side have one step, or none, which is stretched over the target's."""
        rank = max(len(self._graph.tensors[name].shape) for name in node.inputs)
        for name, of_target in zip(node.inputs, steppable, strict=True):
            shape = self._graph.tensors[name].shape
            axis = 1 - rank + len(shape) if isinstance(node.op, Broadcasting) else 1
            # Of a product, a matrix has no steps.
            matrix = isinstance(node.op, ops.MatMul | ops.Einsum) and len(shape) < rank
            one = matrix or axis < 0 or (axis < len(shape) and shape[axis] == 1)
            if not of_target and not one:
                return "input", f"{name}, whose steps are not of {self.stepped}"
        return None
