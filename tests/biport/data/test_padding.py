"""Rows of ids in one array."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from biport.data.padding import pad
from biport.errors import InputError


def test_rows_of_every_kind_of_whole_number_are_padded() -> None:
    rows = [[1, -(2**31)], (), np.array([2**31 - 1], np.uint64), np.array([3, 4, 5], np.int8)]
    batch = pad(rows)
    assert batch.dtype == np.int32
    assert batch.tolist() == [[1, -(2**31), 0], [0, 0, 0], [2**31 - 1, 0, 0], [3, 4, 5]]
    assert pad([], 4).shape == (0, 4)
    assert pad([[], []]).shape == (2, 1)


@pytest.mark.parametrize(
    "row, reason",
    [
        ([0.5, 1.0], "row 1 is float64"),
        ([[1, 2]], r"row 1 is int64 of shape \(1, 2\)"),
        ([[1], [1, 2]], "row 1 is not a sequence"),
        (7, "row 1 is int64 of shape"),
        ("12", "row 1 is <U2"),
        ([True], "row 1 is bool"),
        ([1, 2**31], "row 1 has ids from 1 to 2147483648"),
        ([-(2**31) - 1], "row 1 has ids from -2147483649"),
        (np.array([2**63], np.uint64), "row 1 has ids"),
    ],
)
def test_other_rows_are_refused(row: Any, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        pad([[1], row])
