"""Which function writes, reads and stores the weights of which op."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from biport.ops import Op, Tensor
from biport.registry import Registry

StateDict = Mapping[str, np.ndarray]
"""The ``state_dict`` of the module that stands for an op, as numpy arrays."""

Inputs = list[Any]
"""The fx node of each input of the graph node being written, or a Python number for a scalar constant."""

Masks = list[fx.Node | None]
"""The fx node of each input's mask, ``None`` for no mask."""

Outputs = tuple[Any, ...]
"""The fx node of each output, or a Python number for a scalar constant."""

WriteFunction = Callable[[Any, Any, Inputs, Masks], Outputs]
"""``(op, writer, inputs, masks) -> outputs``, with a `torch_side.writing.graph_writer.GraphWriter`."""

ReadFunction = Callable[[Any], Any]
"""``call -> names of values``, with a `torch_side.reading.layer_call.LayerCall`."""

AtenFunction = Callable[[Any], Any]
"""``call -> values``, with a `torch_side.reading.aten_call.AtenCall`."""


class Channels(Enum):
    """In which order a write function takes the axes of its inputs, and gives those of its outputs."""

    LAST = "as the graph has them"
    FIRST = "the last one behind the batch, (N, I, *T)"
    ANY = "in any, the same of all inputs: it asks where an axis is"


@dataclass(frozen=True)
class Axes:
    """How a write function takes its inputs, and gives its outputs.

    Args:
        channels: in which order.
        rows: how many of the first axes are taken together as rows; ``None`` for any number, of what does the
            same to every element.
    """

    channels: Channels
    rows: int | None = 1


CHANNELS_LAST, CHANNELS_FIRST = Axes(Channels.LAST), Axes(Channels.FIRST)
ANY_ORDER, EVERY_ELEMENT = Axes(Channels.ANY), Axes(Channels.ANY, None)

AxesFunction = Callable[[Any, Sequence[Tensor]], Axes]
"""``(op, inputs) -> axes``."""

WRITERS: Registry[type[Op], WriteFunction] = Registry("op in torch")
AXES: Registry[type[Op], AxesFunction] = Registry("op with axes in another order in torch")
"""Of what is not registered the axes are as the graph has them."""
STATES: Registry[type[Op], Callable[[Any], StateDict]] = Registry("op with weights in torch")
PARTS: Registry[type[Op], Callable[[Any], Mapping[str, str]]] = Registry("op of modules of ops in torch")
"""For each part of an op, see `Op.parts`, that has tensors: where these are below the op's module."""
READERS: Registry[type[nn.Module], ReadFunction] = Registry("layer")
ATEN: Registry[str, AtenFunction] = Registry("operator of torch")
"""By the name of the overload, ``"linear.default"``."""

writes = WRITERS.register
axes_of = AXES.register
states = STATES.register
parts = PARTS.register
reads = READERS.register
reads_aten = ATEN.register


def writes_axes(axes: Axes, *kinds: type[Op]) -> Callable[[WriteFunction], WriteFunction]:
    """Register a write function, and how it takes and gives axes."""

    def register(function: WriteFunction) -> WriteFunction:
        axes_of(*kinds)(lambda op, inputs: axes)
        return writes(*kinds)(function)

    return register


def axes_taken(op: Op, inputs: Sequence[Tensor]) -> Axes:
    """How the write function of an op takes its inputs."""
    return AXES.lookup(type(op), op.kind)(op, inputs) if type(op) in AXES else CHANNELS_LAST


def aten_key(operator: Any) -> str:
    """What `ATEN` calls an overload of an operator."""
    return str(operator).removeprefix("aten.")


def is_whole(kind: type[nn.Module]) -> bool:
    """Whether layers of a class are read by `READERS` where they are called, and not traced."""
    own = kind is nn.MultiheadAttention or kind.__module__.startswith("torch_side.layers.")
    return own and kind in READERS


def tensors(state: StateDict, copied: bool = True) -> dict[str, torch.Tensor]:
    """Copies of the arrays as tensors, row by row in memory: an `nn.LSTM` is a seventh slower otherwise.

    Args:
        state: the arrays.
        copied: whether those that lie so already are copied, too; else they are not to be written to.
    """
    # Not np.ascontiguousarray, which makes a vector of a scalar.
    arrays = {name: np.asarray(array, order="C") for name, array in state.items()}
    if copied:
        return {name: torch.tensor(array) for name, array in arrays.items()}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return {name: torch.from_numpy(array) for name, array in arrays.items()}
