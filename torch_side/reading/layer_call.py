"""A call of a layer that is read whole: what the read functions of `torch_side.ops` read with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from biport.dims import Dim
from biport.errors import GraphError, UnsupportedError, WeightError, raise_unsupported
from biport.ops import Op, PermuteDims, Tensor
from biport.weight_files import own_array


class LayerCall:
    """A module and what it is called with; not a call by itself, since it says not what becomes of an op.

    Args:
        module: the layer; nothing in it is changed.
        owner: how errors call it.
        args, kwargs: what it is called with; each tensor by the name of its value.
    """

    tensors: Mapping[str, Tensor]
    """Shape and dtype of each value."""

    def __init__(self, module: nn.Module, owner: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self.module: Any = module
        self.owner = owner
        self.args, self.kwargs = args, kwargs

    def arguments(self, *names: str, **defaults: Any) -> list[Any]:
        """The arguments in the order of ``names`` and ``defaults``.

        Raises:
            UnsupportedError: there are others, or some of ``names`` are missing.
        """
        known = [*names, *defaults]
        values = dict(zip(known, self.args, strict=False))
        left = [name for name in self.kwargs if name not in known or name in values]
        if left or len(self.args) > len(known):
            what = f"arguments {left}" if left else f"{len(self.args)} arguments"
            raise UnsupportedError(self.owner, "called with", what, known)
        values = defaults | values | dict(self.kwargs)
        if missing := [name for name in names if name not in values]:
            raise UnsupportedError(self.owner, "called without", missing, known)
        return [values[name] for name in known]

    def require(self, **settings: tuple[Any, Any]) -> None:
        """Refuse unless each setting, ``(actual, wanted)``, is as wanted."""
        problems = [
            UnsupportedError(self.owner, name, actual, repr(wanted))
            for name, (actual, wanted) in settings.items()
            if actual != wanted
        ]
        raise_unsupported(self.owner, problems)

    def value(self, argument: Any) -> str:
        """The name of the value that an argument is.

        Raises:
            UnsupportedError: it is not one value.
        """
        if not isinstance(argument, str):
            raise UnsupportedError(self.owner, "argument", argument, "a tensor made by the model")
        return argument

    def rank(self, name: str) -> int:
        """How many dimensions a value has."""
        return len(self.tensors[name].shape)

    def emit(
        self, op: Op, inputs: Sequence[str], masks: Sequence[str | None] = (), name: str | None = None
    ) -> tuple[str, ...]:
        """Apply an op, that somebody may have given a name behind the layer's; the names of what it gives."""
        raise NotImplementedError

    def same_size(self, one: Dim, other: Dim) -> None:
        """Two sizes of values are the same, whatever they are."""
        raise NotImplementedError

    def emit_channels_first(self, op: Op, argument: Any) -> str:
        """Apply an op over ``(N, *T, I)`` to a value ``(N, I, *T)``, and give one like that."""
        x = self.value(argument)
        rank = self.rank(x)
        (source,) = self.emit(PermuteDims(axes=(0, *range(2, rank), 1)), [x])
        (output,) = self.emit(op, [source])
        return self.emit(PermuteDims(axes=(0, rank - 1, *range(1, rank - 1))), [output])[0]


def arrays(owner: str, named: Mapping[str, torch.Tensor | None]) -> dict[str, Any]:
    """A module's tensors as numpy arrays, see `own_array`; ``None`` where there is none.

    Raises:
        UnsupportedError: a tensor is neither float32 nor float64.
    """
    copies: dict[str, np.ndarray | None] = {}
    for name, tensor in named.items():
        if tensor is not None and tensor.dtype not in (torch.float32, torch.float64):
            raise UnsupportedError(f"{owner}: {name}", "dtype", tensor.dtype, ["float32", "float64"])
        copies[name] = None if tensor is None else own_array(tensor.detach().cpu().numpy())
    return copies


def build(owner: str, kind: Callable[..., Op], **fields: Any) -> Any:
    """``kind(**fields)``, with ``owner`` in the error where its weights are not acceptable.

    Raises:
        WeightError: weights are misshapen or not finite.
    """
    try:
        return kind(**fields)
    except WeightError as error:
        raise WeightError(f"{owner}: {error}") from error
    except GraphError as error:
        raise GraphError(f"{owner}: {error}") from error
