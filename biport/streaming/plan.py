"""Whether a model fed chunk by chunk computes what it does in one call, and which inputs are states."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, NoReturn

from biport import ops
from biport.dims import Dim, letters_in
from biport.errors import InputError, UnsupportedError
from biport.graph import Graph, Node, Value
from biport.inputs import time_axis
from biport.ops import FLOATS
from biport.rewrite.states import FORWARD
from biport.rewrite.steppable import SteppableValues
from biport.streaming.masks import graph_data, graph_from, mask_graph
from biport.streaming.pairs import state_pairs, states_of

SUPPORTED = (
    "layers that work on one step at a time",
    "recurrent layers that scan forwards, whose states are inputs and outputs",
    "attention over what is there from the start",
)
STATES = (
    "layers whose states are inputs and outputs: of stateful ones with states='explicit', of others by "
    "biport.rewrite.states.explicit_states",
)
SCANS = ops.Recurrent, ops.Bidirectional


@dataclass(frozen=True)
class Streaming:
    """What there is to know of a model to feed it chunk by chunk.

    Args:
        inputs: all of its inputs, in order.
        outputs: all of its outputs, in order.
        states: the inputs that are states, and for each the output that is the state after the steps.
        chunked: the inputs of which a chunk has some steps; the others are the same for all chunks.
        last: the outputs that are of all steps so far, such as the last one's.
        repeating: the outputs that repeat at masked steps what was before, and the axis of their steps.
        mask: makes ``(N, T)`` of ``inputs``, the valid steps, where ``last`` or ``repeating`` hang on these.
    """

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    states: Mapping[str, str]
    chunked: tuple[str, ...]
    last: tuple[str, ...] = ()
    repeating: Mapping[str, int] = field(default_factory=dict)
    mask: Graph | None = None

    def to_json(self) -> dict[str, Any]:
        """All but the inputs and outputs, which a model tells itself, as plain data."""
        return {
            "states": dict(self.states),
            "chunked": list(self.chunked),
            "last": list(self.last),
            "repeating": dict(self.repeating),
            "mask": None if self.mask is None else graph_data(self.mask),
        }

    @classmethod
    def from_json(
        cls, data: Mapping[str, Any], inputs: Sequence[Value], outputs: Sequence[Value]
    ) -> Streaming:
        """Back from `to_json`; `ValueError` and the like where it is something else, or of another model."""
        known = [{value.name for value in values} for values in (inputs, outputs)]
        named = (
            {*data["states"], *data["chunked"]},
            {*data["states"].values(), *data["last"], *data["repeating"]},
        )
        if unknown := sorted(map(str, (named[0] - known[0]) | (named[1] - known[1]))):
            raise ValueError(f"no inputs or outputs: {unknown}")
        return cls(
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            states={str(name): str(output) for name, output in data["states"].items()},
            chunked=tuple(str(name) for name in data["chunked"]),
            last=tuple(str(name) for name in data["last"]),
            repeating={str(name): int(axis) for name, axis in data["repeating"].items()},
            mask=None if data["mask"] is None else graph_from(data["mask"]),
        )


def plan_stream(graph: Graph, states: Mapping[str, str] | None = None) -> Streaming:
    """How to feed a model chunk by chunk, which then computes what it does in one call over all steps.

    Args:
        graph: the model.
        states: its inputs that are states, and for each the output that is the state after the steps; by
            default they are told by what they do, see `biport.streaming.pairs.state_pairs`.

    Raises:
        UnsupportedError: chunks make a difference; the message names the layer that sees more than one step,
            or whose states do not go in and out.
        InputError: ``states`` names what is none.

    Example:
        >>> import numpy as np
        >>> from biport.rewrite.states import explicit_states
        >>> weights = dict.fromkeys(("weight_ih", "weight_hh"), {"h": np.ones((3, 3), "float32")})
        >>> cell = ops.RNN(input_size=3, hidden_size=3, **weights, bias_ih=None, bias_hh=None)
        >>> graph = Graph((Value("x", ("N", "T", 3), "float32"),), (Node("rnn", cell, ("x",)),), ("rnn",))
        >>> plan = plan_stream(explicit_states(graph))
        >>> plan.states, plan.chunked, plan.last
        ({'rnn.h': 'rnn.h_next'}, ('x',), ('rnn',))
    """
    pairs = state_pairs(graph) if states is None else _checked(graph, states)
    problems: list[UnsupportedError] = []
    for chunked in _candidates([value for value in graph.inputs if value.name not in pairs]):
        try:
            return _planned(graph, pairs, chunked)
        except UnsupportedError as problem:
            problems.append(problem)
    raise problems[0]


def _planned(graph: Graph, pairs: Mapping[str, str], chunked: Sequence[Value]) -> Streaming:
    """The plan where these inputs come in chunks; raises like `plan_stream`."""
    tensors = ((name, graph.tensors[name]) for name in graph.outputs)
    plan = Streaming(
        inputs=graph.inputs,
        outputs=tuple(Value(name, tensor.shape, tensor.dtype) for name, tensor in tensors),
        states=pairs,
        chunked=tuple(value.name for value in chunked),
    )
    if _single(chunked):
        _check_states(graph, _scans_of_a_step(graph, pairs, chunked), pairs)
        return plan
    values = _StreamedValues(graph, pairs, chunked)
    values.check_all()
    _check_states(graph, values.scans, pairs)
    mask = values.mask()
    return dataclasses.replace(
        plan,
        last=tuple(values.last()),
        repeating=values.repeating(),
        mask=None if mask is None else mask_graph(graph, mask),
    )


def _checked(graph: Graph, states: Mapping[str, str]) -> dict[str, str]:
    inputs = {value.name: value for value in graph.inputs}
    for name, output in states.items():
        if name not in inputs or output not in graph.outputs:
            raise InputError(
                f"states: {name!r} to {output!r}: should be an input ({', '.join(inputs)}) and an output "
                f"({', '.join(graph.outputs)})"
            )
        if graph.tensors[output] != inputs[name].tensor:
            raise InputError(
                f"states: {name!r} is {inputs[name].tensor}, but {output!r} {graph.tensors[output]}"
            )
    return dict(states)


def _candidates(fed: Sequence[Value]) -> list[list[Value]]:
    """Which inputs may come in chunks: those of a single step; or of several, all of them or one of them."""
    steps = {value.name: _steps(value) for value in fed}
    single = [value for value in fed if steps[value.name] == 1]
    several = [value for value in fed if steps[value.name] not in (None, 1)]
    if single or not several:
        return [single or list(fed)]
    varying = [value for value in several if not isinstance(steps[value.name], int)] or several
    return [varying, *([value] for value in varying if len(varying) > 1)]


def _steps(value: Value) -> Dim | None:
    """How many steps an input has; none of those are the features of rows, ``(N, I)``."""
    axis = time_axis(value.shape)
    features = value.dtype in FLOATS and len(value.shape) == 2
    if axis is None or (features and isinstance(value.shape[axis], int)):
        return None
    return value.shape[axis]


def _single(chunked: Sequence[Value]) -> bool:
    return all(_steps(value) in (None, 1) for value in chunked)


def _refuse(node: Node, setting: str | None, value: object, supported: Sequence[str] = SUPPORTED) -> NoReturn:
    raise UnsupportedError(f"streaming: layer {node.name!r} ({node.op.kind})", setting, value, supported)


def _hanging(graph: Graph, roots: Collection[str]) -> dict[str, set[str]]:
    """For each value those of the ``roots`` that it is made of."""
    roots_of = {name: {name} if name in roots else set[str]() for name in graph.tensors}
    for node in graph.nodes:
        read = (name for name in (*node.inputs, *node.masks) if name is not None)
        given = set[str]().union(*(roots_of[name] for name in read))
        for name in node.outputs:
            roots_of[name] |= given
    return roots_of


def _scans_of_a_step(graph: Graph, pairs: Mapping[str, str], chunked: Sequence[Value]) -> list[Node]:
    """The recurrent nodes that take one step with each chunk."""
    roots_of = _hanging(graph, {*pairs, *(value.name for value in chunked)})
    return [
        node
        for node in graph.nodes
        if isinstance(node.op, SCANS)
        and roots_of[node.inputs[0]]
        and graph.tensors[node.inputs[0]].shape[1] == 1
    ]


def _check_states(graph: Graph, scans: Sequence[Node], pairs: Mapping[str, str]) -> None:
    """Refuse recurrent nodes that do not start from states, or whose states are not among the outputs.

    Raises:
        UnsupportedError: there is one.
    """
    of_inputs = _hanging(graph, pairs)
    of_layers = _hanging(graph, {name for node in scans for name in node.outputs})
    for node in scans:
        if isinstance(node.op, ops.Bidirectional):
            _refuse(node, "direction", "both", [FORWARD])
        states = states_of(node)
        if not states:
            _refuse(node, "initial_state", "zeros in every chunk", STATES)
        for initial, after in states:
            if not of_inputs[initial]:
                _refuse(node, "initial_state", f"{initial}, which no output goes on from", STATES)
            for name in sorted(of_inputs[initial]):
                if of_layers[pairs[name]].isdisjoint(after):
                    _refuse(node, "states", f"not given by {pairs[name]}, from which {name} goes on", STATES)


class _Kind(Enum):
    """What a value is, where a model is fed chunk by chunk."""

    CONSTANT = auto()
    """The same for all chunks."""
    STATE = auto()
    """Of the states before the chunk."""
    STEPS = auto()
    """Of each step, and of those before it; the steps lie along axis 1."""
    STEPS_FIRST = auto()
    """Likewise along axis 0, the rows along axis 1."""
    LAST = auto()
    """Of all steps so far."""


OF_STEPS = _Kind.STEPS, _Kind.STEPS_FIRST


class _StreamedValues(SteppableValues):
    """The values of a graph that is fed some steps at a time, gathered node by node."""

    stepped = "the steps, which come in chunks"
    other = "what is the same for all chunks"

    def __init__(self, graph: Graph, pairs: Mapping[str, str], chunked: Sequence[Value]) -> None:
        axes = {value.name: time_axis(value.shape) for value in chunked}
        self._sized = letters_in(tuple(_steps(value) for value in chunked))
        super().__init__(graph, [name for name, axis in axes.items() if axis == 1], self._sized)
        self._pairs = pairs
        self._kinds = dict.fromkeys((value.name for value in graph.inputs), _Kind.CONSTANT)
        self._kinds |= dict.fromkeys(pairs, _Kind.STATE)
        self._kinds |= {name: _Kind.STEPS if axis == 1 else _Kind.STEPS_FIRST for name, axis in axes.items()}
        self._repeating: dict[str, str] = {}
        """By value: the mask at whose masked steps it repeats what was before."""
        self.scans: list[Node] = []
        """The recurrent nodes over the steps."""

    def check_all(self) -> None:
        """Take in all of the nodes.

        Raises:
            UnsupportedError: one computes something else of chunks than of all steps at once.
        """
        for node in self._graph.nodes:
            self.check(node)
        for name in self._graph.outputs:
            if self._kinds[name] is _Kind.STATE and name not in self._pairs.values():
                problem = f"{name}, which is of states before the steps"
                raise UnsupportedError("streaming", "output", problem, "outputs of the steps")

    def check(self, node: Node) -> None:
        """Take the next node in; raises like `check_all`."""
        kinds = {name: self._kinds[name] for name in (*node.inputs, *node.masks) if name is not None}
        if isinstance(node.op, SCANS) and kinds[node.inputs[0]] is _Kind.STEPS:
            self._scan(node)
            return
        kind = self._kind(node, kinds)
        self._kinds |= dict.fromkeys(node.outputs, kind)
        if kind in OF_STEPS:
            if kind is _Kind.STEPS:
                self._steppable |= set(node.outputs)
            repeated = self._repeated(node, [name for name in kinds if kinds[name] in OF_STEPS])
            self._repeating |= {} if repeated is None else dict.fromkeys(node.outputs, repeated)

    def _repeated(self, node: Node, names: Sequence[str]) -> str | None:
        """The mask at whose masked steps all of these repeat what was before; raises like `check_all`."""
        masks = {self._repeating.get(name) for name in names}
        if len(masks) > 1:
            # Where a chunk begins with a masked step, the layer has zeros for what one call would repeat.
            repeating = next(name for name in names if name in self._repeating)
            problem = f"{repeating}, which repeats masked steps, beside what does not"
            _refuse(node, "input", problem, ["layers with zero_output_for_mask there"])
        return masks.pop()

    def _scan(self, node: Node) -> None:
        """Take in a recurrent node over the steps."""
        op, (x, *_), (mask, *_) = node.op, node.inputs, node.masks
        if isinstance(op, ops.Bidirectional):
            _refuse(node, "direction", "both", [FORWARD])
        assert isinstance(op, ops.Recurrent)
        if op.reverse:
            _refuse(node, "reverse", True, [FORWARD])
        for name in op.split(node.inputs)[2]:
            if self._kinds[name] is not _Kind.CONSTANT:
                _refuse(node, "constants", f"{name}, which is not {self.other}")
        if mask is not None and self._kinds[mask] is not _Kind.STEPS:
            _refuse(node, "mask", f"{mask}, whose steps are not the input's")
        if self._repeating.get(x, mask) != mask or mask in self._repeating:
            problem = f"{mask}, where the input repeats masked steps"
            _refuse(node, "mask", problem, ["the mask of the layer before", "zero_output_for_mask there"])
        kinds = [_Kind.STEPS if op.return_sequences else _Kind.LAST]
        kinds += [_Kind.LAST] * (len(node.outputs) - 1)
        self._kinds |= zip(node.outputs, kinds, strict=True)
        if op.return_sequences:
            self._steppable.add(node.outputs[0])
            if mask is not None and not op.zero_output_for_mask:
                self._repeating[node.outputs[0]] = mask
        self.scans.append(node)

    def _kind(self, node: Node, kinds: Mapping[str, _Kind]) -> _Kind:
        """What any other node gives; raises like `check_all`."""
        given = set(kinds.values())
        if _Kind.STEPS_FIRST in given or (_Kind.STEPS in given and _turns(node.op)):
            return self._turned(node, kinds)
        if _Kind.LAST in given:
            beside = [name for name, kind in kinds.items() if kind in (_Kind.STEPS, _Kind.STATE)]
            if beside:
                _refuse(node, "input", f"{beside[0]}, beside what is of all steps so far")
            return _Kind.LAST
        if _Kind.STEPS in given:
            states = [name for name, kind in kinds.items() if kind is _Kind.STATE]
            if states:
                _refuse(node, "input", f"{states[0]}, which is of states before the steps")
            problem = self._problem(node)
            if problem is not None:
                _refuse(node, *(problem if problem[0] is not None else ("steps", "several at once")))
            return _Kind.STEPS
        if own := sorted(node.op.letters & self._sized):
            _refuse(node, "sizes", ", ".join(own))
        return _Kind.STATE if _Kind.STATE in given else _Kind.CONSTANT

    def _turned(self, node: Node, kinds: Mapping[str, _Kind]) -> _Kind:
        """What a node gives of steps along axis 0, or that puts them there; raises like `check_all`."""
        given = set(kinds.values())
        if _turns(node.op):
            return _Kind.STEPS if _Kind.STEPS_FIRST in given else _Kind.STEPS_FIRST
        tensors = [self._graph.tensors[name] for name in node.inputs]
        steps = next(self._graph.tensors[name].shape[0] for name in kinds if kinds[name] is _Kind.STEPS_FIRST)
        outputs = [self._graph.tensors[name].shape for name in node.outputs]
        alike = given <= {_Kind.STEPS_FIRST, _Kind.CONSTANT} and not node.op.letters
        if not alike or node.op.mixes_rows(tensors) or any(shape[:1] != (steps,) for shape in outputs):
            _refuse(node, "axis", "that of the steps, which is the first one here")
        return _Kind.STEPS_FIRST

    def last(self) -> list[str]:
        """The outputs that are of all steps so far, and no states."""
        states = self._pairs.values()
        return [
            name for name in self._graph.outputs if name not in states and self._kinds[name] is _Kind.LAST
        ]

    def repeating(self) -> dict[str, int]:
        """The outputs that repeat at masked steps what was before, and the axis of their steps."""
        return {
            name: 1 if self._kinds[name] is _Kind.STEPS else 0
            for name in self._graph.outputs
            if name in self._repeating
        }

    def mask(self) -> str | None:
        """The mask of the steps, where outputs hang on which of a chunk are valid.

        Raises:
            UnsupportedError: there are several.
        """
        ends = [node for node in self.scans if not _gives_sequences(node) and node.masks[0] is not None]
        zeroing = [
            node for node in ends if isinstance(node.op, ops.Recurrent) and node.op.zero_output_for_mask
        ]
        # The output of the last step is zero where that is masked, in a chunk as in one call.
        ends = [node for node in ends if node not in zeroing]
        for end in ends:
            # A row would be without valid steps for some of the layers alone.
            for node in self.scans:
                if node.masks[0] != end.masks[0]:
                    _refuse(end, "mask", f"{end.masks[0]}, which is not that of {node.name!r}")
        if ends and zeroing:
            _refuse(zeroing[0], "zero_output_for_mask", True, [f"False, as that of {ends[0].name!r}"])
        masks = {node.masks[0] for node in ends} | {self._repeating[name] for name in self.repeating()}
        if len(masks) > 1:
            raise UnsupportedError("streaming", "masks", ", ".join(sorted(map(str, masks))), "one of them")
        return masks.pop() if masks else None


def _gives_sequences(node: Node) -> bool:
    return isinstance(node.op, ops.Recurrent) and node.op.return_sequences


def _turns(op: ops.Op) -> bool:
    """Whether an op exchanges the rows and the steps."""
    return isinstance(op, ops.PermuteDims) and op.axes == (1, 0, *range(2, len(op.axes)))
