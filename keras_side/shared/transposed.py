"""What Keras' transposed convolutions cut off: the words ``padding`` and ``output_padding`` <-> numbers.

An axis is a pair here: how many elements a kernel reaches over, and the stride.

Source:
    keras/src/backend/common/backend_utils.py of 3.15, ``_get_output_shape_given_tf_padding``; what TensorFlow
    cuts off is what its convolution of that many elements pads, the smaller part of it in front.
"""

from __future__ import annotations

from collections.abc import Sequence

from biport.errors import UnsupportedError
from biport.ops.windows import Pairs

Along = Sequence[tuple[int, int]]


def cropping_of(owner: str, axes: Along, padding: str, output_padding: Sequence[int] | None) -> Pairs:
    """How much of the full result is cut off before and behind along each axis.

    Raises:
        UnsupportedError: the output paddings are those of no layer that TensorFlow computes.

    Example:
        >>> cropping_of("x", [(3, 2)], "valid", None), cropping_of("x", [(3, 2)], "same", None)
        (((0, 0),), ((0, 1),))
        >>> cropping_of("x", [(3, 2)], "same", [1]), cropping_of("x", [(2, 3)], "valid", None)
        (((0, 1),), ((0, -1),))
    """
    added = [None] * len(axes) if output_padding is None else output_padding
    for (span, stride), more in zip(axes, added, strict=True):
        if more is not None and not _is_possible(span, stride, padding, more):
            supported = "0 or more and less than strides; same, over an even number of elements, 1 or more"
            raise UnsupportedError(owner, "output_padding", list(output_padding or ()), supported)
    return tuple(
        _cropping(span, stride, padding, more) for (span, stride), more in zip(axes, added, strict=True)
    )


def in_words(axes: Along, cropping: Pairs) -> tuple[str, Sequence[int] | None] | None:
    """``padding`` and ``output_padding`` of these numbers; ``None`` where Keras has no words for them.

    Example:
        >>> in_words([(3, 2), (4, 2)], ((0, 1), (1, 1))), in_words([(3, 2)], ((1, 0),))
        (('same', None), None)
        >>> in_words([(5, 2)], ((2, 2),)), in_words([(5, 3)], ((2, 1),)), in_words([(3, 2)], ((0, -1),))
        (('same', [0]), ('same', [1]), ('valid', [1]))
    """
    for padding in ("valid", "same"):
        if tuple(_cropping(*along, padding, None) for along in axes) == tuple(cropping):
            return padding, None
    for padding in ("valid", "same"):
        known = [_output_padding(*along, padding, cut) for along, cut in zip(axes, cropping, strict=True)]
        if None not in known:
            return padding, [more for more in known if more is not None]
    return None


def _output_padding(span: int, stride: int, padding: str, cut: tuple[int, int]) -> int | None:
    """The output padding along one axis that cuts off just this."""
    choices = (more for more in range(stride) if _is_possible(span, stride, padding, more))
    return next((more for more in choices if _cropping(span, stride, padding, more) == cut), None)


def _is_possible(span: int, stride: int, padding: str, more: int) -> bool:
    """Whether Keras takes this output padding, and TensorFlow the length that it makes."""
    return 0 <= more < stride and (padding == "valid" or span % 2 + more > 0)


def _cropping(span: int, stride: int, padding: str, more: int | None) -> tuple[int, int]:
    if padding == "valid":
        return 0, min(span - stride, 0) if more is None else -more
    total = span - stride if more is None else span - span % 2 - more
    before = max(total, 0) // 2
    return before, total - before
