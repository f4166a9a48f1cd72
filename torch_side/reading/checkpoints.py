"""Weights of a file into a live module, whatever they are wrapped in; no pickle is executed."""

from __future__ import annotations

import argparse
import os
import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from biport.errors import FileError, WeightError
from biport.file_kind import FileKind, file_kind, foreign
from biport.weight_files import LARGE, PIECE
from torch_side.reading.archive import Archive

State = Mapping[str, Tensor]

KEYS = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights", "params")
"""Under which a training loop puts the weights beside the rest, the likeliest first."""
WRAPPERS = ("module.", "model.", "net.", "network.")
"""What DataParallel, Lightning and people call the module inside."""
COMPILED = "_orig_mod."
"""What torch.compile puts between the names."""
MAX_DEPTH = 3
"""How deep in a checkpoint weights are looked for."""
HARMLESS: list[Any] = [
    argparse.Namespace,
    np.dtype,
    *(type(np.dtype(name)) for name in ("float32", "float64", "int32", "int64", "bool")),
    *((np.float64(0).__reduce__()[0], f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
]
"""What training loops put beside weights: the best loss as a number of NumPy, the arguments of a program."""
UNCOUNTED = "num_batches_tracked"
"""Of a BatchNorm; nothing that is computed in eval mode depends on it."""
REMAPPED = 2**27
"""Bytes of a checkpoint that are read of one map of it."""


@dataclass(frozen=True)
class LoadedCheckpoint:
    """What was loaded.

    Args:
        names: of the parameters and buffers that were filled.
        notes: what was taken out of what, and what was left out.
    """

    names: tuple[str, ...]
    notes: tuple[str, ...]


def load_checkpoint(module: nn.Module, path: str | os.PathLike[str]) -> LoadedCheckpoint:
    """Fill a live module with the weights of a file of `torch.save` or of safetensors.

    The weights are the file itself, or lie in it under ``state_dict``, ``model`` or another key. The prefix
    that a wrapper put before their names is taken off where they then fit: ``module.`` of DataParallel,
    ``model.`` of a LightningModule, ``_orig_mod.`` of torch.compile, or any other that leaves one choice.
    Names outside of that prefix, such as those of a loss, are left out, and a note says so.

    The file is read with ``torch.load(weights_only=True)`` on the CPU: of what its pickle could do, only
    tensors, plain containers, numbers of NumPy and argparse's namespaces are made; nothing is executed.

    Args:
        module: with the parameters and buffers that the file has; numbers of another precision are rounded.
        path: the file.

    Raises:
        FileError: it is missing, damaged or something else, or its pickle holds more than weights.
        WeightError: parameters are missing, left over or of another shape. All are named, and the module is
            left as it was.

    Example:
        >>> import tempfile
        >>> layer, other = nn.Linear(2, 1), nn.Linear(2, 1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "last.ckpt")
        ...     wrapped = {f"model.{name}": tensor for name, tensor in layer.state_dict().items()}
        ...     torch.save({"epoch": 3, "state_dict": wrapped}, path)
        ...     load_checkpoint(other, path).notes
        ("weights taken from 'state_dict'", "prefix 'model.' taken off")
        >>> torch.equal(layer.weight, other.weight)
        True
    """
    path = Path(path)
    own = _own(module)
    chosen = _fitting(module, own, path)
    state = chosen.state if _is_legacy(path) else _filled(module, own, path, chosen)
    module.load_state_dict(dict(state), strict=False)
    return LoadedCheckpoint(tuple(chosen.state), tuple(chosen.notes(path, own)))


def _fitting(module: nn.Module, own: Mapping[str, Tensor], path: Path) -> _Fit:
    """The weights of a file that fit a module."""
    states = list(_states(read_weights(path, mapped=True)))
    if not states:
        raise WeightError(f"{path}: holds no weights, neither itself nor under a key of its own")
    fits = [fit for where, state in states for fit in _fits(own, where, state)]
    right = [fit for fit in fits if not fit.problems]
    chosen = _chosen(path, right) if right else min(fits, key=lambda fit: len(fit.problems))
    if chosen.problems:
        inside = f" (those under {chosen.where!r})" if chosen.where else ""
        listed = "; ".join(chosen.problems)
        raise WeightError(f"{path}: the weights{inside} do not fit {type(module).__name__}: {listed}")
    return chosen


def _filled(module: nn.Module, own: Mapping[str, Tensor], path: Path, fit: _Fit) -> State:
    """The weights for a module; its large tensors, which have theirs by then, are their own.

    What was read of a map of the file stays in memory with it, beside the module: it is mapped anew in
    between.
    """
    state, copied = dict(fit.state), 0
    for name, target in own.items():
        if name not in state or not _is_large(target):
            continue
        rows = max(1, PIECE // (target[0].numel() * target.element_size()))
        for start in range(0, len(target), rows):
            if copied >= REMAPPED:
                fit, copied = _fitting(module, own, path), 0
            with torch.no_grad():
                target[start : start + rows].copy_(fit.state[name][start : start + rows])
            copied += PIECE
        state[name] = target.detach()
    return state


def _is_large(tensor: Tensor) -> bool:
    plain = type(tensor) in (Tensor, nn.Parameter) and tensor.layout is torch.strided and not tensor.is_meta
    return plain and tensor.dim() > 0 and tensor.numel() * tensor.element_size() >= LARGE


def read_weights(path: Path, mapped: bool = False) -> Any:
    """What a checkpoint of torch.save or safetensors holds; no pickle is executed.

    Args:
        path: the file.
        mapped: have the tensors lie in the file, which has to stay as it is as long as they are used.

    Raises:
        FileError: it is something else, damaged, or holds more than weights.
    """
    kind = file_kind(path) if path.is_file() else None
    if kind not in (FileKind.TORCH, FileKind.SAFETENSORS, FileKind.BUNDLE_PART):
        raise foreign(path, "a checkpoint of torch.save or safetensors")
    try:
        if kind is FileKind.TORCH:
            legacy = _is_legacy(path)
            if not legacy:
                # Its members are no longer than the file.
                Archive(path).close()
            with torch.serialization.safe_globals(HARMLESS):
                return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped and not legacy)
        return load_file(path, device="cpu")
    except pickle.UnpicklingError as error:
        raise _refused(path, error) from error
    except (SafetensorError, RuntimeError, ValueError, EOFError, KeyError, OSError, TypeError) as error:
        # What torch's readers say of a file that is cut short or was altered.
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise FileError(f"{path}: damaged, or cannot be read: {reason}") from error


def _is_legacy(path: Path) -> bool:
    """Whether torch cannot map a file: before 1.6 it wrote no archives."""
    return file_kind(path) is FileKind.TORCH and not zipfile.is_zipfile(path)


def _refused(path: Path, error: Exception) -> FileError:
    known = re.search(r"GLOBAL ([\w.]+)", str(error))
    what = f"a pickle of {known[1]}" if known else "a pickle of more"
    return FileError(
        f"{path}: holds {what}, and not weights alone; it was not executed. Where you trust the file, save "
        "its weights from the program that wrote it: torch.save(model.state_dict(), 'weights.pt')"
    )


def _own(module: nn.Module) -> dict[str, Tensor]:
    """What ``state_dict`` has, the live tensors, under every name that one has."""
    saved = module.state_dict(keep_vars=True)
    return {name: tensor for name, tensor in saved.items() if isinstance(tensor, Tensor)}


def _states(loaded: Any, where: str = "", depth: int = 0) -> Iterator[tuple[str, State]]:
    """The mappings of names to tensors in a checkpoint, by the keys they are under, the likeliest first."""
    if not isinstance(loaded, Mapping) or depth > MAX_DEPTH:
        return
    tensors = {name: value for name, value in loaded.items() if isinstance(value, Tensor)}
    if tensors and all(isinstance(name, str) for name in tensors):
        yield where, tensors
    inner = [key for key in loaded if isinstance(key, str) and isinstance(loaded[key], Mapping)]
    for key in sorted(inner, key=lambda key: KEYS.index(key) if key in KEYS else len(KEYS)):
        yield from _states(loaded[key], f"{where}.{key}" if where else key, depth + 1)


@dataclass(frozen=True)
class _Fit:
    """Weights as a module could take them.

    Args:
        where: the key they are under.
        prefix: taken off their names.
        state: by the module's names.
        outside: names without the prefix.
        problems: why the module does not take them.
    """

    where: str
    prefix: str
    state: State
    outside: tuple[str, ...]
    problems: tuple[str, ...]
    compiled: bool

    @property
    def usual(self) -> bool:
        """Whether the prefix is one that wrappers put there."""
        rest = self.prefix
        while rest.startswith(WRAPPERS):
            rest = rest[rest.index(".") + 1 :]
        return not rest

    def notes(self, path: Path, own: Mapping[str, Tensor]) -> Iterator[str]:
        """What a user should know."""
        if self.where:
            yield f"weights taken from {self.where!r}"
        if self.compiled:
            yield f"{COMPILED!r} of torch.compile taken off"
        if self.prefix:
            yield f"prefix {self.prefix!r} taken off"
        if self.outside:
            yield f"left out, without that prefix: {', '.join(self.outside)}"
        rounded = {
            f"{_dtype(tensor)} to {_dtype(own[name])}"
            for name, tensor in self.state.items()
            if tensor.dtype != own[name].dtype
        }
        if rounded:
            yield f"converted from {', '.join(sorted(rounded))}"


def _fits(own: Mapping[str, Tensor], where: str, given: State) -> Iterator[_Fit]:
    """The weights with each prefix taken off that some of the module's names have in them."""
    compiled = any(COMPILED in name for name in given) and not any(COMPILED in name for name in own)
    state = {name.replace(COMPILED, ""): tensor for name, tensor in given.items()} if compiled else given
    prefixes = dict.fromkeys([""])
    for name in state:
        prefixes |= dict.fromkeys(name.removesuffix(wanted) for wanted in own if name.endswith(f".{wanted}"))
    for prefix in prefixes:
        inside = {name.removeprefix(prefix): one for name, one in state.items() if name.startswith(prefix)}
        outside = tuple(name for name in state if not name.startswith(prefix))
        yield _Fit(where, prefix, inside, outside, tuple(_problems(own, inside)), compiled)


def _problems(own: Mapping[str, Tensor], state: State) -> Iterator[str]:
    filled = {id(own[name]) for name in own.keys() & state.keys()}
    for name in own:
        # A tied parameter is filled under its other name; safetensors saves one of them.
        if name not in state and id(own[name]) not in filled and not name.endswith(UNCOUNTED):
            yield f"missing {name}"
    for name in state:
        if name not in own:
            yield f"unexpected {name}"
    for name in own:
        if name not in state or is_lazy(own[name]):
            continue
        wanted, given = own[name], state[name]
        if wanted.shape != given.shape or wanted.is_floating_point() != given.is_floating_point():
            yield f"{name} should be {_shown(wanted)}, found {_shown(given)}"


def _chosen(path: Path, right: list[_Fit]) -> _Fit:
    """The one that fits.

    Raises:
        WeightError: several do, and none is the likelier.
    """
    first = [fit for fit in right if fit.where == right[0].where]
    usual = [fit for fit in first if fit.usual] or first
    if len(usual) > 1:
        prefixes = ", ".join(repr(fit.prefix) for fit in usual)
        raise WeightError(
            f"{path}: several parts of it fit, with the prefixes {prefixes}: save the state_dict of one"
        )
    return usual[0]


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _shown(tensor: Tensor) -> str:
    return f"{_dtype(tensor)} {tuple(tensor.shape)}"
