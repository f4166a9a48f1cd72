"""Sizes that torch takes to vary, and that a user means to be fixed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sympy
import torch
from torch import fx
from torch.export import ExportedProgram

from torch_side.reading.sizes import expression


def axes_to_fix(exported: ExportedProgram) -> list[list[int]]:
    """The axes of each input that are to be traced as numbers; empty where none is.

    - Parts of a whole, such as features that are put side by side: torch says one of them as what is left of
      the number; alone none of them varies.
    - Features that a layer has weights for, where torch knows them only as what steps, rows of pixels and
      features make up; and what has to be such that an axis is lost as one of size 1.
    - Steps that a loop takes one by one: of the input whose size is the number of turns T is fixed, of one
      that is only indexed torch knows that there are no fewer.
    """
    shapes = _shapes(exported)
    terms = [[sympy.sympify(expression(size)) for size in shape] for shape in shapes]
    symbols = _left_of_a_number(terms) | _no_fewer(exported, shapes, terms) | _features(exported, terms)
    fixed = [[axis for axis, term in enumerate(shape) if term.free_symbols & symbols] for shape in terms]
    return fixed if symbols else []


def _left_of_a_number(terms: Sequence[Sequence[Any]]) -> set[Any]:
    """The symbols of sizes that get less as another grows."""
    return {
        symbol
        for shape in terms
        for term in shape
        if any(factor.free_symbols and count < 0 for factor, count in term.as_coefficients_dict().items())
        for symbol in term.free_symbols
    }


def _no_fewer(
    exported: ExportedProgram, shapes: Sequence[Sequence[Any]], terms: Sequence[Sequence[Any]]
) -> set[Any]:
    """The symbols that are no smaller than the example, where another input is fixed at that very size."""
    numbers = {int(term) for shape in terms for term in shape[:2] if term.is_Integer}
    ranges = exported.range_constraints
    return {
        term
        for shape, known in zip(shapes, terms, strict=True)
        for size, term in zip(shape, known, strict=True)
        if isinstance(size, torch.SymInt)
        and term in ranges
        and size.node.hint in numbers
        and ranges[term].lower == size.node.hint
        and size.node.hint > 2
    }


def axes_of_one_number(exported: ExportedProgram) -> Iterator[list[list[int]]]:
    """For each size that the trace takes to make one number alone, such as ``H // 16 - 1`` for 1, its axes.

    Whether the module takes another, the trace does not say: what has a size of 1 is such a number always.
    """
    shapes = _shapes(exported)
    varying = [size.node for shape in shapes for size in shape if isinstance(size, torch.SymInt)]
    sizes = {node.expr: sympy.Integer(node.hint) for node in varying if node.expr.is_Symbol}
    guards = [guard.expr for guard in varying[0].shape_env.guards] if varying else []
    equal = [
        guard for guard in guards if isinstance(guard, sympy.Eq) and any(x.is_Integer for x in guard.args)
    ]
    features = {
        shape[-1].node.expr for shape in shapes if len(shape) > 2 and isinstance(shape[-1], torch.SymInt)
    }
    for symbol, size in sizes.items():
        # A number that rows of two inputs make together they may keep as it is together.
        own = [guard for guard in equal if symbol in features or guard.free_symbols == {symbol}]
        twice = sizes | {symbol: 2 * size}
        if any(symbol in guard.free_symbols and guard.xreplace(twice) == sympy.false for guard in own):
            yield [[axis for axis, x in enumerate(shape) if expression(x) == symbol] for shape in shapes]


def _shapes(exported: ExportedProgram) -> list[list[Any]]:
    nodes = {node.name: node for node in exported.graph.nodes if node.op == "placeholder"}
    names = [entry for entry in exported.graph_signature.user_inputs if isinstance(entry, str)]
    return [list(nodes[name].meta["val"].shape) for name in names]


def _features(exported: ExportedProgram, terms: Sequence[Sequence[Any]]) -> set[Any]:
    """The symbols of sizes that layers have weights for, and of those that are lost as 1.

    What is divided by a size that varies, ``D * (T // (T // 2))`` or ``6 // (W // 4)``, is how torch says a
    number that it found by the example.
    """
    features: set[Any] = set()
    for node in exported.graph.nodes:
        for size in _needed_sizes(node):
            term = sympy.sympify(expression(size))
            parts = [part for part in sympy.preorder_traversal(term) if type(part).__name__ in QUOTIENTS]
            if not any(part.args[1].free_symbols for part in parts):
                features |= term.free_symbols
    # The last axes first: where these are numbers, others may turn out to be free.
    last = {symbol for shape in terms if len(shape) > 1 for symbol in shape[-1].free_symbols}
    pixels = {
        symbol for shape in terms if len(shape) > 3 for size in shape[2:] for symbol in size.free_symbols
    }
    return features & last or features & pixels


def _needed_sizes(node: fx.Node) -> list[Any]:
    """The sizes of an input of a statement that can be no other."""
    target = str(node.target)
    if target == "aten.squeeze.dim":
        known, left = node.args[0].meta["val"], node.meta["val"]  # type: ignore[union-attr]
        return [known.shape[node.args[1]]] if left.dim() < known.dim() else []  # type: ignore[index]
    if target == "aten.unbind.int":
        # As many values as there are.
        return [node.args[0].meta["val"].shape[node.args[1] if len(node.args) > 1 else 0]]  # type: ignore
    position, axis = WEIGHTED.get(target, (None, -1))
    if position is None:
        return []
    known = node.args[position].meta.get("val")  # type: ignore[union-attr]
    return [known.shape[axis]] if isinstance(known, torch.Tensor) and known.dim() >= 2 else []


WEIGHTED = {
    "biport.recurrence.default": (1, -1),
    "biport.cell.default": (1, -1),
    "aten.linear.default": (0, -1),
    "aten.layer_norm.default": (0, -1),
    "aten.batch_norm.default": (0, 1),
    "aten.conv1d.default": (0, 1),
    "aten.conv1d.padding": (0, 1),
}
"""Operators with weights for the features of one of their inputs: which one, and the axis of these."""
QUOTIENTS = ("FloorDiv", "CleanDiv")
"""What torch calls the quotient of two sizes."""
