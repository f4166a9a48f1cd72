"""Tensor operations that `torch_side.write` wrote, read back whole by how they are spelled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from biport.errors import UnsupportedError
from biport.graph import Node
from biport.ops import Op, TensorOperation
from torch_side.reading.fx_reader import FxReader, Poisoned, build
from torch_side.run import first_float
from torch_side.spelling import Spelling


def read_numbers(reader: FxReader, node: fx.Node) -> None:
    """Read the constants that stand as numbers in statements and were nodes before the one of ``node``."""
    origin = reader.origin(node)
    for constant in () if origin is None else origin.numbers:
        _constant(reader, constant)


def read_operation(reader: FxReader, first: fx.Node, spelling: Spelling) -> None:
    """Read the tensor operation whose first statement is ``first``, and bind all its statements.

    Raises:
        UnsupportedError: its statements have been changed since they were written.
        Poisoned: what it computes with could not be read, or ``first`` is another of its statements.
    """
    if reader.origin(first.prev) == reader.origin(first):
        raise Poisoned
    statements = _statements(reader, first)
    operands = spelling.operands(statements)
    if operands is None:
        supported = f"the statements that torch_side.write wrote for {spelling.op.kind}"
        raise UnsupportedError(reader.owner(first), "statements", "changed", supported)
    values = [reader.value(first, operand) for operand in operands]
    inputs = [
        values[source] if isinstance(source, int) else _constant(reader, source) for source in spelling.inputs
    ]
    outputs = reader.emit(first, _as_it_is_now(reader, spelling.op, statements), inputs)
    reader.bound |= dict.fromkeys(statements, ())
    reader.bound |= {statements[at]: name for at, name in zip(spelling.outputs, outputs, strict=True)}


def _statements(reader: FxReader, first: fx.Node) -> list[fx.Node]:
    """All that were written for the same graph node, which stand together."""
    statements, node = [first], first.next
    while reader.origin(node) == reader.origin(first):
        statements.append(node)
        node = node.next
    return statements


def _constant(reader: FxReader, node: Node) -> str:
    """The value of a constant that stands as a number: torch computes it in the dtype of what it meets."""
    (name,) = node.outputs
    if name not in reader.tensors:
        op = _in_own_dtype(reader, node.op)
        reader.nodes.append(Node(node.name, op, (), node.outputs))
        reader.tensors[name] = op.infer([])[0]
    return name


def _as_it_is_now(reader: FxReader, op: TensorOperation, statements: Sequence[fx.Node]) -> TensorOperation:
    """With the weights that the module has by now."""
    tensors = [_attribute(reader, node) for node in statements if node.op == "get_attr"]
    weights = dict(zip(op.weights(), tensors, strict=True))
    if not weights:
        return _in_own_dtype(reader, op)
    arrays = {path: tensor.detach().cpu().numpy().copy() for path, tensor in weights.items()}
    owner = reader.owner(statements[0])
    return build(owner, lambda **given: type(op).build(op.settings(), given), **arrays)


def _in_own_dtype(reader: FxReader, op: Op) -> Any:
    """An op in the float dtype that the module has by now."""
    own = first_float(reader.root)
    return op if own is None else op.astype(str(own.dtype).removeprefix("torch."))


def _attribute(reader: FxReader, node: fx.Node) -> torch.Tensor:
    path, _, name = str(node.target).rpartition(".")
    return getattr(reader.root.get_submodule(path), name)
