"""Padding for windows over time, as TensorFlow pads."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from torch_side.layers.errors import LayerInputError


def pad(x: Tensor, span: int, stride: int, padding: str, value: float = 0.0) -> Tensor:
    """``(N, I, T)`` with steps of ``value`` in front of and behind it, for windows of ``span`` steps.

    ``"same"`` makes room for ⌈T / stride⌉ windows, with one step more behind than in front where the number
    is odd; ``"causal"`` puts all in front.

    Raises:
        LayerInputError: T = 0.
    """
    T = x.shape[-1]
    if T == 0:
        raise LayerInputError("a window over no time steps (T = 0) is not defined")
    if padding == "causal":
        return functional.pad(x, (span - 1, 0), value=value)
    total = max((-(-T // stride) - 1) * stride + span - T, 0)
    return functional.pad(x, (total // 2, total - total // 2), value=value)
