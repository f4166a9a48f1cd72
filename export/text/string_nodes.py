"""Operators over texts that lie one behind the other, each with the row that it is of."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from export.onnx.builder import Scope


def free_prefix(model: ir.Model) -> str:
    """``tokenizer``, with a number behind it where a node of the model is called so."""
    names = [node.name or "" for node in model.graph.all_nodes()]
    prefix, number = "tokenizer", 1
    while any(name.startswith(f"{prefix}/") for name in names):
        number += 1
        prefix = f"tokenizer_{number}"
    return prefix


def strings(scope: Scope, array: np.ndarray, name: str) -> ir.Value:
    """A constant of strings, which `Builder.constant` has no bytes of."""
    values = [str(text).encode() for text in array.ravel()]
    name = scope.builder.value_name(f"{scope.name}/{name}")
    tensor = ir.StringTensor(values, shape=ir.Shape(array.shape), name=name)
    constant = ir.Value(
        name=name,
        shape=ir.Shape(array.shape),
        type=ir.TensorType(ir.DataType.STRING),
        const_value=tensor,
    )
    scope.builder.constants[name] = constant
    return constant


def divided(scope: Scope, pieces: ir.Value, rows: ir.Value, separator: str) -> tuple[ir.Value, ir.Value]:
    """Pieces ``(P,)`` and the rows they are of, divided further; nothing stays of what is empty."""
    parts, _ = scope.several("StringSplit", pieces, wanted=(True, True), delimiter=separator)
    filled = scope("Not", scope("Equal", parts, strings(scope, np.array("", object), "nothing")))
    indices = scope("NonZero", filled)
    owners = scope("Gather", rows, scope("Gather", indices, 0, axis=0))
    return scope("GatherND", parts, scope("Transpose", indices)), owners


def sums(scope: Scope, N: ir.Value, rows: ir.Value) -> ir.Value:
    """How many tokens each row has, ``(N,)``."""
    ones = scope("Expand", scope.constant(np.array([1], "int64"), "one"), scope("Shape", rows))
    zeros = scope("Expand", scope.constant(np.array([0], "int64"), "zero"), N)
    return scope("ScatterElements", zeros, rows, ones, axis=0, reduction="add")


def starts(scope: Scope, counts: ir.Value) -> ir.Value:
    """How many tokens are in the rows before each."""
    return scope("CumSum", counts, 0, exclusive=1)


def counted(scope: Scope, rows: ir.Value) -> ir.Value:
    """``0, 1, ...`` of what there is."""
    return scope("Range", 0, scope("Squeeze", scope("Shape", rows)), 1)
