"""Modules with LSTM, GRU or RNN layers made bidirectional."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from biport.rewrite.bidirectional import bidirect as convert
from torch_side.read import read
from torch_side.write import write
from torch_side.writing.ported import Ported


def bidirect(
    module: nn.Module,
    layers: Iterable[str] | None = None,
    *,
    merge: str = "concat",
    init: str = "copy",
    seed: int = 0,
    example: Any = None,
) -> Ported:
    """The same model with bidirectional layers, as a new module; see `biport.rewrite.bidirectional.bidirect`.

    Args:
        module: it is left as it is.
        layers, merge, init, seed: as there.
        example: how the module is called, as for `torch_side.read`.

    Raises:
        InputError: an option is another one, or there is no such layer.
        UnsupportedError: the module cannot be read, converted or widened.
    """
    return write(convert(read(module, example), layers, merge=merge, init=init, seed=seed).graph)
