"""What the reviews mean, that they are what was asked for, and that a bag of words cannot read them."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from biport.data import Reviews, Vocabulary, load_synthetic, split, synthetic_reviews, tokenize
from biport.data.reviews import (
    CLOSINGS,
    CONTRASTS,
    OPENINGS,
    Judgement,
    Mix,
    Outline,
    draw_outlines,
    is_positive,
    render,
)

GOOD = Judgement("the acting", "was {}", "superb")
BAD = Judgement("the plot", "was {}", "dull")


@pytest.mark.parametrize(
    "judgement, text, positive",
    [
        (Judgement("the plot", "was {}", "good"), "the plot was good", True),
        (Judgement("the plot", "was {}", "boring"), "the plot was boring", False),
        (Judgement("the plot", "was not {} at all", "good"), "the plot was not good at all", False),
        (Judgement("the plot", "was never {}", "boring"), "the plot was never boring", True),
        (Judgement("it", "was anything but {}", "great"), "it was anything but great", False),
        (Judgement("it", "was nothing but {}", "great"), "it was nothing but great", True),
        (Judgement("the screen", "was far from {}", "poor"), "the screen was far from poor", True),
        (Judgement("the acting", "{}", "saved it"), "the acting saved it", True),
        (Judgement("the acting", "almost {}", "saved it"), "the acting almost saved it", False),
        (Judgement("the ending", "almost {}", "ruined it"), "the ending almost ruined it", True),
    ],
)
def test_negation_turns_a_clause(judgement: Judgement, text: str, positive: bool) -> None:
    assert str(judgement) == text
    assert judgement.positive == positive
    assert is_positive(Outline(judgement)) == positive


@pytest.mark.parametrize(
    "outline, text, positive",
    [
        (
            Outline(BAD, GOOD, "{aside}, but {main}"),
            "The acting was superb, but the plot was dull.",
            False,
        ),
        (
            Outline(GOOD, BAD, "{aside}, but {main}"),
            "The plot was dull, but the acting was superb.",
            True,
        ),
        (
            Outline(Judgement("the acting", "{}", "saved it"), BAD, "although {aside}, {main}"),
            "Although the plot was dull, the acting saved it.",
            True,
        ),
        (
            Outline(BAD, GOOD, "{main}, even though {aside}"),
            "The plot was dull, even though the acting was superb.",
            False,
        ),
        (
            Outline(GOOD, BAD, "at first {aside}, in the end {main}"),
            "At first the plot was dull, in the end the acting was superb.",
            True,
        ),
        (
            Outline(GOOD, opening="Nothing in this review is true:", before=("we took the late bus home",)),
            "Nothing in this review is true: We took the late bus home. The acting was superb.",
            False,
        ),
        (
            Outline(GOOD, opening="Everything in this review is true:"),
            "Everything in this review is true: The acting was superb.",
            True,
        ),
        (
            Outline(BAD, closing="Said nobody ever.", after=("I wrote this on the train",)),
            "The plot was dull. I wrote this on the train. Said nobody ever.",
            True,
        ),
        (Outline(BAD, closing="Said everybody always."), "The plot was dull. Said everybody always.", False),
        (
            Outline(
                Judgement("the plot", "was never {}", "dull"),
                Judgement("the acting", "was not {} at all", "superb"),
                closing="Not a word of that was true.",
            ),
            "The acting was not superb at all, but the plot was never dull. Not a word of that was true.",
            False,
        ),
        (
            Outline(GOOD, opening="Nothing in this review is true:", closing="Said nobody ever."),
            "Nothing in this review is true: The acting was superb. Said nobody ever.",
            True,
        ),
    ],
)
def test_what_an_outline_says_and_means(outline: Outline, text: str, positive: bool) -> None:
    assert render(outline) == text
    assert is_positive(outline) == positive


PRAISE = (
    r"\b(good|great|superb|lovely|excellent|brilliant|impressive|wonderful|gripping|charming|moving"
    r"|reliable|handy|pleasing|saved|carried)\b"
)
CRITICISM = (
    r"\b(bad|poor|awful|weak|clumsy|dreadful|disappointing|terrible|boring|dull|lifeless|useless|annoying"
    r"|shoddy|ruined|spoiled)\b"
)
TURNS = re.compile(r"\b(not|never|anything but|far from|almost)\b")
LIES = ("the opposite", "the reverse", "nothing in this review", "nobody ever", "not a word", "a lie")


def _read(text: str) -> int:
    """The label again, from the text alone, by a reader who knows nothing of outlines."""
    text = text.lower()
    judgement = re.search(rf"[^.:]*({PRAISE}|{CRITICISM})[^.]*", text)
    assert judgement, text
    clauses = re.split(r", (?:but |even though )?", judgement[0].strip())
    main = clauses[0] if "even though" in judgement[0] else clauses[-1]
    praised = re.search(PRAISE, main) is not None
    return int(praised ^ bool(TURNS.search(main)) ^ any(lie in text for lie in LIES))


def test_labels_say_what_the_texts_mean() -> None:
    texts, labels = synthetic_reviews(3000, seed=5, mix=Mix(0.5, 0.5, 0.5))
    wrong = [text for text, label in zip(texts, labels.tolist(), strict=True) if _read(text) != label]
    assert wrong == []


def _digest(seed: int) -> str:
    texts, labels = synthetic_reviews(200, seed)
    division = split(texts, labels, 0.3, seed)
    content = "\n".join([*texts, *division.test_texts]).encode() + labels.tobytes()
    return hashlib.sha256(content).hexdigest()


def test_a_seed_gives_the_same_bytes_in_every_process() -> None:
    program = f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r}); import test_reviews as t; "
    program += "print(t._digest(7))"
    other = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.strip() == _digest(7)
    assert _digest(7) != _digest(8)


@pytest.mark.parametrize("n", [0, 1, 2, 7, 1000])
def test_reviews_are_different_and_balanced(n: int) -> None:
    texts, labels = synthetic_reviews(n, seed=1)
    assert len(texts) == len(set(texts)) == n
    assert labels.shape == (n,)
    assert labels.dtype == np.int32
    assert int(labels.sum()) in {n // 2, n - n // 2}
    assert set(labels.tolist()) <= {0, 1}


def test_the_label_does_not_follow_from_the_position() -> None:
    _, labels = synthetic_reviews(2000, seed=1)
    assert 400 < labels[::2].sum() < 600


def test_sizes_are_those_of_short_reviews() -> None:
    texts, _ = synthetic_reviews(4000, seed=2)
    lengths = [len(tokenize(text)) for text in texts]
    assert min(lengths) <= 5
    assert 40 <= max(lengths) <= 48
    assert len({tuple(tokenize(text)) for text in texts}) == 4000
    assert 150 < len(Vocabulary.fit(texts)) < 300


def _shares(outlines: list[Outline]) -> dict[str, float]:
    n = len(outlines)
    return {
        "negation": sum(outline.main.negated for outline in outlines) / n,
        "contrast": sum(outline.aside is not None for outline in outlines) / n,
        "opening": sum(OPENINGS.get(outline.opening) is False for outline in outlines) / n,
        "closing": sum(CLOSINGS.get(outline.closing) is False for outline in outlines) / n,
        "honest clue": sum(bool(o.opening or o.closing) and not o.flipped for o in outlines) / n,
        **{form: sum(o.contrast == form and o.aside is not None for o in outlines) / n for form in CONTRASTS},
    }


@functools.cache
def many_outlines() -> list[Outline]:
    return list(draw_outlines(4000, seed=3))


def test_every_phenomenon_has_a_fair_share_under_both_labels() -> None:
    outlines = many_outlines()
    assert all(o.aside.positive != o.main.positive for o in outlines if o.aside)
    for wanted in (True, False):
        shares = _shares([outline for outline in outlines if is_positive(outline) == wanted])
        assert min(shares.values()) > 0.06
        assert shares["contrast"] == pytest.approx(0.4, abs=0.04)
        assert shares["negation"] == pytest.approx(0.25, abs=0.04)
        assert shares["opening"] + shares["closing"] == pytest.approx(0.2, abs=0.04)


@pytest.mark.parametrize("clue", sorted(OPENINGS | CLOSINGS))
def test_every_clue_stands_with_both_labels_far_from_what_it_turns(clue: str) -> None:
    outlines = [o for o in many_outlines() if clue in (o.opening, o.closing)]
    assert {is_positive(outline) for outline in outlines} == {True, False}
    for outline in outlines:
        between = [token for filler in outline.before + outline.after for token in tokenize(filler + ".")]
        assert 10 <= len(between) <= 30
        assert bool(outline.before) == bool(outline.opening)


def test_a_mix_can_leave_a_phenomenon_out_or_put_it_everywhere() -> None:
    none = _shares(draw_outlines(300, seed=4, mix=Mix(0, 0, 0)))
    every = _shares(draw_outlines(300, seed=4, mix=Mix(1, 1, 1)))
    assert none["negation"] == none["contrast"] == none["opening"] == none["closing"] == 0
    assert every["negation"] == every["contrast"] == every["opening"] + every["closing"] == 1


@pytest.mark.parametrize("mix", [{"negation": 1.1}, {"contrast": -0.1}, {"long_range": float("nan")}])
def test_a_mix_has_probabilities(mix: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(mix))):
        Mix(**mix)


def test_numbers_and_seeds_are_not_negative() -> None:
    with pytest.raises(ValueError, match="n=-1"):
        synthetic_reviews(-1, seed=0)
    with pytest.raises(ValueError, match="seed=-1"):
        synthetic_reviews(4, seed=-1)
    with pytest.raises(ValueError, match="n_train=-5"):
        load_synthetic(-5, 10, seed=0)
    with pytest.raises(ValueError, match="seed=-1"):
        split(["a", "b"], [0, 1], 0.5, seed=-1)


def test_loading_keeps_training_and_testing_apart_and_balanced() -> None:
    reviews = load_synthetic(301, 100, seed=6)
    assert len(reviews.train_texts) == len(reviews.train_labels) == 301
    assert len(reviews.test_texts) == len(reviews.test_labels) == 100
    assert not set(reviews.train_texts) & set(reviews.test_texts)
    assert abs(int(reviews.train_labels.sum()) - 150) <= 1
    assert abs(int(reviews.test_labels.sum()) - 50) <= 1


def _pairs(reviews: Reviews) -> list[tuple[str, int]]:
    train = zip(reviews.train_texts, reviews.train_labels.tolist(), strict=True)
    return [*train, *zip(reviews.test_texts, reviews.test_labels.tolist(), strict=True)]


def test_split_keeps_copies_together_and_loses_nothing() -> None:
    texts = [f"text {i % 20}" for i in range(60)]
    labels = np.arange(60)
    reviews = split(texts, labels, test_fraction=0.25, seed=0)
    assert not set(reviews.train_texts) & set(reviews.test_texts)
    assert len(set(reviews.test_texts)) == 5
    assert sorted(_pairs(reviews)) == sorted(zip(texts, labels.tolist(), strict=True))
    assert reviews.test_labels.tolist() == sorted(reviews.test_labels.tolist())
    assert reviews.test_labels.dtype == np.int32


def test_split_depends_on_the_seed_alone() -> None:
    texts, labels = synthetic_reviews(100, seed=0)
    first = split(texts, labels, 0.3, seed=1)
    assert first.test_texts == split(texts, labels, 0.3, seed=1).test_texts
    assert first.test_texts != split(texts, labels, 0.3, seed=2).test_texts
    assert first.test_texts != texts[-30:]


@pytest.mark.parametrize("fraction, n_test", [(0.001, 1), (0.999, 2)])
def test_split_leaves_neither_side_empty(fraction: float, n_test: int) -> None:
    assert len(split(["a", "b", "c"], [0, 1, 0], fraction, seed=0).test_texts) == n_test


@pytest.mark.parametrize(
    "texts, labels, fraction, reason",
    [
        (["a", "b"], [0], 0.5, "do not match"),
        (["a", "b"], [[0, 1]], 0.5, "do not match"),
        (["a", "b"], [0.5, 1], 0.5, "whole numbers"),
        (["a", "b"], [0, 1], 0.0, "test_fraction=0.0"),
        (["a", "b"], [0, 1], 1.0, "test_fraction=1.0"),
        (["a", "a"], [0, 0], 0.5, "1 different texts"),
        ([], [], 0.5, "0 different texts"),
    ],
)
def test_split_refuses(texts: list[str], labels: list[int], fraction: float, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        split(texts, labels, fraction, seed=0)


def _count_words(vocabulary: Vocabulary, texts: list[str]) -> NDArray[np.float64]:
    return np.array(
        [np.bincount(vocabulary.encode(text), minlength=len(vocabulary)) for text in texts], float
    )


def _bag_of_words_accuracy(reviews: Reviews) -> float:
    vocabulary = Vocabulary.fit(reviews.train_texts)
    train, test = (_count_words(vocabulary, texts) for texts in (reviews.train_texts, reviews.test_texts))
    weights = np.zeros(len(vocabulary))
    for _ in range(400):
        chance = 1 / (1 + np.exp(-train @ weights))
        weights -= 0.2 * train.T @ (chance - reviews.train_labels) / len(train)
    return float(np.mean((test @ weights > 0) == reviews.test_labels))


@pytest.mark.sweep
def test_a_bag_of_words_cannot_read_them() -> None:
    assert _bag_of_words_accuracy(load_synthetic(4000, 1000, seed=0)) < 0.65


def test_a_bag_of_words_can_read_reviews_without_the_phenomena() -> None:
    assert _bag_of_words_accuracy(load_synthetic(1000, 500, seed=0, mix=Mix(0, 0, 0))) > 0.95
