"""The mappings that a configuration is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any


def parts(
    data: Any, enters: Callable[[Mapping[str, Any]], bool] = lambda _: True
) -> Iterator[Mapping[str, Any]]:
    """Every mapping in a configuration once, however often it stands there.

    In files of old the directions of a Bidirectional are one and the same, so that what is inside of many has
    as many places as two has powers.

    Args:
        data: plain data.
        enters: whether to look inside a mapping, which is given itself if so.

    Example:
        >>> inner = {"units": 3}
        >>> list(parts({"layer": inner, "backward_layer": inner}))[1:]
        [{'units': 3}]
    """
    seen: set[int] = set()
    waiting = [data]
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        if isinstance(item, list):
            seen.add(id(item))
            waiting += item
        elif isinstance(item, Mapping):
            seen.add(id(item))
            if enters(item):
                yield item
                waiting += item.values()
