"""What a side's ``trace`` gives: the values inside of a form, as far as they can be seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from biport.ops import Op

Values = dict[str, np.ndarray]
Cases = Mapping[str, Sequence[np.ndarray]]


@dataclass(frozen=True)
class Traced:
    """Values inside of a form, by the names of its own graph; what is left out could not be seen.

    Args:
        values: ``{case: {value: array}}``.
        valid: ``{case: {value: (N, T) booleans}}`` for values that can be seen at these steps only.
        ops: ``{node: op}`` where the form's own weights are known better than its graph says.
        remarks: ``{node: what the form has otherwise there}``.
        notes: why something could not be seen.
    """

    values: Mapping[str, Values]
    valid: Mapping[str, Values] = field(default_factory=dict)
    ops: Mapping[str, Op] = field(default_factory=dict)
    remarks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notes: Sequence[str] = ()


def seen(array: np.ndarray, exact: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """``array`` where it can be seen, at the steps of ``valid`` ``(N, T)``, and ``exact`` elsewhere."""
    return np.where(valid.reshape(*valid.shape, *[1] * (exact.ndim - 2)), array, exact)
