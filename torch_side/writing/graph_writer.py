"""From a graph to a module: what the write functions of `torch_side.ops` emit with, and who calls them."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import fx, nn

from biport.analysis.lengths import needed_lengths, needed_steps
from biport.analysis.scalars import inline_scalars
from biport.dims import Arithmetic, Dim, computed
from biport.errors import UnsupportedError, raise_unsupported
from biport.graph import Graph, Node, Value, owners
from biport.inputs import check_letters, id_bounds, letter_axes, time_axis
from biport.ops import Bidirectional, Op, Recurrent, Tensor
from torch_side.learning import WeightPenalty, frozen_tensors, tensor_penalties
from torch_side.names import ITEM, ORIGIN, Origin, attribute_path, variable
from torch_side.registry import AXES, STATES, WRITERS, Axes, tensors
from torch_side.spelling import Spelling, spell
from torch_side.writing.ported import Ported

Number: TypeAlias = int | fx.Node
"""A number, or the statement that gives it."""


INSIDE = "what is inside"
"""The name of the value that an op inside of a node's is applied to."""


class GraphWriter:
    """A torch.fx graph in the making, and the modules it calls.

    Args:
        graph: its inputs become the arguments of ``forward``.
        biases: ``"one"``, second biases that the graph does not have are not trained; or ``"two"``.
        state_count: of a step of a recurrence how many states it has: these are one argument, a list, and the
            constants behind them another; ``None`` for any other graph.
    """

    def __init__(self, graph: Graph, biases: str = "one", state_count: int | None = None) -> None:
        self.biases = biases
        self.root = nn.Module()
        self.graph = fx.Graph()
        self.values: dict[str, Any] = {}
        """By name in the graph; a scalar constant is a Python number, see `inline_scalars`."""
        self.paths: dict[str, str] = {}
        self._ops: dict[int, int] = {}
        self._modules: dict[tuple[int, str], str] = {}
        """Paths, by op and part."""
        self._built: set[str] = set()
        self._node: Node
        self._is_shared = False
        self._order: Sequence[int] | None = None
        """Which axis of an input each of the tensor is that a write function is given."""
        self._tensors = dict(graph.tensors)
        uses = Counter(id(node.op) for node in graph.nodes)
        self._shared = {id(node.op) for node in graph.nodes if uses[id(node.op)] > 1}
        self._makers = {name: node for node in graph.nodes for name in node.outputs}
        self._emitted: list[fx.Node] = []
        self._numbers: list[Node] = []
        self._named = False
        self._inline = inline_scalars(graph)
        self._letters = letter_axes(graph.inputs)
        self._sizes: dict[str, Number] = {}
        """By the text of the size."""
        self._device: fx.Node | None = None
        single = graph.inputs if state_count is None else graph.inputs[:1]
        for value in single:
            taken = [str(node.target) for node in self.values.values()]
            self.values[value.name] = self.graph.placeholder(variable(value.name, taken))
        if state_count is not None:
            self._take_list("states", graph.inputs[1 : 1 + state_count])
            self._take_list("constants", graph.inputs[1 + state_count :])
        self._inputs = list(self.values.values())

    def _take_list(self, name: str, values: Sequence[Value]) -> None:
        """An argument that is a list of inputs."""
        if not values:
            return
        whole = self.graph.placeholder(name, list[torch.Tensor])
        for number, value in enumerate(values):
            item = self.graph.create_node(
                "call_function", operator.getitem, (whole, number), {}, variable(value.name, ())
            )
            item.meta[ITEM] = True
            self.values[value.name] = item

    @property
    def owner(self) -> str:
        """The node being written, for errors."""
        return f"node {self._node.name!r}"

    def write(self, node: Node) -> None:
        """Write one node with the function registered for its op.

        Raises:
            UnsupportedError: torch has nothing that computes the op.
        """
        self._node, self._emitted, self._named = node, [], False
        self._is_shared = id(node.op) in self._shared
        inputs = [self.values[name] for name in node.inputs]
        masks = [None if name is None else self.values[name] for name in node.masks]
        outputs = self._applied(node.op, inputs, masks)
        self.values |= zip(node.outputs, outputs, strict=True)
        if not self._emitted:
            assert not node.inputs, f"{self.owner}: only a constant can do without statements"
            self._numbers.append(node)
            return
        number = self._ops.setdefault(id(node.op), len(self._ops))
        spelling = self._spelling(node, masks, outputs)
        origin = Origin(node.name, node.outputs, number, spelling, tuple(self._numbers))
        self._numbers.clear()
        for emitted in self._emitted:
            emitted.meta[ORIGIN] = origin

    def _spelling(self, node: Node, masks: Sequence[Any], outputs: Sequence[fx.Node]) -> Spelling:
        sources = [
            value if isinstance(value := self.values[name], fx.Node) else self._makers[name]
            for name in node.inputs
        ]
        path = self.paths.get(node.name, "")
        return spell(node.op, sources, masks, self._emitted, outputs, path, self.root)

    def inside(self, op: Op, x: fx.Node, tensor: Tensor) -> Any:
        """Write an op that the node's applies to ``x``, as if it were the node's own: what it gives."""
        outer, self._node = self._node, Node(self._node.name, op, (INSIDE,))
        self.values[INSIDE], self._tensors[INSIDE] = x, tensor
        try:
            return self._applied(op, [x], [None])
        finally:
            self._node = outer

    def _applied(self, op: Op, inputs: list[Any], masks: list[Any]) -> tuple[Any, ...]:
        """What the write function of an op gives, with all axes as the graph has them."""
        function = WRITERS.lookup(type(op), self.owner)
        tensors = [self.tensor(position) for position in range(len(inputs))]
        first = type(op) in AXES and AXES.lookup(type(op), self.owner)(op, tensors) is Axes.CHANNELS_FIRST
        outer = self._order
        self._order = channels_first(len(tensors[0].shape)) if first else None
        try:
            if self._order is None:
                return function(op, self, inputs, masks)
            turned = [self._permuted(x, self._order) for x in inputs]
            results = function(op, self, turned, masks)
            return tuple(self._permuted(y, inverse(self._order)) for y in results)
        finally:
            self._order = outer

    def axis(self, axis: int) -> int:
        """Where an axis of the first input is in the tensor that a write function is given."""
        return axis if self._order is None else self._order.index(axis % len(self._order))

    def _permuted(self, x: fx.Node, axes: Sequence[int]) -> fx.Node:
        moved = [axis for axis, given in enumerate(axes) if axis != given]
        if not moved:
            return x
        return self.method("transpose", x, *moved) if len(moved) == 2 else self.method("permute", x, *axes)

    def known(self, sizes: Sequence[Dim]) -> tuple[int | None, ...]:
        """Sizes of an input as numbers, ``None`` for what varies, or may be another at another node."""
        return tuple(size if isinstance(size, int) and not self._is_shared else None for size in sizes)

    def module(
        self, build: Callable[[Any], nn.Module], *inputs: Any, part: str = "", **keywords: Any
    ) -> fx.Node:
        """Call a module of the node's; ``build(op)`` makes it, once for all nodes that share the op.

        Its weights are filled in from the state registered for the op.

        Args:
            build: makes the module.
            inputs: the arguments of the call.
            part: which part of the node's it is, where there are several: ``".forward_layer"`` inside of it,
                ``"_dropout"`` beside it.
            keywords: named arguments; those that are ``None`` are left out.
        """
        op = self._node.op
        path = self._path(part)
        if path not in self._built:
            self._built.add(path)
            _attach(self.root, path, self._filled(build, op, part))
        given = {name: value for name, value in keywords.items() if value is not None}
        return self._emit("call_module", path, inputs, given)

    def attribute(self, array: np.ndarray, trainable: bool | None = None) -> fx.Node:
        """The node's array as an attribute, once for all nodes that share the op.

        Args:
            array: what it is.
            trainable: whether it is an `nn.Parameter` that training changes; ``None`` for a buffer.
        """
        path = self._path("")
        if path not in self._built:
            self._built.add(path)
            (value,) = tensors({"": array}).values()
            _register(self.root, path, value, trainable)
        return self._emit("get_attr", path, (), {})

    def _path(self, part: str) -> str:
        """Where a part of the node is, the same for all nodes that share the op."""
        op = id(self._node.op)
        if (op, "") not in self._modules:
            self._modules[op, ""] = attribute_path(self._node.name, list(self._modules.values()))
        base = self.paths[self._node.name] = self._modules[op, ""]
        if part.startswith("_"):
            if (op, part) not in self._modules:
                self._modules[op, part] = attribute_path(base + part, list(self._modules.values()))
            return self._modules[op, part]
        return base + part

    def _filled(self, build: Callable[[Any], nn.Module], op: Op, part: str) -> nn.Module:
        # On the meta device nothing is initialised, so the global random state stays as it is.
        with torch.device("meta"):
            module = build(op)
        if type(op) in STATES and module.state_dict():
            state = STATES.lookup(type(op), op.kind)(op)
            prefix = part.removeprefix(".") + "." if part else ""
            own = {
                name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)
            }
            module.load_state_dict(tensors(own), assign=True)
            frozen = frozen_tensors(op)
            for name, parameter in module.named_parameters():
                if prefix + name in frozen:
                    parameter.requires_grad_(False)
        return module

    def inline(self) -> bool:
        """Whether the node being written is a scalar that stands as a number where it is used."""
        return self._node.outputs[0] in self._inline

    def call(self, function: Callable, *args: Any, **kwargs: Any) -> fx.Node:
        """Call a function such as `torch.sigmoid`."""
        return self._emit("call_function", function, args, kwargs)

    def method(self, name: str, *args: Any, **kwargs: Any) -> fx.Node:
        """Call a method of the first argument: ``x.transpose(1, 2)``."""
        return self._emit("call_method", name, args, kwargs)

    def as_tensor(self, position: int = 0) -> fx.Node:
        """An input of the node being written; a constant that is a number becomes `torch.tensor` of it."""
        value = self.values[self._node.inputs[position]]
        if isinstance(value, fx.Node):
            return value
        return self.call(torch.tensor, value, dtype=torch_dtype(self.tensor(position).dtype))

    def tensor(self, position: int = 0) -> Tensor:
        """Shape and dtype of an input of the node being written."""
        return self._tensors[self._node.inputs[position]]

    def rank(self, position: int = 0) -> int:
        """How many dimensions an input of the node being written has."""
        return len(self.tensor(position).shape)

    def size(self, dim: Dim) -> Number:
        """A size while the module runs: a number, or ``x.size(1)`` and what is computed of such.

        Raises:
            UnsupportedError: no input tells it.
        """
        if isinstance(dim, int):
            return dim
        text = str(dim)
        if text not in self._sizes:
            check_letters(self.owner, [dim], self._letters)
            letters = {letter: self._letter(letter) for letter in sorted(dim.letters)}
            self._sizes[text] = computed(dim, letters, self._arithmetic())
        return self._sizes[text]

    def sizes(self, dims: Sequence[Dim]) -> tuple[Number, ...]:
        """`size` of each."""
        return tuple(map(self.size, dims))

    def device(self) -> fx.Node | None:
        """Where the inputs are; ``None`` for a graph without any."""
        if self._device is None and self._inputs:
            self._device = self._emit("call_function", getattr, (self._inputs[0], "device"), {}, "device")
        return self._device

    def _letter(self, name: str) -> Number:
        """The size that a letter stands for, asked of the first input that has it, once."""
        value, axis = self._letters[name]
        if name not in self._sizes:
            self._sizes[name] = self._emit("call_method", "size", (self.values[value], axis), {}, name)
        return self._sizes[name]

    def _arithmetic(self) -> Arithmetic[Number]:
        def of(function: Callable) -> Callable[[Number, Number], Number]:
            return lambda one, two: self._emit("call_function", function, (one, two), {}, own_name=False)

        add, subtract = of(operator.add), of(operator.sub)

        def plus(one: Number, two: Number) -> Number:
            return subtract(one, -two) if isinstance(two, int) and two < 0 else add(one, two)

        return Arithmetic(int, plus, of(operator.mul), of(operator.floordiv), of(max), of(min))

    def _emit(
        self,
        kind: str,
        target: Any,
        args: tuple,
        kwargs: dict[str, Any],
        name: str | None = None,
        own_name: bool = True,
    ) -> fx.Node:
        # The first statement of a node carries the node's name, those after it what torch.fx calls them.
        if own_name and name is None and not self._named:
            self._named, name = True, self._node.name
        name = None if name is None else variable(name, ())
        self._emitted.append(self.graph.create_node(kind, target, args, kwargs, name=name))
        return self._emitted[-1]


def write_graph(graph: Graph, biases: str = "one", state_count: int | None = None) -> Ported:
    """The module that computes ``graph``; `torch_side.write` describes it.

    Args:
        graph: the model, or the step of a recurrence.
        biases: see `GraphWriter`.
        state_count: see `GraphWriter`; such a module is a cell for `torch_side.layers.Recurrence`.

    Raises:
        UnsupportedModelError: torch has no equal of some ops or settings; all of them are named.
    """
    writer = GraphWriter(graph, biases, state_count)
    problems: list[UnsupportedError] = []
    for node in graph.nodes:
        try:
            writer.write(node)
        except UnsupportedError as error:
            problems.append(error)
            # Any value will do: what is wrong further down should still be said, then all is refused.
            writer.values |= dict.fromkeys(node.outputs, next(iter(writer.values.values())))
    raise_unsupported("torch_side.write", problems)
    outputs: tuple[Any, ...] = tuple(writer.values[name] for name in graph.outputs)
    if state_count is not None:
        outputs = outputs[0], list(outputs[1:])
    writer.graph.output(outputs[0] if len(outputs) == 1 else outputs)
    module = Ported(writer.root, writer.graph, class_name="Ported")
    module.meta |= {
        "inputs": graph.inputs,
        "outputs": graph.outputs,
        "bounds": id_bounds(graph),
        "needs_steps": _needed_steps(graph),
        "paths": writer.paths,
        "penalties": _penalties(graph, writer.paths),
    }
    return module.eval()


def _penalties(graph: Graph, paths: Mapping[str, str]) -> tuple[WeightPenalty, ...]:
    """What parameters of the module add to the loss."""
    return tuple(
        WeightPenalty(f"{paths[name]}.{tensor}".rstrip("."), penalty)
        for name, op in owners(graph).items()
        for tensor, penalty in tensor_penalties(op).items()
    )


def _needed_steps(graph: Graph) -> dict[str, int]:
    """How many steps inputs and lengths have to have: torch's recurrent layers take one or more."""
    needed = needed_steps(graph) | needed_lengths(graph)
    for node in graph.nodes:
        if not isinstance(node.op, Recurrent | Bidirectional):
            continue
        steps = graph.tensors[node.inputs[0]].shape[1]
        of_inputs = [
            value.name
            for value in graph.inputs
            if (axis := time_axis(value.shape)) is not None and value.shape[axis] == steps
        ]
        for name in of_inputs or ([] if isinstance(steps, int) else [str(steps)]):
            needed[name] = max(needed.get(name, 0), 1)
    return needed


def channels_first(rank: int) -> tuple[int, ...]:
    """The axes of a tensor with the last one behind the batch.

    Example:
        >>> channels_first(4), inverse(channels_first(4))
        ((0, 3, 1, 2), (0, 2, 3, 1))
    """
    return (0, rank - 1, *range(1, rank - 1)) if rank > 1 else tuple(range(rank))


def inverse(order: Sequence[int]) -> tuple[int, ...]:
    """The permutation that takes back another."""
    return tuple(order.index(axis) for axis in range(len(order)))


def _attach(root: nn.Module, path: str, module: nn.Module) -> None:
    parent, name = _parent(root, path)
    parent.add_module(name, module)


def _register(root: nn.Module, path: str, value: torch.Tensor, trainable: bool | None) -> None:
    parent, name = _parent(root, path)
    if trainable is None:
        parent.register_buffer(name, value)
    else:
        parent.register_parameter(name, nn.Parameter(value, requires_grad=trainable))


def _parent(root: nn.Module, path: str) -> tuple[nn.Module, str]:
    """The module that has the last part of a path, made where there is none, and that part."""
    *parents, last = path.split(".")
    for part in parents:
        if part not in dict(root.named_children()):
            root.add_module(part, nn.Module())
        root = root.get_submodule(part)
    return root, last


def torch_dtype(dtype: str) -> torch.dtype:
    """A dtype of the graph in torch."""
    return getattr(torch, dtype)
