"""Connectionist temporal classification: from the scores of each step to the labelling that they spell.

A model gives C scores a step, one of them of the **blank**. An alignment takes one class a step; the
labelling it spells is that with neighbours that repeat merged and blanks left out. The probability of a
labelling is the sum over all alignments that spell it, which `log_probabilities` computes exactly; `greedy`
and `beam` look for a likely one, and say that exact number of it, whatever was searched.

    greedy(y, blank=-1)                          # the likeliest class of each step
    beam(y, blank=-1, width=100, top_paths=3)    # labellings by what all their alignments sum to

Source: Graves et al. 2006, "Connectionist Temporal Classification", sections 3 and 4.1; the prefix search by
Hannun et al. 2014, arXiv:1408.2873, algorithm 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biport.decoding.beam import highest
from biport.errors import Argument, InputError, shown
from biport.text.alphabet import Alphabet, Scores

SUM = 1e-2
"""How far the probabilities of a step may be from summing to 1: what float16 leaves of many classes, and far
less than what scores that are no probabilities are off by."""
CANDIDATES = 2**22
"""Continuations that are looked at side by side, about 100 MB of them."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Labelling:
    """What a row of scores spells.

    Args:
        labels: classes, none of them the blank.
        log_probability: of these, exactly: over all alignments that spell them.
    """

    labels: tuple[int, ...]
    log_probability: float

    @property
    def probability(self) -> float:
        """How sure the model is of the whole of it, from 0 to 1."""
        return min(1.0, math.exp(self.log_probability))


def greedy(
    scores: ArrayLike,
    lengths: ArrayLike | None = None,
    *,
    blank: int,
    kind: Scores = "probabilities",
    merge_repeated: bool = True,
) -> list[Labelling]:
    """What the likeliest class of each step spells, of equals the first.

    Args:
        scores: ``(N, T, C)``.
        lengths: ``(N,)``, how many steps of each row count; all where nobody says.
        blank: the class that stands for nothing, counted from the end where it is negative: -1 in models that
            were trained with Keras' older functions, 0 with torch's and with `keras.ops`.
        kind: what the numbers are. `keras.ops.ctc_decode` takes any as they come.
        merge_repeated: whether neighbours that repeat are one label. Without, each step that is no blank is
            one, for `log_probability` too.

    Returns:
        One a row, in order; nothing of rows without steps, of probability 1.

    Raises:
        InputError: the scores are none of this kind, or not finite; a length or the blank is out of range.

    Example:
        >>> y = np.array([[[0.6, 0.3, 0.1], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8], [0.7, 0.2, 0.1]]])
        >>> [row.labels for row in greedy(y, blank=2)]
        [(0, 0)]
        >>> [row.labels for row in greedy(y, [2], blank=2)]
        [(0,)]
    """
    y, counts, empty = _checked(scores, lengths, blank, kind)
    best = y.argmax(2) if y.size else np.zeros(y.shape[:2], np.int64)
    emits = (best != empty) & (np.arange(y.shape[1]) < counts[:, None])
    if merge_repeated:
        emits[:, 1:] &= best[:, 1:] != best[:, :-1]
    labels = [tuple(row[own].tolist()) for row, own in zip(best, emits, strict=True)]
    exact = _sums(y, counts, labels, empty, merge_repeated)
    return [Labelling(*row) for row in zip(labels, exact.tolist(), strict=True)]


def beam(
    scores: ArrayLike,
    lengths: ArrayLike | None = None,
    *,
    blank: int,
    kind: Scores = "probabilities",
    width: int = 100,
    top_paths: int = 1,
    merge_repeated: bool = True,
) -> list[tuple[Labelling, ...]]:
    """The likeliest labellings: of each step ``width`` prefixes are kept, by what their alignments sum to.

    Equal sums keep the order of the prefixes, then of the classes.

    Args:
        scores, lengths, blank, kind, merge_repeated: as for `greedy`.
        width: how many prefixes are kept.
        top_paths: how many labellings a row is to give, ``width`` at most.

    Returns:
        For each row so many, the likeliest first; fewer where there are no more that are possible.

    Raises:
        InputError: as for `greedy`; or ``top_paths`` is not from 1 to ``width``.

    Example:
        >>> y = np.array([[[0.4, 0.6], [0.4, 0.6]]])  # both steps are likelier a blank, and yet
        >>> greedy(y, blank=1)[0].labels, beam(y, blank=1)[0][0].labels
        ((), (0,))
        >>> round(beam(y, blank=1)[0][0].probability, 2)
        0.64
    """
    y, counts, empty = _checked(scores, lengths, blank, kind)
    if not 1 <= top_paths <= width:
        raise InputError(Argument("top_paths", top_paths), ": should be from 1 to ", Argument("width", width))
    rows = max(1, CANDIDATES // (width * y.shape[2]))
    return [
        row
        for start in range(0, len(y), rows)
        for row in _searched(
            y[start : start + rows], counts[start : start + rows], empty, width, top_paths, merge_repeated
        )
    ]


def log_probabilities(
    scores: ArrayLike,
    labels: Sequence[Sequence[int]],
    lengths: ArrayLike | None = None,
    *,
    blank: int,
    kind: Scores = "probabilities",
    merge_repeated: bool = True,
) -> Floats:
    """The logarithm of how likely given labellings are, ``(N,)``; minus infinity of one that is too long.

    Args:
        labels: for each row its classes.
        scores, lengths, blank, kind, merge_repeated: as for `greedy`.

    Raises:
        InputError: as for `greedy`; or a label is the blank or no class.

    Example:
        >>> y = np.array([[[0.4, 0.6], [0.4, 0.6]]])
        >>> np.exp(log_probabilities(y, [[0]], blank=1)).round(2).tolist()
        [0.64]
    """
    y, counts, empty = _checked(scores, lengths, blank, kind)
    if len(labels) != len(y):
        raise InputError(f"{len(labels)} labellings of {len(y)} rows")
    for row, own in enumerate(labels):
        if any(not 0 <= label < y.shape[2] or label == empty for label in own):
            raise InputError(
                f"row {row}: its labels should be classes below {y.shape[2]} and not the blank, {empty}, "
                f"found {shown(list(own))}"
            )
    return _sums(y, counts, labels, empty, merge_repeated)


@dataclass(frozen=True)
class Transcript:
    """What a row of scores says.

    Args:
        text: the characters of its labelling.
        confidence: how likely that is, exactly, from 0 to 1.
    """

    text: str
    confidence: float


def transcribe(
    alphabet: Alphabet, scores: ArrayLike, lengths: ArrayLike | None = None, *, width: int = 1
) -> list[Transcript]:
    """The texts that a model gives.

    Args:
        alphabet: what its classes are called, and what its numbers are.
        scores: ``(N, T, C)``.
        lengths: as for `greedy`.
        width: of `beam`; `greedy` with 1.

    Raises:
        InputError: as for these.

    Example:
        >>> y = np.array([[[0.4, 0.6], [0.4, 0.6]]])
        >>> alphabet = Alphabet(("a",), blank=1)
        >>> [one.text for width in (1, 2) for one in transcribe(alphabet, y, width=width)]
        ['', 'a']
    """
    if np.ndim(scores) == 3 and np.shape(scores)[2] != alphabet.size:
        raise InputError(f"scores of {np.shape(scores)[2]} classes, and there are labels of {alphabet.size}")
    options: dict[str, Any] = {"blank": alphabet.blank, "kind": alphabet.scores}
    if width == 1:
        rows = greedy(scores, lengths, **options)
    else:
        rows = [best for best, *_ in beam(scores, lengths, width=width, **options)]
    return [Transcript(alphabet.spell(row.labels), row.probability) for row in rows]


def _checked(
    scores: ArrayLike, lengths: ArrayLike | None, blank: int, kind: Scores
) -> tuple[Floats, Ints, int]:
    """Log probabilities ``(N, T, C)``, lengths ``(N,)`` and the blank, not negative."""
    if kind not in get_args(Scores):
        raise InputError(Argument("kind", kind), f": should be one of {', '.join(get_args(Scores))}")
    y = np.asarray(scores)
    if y.ndim != 3 or y.dtype.kind != "f" or not y.shape[2]:
        raise InputError(f"scores should be floats (N, T, C), found {y.dtype} {y.shape}")
    classes = y.shape[2]
    if not -classes <= blank < classes:
        raise InputError(Argument("blank", blank), f": there are {classes} classes")
    counts = _lengths(lengths, y.shape[:2])
    valid = np.arange(y.shape[1]) < counts[:, None]
    # What is behind the end of a row may be anything; it is no reason for a warning either.
    y = np.where(valid[:, :, None], y.astype("float64"), 1 / classes if kind == "probabilities" else 0.0)
    if kind == "logits":
        _refuse_undefined(np.isnan(y).any(2) | (y == np.inf).any(2) | (y == -np.inf).all(2), valid, "logits")
        y = y - y.max(2, keepdims=True)
        return y - np.log(np.exp(y).sum(2, keepdims=True)), counts, blank % classes
    shares = y if kind == "probabilities" else np.exp(np.minimum(y, 700))
    wrong = ~((shares >= 0).all(2) & (np.abs(shares.sum(2) - 1) <= SUM))
    if kind == "log_probabilities":
        _refuse_undefined(wrong, valid, "log probabilities, whose exponentials sum to 1")
        return y, counts, blank % classes
    _refuse_undefined(wrong, valid, "probabilities, from 0 on and summing to 1")
    with np.errstate(divide="ignore"):
        return np.log(y), counts, blank % classes


def _lengths(lengths: ArrayLike | None, shape: tuple[int, ...]) -> Ints:
    rows, steps = shape
    if lengths is None:
        return np.full(rows, steps, np.int64)
    counts = np.asarray(lengths)
    if rows == 0 and counts.shape == (0,):
        return counts.astype(np.int64)
    whole = counts.dtype.kind in "iu" and counts.shape == (rows,)
    if not whole or counts.min() < 0 or counts.max() > steps:
        raise InputError(
            Argument("lengths"),
            f": should be whole numbers ({rows},) from 0 to {steps}, found {shown(counts.tolist())}",
        )
    return counts.astype(np.int64)


def _refuse_undefined(wrong: NDArray[np.bool_], valid: NDArray[np.bool_], wanted: str) -> None:
    at = np.argwhere(wrong & valid)
    if len(at):
        row, step = at[0].tolist()
        raise InputError(f"row {row}, step {step}: its numbers are no {wanted}; ", Argument("kind"), " says")


def _sums(
    y: Floats, lengths: Ints, labels: Sequence[Sequence[int]], blank: int, merge_repeated: bool
) -> Floats:
    """The logarithm of the sum over all alignments that spell the labels of each row, ``(N,)``."""
    sizes = np.array([len(own) for own in labels], np.int64)
    padded = np.full((len(y), int(sizes.max(initial=0))), blank, np.int64)
    for row, own in enumerate(labels):
        padded[row, : len(own)] = own
    spelled = _merged if merge_repeated else _one_a_step
    return spelled(y, lengths, padded, sizes, blank)


def _merged(y: Floats, lengths: Ints, labels: Ints, sizes: Ints, blank: int) -> Floats:
    """States are the labels with a blank before, between and behind them: 2L + 1 of them."""
    count = 2 * labels.shape[1] + 1
    states = np.full((len(y), count), blank, np.int64)
    states[:, 1::2] = labels
    # From a label to the next one without a blank between them, unless they are equal.
    jumps = np.zeros((len(y), count), bool)
    jumps[:, 3::2] = labels[:, 1:] != labels[:, :-1]
    rows = np.arange(len(y))
    padded = np.full((len(y), count + 2), -np.inf)
    sums, behind, far_behind = padded[:, 2:], padded[:, 1:-1], padded[:, :-2]
    sums[:, 0] = 0
    for step in range(int(lengths.max(initial=0))):
        after = np.logaddexp(sums, behind)
        np.logaddexp(after, far_behind, out=after, where=jumps)
        after += y[rows[:, None], step, states]
        np.copyto(sums, after, where=(step < lengths)[:, None])
    last = np.where(sizes > 0, sums[rows, np.maximum(2 * sizes - 1, 0)], -np.inf)
    return np.logaddexp(sums[rows, 2 * sizes], last)


def _one_a_step(y: Floats, lengths: Ints, labels: Ints, sizes: Ints, blank: int) -> Floats:
    """States are how many labels there were; each takes one step, all other steps are blanks."""
    sums = np.full((len(y), labels.shape[1] + 1), -np.inf)
    sums[:, 0] = 0
    for step in range(int(lengths.max(initial=0))):
        now = y[:, step]
        after = sums + now[:, blank : blank + 1]
        after[:, 1:] = np.logaddexp(after[:, 1:], sums[:, :-1] + np.take_along_axis(now, labels, 1))
        sums = np.where((step < lengths)[:, None], after, sums)
    return sums[np.arange(len(y)), sizes]


def _searched(
    y: Floats, lengths: Ints, blank: int, width: int, top_paths: int, merge_repeated: bool
) -> Iterator[tuple[Labelling, ...]]:
    search = _PrefixSearch(len(y), width, blank, merge_repeated)
    for step in range(int(lengths.max(initial=0))):
        search.take(y[:, step], np.flatnonzero(step < lengths))
    labels = [search.likeliest(row, top_paths) for row in range(len(y))]
    rows = np.repeat(np.arange(len(y)), [len(own) for own in labels])
    exact = _sums(y[rows], lengths[rows], [one for own in labels for one in own], blank, merge_repeated)
    sums = iter(exact.tolist())
    for own in labels:
        every = [Labelling(one, next(sums)) for one in own]
        yield tuple(sorted(every, key=lambda one: -one.log_probability))


class _PrefixSearch:
    """The prefixes of N rows that are kept, at most W of each.

    A prefix is a number in its row, the same whenever it comes up again, so that those that were dropped and
    come back meet the longer ones that stayed.
    """

    def __init__(self, rows: int, width: int, blank: int, merge_repeated: bool) -> None:
        self.width, self.blank, self.merge_repeated = width, blank, merge_repeated
        self.numbers: list[dict[tuple[int, int], int]] = [{} for _ in range(rows)]
        self.spelled: list[list[tuple[int, int]]] = [[(-1, -1)] for _ in range(rows)]
        """Of each prefix the one that it continues, and its last label."""
        shape = rows, width
        self.prefixes, self.parents, self.last = (np.full(shape, -1, np.int64) for _ in range(3))
        self.prefixes[:, 0] = 0
        self.blanks, self.others = np.full(shape, -np.inf), np.full(shape, -np.inf)
        """What their alignments sum to: those that end in a blank, and those that do not."""
        self.blanks[:, 0] = 0

    def take(self, y: Floats, rows: Ints) -> None:
        """Go on by a step, in these rows: ``y`` is ``(N, C)``."""
        y = y[rows]
        blanks, others = self.blanks[rows], self.others[rows]
        parents, last = self.parents[rows], self.last[rows]
        both = np.logaddexp(blanks, others)
        longer = both[:, :, None] + y[:, None, :]
        longer[:, :, self.blank] = -np.inf
        row, number = np.nonzero(last >= 0)
        label = last[row, number]
        kept = np.full_like(others, -np.inf)
        if self.merge_repeated:
            kept[row, number] = others[row, number] + y[row, label]
            longer[row, number, label] = blanks[row, number] + y[row, label]
        # A prefix is also what one label behind a shorter one gives, where that is kept too.
        continues = (parents[:, :, None] == self.prefixes[rows][:, None, :]) & (parents >= 0)[:, :, None]
        row, number, shorter = np.nonzero(continues)
        label = last[row, number]
        kept[row, number] = np.logaddexp(kept[row, number], longer[row, shorter, label])
        longer[row, shorter, label] = -np.inf
        still = both + y[:, self.blank, None]
        every = np.concatenate([np.logaddexp(still, kept), longer.reshape(len(rows), -1)], 1)
        order, best = highest(every, self.width)
        self._keep(rows, order, best, still, kept, y.shape[1])

    def _keep(self, rows: Ints, order: Ints, best: Floats, still: Floats, kept: Floats, classes: int) -> None:
        """Keep those of these positions: the first W are the prefixes themselves, others continue them."""
        stays = order < self.width
        own = np.where(stays, order, 0)
        shorter, label = np.divmod(np.where(stays, 0, order - self.width), classes)
        possible = best > -np.inf

        def of(array: np.ndarray, numbers: Ints) -> np.ndarray:
            return np.take_along_axis(array, numbers, 1)

        self.blanks[rows] = np.where(stays, of(still, own), -np.inf)
        self.others[rows] = np.where(stays, of(kept, own), best)
        prefixes = self.prefixes[rows]
        parents = np.where(stays, of(self.parents[rows], own), of(prefixes, shorter))
        last = np.where(stays, of(self.last[rows], own), label)
        numbers = of(prefixes, own)
        for at, number in np.argwhere(~stays & possible).tolist():
            key = int(parents[at, number]), int(last[at, number])
            numbers[at, number] = self._number(int(rows[at]), key)
        self.prefixes[rows] = np.where(possible, numbers, -1)
        self.parents[rows] = np.where(possible, parents, -1)
        self.last[rows] = np.where(possible, last, -1)

    def _number(self, row: int, key: tuple[int, int]) -> int:
        known, spelled = self.numbers[row], self.spelled[row]
        if key not in known:
            known[key] = len(spelled)
            spelled.append(key)
        return known[key]

    def likeliest(self, row: int, count: int) -> list[tuple[int, ...]]:
        """The labels of so many prefixes of a row, fewer where there are no more."""
        sums = np.logaddexp(self.blanks[row], self.others[row])
        order = np.argsort(-sums, kind="stable")[:count]
        return [self._labels(row, int(self.prefixes[row, at])) for at in order if sums[at] > -np.inf]

    def _labels(self, row: int, prefix: int) -> tuple[int, ...]:
        labels = []
        while prefix:
            prefix, label = self.spelled[row][prefix]
            labels.append(label)
        return tuple(reversed(labels))
