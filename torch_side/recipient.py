"""What every ``model.py`` has beside its model, and needs torch alone: its source is copied there."""

from __future__ import annotations

from torch import nn


def fix_second_bias(layer: nn.RNNBase) -> None:
    """Keep the second bias of a layer at zero: Keras has one, and trains one."""
    for name, parameter in layer.named_parameters():
        if name.startswith("bias_hh"):
            nn.init.zeros_(parameter)
            parameter.requires_grad_(False)
