"""Work spread over processes: frameworks are slow to start a model and quick to run it."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def each(function: Callable[[Item], Answer], items: Sequence[Item], jobs: int) -> Iterator[Answer]:
    """``function`` of every item, in order; with ``jobs`` above 1 in that many processes.

    Args:
        function: of a module, so that other processes find it.
        items: what can be sent to other processes.
        jobs: how many processes; 1 stays in this one.
    """
    if jobs <= 1 or len(items) <= 1:
        yield from map(function, items)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(items)), context, initializer=_begin) as pool:
        try:
            yield from pool.map(function, items)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _begin() -> None:
    """Quiet frameworks, and torch before tensorflow: the other order has been seen to crash."""
    import contextlib
    import warnings

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    warnings.simplefilter("ignore")
    with contextlib.suppress(ImportError):
        import torch  # noqa: F401
