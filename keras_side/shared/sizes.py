"""Settings with a number for each axis, of convolutions, pools and paddings, as Keras writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from biport.config import Config
from biport.errors import FileError, shown
from biport.ops.windows import Pairs


def take_sizes(config: Config, key: str, count: int, default: int | None = None) -> tuple[int, ...]:
    """A setting that Keras writes as a list of one integer for each axis, or as one for all of them.

    Raises:
        FileError: it is something else.
    """
    value = config.take(key, (int, list, tuple), *(() if default is None else (default,)))
    sizes = [value] * count if isinstance(value, int) else list(value)
    if len(sizes) == count and all(map(_whole, sizes)):
        return tuple(sizes)
    wanted = "one integer" if count == 1 else f"{count} integers"
    raise FileError(f"{config.owner}: the setting {key!r} should be {wanted}, found {shown(value)}")


def take_pairs(config: Config, key: str, count: int) -> Pairs:
    """How much before and behind along each axis: of one axis two integers, else a list of pairs.

    An integer in place of a pair stands for both, and one for all axes where it is alone, see
    keras/src/layers/reshaping/zero_padding2d.py.

    Raises:
        FileError: it is something else.
    """
    value = config.take(key, (int, list, tuple))
    given: Any = [value] * count if isinstance(value, int) else value
    if count == 1 and len(given) == 2:
        given = [given]
    pairs = [[part, part] if _whole(part) else part for part in given]
    if len(pairs) == count and all(map(_is_pair, pairs)):
        return tuple((pair[0], pair[1]) for pair in pairs)
    wanted = "two integers" if count == 1 else f"{count} pairs of integers"
    raise FileError(f"{config.owner}: the setting {key!r} should be {wanted}, found {shown(value)}")


def written_sizes(sizes: Sequence[int]) -> int | list[int]:
    """A setting as a person writes it: one integer where all axes have the same."""
    return sizes[0] if len(set(sizes)) == 1 else list(sizes)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_pair(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(map(_whole, value))
