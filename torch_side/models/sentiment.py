"""Bidirectional LSTMs over padded reviews: is the reader pleased?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from biport.graph import Value
from torch_side.layers import Concatenate, MaskedLSTM
from torch_side.models.initial import initialise
from torch_side.models.merge import merge as merge_directions


class Sentiment(nn.Module):
    """Token ids to the probability of a good review, or of each class.

    Its layers are called ``embedding``, ``spatial_dropout``, ``bilstm_1`` and so on, ``dropout`` and
    ``classifier``; with ``merge=None`` the two directions of ``bilstm_k`` are joined by ``merged_k``.
    Weights are initialised as Keras does, see `torch_side.models.initial`, by `torch`'s global generator
    (`torch.manual_seed`).

    Args:
        vocabulary_size: V; id 0 is padding.
        embedding_size: the size of a token's vector.
        units: H of each LSTM, one entry a layer, in each direction.
        merge: how the two directions are merged; ``"concat"``, ``"sum"``, ``"mul"``, ``"ave"`` or
            ``None``, by a layer of its own.
        dropout: share of the features dropped in training, after the embedding and before the classifier.
        classes: 1 for a sigmoid, more for a softmax.
        masked: whether the LSTMs skip padding.
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_size: int = 32,
        units: Sequence[int] = (32,),
        merge: str | None = "concat",
        dropout: float = 0.2,
        classes: int = 1,
        masked: bool = True,
    ) -> None:
        super().__init__()
        self.depth, self.merge, self.classes, self.masked = len(units), merge, classes, masked
        self.input_values = (Value("tokens", ("N", "T"), "int32"),)
        self.embedding = nn.Embedding(vocabulary_size, embedding_size)
        self.spatial_dropout = nn.Dropout1d(dropout)
        size = embedding_size
        for k, hidden_size in enumerate(units, start=1):
            self.add_module(f"bilstm_{k}", bilstm(size, hidden_size, masked))
            if merge is None:
                self.add_module(f"merged_{k}", Concatenate(dim=-1))
            size = 2 * hidden_size if merge in ("concat", None) else hidden_size
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(size, classes)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise all weights anew."""
        initialise(self)

    def forward(self, tokens: Tensor) -> Tensor:
        """``(N, T)`` ids in ``[0, V)`` to ``(N, classes)`` probabilities.

        Raises:
            IndexError: ids are outside of ``[0, V)``.
        """
        mask = tokens != 0 if self.masked else None
        x = self.embedding(tokens)
        x = self.spatial_dropout(x.transpose(1, 2)).transpose(1, 2)
        for k in range(1, self.depth + 1):
            layer = self.get_submodule(f"bilstm_{k}")
            outputs, (h, _) = layer(x) if mask is None else layer(x, mask=mask)
            forward, backward = outputs.chunk(2, dim=-1) if k < self.depth else (h[0], h[1])
            if self.merge is None:
                x = self.get_submodule(f"merged_{k}")([forward, backward])
            elif self.merge == "concat" and k < self.depth:
                x = outputs
            else:
                x = merge_directions(forward, backward, self.merge)
        z = self.classifier(self.dropout(x))
        return torch.sigmoid(z) if self.classes == 1 else torch.softmax(z, dim=-1)


def bilstm(input_size: int, hidden_size: int, masked: bool) -> nn.LSTM:
    """An LSTM in both directions, which skips padding or takes it for steps like others."""
    if masked:
        return MaskedLSTM(input_size, hidden_size, bidirectional=True)
    return nn.LSTM(input_size, hidden_size, batch_first=True, bidirectional=True)


def sentiment(
    vocabulary_size: int,
    embedding_size: int = 32,
    units: Sequence[int] = (32,),
    merge: str | None = "concat",
    dropout: float = 0.2,
    classes: int = 1,
    masked: bool = True,
) -> Sentiment:
    """Build a `Sentiment`, in training mode; the arguments are described there."""
    return Sentiment(vocabulary_size, embedding_size, units, merge, dropout, classes, masked)
