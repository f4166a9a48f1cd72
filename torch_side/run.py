"""Run a module on numpy arrays."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from biport.analysis.lengths import check_steps
from biport.errors import InputError, UnsupportedError
from biport.graph import Value
from biport.inputs import check_arrays
from biport.ops import FLOATS
from torch_side.layers.errors import LayerInputError, LayerSettingError
from torch_side.writing.ported import Ported


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[nn.Module]:
    """``module`` in eval mode; on leaving, every submodule's own mode is back."""
    modes = {part: part.training for part in module.modules()}
    for part in modes:
        part.training = False
    try:
        yield module
    finally:
        for part, mode in modes.items():
            part.training = mode


@contextlib.contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """No TF32 on a GPU, where it changes results by about 1e-3; what was set before is back on leaving."""
    if device.type != "cuda":
        yield
        return
    backends: tuple[Any, ...] = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = False
    try:
        yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed


@contextlib.contextmanager
def layer_errors() -> Iterator[None]:
    """What a layer of `torch_side.layers` refuses is biport's own error, in the same words.

    Raises:
        InputError: a layer cannot take its inputs.
        UnsupportedError: a layer does not have a setting.
    """
    try:
        yield
    except LayerInputError as error:
        raise InputError(str(error)) from error
    except LayerSettingError as error:
        raise UnsupportedError(error.owner, error.setting, error.value, error.supported) from error


def run(module: nn.Module, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The outputs of ``module`` at inference, whatever mode it is in; no gradients, no TF32.

    What a module in float64 says in so many words to be float32, such as ``mask.float()``, is float64 too.

    Raises:
        InputError: the inputs do not suit the module.
    """
    tensors = as_tensors(module, inputs)
    with evaluating(module), full_precision(device_of(module)), torch.no_grad():
        return [output.cpu().numpy() for output in call(module, tensors)]


class AllFloat64(TorchFunctionMode):
    """Computes in float64 where a module names float32.

    biport's own layers name it where Keras rounds to it, and stay as they are.
    """

    def __torch_function__(
        self,
        function: Callable,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = kwargs or {}
        if sys._getframe(1).f_globals.get("__name__", "").startswith("torch_side.layers."):
            return function(*args, **options)
        function = torch.Tensor.double if function is torch.Tensor.float else function
        return function(*map(_widened, args), **{key: _widened(value) for key, value in options.items()})


def _widened(argument: Any) -> Any:
    return torch.float64 if argument is torch.float32 else argument


def as_tensors(module: nn.Module, inputs: Sequence[np.ndarray]) -> list[torch.Tensor]:
    """The inputs on the module's device.

    Raises:
        InputError: they do not suit the module.
    """
    arrays = [np.asarray(array) for array in inputs]
    if isinstance(module, Ported):
        arrays = check_arrays(_values(module, arrays), module.id_bounds, arrays)
        check_steps(module.input_values, module.needs_steps, arrays)
    return [torch.tensor(np.ascontiguousarray(array), device=device_of(module)) for array in arrays]


def device_of(module: nn.Module) -> torch.device:
    """Where its parameters are, or its buffers; the CPU where it has none."""
    first = next(_arrays(module), None)
    return torch.device("cpu") if first is None else first.device


def first_float(module: nn.Module) -> torch.Tensor | None:
    """A parameter, or else a buffer, of floats, whose dtype is the module's; ``None`` where it has none."""
    return next((part for part in _arrays(module) if part.is_floating_point()), None)


def _arrays(module: nn.Module) -> Iterator[torch.Tensor]:
    yield from module.parameters()
    yield from module.buffers()


def call(module: nn.Module, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The outputs of ``module`` as a list.

    Raises:
        InputError: the inputs do not suit a layer.
        UnsupportedError: in training, a layer cannot be trained with its settings.
    """
    with layer_errors(), _precision(module, tensors):
        output = module(*tensors)
    return [*output] if isinstance(output, (tuple, list)) else [output]


def _precision(module: nn.Module, tensors: Sequence[torch.Tensor]) -> AbstractContextManager[Any]:
    floats = [x.dtype for x in (*module.parameters(), *tensors) if x.is_floating_point()]
    return AllFloat64() if floats and set(floats) == {torch.float64} else nullcontext()


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
