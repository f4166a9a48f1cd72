"""Which function writes, reads and holds the weights of which op."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import fx, nn

from biport.ops import Op
from biport.registry import Registry

if TYPE_CHECKING:
    from torch_side.reader import Bound, Reader
    from torch_side.writer import Writer

State = Mapping[str, np.ndarray]
"""The state_dict of the module that stands for an op, as numpy arrays."""

WriteFunction = Callable[[Any, "Writer", list[fx.Node], list[fx.Node | None]], tuple[fx.Node, ...]]
"""``(op, writer, inputs, masks) -> outputs``."""

ReadFunction = Callable[["Reader", fx.Node], "Bound"]
"""``(reader, fx node) -> what the node gives``."""


@dataclass(frozen=True)
class Call:
    """A function, or the name of a tensor method, as the key of a reader."""

    target: object

    def __str__(self) -> str:
        if isinstance(self.target, str):
            return f"Tensor.{self.target}"
        module = getattr(self.target, "__module__", None) or "torch"
        return f"{module.lstrip('_')}.{getattr(self.target, '__name__', self.target)}"


WRITERS: Registry[type[Op], WriteFunction] = Registry("op in torch")
STATES: Registry[type[Op], Callable[[Any], State]] = Registry("op with weights in torch")
READERS: Registry[type[nn.Module] | Call, ReadFunction] = Registry("operation")

writes = WRITERS.register
states = STATES.register


def reads(*targets: type[nn.Module] | Callable | str) -> Callable[[ReadFunction], ReadFunction]:
    """Decorate the function that reads these module classes, functions, and methods given by name."""
    keys = [target if _is_module(target) else Call(target) for target in targets]
    return READERS.register(*keys)  # type: ignore[arg-type]


def _is_module(target: object) -> bool:
    return isinstance(target, type) and issubclass(target, nn.Module)


def tensors(state: State) -> dict[str, torch.Tensor]:
    """Copies of the arrays as tensors, row by row in memory: an `nn.LSTM` is a seventh slower otherwise."""
    # Not np.ascontiguousarray, which makes a vector of a scalar.
    return {name: torch.tensor(np.asarray(array, order="C")) for name, array in state.items()}
