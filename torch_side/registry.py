"""Which function writes, reads and stores the weights of which op."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from biport.ops import Op
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

ReadFunction = Callable[[Any, fx.Node], Any]
"""``(reader, fx node) -> bound``, with a `torch_side.reading.fx_reader.FxReader` and its `Bound`."""


@dataclass(frozen=True)
class Call:
    """A function, or the name of a tensor method, as the key of a read function."""

    target: object

    def __str__(self) -> str:
        if isinstance(self.target, str):
            return f"Tensor.{self.target}"
        module = getattr(self.target, "__module__", None) or "torch"
        return f"{module.lstrip('_')}.{getattr(self.target, '__name__', self.target)}"


WRITERS: Registry[type[Op], WriteFunction] = Registry("op in torch")
STATES: Registry[type[Op], Callable[[Any], StateDict]] = Registry("op with weights in torch")
READERS: Registry[type[nn.Module] | Call, ReadFunction] = Registry("operation")

writes = WRITERS.register
states = STATES.register


def reads(*targets: type[nn.Module] | Callable | str) -> Callable[[ReadFunction], ReadFunction]:
    """Decorate the function that reads these module classes, functions, and methods given by name.

    Raises:
        ValueError: one of them has a function already.
    """
    keys = [target if _is_module(target) else Call(target) for target in targets]
    return READERS.register(*keys)  # type: ignore[arg-type]


def _is_module(target: object) -> bool:
    return isinstance(target, type) and issubclass(target, nn.Module)


def tensors(state: StateDict) -> dict[str, torch.Tensor]:
    """Copies of the arrays as tensors, row by row in memory: an `nn.LSTM` is a seventh slower otherwise."""
    # Not np.ascontiguousarray, which makes a vector of a scalar.
    return {name: torch.tensor(np.asarray(array, order="C")) for name, array in state.items()}
