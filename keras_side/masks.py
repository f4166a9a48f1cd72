"""Masks while a model is read: what Keras propagates in secret, as values that can be compared.

Keras hangs a mask on a tensor and every layer passes it on, ends it, or makes another; what a layer
really gets is known only when the model runs. Here each rule is a function (measured on Keras 3.15), and
a mask is a small expression that becomes a node of the graph once a layer needs it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce

from biport.dims import Dim
from biport.errors import UnsupportedError
from biport.ops import MultiHeadAttention, Op


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
class _Joined:
    """A mask made of others; two are equal when their digests are, however deep they are.

    A mask may be part of another several times, so that traversing it takes time that doubles with every
    layer.
    """

    masks: tuple[Mask, ...] = field(compare=False, repr=False)
    name: str = field(compare=False)
    digest: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha256(type(self).__name__.encode())
        for mask in self.masks:
            part = mask.digest if isinstance(mask, _Joined) else repr(_without_name(mask)).encode()
            digest.update(hashlib.sha256(part).digest())
        object.__setattr__(self, "digest", digest.digest())


@dataclass(frozen=True)
class AllOf(_Joined):
    """Valid where all of ``masks`` are."""


@dataclass(frozen=True)
class AnyOf(_Joined):
    """Valid where any of ``masks`` is."""


@dataclass(frozen=True)
class InTime(_Joined):
    """``masks`` one after the other along time."""


@dataclass(frozen=True)
class OfRows(_Joined):
    """``(N·T, S)``: a mask ``(N, T, S)``, further sizes behind, with its steps as rows."""


@dataclass(frozen=True)
class OfWholeRows(_Joined):
    """``(N·T,)``: a mask ``(N, T)`` with its steps as rows, each valid as a whole; no layer takes one."""


@dataclass(frozen=True)
class AnyInside(_Joined):
    """``(N, T)``: of a mask ``(N, T, S)``, further sizes behind, the steps of which any part is valid."""


@dataclass(frozen=True)
class OfSteps(_Joined):
    """``(N, T, S)``: a mask ``(N·T, S)`` of rows that are steps.

    Args:
        lead: ``(N, T)``.
    """

    lead: tuple[Dim, Dim] = (0, 0)


@dataclass(frozen=True)
class Full:
    """Every step of ``value`` is valid: in the graph no mask, unless it is part of another one."""

    value: str


@dataclass(frozen=True)
class OfScores:
    """``(N, 1, S, T)``, where the queries of an attention may look; no layer here takes such a mask.

    Keras 3.15 hangs it on the scores because the softmax inside carries it on.
    """

    value: str


def _without_name(mask: Given | Unequal | FeaturesUnequal | Full | OfScores) -> tuple[object, ...]:
    return type(mask).__name__, mask.value, getattr(mask, "number", None)


Mask = (
    Given
    | Unequal
    | FeaturesUnequal
    | AllOf
    | AnyOf
    | InTime
    | OfRows
    | OfWholeRows
    | OfSteps
    | AnyInside
    | Full
    | OfScores
)


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


def pass_queries_mask(
    op: Op, name: str, inputs: Sequence[str], masks: Sequence[Mask | None]
) -> Sequence[Mask | None]:
    """The output of an attention of one head carries the queries' mask, its scores none."""
    return (masks[0], *[None] * (op.output_count - 1))


def mask_scores(
    op: Op, name: str, inputs: Sequence[str], masks: Sequence[Mask | None]
) -> Sequence[Mask | None]:
    """Of many heads: the output carries the queries' mask, the scores one of where these may look."""
    assert isinstance(op, MultiHeadAttention)
    limited = op.causal or any(mask is not None and not isinstance(mask, Full) for mask in masks)
    return (masks[0], *[OfScores(name) if limited else None] * (op.output_count - 1))


def any_if_all(
    op: Op, name: str, inputs: Sequence[str], masks: Sequence[Mask | None]
) -> Sequence[Mask | None]:
    """Where every input has a mask, a step is valid where any of them is; else the masks end."""
    if len(inputs) < 2:
        raise UnsupportedError(name, "inputs", len(inputs), "two or more")
    present = [mask for mask in masks if mask is not None]
    if len(present) < len(masks):
        return (None,)
    # Two at a time, as Keras records them.
    return (reduce(lambda one, two: any_of([one, two], f"{name}_mask"), present),)


def in_time(masks: Sequence[Mask], name: str) -> Mask:
    """`InTime`; masks of every step alone are one of every step."""
    if all(isinstance(mask, Full) for mask in masks):
        return masks[0]
    return InTime(tuple(masks), name)


def all_of(masks: Sequence[Mask], name: str) -> Mask:
    """`AllOf` without repetitions and without `Full`, which takes nothing away; one mask stays itself."""
    distinct = tuple(dict.fromkeys(mask for mask in masks if not isinstance(mask, Full)))
    if not distinct:
        return masks[0]
    return distinct[0] if len(distinct) == 1 else AllOf(distinct, name)


def any_of(masks: Sequence[Mask], name: str) -> Mask:
    """`AnyOf` without repetitions; a single mask stays itself, and `Full` covers all others."""
    full = next((mask for mask in masks if isinstance(mask, Full)), None)
    if full is not None:
        return full
    distinct = tuple(dict.fromkeys(masks))
    return distinct[0] if len(distinct) == 1 else AnyOf(distinct, name)
