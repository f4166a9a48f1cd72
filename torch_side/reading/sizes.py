"""torch's symbolic sizes as sizes of a graph."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import sympy

from biport.dims import Dim, longest, shortest
from biport.errors import UnsupportedError

FUNCTIONS: Mapping[str, Callable[..., Dim]] = {
    "FloorDiv": operator.floordiv,
    "CleanDiv": operator.floordiv,
    "Mod": operator.mod,
    "PythonMod": operator.mod,
    "Max": lambda *dims: reduce(longest, dims),
    "Min": lambda *dims: reduce(shortest, dims),
    "CeilDiv": lambda one, two: -((-one) // two),
    "Identity": lambda dim: dim,
    "ModularIndexing": lambda one, two, three: (one // two) % three,
}
"""By the names of torch's functions of sizes."""


def expression(value: Any) -> Any:
    """What torch knows a size as: a number, or an expression of its symbols."""
    return value.node.expr if hasattr(value, "node") else value


def size_of(value: Any, letters: Mapping[str, Dim], owner: str) -> Dim:
    """A number, a ``SymInt`` or an expression as a size.

    Raises:
        UnsupportedError: it depends on what numbers a tensor has, or is computed in another way.
    """
    if isinstance(value, int):
        return value
    return _size(sympy.sympify(expression(value)), letters, owner)


def _size(term: Any, letters: Mapping[str, Dim], owner: str) -> Dim:
    if term.is_Integer:
        return int(term)
    if term.is_Symbol:
        if str(term) in letters:
            return letters[str(term)]
        supported = "sizes that come from sizes of the inputs"
        raise UnsupportedError(owner, "size", "computed from the numbers of a tensor", supported)
    arguments = [_size(argument, letters, owner) for argument in term.args]
    if term.is_Add:
        return reduce(operator.add, arguments)
    if term.is_Mul:
        return reduce(operator.mul, arguments)
    name = type(term).__name__
    if name in ("Pow", "PowByNatural") and isinstance(arguments[1], int) and 0 <= arguments[1] <= 4:
        return reduce(operator.mul, [arguments[0]] * arguments[1], 1)
    if name not in FUNCTIONS:
        raise UnsupportedError(owner, "size", str(term), "sums, products, floor divisions, max and min")
    return FUNCTIONS[name](*arguments)
