"""Tensor operations as the statements they were written as, by which they are read back.

A layer is read by what is called. A tensor operation is read by its spelling, which its statements carry, as
long as they are what they were; with which weights and values they compute is seen from the module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import fx

from biport.graph import Node
from biport.ops import TensorOperation
from torch_side.registry import Call

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


@dataclass(frozen=True)
class Spelling:
    """How a tensor operation was written.

    Args:
        op: its weights, if any, are the module's by now.
        inputs: for each input which of the distinct fx nodes it was, or the node of a constant that stands as
            a number in the statements.
        statements: all of them, in order.
        outputs: for each output which statement it is.
    """

    op: TensorOperation
    inputs: tuple[int | Node, ...]
    statements: tuple[Statement, ...]
    outputs: tuple[int, ...]

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
    op: TensorOperation,
    inputs: Sequence[fx.Node | Node],
    statements: Sequence[fx.Node],
    outputs: Sequence[fx.Node],
) -> Spelling:
    """The spelling of ``op``, written as ``statements``."""
    distinct = list(dict.fromkeys(source for source in inputs if isinstance(source, fx.Node)))
    known = {node: f"{INPUT}{index}" for index, node in enumerate(distinct)}
    known |= {node: f"statement {position}" for position, node in enumerate(statements)}
    return Spelling(
        op,
        tuple(distinct.index(source) if isinstance(source, fx.Node) else source for source in inputs),
        tuple(said(node, known) for node in statements),
        tuple(list(statements).index(output) for output in outputs),
    )


def said(node: fx.Node, known: Mapping[fx.Node, str]) -> Statement:
    """What a statement says, with names for the fx nodes that are known."""
    operands = tuple(known.get(operand) or str(said(operand, {})) for operand in node_operands(node))
    arguments = fx.map_arg((node.args, node.kwargs), lambda operand: "%")  # type: ignore[arg-type, return-value]
    target = node.target if isinstance(node.target, str) else str(Call(node.target))
    return Statement(f"{node.op} {target} {arguments}", operands)


def node_operands(node: fx.Node) -> list[fx.Node]:
    """The fx nodes among the arguments, as often as they are there."""
    operands: list[fx.Node] = []

    def note(operand: fx.Node) -> Any:
        operands.append(operand)
        return operand

    fx.map_arg((node.args, node.kwargs), note)
    return operands
