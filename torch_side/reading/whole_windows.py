"""Pooling as it can be traced: for `torch.export` the size of a window is a number, which may fix T."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx.experimental.symbolic_shapes import statically_known_true
from torch.overrides import TorchFunctionMode

MEANS = ("avg_pool1d", "avg_pool2d", "avg_pool3d")
LARGEST = ("max_pool1d", "max_pool2d", "max_pool3d")
"""By name: of `torch`, and of `torch.nn.functional`, whichever is asked first."""
TO_SIZES = ("adaptive_max_pool2d", "adaptive_max_pool3d")
"""Whose own shape functions fix the axes that are to stay as they are."""


class WholeWindows(TorchFunctionMode):
    """Meanwhile pooling over one window, as long as the axis is, is the mean or the maximum along it.

    And ``max_pool1d`` is the function that also gives positions, since its own shape function fixes T.

    Example:
        >>> import torch
        >>> x = torch.tensor([[[1.0, 3.0]]])
        >>> with WholeWindows():
        ...     float(torch.max_pool1d(x, 2))
        3.0
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in (*MEANS, *LARGEST) and not kwargs.get("return_indices"):
            x, axes = _whole(*args, **kwargs)
            if axes:
                return x.mean(axes, keepdim=True) if name in MEANS else x.amax(axes, keepdim=True)
            if name == "max_pool1d":
                return _largest(*args, **kwargs)
        if name in TO_SIZES and not kwargs.get("return_indices"):
            x, axes = _whole_or_left(*args, **kwargs)
            if axes:
                return x.amax(axes, keepdim=True)
        return func(*args, **kwargs)


def _whole_or_left(input: Tensor, output_size: Any, *settings: Any, **more: Any) -> tuple[Tensor, list[int]]:
    """The input and the axes of which one element is left; none where others are pooled in another way."""
    sizes = output_size if isinstance(output_size, list | tuple) else []
    axes = [axis for axis, size in enumerate(sizes, -len(sizes)) if size == 1]
    left = [size for size in sizes if size is None]
    return input, axes if left and not any(settings) and len(axes) + len(left) == len(sizes) else []


def _whole(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, *settings: Any, **more: Any
) -> tuple[Tensor, list[int]]:
    """The input and the axes along which the one window is everything; none where its size is a number."""
    sizes = list(kernel_size) if isinstance(kernel_size, list | tuple) else [kernel_size]
    varies = any(isinstance(size, torch.SymInt) for size in sizes)
    paddings = padding if isinstance(padding, list | tuple) else [padding]
    if not varies or any(paddings):
        return input, []
    axes, known = [], input.shape[-len(sizes) :]
    for axis, (size, length) in enumerate(zip(sizes, known, strict=True), -len(sizes)):
        if isinstance(size, torch.SymInt) and statically_known_true(size == length):
            axes.append(axis)
        elif not (isinstance(size, int) and size == 1 and not stride):
            return input, []
    return input, axes


def _largest(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    step = kernel_size if stride is None or stride == [] else stride
    both = torch.max_pool1d_with_indices(input, kernel_size, step, padding, dilation, ceil_mode)
    return both if return_indices else both[0]
