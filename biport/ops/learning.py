"""How the weights of an op are trained: which of them stay as they are, and what they add to the loss."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from biport.errors import GraphError


@dataclass(frozen=True)
class Penalty:
    """``l1 Σ|w| + l2 Σw²``, a term of the loss; Keras' regularisers ``L1``, ``L2`` and ``L1L2``.

    Args:
        l1: 0 or more.
        l2: 0 or more.

    Raises:
        GraphError: one of them is no such number.

    Example:
        >>> Penalty(l2=0.01)
        Penalty(l1=0.0, l2=0.01)
    """

    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        for name in ("l1", "l2"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise GraphError(f"{name} of a penalty should be a number of 0 or more, found {value!r}")
            object.__setattr__(self, name, float(value))


@dataclass(frozen=True)
class Learning:
    """What training does with the weights of one op, those of its parts not included.

    It is no part of what the op computes: ops that differ in this alone are equal.

    Args:
        frozen: the weights that training leaves as they are, by field: ``weight_ih`` has every gate. With its
            ``statistics`` frozen, a `BatchNormalization` computes in training what it does at inference.
        penalties: what is added to the loss for the weights of a field. Keras adds nothing for frozen ones.
        activity: what is added for the outputs, divided by the number of rows.
        unported: settings of the source that no graph has, as its author reads them; they are for people.

    Raises:
        GraphError: the penalties are none.

    Example:
        >>> Learning(frozen={"bias"}, penalties={"weight": Penalty(l2=0.01)}).to_json()
        {'frozen': ['bias'], 'penalties': {'weight': {'l2': 0.01}}}
    """

    frozen: frozenset[str] = frozenset()
    penalties: Mapping[str, Penalty] = field(default_factory=dict)
    activity: Penalty | None = None
    unported: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "frozen", frozenset(self.frozen))
        object.__setattr__(self, "unported", tuple(self.unported))
        for penalty in (*self.penalties.values(), *([] if self.activity is None else [self.activity])):
            if not isinstance(penalty, Penalty):
                raise GraphError(f"a penalty should be a Penalty, found {penalty!r}")

    def __bool__(self) -> bool:
        """Whether it says anything."""
        return self != Learning()

    def to_json(self) -> dict[str, Any]:
        """What it says, as plain data."""
        data: dict[str, Any] = {}
        if self.frozen:
            data["frozen"] = sorted(self.frozen)
        if self.penalties:
            data["penalties"] = {name: _plain(penalty) for name, penalty in sorted(self.penalties.items())}
        if self.activity is not None:
            data["activity"] = _plain(self.activity)
        if self.unported:
            data["unported"] = list(self.unported)
        return data

    @classmethod
    def from_json(cls, data: Any) -> Learning:
        """What `to_json` gave.

        Raises:
            GraphError: it is something else.
        """
        if not isinstance(data, Mapping) or data.keys() - {"frozen", "penalties", "activity", "unported"}:
            raise GraphError(
                f"how weights are trained should be a mapping of what it may say, found {data!r}"
            )
        frozen, unported = (_names(data.get(key, [])) for key in ("frozen", "unported"))
        penalties = data.get("penalties", {})
        if not isinstance(penalties, Mapping):
            raise GraphError(f"penalties should be a mapping, found {penalties!r}")
        return cls(
            frozenset(frozen),
            {str(name): _penalty(given) for name, given in penalties.items()},
            None if data.get("activity") is None else _penalty(data["activity"]),
            unported,
        )


def _plain(penalty: Penalty) -> dict[str, float]:
    return {name: value for name, value in dataclasses.asdict(penalty).items() if value}


def _names(data: Any) -> list[str]:
    if not isinstance(data, list) or not all(isinstance(name, str) for name in data):
        raise GraphError(f"expected a list of names, found {data!r}")
    return data


def _penalty(data: Any) -> Penalty:
    if not isinstance(data, Mapping) or data.keys() - {"l1", "l2"}:
        raise GraphError(f"a penalty should have l1 and l2, found {data!r}")
    return Penalty(**data)


NOTHING = Learning()
"""All weights are trained, and add nothing to the loss."""
