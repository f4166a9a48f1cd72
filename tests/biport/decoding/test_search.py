"""The searches, against a count of every sequence there is."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from biport.decoding import Hypothesis, Stepper, agreement, beam, greedy
from biport.decoding.hypothesis import NOTHING
from biport.errors import InputError
from biport.graph import Value

START, END, V = 2, 3, 7
ENDS: dict[str, Any] = {"start": START, "end": END}


class Table:
    """A made-up model: the next token's probabilities hang on the source's sum and all tokens so far."""

    def __init__(self, seed: int, size: int = V, sharp: float = 2.0) -> None:
        self.seed, self.size, self.sharp = seed, size, sharp
        self.rows = 0

    def logs(self, source: int, tokens: Sequence[int]) -> np.ndarray:
        scores = self.sharp * np.random.default_rng([self.seed, source, *tokens]).normal(size=self.size)
        return scores - np.log(np.exp(scores).sum())

    def encode(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [inputs[0].sum(axis=1, keepdims=True).astype("float32")]

    def advance(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        tokens, source, history = inputs
        self.rows += len(tokens)
        histories = [
            [int(i) for i in row if i] + [int(token)] for row, (token,) in zip(history, tokens, strict=True)
        ]
        logs = [self.logs(int(s), h[1:]) for (s,), h in zip(source, histories, strict=True)]
        after = np.zeros_like(history)
        for row, h in enumerate(histories):
            after[row, : len(h)] = h
        return [np.exp(np.array(logs))[:, None], after]

    def stepper(self) -> Stepper:
        inputs = (
            Value("token", ("N", 1), "int32"),
            Value("source_sum", ("N", 1), "float32"),
            Value("history", ("N", 9), "float32"),
        )
        return Stepper(self.encode, self.advance, Value("source", ("N", "S"), "int32"), inputs, self.size)


def everything(table: Table, source: int, longest: int) -> list[tuple[float, tuple[int, ...]]]:
    """Every sequence that ends, with the logarithm of its probability."""
    sequences = []
    for length in range(longest + 1):
        for tokens in itertools.product((1, *range(4, table.size)), repeat=length):
            steps = [*tokens, END]
            logs = sum(table.logs(source, steps[:k])[token] for k, token in enumerate(steps))
            sequences.append((float(logs), tokens))
    return sequences


@pytest.mark.cover(1)
@pytest.mark.parametrize("penalty", [0.0, 0.6, 2.0])
@pytest.mark.parametrize("seed", range(4))
def test_a_beam_of_every_width_finds_the_best_of_all(seed: int, penalty: float) -> None:
    table = Table(seed, size=6)
    sources = [[5], [4, 1], [2, 2, 2]]
    hypotheses = beam(
        table.stepper(), sources, start=START, end=END, width=60, best=3, length_penalty=penalty, max_length=3
    )
    for source, hypothesis in zip(sources, hypotheses, strict=True):
        ranked = sorted(
            ((logs / ((5 + len(t) + 1) / 6) ** penalty, t) for logs, t in everything(table, sum(source), 3)),
            reverse=True,
        )
        given = [hypothesis, *hypothesis.others]
        assert [h.tokens for h in given] == [tokens for _, tokens in ranked[:3]]
        assert [h.score for h in given] == pytest.approx([score for score, _ in ranked[:3]], abs=1e-12)
        assert hypothesis.finished
        assert hypothesis.margin <= ranked[0][0] - ranked[1][0] + 1e-12


@pytest.mark.parametrize("seed", range(5))
def test_greedy_is_the_loop_one_would_write(seed: int) -> None:
    table = Table(seed)
    sources = [[k, k] for k in range(1, 9)] + [[3, 1, 1]]
    for source, hypothesis in zip(
        sources, greedy(table.stepper(), sources, start=START, end=END, max_length=5), strict=True
    ):
        tokens: list[int] = []
        total, margin = 0.0, np.inf
        while True:
            logs = table.logs(sum(source), tokens)
            logs[[0, START]] = -np.inf
            first, second = np.sort(logs)[::-1][:2]
            margin = min(margin, first - second)
            token = int(logs.argmax())
            if token == END or len(tokens) < 5:
                total += first
            if token == END or len(tokens) == 5:
                break
            tokens.append(token)
        assert hypothesis.tokens == tuple(tokens)
        assert hypothesis.finished is (token == END)
        assert hypothesis.score == pytest.approx(total, abs=1e-6)
        assert hypothesis.margin == pytest.approx(margin, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_a_beam_of_one_is_greedy(seed: int) -> None:
    sources = [[k] for k in range(1, 20)]
    options: dict[str, Any] = {"start": START, "end": END, "max_length": 4}
    one = greedy(Table(seed).stepper(), sources, **options)
    two = beam(Table(seed).stepper(), sources, width=1, length_penalty=0.0, **options)
    assert [(h.tokens, h.finished) for h in one] == [(h.tokens, h.finished) for h in two]
    assert [h.score for h in one] == pytest.approx([h.score for h in two])


def test_a_wider_beam_is_not_worse() -> None:
    sources = [[k] for k in range(1, 40)]
    scores = [
        [
            h.score
            for h in beam(
                Table(1).stepper(),
                sources,
                start=START,
                end=END,
                width=width,
                max_length=4,
                length_penalty=0.0,
            )
        ]
        for width in (1, 3, 30)
    ]
    assert np.mean(scores[0]) < np.mean(scores[1]) <= np.mean(scores[2])


def test_batches_and_order_change_nothing() -> None:
    sources = [[k % 5, 1, *[2] * (k % 3)] for k in range(1, 30)]
    for search in (greedy, beam):
        whole = search(Table(3).stepper(), sources, start=START, end=END, max_length=4)
        small = search(Table(3).stepper(), sources, start=START, end=END, max_length=4, batch_size=2)
        back = search(Table(3).stepper(), sources[::-1], start=START, end=END, max_length=4)
        assert whole == small == back[::-1]


def test_rows_that_have_ended_are_not_run() -> None:
    sources = [[k] for k in range(1, 50)]
    table = Table(0)
    hypotheses = greedy(table.stepper(), sources, start=START, end=END, max_length=7)
    assert table.rows == sum(len(h.tokens) + 1 for h in hypotheses)
    assert len({len(h.tokens) for h in hypotheses}) > 3


def test_sources_without_a_token_and_too_long_ones() -> None:
    table = Table(0)
    options: dict[str, Any] = {"start": START, "end": END, "max_length": 4}
    for search in (greedy, beam):
        hypotheses = search(table.stepper(), [[], [4, 5, 6], [], [4, 5]], max_source=2, **options)
        assert hypotheses[0] == hypotheses[2] == NOTHING
        assert (hypotheses[1].truncated, hypotheses[3].truncated) == (True, False)
        assert hypotheses[1].tokens == hypotheses[3].tokens
        assert search(table.stepper(), [], **options) == []
        assert search(table.stepper(), np.zeros((3, 4), "int32"), **options) == [NOTHING] * 3
        assert search(table.stepper(), np.zeros((0, 4), "int32"), **options) == []


def test_what_is_never_chosen() -> None:
    sources = [[k] for k in range(1, 60)]
    for search in (greedy, beam):
        hypotheses = search(Table(2).stepper(), sources, start=START, end=END, max_length=6, never=(0, 1, 5))
        assert {token for h in hypotheses for token in h.tokens} == {4, 6}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"start": 9}, "V is 7"),
        ({"end": 2}, "start=2, end=2"),
        ({"start": -1}, "not negative"),
        ({"never": (0, 3)}, "the end token, 3"),
        ({"max_length": 0}, "1 or more"),
        ({"batch_size": 0}, "1 or more"),
        ({"max_source": 0}, "1 or more"),
    ],
)
def test_options_that_are_refused(options: dict[str, Any], words: str) -> None:
    for search in (greedy, beam):
        with pytest.raises(InputError, match=words):
            search(Table(0).stepper(), [[1]], **ENDS | options)


@pytest.mark.parametrize("options", [{"width": 0}, {"best": 5}, {"length_penalty": -1.0}])
def test_options_of_a_beam_that_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="best should be from 1 to width"):
        beam(Table(0).stepper(), [[1]], start=START, end=END, **options)


def test_numbers_that_are_no_probabilities_are_refused() -> None:
    stepper = Table(0).stepper()
    broken = Stepper(
        stepper.encode,
        lambda inputs: [np.full((len(inputs[0]), 1, V), np.nan), inputs[2]],
        stepper.source,
        stepper.inputs,
        V,
    )
    with pytest.raises(InputError, match="NaN"):
        greedy(broken, [[1]], start=START, end=END)


def test_agreement_tells_ties_from_differences() -> None:
    def hypothesis_of(*tokens: int, margin: float = 1.0) -> Hypothesis:
        return Hypothesis(tokens, -1.0, True, margin)

    one = [hypothesis_of(4), hypothesis_of(5, margin=1e-6), hypothesis_of(6), hypothesis_of(4, 4)]
    two = [hypothesis_of(4), hypothesis_of(6), hypothesis_of(5), hypothesis_of(4, 4)]
    result = agreement(one, two)
    assert (result.ties, result.different, result.ok) == ((1,), (2,), False)
    assert str(result) == "2 of 4 rows equal, 1 differ by a tie (rows 1), 1 differ (rows 2)"
    assert agreement(one, one).ok
    with pytest.raises(InputError, match="4 and 1 rows"):
        agreement(one, two[:1])
