"""Optimisers with Keras' formulas and defaults, which both frameworks follow, and the learning rate.

With gradient g, learning rate r at step t = 1, 2, ... and slots that begin at zero:

    SGD       v ← momentum·v - r·g       w ← w + v, with nesterov w ← w + momentum·v - r·g
    Adam      m ← m + (1 - beta_1)·(g - m)      v ← v + (1 - beta_2)·(g² - v)
              w ← w - r·√(1 - beta_2ᵗ)/(1 - beta_1ᵗ) · m / (√v + epsilon)
    RMSprop   v ← rho·v + (1 - rho)·g²   w ← w - r·g / √(v + epsilon)

Source: Keras 3.15 ``keras/src/optimizers``.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from biport.errors import Argument, InputError


@dataclass(frozen=True)
class SGD:
    """Gradient descent, with momentum where it is above 0."""

    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        _check_share("momentum", self.momentum)
        if self.nesterov and not self.momentum:
            raise InputError("nesterov=True: it needs a momentum above 0.")


@dataclass(frozen=True)
class Adam:
    """Adam, with ``epsilon`` beside the root of the uncorrected second moment."""

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def __post_init__(self) -> None:
        _check_share("beta_1", self.beta_1)
        _check_share("beta_2", self.beta_2)
        _check_positive("epsilon", self.epsilon)


@dataclass(frozen=True)
class RMSprop:
    """RMSprop, with ``epsilon`` inside the root."""

    rho: float = 0.9
    epsilon: float = 1e-7

    def __post_init__(self) -> None:
        _check_share("rho", self.rho)
        _check_positive("epsilon", self.epsilon)


Optimizer = SGD | Adam | RMSprop
OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam, "rmsprop": RMSprop}

DECAYS = ("constant", "cosine")


def optimizer_to_json(optimizer: Optimizer) -> dict[str, Any]:
    """The optimiser as plain data, its name under ``kind``."""
    return {"kind": type(optimizer).__name__.lower(), **dataclasses.asdict(optimizer)}


def optimizer_from_json(data: Mapping[str, Any]) -> Optimizer:
    """The way back.

    Raises:
        InputError: an unknown kind, or a setting out of range.
    """
    settings = dict(data)
    kind = settings.pop("kind", None)
    if kind not in OPTIMIZERS:
        raise InputError(Argument("optimizer", kind), f": it is one of {', '.join(OPTIMIZERS)}.")
    return OPTIMIZERS[kind](**settings)


def rate_at(step: int, steps: int, first: float, decay: str) -> float:
    """The learning rate of one of ``steps`` steps, counted from 0.

    ``constant`` is ``first`` all along; ``cosine`` falls from it to zero by half a period of the cosine.
    """
    return first if decay == "constant" else first * 0.5 * (1 + math.cos(math.pi * step / steps))


def _check_share(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise InputError(Argument(name, value), ": it is from 0 to below 1.")


def _check_positive(name: str, value: float) -> None:
    if not value > 0:
        raise InputError(Argument(name, value), ": it is above 0.")
