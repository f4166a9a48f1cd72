"""Statements of torch.fx as expressions of Python."""

from __future__ import annotations

import operator
import typing
from collections.abc import Callable, Mapping
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from torch_side.layers import Recurrence
from torch_side.writing.code import (
    ATOM,
    BIT_AND,
    BIT_OR,
    BIT_XOR,
    COMPARISON,
    POWER,
    PRODUCT,
    SUM,
    Code,
    binary,
    call,
    cut,
    literal,
    sequence,
    subscript,
    unary,
)

SIGNS: Mapping[Callable[..., Any], tuple[str, int]] = {
    operator.add: ("+", SUM),
    operator.sub: ("-", SUM),
    operator.mul: ("*", PRODUCT),
    operator.truediv: ("/", PRODUCT),
    operator.floordiv: ("//", PRODUCT),
    operator.mod: ("%", PRODUCT),
    operator.matmul: ("@", PRODUCT),
    operator.pow: ("**", POWER),
    operator.eq: ("==", COMPARISON),
    operator.ne: ("!=", COMPARISON),
    operator.lt: ("<", COMPARISON),
    operator.le: ("<=", COMPARISON),
    operator.gt: (">", COMPARISON),
    operator.ge: (">=", COMPARISON),
    operator.and_: ("&", BIT_AND),
    operator.or_: ("|", BIT_OR),
    operator.xor: ("^", BIT_XOR),
}
UNARY_SIGNS: Mapping[Callable[..., Any], str] = {operator.neg: "-", operator.invert: "~"}

NAMESPACES: tuple[tuple[str, ModuleType], ...] = (
    ("torch", torch),
    ("functional", functional),
    ("torch.linalg", torch.linalg),
)
"""Where functions of torch are looked for."""

Structure = str | tuple["Structure", ...]
"""What a call gives: a name for a tensor, or a tuple of such."""


@cache
def _known() -> dict[int, str]:
    """The functions of torch by identity; what is in several places is called as in the first."""
    known: dict[int, str] = {}
    for prefix, namespace in NAMESPACES:
        for name in dir(namespace):
            value = getattr(namespace, name)
            if callable(value) and not name.startswith("_"):
                known.setdefault(id(value), f"{prefix}.{name}")
    return known


def function_name(function: Callable[..., Any]) -> str:
    """How a function is called: ``torch.cat``, ``max``, or by its own name where it is copied."""
    return _known().get(id(function)) or function.__name__


def is_own(thing: Any) -> bool:
    """Whether a function or a class is one of `torch_side.layers`, whose source is copied."""
    return str(getattr(thing, "__module__", "")).startswith("torch_side.layers.")


def result(module: nn.Module | None, node: fx.Node) -> Structure:
    """What a statement gives, as far as it is known: ``("outputs", ("h", "c"))``.

    Args:
        module: the one that it calls.
        node: the statement.
    """
    if isinstance(module, nn.LSTM):
        return "outputs", ("h", "c")
    if isinstance(module, nn.GRU | nn.RNN):
        return "outputs", "h"
    if isinstance(module, Recurrence):
        return "outputs", "states"
    if module is not None:
        return _annotated(type(module).forward)
    match node.op, node.target:
        case "call_method", "sort" | "max" | "min" | "cummax" | "cummin" | "topk":
            return "values", "indices"
        case "call_method", "split" if isinstance(node.args[1], list | tuple):
            return ("part",) * len(node.args[1])
        case "call_method", "chunk" if isinstance(node.args[1], int):
            # Both directions of a layer lie side by side.
            return ("forward", "backward") if node.args[1] == 2 else ("part",) * node.args[1]
        case "call_function", function if is_own(function):
            return _annotated(function)
    return "value"


def _annotated(function: Any) -> Structure:
    """By the annotation of what a function returns; of several the one that is a tuple."""
    try:
        hint = typing.get_type_hints(function).get("return")
    except (NameError, TypeError):
        return "value"
    options = [hint, *typing.get_args(hint)] if typing.get_origin(hint) is not tuple else [hint]
    return next(
        (_structure(option) for option in options if typing.get_origin(option) is tuple),
        "value",
    )


def _structure(hint: Any) -> Structure:
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is not tuple or ... in arguments:
        return "value"
    return tuple(map(_structure, arguments))


def _shape_of(sizes: Any) -> fx.Node | None:
    """The tensor whose first sizes these are, two or more."""
    if len(sizes) < 2 or not all(is_size(size) for size in sizes):
        return None
    same = len({size.args[0] for size in sizes}) == 1
    return sizes[0].args[0] if same and [size.args[1] for size in sizes] == list(range(len(sizes))) else None


def says_shape(node: fx.Node, size: fx.Node) -> bool:
    """Whether a size is part of a shape among the arguments of a statement, see `expression`."""
    shapes = [
        sizes for sizes in node.args if isinstance(sizes, list | tuple) and _shape_of(sizes) is not None
    ]
    return size not in node.args and any(size in sizes for sizes in shapes)


def is_size(node: Any) -> bool:
    """Whether a statement asks for one size of a tensor."""
    return isinstance(node, fx.Node) and node.op == "call_method" and node.target == "size"


def expression(node: fx.Node, known: Callable[[fx.Node], Code], attribute: Callable[[str], Code]) -> Code:
    """A statement's right side.

    Args:
        node: the statement.
        known: what stands for the fx nodes that it computes with.
        attribute: how a path below the module is written: ``self.encoder.lstm``.
    """

    def value(argument: Any) -> Code:
        match argument:
            case fx.Node():
                return known(argument)
            case list() | tuple() if (whole := _shape_of(argument)) is not None:
                return Code(f"{known(whole).at(ATOM)}.shape[:{len(argument)}]")
            case list() | tuple():
                brackets = "[]" if isinstance(argument, list) else "()"
                return sequence([value(part) for part in argument], brackets)
        return literal(argument)

    def given(arguments: Any) -> tuple[list[Code], list[tuple[str, Code]]]:
        keywords = [(name, value(argument)) for name, argument in node.kwargs.items()]
        return [value(argument) for argument in arguments], keywords

    def item(index: Any) -> str:
        if isinstance(index, slice):
            bounds = (index.start, index.stop, index.step)
            return cut(*(None if bound is None else value(bound) for bound in bounds))
        return "..." if index is ... else value(index).text

    match node.op, node.target:
        case "get_attr", str(path):
            return attribute(path)
        case "call_module", str(path):
            return call(attribute(path).text, *given(node.args))
        case "call_method", str(name):
            return call(f"{value(node.args[0]).at(ATOM)}.{name}", *given(node.args[1:]))
        case "call_function", function if function is operator.getitem:
            x, index = node.args
            items = index if isinstance(index, tuple) and index else (index,)
            return subscript(value(x), [item(part) for part in items])
        case "call_function", function if function is getattr:
            x, name = node.args
            return Code(f"{value(x).at(ATOM)}.{name}")
        case "call_function", function if callable(function) and function in SIGNS:
            one, two = map(value, node.args)
            sign, precedence = SIGNS[function]
            if precedence == COMPARISON and one == two:
                # As a sign it would look like a slip of the pen; it asks for numbers that are none.
                return call(f"torch.{function.__name__}", [one, two])
            return binary(sign, precedence, one, two)
        case "call_function", function if callable(function) and function in UNARY_SIGNS:
            return unary(UNARY_SIGNS[function], value(node.args[0]))
    assert callable(node.target), node
    return call(function_name(node.target), *given(node.args))
