"""Sizes that torch takes to vary, and that a user means to be fixed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy
import torch
from torch.export import ExportedProgram

from torch_side.reading.sizes import expression


def axes_to_fix(exported: ExportedProgram) -> list[list[int]]:
    """The axes of each input that are to be traced as numbers; empty where none is.

    - Parts of a whole, such as features that are put side by side: torch says one of them as what is left of
      the number; alone none of them varies.
    - Of which a number is made that has to be that one: features that a layer has weights for, such as the
      height of a picture, whose maps are laid flat for a `Linear`; 1 where an axis is squeezed out, such as
      what is left of the height of a line of text.
    - Steps that a loop takes one by one: of the input whose size is the number of turns T is fixed, of one
      that is only indexed torch knows that there are no fewer.
    """
    nodes = {node.name: node for node in exported.graph.nodes if node.op == "placeholder"}
    names = [entry for entry in exported.graph_signature.user_inputs if isinstance(entry, str)]
    shapes = [list(nodes[name].meta["val"].shape) for name in names]
    terms = [[sympy.sympify(expression(size)) for size in shape] for shape in shapes]
    symbols = _left_of_a_number(terms) | _no_fewer(exported, shapes, terms) | _of_one_number(shapes)
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


def _of_one_number(shapes: Sequence[Sequence[Any]]) -> set[Any]:
    """The symbols of terms that the trace takes to be one number, such as ``H // 16 - 1`` for 1.

    That a remainder is zero leaves sizes enough, and in ``T // (T // 2)`` T may be any even number: it stays
    what it is where a size is twice what it was.
    """
    varying = [size.node for shape in shapes for size in shape if isinstance(size, torch.SymInt)]
    sizes = {node.expr: sympy.Integer(node.hint) for node in varying if node.expr.is_Symbol}
    guards = [guard.expr for guard in varying[0].shape_env.guards] if varying else []
    return {
        symbol
        for guard in guards
        if isinstance(guard, sympy.Eq) and any(side.is_Integer for side in guard.args)
        for symbol in guard.free_symbols & sizes.keys()
        if guard.xreplace(sizes | {symbol: 2 * sizes[symbol]}) == sympy.false
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
