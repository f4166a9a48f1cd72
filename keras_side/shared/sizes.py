"""Sizes along time, of convolutions and pools, as Keras writes them."""

from __future__ import annotations

from biport.config import Config
from biport.errors import FileError


def take_size(config: Config, key: str, default: int | None = None) -> int:
    """A setting that Keras writes as a list of one integer, or as the integer.

    Raises:
        FileError: it is something else.
    """
    value = config.take(key, (int, list, tuple), *(() if default is None else (default,)))
    sizes = [value] if isinstance(value, int) else list(value)
    if len(sizes) == 1 and isinstance(sizes[0], int) and not isinstance(sizes[0], bool):
        return sizes[0]
    raise FileError(f"{config.owner}: the setting {key!r} should be one integer, found {value!r}")
