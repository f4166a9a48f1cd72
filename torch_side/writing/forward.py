"""A stretch of torch.fx statements as the body of a ``forward``."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from torch import fx, nn

from biport.graph import Graph
from biport.ops import Tensor, TensorOperation
from torch_side.layout import Layout
from torch_side.names import ORIGIN, Names, Origin, inputs_of
from torch_side.spelling import CONVERSION, node_operands
from torch_side.writing.code import INDENT, WIDTH, Code, call, sequence, statement
from torch_side.writing.expressions import Structure, expression, is_size, result, says_shape

BODY = INDENT * 2
LONGEST = 4
"""Calls and signs in one expression."""
MARGIN = 12
"""Columns kept for what an expression is assigned to."""


@dataclass(frozen=True)
class Facts:
    """What the graph says of the statements.

    Args:
        graph: the graph.
        root: the module.
        values: the value of the graph that a statement gives.
        operations: the statements of tensor operations, which have no layers' names.
        layouts: of the values that statements give.
    """

    graph: Graph
    root: nn.Module
    values: Mapping[fx.Node, str]
    operations: frozenset[fx.Node]
    layouts: Mapping[fx.Node, Layout]

    @classmethod
    def of(cls, graph: Graph, module: fx.GraphModule) -> Facts:
        """Those of a written module."""
        values, layouts = {}, dict[fx.Node, Layout]()
        arguments = inputs_of(module.graph)
        values |= {node: value.name for node, value in zip(arguments, graph.inputs, strict=True)}
        emitted: dict[Origin, list[fx.Node]] = {}
        for node in module.graph.nodes:
            if (origin := node.meta.get(ORIGIN)) is not None and CONVERSION not in node.meta:
                emitted.setdefault(origin, []).append(node)
        kinds = {node.name: type(node.op) for node in graph.nodes}
        operations: set[fx.Node] = set()
        for origin, nodes in emitted.items():
            indices = origin.spelling.outputs
            layouts |= {nodes[at]: own for at, own in zip(indices, origin.spelling.results, strict=True)}
            values |= {nodes[index]: name for index, name in zip(indices, origin.outputs, strict=True)}
            if issubclass(kinds[origin.node], TensorOperation):
                operations |= set(nodes)
        return cls(graph, module, values, frozenset(operations), layouts)

    def tensor(self, node: fx.Node) -> Tensor | None:
        """Shape and dtype of what a statement gives, where it is a value of the graph."""
        if node not in self.values:
            return None
        tensor = self.graph.tensors[self.values[node]]
        layout = self.layouts.get(node)
        return tensor if layout is None else Tensor(layout.shape(tensor.shape), tensor.dtype)

    def comment(self, node: fx.Node) -> str:
        """Its shape, and its dtype where that is no float."""
        tensor = self.tensor(node)
        if tensor is None:
            return ""
        shape = str(Tensor(tensor.shape, "")).strip()
        return shape if tensor.dtype.startswith("float") else f"{tensor.dtype} {shape}"

    def called(self, node: fx.Node) -> nn.Module | None:
        """The module that a statement calls."""
        return self.root.get_submodule(str(node.target)) if node.op == "call_module" else None


@dataclass(eq=False)
class Submodule:
    """Statements that are the ``forward`` of a module of their own, and the call of that.

    Args:
        path: of the module.
        group: what the names of its statements have in front.
        body: the statements, and modules inside of it.
        inputs: what it takes from outside.
        outputs: what of it is used outside.
    """

    path: str
    group: str
    body: list[Unit]
    inputs: list[fx.Node]
    outputs: list[fx.Node]


Unit: TypeAlias = fx.Node | Submodule


def operands(unit: Unit) -> list[fx.Node]:
    """What a unit computes with."""
    return unit.inputs if isinstance(unit, Submodule) else node_operands(unit)


def results(unit: Unit) -> list[fx.Node]:
    """What a unit gives to others."""
    return unit.outputs if isinstance(unit, Submodule) else [unit]


def is_item(node: fx.Node) -> bool:
    """Whether a statement takes one of the results of another."""
    return (
        node.op == "call_function"
        and node.target is operator.getitem
        and type(node.args[1]) is int
        and isinstance(node.args[0], fx.Node)
    )


def is_device(node: fx.Node) -> bool:
    """Whether a statement asks where a tensor is."""
    return node.op == "call_function" and node.target is getattr


def is_cheap(node: fx.Node) -> bool:
    """Whether a statement is as good as a name: ``h[0]``, ``x.size(1)``, ``x.device``."""
    return is_item(node) or is_size(node) or is_device(node)


@dataclass
class Forward:
    """The body of one ``forward``.

    Args:
        facts: of the graph.
        units: its statements in order.
        inputs: its arguments.
        outputs: what it returns.
        names: for its variables.
        attribute: how a path is written in it.
        prefix: what the names of values in it have in front, ``"encoder."``.
        arguments: names for the inputs; by default those of their values.
        is_cell: whether what is returned behind the first is one list.
    """

    facts: Facts
    units: Sequence[Unit]
    inputs: Sequence[fx.Node]
    outputs: Sequence[fx.Node]
    names: Names
    attribute: Callable[[str], Code]
    prefix: str = ""
    arguments: Sequence[str] | None = None
    is_cell: bool = False
    _variables: dict[fx.Node, str] = field(default_factory=dict)
    _inlined: set[fx.Node] = field(default_factory=set)
    _users: dict[fx.Node, list[Unit | None]] = field(default_factory=dict)
    """The units that compute with a node, as often as they do; ``None`` for what is returned."""
    _unpacked: dict[fx.Node, Structure] = field(default_factory=dict)
    _items: set[fx.Node] = field(default_factory=set)
    """Statements that an unpacked one does without."""

    def __post_init__(self) -> None:
        for unit in self.units:
            for operand in operands(unit):
                self._users.setdefault(operand, []).append(unit)
        for node in self.outputs:
            self._users.setdefault(node, []).append(None)
        self.units = self._needed()
        arguments = self._own_arguments() if self.arguments is None else self.arguments
        self._variables |= {
            node: self.names.new(wanted) for node, wanted in zip(self.inputs, arguments, strict=True)
        }
        for unit in self.units:
            if isinstance(unit, fx.Node):
                self._unpack(unit)
        self._inline()

    def _own_arguments(self) -> list[str]:
        """The names of the inputs; inside of another model ``x`` and ``mask`` where there is one of these."""
        wanted = [self._wanted(node) for node in self.inputs]
        if not self.prefix:
            return wanted
        tensors = [self.facts.tensor(node) for node in self.inputs]
        masks = [tensor is not None and tensor.dtype == "bool" for tensor in tensors]
        for name, kind in (("x", False), ("mask", True)):
            if masks.count(kind) == 1:
                wanted[masks.index(kind)] = name
        return wanted

    def _needed(self) -> list[Unit]:
        """The units without those that nobody asks for anything."""
        kept: list[Unit] = []
        for unit in reversed(self.units):
            if any(self._users.get(node) for node in results(unit)):
                kept.append(unit)
                continue
            for operand in operands(unit):
                self._users[operand].remove(unit)
        return kept[::-1]

    @property
    def argument_names(self) -> list[str]:
        """The names of its arguments."""
        return [self._variables[node] for node in self.inputs]

    @property
    def unpacked_names(self) -> list[str]:
        """The same, of those that nobody reads underscores."""
        return [self._variables[node] if self._users.get(node) else "_" for node in self.inputs]

    # What a call gives, taken apart where it is called.

    def _unpack(self, node: fx.Node) -> None:
        structure = result(self.facts.called(node), node)
        if not isinstance(structure, tuple) or not self._taken_apart(node, structure):
            return
        self._unpacked[node] = structure
        self._note_items(node, structure)

    def _taken_apart(self, node: fx.Node, structure: Structure) -> bool:
        users = self._users.get(node, [])
        return isinstance(structure, tuple) and all(
            isinstance(user, fx.Node) and is_item(user) and 0 <= user.args[1] < len(structure)  # type: ignore[operator]
            for user in users
        )

    def _note_items(self, node: fx.Node, structure: Structure) -> None:
        for user in self._users.get(node, []):
            assert isinstance(user, fx.Node)
            self._items.add(user)
            part = structure[user.args[1]]  # type: ignore[index]
            if self._taken_apart(user, part):
                self._note_items(user, part)

    def _targets(self, node: fx.Node, structure: Structure) -> str:
        """``_, (h, _)``."""
        users: dict[int, list[fx.Node]] = {}
        for user in self._users.get(node, []):
            assert isinstance(user, fx.Node)
            users.setdefault(user.args[1], []).append(user)  # type: ignore[arg-type]
        parts = []
        for index, part in enumerate(structure):
            same = users.get(index, [])
            if not same:
                parts.append("_")
            elif isinstance(part, tuple) and all(self._taken_apart(user, part) for user in same):
                parts.append(f"({self._targets(same[0], part)})")
            else:
                first = same[0]
                name = self._variable(first, part if isinstance(part, str) else "states")
                self._variables |= dict.fromkeys(same, name)
                parts.append(name)
        return ", ".join(parts)

    # Expressions within expressions.

    def _inline(self) -> None:
        order = {node: at for at, unit in enumerate(self.units) for node in results(unit)}
        calls = [
            at
            for at, unit in enumerate(self.units)
            if isinstance(unit, Submodule) or unit.op == "call_module"
        ]
        roots: dict[fx.Node, fx.Node] = {}
        sizes: dict[fx.Node, int] = {}
        for unit in reversed(self.units):
            if not isinstance(unit, fx.Node):
                continue
            if unit.op == "get_attr" or is_device(unit) or self._says_shape(unit):
                self._inlined.add(unit)
                continue
            user = self._only_user(unit)
            if user is None or unit in self._items or unit in self._unpacked:
                continue
            root = roots.get(user, user)
            between = range(order[unit] + 1, order[root])
            moves = unit.op == "call_module" and any(at in between for at in calls)
            cost = 0 if is_cheap(unit) else 1
            too_long = sizes.get(root, 1) + cost > LONGEST
            if moves or too_long or not self._belong_together(unit, user):
                continue
            self._inlined.add(unit)
            roots[unit] = root
            sizes[root] = sizes.get(root, 1) + cost

    def _says_shape(self, node: fx.Node) -> bool:
        """Whether a size is only said with others of its tensor at once: ``x.shape[:2]``."""
        users = self._users.get(node, [])
        return is_size(node) and all(isinstance(user, fx.Node) and says_shape(user, node) for user in users)

    def _only_user(self, node: fx.Node) -> fx.Node | None:
        users = self._users.get(node, [])
        return users[0] if len(users) == 1 and isinstance(users[0], fx.Node) else None

    def _belong_together(self, node: fx.Node, user: fx.Node) -> bool:
        if node.meta.get(ORIGIN) == user.meta.get(ORIGIN) or node not in self.facts.values:
            return True
        if node.target is user.target is operator.neg:
            return False
        # ``h[0]`` says as much as a name would.
        one_state = is_item(node) and node.args[0] in self._items
        return one_state or (node in self.facts.operations and user in self.facts.operations)

    # Names.

    def _wanted(self, node: fx.Node) -> str:
        name = self.facts.values.get(node, node.name)
        origin = node.meta.get(ORIGIN)
        if origin is not None and len(origin.outputs) > 1 and name == origin.outputs[0]:
            name = origin.node
        return name.removeprefix(self.prefix)

    def _variable(self, node: fx.Node, hint: str) -> str:
        if node in self.facts.values:
            return self.names.new(self._wanted(node))
        if self.names.is_free(hint):
            return self.names.new(hint)
        origin = node.meta.get(ORIGIN)
        owner = origin.node.removeprefix(self.prefix) if origin else node.name
        return self.names.new(f"{owner}_{hint}")

    def _assign(self, node: fx.Node) -> str:
        """The variable of a statement; what becomes a value in the next one is called as that already."""
        following = None if node in self.facts.values else self._root(node)
        if following is not None and self._takes_over(node, following):
            if following not in self._variables:
                self._variables[following] = self.names.new(self._wanted(following))
            return self._variables[following]
        return self._variables.get(node) or self._variable(node, _hint(node))

    def _root(self, node: fx.Node) -> fx.Node | None:
        """The one statement that computes with a node, in whatever expression."""
        user = self._only_user(node)
        while user is not None and user in self._inlined:
            user = self._only_user(user)
        return user

    def _takes_over(self, node: fx.Node, following: fx.Node) -> bool:
        """Whether a statement may have the variable of the one after it: nothing else of the layer does."""
        origin = node.meta.get(ORIGIN)
        if following not in self.facts.values or following in self._items:
            return False
        own = [unit for unit in self.units if isinstance(unit, fx.Node) and unit.meta.get(ORIGIN) == origin]
        apart = [unit for unit in own if unit not in self._inlined and unit not in self._items]
        return apart == [node, following]

    # The lines.

    def _code(self, node: fx.Node) -> Code:
        if node in self._inlined:
            return expression(node, self._code, self.attribute)
        return Code(self._variables[node])

    def _right_side(self, unit: Unit) -> Code:
        if isinstance(unit, Submodule):
            return call(self.attribute(unit.path).text, [self._code(node) for node in unit.inputs])
        return expression(unit, self._code, self.attribute)

    def lines(self) -> list[str]:
        """The statements and what is returned."""
        lines: list[str] = []
        units = [
            unit
            for unit in self.units
            if isinstance(unit, Submodule) or not (unit in self._inlined or unit in self._items)
        ]
        for at, unit in enumerate(units):
            lines += self._shortened(unit)
            code = self._right_side(unit)
            if at == len(units) - 1 and self._is_returned(unit) and not self.is_cell:
                return [*lines, *statement(code, BODY, "return ", self._comment(unit))]
            target = self._target(unit)
            lines += statement(code, BODY, f"{target} = ", self._comment(unit))
        codes = [self._code(node) for node in self.outputs]
        if self.is_cell:
            codes = [codes[0], sequence(codes[1:])]
        if len(codes) == 1:
            return [*lines, *statement(codes[0], BODY, "return ")]
        flat = ", ".join(code.text for code in codes)
        if len(f"{BODY}return {flat}") <= WIDTH:
            return [*lines, f"{BODY}return {flat}"]
        return [*lines, *statement(sequence(codes, "()"), BODY, "return ")]

    def _shortened(self, unit: Unit) -> list[str]:
        """Statements of their own for parts of an expression that would not go on a line."""
        lines: list[str] = []
        while isinstance(unit, fx.Node) and not self._fits(unit):
            parts = [part for part in self._inside(unit) if not (part.op == "get_attr" or is_cheap(part))]
            if not parts:
                break
            longest = max(parts, key=lambda part: len(self._code(part).text))
            lines += self._shortened(longest)
            code = self._right_side(longest)
            self._inlined.discard(longest)
            self._variables[longest] = self._assign(longest)
            lines += statement(code, BODY, f"{self._variables[longest]} = ", self._comment(longest))
        return lines

    def _fits(self, unit: fx.Node) -> bool:
        """Whether its expression goes on a line, or is one call whose arguments do."""
        code = self._right_side(unit)
        room = WIDTH - len(BODY)
        arguments = ", ".join(item.text for item in code.items)
        one_call = code.opening.count("(") == 1 and len(arguments) <= room - len(INDENT)
        return one_call or len(code.text) <= room - MARGIN

    def _inside(self, unit: fx.Node) -> list[fx.Node]:
        """The statements that are expressions in that of ``unit`` itself."""
        return [operand for operand in node_operands(unit) if operand in self._inlined]

    def _is_returned(self, unit: Unit) -> bool:
        given = results(unit)
        return (
            list(self.outputs) == given and self._users[given[0]] == [None] and given[0] not in self._unpacked
        )

    def _target(self, unit: Unit) -> str:
        if isinstance(unit, Submodule):
            used = [node for node in unit.outputs if self._users.get(node)]
            if len(unit.outputs) == 1:
                name = unit.group.removeprefix(self.prefix).removesuffix(".")
                self._variables[used[0]] = self.names.new(name)
                return self._variables[used[0]]
            self._variables |= {node: self._variable(node, "value") for node in used}
            return ", ".join(self._variables[node] if node in used else "_" for node in unit.outputs)
        if unit in self._unpacked:
            return self._targets(unit, self._unpacked[unit])
        self._variables[unit] = self._assign(unit)
        return self._variables[unit]

    def _comment(self, unit: Unit) -> str:
        if isinstance(unit, fx.Node) and unit in self._unpacked:
            named = [node for node in self._items if node.args[0] is unit and node in self.facts.values]
            return self.facts.comment(named[0]) if len(named) == 1 else ""
        return "; ".join(filter(None, map(self.facts.comment, results(unit))))


def _hint(node: fx.Node) -> str:
    target = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "value")
    if node.op == "call_method" and target == "size":
        return node.name
    return node.name if node.op == "call_module" else str(target)
