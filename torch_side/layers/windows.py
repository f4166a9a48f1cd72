"""Padding for windows, as TensorFlow pads."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from torch_side.layers.errors import LayerInputError


def pad(
    x: Tensor, spans: list[int], strides: list[int], padding: str, value: float = 0.0
) -> Tensor:
    """``(N, I, *T)`` with elements of ``value`` before and behind each axis, for windows of ``spans``.

    ``"same"`` makes room for ⌈T / stride⌉ windows, with one element more behind than before where the number
    is odd; ``"causal"`` puts all before.

    Raises:
        LayerInputError: there is no element along an axis, T = 0.
    """
    widths: list[int] = []
    for back in range(1, len(spans) + 1):
        # The last axis first.
        T, span, stride = x.shape[-back], spans[-back], strides[-back]
        if T == 0:
            raise LayerInputError(
                f"a window over nothing is not defined: axis {x.dim() - back} has size 0"
            )
        total = span - 1
        if padding == "same":
            total = max((-(-T // stride) - 1) * stride + span - T, 0)
        before = total if padding == "causal" else total // 2
        widths += [before, total - before]
    return functional.pad(x, widths, value=value)


def each(size: int | Sequence[int], count: int) -> list[int]:
    """A setting with a number for each axis."""
    return [size] * count if isinstance(size, int) else list(size)


def widths_of(padding: str | Sequence[Sequence[int]]) -> list[int] | None:
    """How much before and behind each axis as `torch.nn.functional.pad` takes it; ``None`` for a word."""
    if isinstance(padding, str):
        return None
    return [width for pair in reversed(padding) for width in pair]
