"""Sizes that torch takes to vary, and that a user means to be fixed."""

from __future__ import annotations

from collections.abc import Sequence
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
    - Features that a layer has weights for, where torch knows them only as what other sizes make up: the
      height of a picture, whose maps are laid flat for a `Linear`.
    - Of which a size of 1 is made that is squeezed out: the height of a picture of a line of text.
    - Steps that a loop takes one by one: of the input whose size is the number of turns T is fixed, of one
      that is only indexed torch knows that there are no fewer.
    """
    nodes = {node.name: node for node in exported.graph.nodes if node.op == "placeholder"}
    names = [entry for entry in exported.graph_signature.user_inputs if isinstance(entry, str)]
    shapes = [list(nodes[name].meta["val"].shape) for name in names]
    terms = [[sympy.sympify(expression(size)) for size in shape] for shape in shapes]
    beside = {symbol for shape in terms for term in shape[1:] for symbol in term.free_symbols}
    symbols = _left_of_a_number(terms) | _no_fewer(exported, shapes, terms)
    symbols |= beside & (_features(exported) | _taken_for_one(exported))
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


def _features(exported: ExportedProgram) -> set[Any]:
    """The symbols in what layers take for features."""
    features: set[Any] = set()
    for node in exported.graph.nodes:
        position = WEIGHTED.get(str(node.target))
        known = None if position is None else node.args[position].meta.get("val")
        if isinstance(known, torch.Tensor):
            features |= sympy.sympify(expression(known.shape[-1])).free_symbols
    return features


def _taken_for_one(exported: ExportedProgram) -> set[Any]:
    """The symbols of sizes, 1 in the example, that torch or a squeeze takes for 1 from there on."""
    ones: set[Any] = set()
    for node in exported.graph.nodes:
        given = node.args[0].meta.get("val") if node.args and isinstance(node.args[0], fx.Node) else None
        result = node.meta.get("val")
        if not isinstance(given, torch.Tensor) or not isinstance(result, torch.Tensor):
            continue
        squeezed = str(node.target) in SQUEEZES and len(result.shape) < len(given.shape)
        if not squeezed and len(result.shape) != len(given.shape):
            continue
        for axis, size in enumerate(given.shape):
            one = isinstance(size, torch.SymInt) and size.node.hint == 1
            if one and (squeezed or isinstance(result.shape[axis], int)):
                ones |= sympy.sympify(expression(size)).free_symbols
    return ones


WEIGHTED = {"biport.recurrence.default": 1, "biport.cell.default": 1, "aten.linear.default": 0}
"""Operators with weights for the features of one of their inputs, and which."""

SQUEEZES = ("aten.squeeze.default", "aten.squeeze.dim", "aten.squeeze.dims")
