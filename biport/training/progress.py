"""How far a run is, and the file from which it goes on as if it had never stopped."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biport.data import BatchPosition
from biport.errors import FileError
from biport.files import atomic_file
from biport.training.trainer import State, Sums
from biport.weight_files import save_tensors

FORMAT = "biport-checkpoint-1"


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to.

    Args:
        epoch: its number, from 1.
        learning_rate: that of its last step.
        loss: of an answer, in training; each batch is measured before it changes the weights.
        accuracy: the share of right answers, in training.
        validation_loss: of an answer, after the epoch.
        validation_accuracy: likewise.
    """

    epoch: int
    learning_rate: float
    loss: float
    accuracy: float
    validation_loss: float
    validation_accuracy: float


@dataclass
class Progress:
    """Where a run stands.

    Args:
        position: of the next batch.
        partial: the sums of the epoch that is not finished.
        rate: the learning rate of the last step.
        epochs: those that are finished.
        seconds: how long each of them took.
        spent: the seconds of the one that is not.
    """

    position: BatchPosition = field(default_factory=BatchPosition)
    partial: Sums = field(default_factory=Sums)
    rate: float = 0.0
    epochs: list[Epoch] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    spent: float = 0.0

    @property
    def best(self) -> Epoch | None:
        """The epoch with the least validation loss, the first of several."""
        return min(self.epochs, key=lambda epoch: epoch.validation_loss, default=None)

    def to_json(self) -> dict[str, Any]:
        """As plain data; floats come back bit for bit."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Progress:
        """The way back."""
        parts = {
            "position": BatchPosition(**data["position"]),
            "partial": Sums(**data["partial"]),
            "epochs": [Epoch(**epoch) for epoch in data["epochs"]],
        }
        return cls(**{**data, **parts})


def write_checkpoint(path: Path, state: State, progress: Progress) -> None:
    """Write the trainer's state and the progress as one safetensors file: whole or not at all."""
    metadata = {"format": FORMAT, "progress": json.dumps(progress.to_json(), allow_nan=False)}
    with atomic_file(path) as draft:
        save_tensors(draft, {name: np.asarray(array, order="C") for name, array in state.items()}, metadata)


def read_checkpoint(path: Path) -> tuple[dict[str, NDArray], Progress]:
    """The state and the progress that `write_checkpoint` wrote.

    Raises:
        FileError: it is missing, damaged, or something else.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise FileError(f"{path}: no checkpoint that can be read ({error})") from error
    if metadata.get("format") != FORMAT:
        raise FileError(f'{path}: not a checkpoint, which says "format": "{FORMAT}"')
    try:
        return state, Progress.from_json(json.loads(metadata["progress"]))
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(f"{path}: a damaged checkpoint ({error!r})") from error
