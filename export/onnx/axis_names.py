"""Letters for the axes of a file's inputs.

In a graph a letter only says that a size varies: two inputs ``(N, T)`` may come with different numbers of
steps. In an ONNX file a letter is a promise, on which onnxruntime reuses memory, so only the batch may be
shared.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from biport.graph import Value
from biport.ops import Dim


def distinct_axes(values: Sequence[Value]) -> list[Value]:
    """The same inputs, every letter beyond the batch used once: a second T becomes T_2."""
    taken: set[Dim] = {value.shape[0] for value in values if value.shape}
    renamed: list[Value] = []
    for value in values:
        dims: list[Dim] = list(value.shape[:1])
        for dim in value.shape[1:]:
            dims.append(_fresh(dim, taken) if isinstance(dim, str) else dim)
            taken.add(dims[-1])
        renamed.append(dataclasses.replace(value, shape=tuple(dims)))
    return renamed


def _fresh(letter: str, taken: set[Dim]) -> str:
    name, number = letter, 1
    while name in taken:
        number += 1
        name = f"{letter}_{number}"
    return name
