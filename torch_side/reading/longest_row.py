"""How long the longest row is, computed from the lengths of rows: as long as the tensor, by contract.

``lengths.max()``, or the first of lengths that fall, is T: no form could make a tensor whose size depends on
numbers, and a batch is padded to its longest row.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import fx

from biport.dims import Dim
from torch_side.reading.program import Program
from torch_side.reading.sizes import expression

ITEMS = ("item", "_local_scalar_dense")
LONGEST = ("max", "amax")
SAME = ("to", "_to_copy", "clone", "sort", "detach", "alias", "view", "squeeze", "getitem", "slice")
"""Functions of which the largest number is that of their input."""


def longest_rows(program: Program, letters: Mapping[str, Dim]) -> dict[str, Dim]:
    """T for each symbol that stands for the length of the longest row."""
    rows: dict[str, Dim] = {}
    for node in program.graph.nodes:
        if _name(node) not in ITEMS or not isinstance(node.meta.get("val"), torch.SymInt):
            continue
        symbol = str(expression(node.meta["val"]))
        steps = _steps(program, node.all_input_nodes[0], letters)
        if symbol not in letters and steps is not None:
            rows[symbol] = steps
    return rows


def _steps(program: Program, node: fx.Node, letters: Mapping[str, Dim]) -> Dim | None:
    """T, if a statement gives the largest of the lengths of rows."""
    largest = False
    while node.op == "call_function":
        name = _name(node)
        if name not in (*SAME, *LONGEST) and not (name == "select" and node.args[2] == 0):
            return None
        largest = largest or name in (*LONGEST, "select")
        node = node.all_input_nodes[0]
    if not largest or node.name not in program.inputs or node.meta["val"].dim() != 1:
        return None
    placeholders = {known.name: known for known in program.graph.nodes if known.op == "placeholder"}
    shapes = [placeholders[name].meta["val"].shape for name in program.inputs]
    batch = expression(node.meta["val"].shape[0])
    for shape in shapes:
        sizes = [expression(size) for size in shape[:2]]
        if len(sizes) == 2 and batch in sizes:
            other = str(sizes[1 - sizes.index(batch)])
            return letters.get(other, int(other) if other.isdecimal() else None)
    return None


def _name(node: fx.Node) -> str:
    return getattr(node.target, "__name__", str(node.target)).split(".")[0]
