"""From a graph to a module: what the write functions of `torch_side.ops` emit with, and who calls them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx, nn

from biport.analysis.lengths import needed_lengths, needed_steps
from biport.errors import UnsupportedError, raise_unsupported
from biport.graph import Graph, Node
from biport.inputs import id_bounds
from biport.ops import Op, Tensor, TensorOperation
from torch_side.names import ORIGIN, Origin, attribute_path, variable
from torch_side.registry import STATES, WRITERS, tensors
from torch_side.spelling import Spelling, spell
from torch_side.writing.ported import Ported


class GraphWriter:
    """A torch.fx graph in the making, and the modules it calls.

    Args:
        graph: its inputs become the arguments of ``forward``.
    """

    def __init__(self, graph: Graph) -> None:
        self.root = nn.Module()
        self.graph = fx.Graph()
        self.values: dict[str, fx.Node] = {}
        self.paths: dict[str, str] = {}
        self._ops: dict[int, int] = {}
        self._modules: dict[int, str] = {}
        self._node: Node
        self._tensors = graph.tensors
        self._makers = {name: node for node in graph.nodes for name in node.outputs}
        self._emitted: list[fx.Node] = []
        self._numbers: list[Node] = []
        for value in graph.inputs:
            taken = [str(node.target) for node in self.values.values()]
            self.values[value.name] = self.graph.placeholder(variable(value.name, taken))

    @property
    def owner(self) -> str:
        """The node being written, for errors."""
        return f"node {self._node.name!r}"

    def write(self, node: Node) -> None:
        """Write one node with the function registered for its op.

        Raises:
            UnsupportedError: torch has nothing that computes the op.
        """
        self._node, self._emitted = node, []
        function = WRITERS.lookup(type(node.op), self.owner)
        inputs = [self.values[name] for name in node.inputs]
        masks = [None if name is None else self.values[name] for name in node.masks]
        outputs = function(node.op, self, inputs, masks)
        self.values |= zip(node.outputs, outputs, strict=True)
        if not self._emitted:
            assert not node.inputs, f"{self.owner}: only a constant can do without statements"
            self._numbers.append(node)
            return
        number = self._ops.setdefault(id(node.op), len(self._ops))
        spelling = self._spelling(node, outputs)
        origin = Origin(node.name, node.outputs, number, spelling, tuple(self._numbers))
        self._numbers.clear()
        for emitted in self._emitted:
            emitted.meta[ORIGIN] = origin

    def _spelling(self, node: Node, outputs: Sequence[fx.Node]) -> Spelling | None:
        if not isinstance(node.op, TensorOperation):
            return None
        sources = [
            value if isinstance(value := self.values[name], fx.Node) else self._makers[name]
            for name in node.inputs
        ]
        return spell(node.op, sources, self._emitted, outputs)

    def module(self, build: Callable[[Any], nn.Module], *inputs: fx.Node, **keywords: Any) -> fx.Node:
        """Call the node's module; ``build(op)`` makes it, once for all nodes that share the op.

        Its weights are filled in from the state registered for the op. Keywords that are ``None`` are left
        out.
        """
        op = self._node.op
        if id(op) not in self._modules:
            path = attribute_path(self._node.name, list(self._modules.values()))
            self._modules[id(op)] = path
            _attach(self.root, path, _filled(build, op))
        path = self.paths[self._node.name] = self._modules[id(op)]
        given = {name: value for name, value in keywords.items() if value is not None}
        return self._emit("call_module", path, inputs, given)

    def call(self, function: Callable, *args: Any, **kwargs: Any) -> fx.Node:
        """Call a function such as `torch.sigmoid`."""
        return self._emit("call_function", function, args, kwargs)

    def method(self, name: str, *args: Any) -> fx.Node:
        """Call a method of the first argument: ``x.transpose(1, 2)``."""
        return self._emit("call_method", name, args, {})

    def full(self, position: int) -> fx.Node:
        """A constant input of the node being written, which is a number, as a tensor of no dimension."""
        value = self.values[self._node.inputs[position]]
        return self.call(torch.tensor, value, dtype=getattr(torch, self.tensor(position).dtype))

    def tensor(self, position: int = 0) -> Tensor:
        """Shape and dtype of an input of the node being written."""
        return self._tensors[self._node.inputs[position]]

    def rank(self, position: int = 0) -> int:
        """How many dimensions an input of the node being written has."""
        return len(self.tensor(position).shape)

    def _emit(self, kind: str, target: Any, args: tuple, kwargs: dict[str, Any]) -> fx.Node:
        # The first statement of a node carries the node's name, those after it what torch.fx calls them.
        name = None if self._emitted else variable(self._node.name, ())
        self._emitted.append(self.graph.create_node(kind, target, args, kwargs, name=name))
        return self._emitted[-1]


def write_graph(graph: Graph) -> Ported:
    """The module that computes ``graph``; `torch_side.write` describes it.

    Raises:
        UnsupportedModelError: torch has no equal of some ops or settings; all of them are named.
    """
    writer = GraphWriter(graph)
    problems: list[UnsupportedError] = []
    for node in graph.nodes:
        try:
            writer.write(node)
        except UnsupportedError as error:
            problems.append(error)
            # Any value will do: what is wrong further down should still be said, then all is refused.
            writer.values |= dict.fromkeys(node.outputs, next(iter(writer.values.values())))
    raise_unsupported("torch_side.write", problems)
    outputs = tuple(writer.values[name] for name in graph.outputs)
    writer.graph.output(outputs[0] if len(outputs) == 1 else outputs)
    module = Ported(writer.root, writer.graph, class_name="Ported")
    module.meta |= {
        "inputs": graph.inputs,
        "outputs": graph.outputs,
        "bounds": id_bounds(graph),
        "needs_steps": needed_steps(graph) | needed_lengths(graph),
        "paths": writer.paths,
    }
    return module.eval()


def _filled(build: Callable[[Any], nn.Module], op: Op) -> nn.Module:
    # On the meta device nothing is initialised, so the global random state stays as it is.
    with torch.device("meta"):
        module = build(op)
    if type(op) in STATES:
        state = STATES.lookup(type(op), op.kind)(op)
        module.load_state_dict(tensors(state), assign=True)
    return module


def _attach(root: nn.Module, path: str, module: nn.Module) -> None:
    *parents, last = path.split(".")
    for part in parents:
        if part not in dict(root.named_children()):
            root.add_module(part, nn.Module())
        root = root.get_submodule(part)
    root.add_module(last, module)
