"""Sequences with a label a step, which is only known by looking both ways.

- `tagged_sequences`: tokens, some of which are cues of C kinds. A token's tag is the sum, modulo C, of the
  kinds of the nearest cue before it and the nearest cue behind it. Either cue alone says nothing: whatever
  the one is, the other makes every tag equally likely.
- `labelled_steps`: vectors of features. A step's label says whether a weighted sum over the steps before it
  and the steps behind it is positive; the best that one side can do is three steps of four.

Source: the first turns the long-range clues of `biport.data.reviews` into one label a token; the second is a
moving average with weights, in both directions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from biport.data.records import generator
from biport.errors import Argument, InputError


@dataclass(frozen=True, eq=False)
class Tagged:
    """Token ids and their tags; a row's padding is on the right and does not count in a loss.

    Args:
        tokens: ids of shape (N, T), int32: 0 is padding, 1 to C are the cues of the kinds 0 to C-1, the ids
            above them are plain.
        tags: of shape (N, T), int32, from 0 to C-1; 0 at padding.
        mask: of shape (N, T), boolean: the steps that are no padding.
    """

    tokens: NDArray[np.int32]
    tags: NDArray[np.int32]
    mask: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class LabelledSteps:
    """Vectors of features and a binary label a step; a row's padding is on the right.

    Args:
        features: of shape (N, T, I), float32; zeros at padding, and there alone all of them are zero.
        labels: of shape (N, T), int32, 0 or 1; 0 at padding.
        mask: of shape (N, T), boolean: the steps that are no padding.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int32]
    mask: NDArray[np.bool_]


def tagged_sequences(
    n: int,
    seed: int,
    *,
    length: int = 30,
    min_length: int | None = None,
    vocabulary_size: int = 50,
    classes: int = 2,
    cue_share: float = 0.15,
) -> Tagged:
    """Draw ``n`` sequences of tokens with a tag each; the same arguments always give the same ones.

    Args:
        n: N, how many.
        seed: not negative.
        length: T, of the longest sequences.
        min_length: of the shortest ones; ``None`` for ``length``, without any padding.
        vocabulary_size: V, padding and cues counted; at least one token is plain.
        classes: C, how many tags there are; 2 for a binary tag.
        cue_share: how likely a token is a cue, above 0 and below 1. Past a row's last cue on either side, the
            missing one counts as kind 0. Few cues make long distances.

    Raises:
        InputError: for a number out of range.
    """
    _check_sizes(n, length, min_length)
    if classes < 2:
        raise InputError(Argument("classes", classes), ": there are at least 2 tags.")
    if vocabulary_size < classes + 2:
        raise InputError(
            f"vocabulary_size={vocabulary_size}: padding, {classes} cues and a plain token are {classes + 2}."
        )
    if not 0 < cue_share < 1:
        raise InputError(Argument("cue_share", cue_share), ": it is above 0 and below 1.")
    rng = generator(seed)
    mask = _draw_mask(rng, n, length, min_length)
    is_cue = rng.random((n, length)) < cue_share
    cues = rng.integers(1, classes + 1, size=(n, length))
    plain = rng.integers(classes + 1, vocabulary_size, size=(n, length))
    tokens = np.where(mask, np.where(is_cue, cues, plain), 0).astype(np.int32)
    tags = np.where(mask, tags_of(tokens, classes), 0).astype(np.int32)
    return Tagged(tokens, tags, mask)


def tags_of(tokens: NDArray[np.int32], classes: int) -> NDArray[np.int32]:
    """The tag of every token of shape (N, T), padding included; see the module."""
    kinds = np.where((tokens >= 1) & (tokens <= classes), tokens - 1, -1)
    behind = _last_kind_before(kinds[:, ::-1])[:, ::-1]
    return ((_last_kind_before(kinds) + behind) % classes).astype(np.int32)


def labelled_steps(
    n: int,
    seed: int,
    *,
    length: int = 30,
    min_length: int | None = None,
    features: int = 4,
    reach: int = 5,
) -> LabelledSteps:
    """Draw ``n`` sequences of vectors with a label a step; the same arguments always give the same ones.

    Args:
        n: N, how many.
        seed: not negative; it also draws the weights, so that parts to train and to test on are cut from one
            call.
        length: T, of the longest sequences.
        min_length: of the shortest ones; ``None`` for ``length``, without any padding.
        features: I, numbers a step, normally distributed.
        reach: how many steps on each side a label is about; nothing lies beyond a row's ends.

    Raises:
        InputError: for a number out of range.
    """
    _check_sizes(n, length, min_length)
    for name, value in (("features", features), ("reach", reach)):
        if value < 1:
            raise InputError(Argument(name, value), ": it is at least 1.")
    rng = generator(seed)
    mask = _draw_mask(rng, n, length, min_length)
    weights = rng.normal(size=(2, features))
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    values = (rng.normal(size=(n, length, features)) * mask[..., None]).astype(np.float32)
    before, behind = np.moveaxis(values @ weights.T, -1, 0)
    total = _sum_before(before, reach) + _sum_before(behind[:, ::-1], reach)[:, ::-1]
    return LabelledSteps(values, ((total > 0) & mask).astype(np.int32), mask)


def _check_sizes(n: int, length: int, min_length: int | None) -> None:
    if n < 0:
        raise InputError(Argument("n", n), ": there is no such number of sequences.")
    if length < 1:
        raise InputError(Argument("length", length), ": a sequence has at least 1 step.")
    if min_length is not None and not 1 <= min_length <= length:
        raise InputError(Argument("min_length", min_length), f": it is from 1 to length={length}.")


def _draw_mask(rng: np.random.Generator, n: int, length: int, min_length: int | None) -> NDArray[np.bool_]:
    lengths = rng.integers(min_length or length, length + 1, size=n)
    return np.arange(length) < lengths[:, None]


def _last_kind_before(kinds: NDArray[np.integer]) -> NDArray[np.integer]:
    """For each position the last kind strictly before it, 0 where there is none; -1 is no kind."""
    N, T = kinds.shape
    positions = np.maximum.accumulate(np.where(kinds >= 0, np.arange(T), -1), axis=1)
    positions = np.concatenate([np.full((N, 1), -1), positions[:, :-1]], axis=1)
    return np.where(positions >= 0, np.take_along_axis(kinds, np.maximum(positions, 0), axis=1), 0)


def _sum_before(values: NDArray[np.floating], reach: int) -> NDArray[np.floating]:
    """For each position of (N, T) the sum over the ``reach`` positions strictly before it."""
    N, T = values.shape
    padded = np.concatenate([np.zeros((N, reach)), values[:, :-1]], axis=1)
    return np.lib.stride_tricks.sliding_window_view(padded, reach, axis=1).sum(axis=-1)[:, :T]
