"""Torch's convolutions with Keras' paddings."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from torch_side.layers.windows import pad


def reach(kernel_size: tuple[int, ...], dilation: tuple[int, ...]) -> list[int]:
    """Over how many elements a kernel reaches along each axis."""
    return [
        (size - 1) * apart + 1
        for size, apart in zip(kernel_size, dilation)  # noqa: B905  (TorchScript knows no strict)
    ]


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
        kernel_size: int | tuple[int],
        *,
        padding: str,
        **settings: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, **settings)
        self.keras_padding = padding
        self.spans = reach(self.kernel_size, self.dilation)
        self.steps = list(self.stride)

    def forward(self, input: Tensor) -> Tensor:
        """``(N, I, T)`` to ``(N, O, T')``.

        Raises:
            LayerInputError: T = 0.
        """
        x = pad(input, self.spans, self.steps, self.keras_padding)
        return functional.conv1d(
            x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups
        )

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"{super().extra_repr()}, keras_padding={self.keras_padding}"


class Conv2d(nn.Conv2d):
    """`torch.nn.Conv2d` that pads as Keras' ``"same"`` does, whatever H and W are: ⌈H / stride⌉ rows.

    Args:
        in_channels: I.
        out_channels: O.
        kernel_size: K.
        settings: the other settings of `torch.nn.Conv2d`, but for the padding.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        **settings: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, **settings)
        self.spans = reach(self.kernel_size, self.dilation)
        self.steps = list(self.stride)

    def forward(self, input: Tensor) -> Tensor:
        """``(N, I, H, W)`` to ``(N, O, H', W')``.

        Raises:
            LayerInputError: H = 0 or W = 0.
        """
        x = pad(input, self.spans, self.steps, "same")
        return functional.conv2d(
            x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups
        )

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"{super().extra_repr()}, keras_padding=same"


class Conv3d(nn.Conv3d):
    """`torch.nn.Conv3d` that pads as Keras' ``"same"`` does, whatever D, H and W are.

    Args:
        in_channels: I.
        out_channels: O.
        kernel_size: K.
        settings: the other settings of `torch.nn.Conv3d`, but for the padding.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int, int],
        **settings: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, **settings)
        self.spans = reach(self.kernel_size, self.dilation)
        self.steps = list(self.stride)

    def forward(self, input: Tensor) -> Tensor:
        """``(N, I, D, H, W)`` to ``(N, O, D', H', W')``.

        Raises:
            LayerInputError: D = 0, H = 0 or W = 0.
        """
        x = pad(input, self.spans, self.steps, "same")
        return functional.conv3d(
            x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups
        )

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"{super().extra_repr()}, keras_padding=same"
