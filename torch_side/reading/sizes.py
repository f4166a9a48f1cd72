"""torch's symbolic sizes as sizes of a graph."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import sympy

from biport.dims import Dim, longest, product, shortest
from biport.errors import UnsupportedError

FUNCTIONS: Mapping[str, Callable[..., Dim]] = {
    "FloorDiv": operator.floordiv,
    "CleanDiv": operator.floordiv,
    "Mod": operator.mod,
    "PythonMod": operator.mod,
    "Max": longest,
    "Min": shortest,
    "Abs": lambda dim: longest(dim, -dim),
    "CeilDiv": lambda one, two: -((-one) // two),
    "LShift": lambda dim, bits: dim * 2**bits,
    "RShift": lambda dim, bits: dim // 2**bits,
    "Identity": lambda dim: dim,
    "ModularIndexing": lambda one, two, three: (one // two) % three,
}
"""By the names of torch's functions of sizes."""

ROUNDED: Mapping[str, Callable[[Dim, Dim], Dim]] = {
    "FloorToInt": operator.floordiv,
    "CeilToInt": lambda one, two: -((-one) // two),
}
"""What is made of a quotient that is no whole number: ``math.ceil(T / 2)``."""


def expression(value: Any) -> Any:
    """What torch knows a size as: a number, or an expression of its symbols."""
    return value.node.expr if hasattr(value, "node") else value


def size_of(value: Any, letters: Mapping[str, Dim], owner: str) -> Dim:
    """A number, a ``SymInt`` or an expression as a size.

    Args:
        value: it.
        letters: sizes of symbols, and of expressions that a graph has in other words.
        owner: for errors.

    Raises:
        UnsupportedError: it depends on what numbers a tensor has, or is computed in another way.
    """
    if isinstance(value, int):
        return value
    return _size(sympy.sympify(expression(value)), letters, owner)


def is_negative(value: Any, owner: str) -> bool:
    """Whether a number or a ``SymInt`` is below 0 at all sizes that torch traced for.

    Raises:
        UnsupportedError: it is below 0 at some of them.
    """
    if isinstance(value, int):
        return value < 0
    known = value.node.shape_env.bound_sympy(expression(value))
    if known.lower >= 0 or known.upper < 0:
        return bool(known.upper < 0)
    raise UnsupportedError(owner, "size", str(expression(value)), "a size that is always, or never, below 0")


def _size(term: Any, letters: Mapping[str, Dim], owner: str) -> Dim:
    if term.is_Integer:
        return int(term)
    if str(term) in letters:
        return letters[str(term)]
    if term.is_Symbol:
        supported = "sizes that come from sizes of the inputs"
        raise UnsupportedError(owner, "size", "computed from the numbers of a tensor", supported)
    name, given = type(term).__name__, term.args
    function: Callable[..., Dim] | None = FUNCTIONS.get(name)
    if name in ROUNDED and type(given[0]).__name__ == "IntTrueDiv":
        function, given = ROUNDED[name], given[0].args
    arguments = [_size(argument, letters, owner) for argument in given]
    if term.is_Add:
        return sum(arguments, 0)
    if term.is_Mul:
        return product(arguments)
    if name in ("Pow", "PowByNatural") and isinstance(arguments[1], int) and 0 <= arguments[1] <= 4:
        return product([arguments[0]] * arguments[1])
    varying_shift = "Shift" in name and not isinstance(arguments[1], int)
    if function is None or varying_shift:
        raise UnsupportedError(owner, "size", str(term), "sums, products, floor divisions, max and min")
    return function(*arguments)
