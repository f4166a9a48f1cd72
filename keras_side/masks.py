"""Masks while a model is read: what Keras propagates in secret, as values that can be compared.

Keras hangs a mask on a tensor and every layer passes it on, ends it, or makes another; what a layer
really gets is known only when the model runs. Here each rule is a function (measured on Keras 3.15), and
a mask is a small expression that becomes a node of the graph once a layer needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from biport.ops import Op


@dataclass(frozen=True)
class Given:
    """A boolean value of the graph, such as a model input."""

    value: str


@dataclass(frozen=True)
class Unequal:
    """``value != number``; ``name`` is what the node is called if one is made."""

    value: str
    number: int
    name: str = field(compare=False)


@dataclass(frozen=True)
class FeaturesUnequal:
    """Where any feature of ``value``, ``(N, T, I)``, is not ``number``."""

    value: str
    number: float
    name: str = field(compare=False)


@dataclass(frozen=True)
class AnyOf:
    """Valid where any of ``masks`` is."""

    masks: tuple[Mask, ...]
    name: str = field(compare=False)


@dataclass(frozen=True)
class InTime:
    """``masks`` one after the other along time."""

    masks: tuple[Mask, ...]
    name: str = field(compare=False)


@dataclass(frozen=True)
class Full:
    """Every step is valid: in the graph, no mask."""


Mask = Given | Unequal | FeaturesUnequal | AnyOf | InTime | Full


def stop_mask(
    op: Op, name: str, inputs: Sequence[str], masks: Sequence[Mask | None]
) -> Sequence[Mask | None]:
    """No output carries a mask."""
    return (None,)


def pass_mask(
    op: Op, name: str, inputs: Sequence[str], masks: Sequence[Mask | None]
) -> Sequence[Mask | None]:
    """The output carries the first input's mask."""
    return (masks[0],)


def any_of(masks: Sequence[Mask], name: str) -> Mask:
    """`AnyOf` without repetitions; a single mask stays itself, and `Full` covers all others."""
    if any(isinstance(mask, Full) for mask in masks):
        return Full()
    distinct = tuple(dict.fromkeys(masks))
    return distinct[0] if len(distinct) == 1 else AnyOf(distinct, name)
