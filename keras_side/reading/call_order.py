"""In which order Keras lists and runs the layers of a functional model.

How it lists them says which weights of a file are whose. How it runs them matters where `MultiHeadAttention`
takes the masks off its inputs: who reads the same tensor afterwards finds none.

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
        entry.get("class_name") == ENDS_MASKS or ends_masks(entry.get("config")) or _inside_ends_masks(entry)
        for entry in layers
        if isinstance(entry, Mapping)
    )


def _inside_ends_masks(entry: Mapping) -> bool:
    config = entry.get("config")
    inner = config.get("layer") if isinstance(config, Mapping) else None
    return isinstance(inner, Mapping) and ends_masks({"layers": [inner]})


def run_order(parents: Mapping[Key, Sequence[Key]], outputs: Sequence[Key]) -> list[Key]:
    """The calls of a model in the order Keras makes them.

    Args:
        parents: for each call, the calls whose outputs it reads, as often and in the order it does.
        outputs: the calls that give the model's outputs, in order.

    Returns:
        All keys of ``parents``; those that no output depends on come last.
    """
    depths, _ = _depths(parents, outputs)
    ordered = sorted(depths, key=lambda key: -depths[key])
    return [*ordered, *(key for key in parents if key not in depths)]


def layer_order(parents: Mapping[Key, Sequence[Key]], outputs: Sequence[Key]) -> list[str]:
    """The layers of a model in the order Keras lists them.

    Args:
        parents: as for `run_order`.
        outputs: as for `run_order`.

    Returns:
        Their names; of those that no output depends on, which Keras leaves out, last.

    Example:
        >>> layer_order({("x", 0): [], ("b", 0): [("x", 0)], ("a", 0): [("x", 0)]}, [("a", 0), ("b", 0)])
        ['x', 'a', 'b']
    """
    depths, met = _depths(parents, outputs)
    of_layers: dict[str, int] = {}
    for name, call in depths:
        of_layers[name] = max(depths[name, call], of_layers.get(name, 0))
    firsts = dict.fromkeys(name for name, _ in met)
    ordered = sorted(firsts, key=lambda name: -of_layers[name])
    return [*ordered, *(dict.fromkeys(name for name, _ in parents if name not in firsts))]


def _depths(
    parents: Mapping[Key, Sequence[Key]], outputs: Sequence[Key]
) -> tuple[dict[Key, int], Sequence[Key]]:
    """How far each call is above the outputs, and the calls in the order a search from these meets them."""
    met: dict[Key, None] = {}
    depths: dict[Key, int] = {}
    of_layers: dict[str, int] = {}
    for key in reversed(list(_upward(parents, outputs, met))):
        depth = max(depths.setdefault(key, 0), of_layers.get(key[0], 0))
        depths[key] = of_layers[key[0]] = depth
        for parent in parents[key]:
            if parent in parents:
                depths[parent] = max(depth + 1, depths.get(parent, 0))
    return depths, list(met)


def _upward(
    parents: Mapping[Key, Sequence[Key]], outputs: Sequence[Key], met: dict[Key, None]
) -> Iterator[Key]:
    """Each call behind those it reads, depth first; calls that wait for each other are left out.

    ``met`` gets each of them when the search first comes to it.
    """
    for output in outputs:
        stack = []
        if output in parents and output not in met:
            stack = [(output, iter(parents[output]))]
            met[output] = None
        while stack:
            key, left = stack[-1]
            parent = next((call for call in left if call in parents and call not in met), None)
            if parent is None:
                stack.pop()
                yield key
            else:
                met[parent] = None
                stack.append((parent, iter(parents[parent])))
