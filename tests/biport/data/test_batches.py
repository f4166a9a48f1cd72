"""Batches: all rows once an epoch, the same ones for a seed, and from where a run was left."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biport.data.batches import BEGINNING, Batches, BatchPosition
from biport.errors import InputError

ROWS = [[7, 3], [], [5, 1, 2, 9], [4], [8, 8, 6]]
LABELS = np.array([0, 1, 2, 3, 4])


def _plain(batches: Any) -> list[list[Any]]:
    return [[array.tolist() for array in batch] for batch in batches]


def test_rows_are_padded_a_batch_at_a_time() -> None:
    batches = Batches([ROWS, LABELS], 2, seed=0, shuffle=False)
    assert len(batches) == 3
    assert _plain(batches) == [
        [[[7, 3], [0, 0]], [0, 1]],
        [[[5, 1, 2, 9], [4, 0, 0, 0]], [2, 3]],
        [[[8, 8, 6]], [4]],
    ]


def test_no_row_is_longer_than_the_bound() -> None:
    batches = Batches([ROWS], 3, seed=0, shuffle=False, max_length=3, padding="left", truncating="left")
    assert _plain(batches) == [[[[0, 7, 3], [0, 0, 0], [1, 2, 9]]], [[[0, 0, 4], [8, 8, 6]]]]
    assert [batch[0].shape for batch in Batches([[[1], []]], 1, seed=0, max_length=5)] == [(1, 1), (1, 1)]


def test_arrays_keep_their_rows_and_dtype() -> None:
    features = np.arange(30, dtype=np.float32).reshape(5, 3, 2)
    (batch,) = next(iter(Batches([features], 2, seed=0, shuffle=False, max_length=1)))
    assert batch.dtype == np.float32
    assert (batch == features[:2]).all()


@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 5), st.booleans(), st.booleans())
def test_an_epoch_has_every_row_once_and_is_resumed_anywhere(
    n: int, batch_size: int, seed: int, drop_last: bool, shuffle: bool
) -> None:
    def batches_from(position: BatchPosition = BEGINNING) -> Batches:
        columns = [np.arange(n), [[number + 1] * (number % 4) for number in range(n)]]
        return Batches(columns, batch_size, seed, drop_last=drop_last, shuffle=shuffle, position=position)

    batches = batches_from()
    seen, left = [], []
    for epoch in range(3):
        assert batches.position == BatchPosition(epoch)
        rows = []
        for batch in batches:
            seen.append([array.tolist() for array in batch])
            left.append(json.loads(json.dumps(vars(batches.position))))
            rows += batch[0].tolist()
        assert len(rows) == len(set(rows)) == (n - n % batch_size if drop_last else n)
    assert len(seen) == 3 * len(batches)
    for done, stored in enumerate(left):
        resumed = batches_from(BatchPosition(**stored))
        following = []
        while resumed.position.epoch < 3:
            following += _plain(resumed)
        assert following == seen[done + 1 :]


def test_a_loop_left_early_goes_on_where_it_was_left() -> None:
    batches = Batches([LABELS], 2, seed=3)
    first = next(iter(batches))[0].tolist()
    rest = [row for batch in batches for row in batch[0].tolist()]
    assert sorted(first + rest) == LABELS.tolist()
    assert batches.position == BatchPosition(1)


def test_the_order_hangs_on_seed_and_epoch() -> None:
    numbers = np.arange(50)

    def order(seed: int, epoch: int) -> list[int]:
        batches = Batches([numbers], 7, seed, position=BatchPosition(epoch))
        return [row for (rows,) in batches for row in rows.tolist()]

    assert order(1, 0) == order(1, 0)
    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4
    # Pinned: a stored position means the same on every machine, as long as NumPy's generator does.
    assert order(0, 0)[:5] == [18, 23, 36, 4, 2]


@pytest.mark.parametrize("drop_last", [False, True])
def test_data_without_a_batch_still_ends_its_epochs(drop_last: bool) -> None:
    batches = Batches([np.arange(2 if drop_last else 0)], 3, seed=0, drop_last=drop_last)
    assert len(batches) == 0
    assert list(batches) == []
    assert batches.position == BatchPosition(1)


@pytest.mark.parametrize(
    "setting, reason",
    [
        ({"columns": []}, "columns of"),
        ({"columns": [ROWS, LABELS[:4]]}, r"columns of \[5, 4\] rows"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"seed": -1}, "seed=-1"),
        ({"max_length": 0}, "length=0"),
        ({"padding": "pre"}, "padding"),
        ({"position": BatchPosition(-1)}, "epoch=-1"),
        ({"position": BatchPosition(0, 1)}, "row=1"),
        ({"position": BatchPosition(0, 6)}, "row=6"),
        ({"position": BatchPosition(0, 4), "drop_last": True}, "row=4"),
    ],
)
def test_refused(setting: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        Batches(**({"columns": [ROWS], "batch_size": 2, "seed": 0} | setting))
