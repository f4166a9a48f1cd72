"""Python source as a person would lay it out, and as ``ruff format`` leaves it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

WIDTH = 88
INDENT = "    "
TUPLE, COMPARISON, BIT_OR, BIT_XOR, BIT_AND, SUM, PRODUCT, UNARY, POWER, ATOM = range(10)
"""How tightly an expression keeps together, the loosest first."""


@dataclass(frozen=True)
class Code:
    """An expression.

    Args:
        text: on one line.
        precedence: of its outermost operator.
        opening: how it begins where it has to be broken, up to a bracket; empty if it cannot be.
        items: what stands between the brackets, each of which may get a line of its own.
        closing: the bracket at its end.
        arguments: whether the items are those of a call, which may stay on one line.
    """

    text: str
    precedence: int = ATOM
    opening: str = ""
    items: tuple[Code, ...] = ()
    closing: str = ""
    arguments: bool = False

    def at(self, least: int) -> str:
        """The text, in brackets where it is looser than ``least``."""
        return self.text if self.precedence >= least else f"({self.text})"

    @property
    def is_simple(self) -> bool:
        """Whether it is a name, an attribute of one, or a number: what ``**`` has no spaces around."""
        return self.text.lstrip("-").replace(".", "").replace("_", "").isalnum() and self.precedence >= UNARY


def call(head: str, arguments: Iterable[Code] = (), keywords: Iterable[tuple[str, Code]] = ()) -> Code:
    """``head(a, b, name=c)``."""
    items = (*arguments, *(_named(name, value) for name, value in keywords))
    text = f"{head}({_joined(items)})"
    return Code(text, ATOM, f"{head}(" if items else "", items, ")", arguments=True)


def _named(name: str, value: Code) -> Code:
    opening = f"{name}={value.opening}" if value.opening else ""
    return Code(f"{name}={value.text}", TUPLE, opening, value.items, value.closing, value.arguments)


def sequence(items: Sequence[Code], brackets: str = "[]") -> Code:
    """``[a, b]`` or ``(a, b)``."""
    opening, closing = brackets
    comma = "," if brackets == "()" and len(items) == 1 else ""
    text = f"{opening}{_joined(items)}{comma}{closing}"
    return Code(text, ATOM, opening if items else "", tuple(items), closing)


def mapping(items: Iterable[tuple[str, Code]]) -> Code:
    """``{"a": b}``."""
    pairs = [
        Code(
            f"{quoted(key)}: {value.text}",
            TUPLE,
            f"{quoted(key)}: {value.opening}" if value.opening else "",
            value.items,
            value.closing,
            value.arguments,
        )
        for key, value in items
    ]
    return sequence(pairs, "{}")


def _joined(items: Sequence[Code]) -> str:
    return ", ".join(item.text for item in items)


def binary(sign: str, precedence: int, one: Code, two: Code) -> Code:
    """``a + b``."""
    if precedence == POWER:
        space = "" if one.is_simple and two.is_simple else " "
        return Code(f"{one.at(ATOM)}{space}**{space}{two.at(UNARY)}", POWER)
    # Comparisons do not chain: ``(a < b) == c``.
    left = precedence + 1 if precedence == COMPARISON else precedence
    return Code(f"{one.at(left)} {sign} {two.at(precedence + 1)}", precedence)


def unary(sign: str, one: Code) -> Code:
    """``-a``."""
    return Code(f"{sign}{one.at(UNARY)}", UNARY)


def subscript(x: Code, items: Sequence[str]) -> Code:
    """``x[:, -1]``."""
    return Code(f"{x.at(ATOM)}[{', '.join(items)}]")


def cut(start: Code | None, stop: Code | None, step: Code | None) -> str:
    """``1:n``, or ``n - 1 : n`` where a bound is more than a name."""
    bounds = [bound for bound in (start, stop, step) if bound is not None]
    # An attribute is more than a name here, and brackets need the spaces as well.
    space = "" if all(bound.is_simple and "." not in bound.text for bound in bounds) else " "
    text = start.text + space if start else ""
    text += ":" + (space + stop.text if stop else "")
    return text + (f"{space}:{space}{step.text}" if step else "")


def literal(value: Any) -> Code:
    """A number, a text, a dtype or a device as it is written."""
    match value:
        case float():
            return _number(value)
        case int() if value < 0:
            return Code(repr(value), UNARY)
        case str():
            return Code(quoted(value))
        case torch.dtype():
            return Code(str(value))
        case torch.device():
            return call("torch.device", [Code(quoted(str(value)))])
        case None | bool() | int():
            return Code(repr(value))
    raise TypeError(f"{value!r} has no spelling")


def _number(value: float) -> Code:
    if math.isfinite(value):
        return Code(repr(value), UNARY if math.copysign(1, value) < 0 else ATOM)
    return Code(f'float("{value}")')


def quoted(text: str) -> str:
    """A text as a literal with nothing but ASCII in it."""
    escaped = text.encode("unicode_escape").decode("ascii")
    if '"' in escaped and "'" not in escaped:
        return f"'{escaped}'"
    return '"' + escaped.replace('"', '\\"') + '"'


def laid_out(code: Code, indent: str, before: str = "", after: str = "") -> list[str]:
    """The lines of an expression between what comes before and after it, broken where it is too long."""
    line = f"{indent}{before}{code.text}{after}"
    if len(line) <= WIDTH or not code.opening:
        return [line]
    inner = indent + INDENT
    flat = inner + _joined(code.items)
    if code.arguments and len(flat) <= WIDTH:
        lines = [flat]
    else:
        lines = [line for item in code.items for line in laid_out(item, inner, after=",")]
    return [f"{indent}{before}{code.opening}", *lines, f"{indent}{code.closing}{after}"]


def statement(code: Code, indent: str, before: str = "", comment: str = "") -> list[str]:
    """The lines of a statement; a comment stands behind it, or above it where there is no room.

    What cannot be broken and is too long is left alone by ``ruff format``.
    """
    lines = laid_out(code, indent, before)
    if any(len(line) > WIDTH for line in lines):
        # A name that nobody would give: the formatter is told to leave it.
        lines = [f"{indent}{before}{code.text}  # fmt: skip"]
    elif comment and len(lines[-1]) + len(comment) + 4 <= WIDTH:
        return [*lines[:-1], f"{lines[-1]}  # {comment}"]
    return [f"{indent}# {comment}", *lines] if comment else lines


def signature(name: str, arguments: Sequence[str], result: str, indent: str) -> list[str]:
    """The lines of ``def name(self, x: Tensor) -> Tensor:``."""
    items = tuple(map(Code, ("self", *arguments)))
    code = Code(f"def {name}({_joined(items)})", ATOM, f"def {name}(", items, ")", arguments=True)
    return laid_out(code, indent, after=f" -> {result}:")
