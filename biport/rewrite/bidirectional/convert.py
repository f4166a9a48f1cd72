"""A graph with one-way recurrent layers to one where they scan both ways."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from biport import ops
from biport.dims import known, product
from biport.errors import Argument, InputError, UnsupportedError, raise_unsupported
from biport.graph import Graph, Node
from biport.ops import Op
from biport.rewrite.bidirectional.backward import bidirectional
from biport.rewrite.bidirectional.summary import summary
from biport.rewrite.bidirectional.widening import Widening, doubled, refused, scaled, take

MERGES = ("concat", "sum", "ave", "mul")
INITS = ("copy", "mirror", "fresh")


@dataclass(frozen=True)
class Conversion:
    """A converted model; its text is a table of parameters before and after.

    Args:
        before: the model that was given.
        graph: the model with bidirectional layers.
        layers: the names of those.
        notes: where the new model computes something else than the old one.
    """

    before: Graph
    graph: Graph
    layers: Sequence[str]
    notes: Sequence[str] = field(default=())

    def __str__(self) -> str:
        lines = summary(self.before, self.graph, self.layers)
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def bidirect(
    graph: Graph,
    layers: Iterable[str] | None = None,
    *,
    merge: str = "concat",
    init: str = "copy",
    seed: int = 0,
) -> Conversion:
    """Make recurrent layers bidirectional; the forward directions keep their weights.

    With ``merge="concat"`` what follows a layer is widened: its weights gain entries for the backward one.
    With ``init="copy"`` or ``"fresh"`` those are 0, so that at every valid step the model computes exactly
    what it did, until it is trained further. With ``"mirror"`` they are the forward one's, and both are
    halved: the next layer sees the mean of both directions. With another ``merge`` shapes stay, and the
    model computes something else from the start.

    Args:
        graph: with LSTM, GRU or SimpleRNN layers.
        layers: the names of those to convert; by default all of them.
        merge: ``"concat"``, ``"sum"``, ``"ave"`` or ``"mul"``.
        init: of the backward direction: ``"copy"`` of the forward one; ``"mirror"``, a copy that weighs as
            much in the next layer; ``"fresh"`` weights as Keras begins with them.
        seed: of fresh weights.

    Raises:
        InputError: an option is another one, or there is no such layer.
        UnsupportedError: a layer cannot be converted, or one behind it cannot be widened; all such layers at
            once, by name.
    """
    if merge not in MERGES or init not in INITS:
        raise InputError(
            Argument("merge", merge),
            ", ",
            Argument("init", init),
            f": merge is one of {', '.join(MERGES)}, init of {', '.join(INITS)}",
        )
    if init == "mirror" and merge == "mul":
        raise InputError(
            Argument("init", "mirror"),
            ": the mean of both directions; a product (",
            Argument("merge", "mul"),
            ") has none",
        )
    return _Converter(graph, _chosen(graph, layers), merge, init, seed).convert()


def _chosen(graph: Graph, layers: Iterable[str] | None) -> list[str]:
    names = [node.name for node in graph.nodes if isinstance(node.op, ops.Cell)]
    if not names:
        raise InputError("the model has no LSTM, GRU or SimpleRNN layer of one direction")
    wanted = names if layers is None else list(dict.fromkeys(layers))
    missing = [name for name in wanted if name not in names]
    if missing:
        raise InputError(
            f"{', '.join(missing)}: no such recurrent layer of one direction; there are {', '.join(names)}"
        )
    return wanted


class _Converter:
    def __init__(self, graph: Graph, names: Sequence[str], merge: str, init: str, seed: int) -> None:
        self.graph, self.names = graph, names
        self.merge, self.init, self.seed = merge, init, seed
        self.wider: dict[str, Widening] = {}
        self.shared: dict[int, tuple[Node, list[Widening | None], Op]] = {}
        """What became of an op that several nodes share, under its identity."""

    def convert(self) -> Conversion:
        nodes: list[Node] = []
        problems: list[UnsupportedError] = []
        for node in self.graph.nodes:
            try:
                nodes.append(self._node(node))
            except UnsupportedError as error:
                problems.append(error)
                nodes.append(node)
        raise_unsupported("making it bidirectional", problems)
        graph = dataclasses.replace(self.graph, nodes=tuple(nodes))
        return Conversion(self.graph, graph, tuple(self.names), tuple(self._notes()))

    def _node(self, node: Node) -> Node:
        widenings = [self.wider.get(name) for name in node.inputs]
        chosen = node.name in self.names
        op, widening = self._op(node, widenings, chosen)
        if widening is not None:
            self.wider[node.outputs[0]] = widening
        states = chosen and isinstance(node.op, ops.Recurrent) and node.op.return_state
        return dataclasses.replace(node, op=op, outputs=node.outputs[:1] if states else node.outputs)

    def _op(self, node: Node, widenings: list[Widening | None], chosen: bool) -> tuple[Op, Widening | None]:
        op, widening = node.op, None
        if any(widenings):
            op, widening = self._taken(node, widenings)
        if not chosen:
            return self._shared(node, widenings, op), widening
        cell = self._convertible(node, op)
        both = bidirectional(cell, self.merge, self.init, self.seed, node.name)
        return self._shared(node, widenings, both), self._both_ways(cell.hidden_size)

    def _taken(self, node: Node, widenings: list[Widening | None]) -> tuple[Op, Widening | None]:
        try:
            inputs = [self.graph.tensors[name] for name in node.inputs]
            return take(node, node.op, inputs, widenings)
        except UnsupportedError as error:
            raise refused(node) from error

    def _shared(self, node: Node, widenings: list[Widening | None], op: Op) -> Op:
        """The op that an earlier node has for the same one, which both go on sharing."""
        first, others, changed = self.shared.setdefault(id(node.op), (node, widenings, op))
        alike = all(
            one is two or (one is not None and one.equals(two))
            for one, two in zip(widenings, others, strict=True)
        )
        if first is node or (alike and (first.name in self.names) == (node.name in self.names)):
            return changed
        raise UnsupportedError(
            f"layer {node.name!r} ({node.op.kind})",
            "weights",
            f"shared with {first.name!r}",
            "the same change for both",
        )

    def _convertible(self, node: Node, op: Op) -> ops.Cell:
        owner = f"layer {node.name!r} ({node.op.kind})"
        assert isinstance(op, ops.Cell)
        if op.reverse:
            raise UnsupportedError(owner, "go_backwards", True, ["layers that scan forwards"])
        if len(node.inputs) > 1:
            raise UnsupportedError(owner, "initial_state", "given", "layers that start from zeros")
        if not op.return_state:
            return op
        read = {*self.graph.outputs}.union(*({*other.inputs} for other in self.graph.nodes))
        if read & set(node.outputs[1:]):
            raise UnsupportedError(owner, "return_state", "and the states are used", "layers whose are not")
        return dataclasses.replace(op, return_state=False)

    def _both_ways(self, size: int) -> Widening | None:
        if self.merge == "concat":
            return doubled(size, 0.5 if self.init == "mirror" else 0.0)
        return scaled(size, 0.5) if self.init == "mirror" and self.merge == "sum" else None

    def _notes(self) -> Iterable[str]:
        if self.init == "mirror":
            yield "it computes the mean of both directions, not what it did before"
        elif self.merge != "concat":
            yield f"both directions are merged by {self.merge}: it does not compute what it did before"
        for name in self.graph.outputs:
            if name in self.wider and len(self.wider[name].of) > self._width(name):
                yield f"the output {name!r} is {len(self.wider[name].of)} wide, it was {self._width(name)}"
        for name in self.names:
            node = self.graph[name]
            op = node.op
            assert isinstance(op, ops.Cell)
            if node.masks[0] is not None and op.return_sequences and not op.zero_output_for_mask:
                yield f"layer {name!r} gives zeros at masked steps, where it repeated its last output"

    def _width(self, name: str) -> int:
        return known(product(self.graph.tensors[name].shape[-1:]))
