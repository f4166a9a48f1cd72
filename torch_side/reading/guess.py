"""What a module may be called with, where nobody says."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator

import torch
from torch import nn

from biport.dims import letter
from biport.errors import InputError
from biport.graph import Value
from torch_side.inference import evaluating, first_float
from torch_side.reading.snapshot import Snapshot

MAX_TRIED = 200
"""Combinations of arguments that are tried."""
STEPS = (5, 100)
"""How many steps are tried: windows upon windows take many."""


def guess_example(module: nn.Module) -> tuple[Value, ...]:
    """Described inputs that the module takes: ids of an embedding, the sequence of its first layer, a mask.

    Raises:
        InputError: it takes none of these, or says that it takes a packed sequence, which nobody can guess.
    """
    names = _names(module)
    if packed := [one for one in inspect.signature(module.forward).parameters.values() if _is_packed(one)]:
        said = f"example=pack_padded_sequence({packed[0].name}, lengths, ...)"
        raise InputError(f"{type(module).__name__}: {packed[0].name} is a packed sequence; give one: {said}")
    kinds = list(_kinds(module))
    combinations = itertools.islice(itertools.product(kinds, repeat=len(names)), MAX_TRIED)
    described = [
        tuple(Value(name, shape, dtype) for name, (shape, dtype) in zip(names, combination, strict=True))
        for combination in combinations
    ]
    for steps in STEPS if names else ():
        for values in described:
            if _takes(module, values, steps):
                return values
    supported = "torch_side.read(module, example=(...)), with a tensor for each argument of forward"
    raise InputError(f"{type(module).__name__}: what forward takes is not known; say it: {supported}")


def _names(module: nn.Module) -> list[str]:
    """The arguments without a default."""
    parameters = inspect.signature(module.forward).parameters.values()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [one.name for one in parameters if one.default is one.empty and one.kind in positional]


def _is_packed(parameter: inspect.Parameter) -> bool:
    """Whether an argument that has to be given says by its type or its name that it is a packed sequence."""
    said = "PackedSequence" in str(parameter.annotation) or "pack" in parameter.name.lower()
    return said and parameter.default is parameter.empty


def _kinds(module: nn.Module) -> Iterator[tuple[tuple, str]]:
    """Shapes and dtypes of inputs, the likeliest first."""
    N, T = letter("N"), letter("T")
    own = first_float(module)
    dtype = "float32" if own is None else str(own.dtype).removeprefix("torch.")
    tables = any(isinstance(part, nn.Embedding | nn.EmbeddingBag) for part in module.modules())
    if tables:
        yield (N, T), "int64"
    seen = set()
    for part in module.modules():
        width = _width(part)
        if width is not None and width not in seen:
            seen.add(width)
            yield (N, T, width), dtype
    yield (N, T), "bool"
    yield (N,), "int64"
    if not tables:
        yield (N, T), "int64"
    for width in seen:
        yield (N, width), dtype


def _width(part: nn.Module) -> int | None:
    return part.input_size if isinstance(part, nn.RNNBase) else None


def _takes(module: nn.Module, values: tuple[Value, ...], steps: int) -> bool:
    snapshot = Snapshot(module)
    sizes = {"N": 3, "T": steps}
    try:
        with evaluating(module), torch.no_grad(), torch.random.fork_rng(devices=[]):
            module(*(_tensor(value, sizes) for value in values))
    except Exception:
        # Whatever a user's forward does with what it is not made for.
        return False
    finally:
        snapshot.restore()
    return True


def _tensor(value: Value, sizes: dict[str, int]) -> torch.Tensor:
    shape = [dim if isinstance(dim, int) else int(str(dim.at(sizes))) for dim in value.shape]
    return torch.ones(shape, dtype=getattr(torch, value.dtype))
