"""Which statements of a module are a module of their own: those of a nested model."""

from __future__ import annotations

import heapq
import operator
from collections.abc import Iterable, Sequence

from torch import fx, nn

from torch_side.names import ORIGIN
from torch_side.spelling import node_operands
from torch_side.writing.forward import Facts, Submodule, Unit, is_device, operands, results

ARITHMETIC = (operator.add, operator.sub, operator.mul, operator.floordiv, max, min)


def numbers(nodes: Iterable[fx.Node]) -> set[fx.Node]:
    """The statements that give a size or a device, and no tensor."""
    known: set[fx.Node] = set()
    for node in nodes:
        asked = node.op == "call_method" and node.target == "size"
        computed = node.op == "call_function" and node.target in ARITHMETIC
        if (
            asked
            or is_device(node)
            or (computed and node_operands(node) and known >= set(node_operands(node)))
        ):
            known.add(node)
    return known


def is_container(module: nn.Module) -> bool:
    """Whether a module is there for the modules in it alone, and can be a class of its own."""
    return type(module) is nn.Module and all(name.isidentifier() for name in dict(module.named_children()))


class Partition:
    """The statements of a module, those of nested models as one.

    Args:
        facts: of the graph.
        nodes: all statements.
        outputs: what the module returns.
        flat: paths of modules that are no models.
    """

    def __init__(
        self, facts: Facts, nodes: Sequence[fx.Node], outputs: Sequence[fx.Node], flat: frozenset[str]
    ) -> None:
        self.facts = facts
        self.flat = flat
        self.numbers = numbers(nodes)
        self.outputs = set(outputs)
        self.units = self._units(nodes, "", "")

    def _units(self, nodes: Sequence[fx.Node], prefix: str, path: str) -> list[Unit]:
        """The statements whose names begin with ``prefix``, of the module at ``path``."""
        groups: dict[str, list[fx.Node]] = {}
        for node in nodes:
            name = node.meta[ORIGIN].node.removeprefix(prefix)
            if (head := _head(name)) != name:
                groups.setdefault(f"{prefix}{head}.", []).append(node)
        units: list[Unit] = list(nodes)
        for submodule in self._submodules(groups, nodes, path):
            inside = set(groups[submodule.group])
            first = next(at for at, unit in enumerate(units) if unit in inside)
            units[first] = submodule
            units = [unit for unit in units if isinstance(unit, Submodule) or unit not in inside]
        return _ordered(units)

    def _submodules(
        self, groups: dict[str, list[fx.Node]], nodes: Sequence[fx.Node], path: str
    ) -> list[Submodule]:
        """Those groups that are closed: all calls of a module, each with nothing else in between."""
        by_path: dict[str, list[Submodule]] = {}
        for group, inside in groups.items():
            paths = {_first(str(node.target), path) for node in inside if _has_path(node)}
            if len(paths) == 1:
                (own,) = paths
                by_path.setdefault(own, []).append(self._submodule(own, group, inside))
        chosen: list[Submodule] = []
        for own, submodules in by_path.items():
            inside = {node for one in submodules for node in groups[one.group]}
            elsewhere = any(
                _has_path(node) and _first(str(node.target), path) == own and node not in inside
                for node in nodes
            )
            _align([one.outputs for one in submodules], [groups[one.group] for one in submodules])
            closed = all(self._is_closed(one, nodes, groups[one.group]) for one in submodules)
            if own not in self.flat and closed and not elsewhere and self._is_container(own):
                chosen += submodules
        for one in chosen:
            one.body = self._units(groups[one.group], one.group, one.path)
        return chosen

    def _is_container(self, path: str) -> bool:
        try:
            return is_container(self.facts.root.get_submodule(path))
        except AttributeError:
            return False

    def _submodule(self, path: str, group: str, nodes: Sequence[fx.Node]) -> Submodule:
        inside = set(nodes)
        inputs = [operand for node in nodes for operand in node_operands(node) if operand not in inside]
        outputs = [
            node for node in nodes if node in self.outputs or any(user not in inside for user in node.users)
        ]
        return Submodule(path, group, [], list(dict.fromkeys(inputs)), outputs)

    def _is_closed(self, one: Submodule, nodes: Sequence[fx.Node], inside: Sequence[fx.Node]) -> bool:
        if not one.inputs or not one.outputs or self.numbers & {*one.inputs, *one.outputs}:
            return False
        own, behind = set(inside), set[fx.Node]()
        for node in nodes:
            depends = any(operand in behind for operand in node_operands(node))
            if node in own:
                if depends:
                    return False
            elif depends or any(operand in own for operand in node_operands(node)):
                behind.add(node)
        return True


def _align(outputs: Sequence[list[fx.Node]], nodes: Sequence[Sequence[fx.Node]]) -> None:
    """Let every call of a module give what any of them is asked for."""
    if len({len(inside) for inside in nodes}) > 1:
        return
    positions = {inside.index(node) for given, inside in zip(outputs, nodes, strict=True) for node in given}
    for given, inside in zip(outputs, nodes, strict=True):
        given[:] = [inside[position] for position in sorted(positions)]


def _has_path(node: fx.Node) -> bool:
    return node.op in ("call_module", "get_attr")


def _first(target: str, path: str) -> str:
    """The module below ``path`` that a target lies in, or is."""
    first = _head(target.removeprefix(f"{path}.") if path else target)
    return f"{path}.{first}" if path else first


def _head(name: str) -> str:
    """The first part of a name; with the number of an element, ``"layers.0"``, where it is that of a list."""
    first, *others = name.split(".")
    return f"{first}.{others[0]}" if others and others[0].isdecimal() else first


def _ordered(units: Sequence[Unit]) -> list[Unit]:
    """Each behind what it computes with, as near to the order that they have as that allows."""
    makers = {node: at for at, unit in enumerate(units) for node in results(unit)}
    needs = [
        {makers[node] for node in operands(unit) if node in makers and makers[node] != at}
        for at, unit in enumerate(units)
    ]
    users: dict[int, list[int]] = {}
    for at, needed in enumerate(needs):
        for maker in needed:
            users.setdefault(maker, []).append(at)
    ready = [at for at, needed in enumerate(needs) if not needed]
    heapq.heapify(ready)
    ordered: list[Unit] = []
    while ready:
        at = heapq.heappop(ready)
        ordered.append(units[at])
        for user in users.get(at, []):
            needs[user].discard(at)
            if not needs[user]:
                heapq.heappush(ready, user)
    return ordered
