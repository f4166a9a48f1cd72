"""`torch.nn.Module` -> Graph."""

from __future__ import annotations

import os
from collections.abc import Sequence

from torch import nn

import torch_side.ops
import torch_side.reading.idioms
from biport.file_kind import foreign
from biport.graph import Graph, Value
from biport.registry import discover
from torch_side.reading.module_reader import read_module

discover(torch_side.ops)
discover(torch_side.reading.idioms)


def read(module: nn.Module, inputs: Sequence[Value] | None = None) -> Graph:
    """Read a module as it computes in eval mode; the module is left as it is.

    Read are the modules `torch_side.write` gives, `torch_side.models`, and modules made of `nn.Embedding`,
    `nn.LSTM` (``batch_first=True``), `nn.Linear` with an activation after it, dropout, `torch.cat`,
    ``ids != 0`` and pooling over time. A node's name is the submodule's path.

    Args:
        module: on any device, in any mode.
        inputs: name, shape and dtype of each argument of ``forward``, in order. A written module knows its
            own, and so does one that has them as ``input_values``; else ids of an embedding are taken as
            ``(N, T)`` int64, the input of an LSTM as ``(N, T, I)``, and a mask as ``(N, T)`` bool.

    Raises:
        UnsupportedModelError: all that is not supported, by submodule path or fx node.
        WeightError: weights hold NaN or infinite numbers.
        GraphError: layers do not suit each other.
        FileError: ``module`` is the path of a file; the message says what that is and what takes it.
    """
    if isinstance(module, str | os.PathLike):
        raise foreign(module, "a live torch.nn.Module")
    return read_module(module, inputs)[0]
