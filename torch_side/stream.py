"""Modules fed chunk by chunk."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from biport.streaming import Stream, plan_stream
from torch_side.read import read
from torch_side.run import run


def stream(
    module: nn.Module,
    example: Any = None,
    *,
    initial: Mapping[str, np.ndarray] | None = None,
    states: Mapping[str, str] | None = None,
) -> Stream:
    """A module whose states are arguments and outputs, fed chunk by chunk; it is left as it is.

    Args:
        module: of any ``forward`` that `torch_side.read` reads.
        example: how it is called, as for `torch_side.read`: with its states, ``(tokens, (h, c))``.
        initial: by the names of states what they are before the first step; others are zeros.
        states: its inputs that are states, and for each the output that is the state after the steps; by
            default they are told by what they do. The names are those of its graph.

    Raises:
        UnsupportedError: it cannot be read, or chunks make a difference, see `biport.streaming.plan_stream`.
        InputError: ``initial`` or ``states`` names what is none.

    Example:
        >>> import torch
        >>> gru = nn.GRU(3, 4, batch_first=True)
        >>> with stream(gru, (torch.zeros(2, 5, 3), torch.zeros(1, 2, 4))) as chunks:
        ...     [chunks.feed([np.ones((2, steps, 3), "float32")])[0].shape for steps in (3, 1)]
        [(2, 3, 4), (2, 1, 4)]
    """
    plan = plan_stream(read(module, example), states)
    return Stream(plan, functools.partial(run, module, example=example), initial)
