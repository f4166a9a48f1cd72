"""Decoding with torch: encoder and decoder step of a sequence-to-sequence model as modules."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import nn

from biport.decoding import Stepper, split
from biport.decoding.stepper import make_stepper
from biport.graph import Graph
from torch_side.read import read
from torch_side.run import run
from torch_side.write import write


def stepper(
    source: Graph | nn.Module,
    target: str | None = None,
    device: torch.device | str = "cpu",
    example: Any = None,
) -> Stepper:
    """A graph or a module, ready for `biport.decoding`; the module is left as it is.

    Args:
        source: of two inputs, trained with teacher forcing.
        target: the input that is the decoder's own sequence; by default the last one.
        device: where it runs.
        example: how a module is called, as for `torch_side.read`.

    Raises:
        UnsupportedError: the decoder cannot be stepped; see `biport.decoding.split`.
    """
    parts = split(source if isinstance(source, Graph) else read(source, example), target)
    encoder, step = write(parts.encoder).to(device), write(parts.step).to(device)
    return make_stepper(parts, functools.partial(run, encoder), functools.partial(run, step))
