"""A module of tensors in, tensors out, around one of nested arguments and outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import rnn
from torch.nn.utils.rnn import PackedSequence
from torch.utils import _pytree as pytree

from biport.errors import UnsupportedError
from torch_side.reading.arguments import Arguments


@dataclass
class OutputsSeen:
    """What a call gave.

    Args:
        names: what each output is called in a mapping or a named tuple; ``None`` of others.
        notes: of what is no tensor.
    """

    names: Sequence[str | None] = ()
    notes: Sequence[str] = ()


class Flat(nn.Module):
    """A module that takes the tensors of its arguments by position, and gives those of its outputs as a list.

    Args:
        module: what is called.
        arguments: how.
        restore: called behind each call, so that nobody sees what ``forward`` stores on itself.
    """

    def __init__(
        self, module: nn.Module, arguments: Arguments, restore: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__()
        self.module = module
        self._call = arguments.call
        self._restore = restore
        self._name = type(module).__name__
        self.seen = OutputsSeen()

    def forward(self, *tensors: Tensor) -> list[Tensor]:
        """The outputs, in order; ``None`` among them is left out."""
        try:
            result = self._call(self.module, tensors)
        finally:
            self._restore()
        flat, _ = pytree.tree_flatten_with_path(_listed(result), is_leaf=_is_leaf)
        outputs: list[Tensor] = []
        names: list[str | None] = []
        notes: list[str] = []
        for path, part in flat:
            name = _name(path)
            if isinstance(part, PackedSequence):
                x, lengths = rnn.pad_packed_sequence(part, batch_first=True)
                outputs += [x, lengths]
                names += [name, None if name is None else f"{name}_lengths"]
            elif isinstance(part, Tensor):
                outputs.append(part)
                names.append(name)
            elif part is not None:
                notes.append(f"output {name or len(outputs)} is no tensor and left out: {_shown(part)}")
        if not outputs:
            raise UnsupportedError(
                self._name, "outputs", _shown(result), "tensors, in tuples, lists or mappings"
            )
        self.seen.names, self.seen.notes = names, notes
        return outputs


def _listed(result: Any) -> Any:
    """What a model library's own class of outputs has, as a mapping."""
    fields = getattr(result, "__dataclass_fields__", None)
    if fields is not None and not isinstance(result, dict):
        return {name: getattr(result, name) for name in fields}
    return dict(result) if isinstance(result, dict) else result


def _is_leaf(part: Any) -> bool:
    return part is None or isinstance(part, PackedSequence)


def _name(path: Sequence[Any]) -> str | None:
    keys = [str(getattr(part, "key", getattr(part, "name", ""))) for part in path]
    positions = [str(getattr(part, "idx", "")) for part in path]
    if not any(keys):
        return None
    return "_".join(key or position for key, position in zip(keys, positions, strict=True))


def _shown(part: Any) -> str:
    return type(part).__name__ if not isinstance(part, int | float | str | torch.SymInt) else str(part)
