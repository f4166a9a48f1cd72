"""Attention: the steps of one sequence look at the steps of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar, final

import numpy as np

from biport.errors import GraphError, UnsupportedError, WeightError
from biport.ops.base import Op, parameter
from biport.ops.checks import check_array, check_choice, check_sizes, floats, need
from biport.ops.regularization import check_rate
from biport.ops.tensor import FLOATS, Dim, Tensor, fixed_size, same_dim

Item = TypeVar("Item")

PROJECTIONS = ("query", "key", "value", "output")
"""Of a `MultiHeadAttention`: each has a weight and perhaps a bias."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Attends(Op):
    """What every attention has; not an op by itself.

    It takes queries ``(N, S, ...)``, values ``(N, T, ...)`` and, where the values are not their own keys,
    keys ``(N, T, ...)``, and gives ``(N, S, O)``; with ``return_scores`` also the weights of the values. With
    ``has_attention_mask`` one more input, the last, says which steps each query looks at: booleans
    ``(N, S, T)``, sizes of 1 stretched.

    Args:
        causal: step s looks at the steps t ≤ s alone; Keras ``use_causal_mask``.
        return_scores: whether the weights are a second output; Keras ``return_attention_scores``.
        dropout: share of the weights dropped in training; nothing at inference.
        has_attention_mask: whether the last input is such a mask; it counts beside all others.
    """

    training: ClassVar[Sequence[str]] = ("dropout",)

    causal: bool = False
    return_scores: bool = False
    dropout: float = 0.0
    has_attention_mask: bool = False

    def __post_init__(self) -> None:
        check_rate(self, self.dropout)

    @property
    def output_count(self) -> int:
        """The output, and the weights where they are asked for."""
        return 1 + self.return_scores

    @property
    def heads(self) -> int | None:
        """How many heads may have masks of their own, ``(N, P, S, T)``."""
        return None

    def check_masked(self, owner: str, data: Tensor) -> None:
        if data.dtype == "bool":
            raise UnsupportedError(owner, "mask", "of an attention mask", "masks of queries, values and keys")

    def split(self, inputs: Sequence[Item]) -> tuple[Sequence[Item], Item | None]:
        """Queries, values and perhaps keys; and the attention mask, if there is one."""
        return (inputs[:-1], inputs[-1]) if self.has_attention_mask else (inputs, None)

    def sequences(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, values and keys; the values where there are no keys.

        Raises:
            GraphError: there are more, fewer, or they do not go together, or with the attention mask.
        """
        inputs, mask = self.split(inputs)
        if len(inputs) not in (2, 3):
            raise GraphError(f"{self.kind} takes 2 inputs, or 3 with keys, found {len(inputs)}")
        for tensor in inputs:
            need(self, tensor, 3, floats(self) if self.dtype else FLOATS)
        query, value, key = inputs[0], inputs[1], inputs[-1]
        for one, two, axes in ((query, value, (0,)), (value, key, (0, 1))):
            if one.dtype != two.dtype or not all(same_dim(one.shape[axis], two.shape[axis]) for axis in axes):
                raise GraphError(f"{self.kind}: {one} and {two} do not go together")
        if mask is not None:
            self._check_attention_mask(mask, query, key)
        return query, value, key

    def _check_attention_mask(self, mask: Tensor, query: Tensor, key: Tensor) -> None:
        wanted: tuple[Dim, ...] = (*query.shape[:2], key.shape[1])
        if self.heads is not None and len(mask.shape) == 4:
            wanted = (wanted[0], self.heads, *wanted[1:])
        fits = len(mask.shape) == len(wanted) and all(
            size == 1 or same_dim(size, other) for size, other in zip(mask.shape, wanted, strict=True)
        )
        if mask.dtype != "bool":
            raise UnsupportedError(self.kind, "attention_mask", str(mask), str(Tensor(wanted, "bool")))
        if not fits:
            raise GraphError(f"{self.kind} takes an attention mask {Tensor(wanted, 'bool')}, found {mask}")


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class OneHead(Attends):
    """What `Attention` and `AdditiveAttention` share; not an op by itself.

    Of queries q ``(N, S, I)``, values v ``(N, T, O)`` and keys k ``(N, T, I)``, or v in their place::

        weights = softmax of the scores over t      (N, S, T)
        y_s = Σ_t weights_st v_t                    (N, S, O)

    Under the values' mask, or causal, the scores of steps not to be looked at are lowered by 1e9, in
    float32 whatever the dtype: that leaves them no weight, and where there is no other step, equal weights
    (for scores below 32). Where the queries' mask is false the output is 0; the weights are not. A mask of
    the keys has no say (Keras 3.15, ``keras/src/layers/attention/attention.py``).
    """

    masked: ClassVar[Sequence[int]] = (0, 1)

    def width(self) -> Dim | None:
        """I, where the weights say it."""
        return None

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        query, value, key = self.sequences(inputs)
        for tensor in (query, key):
            need(self, tensor, 3, FLOATS, self.width())
        if not same_dim(query.shape[2], key.shape[2]):
            raise GraphError(f"{self.kind}: {query} and {key} do not go together")
        output = Tensor((*query.shape[:2], value.shape[2]), query.dtype)
        scores = Tensor((*query.shape[:2], key.shape[1]), query.dtype)
        return (output, scores) if self.return_scores else (output,)

    def sum_length(self, inputs: Sequence[Tensor]) -> int:
        sequences, _ = self.split(inputs)
        return max(fixed_size(tensor.shape[2]) for tensor in (sequences[0], sequences[-1]))


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Attention(OneHead):
    """Attention by similarity (Luong): `OneHead` with the scores::

        "dot":     g Σ_i q_si k_ti
        "concat":  c Σ_i tanh(g (q_si + k_ti))

    Args:
        score_mode: one of these.
        scale: g, ``()``, or ``None`` for 1.
        score_weight: c, ``()``, for ``"concat"``; Keras ``concat_score_weight``.

    Source:
        Luong et al. 2015, arXiv:1508.04025; Keras 3.15, ``keras/src/layers/attention/attention.py``.
    """

    score_mode: str = "dot"
    scale: np.ndarray | None = parameter()
    score_weight: np.ndarray | None = parameter()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self.kind, "score_mode", self.score_mode, ("dot", "concat"))
        if (self.score_weight is None) != (self.score_mode == "dot"):
            raise WeightError(f"{self.kind}: score_weight belongs to score_mode 'concat', and only there")
        for name in ("scale", "score_weight"):
            if getattr(self, name) is not None:
                check_array(self.kind, name, getattr(self, name), (), self.dtype)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class AdditiveAttention(OneHead):
    """Attention by a sum (Bahdanau): `OneHead` with the scores ``Σ_i g_i tanh(q_si + k_ti)``.

    Args:
        scale: g, ``(I,)``, or ``None`` for ones.

    Source:
        Bahdanau et al. 2015, arXiv:1409.0473; Keras 3.15,
        ``keras/src/layers/attention/additive_attention.py``.
    """

    scale: np.ndarray | None = parameter()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scale is not None:
            check_array(self.kind, "scale", self.scale, (self.scale.size,), None)

    def width(self) -> Dim | None:
        """I, where there is a scale."""
        return None if self.scale is None else self.scale.size


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class MultiHeadAttention(Attends):
    """Attention by products in several projections at once.

    Of queries q ``(N, S, I)``, values v ``(N, T, J)`` and keys k ``(N, T, L)``, or v in their place, each
    of the P heads takes its own rows of the weights::

        weights = softmax over t of  (W_q q_s + b_q)·(W_k k_t + b_k) / √K      (N, P, S, T)
        y_s = W_o [Σ_t weights_st (W_v v_t + b_v), the heads side by side] + b_o      (N, S, O)

    A query looks at the steps where the masks of queries, values and keys are all true, with ``causal`` at
    t ≤ s, and with an attention mask, which may be ``(N, P, S, T)``, where that is true. One that has no step
    to look at weighs all of them alike, or, with dropout or ``return_scores``, none of them: Keras then goes
    another way (Keras 3.15, ``keras/src/layers/attention/multi_head_attention.py``, ``_compute_attention``).
    No output is zeroed.

    Args:
        num_heads: P.
        key_size: K, of one head; Keras ``key_dim``.
        value_size: V, of one head; Keras ``value_dim``.
        query_weight: ``(P·K, I)``.
        key_weight: ``(P·K, L)``.
        value_weight: ``(P·V, J)``.
        output_weight: ``(O, P·V)``.
        query_bias: ``(P·K,)``; all four biases or none.
        key_bias: ``(P·K,)``.
        value_bias: ``(P·V,)``.
        output_bias: ``(O,)``.

    Source:
        Vaswani et al. 2017, arXiv:1706.03762.
    """

    masked: ClassVar[Sequence[int]] = (0, 1, 2)

    num_heads: int
    key_size: int
    value_size: int
    query_weight: np.ndarray = parameter()
    key_weight: np.ndarray = parameter()
    value_weight: np.ndarray = parameter()
    output_weight: np.ndarray = parameter()
    query_bias: np.ndarray | None = parameter()
    key_bias: np.ndarray | None = parameter()
    value_bias: np.ndarray | None = parameter()
    output_bias: np.ndarray | None = parameter()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sizes(self.kind, num_heads=self.num_heads, key_size=self.key_size, value_size=self.value_size)
        keys, values = self.num_heads * self.key_size, self.num_heads * self.value_size
        given = [getattr(self, f"{part}_bias") is not None for part in PROJECTIONS]
        if any(given) != all(given):
            raise WeightError(f"{self.kind}: some biases without the others")
        for part, rows in zip(PROJECTIONS, (keys, keys, values, None), strict=True):
            weight = getattr(self, f"{part}_weight")
            if not isinstance(weight, np.ndarray) or weight.ndim != 2:
                raise WeightError(f"{self.kind}: {part}_weight should be a matrix")
            shape = (weight.shape[0], values) if rows is None else (rows, weight.shape[1])
            check_array(self.kind, f"{part}_weight", weight, shape, self.dtype)
            if any(given):
                check_array(self.kind, f"{part}_bias", getattr(self, f"{part}_bias"), shape[:1], self.dtype)

    @property
    def heads(self) -> int:
        """P."""
        return self.num_heads

    @property
    def forgets(self) -> bool:
        """Whether a query without a step to look at weighs none of them; else it weighs all alike."""
        return self.return_scores or self.dropout > 0

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        query, value, key = self.sequences(inputs)
        for part, tensor in zip(PROJECTIONS, (query, key, value), strict=False):
            need(self, tensor, 3, floats(self), getattr(self, f"{part}_weight").shape[1])
        output = Tensor((*query.shape[:2], self.output_weight.shape[0]), query.dtype)
        scores = Tensor((query.shape[0], self.num_heads, query.shape[1], key.shape[1]), query.dtype)
        return (output, scores) if self.return_scores else (output,)

    def sum_length(self, inputs: Sequence[Tensor]) -> int:
        return max(self.key_size, *(getattr(self, f"{part}_weight").shape[1] for part in PROJECTIONS))
