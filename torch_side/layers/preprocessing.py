"""What stands in front of a model: ids of tokens and of bins, and ids as vectors of zeros and ones."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from torch_side.layers.errors import LayerInputError


class CategoryEncoding(nn.Module):
    """Ids in ``[0, V)`` as vectors of V; an id outside of that range is no category and counts nowhere.

    Args:
        num_tokens: V.
        output_mode: ``"one_hot"``, a vector for every id; ``"multi_hot"``, one for a row, of zeros and ones;
            ``"count"``, one that says how often each occurs.
        float_dtype: of the vectors.
    """

    __jit_unused_properties__ = ("float_dtype",)
    one: Tensor

    def __init__(
        self,
        num_tokens: int,
        output_mode: str = "multi_hot",
        float_dtype: str = "float32",
    ) -> None:
        super().__init__()
        self.num_tokens = num_tokens
        self.output_mode = output_mode
        self.register_buffer("one", torch.ones((), dtype=getattr(torch, float_dtype)))

    @property
    def float_dtype(self) -> str:
        """The name of the vectors' dtype, which goes with the module's."""
        return str(self.one.dtype).removeprefix("torch.")

    def forward(self, ids: Tensor) -> Tensor:
        """``(N, ..., T)`` to ``(N, ..., T, V)``, or ``(N, T)`` to ``(N, V)``.

        Raises:
            LayerInputError: there is one id, or none, along the last axis of ids that become vectors each.
        """
        if self.output_mode == "one_hot" and ids.dim() > 1 and ids.shape[-1] < 2:
            raise LayerInputError(
                f"one_hot takes 2 ids or more along the last axis, found {ids.shape[-1]}"
            )
        equal = ids.unsqueeze(-1) == torch.arange(self.num_tokens, device=ids.device)
        if self.output_mode == "multi_hot":
            equal = equal.any(dim=-2)
        if self.output_mode == "count":
            equal = equal.sum(dim=-2)
        return equal.to(self.one.dtype)

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"{self.num_tokens}, output_mode={self.output_mode!r}"


class IntegerLookup(nn.Module):
    """Tokens to their numbers in a vocabulary, as Keras counts them.

    The mask token, where there is one, is 0; then come the numbers of tokens that are not in the vocabulary,
    by their remainder; then those of the vocabulary in their order.

    Args:
        vocabulary: the tokens.
        num_oov_indices: how many numbers the others share.
        mask_token: what stands for padding.
    """

    def __init__(
        self,
        vocabulary: Sequence[int],
        num_oov_indices: int = 1,
        mask_token: int | None = None,
    ) -> None:
        super().__init__()
        self.vocabulary = tuple(vocabulary)
        self.num_oov_indices = num_oov_indices
        self.mask_token = mask_token

    def forward(self, tokens: Tensor) -> Tensor:
        """Any shape; int64 of that shape."""
        tokens = tokens.long()
        first = 0 if self.mask_token is None else 1
        numbers = tokens.remainder(self.num_oov_indices) + first
        order, own = torch.tensor(self.vocabulary, device=tokens.device).sort()
        positions = torch.searchsorted(order, tokens.contiguous()).clamp(
            max=len(order) - 1
        )
        known = own[positions] + first + self.num_oov_indices
        numbers = torch.where(order[positions] == tokens, known, numbers)
        return (
            numbers
            if self.mask_token is None
            else numbers.masked_fill(tokens == self.mask_token, 0)
        )

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"{len(self.vocabulary)} tokens, num_oov_indices={self.num_oov_indices}, {self.mask_token=}"


class Discretization(nn.Module):
    """Numbers to the ids of the bins that they fall into, from 0; NaN falls into the last.

    A number that is a boundary falls into the bin behind it.

    Args:
        boundaries: between the bins, in ascending order.
    """

    def __init__(self, boundaries: Sequence[float]) -> None:
        super().__init__()
        self.boundaries = tuple(boundaries)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape; int32 of that shape. Numbers are compared as float32."""
        boundaries = torch.tensor(self.boundaries, dtype=torch.float32, device=x.device)
        below = (x.float().unsqueeze(-1) < boundaries).sum(dim=-1)
        return (len(self.boundaries) - below).int()

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"{len(self.boundaries)} boundaries"
