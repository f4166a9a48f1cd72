"""The text classifier with attention: which words is the verdict about?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from biport.graph import Value
from torch_side.layers import Dot, Reshape, Softmax
from torch_side.models.initial import initialise
from torch_side.models.sentiment import bilstm


class AttentiveSentiment(nn.Module):
    """Token ids to the probability of a good review, or of each class, from steps averaged by attention.

    The weight of a step is the softmax of ``query · tanh(W x + b)``, with a query that is learnt. The layers
    are called ``embedding``, ``spatial_dropout``, ``bilstm_1`` and so on, ``attention_hidden``,
    ``attention_query``, ``attention_scores``, ``attention_weights``, ``attention_average``, ``dropout`` and
    ``classifier``. Weights are initialised as Keras does, see `torch_side.models.initial`.

    Args:
        vocabulary_size: V; id 0 is padding.
        embedding_size: the size of a token's vector.
        units: H of each LSTM, one entry a layer, in each direction.
        attention_units: the size of the query.
        dropout: share of the features dropped in training, after the embedding and before the classifier.
        classes: 1 for a sigmoid, more for a softmax.
        masked: whether padding is skipped; it then has the weight 0.
        return_weights: whether the weights of the steps are a second output, ``(N, T)``.
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_size: int = 32,
        units: Sequence[int] = (32,),
        attention_units: int = 32,
        dropout: float = 0.2,
        classes: int = 1,
        masked: bool = True,
        return_weights: bool = False,
    ) -> None:
        super().__init__()
        self.input_values = (Value("tokens", ("N", "T"), "int32"),)
        self.depth, self.classes = len(units), classes
        self.masked, self.return_weights = masked, return_weights
        self.embedding = nn.Embedding(vocabulary_size, embedding_size)
        self.spatial_dropout = nn.Dropout1d(dropout)
        size = embedding_size
        for k, hidden_size in enumerate(units, start=1):
            self.add_module(f"bilstm_{k}", bilstm(size, hidden_size, masked))
            size = 2 * hidden_size
        self.attention_hidden = nn.Linear(size, attention_units)
        self.attention_query = nn.Linear(attention_units, 1, bias=False)
        self.attention_scores = Reshape((-1,))
        self.attention_weights = Softmax()
        self.attention_average = Dot((1, 1))
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(size, classes)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise all weights anew."""
        initialise(self)

    def forward(self, tokens: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """``(N, T)`` ids in ``[0, V)`` to ``(N, classes)`` probabilities, and the weights if asked for.

        Raises:
            IndexError: ids are outside of ``[0, V)``.
        """
        mask = tokens != 0 if self.masked else None
        x = self.embedding(tokens)
        x = self.spatial_dropout(x.transpose(1, 2)).transpose(1, 2)
        for k in range(1, self.depth + 1):
            layer = self.get_submodule(f"bilstm_{k}")
            x, _ = layer(x) if mask is None else layer(x, mask=mask)
        scores = self.attention_query(torch.tanh(self.attention_hidden(x)))
        weights = self.attention_weights(self.attention_scores(scores), mask=mask)
        z = self.classifier(self.dropout(self.attention_average(weights, x)))
        probabilities = torch.sigmoid(z) if self.classes == 1 else torch.softmax(z, dim=-1)
        return (probabilities, weights) if self.return_weights else probabilities


def attentive_sentiment(
    vocabulary_size: int,
    embedding_size: int = 32,
    units: Sequence[int] = (32,),
    attention_units: int = 32,
    dropout: float = 0.2,
    classes: int = 1,
    masked: bool = True,
    return_weights: bool = False,
) -> AttentiveSentiment:
    """Build an `AttentiveSentiment`, in training mode; the arguments are described there."""
    return AttentiveSentiment(
        vocabulary_size, embedding_size, units, attention_units, dropout, classes, masked, return_weights
    )
