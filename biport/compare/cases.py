"""The patterns of mask, and random inputs under them: the one list and the one maker of both.

A form that is right for sequences without padding may be wrong for one that is padded on the left, has a gap,
or is nothing but padding; so whatever is compared is compared under all of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from biport.analysis.lengths import most_steps, needed_lengths, needed_steps
from biport.dims import Dim, letters_in
from biport.graph import Graph, Value
from biport.inputs import (
    batch_axis,
    id_inputs,
    letter_sizes,
    row_lengths,
    safe_bounds,
    size_at,
    time_axis,
)
from biport.ops import FLOATS, INTEGERS, Discretization, FeaturesNotEqual, IntegerLookup, NotEqual

PATTERNS = ("full", "right", "left", "holes", "all padding")
"""What a row of a mask can be like; see `valid_steps`."""

Batches = Mapping[str, tuple[int, int, Sequence[str]]]
"""By case: N, T and the patterns of the rows, in turn."""

RIGHT_PADDED = ("full", "right")
"""The patterns without a valid step behind a masked one."""

CASES: Batches = {
    "full": (5, 11, ("full",)),
    "right": (6, 9, ("right",)),
    "left": (6, 9, ("left",)),
    "holes": (6, 12, ("holes",)),
    "all padding": (4, 7, ("all padding", "holes")),
    "one step": (1, 1, ("full",)),
    "long": (3, 70, ("full", "right", "right")),
}
"""The batches of `random_cases`: N, T and the patterns of the rows, in turn."""

UNBOUNDED_IDS = 10
"""V of ids that feed no embedding, as far as that is known."""


def valid_steps(patterns: Sequence[str], N: int, T: int, rng: np.random.Generator) -> np.ndarray:
    """A mask, ``(N, T)`` booleans, in which row n has the pattern ``patterns[n % len(patterns)]``.

    - ``full``: no padding.
    - ``right`` and ``left``: padding at that end, of other lengths in other rows as far as there are any. Of
      four such rows or more in turn the first is full, so that there is a longest row.
    - ``holes``: a gap between two valid steps. In turn a row begins valid and ends in padding, the other way
      round, or either.
    - ``all padding``: no valid step.

    Only ``all padding`` has rows without a valid step. Where T is too small there is as much of a pattern as
    fits: padding at an end takes two steps, a gap three, a gap and padding at an end four.

    Raises:
        ValueError: a pattern is none of `PATTERNS`.
    """
    unknown = sorted({*patterns} - {*PATTERNS})
    if unknown or not patterns:
        raise ValueError(f"a pattern of mask should be one of {', '.join(PATTERNS)}; found {unknown}")
    of_rows = [patterns[row % len(patterns)] for row in range(N)]
    valid = np.zeros((N, T), bool)
    for pattern in dict.fromkeys(of_rows):
        rows = [row for row, own in enumerate(of_rows) if own == pattern]
        valid[rows] = _pattern(pattern, len(rows), T, rng)
    return valid


def _pattern(pattern: str, N: int, T: int, rng: np.random.Generator) -> np.ndarray:
    """N rows of one pattern."""
    match pattern:
        case "right":
            return np.arange(T) < _lengths(N, T, rng)[:, None]
        case "left":
            return np.arange(T) >= T - _lengths(N, T, rng)[:, None]
        case "holes":
            return np.array([_holes(row, T, rng) for row in range(N)], bool).reshape(N, T)
        case _:
            return np.full((N, T), pattern == "full")


def _lengths(N: int, T: int, rng: np.random.Generator) -> np.ndarray:
    """Lengths above 0 and below T, every one of them before one comes twice."""
    if T < 2:
        return np.full(N, T)
    lengths = np.resize(rng.permutation(np.arange(1, T)), N)
    if N > 3:
        lengths[0] = T
    return lengths


def _holes(row: int, T: int, rng: np.random.Generator) -> np.ndarray:
    if T < 3:
        # No room for a gap: one step of two.
        return np.arange(T) == row % max(T, 1)
    valid = rng.random(T) < 0.6
    first, last = 0, T - 3
    if T > 3 and row % 3 == 0:
        valid[0], valid[-1], last = True, False, T - 4
    elif T > 3 and row % 3 == 1:
        valid[0], valid[-1], first = False, True, 1
    gap = rng.integers(first, last + 1)
    valid[gap : gap + 3] = True, False, True
    return valid


BOTH_ENDS = "both ends"
"""A row of a mask that is padded at both ends and has no gap, as none of `PATTERNS` is."""


def pattern_names(valid: np.ndarray) -> np.ndarray:
    """Which pattern each row of a mask ``(N, T)`` has: one of `PATTERNS`, or `BOTH_ENDS`.

    Example:
        >>> pattern_names(np.array([[1, 1, 0], [1, 0, 1], [0, 1, 0], [0, 0, 0]], bool)).tolist()
        ['right', 'holes', 'both ends', 'all padding']
    """
    T = valid.shape[1]
    count = valid.sum(axis=1)
    if T == 0:
        return np.full(len(valid), "full", object)
    first, last = valid.argmax(axis=1), T - 1 - valid[:, ::-1].argmax(axis=1)
    tests = {
        "full": count == T,
        "all padding": count == 0,
        "holes": last - first + 1 > count,
        "right": first == 0,
        "left": last == T - 1,
    }
    return np.select([*tests.values()], [np.array(name, object) for name in tests], BOTH_ENDS)


def random_inputs(
    values: Sequence[Value],
    N: int,
    T: int | Mapping[str, int],
    rng: np.random.Generator,
    *,
    patterns: Sequence[str] = PATTERNS,
    lengths: np.ndarray | None = None,
    id_bounds: Mapping[str, int] | None = None,
    unbounded: int = UNBOUNDED_IDS,
    padding: Mapping[str, float] | None = None,
    rows: Mapping[str, Dim] | None = None,
) -> list[np.ndarray]:
    """One array for each input: ids below their bounds, normal numbers, masks, and lengths of rows.

    Integers are padded where the mask is false, floats only where ``padding`` says with what, and booleans
    are the mask. Each input has a mask of its own, of the same patterns, over its steps, whatever its
    rank; booleans of more than two dimensions have one over the last axis too, another for every row of it.
    Sizes that are fixed stay, that of the batch too. Rows and steps are where the letters say, see
    `biport.inputs.batch_axis`.

    Args:
        values: what the inputs are.
        N: rows, where no input says how many.
        T: of every other size that varies, or of each by its letter.
        rng: where the numbers come from.
        patterns: of the rows, in turn; see `valid_steps`.
        lengths: ``(N,)`` valid steps of each row, padded on the right, in place of patterns.
        id_bounds: by input, ids are below them; see `biport.inputs.safe_bounds`.
        unbounded: what they are below where that does not say.
        padding: by input, what a padded step has: an id, or what all of its features are; see
            `padding_values`. Ids that are not among them have 0. No valid step has the id of padding.
        rows: the inputs that are lengths of rows, and of how many steps at most, see
            `biport.inputs.row_lengths`. Without ``lengths`` the longest comes first and has all of them.
    """
    sizes = letter_sizes(values, N, T)
    bounds, padding, rows = id_bounds or {}, padding or {}, rows or {}
    arrays = []
    for value in values:
        shape = [size_at(dim, sizes) for dim in value.shape]
        if value.name in rows:
            array = row_lengths_of(shape, size_at(rows[value.name], sizes), rng, lengths)
        else:
            order = _rows_first(value.shape)
            turned = [shape[axis] for axis in order]
            bound = bounds.get(value.name, unbounded if value.dtype in INTEGERS else None)
            number = padding.get(value.name)
            array = _rows(value.dtype, turned, rng, patterns, lengths, bound, number)
            array = np.transpose(array, np.argsort(order))
        arrays.append(array.astype(value.dtype))
    return arrays


def _rows(
    dtype: str,
    shape: Sequence[int],
    rng: np.random.Generator,
    patterns: Sequence[str],
    lengths: np.ndarray | None,
    bound: int | None,
    number: float | None,
) -> np.ndarray:
    """The numbers of one input ``(N, T, ...)``."""
    N = shape[0] if shape else 1
    steps = shape[1] if len(shape) > 1 else 1
    if lengths is None:
        valid = valid_steps(patterns, N, steps, rng)
    else:
        valid = np.arange(steps) < np.resize(lengths, N)[:, None]
    if bound is not None:
        return _ids(shape, valid, bound, 0 if number is None else int(number), rng)
    if dtype == "bool":
        array = _over(valid, shape)
        if len(shape) > 2 and lengths is None:
            # An attention mask: each query looks at steps of its own.
            array = array & valid_steps(patterns, int(np.prod(shape[:-1])), shape[-1], rng).reshape(shape)
        return array
    array = np.asarray(rng.normal(size=shape))
    if number is not None and len(shape) > 1:
        array[~valid] = number
    return array


def row_lengths_of(
    shape: Sequence[int], steps: int, rng: np.random.Generator, lengths: np.ndarray | None = None
) -> np.ndarray:
    """Lengths of rows of up to ``steps`` steps, none of them empty.

    Unless they are given, they are sorted, as packing takes them by default, and the first row is as long as
    there are steps.
    """
    if lengths is not None:
        return np.clip(np.resize(lengths, shape), 1, max(steps, 1))
    drawn = -np.sort(-rng.integers(1, max(steps, 1) + 1, shape))
    drawn.reshape(-1)[:1] = steps
    return drawn


def _rows_first(shape: Sequence[Dim]) -> list[int]:
    """The axes in the order rows, steps, others."""
    first = [axis for axis in (batch_axis(shape), time_axis(shape)) if axis is not None]
    return [*first, *(axis for axis in range(len(shape)) if axis not in first)]


def _over(valid: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """A mask ``(N, T)`` as booleans of another rank, those of a step alike; without steps the first one."""
    wide = (
        valid.reshape(*valid.shape, *[1] * (len(shape) - 2)) if len(shape) > 1 else valid[:, 0].reshape(shape)
    )
    return np.broadcast_to(wide, shape)


def _ids(
    shape: Sequence[int], valid: np.ndarray, bound: int, padding: int, rng: np.random.Generator
) -> np.ndarray:
    """Ids in ``[0, bound)``, ``padding`` at padded steps only; where that is no id, 0 stands there."""
    within = 0 <= padding < bound
    if bound < 2 and within:
        return np.zeros(shape, int)
    ids = rng.integers(0, bound - within, shape)
    ids += within & (ids >= padding)
    if len(shape) > 1:
        ids[~valid] = padding if within else 0
    return ids


def padding_values(graph: Graph) -> dict[str, float]:
    """What stands at padded steps, for each input that a mask is made of: an id, or what all features are."""
    kinds = NotEqual, FeaturesNotEqual
    sources = id_inputs(graph)
    values: dict[str, float] = {
        sources[node.inputs[0]]: node.op.value
        for node in graph.nodes
        if isinstance(node.op, kinds) and node.inputs[0] in sources
    }
    return values | {
        name: op.mask_token for name, op in token_inputs(graph).items() if op.mask_token is not None
    }


def token_inputs(graph: Graph) -> dict[str, IntegerLookup]:
    """The inputs whose tokens are looked up in a vocabulary, and how."""
    sources = id_inputs(graph)
    return {
        sources[node.inputs[0]]: node.op
        for node in graph.nodes
        if isinstance(node.op, IntegerLookup) and node.inputs[0] in sources
    }


def bin_inputs(graph: Graph) -> dict[str, Discretization]:
    """The inputs of floats whose numbers are put into bins, and how."""
    floats = {value.name for value in graph.inputs if value.dtype in FLOATS}
    return {
        node.inputs[0]: node.op
        for node in graph.nodes
        if isinstance(node.op, Discretization) and node.inputs[0] in floats
    }


def _at_boundaries(numbers: np.ndarray, op: Discretization, rng: np.random.Generator) -> np.ndarray:
    """Every other number is a boundary between bins."""
    boundaries = rng.choice(np.array(op.boundaries), numbers.shape).astype(numbers.dtype)
    return np.where(rng.random(numbers.shape) < 0.5, boundaries, numbers)


def _as_tokens(ids: np.ndarray, op: IntegerLookup, rng: np.random.Generator) -> np.ndarray:
    """Tokens of the vocabulary and others in place of ids; padding stays."""
    limits = np.iinfo(ids.dtype if ids.dtype.kind == "i" else "int32")
    known = [token for token in op.vocabulary if limits.min < token < limits.max] or [0]
    pool = [*known, *(token for token in (min(known) - 1, max(known) + 1) if token != op.mask_token)]
    tokens = rng.choice(np.array(pool), ids.shape).astype(ids.dtype)
    return tokens if op.mask_token is None else np.where(ids == op.mask_token, ids, tokens)


def random_cases(graph: Graph, seed: int = 0, batches: Batches = CASES) -> dict[str, list[np.ndarray]]:
    """Inputs that reach every rule of a mask: ``{case: one array an input}``, by default those of `CASES`.

    Padding is what the model takes for padding: an id, or steps of features that are all one number.
    Sequences without padding, padded right, padded left, with holes, with rows that are all padding, a
    single row of a single step, and one long batch. None is shorter than the model can take, and where T
    is fixed, every case has that T. Lengths of rows are sorted, and the first row has all the steps.

    Args:
        graph: the model.
        seed: of the numbers.
        batches: of each case N, T and the patterns of the rows, in turn.
    """
    rng = np.random.default_rng(seed)
    least = max((one.size for one in (needed_steps(graph) | needed_lengths(graph)).values()), default=0)
    lookups, bins = token_inputs(graph), bin_inputs(graph)
    settings: dict[str, Any] = {"id_bounds": safe_bounds(graph), "padding": padding_values(graph)}
    settings["rows"] = row_lengths(graph)
    most = most_steps(graph)
    varying = {letter for value in graph.inputs for dim in value.shape for letter in letters_in(dim)}
    cases = {}
    for case, (N, T, patterns) in batches.items():
        steps = {letter: min(max(T, least), most.get(letter, T + least)) for letter in varying}
        cases[case] = random_inputs(graph.inputs, N, steps, rng, patterns=patterns, **settings)
    return {
        case: [
            _as_tokens(array, lookups[value.name], rng)
            if value.name in lookups
            else _at_boundaries(array, bins[value.name], rng)
            if value.name in bins
            else array
            for value, array in zip(graph.inputs, arrays, strict=True)
        ]
        for case, arrays in cases.items()
    }
