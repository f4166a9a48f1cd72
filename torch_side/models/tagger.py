"""A tagger: a BiLSTM whose two directions are handed to an LSTM, and a tag for every step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from biport.graph import Value
from torch_side.layers import (
    Attention,
    Concatenate,
    LearnedAverage,
    MaskedLSTM,
    Masking,
)
from torch_side.models.initial import initialise
from torch_side.models.sentiment import bilstm


class Tagger(nn.Module):
    """Token ids, or feature vectors, to a tag's probability at every step, or to that of each tag.

    Its layers are called ``embedding`` or ``masking``, ``spatial_dropout``, ``bilstm``, ``attention``,
    ``joined``, ``lstm``, ``dropout`` and ``tags``, as far as there are such. Weights are initialised as
    Keras does, see `torch_side.models.initial`.

    Args:
        vocabulary_size: V, of a tagger of token ids; id 0 is padding.
        features: I, of a tagger of feature vectors; a step of zeros is padding. This or V is given.
        embedding_size: the size of a token's vector.
        units: H of the BiLSTM, in each direction.
        lstm_units: H of the LSTM.
        join: how the two directions are passed on: ``"concat"``, ``"learned"`` (their average, weighted by a
            share that is learnt) or ``"attention"`` (concatenated, and beside that what each step selects
            from all).
        per_unit: with ``"learned"``, whether each unit has a share of its own.
        dropout: share of the features dropped in training, of the input and before the tags.
        tags: 1 for a sigmoid, more for a softmax.
        masked: whether padding is skipped.

    Raises:
        ValueError: both or neither of V and I are given, or ``join`` is another one.
    """

    def __init__(
        self,
        vocabulary_size: int | None = None,
        features: int | None = None,
        embedding_size: int = 32,
        units: int = 32,
        lstm_units: int = 32,
        join: str = "concat",
        per_unit: bool = False,
        dropout: float = 0.2,
        tags: int = 1,
        masked: bool = True,
    ) -> None:
        super().__init__()
        if join not in ("concat", "learned", "attention"):
            raise ValueError(f"join should be concat, learned or attention, found {join!r}")
        self.features, self.join, self.tag_count, self.masked = features, join, tags, masked
        if vocabulary_size is not None and features is None:
            self.input_values = (Value("sequence", ("N", "T"), "int32"),)
            self.embedding = nn.Embedding(vocabulary_size, embedding_size)
            size = embedding_size
        elif vocabulary_size is None and features is not None:
            self.input_values = (Value("sequence", ("N", "T", features), "float32"),)
            self.masking = Masking()
            size = features
        else:
            raise ValueError("give vocabulary_size or features")
        self.spatial_dropout = nn.Dropout1d(dropout)
        self.bilstm = bilstm(size, units, masked)
        size = 2 * units
        if join == "learned":
            self.joined = LearnedAverage(units if per_unit else None)
            size = units
        if join == "attention":
            self.attention = Attention()
            self.joined = Concatenate(dim=-1)
            size = 4 * units
        if masked:
            # At padding it repeats what it gave before.
            self.lstm: nn.LSTM = MaskedLSTM(size, lstm_units, zero_output_for_mask=False)
        else:
            self.lstm = nn.LSTM(size, lstm_units, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.tags = nn.Linear(lstm_units, tags)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise all weights anew."""
        initialise(self)

    def forward(self, sequence: Tensor) -> Tensor:
        """``(N, T)`` ids or ``(N, T, I)`` vectors to ``(N, T, tags)`` probabilities.

        Raises:
            IndexError: ids are outside of ``[0, V)``.
        """
        mask = None
        if self.features is None:
            if self.masked:
                mask = sequence != 0
            x = self.embedding(sequence)
        else:
            x = sequence
            if self.masked:
                mask = (sequence != 0).any(dim=-1)
                x = self.masking(sequence)
        x = self.spatial_dropout(x.transpose(1, 2)).transpose(1, 2)
        x, _ = self.bilstm(x) if mask is None else self.bilstm(x, mask=mask)
        if self.join == "learned":
            forward, backward = x.chunk(2, dim=-1)
            x = self.joined(forward, backward)
        if self.join == "attention":
            selected, _ = self.attention(x, x, query_mask=mask, value_mask=mask)
            x = self.joined([x, selected])
        x, _ = self.lstm(x) if mask is None else self.lstm(x, mask=mask)
        z = self.tags(self.dropout(x))
        return torch.sigmoid(z) if self.tag_count == 1 else torch.softmax(z, dim=-1)


def tagger(
    vocabulary_size: int | None = None,
    features: int | None = None,
    embedding_size: int = 32,
    units: int = 32,
    lstm_units: int = 32,
    join: str = "concat",
    per_unit: bool = False,
    dropout: float = 0.2,
    tags: int = 1,
    masked: bool = True,
) -> Tagger:
    """Build a `Tagger`, in training mode; the arguments are described there."""
    return Tagger(
        vocabulary_size, features, embedding_size, units, lstm_units, join, per_unit, dropout, tags, masked
    )
