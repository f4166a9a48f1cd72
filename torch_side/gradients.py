"""The gradient of a module at inference, under the names of its graph."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from biport.compare.gradients import Gradient
from biport.compare.tolerance import L1_ALLOWED
from biport.graph import Graph, trained
from biport.ops import Op
from torch_side.read import read
from torch_side.reading.source import flat_module
from torch_side.run import as_tensors, call, device_of, evaluating, full_precision

INEXACT = ("hard_sigmoid",)
"""Torch's derivative of it has a 1/6 rounded to float32, whatever the dtype: 2e-8 (torch 2.13)."""


def gradients_allowed(graph: Graph) -> float:
    """How far right gradients of a module may be off in float64: 1e-12, or 1e-6 behind `INEXACT`."""
    inexact = any(name in INEXACT for node in graph.nodes for name in _settings(node.op))
    return 1e-6 if inexact else L1_ALLOWED


def _settings(op: Op) -> Iterator[Any]:
    yield from op.settings().values()
    for part in op.parts().values():
        yield from _settings(part)


def gradients(
    module: nn.Module,
    inputs: Sequence[np.ndarray],
    cotangents: Sequence[np.ndarray | None],
    example: Any = None,
) -> Gradient:
    """The loss ``Σ <output, cotangent>``, and how it changes with every weight and every float input.

    Frozen parameters have their gradient too; statistics, such as those of `nn.BatchNorm1d`, have none.

    Args:
        module: it is left as it is, its mode and the ``grad`` of its parameters included.
        inputs: one array for each input of its graph.
        cotangents: an array of the shape of each output; ``None`` for an output that does not count.
        example: as for `torch_side.read`.

    Returns:
        The loss; ``{node.path: array}`` in the layout of `Graph` weights, inputs under their own names.

    Raises:
        InputError: the inputs do not suit the module.
        UnsupportedError: the module cannot be read.
        WeightError: a gradient holds NaN or infinite numbers.
    """
    module = copy.deepcopy(module)
    parameters = list(module.parameters())
    for parameter in parameters:
        parameter.requires_grad_(True)
    tensors = as_tensors(module, inputs)
    floats = {
        position: tensor.requires_grad_(True)
        for position, tensor in enumerate(tensors)
        if tensor.is_floating_point()
    }
    device = device_of(module)
    called = module if example is None else flat_module(module, example)
    with evaluating(called), full_precision(device), _differentiable(device), torch.enable_grad():
        loss = _loss(call(called, tensors), cotangents)
        slopes = _slopes(loss, [*parameters, *floats.values()])
    with torch.no_grad():
        for parameter, slope in zip(parameters, slopes, strict=False):
            parameter.copy_(slope)
    # Reading is linear: what is read now are the gradients, in the layouts of the weights.
    graph = read(module, example)
    by_weight = trained(graph)
    for position, slope in zip(floats, slopes[len(parameters) :], strict=True):
        by_weight[graph.inputs[position].name] = slope.cpu().numpy()
    return loss.item(), by_weight


@contextlib.contextmanager
def _differentiable(device: torch.device) -> Iterator[None]:
    """On a GPU without cuDNN, whose recurrences have a gradient in training mode only."""
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=False):
        yield


def _loss(outputs: Sequence[torch.Tensor], cotangents: Sequence[np.ndarray | None]) -> torch.Tensor:
    parts = [
        (output * torch.tensor(cotangent, dtype=output.dtype, device=output.device)).sum()
        for output, cotangent in zip(outputs, cotangents, strict=True)
        if cotangent is not None
    ]
    return torch.stack(parts).sum()


def _slopes(loss: torch.Tensor, sources: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
    if not loss.requires_grad:
        return [torch.zeros_like(source) for source in sources]
    return torch.autograd.grad(loss, sources, allow_unused=True, materialize_grads=True)
