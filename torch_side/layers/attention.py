"""Attention with Keras' rules for masks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional

from torch_side.layers.errors import LayerInputError
from torch_side.layers.masks import check_mask


def all_of(*masks: Tensor | None) -> Tensor | None:
    """What all of the masks there are let count; ``None`` where there is none."""
    given = [mask for mask in masks if mask is not None]
    return reduce(torch.logical_and, given) if given else None


def up_to_own(query: Tensor, key: Tensor) -> Tensor:
    """Each query's steps up to its own, ``(1, S, T)``."""
    return query.new_ones(1, query.shape[1], key.shape[1], dtype=torch.bool).tril()


def check_attention_mask(mask: Tensor | None, sizes: Sequence[int]) -> None:
    """Refuse an attention mask of other sizes than these, or 1.

    Raises:
        LayerInputError: it has others, or is not boolean.
    """
    if mask is None:
        return
    fits = len(mask.shape) == len(sizes) and all(map(lambda one, two: one in (1, two), mask.shape, sizes))
    if mask.dtype != torch.bool or not fits:
        wanted, given = f"torch.bool {tuple(sizes)}, or 1 in places", f"{mask.dtype} {tuple(mask.shape)}"
        raise LayerInputError(f"the attention mask should be {wanted}, found {given}")


class _OneHead(nn.Module):
    """Weights for the steps of a sequence, and the sum of the steps so weighted.

    Under the values' mask, or causal, the scores of steps not to be looked at are lowered by 1e9, in
    float32: they get no weight, and where there is no other step, equal ones. Where the queries' mask is
    false the output is 0.

    Args:
        causal: step s looks at the steps t ≤ s alone.
        return_scores: give the weights too.
        dropout: share of the weights dropped in training.
    """

    LOWERED = 1e9

    def __init__(self, *, causal: bool = False, return_scores: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.causal = causal
        self.return_scores = return_scores
        self.dropout = dropout
        self.scale: nn.Parameter | None = None

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        """``(N, S, I)`` and ``(N, T, I)`` to ``(N, S, T)``."""
        raise NotImplementedError

    def forward(
        self,
        query: Tensor,
        value: Tensor,
        key: Tensor | None = None,
        query_mask: Tensor | None = None,
        value_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """``(N, S, I)``, ``(N, T, O)``, ``(N, T, I)`` and masks ``(N, S)``, ``(N, T)`` to ``(N, S, O)``.

        Without keys the values are their own. The attention mask, ``(N, S, T)``, is true where a query looks.
        With ``return_scores`` also the weights, ``(N, S, T)``.

        Raises:
            LayerInputError: a mask is not boolean or has another shape.
        """
        check_mask(query, query_mask)
        check_mask(value, value_mask)
        key = value if key is None else key
        scores = self.scores(query, key)
        check_attention_mask(attention_mask, scores.shape)
        counts = all_of(
            None if value_mask is None else value_mask[:, None],
            up_to_own(query, key) if self.causal else None,
            attention_mask,
        )
        if counts is not None:
            lowered = (scores.float() - self.LOWERED).to(scores.dtype)
            scores = torch.where(counts, scores, lowered)
        weights = scores.softmax(dim=-1)
        output = functional.dropout(weights, self.dropout, self.training) @ value
        if query_mask is not None:
            output = output.masked_fill(~query_mask.unsqueeze(-1), 0)
        return (output, weights) if self.return_scores else output

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        scale = "" if self.scale is None else ", use_scale=True"
        return f"causal={self.causal}, return_scores={self.return_scores}, dropout={self.dropout}{scale}"


class Attention(_OneHead):
    """Attention by similarity (Luong).

    Args:
        score_mode: ``"dot"``, the sum of products; ``"concat"``, of the tanh of sums.
        use_scale: whether products, or sums, are multiplied by a weight.
        settings: of every attention: ``causal``, ``return_scores`` and ``dropout``.
    """

    def __init__(self, *, score_mode: str = "dot", use_scale: bool = False, **settings: bool | float) -> None:
        super().__init__(**settings)  # pyright: ignore[reportArgumentType]
        self.score_mode = score_mode
        self.scale = nn.Parameter(torch.ones(())) if use_scale else None
        self.score_weight = nn.Parameter(torch.ones(())) if score_mode == "concat" else None

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        """``(N, S, I)`` and ``(N, T, I)`` to ``(N, S, T)``."""
        if self.score_weight is None:
            products = query @ key.transpose(1, 2)
            return products if self.scale is None else products * self.scale
        sums = query.unsqueeze(2) + key.unsqueeze(1)
        return self.score_weight * torch.tanh(sums if self.scale is None else self.scale * sums).sum(dim=-1)

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"score_mode={self.score_mode!r}, {super().extra_repr()}"


class AdditiveAttention(_OneHead):
    """Attention by the tanh of sums (Bahdanau).

    Args:
        input_size: I, the number of weights by which the tanh are multiplied; ``None`` for no weights.
        settings: of every attention: ``causal``, ``return_scores`` and ``dropout``.
    """

    def __init__(self, input_size: int | None = None, **settings: bool | float) -> None:
        super().__init__(**settings)  # pyright: ignore[reportArgumentType]
        self.scale = None if input_size is None else nn.Parameter(torch.ones(input_size))

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        """``(N, S, I)`` and ``(N, T, I)`` to ``(N, S, T)``."""
        bent = torch.tanh(query.unsqueeze(2) + key.unsqueeze(1))
        return (bent if self.scale is None else self.scale * bent).sum(dim=-1)


class MultiHeadAttention(nn.Module):
    """Attention by products in several projections at once.

    A query looks at the steps where the masks of queries, values and keys are all true, and if causal at
    those up to its own. One that has no step to look at weighs all of them alike; with dropout or with
    ``return_scores``, none of them, as in Keras.

    Args:
        num_heads: P.
        key_size: K, of one head.
        value_size: V, of one head.
        sizes: of a step of the queries, keys and values, and of the output.
        bias: whether the projections have biases.
        causal: step s looks at the steps t ≤ s alone.
        return_scores: give the weights too.
        dropout: share of the weights dropped in training.
    """

    MASKED, FORGOTTEN = -0.7 * 3.38953e38, -1e9

    def __init__(
        self,
        num_heads: int,
        key_size: int,
        value_size: int,
        sizes: Sequence[int],
        *,
        bias: bool = True,
        causal: bool = False,
        return_scores: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.key_size = key_size
        self.value_size = value_size
        self.causal = causal
        self.return_scores = return_scores
        self.dropout = dropout
        queries, keys, values, outputs = sizes
        self.query = nn.Linear(queries, num_heads * key_size, bias)
        self.key = nn.Linear(keys, num_heads * key_size, bias)
        self.value = nn.Linear(values, num_heads * value_size, bias)
        self.output = nn.Linear(num_heads * value_size, outputs, bias)

    def forward(
        self,
        query: Tensor,
        value: Tensor,
        key: Tensor | None = None,
        query_mask: Tensor | None = None,
        value_mask: Tensor | None = None,
        key_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """``(N, S, I)``, ``(N, T, J)``, ``(N, T, L)`` and masks ``(N, S)``, ``(N, T)`` to ``(N, S, O)``.

        Without keys the values are their own. The attention mask, ``(N, S, T)`` or ``(N, P, S, T)``, is true
        where a query looks. With ``return_scores`` also the weights, ``(N, P, S, T)``.

        Raises:
            LayerInputError: a mask is not boolean or has another shape.
        """
        key = value if key is None else key
        for sequence, mask in ((query, query_mask), (value, value_mask), (key, key_mask)):
            check_mask(sequence, mask)
        queries, keys, values = (
            self._heads(project(x))
            for project, x in ((self.query, query), (self.key, key), (self.value, value))
        )
        scores = queries @ keys.transpose(2, 3) / self.key_size**0.5
        every_head = self._counting(query, key, query_mask, value_mask, key_mask)
        if attention_mask is not None and attention_mask.dim() == 3:
            attention_mask = attention_mask.unsqueeze(1)
        check_attention_mask(attention_mask, scores.shape)
        counts = all_of(None if every_head is None else every_head.unsqueeze(1), attention_mask)
        weights = self._weights(scores, counts)
        heads = functional.dropout(weights, self.dropout, self.training) @ values
        output = self.output(heads.transpose(1, 2).flatten(2))
        return (output, weights) if self.return_scores else output

    def _heads(self, x: Tensor) -> Tensor:
        """``(N, T, P·K)`` to ``(N, P, T, K)``."""
        return x.unflatten(2, (self.num_heads, x.shape[2] // self.num_heads)).transpose(1, 2)

    def _counting(
        self,
        query: Tensor,
        key: Tensor,
        query_mask: Tensor | None,
        value_mask: Tensor | None,
        key_mask: Tensor | None,
    ) -> Tensor | None:
        """Which step of the keys each query looks at, ``(N or 1, S or 1, T or 1)``; ``None`` for all."""
        return all_of(
            None if value_mask is None else value_mask[:, None],
            None if key_mask is None else key_mask[:, None],
            None if query_mask is None else query_mask[:, :, None],
            up_to_own(query, key) if self.causal else None,
        )

    def _weights(self, scores: Tensor, counts: Tensor | None) -> Tensor:
        if counts is None:
            return scores.softmax(dim=-1)
        if not (self.return_scores or self.dropout):
            return torch.where(counts, scores, self.MASKED).softmax(dim=-1)
        return torch.where(counts, torch.where(counts, scores, self.FORGOTTEN).softmax(dim=-1), 0)

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        settings = f"causal={self.causal}, return_scores={self.return_scores}, dropout={self.dropout}"
        return f"{self.num_heads}, key_size={self.key_size}, value_size={self.value_size}, {settings}"
