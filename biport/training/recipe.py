"""A recipe: all that decides a training run but the framework."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from biport.data.vocabulary import Unit
from biport.errors import Argument, InputError
from biport.training.optimizers import DECAYS, Adam, Optimizer, optimizer_from_json, optimizer_to_json

TASKS = ("sentiment", "tagger", "seq2seq")
DTYPES = ("float32", "float64")
ADAM = Adam()


@dataclass(frozen=True)
class Recipe:
    """What a run trains on what, and how.

    Args:
        name: what it is called.
        task: ``sentiment``, ``tagger`` or ``seq2seq``.
        data: what to train on: a name that `biport.training.data` knows, or a path.
        family: the model, of ``keras_side.models`` and ``torch_side.models``.
        settings: the model's settings, without those that the data decide. A ``dropout`` above 0 draws other
            masks in each framework.
        optimizer: with its constants.
        learning_rate: that of the first step.
        decay: ``constant``, or ``cosine``, down to zero at the end.
        clip_norm: the norm of all gradients above which they are scaled down; ``None`` for none.
        epochs: how many; the one with the least validation loss gives the model.
        batch_size: rows a batch.
        seed: of generated data, of the order of the batches, and of the first weights.
        limit: rows to train on: how many are drawn of data that is generated, at most how many are taken of
            other data; ``None`` for all.
        validation_share: how much of other data is held out to validate on.
        vocabulary_limit: tokens of a vocabulary at most; ``None`` for all.
        max_length: of a row of tokens, which loses its end; ``None`` for any.
        unit: what a token is: a ``word`` or a ``character``.
        tags: of a tagger: ``binary``, or ``softmax`` with several tags.
        dtype: ``float32`` or ``float64``.

    Raises:
        InputError: a setting is out of range.
    """

    name: str
    task: str
    data: str
    family: str
    settings: Mapping[str, Any]
    optimizer: Optimizer = ADAM
    learning_rate: float = 1e-3
    decay: str = "constant"
    clip_norm: float | None = None
    epochs: int = 10
    batch_size: int = 64
    seed: int = 0
    limit: int | None = None
    validation_share: float = 0.1
    vocabulary_limit: int | None = None
    max_length: int | None = None
    unit: Unit = "word"
    tags: Literal["binary", "softmax"] = "binary"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        chosen = {"task": TASKS, "decay": DECAYS, "unit": ("word", "character"), "dtype": DTYPES}
        for name, known in (chosen | {"tags": ("binary", "softmax")}).items():
            if getattr(self, name) not in known:
                raise InputError(Argument(name, getattr(self, name)), f": it is one of {', '.join(known)}.")
        for name in ("epochs", "batch_size", "limit", "max_length"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(Argument(name, value), ": it is at least 1.")
        if self.seed < 0:
            raise InputError(Argument("seed", self.seed), ": it cannot be negative.")
        for name in ("learning_rate", "clip_norm"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise InputError(Argument(name, value), ": it is above 0.")
        if not 0 < self.validation_share < 1:
            raise InputError(
                Argument("validation_share", self.validation_share), ": it is above 0 and below 1."
            )

    def but(self, **changes: Any) -> Recipe:
        """The same recipe with what is not ``None`` changed."""
        return dataclasses.replace(
            self, **{name: value for name, value in changes.items() if value is not None}
        )

    def setting(self, changes: Mapping[str, Any]) -> Recipe:
        """The same recipe with some of the model's settings changed.

        Raises:
            InputError: the model has no such setting among those of the recipe.
        """
        unknown = [name for name in changes if name not in self.settings]
        if unknown:
            known = ", ".join(self.settings)
            raise InputError(f"{', '.join(unknown)}: the recipe {self.name} sets {known}.")
        return dataclasses.replace(self, settings={**self.settings, **changes})

    def to_json(self) -> dict[str, Any]:
        """The recipe as plain data."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        settings = {key: list(v) if isinstance(v, tuple) else v for key, v in self.settings.items()}
        return fields | {"optimizer": optimizer_to_json(self.optimizer), "settings": settings}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Recipe:
        """The way back.

        Raises:
            InputError: a setting is missing, unknown or out of range.
        """
        try:
            optimizer = optimizer_from_json(data["optimizer"])
            return cls(**{**data, "optimizer": optimizer})
        except (KeyError, TypeError) as error:
            raise InputError(f"this is no recipe: {error}") from error


def differences(stored: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Where two mappings of plain data differ, a line each: ``epochs: 3 there, 5 now``."""
    lines: list[str] = []
    for key in [*stored, *(key for key in now if key not in stored)]:
        one, two = stored.get(key), now.get(key)
        if isinstance(one, Mapping) and isinstance(two, Mapping):
            lines += differences(one, two, f"{prefix}{key}.")
        elif one != two:
            lines.append(f"{prefix}{key}: {one!r} there, {two!r} now")
    return lines
