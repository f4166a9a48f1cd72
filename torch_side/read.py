"""`torch.nn.Module` -> Graph."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.export import ExportedProgram

import torch_side.ops
import torch_side.reading.aten
from biport.errors import InputError
from biport.graph import Graph, Value
from biport.log import logged
from biport.registry import discover
from torch_side.reading.exported import open_program
from torch_side.reading.source import read_source

discover(torch_side.ops)
discover(torch_side.reading.aten)


@logged("torch_side.read")
def read(
    module: nn.Module | ExportedProgram | str | os.PathLike[str],
    example: Any = None,
    *,
    lengths: str | Sequence[str] | None = None,
    inputs: Sequence[Value] | None = None,
) -> Graph:
    """Read a module as it computes in eval mode; the module is left as it is, bit for bit.

    Also read are live modules of TorchScript, and programs of torch.export, live or in a file of
    `torch.export.save` (.pt2). Nothing of such a file is executed: `torch.export.load` is given a copy of it
    without pickles, code and libraries, in which every text is arithmetic or a name, and every operator one
    that biport reads; its numbers and sizes are compared with what the file has. That copy is what torch runs
    the graph beside.

    Any module is read that `torch.export` can trace; recurrent layers, packed sequences and the layers of
    `torch_side.layers` are read whole. Which sizes vary is seen from the trace. A node's name is the
    submodule's path. Afterwards the graph is compared with the module, at the example and at two other
    sizes; a difference raises. What had to be fixed or left out is warned of, and in ``origin["notes"]``.

    Args:
        module: on any device, in any mode; or a program, or its path, which know their inputs.
        example: a tensor, a tuple of the positional arguments or a mapping of named ones, the last part of
            a tuple too; each a tensor, an array, a `biport.graph.Value`, a packed sequence, or lists, tuples
            and mappings of these. A module that `torch_side.write` gave knows its own, and so does one that
            has them as ``input_values``; of others it is guessed from their layers, where it can be.
        lengths: the inputs that are lengths of rows, where neither packing nor their names say so.
        inputs: what ``example`` was called before; deprecated.

    Raises:
        UnsupportedModelError: all that is not supported, by submodule and line of ``forward``.
        UnsupportedError: torch.export cannot trace the module, or what it gives computes something else.
        WeightError: weights hold NaN or infinite numbers.
        GraphError: layers do not suit each other.
        InputError: the module does not take the example, or none could be guessed.
        FileError: ``module`` is the path of another file, a damaged or a hostile one; the message says what
            it is and what takes it.
    """
    if inputs is not None:
        warnings.warn("torch_side.read(inputs=...) is example= now", DeprecationWarning, stacklevel=3)
        example = tuple(inputs)
    if isinstance(module, str | os.PathLike):
        if example is not None or lengths is not None:
            raise InputError(f"{os.fspath(module)}: a program knows its inputs, and takes no example")
        name, graph = os.fspath(module), open_program(module).graph
    else:
        name, graph = type(module).__name__, read_source(module, example, lengths)
    if notes := graph.origin.get("notes"):
        warnings.warn(f"{name}: {notes}", stacklevel=3)
    return graph
