"""Run a module on numpy arrays."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn

from biport.analysis.lengths import check_steps
from biport.errors import InputError
from biport.graph import Value
from biport.inputs import check_arrays
from biport.ops import FLOATS
from torch_side.inference import (
    device_of,
    evaluating,
    first_float,
    full_precision,
    in_float64,
    layer_errors,
)
from torch_side.reading.arguments import Arguments, flatten_arguments
from torch_side.reading.flat import Flat
from torch_side.reading.snapshot import Snapshot
from torch_side.writing.ported import Ported


def run(module: nn.Module, inputs: Sequence[np.ndarray], example: Any = None) -> list[np.ndarray]:
    """The outputs of ``module`` at inference, whatever mode it is in; no gradients, no TF32.

    What a module in float64 says in so many words to be float32, such as ``mask.float()``, is float64 too.

    Args:
        module: it is left as it is.
        inputs: one array for each input of its graph, in order. Without an example these are the arguments
            of ``forward``.
        example: how ``forward`` is called, as for `torch_side.read`; the arrays take the places of its
            tensors, a padded array and the lengths of its rows that of a packed sequence.

    Returns:
        The outputs of its graph: the tensors among those of the module, however nested, in order.

    Raises:
        InputError: the inputs do not suit the module.
    """
    called = Called(module, example)
    tensors = called.tensors(inputs)
    with evaluating(module), full_precision(device_of(module)), torch.no_grad():
        return [output.cpu().numpy() for output in called(tensors)]


class Called:
    """A module that is called with a flat list of tensors, and gives one.

    Args:
        module: what is called.
        example: how, as for `run`.
    """

    def __init__(self, module: nn.Module, example: Any = None) -> None:
        self.module = module
        self._arguments = None if example is None else flatten_arguments(module, example)

    def of(self, module: nn.Module) -> Called:
        """Another module that is called likewise."""
        other = copy.copy(self)
        other.module = module
        return other

    def tensors(self, inputs: Sequence[np.ndarray]) -> list[torch.Tensor]:
        """The inputs on the module's device.

        Raises:
            InputError: they do not suit the module.
        """
        arrays = [np.asarray(array) for array in inputs]
        if self._arguments is not None:
            return _in_place_of(self._arguments, arrays, device_of(self.module))
        if isinstance(self.module, Ported):
            arrays = check_arrays(_values(self.module, arrays), self.module.id_bounds, arrays)
            check_steps(self.module.input_values, self.module.needs_steps, arrays)
        return [torch.tensor(np.asarray(array, order="C"), device=device_of(self.module)) for array in arrays]

    def __call__(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The outputs.

        Raises:
            InputError: the inputs do not suit a layer.
        """
        if self._arguments is None and isinstance(self.module, Ported):
            with layer_errors(), _precision(self.module, tensors):
                output = self.module(*tensors)
            return [*output] if isinstance(output, tuple | list) else [output]
        arguments = self._arguments or flatten_arguments(self.module, tuple(tensors))
        with layer_errors(), _precision(self.module, tensors):
            return Flat(self.module, arguments, Snapshot(self.module).restore)(*tensors)


def _in_place_of(
    arguments: Arguments, arrays: Sequence[np.ndarray], device: torch.device
) -> list[torch.Tensor]:
    """The arrays as tensors like those of the example; floats keep their dtype."""
    if len(arrays) != len(arguments.leaves):
        names = ", ".join(leaf.name for leaf in arguments.leaves)
        raise InputError(f"the module takes {len(arguments.leaves)} inputs ({names}), found {len(arrays)}")
    tensors = [torch.tensor(np.asarray(array, order="C"), device=device) for array in arrays]
    return [
        tensor if tensor.is_floating_point() else tensor.to(leaf.example.dtype)
        for tensor, leaf in zip(tensors, arguments.leaves, strict=True)
    ]


def _precision(module: nn.Module, tensors: Sequence[torch.Tensor]) -> AbstractContextManager[Any]:
    floats = [x.dtype for x in (*module.parameters(), *tensors) if x.is_floating_point()]
    return in_float64() if floats and set(floats) == {torch.float64} else nullcontext()


def _values(module: Ported, arrays: Sequence[np.ndarray]) -> list[Value]:
    """The module's inputs in its present dtype, which ``module.double()`` may have changed since writing.

    A module without parameters and buffers has no dtype: there an array in float64 keeps it.
    """
    first = first_float(module)
    own = None if first is None else str(first.dtype).removeprefix("torch.")
    values = []
    for value, array in zip(module.input_values, arrays, strict=False):
        wide = "float64" if "float64" in (value.dtype, array.dtype.name) else value.dtype
        values.append(dataclasses.replace(value, dtype=own or wide) if value.dtype in FLOATS else value)
    return [*values, *module.input_values[len(values) :]]
