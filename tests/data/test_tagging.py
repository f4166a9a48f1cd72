"""Labels a step: what they are, and that one side alone does not tell them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from biport.data.tagging import labelled_steps, tagged_sequences, tags_of
from biport.errors import InputError


def _tag(row: list[int], position: int, classes: int) -> int:
    """The tag again, by looking for the cues one step at a time."""
    total = 0
    for side in (row[:position][::-1], row[position + 1 :]):
        cues = [token for token in side if 1 <= token <= classes]
        total += cues[0] - 1 if cues else 0
    return total % classes


@given(
    st.integers(2, 5).flatmap(
        lambda classes: st.tuples(
            st.just(classes),
            st.integers(1, 9).flatmap(
                lambda T: st.lists(st.lists(st.integers(0, 8), min_size=T, max_size=T), min_size=1)
            ),
        )
    )
)
def test_a_tag_joins_the_cues_next_to_it(drawn: tuple[int, list[list[int]]]) -> None:
    classes, rows = drawn
    tags = tags_of(np.array(rows, np.int32), classes)
    assert tags.tolist() == [[_tag(row, position, classes) for position in range(len(row))] for row in rows]


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_sequences_are_what_was_asked_for(classes: int) -> None:
    data = tagged_sequences(500, seed=1, length=17, min_length=4, vocabulary_size=12, classes=classes)
    assert data.tokens.shape == data.tags.shape == data.mask.shape == (500, 17)
    assert data.tokens.dtype == data.tags.dtype == np.int32
    assert ((data.tokens != 0) == data.mask).all()
    assert not data.tags[~data.mask].any()
    lengths = data.mask.sum(axis=1)
    assert (np.arange(17) < lengths[:, None]).tolist() == data.mask.tolist()
    assert set(lengths.tolist()) == set(range(4, 18))
    assert set(data.tokens[data.mask].tolist()) == set(range(1, 12))
    assert set(data.tags[data.mask].tolist()) == set(range(classes))
    cues = data.mask & (data.tokens <= classes)
    assert cues.sum() / data.mask.sum() == pytest.approx(0.15, abs=0.03)
    for row, tags, length in zip(data.tokens.tolist(), data.tags.tolist(), lengths, strict=True):
        assert tags[:length] == [_tag(row, position, classes) for position in range(length)]


def _shares(kinds: NDArray[Any], tags: NDArray[Any], classes: int) -> NDArray[np.float64]:
    """How often each tag occurs given each kind."""
    counts = np.array([np.bincount(tags[kinds == kind], minlength=classes) for kind in range(classes)])
    return counts / counts.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("classes", [2, 4])
def test_one_side_says_nothing_and_both_say_all(classes: int) -> None:
    data = tagged_sequences(3000, seed=2, length=60, classes=classes)
    middle = slice(25, 35)
    before, behind = np.zeros((2, 3000, 10), int)
    for step in range(10):
        position = 25 + step
        for kinds, side in (
            (before, data.tokens[:, :position][:, ::-1]),
            (behind, data.tokens[:, position + 1 :]),
        ):
            cue = (side >= 1) & (side <= classes)
            first = cue.argmax(axis=1)
            kinds[:, step] = np.where(cue.any(axis=1), side[np.arange(3000), first] - 1, 0)
    tags = data.tags[:, middle]
    for kinds in (before, behind):
        assert _shares(kinds, tags, classes) == pytest.approx(
            np.full((classes, classes), 1 / classes), abs=0.03
        )
    assert ((before + behind) % classes == tags).all()


def _windows(features: NDArray[Any], reach: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """For each step that has them, the numbers of the ``reach`` steps before and of those behind."""
    N, T, I = features.shape
    positions = range(reach, T - reach)
    before = [features[:, position - reach : position].reshape(N, reach * I) for position in positions]
    behind = [
        features[:, position + 1 : position + 1 + reach].reshape(N, reach * I) for position in positions
    ]
    return np.concatenate(before), np.concatenate(behind)


def _fitted_accuracy(inputs: NDArray[Any], labels: NDArray[Any]) -> float:
    middle = len(inputs) // 2
    weights = np.linalg.lstsq(inputs[:middle], labels[:middle] - 0.5)[0]
    return float(((inputs[middle:] @ weights > 0) == labels[middle:]).mean())


def test_a_step_is_labelled_from_both_sides() -> None:
    data = labelled_steps(1200, seed=3, length=14, features=3, reach=4)
    assert data.features.shape == (1200, 14, 3)
    assert data.features.dtype == np.float32
    assert data.labels.dtype == np.int32
    assert data.mask.all()
    before, behind = _windows(data.features, 4)
    labels = np.concatenate([data.labels[:, position] for position in range(4, 10)])
    assert labels.mean() == pytest.approx(0.5, abs=0.05)
    for side in (before, behind):
        assert _fitted_accuracy(side, labels) == pytest.approx(0.75, abs=0.03)
    assert _fitted_accuracy(np.concatenate([before, behind], axis=1), labels) > 0.97


def test_nothing_lies_beyond_the_ends_of_a_row() -> None:
    short = labelled_steps(400, seed=4, length=6, min_length=2, features=2, reach=9)
    assert not short.features[~short.mask].any()
    assert not short.labels[~short.mask].any()
    lengths = short.mask.sum(axis=1)
    assert set(lengths.tolist()) == {2, 3, 4, 5, 6}
    # At the first of two steps only the second counts, and the other way round; a line parts each.
    pairs = short.features[lengths == 2], short.labels[lengths == 2]
    for step in (0, 1):
        assert _fitted_accuracy(pairs[0][:, 1 - step].astype(float), pairs[1][:, step]) > 0.9


def test_a_seed_gives_the_same_numbers() -> None:
    for draw in (tagged_sequences, labelled_steps):
        first, again, other = (draw(5, seed, min_length=3) for seed in (1, 1, 2))
        for name, array in vars(first).items():
            assert (array == vars(again)[name]).all()
        assert any((array != vars(other)[name]).any() for name, array in vars(first).items())
        assert all(len(array) == 0 for array in vars(draw(0, seed=0)).values())


@pytest.mark.parametrize(
    "setting",
    [
        *({"n": -1}, {"length": 0}, {"min_length": 0}, {"min_length": 31}, {"seed": -1}, {"classes": 1}),
        *({"vocabulary_size": 3}, {"cue_share": 0}, {"cue_share": 1.0}, {"cue_share": float("nan")}),
    ],
)
def test_tagged_sequences_refuses(setting: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(setting))):
        tagged_sequences(**({"n": 2, "seed": 0} | setting))


@pytest.mark.parametrize("setting", [{"n": -1}, {"length": 0}, {"features": 0}, {"reach": 0}, {"seed": -1}])
def test_labelled_steps_refuses(setting: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(setting))):
        labelled_steps(**({"n": 2, "seed": 0} | setting))
