"""Attention with Keras' rules for masks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from torch_side.layers.errors import LayerInputError
from torch_side.layers.masks import check_mask, lowest


def both(one: Tensor | None, two: Tensor | None) -> Tensor | None:
    """What both masks let count; ``None`` lets everything."""
    if one is None:
        return two
    return one if two is None else one & two


def up_to_own(query: Tensor, key: Tensor) -> Tensor:
    """Each query's steps up to its own, ``(1, S, T)``."""
    ones = torch.ones(
        [1, query.shape[1], key.shape[1]], dtype=torch.bool, device=query.device
    )
    return ones.tril()


def check_attention_mask(mask: Tensor, sizes: list[int]) -> None:
    """Refuse an attention mask of other sizes than these, or 1.

    Raises:
        LayerInputError: it has others, or is not boolean.
    """
    fits = mask.dim() == len(sizes) and mask.dtype == torch.bool
    if fits:
        for one, two in zip(mask.shape, sizes):  # noqa: B905  (TorchScript knows no strict)
            fits = fits and (one == 1 or one == two)
    if not fits:
        wanted, given = (
            f"torch.bool {sizes}, or 1 in places",
            f"{mask.dtype} {list(mask.shape)}",
        )
        raise LayerInputError(f"the attention mask should be {wanted}, found {given}")


class _OneHead(nn.Module):
    """Weights for the steps of a sequence, and the sum of the steps so weighted.

    Under the values' mask, or causal, the scores of steps not to be looked at are lowered by 1e9, in
    float32: they get no weight, and where there is no other step, equal ones. Where the queries' mask is
    false the output is 0.

    Args:
        causal: step s looks at the steps t ≤ s alone.
        dropout: share of the weights dropped in training.
    """

    def __init__(self, *, causal: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.causal = causal
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
    ) -> tuple[Tensor, Tensor]:
        """``(N, S, I)``, ``(N, T, O)``, ``(N, T, I)`` to ``(N, S, O)`` and the weights, ``(N, S, T)``.

        Without keys the values are their own. The masks of queries and values are ``(N, S)`` and ``(N, T)``;
        the attention mask, ``(N, S, T)``, is true where a query looks.

        Raises:
            LayerInputError: a mask is not boolean or has another shape.
        """
        key = value if key is None else key
        scores = self.scores(query, key)
        counts = attention_mask
        if attention_mask is not None:
            check_attention_mask(attention_mask, list(scores.shape))
        if value_mask is not None:
            check_mask(value, value_mask)
            counts = both(counts, value_mask.unsqueeze(1))
        if self.causal:
            counts = both(counts, up_to_own(query, key))
        if counts is not None:
            lowered = (
                (scores.float() - 1e9).clamp(min=lowest(scores, -3e38)).to(scores.dtype)
            )
            scores = torch.where(counts, scores, lowered)
        weights = scores.softmax(dim=-1)
        output = functional.dropout(weights, self.dropout, self.training) @ value
        if query_mask is not None:
            check_mask(query, query_mask)
            output = output.masked_fill(~query_mask.unsqueeze(-1), 0.0)
        return output, weights

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        scale = "" if self.scale is None else ", use_scale=True"
        return f"causal={self.causal}, dropout={self.dropout}{scale}"


class Attention(_OneHead):
    """Attention by similarity (Luong).

    Args:
        score_mode: ``"dot"``, the sum of products; ``"concat"``, of the tanh of sums.
        use_scale: whether products, or sums, are multiplied by a weight.
        settings: of every attention: ``causal`` and ``dropout``.
    """

    def __init__(
        self,
        *,
        score_mode: str = "dot",
        use_scale: bool = False,
        **settings: bool | float,
    ) -> None:
        super().__init__(**settings)  # pyright: ignore[reportArgumentType]
        self.score_mode = score_mode
        self.scale = nn.Parameter(torch.ones(())) if use_scale else None
        self.score_weight = (
            nn.Parameter(torch.ones(())) if score_mode == "concat" else None
        )

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        """``(N, S, I)`` and ``(N, T, I)`` to ``(N, S, T)``."""
        if self.score_weight is None:
            products = query @ key.transpose(1, 2)
            return products if self.scale is None else products * self.scale
        sums = query.unsqueeze(2) + key.unsqueeze(1)
        return self.score_weight * torch.tanh(
            sums if self.scale is None else self.scale * sums
        ).sum(dim=-1)

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"score_mode={self.score_mode!r}, {super().extra_repr()}"


class AdditiveAttention(_OneHead):
    """Attention by the tanh of sums (Bahdanau).

    Args:
        input_size: I, the number of weights by which the tanh are multiplied; ``None`` for no weights.
        settings: of every attention: ``causal`` and ``dropout``.
    """

    def __init__(self, input_size: int | None = None, **settings: bool | float) -> None:
        super().__init__(**settings)  # pyright: ignore[reportArgumentType]
        self.scale = (
            None if input_size is None else nn.Parameter(torch.ones(input_size))
        )

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        """``(N, S, I)`` and ``(N, T, I)`` to ``(N, S, T)``."""
        bent = torch.tanh(query.unsqueeze(2) + key.unsqueeze(1))
        return (bent if self.scale is None else self.scale * bent).sum(dim=-1)


class MultiHeadAttention(nn.Module):
    """Attention by products in several projections at once.

    A query looks at the steps where the masks of queries, values and keys are all true, and if causal at
    those up to its own. One that has no step to look at weighs all of them alike, or none if it ``forgets``.

    Args:
        num_heads: P.
        key_size: K, of one head.
        value_size: V, of one head.
        sizes: of a step of the queries, keys and values, and of the output.
        bias: whether the projections have biases.
        causal: step s looks at the steps t ≤ s alone.
        forgets: whether a query that has no step to look at weighs none, as in Keras with dropout or where
            the weights are asked for.
        dropout: share of the weights dropped in training.
    """

    def __init__(
        self,
        num_heads: int,
        key_size: int,
        value_size: int,
        sizes: Sequence[int],
        *,
        bias: bool = True,
        causal: bool = False,
        forgets: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.key_size = key_size
        self.value_size = value_size
        self.causal = causal
        self.forgets = forgets
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
    ) -> tuple[Tensor, Tensor]:
        """``(N, S, I)``, ``(N, T, J)``, ``(N, T, L)`` to ``(N, S, O)`` and the weights, ``(N, P, S, T)``.

        Without keys the values are their own. The masks of queries, values and keys are ``(N, S)`` and
        ``(N, T)``; the attention mask, ``(N, S, T)`` or ``(N, P, S, T)``, is true where a query looks.

        Raises:
            LayerInputError: a mask is not boolean or has another shape.
        """
        key = value if key is None else key
        queries = self.heads(self.query(query))
        keys, values = self.heads(self.key(key)), self.heads(self.value(value))
        scores = queries @ keys.transpose(2, 3) / self.key_size**0.5
        counts = attention_mask
        if counts is not None:
            counts = counts.unsqueeze(1) if counts.dim() == 3 else counts
            check_attention_mask(counts, list(scores.shape))
        if query_mask is not None:
            check_mask(query, query_mask)
            counts = both(counts, query_mask.unsqueeze(1).unsqueeze(3))
        if value_mask is not None:
            check_mask(value, value_mask)
            counts = both(counts, value_mask.unsqueeze(1).unsqueeze(2))
        if key_mask is not None:
            check_mask(key, key_mask)
            counts = both(counts, key_mask.unsqueeze(1).unsqueeze(2))
        if self.causal:
            counts = both(counts, up_to_own(query, key).unsqueeze(1))
        weights = self.weights(scores, counts)
        heads = functional.dropout(weights, self.dropout, self.training) @ values
        return self.output(heads.transpose(1, 2).flatten(2)), weights

    def heads(self, x: Tensor) -> Tensor:
        """``(N, T, P·K)`` to ``(N, P, T, K)``."""
        return x.unflatten(2, [self.num_heads, x.shape[2] // self.num_heads]).transpose(
            1, 2
        )

    def weights(self, scores: Tensor, counts: Tensor | None) -> Tensor:
        """The softmax of the scores, ``(N, P, S, T)``, over what counts."""
        if counts is None:
            return scores.softmax(dim=-1)
        # Two of Keras' numbers for minus infinity, which a row where nothing counts depends on.
        if not self.forgets:
            return torch.where(
                counts, scores, lowest(scores, -0.7 * 3.38953e38)
            ).softmax(dim=-1)
        weights = torch.where(counts, scores, lowest(scores, -1e9)).softmax(dim=-1)
        return torch.where(counts, weights, 0.0)

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        settings = (
            f"causal={self.causal}, forgets={self.forgets}, dropout={self.dropout}"
        )
        return f"{self.num_heads}, key_size={self.key_size}, value_size={self.value_size}, {settings}"
