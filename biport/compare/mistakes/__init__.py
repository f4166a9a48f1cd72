"""Mistakes that converters of recurrent models and of tensor operations make: the one list.

A mistake is a small wrong step: the graph is another one than was meant, or the inputs are mixed up.
`biport.compare.localize` asks of each whether it gives what a form gave, and `biport matrix --mutate` plants
each to see whether it would be noticed. Its name is a clause, "gates i and f are exchanged".
"""

from __future__ import annotations

from biport.compare.mistakes.base import Mistake, in_one_part
from biport.compare.mistakes.cells import CELL_MISTAKES, activation_mistakes
from biport.compare.mistakes.layers import LAYER_MISTAKES
from biport.compare.mistakes.operations import OPERATION_MISTAKES
from biport.ops import Op

__all__ = ["MISTAKES", "Mistake", "possible_mistakes"]

MISTAKES: tuple[Mistake, ...] = (*CELL_MISTAKES, *LAYER_MISTAKES, *OPERATION_MISTAKES)
"""All that are planted. A diagnosis tries them in each part of a layer as well, and `activation_mistakes`."""


def possible_mistakes(op: Op) -> list[Mistake]:
    """Whatever can go wrong in a node of ``op``: everywhere in it, then in one part of it alone."""
    everywhere = {mistake.name: mistake for mistake in (*MISTAKES, *activation_mistakes(op))}
    return [other for mistake in everywhere.values() for other in (mistake, *in_one_part(mistake, op))]
