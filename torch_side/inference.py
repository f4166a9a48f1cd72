"""How a module runs at inference: in eval mode, in full precision, in float64, where it is."""

from __future__ import annotations

import contextlib
import copy
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from biport.errors import InputError
from biport.weight_files import LARGE
from torch_side.layers.errors import LayerInputError


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[nn.Module]:
    """``module`` in eval mode, see `without_fast_path`; on leaving, every submodule's own mode is back."""
    modes = {part: part.training for part in module.modules()}
    for part in modes:
        part.training = False
    try:
        with without_fast_path():
            yield module
    finally:
        for part, mode in modes.items():
            part.training = mode


@contextlib.contextmanager
def without_fast_path() -> Iterator[None]:
    """Meanwhile attention is computed in the one way that does not depend on what else is going on.

    `nn.TransformerEncoder` has another one, taken without gradients and where all padding is behind the end:
    that gives zeros at padded steps, and this one numbers, as in training and in what is exported.

    Source: torch/nn/modules/transformer.py of 2.13, ``TransformerEncoder.forward``.
    """
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


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
    """
    try:
        yield
    except LayerInputError as error:
        raise InputError(str(error)) from error
    except IndexError as error:
        if "index out of range" not in str(error):
            raise
        # What torch says of ids that an embedding has no row for.
        raise InputError(f"ids outside of a table: {error}") from error
    except RuntimeError as error:
        if "is invalid for input of size" not in str(error):
            raise
        raise InputError(f"rows that do not go into a shape: {error}") from error


LOOKUPS = (functional.embedding, torch.embedding, torch.ops.aten.embedding.default)
"""What gives rows of a table as they are."""
OUTSIDE = (
    *(getattr(Tensor, name).__get__ for name in ("device", "dtype", "shape", "ndim")),
    *(Tensor.size, Tensor.dim, Tensor.new_zeros),
)
"""What looks at no number of a tensor."""


def is_table(tensor: Tensor) -> bool:
    """Whether a tensor stays as it is among others that are cast to float64, see `Tables`."""
    return tensor.dtype is torch.float32 and tensor.numel() * tensor.element_size() >= LARGE


class Tables:
    """The large tensors of a module that runs in float64: the rows that are looked up are cast, not the rest.

    Each is cast, once, as soon as anything else is done with it. Nobody can tell the difference.

    Args:
        tensors: what the module runs with.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self._tables = {id(tensor): tensor for tensor in tensors if is_table(tensor)}
        self._cast: dict[int, Tensor] = {}

    def looked_up(self, function: Callable, args: Sequence[Any], options: Mapping[str, Any]) -> bool:
        """Whether a call looks up rows of one of them that is as it was, and does not write into it."""
        if not self._tables or function not in LOOKUPS:
            return False
        given = {id(one) for one in (*args, *options.values())}
        max_norm = args[3] if len(args) > 3 else options.get("max_norm")
        written = function is functional.embedding and max_norm is not None
        return not written and not given.isdisjoint(self._tables.keys() - self._cast.keys())

    def given_to(self, function: Callable, arguments: Any) -> Any:
        """The arguments of a call with those of them that are tables in float64."""
        if not self._tables:
            return arguments
        outside = function in OUTSIDE
        return pytree.tree_map_only(Tensor, lambda tensor: self._wide(tensor, outside), arguments)

    def now(self, tensor: Tensor) -> Tensor:
        """What there is in place of a tensor."""
        return self._cast.get(id(tensor), tensor)

    def _wide(self, tensor: Tensor, outside: bool) -> Tensor:
        key = id(tensor)
        if key in self._tables and key not in self._cast:
            if outside:
                return tensor.new_empty((), dtype=torch.float64).expand(tensor.shape)
            self._cast[key] = tensor.double()
        return self.now(tensor)


@contextlib.contextmanager
def in_float64(state: dict[str, Tensor] | None = None) -> Iterator[None]:
    """What names float32, or no dtype at all, computes in float64.

    Args:
        state: what the module that is called runs with, see `Tables`; in the end it has those that were cast.
    """
    state = {} if state is None else state
    tables, before = Tables(state.values()), torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with _AllFloat64(tables):
            yield
    finally:
        torch.set_default_dtype(before)
        state |= {name: tables.now(tensor) for name, tensor in state.items()}


class _AllFloat64(TorchFunctionMode):
    """Computes in float64 where a module names float32.

    biport's own layers name it where Keras rounds to it, and stay as they are.
    """

    def __init__(self, tables: Tables) -> None:
        super().__init__()
        self._tables = tables

    def __torch_function__(
        self,
        function: Callable,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if self._tables.looked_up(function, args, kwargs or {}):
            return function(*args, **(kwargs or {})).double()
        args, options = self._tables.given_to(function, (args, kwargs or {}))
        if sys._getframe(1).f_globals.get("__name__", "").startswith("torch_side.layers."):
            return function(*args, **options)
        function = torch.Tensor.double if function is torch.Tensor.float else function
        return function(*map(_widened, args), **{key: _widened(value) for key, value in options.items()})


def _widened(argument: Any) -> Any:
    return torch.float64 if argument is torch.float32 else argument


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


def copied(module: nn.Module) -> nn.Module:
    """A copy, also of a module that keeps on itself what it computed, which torch does not copy."""
    computed = {
        id(tensor): tensor.detach().clone()
        for part in module.modules()
        for tensor in pytree.tree_leaves(_kept(part))
        if isinstance(tensor, torch.Tensor) and not tensor.is_leaf
    }
    return copy.deepcopy(module, computed)


def double(module: nn.Module) -> nn.Module:
    """A copy in float64, also of tensors that are neither parameters nor buffers."""
    wide = copied(module).double()
    for part in wide.modules():
        for name, value in _kept(part).items():
            setattr(part, name, pytree.tree_map_only(torch.Tensor, _wide, value))
    return wide


def _kept(part: nn.Module) -> dict[str, Any]:
    """The attributes of a module that hold tensors and are none of torch's own."""
    known = ("_parameters", "_buffers", "_modules", "_flat_weights")
    return {
        name: value
        for name, value in vars(part).items()
        if name not in known and any(isinstance(leaf, torch.Tensor) for leaf in pytree.tree_leaves(value))
    }


def _wide(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.double() if tensor.dtype is torch.float32 else tensor
