"""A torch module in training; its twin is ``keras_side/train.py``: same names, same numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from biport.decoding import Stepper
from biport.errors import WeightError
from biport.graph import Graph
from biport.training.optimizers import Optimizer
from biport.training.trainer import CLIP, Batch, State, Sums
from torch_side import models
from torch_side.decode import stepper
from torch_side.inference import layer_errors
from torch_side.load import load
from torch_side.optimizers import Descent, clip_gradients
from torch_side.read import read
from torch_side.shared.recurrent import summed_biases

GENERATOR = "generator"


def build(family: str, settings: Mapping[str, Any], dtype: str, seed: int) -> nn.Module:
    """A new model of one of `torch_side.models`, its weights drawn from ``seed``."""
    torch.manual_seed(seed)
    return getattr(models, family)(**settings).to(getattr(torch, dtype))


class Trainer:
    """`biport.training.trainer.Trainer` over a module, on the CPU.

    Keras has one bias where torch adds up two. Both would take each a step along the same gradient, and their
    sum twice the step, so that the second one is added to the first and stays zero.

    Args:
        model: gives one output of probabilities, (B, ..., C); its parameters are changed in place.
        optimizer: the settings of one.
        clip_norm: the norm of all gradients above which they are scaled down; ``None`` for none.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, clip_norm: float | None = None) -> None:
        self.model = model
        self.clip_norm = clip_norm
        _sum_biases(model)
        self.dtype = next(model.parameters()).dtype
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.descent = Descent(optimizer, self.parameters)

    def step(self, batch: Batch, rate: float) -> Sums:
        """Train on one batch with a learning rate; its sums are those before the weights change."""
        self.model.train()
        for parameter in self.parameters:
            parameter.grad = None
        loss, right, count = self._sums(batch)
        (loss / count.clamp(min=1)).backward()
        if self.clip_norm is not None:
            clip_gradients(self.parameters, self.clip_norm)
        self.descent.step(rate)
        return Sums(float(loss.detach()), float(right), float(count))

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Sums:
        """The sums of one batch, without training."""
        self.model.eval()
        return Sums(*map(float, self._sums(batch)))

    @torch.no_grad()
    def predict(self, inputs: tuple[NDArray, ...]) -> NDArray:
        """The model's probabilities, (B, ..., C)."""
        self.model.eval()
        return self._probabilities(inputs).numpy()

    def _probabilities(self, inputs: tuple[NDArray, ...]) -> Tensor:
        with layer_errors():
            return self.model(*map(self._tensor, inputs))

    def _sums(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        p = self._probabilities(batch.inputs)
        truth, weight = torch.from_numpy(batch.truth).long(), torch.from_numpy(batch.weight).to(self.dtype)
        clipped = p.clamp(CLIP, 1 - CLIP)
        if p.shape[-1] == 1:
            of_truth = torch.where(truth == 1, clipped[..., 0], 1 - clipped[..., 0])
            answer = (p[..., 0] > 0.5).long()
        else:
            of_truth = clipped.gather(-1, truth.unsqueeze(-1)).squeeze(-1)
            answer = p.argmax(dim=-1)
        loss = (-of_truth.log() * weight).sum()
        return loss, ((answer == truth) * weight).sum(), weight.sum()

    def _tensor(self, array: NDArray) -> Tensor:
        tensor = torch.from_numpy(array)
        return tensor.to(self.dtype) if tensor.is_floating_point() else tensor

    def state(self) -> State:
        """Weights, slots of the optimiser and torch's random generator, as copies."""
        tensors = {f"model/{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"optimizer/{name}": tensor for name, tensor in self.descent.slots().items()}
        tensors[GENERATOR] = torch.get_rng_state()
        return {name: tensor.detach().numpy().copy() for name, tensor in tensors.items()}

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Go back to a `state`.

        Raises:
            WeightError: it is that of another model.
        """
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in state.items()}
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}}
        generator = tensors.pop(GENERATOR, None)
        if generator is None:
            raise WeightError("the state of another model: it has no generator")
        torch.set_rng_state(generator)
        for name, tensor in tensors.items():
            part, _, rest = name.partition("/")
            parts[part][rest] = tensor
        try:
            self.model.load_state_dict(parts["model"])
        except RuntimeError as error:
            raise WeightError(f"the state of another model: {error}") from error
        self.descent.fill(parts["optimizer"])

    def graph(self) -> Graph:
        """The model as it is now."""
        return read(self.model)

    def load(self, graph: Graph) -> None:
        """Fill the model with a graph's weights, by name, two biases that act as one added up.

        Raises:
            WeightError: they do not suit it.
        """
        load(self.model, graph)
        _sum_biases(self.model)

    def stepper(self) -> Stepper:
        """The model of a sequence-to-sequence task as it is now, for `biport.decoding`."""
        return stepper(self.model)

    def save(self, folder: Path) -> None:
        """Nothing: the weights in the bundle are in torch's own names for `torch_side.load` already."""


def _sum_biases(model: nn.Module) -> None:
    """Add every second bias that only acts in a sum to the first, and freeze it at zero."""
    with torch.no_grad():
        for second, first in summed_biases(model):
            first.add_(second)
            second.zero_().requires_grad_(False)
