"""Letters for the axes of a file's inputs.

In a graph a letter only says that a size varies: two inputs ``(N, T)`` may come with different numbers of
steps. In an ONNX file a letter is a promise, on which onnxruntime reuses memory, so only the batch may be
shared: the letter N, on whatever axis the rows are, and what is first.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from biport.dims import Dim, Size, letter
from biport.graph import Value
from biport.inputs import BATCH


def distinct_axes(values: Sequence[Value]) -> list[Value]:
    """The same inputs, every letter beyond the batch used once: a second T becomes T_2.

    The first to have a letter keeps it, since that is whose size it is in the settings of ops; a new one is
    none that any input has.
    """
    taken: set[Dim] = {value.shape[0] for value in values if value.shape}
    every = {dim for value in values for dim in value.shape}
    renamed: list[Value] = []
    for value in values:
        dims: list[Dim] = list(value.shape[:1])
        for dim in value.shape[1:]:
            if isinstance(dim, Size) and dim in taken and dim != BATCH:
                dim = _fresh(dim, taken | every)
            dims.append(dim)
            taken.add(dims[-1])
        renamed.append(dataclasses.replace(value, shape=tuple(dims)))
    return renamed


def _fresh(size: Size, taken: set[Dim]) -> Size:
    base, fresh, number = re.sub(r"\W+", "_", str(size)), size, 1
    while fresh in taken:
        number += 1
        fresh = letter(f"{base}_{number}")
    return fresh
