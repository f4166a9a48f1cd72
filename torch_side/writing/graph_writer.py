"""From a graph to a module: what the write functions of `torch_side.ops` emit with, and who calls them."""

from __future__ import annotations

import dataclasses
import operator
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import fx, nn

from biport.analysis.lengths import Least, needed_lengths, needed_steps
from biport.analysis.scalars import inline_scalars
from biport.dims import Arithmetic, Dim, computed
from biport.errors import UnsupportedError, raise_unsupported
from biport.graph import Graph, Node, Value, owners
from biport.inputs import check_letters, id_bounds, letter_axes, time_axis
from biport.ops import Bidirectional, Op, Recurrent, Tensor
from torch_side.layout import Layout, permutation, permuted_axes
from torch_side.learning import WeightPenalty, frozen_tensors, tensor_penalties
from torch_side.names import ITEM, ORIGIN, SILENT, Origin, attribute_path, variable
from torch_side.registry import STATES, WRITERS, Axes, Channels, axes_taken, tensors
from torch_side.spelling import CONVERSION, INPUT, Conversion, Spelling, said, spell
from torch_side.writing.layouts import wanted_layouts
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
        copied: whether the weights are copies of the graph's, see `torch_side.registry.tensors`.
    """

    def __init__(
        self, graph: Graph, biases: str = "one", state_count: int | None = None, copied: bool = True
    ) -> None:
        self.biases, self.copied = biases, copied
        self.root = nn.Module()
        self.graph = fx.Graph()
        self.forms: dict[str, Any] = {}
        """By name in the graph: the fx node by its layout; or a scalar constant as a Python number, see
        `inline_scalars`."""
        self.paths: dict[str, str] = {}
        self._ops: dict[int, int] = {}
        self._modules: dict[tuple[int, str], str] = {}
        """Paths, by op and part."""
        self._built: set[str] = set()
        self._node: Node
        self._given: Sequence[Any] = ()
        """What the write function is given."""
        self._layout = Layout(())
        """Of the first input as the write function is given it."""
        self._gone: Collection[int] = ()
        """Axes of the input that the output lacks."""
        self._is_shared = False
        self._wanted = wanted_layouts(graph)
        self._conversions: list[fx.Node] = []
        self._origins: dict[str, Origin] = {}
        self._tensors = dict(graph.tensors)
        uses = Counter(id(node.op) for node in graph.nodes)
        self._shared = {id(node.op) for node in graph.nodes if uses[id(node.op)] > 1}
        self._makers = {name: node for node in graph.nodes for name in node.outputs}
        self._emitted: list[fx.Node] = []
        self.silent: list[Node] = []
        """The nodes since the last statement that have none."""
        self._named = False
        self._inline = inline_scalars(graph)
        self._letters = letter_axes(graph.inputs)
        self._sizes: dict[str, Number] = {}
        """By the text of the size."""
        self._device: fx.Node | None = None
        single = graph.inputs if state_count is None else graph.inputs[:1]
        self._inputs: list[fx.Node] = []
        for value in single:
            taken = [str(node.target) for node in self._inputs]
            self._take(value, self.graph.placeholder(variable(value.name, taken)))
        if state_count is not None:
            self._take_list("states", graph.inputs[1 : 1 + state_count])
            self._take_list("constants", graph.inputs[1 + state_count :])

    def _take(self, value: Value, node: fx.Node) -> None:
        self._inputs.append(node)
        self.forms[value.name] = {Layout.graph(len(value.shape)): node}

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
            self._take(value, item)

    @property
    def owner(self) -> str:
        """The node being written, for errors."""
        return f"node {self._node.name!r}"

    def write(self, node: Node) -> None:
        """Write one node with the function registered for its op.

        Raises:
            UnsupportedError: torch has nothing that computes the op.
        """
        if self._turns(node):
            self.silent.append(node)
            return
        self._node, self._emitted, self._conversions, self._named = node, [], [], False
        self._is_shared = id(node.op) in self._shared
        layout = self._chosen(node)
        rank = len(layout.order)
        inputs = [self._given_as(name, layout) for name in node.inputs]
        masks = [None if name is None else self.value(name) for name in node.masks]
        outputs = self._applied(node.op, inputs, masks, layout)
        results = [self._result_layout(layout, self._rank(name)) for name in node.outputs]
        self.forms |= {
            name: {own: y} if isinstance(y, fx.Node) else y
            for name, y, own in zip(node.outputs, outputs, results, strict=True)
        }
        if not self._emitted:
            assert not node.inputs, f"{self.owner}: only a constant can do without statements"
            self.silent.append(node)
            return
        number = self._ops.setdefault(id(node.op), len(self._ops))
        layouts = [layout if self._rank(n) == rank else Layout.graph(self._rank(n)) for n in node.inputs]
        spelling = self._spelling(node, inputs, masks, outputs)
        arranged = {"layouts": tuple(layouts), "results": tuple(results)}
        spelling = dataclasses.replace(spelling, names=node.inputs, **arranged)
        origin = Origin(node.name, node.outputs, number, spelling, tuple(self.silent))
        self.silent.clear()
        self._origins |= dict.fromkeys(node.outputs, origin)
        for emitted in (*self._conversions, *self._emitted):
            emitted.meta[ORIGIN] = origin

    def _spelling(
        self, node: Node, inputs: Sequence[Any], masks: Sequence[Any], outputs: Sequence[fx.Node]
    ) -> Spelling:
        sources = [
            x if isinstance(x, fx.Node) else self._makers[name]
            for name, x in zip(node.inputs, inputs, strict=True)
        ]
        path = self.paths.get(node.name, "")
        return spell(node.op, sources, masks, self._emitted, outputs, path, self.root)

    def inside(self, op: Op, x: fx.Node, tensor: Tensor) -> tuple[Any, ...]:
        """Write an op that the node's applies to every row of what it is given: what it gives."""
        outer = self._node, self._layout
        self._node = Node(self._node.name, op, (INSIDE,))
        self._tensors[INSIDE] = tensor
        try:
            return self._applied(op, [x], [None], self._layout.inner())
        finally:
            self._node, self._layout = outer
            self._gone = {axis + 1 for axis in self._gone}

    def _applied(self, op: Op, inputs: list[Any], masks: list[Any], layout: Layout) -> tuple[Any, ...]:
        """What the write function of an op gives."""
        self._given, self._layout, self._gone = inputs, layout, ()
        return WRITERS.lookup(type(op), self.owner)(op, self, inputs, masks)

    def refuse(self, node: Node) -> None:
        """Go on behind a node that cannot be written: what is wrong further down should still be said."""
        anything = next(node for node in self.graph.nodes)
        self.forms |= {name: {Layout.graph(self._rank(name)): anything} for name in node.outputs}

    # Layouts.

    def axis(self, axis: int) -> int:
        """Where an axis of the first input is in the tensor that a write function is given."""
        return self._layout.axis(axis)

    def over(self, axes: Sequence[int], keepdims: bool) -> dict[str, Any]:
        """The arguments ``dim`` and ``keepdim`` of what takes axes of the first input together."""
        own = tuple(self.axis(axis) for axis in axes)
        if not keepdims:
            self._gone = {axis % self.rank() for axis in axes}
        return {"dim": own[0] if len(own) == 1 else own} | ({"keepdim": True} if keepdims else {})

    def value(self, name: str) -> Any:
        """The fx node of a value with its axes as the graph has them; or a Python number."""
        form = self.forms[name]
        return self._as(name, Layout.graph(self._rank(name))) if isinstance(form, dict) else form

    def _rank(self, name: str) -> int:
        return len(self._tensors[name].shape)

    def _given_as(self, name: str, layout: Layout) -> Any:
        if isinstance(self.forms[name], dict) and self._rank(name) == len(layout.order):
            return self._as(name, layout)
        return self.value(name)

    def _turns(self, node: Node) -> bool:
        """Whether a node that permutes axes is no statement: it says which axis of a tensor is which."""
        axes = permuted_axes(node.op)
        if axes is None:
            return False
        forms = self.forms[node.inputs[0]]
        turned = {own: form for layout, form in forms.items() if (own := layout.turned(axes)) is not None}
        plain = Layout.graph(len(axes))
        if not turned or (plain in forms and not {plain, self._wanted[node.outputs[0]]} & turned.keys()):
            return False
        self.forms[node.outputs[0]] = turned
        return True

    def _chosen(self, node: Node) -> Layout:
        """How the inputs of a node are given to its write function, those of the largest rank."""
        if not node.inputs:
            return Layout(())
        ranks = [self._rank(name) for name in node.inputs]
        axes = axes_taken(node.op, [self._tensors[name] for name in node.inputs])
        rank, rows = max(ranks), axes.rows or 1
        if axes.channels is Channels.FIRST:
            return Layout.channels_first(rank, rows)
        plain = Layout.graph(rank, rows)
        if axes.channels is Channels.LAST or any(node.masks) or any(own not in (0, rank) for own in ranks):
            return plain
        names = dict.fromkeys(name for name, own in zip(node.inputs, ranks, strict=True) if own == rank)
        forms = [form for name in names if isinstance(form := self.forms[name], dict)]
        known = dict.fromkeys(layout for form in forms for layout in form)
        wanted = self._wanted[node.outputs[0]]

        def cost(layout: Layout) -> tuple[int, bool]:
            return sum(layout not in form for form in forms), layout != wanted

        return min((plain, *(one for one in known if self._suits(one, axes, names))), key=cost)

    def _suits(self, layout: Layout, axes: Axes, names: Iterable[str]) -> bool:
        """Whether an op may be given its inputs so: rows that are together must be those of all of them."""
        if axes.rows is not None:
            return layout.rows == axes.rows
        return len({self._tensors[name].shape[: layout.rows] for name in names}) == 1

    def _result_layout(self, layout: Layout, rank: int) -> Layout:
        left = layout.without(self._gone)
        return left if len(left.order) == rank else Layout.graph(rank, layout.rows)

    def _as(self, name: str, layout: Layout) -> fx.Node:
        """The fx node of a value in a layout, which it is converted to where it is not yet."""
        forms = self.forms[name]
        if layout not in forms:
            source = next((one for one in forms if one.rows == layout.rows), next(iter(forms)))
            for step, statement in self._steps(name, source, layout):
                forms[step] = self._converted(name, forms[source], statement, source, step)
                source = step
        return forms[layout]

    def _steps(self, name: str, source: Layout, layout: Layout) -> Iterator[tuple[Layout, tuple[Any, ...]]]:
        """The layouts on the way from one to another, and the method that gives each."""
        if source.rows not in (1, layout.rows):
            sizes = self._sizes_alone(self._tensors[name].shape[: source.rows])
            source = Layout(source.order)
            yield source, ("unflatten", 0, sizes)
        if source.order != layout.order:
            moved = tuple(source.order.index(axis) for axis in layout.order)
            source = Layout(layout.order, source.rows)
            yield source, permutation(moved, source.rows)
        if source.rows != layout.rows:
            yield layout, ("flatten", 0, layout.rows - 1)

    def _converted(
        self, name: str, x: fx.Node, statement: tuple[Any, ...], before: Layout, after: Layout
    ) -> fx.Node:
        method, *arguments = statement
        node = self.graph.create_node("call_method", method, (x, *arguments), {}, variable(name, ()))
        node.meta[CONVERSION] = Conversion(said(node, {x: f"{INPUT}0"}), before, after)
        self._conversions.append(node)
        return node

    def _sizes_alone(self, dims: Sequence[Dim]) -> tuple[Number, ...]:
        """Sizes that no op is written with."""
        own, self._emitted = self._emitted, []
        sizes = self.sizes(dims)
        for statement in self._emitted:
            statement.meta[CONVERSION] = Conversion(said(statement, {}))
        self._conversions += self._emitted
        self._emitted = own
        return sizes

    def outputs(self, names: Sequence[str]) -> tuple[Any, ...]:
        """What the module returns, with axes as the graph has them."""
        returned = []
        for name in names:
            self._conversions = []
            returned.append(self.value(name))
            origin = self._origins.get(name) or next(reversed(self._origins.values()), None)
            for statement in self._conversions:
                statement.meta[ORIGIN] = origin
        return tuple(returned)

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
            (value,) = tensors({"": array}, self.copied).values()
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
            module.load_state_dict(tensors(own, self.copied), assign=True)
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
        value = self._given[position]
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
            self._sizes[name] = self._emit("call_method", "size", (self.value(value), axis), {}, name)
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


def write_graph(
    graph: Graph, biases: str = "one", state_count: int | None = None, copied: bool = True
) -> Ported:
    """The module that computes ``graph``; `torch_side.write` describes it.

    Args:
        graph: the model, or the step of a recurrence.
        biases: see `GraphWriter`.
        state_count: see `GraphWriter`; such a module is a cell for `torch_side.layers.Recurrence`.
        copied: see `GraphWriter`.

    Raises:
        UnsupportedModelError: torch has no equal of some ops or settings; all of them are named.
    """
    writer = GraphWriter(graph, biases, state_count, copied)
    problems: list[UnsupportedError] = []
    for node in graph.nodes:
        try:
            writer.write(node)
        except UnsupportedError as error:
            problems.append(error)
            writer.refuse(node)
    raise_unsupported("torch_side.write", problems)
    outputs: tuple[Any, ...] = writer.outputs(graph.outputs)
    if state_count is not None:
        outputs = outputs[0], list(outputs[1:])
    returned = writer.graph.output(outputs[0] if len(outputs) == 1 else outputs)
    returned.meta[SILENT] = tuple(writer.silent)
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


def _needed_steps(graph: Graph) -> dict[str, Least]:
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
            needed.setdefault(name, Least(1, f"{node.name!r} ({node.op.kind})", "steps"))
    return needed


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
