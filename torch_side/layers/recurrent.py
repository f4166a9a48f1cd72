"""`torch.nn.LSTM` with Keras' rules for masks, for one direction and for two.

Source of the rules: Keras 3.15 ``keras/src/layers/rnn``; `biport.reference.recurrent` spells them out.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from biport.errors import UnsupportedError
from biport.ops import MERGE_MODES
from torch_side.layers.masks import check_mask, hold
from torch_side.layers.spatial_dropout import drop_features
from torch_side.layers.walk import walk


class _Recurrent(nn.Module):
    """What one direction and two share: the real `torch.nn.LSTM` and the training settings."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bidirectional: bool,
        bias: bool,
        return_sequences: bool,
        dropout: float,
        recurrent_dropout: float,
    ) -> None:
        super().__init__()
        self.lstm = nn.LSTM(input_size, hidden_size, bias=bias, batch_first=True, bidirectional=bidirectional)
        self.return_sequences = return_sequences
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout

    def _run(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """The outputs ``(N, T, D·H)``, zero at masked steps, and the final states ``(D, N, H)``."""
        if self.training and self.recurrent_dropout:
            owner = f"{type(self).__name__} in training"
            raise UnsupportedError(owner, "recurrent_dropout", self.recurrent_dropout, "0")
        if mask is not None:
            check_mask(x, mask)
        x = drop_features(x, self.dropout, self.training)
        if x.shape[1] == 0:
            D, H = 1 + self.lstm.bidirectional, self.lstm.hidden_size
            return x.new_zeros(x.shape[0], 0, D * H), x.new_zeros(D, x.shape[0], H)
        if mask is None:
            output, (last, _) = self.lstm(x)
            return output, last
        return walk(self.lstm, x, mask)

    def extra_repr(self) -> str:
        """The settings that differ from their defaults, for ``print``."""
        names = (
            "return_sequences",
            "reverse",
            "zero_output_for_mask",
            "merge",
            "dropout",
            "recurrent_dropout",
        )
        found = {name: getattr(self, name, False) for name in names}
        return ", ".join(f"{name}={value}" for name, value in found.items() if value or value is None)


class LSTM(_Recurrent):
    """Long short-term memory over ``(N, T, I)`` that skips masked steps, wherever they are.

    The state is carried over a masked step. Its output there repeats the previous output (zeros before
    the first valid step), or is zero with ``zero_output_for_mask``. A row without a valid step gives zeros.

    Args:
        input_size: I.
        hidden_size: H; Keras ``units``.
        bias: whether there are biases; Keras ``use_bias``. torch has two, which are added.
        reverse: walk from the last step to the first; the output stays in that order. Keras
            ``go_backwards``.
        return_sequences: give every step's output, ``(N, T, H)``, instead of the last's, ``(N, H)``.
        zero_output_for_mask: zeros at masked steps.
        dropout: share of the input features dropped in training, the same at every step.
        recurrent_dropout: share of the state dropped in training. `torch.nn.LSTM` has no such thing: the
            setting is kept, but a training step with it is refused.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        reverse: bool = False,
        return_sequences: bool = False,
        zero_output_for_mask: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            bidirectional=False,
            bias=bias,
            return_sequences=return_sequences,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
        )
        self.reverse = reverse
        self.zero_output_for_mask = zero_output_for_mask

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """``(N, T, I)`` and an optional ``(N, T)`` boolean mask to ``(N, T, H)`` or ``(N, H)``.

        Raises:
            InputError: the mask is not boolean or has another shape.
            UnsupportedError: in training, with ``recurrent_dropout``.
        """
        if self.reverse:
            x = x.flip(1)
            mask = None if mask is None else mask.flip(1)
        output, last = self._run(x, mask)
        if x.shape[1] == 0:
            mask = None
        if self.return_sequences:
            return output if mask is None or self.zero_output_for_mask else hold(output, mask)
        if mask is not None and self.zero_output_for_mask:
            return last[0].masked_fill(~mask[:, -1:], 0)
        return last[0]


class Bidirectional(_Recurrent):
    """An LSTM walked both ways over the valid steps of ``(N, T, I)``, its two halves merged.

    With ``return_sequences`` masked steps are zero; without, each half gives its final state.

    Args:
        input_size: I.
        hidden_size: H of each half.
        bias: whether there are biases.
        return_sequences: give every step's output, in time order.
        merge: ``"concat"``, ``"sum"``, ``"mul"``, ``"ave"`` (the mean) or ``None`` (two outputs); Keras
            ``merge_mode``.
        dropout: share of the input features dropped in training, the same for both halves.
        recurrent_dropout: as in `LSTM`.

    Raises:
        UnsupportedError: ``merge`` is another one.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        return_sequences: bool = False,
        merge: str | None = "concat",
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            bidirectional=True,
            bias=bias,
            return_sequences=return_sequences,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
        )
        if merge not in MERGE_MODES:
            raise UnsupportedError("Bidirectional", "merge", merge, map(repr, MERGE_MODES))
        self.merge = merge

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """``(N, T, I)`` and an optional ``(N, T)`` boolean mask to ``(N, T, O)`` or ``(N, O)``.

        O is H + H for ``"concat"``, else H; with ``merge=None`` there are two outputs.

        Raises:
            InputError: the mask is not boolean or has another shape.
            UnsupportedError: in training, with ``recurrent_dropout``.
        """
        output, last = self._run(x, mask)
        if not self.return_sequences:
            return _merged(last[0], last[1], self.merge)
        if self.merge == "concat":
            return output
        one, two = output.chunk(2, dim=-1)
        return _merged(one, two, self.merge)


def _merged(one: Tensor, two: Tensor, merge: str | None) -> Tensor | tuple[Tensor, Tensor]:
    match merge:
        case "concat":
            return torch.cat([one, two], dim=-1)
        case "sum":
            return one + two
        case "mul":
            return one * two
        case "ave":
            return (one + two) / 2
        case _:
            return one, two
