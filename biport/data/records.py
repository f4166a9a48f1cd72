"""What the loaders of corpora give: labelled texts and pairs of texts, in the order of the file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from biport.errors import Argument, InputError


@dataclass(frozen=True, eq=False)
class Texts:
    """Texts with a class each; `biport.data.split` divides them for training and testing.

    Args:
        texts: N texts.
        labels: the class of each, of shape (N,), int32, from 0 to ``len(names) - 1``.
        names: what the classes are called in the file; a name's position is its number.
    """

    texts: list[str]
    labels: NDArray[np.int32]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class Pairs:
    """Texts and what a sequence-to-sequence model makes of them.

    Args:
        sources: N texts.
        targets: one for each source.
        attributions: whom each pair is from, where the file says so; else empty.
    """

    sources: list[str]
    targets: list[str]
    attributions: list[str]

    def __len__(self) -> int:
        return len(self.sources)

    def part(self, positions: range | list[int]) -> Pairs:
        """The pairs at ``positions``, in that order."""
        columns = self.sources, self.targets, self.attributions
        return Pairs(*([column[position] for position in positions] for column in columns))


@dataclass(frozen=True)
class PairSplit:
    """Pairs for training, for choosing between models, and for testing."""

    train: Pairs
    validation: Pairs
    test: Pairs


def split_pairs(pairs: Pairs, validation_fraction: float, test_fraction: float, seed: int) -> PairSplit:
    """Divide pairs at random, all pairs with the same source in the same part.

    Args:
        pairs: with at least three different sources.
        validation_fraction: the share of the different sources to validate on; at least one is.
        test_fraction: the share of the different sources to test on; at least one is.
        seed: not negative; the same arguments always give the same division.

    Returns:
        All the pairs, in each part in the order they came in.

    Raises:
        InputError: for fractions that leave nothing to train on, too few different sources, or a negative
            ``seed``.
    """
    shares = validation_fraction, test_fraction
    if not (min(shares) > 0 and sum(shares) < 1):
        raise InputError(
            f"validation_fraction={validation_fraction!r}, test_fraction={test_fraction!r}: each is above 0, "
            "and together they are below 1."
        )
    # A dict and not a set: the order of a set of strings changes from one process to the next.
    different = list(dict.fromkeys(pairs.sources))
    if len(different) < 3:
        raise InputError(f"{len(different)} different sources cannot be divided into three; at least 3 can.")
    n_validation, n_test = (max(1, round(share * len(different))) for share in shares)
    if n_validation + n_test >= len(different):
        raise InputError(
            f"{len(different)} different sources are too few for validation_fraction={validation_fraction!r} "
            f"and test_fraction={test_fraction!r}: nothing is left to train on."
        )
    order = generator(seed).permutation(len(different))
    part_of = dict.fromkeys(different, 0)
    part_of |= {different[position]: 1 for position in order[:n_validation]}
    part_of |= {different[position]: 2 for position in order[n_validation : n_validation + n_test]}
    parts: tuple[list[int], ...] = ([], [], [])
    for position, source in enumerate(pairs.sources):
        parts[part_of[source]].append(position)
    return PairSplit(*(pairs.part(chosen) for chosen in parts))


def generator(seed: int) -> np.random.Generator:
    """NumPy's generator for ``seed``.

    Raises:
        InputError: for a negative ``seed``.
    """
    if seed < 0:
        raise InputError(Argument("seed", seed), ": it cannot be negative.")
    return np.random.default_rng(seed)
