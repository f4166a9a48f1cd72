"""A reader of lines of text: convolutions make features of each part of a picture, a BiLSTM reads them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from biport.graph import Value
from torch_side.layers import Rescaling
from torch_side.models.initial import initialise


class CRNN(nn.Module):
    """Pictures to the probabilities of characters at each step from left to right.

    Its layers are called ``scaling``, ``conv_1``, ``norm_1``, ``relu_1``, ``pool_1`` and so on, ``features``,
    ``dropout_1``, ``bilstm``, ``dropout_2`` and ``characters``. Weights are initialised as Keras does, see
    `torch_side.models.initial`.

    Args:
        classes: C, the characters and the blank, which is class 0.
        height: H of the pictures, which halves with each convolution; any width W goes.
        channels: 1 for grey pictures, 3 for RGB.
        filters: channels of each convolution; one entry or more.
        features: what a column of the last feature map is made into.
        units: H of the BiLSTM, in each direction.
        dropout: share dropped in training, of the features and before the characters.
    """

    def __init__(
        self,
        classes: int,
        height: int = 32,
        channels: int = 1,
        filters: Sequence[int] = (16, 32),
        features: int = 64,
        units: int = 48,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.depth = len(filters)
        # As Keras has it, so that both twins are given the same pictures; D2 is what a width is called there.
        self.input_values = (Value("images", ("N", height, "D2", channels), "float32"),)
        # Black is 1, white almost 0: a scale that every dtype has exactly.
        self.scaling = Rescaling(-1 / 256, 1.0)
        for k, (size, before) in enumerate(zip(filters, (channels, *filters), strict=False), start=1):
            self.add_module(f"conv_{k}", nn.Conv2d(before, size, 3, padding=1, bias=False))
            self.add_module(f"norm_{k}", nn.BatchNorm2d(size, eps=1e-3))
            self.add_module(f"relu_{k}", nn.ReLU())
            self.add_module(f"pool_{k}", nn.MaxPool2d(2))
        self.features = nn.Linear(height // 2**self.depth * filters[-1], features)
        self.dropout_1 = nn.Dropout(dropout)
        self.bilstm = nn.LSTM(features, units, batch_first=True, bidirectional=True)
        self.dropout_2 = nn.Dropout(dropout)
        self.characters = nn.Linear(2 * units, classes)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise all weights anew."""
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """``(N, H, W, channels)`` pixels of 0 to 255 to ``(N, W // 2 ** depth, C)`` probabilities."""
        x = self.scaling(images).permute(0, 3, 1, 2)
        for k in range(1, self.depth + 1):
            for name in ("conv", "norm", "relu", "pool"):
                x = self.get_submodule(f"{name}_{k}")(x)
        # A step for each column, whose features are in Keras' order: height, then channels.
        x = x.permute(0, 3, 2, 1).flatten(2)
        x = self.dropout_1(torch.relu(self.features(x)))
        x, _ = self.bilstm(x)
        return torch.softmax(self.characters(self.dropout_2(x)), dim=-1)


def crnn(
    classes: int,
    height: int = 32,
    channels: int = 1,
    filters: Sequence[int] = (16, 32),
    features: int = 64,
    units: int = 48,
    dropout: float = 0.0,
) -> CRNN:
    """Build a `CRNN`, in training mode; the arguments are described there."""
    return CRNN(classes, height, channels, filters, features, units, dropout)
