"""A sequence-to-sequence graph in two: the encoder, and one step of the decoder with explicit states."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from biport import ops
from biport.analysis.rows import where_rows_meet
from biport.dims import Dim, Size, letter
from biport.errors import UnsupportedError
from biport.graph import Graph, Node, Value
from biport.ops import Op
from biport.rewrite.steppable import SteppableValues, own_letters


@dataclass(frozen=True)
class EncoderDecoder:
    """A model with teacher forcing, in two graphs.

    Args:
        encoder: source to what the decoder needs of it: first what every step reads (outputs to attend to,
            their mask), then the initial states, in the order of the inputs of ``step``.
        step: the target's last token, ``(N, 1)``, what every step reads, and the states, ``(N, H)`` each, to
            the probabilities of the next token, ``(N, 1, V)``, and the states after it.
    """

    encoder: Graph
    step: Graph


def split(graph: Graph, target: str | None = None) -> EncoderDecoder:
    """Take ``graph`` apart into an encoder and a decoder of a single step.

    Stepped, the decoder computes what the whole model does with the tokens as its target. Of the graph's
    outputs the first counts, the probabilities of the next token; a softmax is put behind logits.

    Args:
        graph: of two inputs, source and target, as models trained with teacher forcing have.
        target: the input that is the decoder's own sequence; by default the last one.

    Raises:
        UnsupportedError: the graph has more or fewer inputs, a layer in which rows of a batch meet, or in its
            decoder one that looks at other steps than the present one and its own states; the message names
            it.

    Example:
        >>> import numpy as np
        >>> table = ops.Embedding(num_embeddings=7, embedding_dim=3, weight=np.ones((7, 3), "float32"))
        >>> weights = dict.fromkeys(("weight_ih", "weight_hh"), {"h": np.ones((3, 3), "float32")})
        >>> cell = ops.RNN(input_size=3, hidden_size=3, **weights, bias_ih=None, bias_hh=None)
        >>> nodes = (
        ...     Node("read", table, ("source",)),
        ...     Node("encoder", cell, ("read",)),
        ...     Node("known", table, ("target",)),
        ...     Node("decoder", dataclasses.replace(cell, return_sequences=True), ("known", "encoder")),
        ...     Node("next", ops.Activation(function="softmax"), ("decoder",)),
        ... )
        >>> inputs = Value("source", ("N", "S"), "int32"), Value("target", ("N", "T"), "int32")
        >>> model = split(Graph(inputs, nodes, ("next",)))
        >>> model.encoder.outputs, [value.name for value in model.step.inputs], model.step.outputs
        (('encoder',), ['target', 'decoder_h'], ('next', 'decoder_h_next'))
    """
    names = [value.name for value in graph.inputs]
    owner = "decoding step by step"
    if len(names) != 2:
        raise UnsupportedError(owner, "inputs", names, ["a source and a target"])
    target = names[-1] if target is None else target
    if target not in names:
        raise UnsupportedError(owner, "target", target, names)
    node = where_rows_meet(graph)
    if node is not None:
        mixer = f"{owner}: layer {node.name!r} ({node.op.kind})"
        raise UnsupportedError(mixer, None, "several rows of a batch", "layers that act row by row")
    return _Split(graph, target).run()


@dataclass(frozen=True)
class _State:
    """A state of the decoder: the value it starts from, ``None`` for zeros, and what it is after a step."""

    initial: str | None
    value: Value
    after: str


class _Split:
    def __init__(self, graph: Graph, target: str) -> None:
        self.graph = graph
        self.target = next(value for value in graph.inputs if value.name == target)
        self.taken = {node.name for node in graph.nodes} | set(graph.tensors)
        self.late = _depends(graph, target)
        """The nodes that hang on the target, whose outputs the first output needs."""
        self.states: list[_State] = []
        self.stateful: dict[int, Op] = {}

    def run(self) -> EncoderDecoder:
        target = self.target.name
        steppable = SteppableValues(self.graph, [target], own_letters(self.graph, target))
        # What is the same in every row is no row of the encoder's: each side has its own.
        steps = self._constant()
        for node in self.late:
            steppable.check(node)
            steps.append(self._stateful(node) if isinstance(node.op, ops.Recurrent) else node)
        # Those that start from zeros come last: the encoder gives none for them.
        self.states.sort(key=lambda state: state.initial is None)
        last = self._probabilities(steps, steppable)
        shared = self._shared(steps)
        return EncoderDecoder(self._encoder(shared), self._step(steps, shared, last))

    def _constant(self) -> list[Node]:
        """The nodes that hang on no input, and that those that hang on the target read."""
        constant: set[str] = set()
        for node in self.graph.nodes:
            read = {name for name in (*node.inputs, *node.masks) if name is not None}
            if read <= constant and not node.op.letters:
                constant |= set(node.outputs)
        read_late = [name for node in self.late for name in (*node.inputs, *node.masks) if name is not None]
        return [node for node in _needed(self.graph, read_late) if constant.issuperset(node.outputs)]

    def _stateful(self, node: Node) -> Node:
        """A recurrent node with states in and out."""
        op = node.op
        assert isinstance(op, ops.Recurrent)
        letters = getattr(op, "states", range(len(op.state_sizes)))
        x, initial, constants = op.split(node.inputs)
        given = initial or (None,) * len(op.state_sizes)
        ins = [self._new(f"{node.name}_{letter}") for letter in letters]
        outs = [self._new(f"{name}_next") for name in ins]
        dtype = self.graph.tensors[node.outputs[0]].dtype
        shapes = op.state_shapes(self.graph.tensors[x].shape[2:])
        for initial, name, shape, after in zip(given, ins, shapes, outs, strict=True):
            self.states.append(_State(initial, Value(name, ("N", *shape), dtype), after))
        # Nodes that share their weights go on sharing them.
        changed = self.stateful.setdefault(id(op), dataclasses.replace(op, return_state=True))  # type: ignore[type-var]
        return Node(
            node.name,
            changed,
            (x, *ins, *constants),
            (node.outputs[0], *outs),
            (node.masks[0], *(None for _ in (*ins, *constants))),
        )

    def _new(self, name: str) -> str:
        """``name``, or one like it that no value or node has."""
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name

    def _probabilities(self, steps: list[Node], steppable: SteppableValues) -> str:
        """The output, with a softmax behind it where it gives logits."""
        name = self.graph.outputs[0]
        steppable.check_output(name)
        maker = next(node for node in self.graph.nodes if name in node.outputs)
        ending = _ending(maker.op)
        if ending == "softmax":
            return name
        if ending != "linear":
            supported = ["softmax", "linear (logits)"]
            raise UnsupportedError(f"layer {maker.name!r} ({maker.op.kind})", "activation", ending, supported)
        soft = self._new("probabilities")
        steps.append(Node(soft, ops.Activation(function="softmax"), (name,)))
        return soft

    def _shared(self, steps: Sequence[Node]) -> list[str]:
        """What the steps read of the encoder's side, besides initial states.

        Raises:
            UnsupportedError: it has no rows, so that they cannot be picked out of it in a search.
        """
        own = {self.target.name, *(state.value.name for state in self.states)}
        own |= {name for node in steps for name in node.outputs}
        read = [name for node in steps for name in (*node.inputs, *node.masks) if name is not None]
        shared = [name for name in dict.fromkeys(read) if name not in own]
        for name in shared:
            tensor = self.graph.tensors[name]
            if tensor.shape[:1] != self.target.tensor.shape[:1]:
                label = f"decoding step by step: the decoder's input {name!r}"
                raise UnsupportedError(label, "shape", str(tensor), "a row for each row of the source")
        return shared

    def _encoder(self, shared: Sequence[str]) -> Graph:
        late = {node.name for node in self.late}
        inputs = tuple(value for value in self.graph.inputs if value.name != self.target.name)
        wanted = [*shared, *(state.initial for state in self.states if state.initial is not None)]
        nodes = [node for node in _needed(self.graph, wanted) if node.name not in late]
        outputs: list[str] = []
        plain = {value.name for value in inputs}
        for name in wanted:
            if name in plain or name in outputs:
                # A file's output is neither an input nor there twice.
                copy = self._new(f"{name}_given")
                nodes.append(Node(copy, ops.Identity(), (name,)))
                name = copy
            outputs.append(name)
        return Graph(inputs, tuple(nodes), tuple(outputs), self.graph.origin)

    def _step(self, steps: Sequence[Node], shared: Sequence[str], last: str) -> Graph:
        letters: dict[Dim, Size] = {letter("N"): letter("N")}
        values = [
            Value(name, tuple(self._letter(dim, letters) for dim in tensor.shape), tensor.dtype)
            for name, tensor in ((name, self.graph.tensors[name]) for name in shared)
        ]
        shape = self.target.shape
        target = dataclasses.replace(self.target, shape=("N", 1, *shape[2:]))
        inputs = (target, *values, *(state.value for state in self.states))
        outputs = (last, *(state.after for state in self.states))
        return Graph(inputs, tuple(steps), outputs, self.graph.origin)

    @staticmethod
    def _letter(dim: Dim, letters: dict[Dim, Size]) -> Dim:
        """A size that varies as a letter of its own: S, S_2 and so on."""
        if isinstance(dim, int):
            return dim
        return letters.setdefault(dim, letter("S" if len(letters) == 1 else f"S_{len(letters)}"))


def _depends(graph: Graph, target: str) -> list[Node]:
    """The nodes that hang on ``target`` and that the first output hangs on, in order."""
    late = {target}
    needed = {node.name for node in _needed(graph, [graph.outputs[0]])}
    nodes = []
    for node in graph.nodes:
        if late & {*node.inputs, *node.masks}:
            late |= set(node.outputs)
            if node.name in needed:
                nodes.append(node)
    return nodes


def _needed(graph: Graph, names: Sequence[str]) -> list[Node]:
    """The nodes that the values ``names`` hang on, in order."""
    wanted = set(names)
    nodes = []
    for node in reversed(graph.nodes):
        if wanted & set(node.outputs):
            wanted |= {name for name in (*node.inputs, *node.masks) if name is not None}
            nodes.append(node)
    return nodes[::-1]


def _ending(op: Op) -> str:
    """The activation an op ends with."""
    if isinstance(op, ops.TimeDistributed):
        return _ending(op.layer)
    if isinstance(op, ops.Softmax):
        return "softmax"
    if isinstance(op, ops.Activation):
        return op.function
    return op.activation if isinstance(op, ops.Dense) else "linear"
