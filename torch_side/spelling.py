"""Ops as the statements they were written as, by which a written module is read back.

An op is read by its spelling, which its statements carry, as long as these and the modules that they call are
what they were; with which weights they compute is seen from the module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from biport.graph import Node
from biport.ops import Learning, Op
from torch_side.layout import Layout

INPUT = "input "


@dataclass(frozen=True)
class Statement:
    """One statement without what it computes with.

    Args:
        text: what is called, and with which numbers.
        operands: what stands where a tensor or a size does: ``"input 0"``, ``"statement 1"``, or how
            something else is computed.
    """

    text: str
    operands: tuple[str, ...]


CONVERSION = "biport conversion"
"""The key in an fx node's ``meta`` under which its `Conversion` is kept."""


@dataclass(frozen=True)
class Conversion:
    """A statement that gives a value in another layout, or a size that such a statement needs.

    Args:
        statement: what it says.
        before: the layout of what it takes; ``None`` for a size.
        after: the layout of what it gives.
    """

    statement: Statement
    before: Layout | None = None
    after: Layout | None = None


@dataclass(frozen=True)
class Spelling:
    """How an op was written.

    Args:
        op: the op, where it has no weights, or is an array itself.
        kind: of the op.
        settings: of the op.
        learning: what is said of its training, see `Op.all_learning`.
        shapes: of its weights, by path.
        path: where its module is; ``""`` for an op without one.
        modules: what each module that the statements call was like, see `described`, by path.
        inputs: for each input which of the distinct fx nodes it was, or the node of a constant that stands as
            a number in the statements.
        masks: for each input which of these its mask was, if it had one.
        statements: all of them, in order.
        outputs: for each output which statement it is.
        names: of the inputs.
        layouts: of the inputs as the statements compute with them, of a number any.
        results: the layouts of the outputs.
    """

    op: Op | None
    kind: type[Op]
    settings: Mapping[str, Any]
    learning: Mapping[str, Learning]
    shapes: Mapping[str, Sequence[int]]
    path: str
    modules: Mapping[str, Any]
    inputs: tuple[int | Node, ...]
    masks: tuple[int | None, ...]
    statements: tuple[Statement, ...]
    outputs: tuple[int, ...]
    names: tuple[str, ...] = ()
    layouts: tuple[Layout, ...] = ()
    results: tuple[Layout, ...] = ()

    def operands(self, statements: Sequence[fx.Node]) -> list[fx.Node] | None:
        """The distinct fx nodes that ``statements`` compute with; ``None`` if they say something else now."""
        known = {node: f"statement {position}" for position, node in enumerate(statements)}
        by_name: dict[str, fx.Node] = {}
        for node, statement in zip(statements, self.statements, strict=False):
            pairs = zip(node_operands(node), statement.operands, strict=False)
            by_name |= {name: operand for operand, name in pairs if name.startswith(INPUT)}
        known |= {node: name for name, node in by_name.items()}
        if tuple(said(node, known) for node in statements) != self.statements:
            return None
        return [by_name[f"{INPUT}{index}"] for index in range(len(by_name))]


def spell(
    op: Op,
    inputs: Sequence[fx.Node | Node],
    masks: Sequence[fx.Node | None],
    statements: Sequence[fx.Node],
    outputs: Sequence[fx.Node],
    path: str,
    root: nn.Module,
) -> Spelling:
    """The spelling of ``op``, written as ``statements``, with its module at ``path`` of ``root``."""
    operands = [source for source in (*inputs, *masks) if isinstance(source, fx.Node)]
    distinct = list(dict.fromkeys(operands))
    known = {node: f"{INPUT}{index}" for index, node in enumerate(distinct)}
    known |= {node: f"statement {position}" for position, node in enumerate(statements)}
    modules = {str(node.target): None for node in statements if node.op == "call_module"}
    return Spelling(
        None if modules and op.weights() else op,
        type(op),
        op.settings(),
        op.all_learning(),
        {name: array.shape for name, array in op.weights().items()} if modules else {},
        path,
        {target: described(root.get_submodule(target)) for target in modules},
        tuple(distinct.index(source) if isinstance(source, fx.Node) else source for source in inputs),
        tuple(None if mask is None else distinct.index(mask) for mask in masks),
        tuple(said(node, known) for node in statements),
        tuple(list(statements).index(output) for output in outputs),
    )


def described(module: nn.Module) -> list[tuple[str, str, dict[str, Any]]]:
    """What a module and its parts are and how they are set, but for their tensors and their mode."""
    return [
        (path, type(part).__qualname__, {k: v for k, v in vars(part).items() if _is_setting(k, v)})
        for path, part in module.named_modules()
    ]


def _is_setting(name: str, value: Any) -> bool:
    plain = (bool, int, float, str, type(None))
    parts = value if isinstance(value, tuple | list) else [value]
    return not name.startswith("_") and name != "training" and all(isinstance(part, plain) for part in parts)


def said(node: fx.Node, known: Mapping[fx.Node, str]) -> Statement:
    """What a statement says, with names for the fx nodes that are known."""
    operands = tuple(known.get(operand) or str(said(operand, {})) for operand in node_operands(node))
    arguments = fx.map_arg((node.args, node.kwargs), lambda operand: "%")  # type: ignore[arg-type, return-value]
    target = node.target if isinstance(node.target, str) else _name(node.target)
    return Statement(f"{node.op} {target} {arguments}", operands)


def node_operands(node: fx.Node) -> list[fx.Node]:
    """The fx nodes among the arguments, as often as they are there."""
    operands: list[fx.Node] = []

    def note(operand: fx.Node) -> Any:
        operands.append(operand)
        return operand

    fx.map_arg((node.args, node.kwargs), note)
    return operands


def _name(target: Any) -> str:
    module = getattr(target, "__module__", None) or "torch"
    return f"{module.lstrip('_')}.{getattr(target, '__name__', target)}"
