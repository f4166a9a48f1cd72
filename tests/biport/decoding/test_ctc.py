"""CTC decoding against the sum over every alignment, written out."""

import itertools
import math

import numpy as np
import pytest

from biport.decoding import ctc
from biport.errors import InputError


def every_labelling(y: np.ndarray, blank: int, merge_repeated: bool) -> dict[tuple[int, ...], float]:
    """The logarithm of what the alignments of each labelling sum to; ``y`` is their logarithms ``(T, C)``."""
    sums: dict[tuple[int, ...], float] = {}
    for alignment in itertools.product(range(y.shape[1]), repeat=len(y)):
        pairs = zip((None, *alignment), alignment, strict=False)
        kept = [one for before, one in pairs if one != blank and not (merge_repeated and one == before)]
        own = sum(y[step, one] for step, one in enumerate(alignment))
        sums[tuple(kept)] = np.logaddexp(sums.get(tuple(kept), -np.inf), own)
    return sums


def logits(seed: int, steps: int, classes: int, rows: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, steps, classes)) * 3


def log_softmax(x: np.ndarray) -> np.ndarray:
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


@pytest.mark.parametrize("merge_repeated", [True, False])
@pytest.mark.parametrize(
    ("steps", "classes", "blank"), [(0, 3, 0), (1, 1, 0), (4, 2, 1), (5, 3, 1), (4, 4, -1)]
)
def test_every_score_is_the_sum_over_the_alignments(steps, classes, blank, merge_repeated) -> None:
    given = logits(steps + classes, steps, classes)
    lengths = np.array([steps, steps // 2, 0])
    options = {"blank": blank, "kind": "logits", "merge_repeated": merge_repeated}
    wide = ctc.beam(given, lengths, width=2000, top_paths=7, **options)
    narrow = ctc.greedy(given, lengths, **options)
    for row, length in enumerate(lengths):
        wanted = every_labelling(log_softmax(given[row, :length]), blank % classes, merge_repeated)
        best = sorted(wanted.values(), reverse=True)[:7]
        np.testing.assert_allclose([one.log_probability for one in wide[row]], best, atol=1e-12)
        for one in (*wide[row], narrow[row]):
            assert abs(one.log_probability - wanted[one.labels]) < 1e-12
            own = ctc.log_probabilities(given[row : row + 1], [one.labels], [length], **options)
            assert own[0] == one.log_probability


@pytest.mark.parametrize("merge_repeated", [True, False])
def test_greedy_is_the_labelling_of_the_best_alignment(merge_repeated) -> None:
    given = logits(1, 6, 3, rows=40)
    for row, own in enumerate(ctc.greedy(given, blank=1, kind="logits", merge_repeated=merge_repeated)):
        runs = itertools.groupby(given[row].argmax(1).tolist()) if merge_repeated else None
        classes = given[row].argmax(1).tolist() if runs is None else [one for one, _ in runs]
        assert own.labels == tuple(one for one in classes if one != 1)


def test_kinds_of_scores_are_the_same_numbers() -> None:
    given = logits(2, 5, 4)
    logs = log_softmax(given)
    kinds: list[tuple[np.ndarray, ctc.Scores]]
    kinds = [(given, "logits"), (logs, "log_probabilities"), (np.exp(logs), "probabilities")]
    every = [ctc.beam(scores, blank=0, kind=kind, top_paths=3) for scores, kind in kinds]
    for row in zip(*every, strict=True):
        assert len({tuple(one.labels for one in own) for own in row}) == 1
        np.testing.assert_allclose(
            [[one.log_probability for one in own] for own in row[1:]],
            [[one.log_probability for one in row[0]]] * 2,
            rtol=1e-12,
        )


def test_a_narrow_beam_meets_prefixes_that_were_dropped() -> None:
    """What is given has its exact probability, and no labelling comes twice."""
    given = logits(3, 9, 3, rows=60)
    for width in (1, 2, 3):
        for row, own in enumerate(ctc.beam(given, blank=2, kind="logits", width=width, top_paths=width)):
            assert len({one.labels for one in own}) == len(own)
            exact = ctc.log_probabilities(
                np.repeat(given[row : row + 1], len(own), 0),
                [one.labels for one in own],
                blank=2,
                kind="logits",
            )
            np.testing.assert_array_equal([one.log_probability for one in own], exact)


def test_rows_do_not_depend_on_their_batch_nor_on_what_is_behind_them(monkeypatch) -> None:
    given, lengths = logits(4, 7, 4, rows=5), np.array([7, 3, 0, 5, 1])
    together = ctc.beam(given, lengths, blank=0, kind="logits", width=6, top_paths=2)
    behind = np.where(np.arange(7)[None, :, None] < lengths[:, None, None], given, np.nan)
    assert ctc.beam(behind, lengths, blank=0, kind="logits", width=6, top_paths=2) == together
    monkeypatch.setattr(ctc, "CANDIDATES", 1)
    assert ctc.beam(given, lengths, blank=0, kind="logits", width=6, top_paths=2) == together
    alone = [
        ctc.greedy(given[row : row + 1, :length], blank=0, kind="logits")[0].labels
        for row, length in enumerate(lengths)
    ]
    assert [one.labels for one in ctc.greedy(behind, lengths, blank=0, kind="logits")] == alone


def test_ties_and_blanks_alone() -> None:
    even = np.full((1, 3, 3), 1 / 3)
    assert ctc.greedy(even, blank=0)[0].labels == ()
    assert ctc.greedy(even, blank=2)[0].labels == (0,)
    sure = np.zeros((2, 4, 3))
    sure[:, :, 1] = 1
    for own in (ctc.greedy(sure, blank=1), [row[0] for row in ctc.beam(sure, blank=1, top_paths=5)]):
        assert [(one.labels, one.probability) for one in own] == [((), 1.0)] * 2
    assert [len(row) for row in ctc.beam(sure, blank=1, top_paths=5)] == [1, 1]
    assert ctc.greedy(sure, blank=1, merge_repeated=False)[0].labels == ()
    assert ctc.greedy(sure, blank=0, merge_repeated=False)[0].labels == (1, 1, 1, 1)


def test_nothing_is_nothing() -> None:
    assert ctc.greedy(np.zeros((0, 4, 3)), blank=0) == ctc.beam(np.zeros((0, 4, 3)), blank=0) == []
    for own in (ctc.greedy(np.zeros((1, 0, 3)), blank=0)[0], ctc.beam(np.zeros((1, 0, 3)), blank=0)[0][0]):
        assert own == ctc.Labelling((), 0.0)
    assert ctc.log_probabilities(np.full((1, 2, 2), 0.5), [[0, 0]], blank=1)[0] == -math.inf


@pytest.mark.parametrize(
    ("scores", "options", "why"),
    [
        (np.ones((2, 3)), {}, r"floats \(N, T, C\), found float64 \(2, 3\)"),
        (np.ones((1, 2, 2), int), {}, "found int64"),
        (np.ones((1, 2, 2)), {}, "row 0, step 0: its numbers are no probabilities"),
        (np.full((1, 2, 2), np.log(0.5)), {}, "no probabilities"),
        (np.full((1, 2, 2), 0.5), {"kind": "log_probabilities"}, "no log probabilities"),
        (np.array([[[1.0, 2], [np.nan, 1]]]), {"kind": "logits"}, "row 0, step 1: its numbers are no logits"),
        (np.array([[[1.0, np.inf]]]), {"kind": "logits"}, "no logits"),
        (np.full((1, 2, 2), 0.5), {"blank": 2}, "there are 2 classes"),
        (np.full((1, 2, 2), 0.5), {"kind": "scores"}, "one of probabilities"),
        (np.full((1, 2, 2), 0.5), {"lengths": [3]}, "from 0 to 2, found"),
        (np.full((1, 2, 2), 0.5), {"lengths": [1, 1]}, r"whole numbers \(1,\)"),
        (np.full((1, 2, 2), 0.5), {"lengths": [1.0]}, "whole numbers"),
    ],
)
def test_what_is_no_such_row_is_refused(scores, options, why) -> None:
    with pytest.raises(InputError, match=why):
        ctc.greedy(scores, **{"blank": 0, **options})


def test_labellings_and_paths_are_checked() -> None:
    even = np.full((1, 2, 2), 0.5)
    with pytest.raises(InputError, match="not the blank, 0, found"):
        ctc.log_probabilities(even, [[0]], blank=0)
    with pytest.raises(InputError, match="2 labellings of 1 rows"):
        ctc.log_probabilities(even, [[1], [1]], blank=0)
    for count, width in ((0, 2), (3, 2)):
        with pytest.raises(InputError, match="from 1 to"):
            ctc.beam(even, blank=0, top_paths=count, width=width)
