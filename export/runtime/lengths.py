"""Lengths as `biport.ops` writes them, such as ``T+2`` or ``T*5/2``, as numbers."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from biport.ops import Dim


def length(expression: str, sizes: Mapping[Dim, int]) -> int | None:
    """The length for these sizes of the letters; ``None`` where that cannot be told."""
    try:
        return _value(ast.parse(expression, mode="eval").body, sizes)
    except (SyntaxError, KeyError, ZeroDivisionError):
        return None


def _value(node: ast.expr, sizes: Mapping[Dim, int]) -> int:
    match node:
        case ast.Name(name):
            return sizes[name]
        case ast.Constant(int(number)):
            return number
        case ast.BinOp(left, ast.Add(), right):
            return _value(left, sizes) + _value(right, sizes)
        case ast.BinOp(left, ast.Sub(), right):
            # No length falls below 0, see `biport.ops.Cropping1D`.
            return max(_value(left, sizes) - _value(right, sizes), 0)
        case ast.BinOp(left, ast.Mult(), right):
            return _value(left, sizes) * _value(right, sizes)
        case ast.BinOp(left, ast.Div() | ast.FloorDiv(), right):
            return _value(left, sizes) // _value(right, sizes)
    raise KeyError(ast.dump(node))
