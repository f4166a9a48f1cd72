"""Pooling with Keras' rules for masks and for padding."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from torch_side.layers.masks import check_mask
from torch_side.layers.windows import each, pad, widths_of


class GlobalAveragePooling1D(nn.Module):
    """The mean over the valid steps; NaN for a row without any, as in Keras.

    Args:
        keepdims: give ``(N, 1, I)``.
    """

    def __init__(self, keepdims: bool = False) -> None:
        super().__init__()
        self.keepdims = keepdims

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """``(N, T, I)`` and an optional ``(N, T)`` boolean mask to ``(N, I)``.

        Raises:
            LayerInputError: the mask is not boolean or has another shape.
        """
        if mask is None:
            return x.mean(dim=1, keepdim=self.keepdims)
        check_mask(x, mask)
        valid = mask.unsqueeze(-1)
        # The padding may hold anything, NaN included, so it is replaced, not multiplied by zero.
        total = x.masked_fill(~valid, 0).sum(dim=1, keepdim=self.keepdims)
        return total / valid.sum(dim=1, keepdim=self.keepdims).to(x.dtype)


class MaxPooling1D(nn.MaxPool1d):
    """`torch.nn.MaxPool1d` with Keras' padding ``"same"``: ⌈T / stride⌉ windows, whatever T is."""

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
    ) -> None:
        super().__init__(kernel_size, stride)  # type: ignore[arg-type]
        self.window = each(kernel_size, 1)
        self.step = each(kernel_size if stride is None else stride, 1)

    def forward(self, input: Tensor) -> Tensor:
        """``(N, I, T)`` to ``(N, I, T')``."""
        x = pad(input, self.window, self.step, "same", -float("inf"))
        return functional.max_pool1d(x, self.window, self.step)


class MaxPooling2D(nn.MaxPool2d):
    """`torch.nn.MaxPool2d` with Keras' padding ``"same"``: ⌈H / stride⌉ rows, whatever H and W are."""

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
    ) -> None:
        super().__init__(kernel_size, stride)  # type: ignore[arg-type]
        self.window = each(kernel_size, 2)
        self.step = each(kernel_size if stride is None else stride, 2)

    def forward(self, input: Tensor) -> Tensor:
        """``(N, I, H, W)`` to ``(N, I, H', W')``."""
        x = pad(input, self.window, self.step, "same", -float("inf"))
        return functional.max_pool2d(x, self.window, self.step)


class MaxPooling3D(nn.MaxPool3d):
    """`torch.nn.MaxPool3d` with Keras' padding ``"same"``: ⌈D / stride⌉ planes, whatever D, H and W are."""

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
    ) -> None:
        super().__init__(kernel_size, stride)  # type: ignore[arg-type]
        self.window = each(kernel_size, 3)
        self.step = each(kernel_size if stride is None else stride, 3)

    def forward(self, input: Tensor) -> Tensor:
        """``(N, I, D, H, W)`` to ``(N, I, D', H', W')``."""
        x = pad(input, self.window, self.step, "same", -float("inf"))
        return functional.max_pool3d(x, self.window, self.step)


class AveragePooling1D(nn.AvgPool1d):
    """`torch.nn.AvgPool1d` that counts no padding, whatever T is.

    Args:
        kernel_size: of the windows.
        stride: from one window to the next; ``None`` for the size of a window.
        padding: Keras' ``"same"``: ⌈T / stride⌉ windows; or how much before and behind each axis.
    """

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        *,
        padding: str | Sequence[Sequence[int]] = "same",
    ) -> None:
        super().__init__(kernel_size, stride)  # type: ignore[arg-type]
        self.window = each(kernel_size, 1)
        self.step = each(kernel_size if stride is None else stride, 1)
        self.keras_padding = padding
        self.widths = widths_of(padding)

    def forward(self, input: Tensor) -> Tensor:
        """``(N, I, T)`` to ``(N, I, T')``."""
        x, counted = self.padded(input), self.padded(torch.ones_like(input[:1, :1]))
        total = functional.avg_pool1d(x, self.window, self.step)
        return total / functional.avg_pool1d(counted, self.window, self.step)

    def padded(self, x: Tensor) -> Tensor:
        """Zeros around ``x``."""
        if self.widths is not None:
            return functional.pad(x, self.widths)
        return pad(x, self.window, self.step, "same")

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"{super().extra_repr()}, keras_padding={self.keras_padding}"


class AveragePooling2D(nn.AvgPool2d):
    """`torch.nn.AvgPool2d` that counts no padding, whatever H and W are.

    Args:
        kernel_size: of the windows.
        stride: from one window to the next; ``None`` for the size of a window.
        padding: Keras' ``"same"``: ⌈H / stride⌉ rows; or how much before and behind each axis.
    """

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        *,
        padding: str | Sequence[Sequence[int]] = "same",
    ) -> None:
        super().__init__(kernel_size, stride)  # type: ignore[arg-type]
        self.window = each(kernel_size, 2)
        self.step = each(kernel_size if stride is None else stride, 2)
        self.keras_padding = padding
        self.widths = widths_of(padding)

    def forward(self, input: Tensor) -> Tensor:
        """``(N, I, H, W)`` to ``(N, I, H', W')``."""
        x, counted = self.padded(input), self.padded(torch.ones_like(input[:1, :1]))
        total = functional.avg_pool2d(x, self.window, self.step)
        return total / functional.avg_pool2d(counted, self.window, self.step)

    def padded(self, x: Tensor) -> Tensor:
        """Zeros around ``x``."""
        if self.widths is not None:
            return functional.pad(x, self.widths)
        return pad(x, self.window, self.step, "same")

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"{super().extra_repr()}, keras_padding={self.keras_padding}"


class AveragePooling3D(nn.AvgPool3d):
    """`torch.nn.AvgPool3d` that counts no padding, whatever D, H and W are.

    Args:
        kernel_size: of the windows.
        stride: from one window to the next; ``None`` for the size of a window.
        padding: Keras' ``"same"``: ⌈D / stride⌉ planes; or how much before and behind each axis.
    """

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        *,
        padding: str | Sequence[Sequence[int]] = "same",
    ) -> None:
        super().__init__(kernel_size, stride)  # type: ignore[arg-type]
        self.window = each(kernel_size, 3)
        self.step = each(kernel_size if stride is None else stride, 3)
        self.keras_padding = padding
        self.widths = widths_of(padding)

    def forward(self, input: Tensor) -> Tensor:
        """``(N, I, D, H, W)`` to ``(N, I, D', H', W')``."""
        x, counted = self.padded(input), self.padded(torch.ones_like(input[:1, :1]))
        total = functional.avg_pool3d(x, self.window, self.step)
        return total / functional.avg_pool3d(counted, self.window, self.step)

    def padded(self, x: Tensor) -> Tensor:
        """Zeros around ``x``."""
        if self.widths is not None:
            return functional.pad(x, self.widths)
        return pad(x, self.window, self.step, "same")

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"{super().extra_repr()}, keras_padding={self.keras_padding}"
