"""`torch.nn.Module` -> Graph."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any

from torch import nn

import torch_side.ops
import torch_side.reading.aten
from biport.file_kind import foreign
from biport.graph import Graph
from biport.registry import discover
from torch_side.reading.source import read_source

discover(torch_side.ops)
discover(torch_side.reading.aten)


def read(module: nn.Module, example: Any = None, *, lengths: str | Sequence[str] | None = None) -> Graph:
    """Read a module as it computes in eval mode; the module is left as it is, bit for bit.

    Any module is read that `torch.export` can trace; recurrent layers, packed sequences and the layers of
    `torch_side.layers` are read whole. Which sizes vary is seen from the trace. A node's name is the
    submodule's path. Afterwards the graph is compared with the module, at the example and at two other
    sizes; a difference raises. What had to be fixed or left out is warned of, and said in ``origin["notes"]``.

    Args:
        module: on any device, in any mode.
        example: a tensor, a tuple of the positional arguments or a mapping of named ones, the last part of
            a tuple too; each a tensor, an array, a `biport.graph.Value`, a packed sequence, or lists, tuples
            and mappings of these. A module that `torch_side.write` gave knows its own, and so does one that
            has them as ``input_values``; of others it is guessed from their layers, where it can be.
        lengths: the inputs that are lengths of rows, where neither packing nor their names say so.

    Raises:
        UnsupportedModelError: all that is not supported, by submodule and line of ``forward``.
        UnsupportedError: torch.export cannot trace the module, or what it gives computes something else.
        WeightError: weights hold NaN or infinite numbers.
        GraphError: layers do not suit each other.
        InputError: the module does not take the example, or none could be guessed.
        FileError: ``module`` is the path of a file; the message says what that is and what takes it.
    """
    if isinstance(module, str | os.PathLike):
        raise foreign(module, "a live torch.nn.Module")
    graph = read_source(module, example, lengths)
    if notes := graph.origin.get("notes"):
        warnings.warn(f"{type(module).__name__}: {notes}", stacklevel=2)
    return graph
