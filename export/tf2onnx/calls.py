"""Other calls of a live model's layers, for the time of a trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

Call = Callable[..., Any]


@contextmanager
def replaced_calls(calls: Sequence[tuple[Any, Call]]) -> Iterator[None]:
    """Within, these layers compute by these calls; afterwards they are what they were."""
    before = [(layer, vars(layer).get("call")) for layer, _ in calls]
    try:
        for layer, call in calls:
            # An attribute of the object, set past Keras, which keeps books of what a layer holds.
            object.__setattr__(layer, "call", call)
        yield
    finally:
        for layer, call in before:
            vars(layer).pop("call", None)
            if call is not None:
                object.__setattr__(layer, "call", call)
