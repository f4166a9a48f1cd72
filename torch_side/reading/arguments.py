"""The arguments of a ``forward``, however nested, as a flat list of named tensors."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils import _pytree as pytree

from biport.errors import GraphError, InputError, UnsupportedError
from biport.graph import Value
from biport.inputs import size_at
from torch_side.reading.packing import sequences

SIZES = (3, 5, 4, 6, 7, 8)
"""What the letters of described inputs are while a module is traced, in turn."""


@dataclass(frozen=True)
class Leaf:
    """An input of the model.

    Args:
        name: of the argument, with the keys or positions inside of it.
        example: what a call has there.
        value: as which it was described, if it was.
    """

    name: str
    example: Tensor
    value: Value | None = None

    @property
    def fixed(self) -> list[int]:
        """The axes whose size was described as a number."""
        shape = self.value.shape if self.value else ()
        return [axis for axis, dim in enumerate(shape) if isinstance(dim, int)]


@dataclass(frozen=True)
class Arguments:
    """How a module is called.

    Args:
        leaves: its tensors, in order.
        structure: how they make up positional and named arguments; see `call`.
        rest: what is no tensor, in order of all leaves, and where tensors go.
    """

    leaves: Sequence[Leaf]
    structure: Any
    rest: Sequence[Any]

    def call(self, module: Any, tensors: Sequence[Tensor]) -> Any:
        """Call a module with other tensors in place of the examples."""
        remaining = iter(tensors)
        args, kwargs = pytree.tree_unflatten([_filled(part, remaining) for part in self.rest], self.structure)
        return module(*args, **kwargs)


def nested_arguments(leaves: Sequence[Leaf], structure: Any, parts: Sequence[Any]) -> Arguments:
    """How a program is called whose arguments are nested like this.

    Args:
        leaves: its tensors.
        structure: the pytree of positional and named arguments.
        parts: what is at each leaf of that: a `Leaf`, or what is no tensor.
    """
    return Arguments(leaves, structure, [_Slot() if isinstance(part, Leaf) else part for part in parts])


class _Slot:
    """Where a tensor goes."""


class _PackedSlot:
    """Where a packed sequence goes, of a padded tensor and its lengths."""


class _LengthsSlot:
    """Where a list of the lengths of rows goes."""


def _filled(part: Any, remaining: Any) -> Any:
    if isinstance(part, _Slot):
        return next(remaining)
    if isinstance(part, _PackedSlot):
        x, lengths = next(remaining), next(remaining)
        return PackedSequence(x, lengths) if _traced(x) else _pack(x, lengths)
    if isinstance(part, _LengthsSlot):
        lengths = next(remaining)
        return lengths if _traced(lengths) else lengths.tolist()
    return part


def _traced(x: Tensor) -> bool:
    return type(x) is not Tensor


def _pack(x: Tensor, lengths: Tensor) -> PackedSequence:
    return nn.utils.rnn.pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)


def flatten_arguments(module: nn.Module, example: Any, factor: int = 1) -> Arguments:
    """The arguments of a call.

    Args:
        module: what is called.
        example: a tensor, a tuple of the positional arguments, a mapping of named ones, or a tuple whose last
            part is such a mapping; each argument a tensor, an array, a `Value`, a packed sequence, or lists,
            tuples and mappings of these, or a list of lengths. Others are handed on as they are.
        factor: by how much larger what is described is than it could be.

    Raises:
        InputError: ``forward`` does not take that.
    """
    args, kwargs = _args_and_kwargs(module, example)
    names = _parameter_names(module, args, kwargs)
    sizes = {name: size * factor for name, size in _letter_sizes((args, kwargs)).items()}
    flat, structure = pytree.tree_flatten_with_path((args, kwargs), is_leaf=_is_leaf)
    leaves: list[Leaf] = []
    rest: list[Any] = []
    for path, part in flat:
        name = _leaf_name(path, names)
        if isinstance(part, PackedSequence):
            x, lengths = sequences(part)
            leaves += [Leaf(name, x), Leaf(f"{name}_lengths", lengths)]
            rest.append(_PackedSlot())
        elif isinstance(part, Value):
            leaves.append(Leaf(part.name, _example_of(part, sizes), part))
            rest.append(_Slot())
        elif isinstance(part, Tensor | np.ndarray):
            leaves.append(Leaf(name, torch.as_tensor(part).detach()))
            rest.append(_Slot())
        elif _is_integers(part) and "len" in name:
            leaves.append(Leaf(name, torch.tensor(part)))
            rest.append(_LengthsSlot())
        else:
            rest.append(part)
    if not leaves:
        raise InputError("the example has no tensor: nothing says what the module computes with")
    return Arguments(_distinct(leaves), structure, rest)


def _is_leaf(part: Any) -> bool:
    return isinstance(part, Value | PackedSequence) or _is_integers(part)


def _is_integers(part: Any) -> bool:
    return isinstance(part, list) and bool(part) and all(type(number) is int for number in part)


def _args_and_kwargs(module: nn.Module, example: Any) -> tuple[tuple, dict]:
    signature = _signature(module)
    if isinstance(example, Mapping) and _names_arguments(signature, example):
        args, kwargs = (), dict(example)
    elif isinstance(example, tuple | list) and not isinstance(example, PackedSequence):
        args, kwargs = tuple(example), {}
        if args and isinstance(args[-1], Mapping) and _names_arguments(signature, args[-1]):
            args, kwargs = args[:-1], dict(args[-1])
    else:
        args, kwargs = (example,), {}
    if signature is not None:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            wanted = ", ".join(map(str, signature.parameters.values()))
            name = type(module).__name__
            raise InputError(f"{name}.forward takes ({wanted}): with the example, {error}") from error
    return args, kwargs


def _signature(module: nn.Module) -> inspect.Signature | None:
    try:
        return inspect.signature(module.forward)
    except (TypeError, ValueError):
        return None


def _names_arguments(signature: inspect.Signature | None, named: Mapping) -> bool:
    return signature is not None and bool(named) and all(key in signature.parameters for key in named)


def _parameter_names(module: nn.Module, args: tuple, kwargs: Mapping[str, Any]) -> Sequence[str]:
    signature = _signature(module)
    if signature is None:
        return [f"input_{position}" for position in range(len(args))]
    names: list[str] = []
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:
            names += [f"{name}_{position}" for position in range(len(args) - len(names))]
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            names.append(name)
    return names


def _leaf_name(path: Sequence[Any], names: Sequence[str]) -> str:
    which, first, *inside = (_key(part) for part in path)
    own = names[int(first)] if which == "0" else first
    return "_".join([own, *inside])


def _key(part: Any) -> str:
    for attribute in ("key", "idx", "name"):
        if hasattr(part, attribute):
            return str(getattr(part, attribute))
    return str(part)


def _distinct(leaves: Sequence[Leaf]) -> list[Leaf]:
    taken: set[str] = set()
    distinct = []
    for leaf in leaves:
        name, count = leaf.name, 0
        while name in taken:
            count += 1
            name = f"{leaf.name}_{count}"
        taken.add(name)
        distinct.append(dataclasses.replace(leaf, name=name))
    return distinct


def _letter_sizes(given: Any) -> dict[str, int]:
    flat, _ = pytree.tree_flatten(given, is_leaf=_is_leaf)
    letters: dict[str, int] = {}
    for value in flat:
        for dim in value.shape if isinstance(value, Value) else ():
            if not isinstance(dim, int):
                for letter in sorted(dim.letters):
                    letters.setdefault(letter, SIZES[len(letters) % len(SIZES)])
    return letters


def _example_of(value: Value, sizes: Mapping[str, int]) -> Tensor:
    try:
        shape = [size_at(dim, sizes) for dim in value.shape]
    except GraphError as error:
        raise InputError(f"input {value.name!r}: a size is made of other letters, {value.tensor}") from error
    dtype = getattr(torch, value.dtype, None)
    if dtype is None:
        raise UnsupportedError(f"input {value.name!r}", "dtype", value.dtype, ["float32", "int64", "bool"])
    generator = torch.Generator().manual_seed(0)
    if dtype.is_floating_point:
        return torch.randn(shape, generator=generator, dtype=dtype)
    # 1 is an id of any table, the length of any row, and true.
    return torch.ones(shape, dtype=dtype)
