"""Losses inside of a forward."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import torch_side


class Losses(nn.Module):
    """What is compared at three sizes when it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True)

    def forward(self, x: Tensor, labels: Tensor, target: Tensor) -> dict[str, Tensor]:
        y, _ = self.rnn(x)
        chances = torch.sigmoid(y)
        logs = functional.log_softmax(y.transpose(1, 2), dim=1)
        return {
            "mse": functional.mse_loss(y, target),
            "l1": functional.l1_loss(y, target, reduction="sum"),
            "smooth": functional.smooth_l1_loss(y, target, beta=0.5),
            "huber": functional.huber_loss(y, target, delta=0.3, reduction="none"),
            "bce": functional.binary_cross_entropy(chances, torch.sigmoid(target)),
            "logits": functional.binary_cross_entropy_with_logits(y, torch.sigmoid(target)),
            "nll": functional.nll_loss(logs, labels, reduction="none"),
            "rows": functional.cross_entropy(y.flatten(0, 1), labels.flatten().clamp(min=0), ignore_index=1),
            "steps": functional.cross_entropy(y.transpose(1, 2), labels, reduction="sum"),
            "chances": functional.cross_entropy(y.flatten(0, 1), chances.flatten(0, 1)),
        }


@pytest.mark.sweep
def test_losses() -> None:
    torch.manual_seed(0)
    labels = torch.tensor([[0, 1, 2, 3, -100], [1, 1, 3, 2, 0]])
    graph = torch_side.read(Losses().eval(), (torch.randn(2, 5, 3), labels, torch.randn(2, 5, 4)))
    assert graph.outputs == (
        "mse", "l1", "smooth", "huber", "bce", "logits", "nll", "rows", "steps", "chances",
    )  # fmt: skip
