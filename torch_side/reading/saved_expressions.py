"""Sizes that a saved program writes as text, which torch evaluates: only what is arithmetic may get there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from biport.syntax import parsed_expression

MAX_LENGTH = 4000
"""Characters of one size."""
MAX_POWERS, MAX_EXPONENT = 4, 8
"""So that no number grows beyond all bounds."""
MAX_NUMBER = 2**63
SYMBOL = re.compile(r"[a-z]{1,4}\d{1,6}")
"""What torch calls a size that varies."""
FUNCTIONS = frozenset(
    (
        *("Add", "Mul", "Pow", "Max", "Min", "Mod", "Abs", "floor", "ceiling", "Integer", "Rational"),
        *("FloorDiv", "CleanDiv", "CeilDiv", "PythonMod", "ModularIndexing", "Where", "Identity"),
        *("CeilToInt", "FloorToInt", "TruncToInt", "RoundToInt", "ToFloat", "TruncToFloat"),
        *("IntTrueDiv", "FloatTrueDiv", "FloatPow", "PowByNatural", "LShift", "RShift"),
        *("Eq", "Ne", "Gt", "Ge", "Lt", "Le", "And", "Or", "Not", "Equality", "Unequality"),
        *("StrictGreaterThan", "StrictLessThan", "GreaterThan", "LessThan"),
    )
)
"""Functions of numbers, of sympy and of torch."""
POWERS = ("Pow", "FloatPow", "PowByNatural", "LShift")
ASSUMPTIONS = frozenset(("integer", "positive", "nonnegative", "negative", "real", "finite", "zero"))
"""What may be said of a symbol."""
PARTS = (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Div, ast.Mod, ast.Pow, ast.USub, ast.UAdd, ast.Load)
COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)


def is_arithmetic(text: str) -> bool:
    """Whether a text is an expression of numbers, symbols and known functions, and nothing else.

    Example:
        >>> is_arithmetic("Mul(Integer(4), Symbol('s27', positive=True, integer=True))")
        True
        >>> is_arithmetic("__import__('os').system('true')")
        False
    """
    if len(text) > MAX_LENGTH:
        return False
    try:
        tree = parsed_expression(text)
        powers = [exponent for node in ast.walk(tree) for exponent in _exponents(node)]
        return _is_number(tree) and len(powers) <= MAX_POWERS and all(map(_is_small, powers))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _is_number(node: ast.AST) -> bool:
    match node:
        case ast.Constant(value=bool()):
            return True
        case ast.Constant(value=int() | float() as value):
            return abs(value) < MAX_NUMBER
        case ast.Name(id=name):
            return SYMBOL.fullmatch(name) is not None or name in ("true", "false")
        case ast.BinOp(left=left, op=op, right=right):
            return isinstance(op, PARTS) and _is_number(left) and _is_number(right)
        case ast.UnaryOp(op=op, operand=operand):
            return isinstance(op, PARTS) and _is_number(operand)
        case ast.Compare(left=left, ops=ops, comparators=others):
            return all(isinstance(op, COMPARISONS) for op in ops) and all(map(_is_number, [left, *others]))
        case ast.Call(func=ast.Name(id="Symbol"), args=[ast.Constant(value=str(name))], keywords=words):
            return SYMBOL.fullmatch(name) is not None and all(map(_is_assumption, words))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            return name in FUNCTIONS and all(map(_is_number, arguments))
    return False


def _is_assumption(word: ast.keyword) -> bool:
    return (
        word.arg in ASSUMPTIONS
        and isinstance(word.value, ast.Constant)
        and isinstance(word.value.value, bool)
    )


def _exponents(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.BinOp(op=ast.Pow(), right=exponent):
            yield exponent
        case ast.Call(func=ast.Name(id=name), args=[_, exponent]) if name in POWERS:
            yield exponent


def _is_small(exponent: ast.AST) -> bool:
    match exponent:
        case ast.Call(func=ast.Name(id="Integer"), args=[inner]) | ast.UnaryOp(operand=inner):
            return _is_small(inner)
        case ast.Constant(value=int() | float() as value):
            return abs(value) <= MAX_EXPONENT
    return False
