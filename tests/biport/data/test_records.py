"""Pairs divided into three parts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biport.data.records import Pairs, split_pairs
from biport.errors import InputError


def _pairs(sources: list[str]) -> Pairs:
    numbers = range(len(sources))
    return Pairs(sources, [f"t{n}" for n in numbers], [f"a{n}" for n in numbers])


@given(st.lists(st.sampled_from("abcdefghij"), min_size=12), st.integers(0, 3))
def test_a_source_is_in_one_part_and_nothing_is_lost(sources: list[str], seed: int) -> None:
    if len(set(sources)) < 4:
        return
    parts = split_pairs(_pairs(sources), 0.2, 0.3, seed)
    seen = [set(part.sources) for part in (parts.train, parts.validation, parts.test)]
    assert all(seen)
    assert sum(map(len, seen)) == len(set(sources))
    rows = []
    for part in (parts.train, parts.validation, parts.test):
        numbers = [int(target[1:]) for target in part.targets]
        assert numbers == sorted(numbers)
        rows += list(zip(part.sources, numbers, part.attributions, strict=True))
    assert sorted(rows, key=lambda row: row[1]) == [(s, n, f"a{n}") for n, s in enumerate(sources)]


def test_the_division_hangs_on_the_seed_alone() -> None:
    pairs = _pairs([str(number) for number in range(50)])
    parts = split_pairs(pairs, 0.1, 0.2, seed=1)
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [35, 5, 10]
    assert parts == split_pairs(pairs, 0.1, 0.2, seed=1)
    assert parts.test != split_pairs(pairs, 0.1, 0.2, seed=2).test


@pytest.mark.parametrize(
    "sources, shares, seed, reason",
    [
        ("abc", (0.0, 0.5), 0, "validation_fraction=0.0"),
        ("abc", (0.5, 0.5), 0, "together they are below 1"),
        ("abc", (float("nan"), 0.5), 0, "validation_fraction=nan"),
        ("aabb", (0.2, 0.2), 0, "2 different sources"),
        ("abc", (0.6, 0.3), 0, "nothing is left to train on"),
        ("abcd", (0.2, 0.2), -1, "seed=-1"),
    ],
)
def test_what_cannot_be_divided(sources: str, shares: tuple[float, float], seed: int, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        split_pairs(_pairs(list(sources)), *shares, seed)
