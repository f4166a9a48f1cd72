"""What the loop asks of a framework, and in what terms: batches, sums, a trainer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from biport.decoding import Stepper
from biport.graph import Graph

CLIP = 1e-7
"""Probabilities in a loss are kept so far from 0 and 1; Keras' ``epsilon()``."""

State = dict[str, NDArray]
"""Everything a training run has to know to go on: weights, slots of the optimiser, random generators."""


@dataclass(frozen=True, eq=False)
class Batch:
    """One batch of any task.

    Args:
        inputs: the model's, of shape (B, ...) each.
        truth: the right classes, int32, of shape (B,), or (B, T) for a class at every step.
        weight: of the shape of ``truth``: 1 where it counts, 0 where it is padding.
    """

    inputs: tuple[NDArray, ...]
    truth: NDArray[np.int32]
    weight: NDArray[np.floating]


@dataclass(frozen=True)
class Sums:
    """Loss and right answers, summed over what counts; those of several batches add up.

    Args:
        loss: the sum of ``-log p`` of the right classes.
        right: how many answers are right.
        count: how many count.
    """

    loss: float = 0.0
    right: float = 0.0
    count: float = 0.0

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.loss + other.loss, self.right + other.right, self.count + other.count)

    @property
    def mean_loss(self) -> float:
        """The loss of one answer."""
        return self.loss / max(self.count, 1.0)

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return self.right / max(self.count, 1.0)


class Trainer(Protocol):
    """One model in training; ``keras_side.train.Trainer`` and ``torch_side.train.Trainer`` are twins.

    What both compute for a batch, with p the model's probabilities:

        loss = Σ weight · -log clip(p of the truth, CLIP, 1 - CLIP) / max(Σ weight, 1)

    and, with a norm to clip to, the gradients ``g · clip_norm / max(norm, clip_norm)`` by the norm of all of
    them together; then one step of the optimiser by `biport.training.optimizers`.
    """

    def step(self, batch: Batch, rate: float) -> Sums:
        """Train on one batch with a learning rate; its sums are those before the weights change."""
        ...

    def evaluate(self, batch: Batch) -> Sums:
        """The sums of one batch, without training."""
        ...

    def predict(self, inputs: tuple[NDArray, ...]) -> NDArray:
        """The model's probabilities, (B, ..., C)."""
        ...

    def state(self) -> State:
        """Everything `restore` needs, as copies."""
        ...

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Go back to a `state`.

        Raises:
            WeightError: it is that of another model or optimiser.
        """
        ...

    def graph(self) -> Graph:
        """The model as it is now."""
        ...

    def load(self, graph: Graph) -> None:
        """Fill the model with a graph's weights, by name.

        Raises:
            WeightError: they do not suit it.
        """
        ...

    def stepper(self) -> Stepper:
        """The model of a sequence-to-sequence task as it is now, for `biport.decoding`."""
        ...

    def save(self, folder: Path) -> None:
        """Write the model in the framework's own form beside the bundle, where it has one."""
        ...
