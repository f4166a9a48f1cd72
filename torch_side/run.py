"""Run a module on numpy arrays."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn

from biport.inputs import check_arrays
from torch_side.write import Ported


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


def run(module: nn.Module, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The outputs of ``module`` at inference, whatever mode it is in; no gradients.

    Raises:
        InputError: the inputs do not suit the module.
    """
    arrays = [np.asarray(array) for array in inputs]
    if isinstance(module, Ported):
        arrays = check_arrays(module.input_values, module.id_bounds, arrays)
    first = next(module.parameters(), None)
    device = torch.device("cpu") if first is None else first.device
    with evaluating(module), torch.no_grad():
        made = module(*(torch.tensor(np.ascontiguousarray(array), device=device) for array in arrays))
    outputs = made if isinstance(made, (tuple, list)) else (made,)
    return [output.cpu().numpy() for output in outputs]
