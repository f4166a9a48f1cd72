"""Windows over the axes of a tensor, as torch's own layers pad for them."""

from __future__ import annotations

from collections.abc import Sequence

from biport.ops.windows import Padding, Pairs


def known_widths(
    padding: Padding, sizes: Sequence[int | None], spans: Sequence[int], strides: Sequence[int]
) -> Pairs | None:
    """How much is padded before and behind each axis; ``None`` where that depends on sizes that vary.

    And where all of it is before, ``"causal"``: that is a layer of its own.

    Args:
        padding: of the op.
        sizes: of the axes; ``None`` for one that varies.
        spans: how far a window reaches along each.
        strides: from one window to the next.

    Example:
        >>> known_widths("same", (8, 8), (3, 2), (2, 1)), known_widths("same", (None,), (3,), (2,))
        (((0, 1), (0, 1)), None)
    """
    if isinstance(padding, tuple):
        return padding
    if padding == "valid":
        return ((0, 0),) * len(spans)
    totals = [_total(*along) for along in zip(sizes, spans, strides, strict=True)]
    known = [(total // 2, total - total // 2) for total in totals if total is not None]
    return tuple(known) if padding == "same" and len(known) == len(totals) else None


def _total(size: int | None, span: int, stride: int) -> int | None:
    """How much ``"same"`` pads along an axis."""
    if stride == 1 or span == 1:
        return span - 1
    return None if size is None else max((-(-size // stride) - 1) * stride + span - size, 0)


def torch_widths(pairs: Pairs) -> tuple[int, ...]:
    """As `torch.nn.functional.pad` takes them, the last axis first."""
    return tuple(width for pair in reversed(pairs) for width in pair)
