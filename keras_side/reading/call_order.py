"""In which order Keras runs the layers of a functional model.

It matters where `MultiHeadAttention` takes the masks off its inputs: who reads the same tensor afterwards
finds none. Everywhere else any order will do that has each layer behind those it reads.

Source:
    keras/src/ops/function.py of 3.15, ``map_graph``, ``_build_map`` and ``_run_through_graph``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Key = tuple[str, int]
"""``(layer, call)``."""

ENDS_MASKS = "MultiHeadAttention"


def ends_masks(config: Any) -> bool:
    """Whether a model, or one inside it, has a layer that takes masks off its inputs."""
    layers = config.get("layers") if isinstance(config, Mapping) else None
    return isinstance(layers, list) and any(
        entry.get("class_name") == ENDS_MASKS or ends_masks(entry.get("config"))
        for entry in layers
        if isinstance(entry, Mapping)
    )


def run_order(parents: Mapping[Key, Sequence[Key]], outputs: Sequence[Key]) -> list[Key]:
    """The calls of a model in the order Keras makes them.

    Args:
        parents: for each call, the calls whose outputs it reads, as often and in the order it does.
        outputs: the calls that give the model's outputs, in order.

    Returns:
        All keys of ``parents``; those that no output depends on come last.
    """
    depths: dict[Key, int] = {}
    of_layers: dict[str, int] = {}
    for key in reversed(list(_upward(parents, outputs))):
        depth = max(depths.setdefault(key, 0), of_layers.get(key[0], 0))
        depths[key] = of_layers[key[0]] = depth
        for parent in parents[key]:
            if parent in parents:
                depths[parent] = max(depth + 1, depths.get(parent, 0))
    ordered = sorted(depths, key=lambda key: -depths[key])
    return [*ordered, *(key for key in parents if key not in depths)]


def _upward(parents: Mapping[Key, Sequence[Key]], outputs: Sequence[Key]) -> Iterator[Key]:
    """Each call behind those it reads, depth first; calls that wait for each other are left out."""
    seen: set[Key] = set()
    for output in outputs:
        stack = [(output, iter(parents.get(output, ())))] if output in parents and output not in seen else []
        seen.add(output)
        while stack:
            key, left = stack[-1]
            parent = next((call for call in left if call in parents and call not in seen), None)
            if parent is None:
                stack.pop()
                yield key
            else:
                seen.add(parent)
                stack.append((parent, iter(parents[parent])))
