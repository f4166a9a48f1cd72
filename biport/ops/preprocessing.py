"""What stands in front of a model: ids of tokens and of bins, and ids as vectors of zeros and ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self, final

import numpy as np

from biport.errors import GraphError
from biport.ops.base import Locality, Op
from biport.ops.checks import TooShortError, check_choice, check_sizes, need, take
from biport.ops.tensor import FLOATS, INTEGERS, NUMBERS, Tensor

ENCODINGS = ("one_hot", "multi_hot", "count")
"""Of a `CategoryEncoding`."""


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class CategoryEncoding(Op):
    """Ids in ``[0, V)`` as vectors of V; an id outside of that range is no category and counts nowhere.

    ``"one_hot"`` makes a vector of zeros and a one of every id, ``(N, ..., T)`` to ``(N, ..., T, V)``;
    ``"multi_hot"`` has one vector for a row, ``(N, T)`` to ``(N, V)``, with ones where an id occurs, and
    ``"count"`` says how often it does.

    Over a last axis of one id Keras gives no vectors of their own, so that one that varies needs two or more.

    Args:
        num_tokens: V.
        output_mode: one of `ENCODINGS`.
        float_dtype: of the vectors.

    Source: keras/src/layers/preprocessing/category_encoding.py and keras/src/utils/numerical_utils.py of
        3.15; there negative ids of a row are an error, and zeros elsewhere.
    """

    num_tokens: int
    output_mode: str = "multi_hot"
    float_dtype: str = "float32"

    def __post_init__(self) -> None:
        check_sizes(self.kind, num_tokens=self.num_tokens)
        check_choice(self.kind, "output_mode", self.output_mode, ENCODINGS)
        check_choice(self.kind, "float_dtype", self.float_dtype, FLOATS)

    @cached_property
    def dtype(self) -> str:
        """Of the vectors."""
        return self.float_dtype

    def astype(self, dtype: str) -> Self:
        return replace(self, float_dtype=dtype)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (ids,) = take(self, inputs, 1)
        need(self, ids, None if self.output_mode == "one_hot" else 2, INTEGERS)
        if not ids.shape:
            raise GraphError(f"{self.kind} takes one dimension or more, found {ids}")
        kept = ids.shape if self.output_mode == "one_hot" else ids.shape[:-1]
        if self.output_mode == "one_hot" and len(ids.shape) > 1 and ids.shape[-1] in (0, 1):
            raise TooShortError(f"{self.kind}: {ids.shape[-1]} ids along the last axis, where 2 are needed")
        return (Tensor((*kept, self.num_tokens), self.float_dtype),)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        if self.output_mode != "one_hot":
            return Locality.NONE
        rank = len(inputs[0].shape) + 1
        # Of a single step there is nothing where the last axis is that of the steps.
        return Locality.along(rank, mixed=[-1], weighted=[1] if rank == 3 else [])


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class IntegerLookup(Op):
    """Tokens, integers of any shape, to their numbers in a vocabulary.

    The mask token, where there is one, is 0; the next ``num_oov_indices`` numbers are those of tokens that
    are not in the vocabulary, by their remainder; then come the tokens of the vocabulary in their order.

    Args:
        vocabulary: the tokens, none of them twice.
        num_oov_indices: how many numbers the others share, one or more.
        mask_token: what stands for padding.

    Source: keras/src/layers/preprocessing/index_lookup.py of 3.15, ``_lookup_dense``.
    """

    vocabulary: tuple[int, ...]
    num_oov_indices: int = 1
    mask_token: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "vocabulary", tuple(self.vocabulary))
        check_sizes(self.kind, num_oov_indices=self.num_oov_indices)
        tokens = [*self.vocabulary, *([] if self.mask_token is None else [self.mask_token])]
        for token in tokens:
            if not isinstance(token, int) or isinstance(token, bool) or not -(2**63) <= token < 2**63:
                raise GraphError(f"{self.kind}: tokens should be integers of 64 bits, found {token!r}")
        if not self.vocabulary or len(set(tokens)) < len(tokens):
            raise GraphError(f"{self.kind}: vocabulary and mask token should be one or more different tokens")

    @property
    def first_unknown(self) -> int:
        """The first number of tokens that are not in the vocabulary."""
        return 0 if self.mask_token is None else 1

    def numbers(self) -> dict[int, int]:
        """The number of each token that has one of its own."""
        start = self.first_unknown + self.num_oov_indices
        known = {token: number for number, token in enumerate(self.vocabulary, start)}
        return known if self.mask_token is None else {self.mask_token: 0, **known}

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (tokens,) = take(self, inputs, 1)
        need(self, tokens, None, INTEGERS)
        return (Tensor(tokens.shape, "int64"),)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.ELEMENT


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Discretization(Op):
    """Numbers of any shape to the ids of the bins that they fall into, from 0; NaN falls into the last.

    Bin ``i`` begins with ``boundaries[i - 1]``, which is in it, and ends before ``boundaries[i]``. Whatever
    the numbers are, they are compared as float32.

    Args:
        boundaries: between the bins, in ascending order; rounded to float32.

    Source: keras/src/layers/preprocessing/discretization.py of 3.15, ``input_dtype``, and ``Bucketize`` of
        TensorFlow, whose boundaries are float32.
    """

    boundaries: tuple[float, ...]

    def __post_init__(self) -> None:
        numbers = tuple(self.boundaries)
        for number in numbers:
            if not isinstance(number, float | int) or isinstance(number, bool):
                raise GraphError(f"{self.kind}: boundaries should be numbers, found {number!r}")
        with np.errstate(over="ignore"):
            rounded = tuple(float(np.float32(number)) for number in numbers)
        if not rounded or not all(map(math.isfinite, rounded)) or list(rounded) != sorted(rounded):
            some = list(numbers)[:10]
            raise GraphError(f"{self.kind}: boundaries should be float32 numbers that ascend, found {some}")
        object.__setattr__(self, "boundaries", rounded)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, None, NUMBERS)
        return (Tensor(x.shape, "int32"),)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.ELEMENT
