"""LSTMs that convolve where others multiply, as a loop over the steps.

The convolution of the inputs takes all steps at once; in the loop is that of the state alone. Both give the
four gates side by side, in torch's order: i, f, g, o. Masked steps are skipped, as in `MaskedLSTM`.

Dropout is Keras': what is dropped is the same at every step, and each gate loses inputs and states of its own
(``call`` in ``keras/src/layers/rnn/conv_lstm.py``).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from torch_side.layers.convolution import Conv1d, Conv2d, Conv3d
from torch_side.layers.looped import check_states, outputs_of, over_features
from torch_side.layers.masks import check_mask
from torch_side.layers.windows import each


class _ConvLSTM(nn.Module):
    """What the layers share, whatever they convolve over.

    Args:
        in_channels: I.
        hidden_channels: H.
        kernel_size: of both convolutions.
        stride: of that of the inputs; that of the state has 1.
        padding: of that of the inputs, ``"valid"`` or ``"same"``, as Keras pads; that of the state has
            ``"same"``.
        dilation: of that of the inputs; that of the state has 1.
        bias: whether there is one.
        activation: of the candidate and of the cell state on its way out; by default tanh.
        recurrent_activation: of the gates i, f and o; by default a sigmoid.
        dropout: share of the inputs dropped in training.
        recurrent_dropout: share of the states dropped in training.
        zero_output_for_mask: as in `MaskedLSTM`.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: str = "valid",
        dilation: int | tuple[int, ...] = 1,
        bias: bool = True,
        activation: nn.Module | None = None,
        recurrent_activation: nn.Module | None = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        zero_output_for_mask: bool = True,
    ) -> None:
        super().__init__()
        # Torch warns of "same" where one end needs more than the other.
        odd = all(size % 2 for size in each(kernel_size, 1))
        unstrided = set(each(stride, 1)) == {1}
        self.input_conv = self.convolution(
            padding == "same" and not (odd and unstrided),
            *(in_channels, 4 * hidden_channels, kernel_size),
            stride=stride,
            dilation=dilation,
            bias=bias,
            padding=padding,
        )
        self.hidden_conv = self.convolution(
            not odd,
            *(hidden_channels, 4 * hidden_channels, kernel_size),
            bias=False,
            padding="same",
        )
        self.hidden_channels = hidden_channels
        self.padding = padding
        self.activation = activation or nn.Tanh()
        self.recurrent_activation = recurrent_activation or nn.Sigmoid()
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout
        self.zero_output_for_mask = zero_output_for_mask

    def convolution(self, own: bool, *sizes: Any, **settings: Any) -> nn.Module:
        """A convolution, ``own`` where torch has none that pads like that."""
        raise NotImplementedError

    def forward(
        self,
        input: Tensor,
        hx: tuple[Tensor, Tensor] | None = None,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """``(N, T, I, *S)`` to the outputs, ``(N, T, H, *S')``, and the final states, ``(N, H, *S')`` each.

        Args:
            input: the sequence; T is 1 or more.
            hx: the initial states, ``(N, H, *S')`` each; by default zeros.
            mask: which steps are valid, ``(N, T)`` booleans; by default all.

        Raises:
            LayerInputError: the mask or the states do not go with the input.
        """
        if mask is not None:
            check_mask(input, mask)
            # Zeros instead of whatever the padding holds: NaN would reach the gradients of the weights.
            input = input.masked_fill(over_features(~mask, input), 0.0)
        gates = self.input_gates(input)
        zeros = torch.zeros_like(gates[:, 0].chunk(4, dim=1)[0])
        h, c = (zeros, zeros) if hx is None else hx
        check_states([h, c], [zeros, zeros])
        kept = self.recurrent_kept(zeros)
        steps: list[Tensor] = []
        for t in range(input.shape[1]):
            i, f, g, o = (gates[:, t] + self.hidden_gates(h, kept)).chunk(4, dim=1)
            new_c = self.recurrent_activation(f) * c + self.recurrent_activation(
                i
            ) * self.activation(g)
            new_h = self.recurrent_activation(o) * self.activation(new_c)
            if mask is not None:
                valid = over_features(mask[:, t], h)
                new_h = torch.where(valid, new_h, h)
                new_c = torch.where(valid, new_c, c)
            h, c = new_h, new_c
            steps.append(h)
        if mask is None:
            return torch.stack(steps, dim=1), (h, c)
        return outputs_of(steps, mask, self.zero_output_for_mask), (h, c)

    def input_gates(self, x: Tensor) -> Tensor:
        """What is made of the inputs of all steps: ``(N, T, I, *S)`` to ``(N, T, 4H, *S')``."""
        N, T = x.shape[0], x.shape[1]
        if not self.training or self.dropout == 0.0:
            return self.input_conv(x.flatten(0, 1)).unflatten(0, [N, T])
        parts: list[Tensor] = []
        for gate in range(4):
            kept = functional.dropout(torch.ones_like(x[:, :1]), self.dropout)
            every = self.input_conv((x * kept).flatten(0, 1))
            parts.append(every.chunk(4, dim=1)[gate])
        return torch.cat(parts, dim=1).unflatten(0, [N, T])

    def hidden_gates(self, h: Tensor, kept: list[Tensor]) -> Tensor:
        """What is made of the state, ``(N, H, *S')`` to ``(N, 4H, *S')``, where each gate sees its part."""
        if len(kept) == 0:
            return self.hidden_conv(h)
        parts: list[Tensor] = []
        for gate in range(4):
            every = self.hidden_conv(h * kept[gate])
            parts.append(every.chunk(4, dim=1)[gate])
        return torch.cat(parts, dim=1)

    def recurrent_kept(self, h: Tensor) -> list[Tensor]:
        """For each gate what of the state it sees; nothing where that is all."""
        if not self.training or self.recurrent_dropout == 0.0:
            return []
        return [
            functional.dropout(torch.ones_like(h), self.recurrent_dropout)
            for _ in range(4)
        ]

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        dropped = f"dropout={self.dropout}, recurrent_dropout={self.recurrent_dropout}"
        zero = "" if self.zero_output_for_mask else ", zero_output_for_mask=False"
        return dropped + zero


class ConvLSTM1d(_ConvLSTM):
    """A convolutional LSTM over sequences of rows, ``(N, T, I, S)``: Keras' ConvLSTM1D."""

    def convolution(self, own: bool, *sizes: Any, **settings: Any) -> nn.Module:
        """See `_ConvLSTM`."""
        return (Conv1d if own else nn.Conv1d)(*sizes, **settings)


class ConvLSTM2d(_ConvLSTM):
    """A convolutional LSTM over sequences of images, ``(N, T, I, H, W)``: Keras' ConvLSTM2D."""

    def convolution(self, own: bool, *sizes: Any, **settings: Any) -> nn.Module:
        """See `_ConvLSTM`."""
        if not own:
            return nn.Conv2d(*sizes, **settings)
        settings.pop("padding")
        return Conv2d(*sizes, **settings)


class ConvLSTM3d(_ConvLSTM):
    """A convolutional LSTM over sequences of volumes, ``(N, T, I, D, H, W)``: Keras' ConvLSTM3D."""

    def convolution(self, own: bool, *sizes: Any, **settings: Any) -> nn.Module:
        """See `_ConvLSTM`."""
        if not own:
            return nn.Conv3d(*sizes, **settings)
        settings.pop("padding")
        return Conv3d(*sizes, **settings)
