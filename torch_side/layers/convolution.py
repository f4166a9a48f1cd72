"""`torch.nn.Conv1d` with Keras' paddings."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from torch_side.layers.windows import pad


class Conv1d(nn.Conv1d):
    """`torch.nn.Conv1d` that pads as Keras does, whatever T is.

    Args:
        in_channels: I.
        out_channels: O.
        kernel_size: K.
        padding: ``"same"``: ⌈T / stride⌉ steps; or ``"causal"``: zeros in front only.
        settings: the other settings of `torch.nn.Conv1d`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        padding: str,
        **settings: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, **settings)
        self.keras_padding = padding

    def forward(self, input: Tensor) -> Tensor:
        """``(N, I, T)`` to ``(N, O, T')``.

        Raises:
            LayerInputError: T = 0.
        """
        span = (self.kernel_size[0] - 1) * self.dilation[0] + 1
        padded = pad(input, span, self.stride[0], self.keras_padding)
        return self._conv_forward(padded, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"{super().extra_repr()}, keras_padding={self.keras_padding}"
