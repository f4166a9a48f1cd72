"""The gradient of a module at inference, under the names of its graph."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from biport.compare.gradients import Gradient
from biport.compare.tolerance import L1_ALLOWED
from biport.errors import UnsupportedError, WeightError
from biport.graph import Graph, trained
from biport.ops import Op
from torch_side.inference import copied, device_of, double, evaluating, full_precision
from torch_side.reading.source import read_uncompared
from torch_side.run import Called

INEXACT = ("hard_sigmoid",)
"""Torch's derivative of it has a 1/6 rounded to float32, whatever the dtype: 2e-8 (torch 2.13)."""

CODES = 2**24
"""How many float32 numbers there are from 0.5 to 2."""


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
        inputs: one array for each input of its graph, as for `torch_side.run`.
        cotangents: an array of the shape of each output; ``None`` for an output that does not count.
        example: how ``forward`` is called, as for `torch_side.read`.

    Returns:
        The loss; ``{node.path: array}`` in the layout of `Graph` weights, inputs under their own names.

    Raises:
        InputError: the inputs do not suit the module.
        UnsupportedError: the module cannot be read, or a weight of its graph is computed from parameters.
        WeightError: a gradient holds NaN or infinite numbers.
    """
    return Differentiable(module, example)(inputs, cotangents)


class Differentiable:
    """A module, read once, that is differentiated as often as one likes; see `gradients`.

    Args:
        module: it is left as it is.
        example: how it is called.
    """

    def __init__(self, module: nn.Module, example: Any = None) -> None:
        self._sources = _sources(module, example)
        self.module = copied(module)
        for parameter in self.module.parameters():
            parameter.requires_grad_(True)
        self._called = Called(self.module, example)

    def double(self) -> Differentiable:
        """The same in float64."""
        wide = copy.copy(self)
        wide.module = double(self.module)
        wide._called = self._called.of(wide.module)
        return wide

    def __call__(self, inputs: Sequence[np.ndarray], cotangents: Sequence[np.ndarray | None]) -> Gradient:
        """The loss and its gradient, as `gradients` gives them."""
        tensors = self._called.tensors(inputs)
        floats = {
            position: tensor.requires_grad_(True)
            for position, tensor in enumerate(tensors)
            if tensor.is_floating_point()
        }
        device, parameters = device_of(self.module), list(self.module.parameters())
        with evaluating(self.module), full_precision(device), _differentiable(device), torch.enable_grad():
            loss = _loss(self._called(tensors), cotangents)
            slopes = [slope.cpu().numpy() for slope in _slopes(loss, [*parameters, *floats.values()])]
        by_weight = self._sources.weights(slopes[: len(parameters)])
        inputs_of = self._sources.inputs
        by_weight |= {
            inputs_of[at]: slope for at, slope in zip(floats, slopes[len(parameters) :], strict=True)
        }
        for path, slope in by_weight.items():
            if not np.isfinite(slope).all():
                raise WeightError(f"{path}: holds NaN or infinite numbers")
        return loss.item(), by_weight


@dataclass(frozen=True)
class _Sources:
    """Which parameter each number of a graph's weights is.

    Args:
        inputs: the names of the graph's inputs.
        origins: for each weight which of all parameters' numbers its own are, from 1; 0 for none.
    """

    inputs: Sequence[str]
    origins: Mapping[str, np.ndarray]

    def weights(self, parameters: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Numbers of parameters in the layout of the weights."""
        numbers = np.concatenate([np.zeros(1), *(array.ravel() for array in parameters)])
        return {path: numbers[origin] for path, origin in self.origins.items()}


def _sources(module: nn.Module, example: Any) -> _Sources:
    """Read off a copy whose parameters are all different numbers.

    Raises:
        UnsupportedError: a weight is computed from parameters, which have gradients of their own.
    """
    graph, codes = _marked(module, example, 0)
    weights = trained(graph)
    origins = {path: _origins(array, codes) for path, array in weights.items()}
    unknown = [path for path, at in origins.items() if (at < 0).any()]
    others = trained(_marked(module, example, 1)[0]) if unknown else {}
    for path in unknown:
        if not np.array_equal(weights[path], others[path]):
            what = f"of {path}, which is computed from parameters"
            supported = (
                "parameters that are weights; nn.utils.parametrize.remove_parametrizations makes them so"
            )
            raise UnsupportedError(type(module).__name__, "gradients", what, supported)
    return _Sources(
        [value.name for value in graph.inputs], {path: np.maximum(at, 0) for path, at in origins.items()}
    )


def _marked(module: nn.Module, example: Any, seed: int) -> tuple[Graph, np.ndarray]:
    """The graph of a copy whose parameters are all different numbers, and these."""
    copy_of = copied(module)
    parameters = list(copy_of.parameters())
    count = sum(parameter.numel() for parameter in parameters)
    if count >= CODES:
        raise UnsupportedError(type(module).__name__, "gradients", f"of {count} parameters", f"below {CODES}")
    # In no order and far apart, so that hardly a sum or product of two is a third.
    spread = CODES // (count + 1)
    drawn = np.random.default_rng(seed).permutation(count) * spread + seed
    codes = (drawn + np.float32(0.5).view("int32")).astype("int32").view("float32")
    first = 0
    with torch.no_grad():
        for parameter in parameters:
            numbers = codes[first : first + parameter.numel()]
            parameter.copy_(torch.from_numpy(numbers).reshape(parameter.shape))
            first += parameter.numel()
    return read_uncompared(copy_of, example), codes


def _origins(array: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Which of the codes each number is, from 1; 0 for zeros, -1 for what is none of them."""
    order = np.argsort(codes)
    ranked = codes[order]
    at = np.searchsorted(ranked, array.astype("float32"))
    known = np.append(ranked, np.nan)[at] == array
    return np.where(known, np.append(order, 0)[at] + 1, np.where(array == 0, 0, -1))


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
