"""`biport.training.optimizers` in torch: its own optimisers where they can follow the formula.

What differs in torch, and what is done about it:

- SGD keeps ``v ← momentum·v + g`` and multiplies by the rate afterwards, which is another path as soon as the
  rate changes: the gradient is multiplied by the rate, and torch's own rate is 1.
- Adam adds ``epsilon`` to the root of the corrected moment: it is given ``epsilon / √(1 - beta_2ᵗ)``.
- RMSprop adds ``epsilon`` outside of the root; no constant makes up for that, so that it is written here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from biport.training import optimizers


class RMSprop(torch.optim.Optimizer):
    """RMSprop with ``epsilon`` inside the root, as Keras has it: ``w ← w - r·g / √(v + epsilon)``."""

    def __init__(self, params: Sequence[nn.Parameter], lr: float, rho: float, eps: float) -> None:
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step along the gradients that are there."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["square_avg"] = torch.zeros_like(parameter)
                average = state["square_avg"]
                average.mul_(group["rho"]).addcmul_(parameter.grad, parameter.grad, value=1 - group["rho"])
                root = (average + group["eps"]).sqrt_()
                parameter.addcdiv_(parameter.grad, root, value=-group["lr"])


class Descent:
    """One optimiser over some parameters, stepped with a rate of its own each time.

    Args:
        settings: which one.
        parameters: what it changes.
    """

    def __init__(self, settings: optimizers.Optimizer, parameters: Sequence[nn.Parameter]) -> None:
        self.settings = settings
        self.parameters = list(parameters)
        self.optimizer = _make(settings, self.parameters)

    def step(self, rate: float) -> None:
        """Change the parameters along their gradients."""
        (group,) = self.optimizer.param_groups
        match self.settings:
            case optimizers.SGD():
                for parameter in self.parameters:
                    if parameter.grad is not None:
                        parameter.grad.mul_(rate)
            case optimizers.Adam(beta_2=beta_2, epsilon=epsilon):
                group["lr"] = rate
                group["eps"] = epsilon / (1 - beta_2 ** self._next()) ** 0.5
            case optimizers.RMSprop():
                group["lr"] = rate
        self.optimizer.step()

    def _next(self) -> int:
        steps = [int(state["step"]) for state in self.optimizer.state.values()]
        return max(steps, default=0) + 1

    def slots(self) -> dict[str, torch.Tensor]:
        """What it remembers, by the number of the parameter and torch's name."""
        return {
            f"{number}/{name}": value
            for number, parameter in enumerate(self.parameters)
            for name, value in self.optimizer.state.get(parameter, {}).items()
            if isinstance(value, torch.Tensor)
        }

    def fill(self, slots: dict[str, torch.Tensor]) -> None:
        """Remember what another one of the same settings did."""
        self.optimizer.state.clear()
        for key, value in slots.items():
            number, _, name = key.partition("/")
            self.optimizer.state[self.parameters[int(number)]][name] = value


def _make(settings: optimizers.Optimizer, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    # The rates are set before each step; those here are never used.
    match settings:
        case optimizers.SGD(momentum=momentum, nesterov=nesterov):
            return torch.optim.SGD(parameters, 1.0, momentum, nesterov=nesterov)
        case optimizers.Adam(beta_1=beta_1, beta_2=beta_2, epsilon=epsilon):
            return torch.optim.Adam(parameters, 1.0, (beta_1, beta_2), epsilon)
        case optimizers.RMSprop(rho=rho, epsilon=epsilon):
            return RMSprop(parameters, 1.0, rho, epsilon)


def clip_gradients(parameters: Sequence[nn.Parameter], clip_norm: float) -> None:
    """Scale all gradients by ``clip_norm / max(norm, clip_norm)``, norm being that of all together.

    `torch.nn.utils.clip_grad_norm_` adds 1e-6 to the norm, which Keras does not.
    """
    gradients: list[Any] = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
    scale = clip_norm / norm.clamp(min=clip_norm)
    for gradient in gradients:
        gradient.mul_(scale)
