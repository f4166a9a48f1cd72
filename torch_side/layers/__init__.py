"""Layers torch lacks, or has with other rules: ordinary modules, useful without the rest of biport."""

from torch_side.layers.bidirectional import Bidirectional, BidirectionalPair
from torch_side.layers.concatenate import Concatenate
from torch_side.layers.embedding import Embedding
from torch_side.layers.pooling import GlobalAveragePooling1D, GlobalMaxPooling1D
from torch_side.layers.recurrent import GRU, LSTM, RNN, StackedRNN
from torch_side.layers.spatial_dropout import SpatialDropout1D

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Bidirectional",
    "BidirectionalPair",
    "Concatenate",
    "Embedding",
    "GlobalAveragePooling1D",
    "GlobalMaxPooling1D",
    "SpatialDropout1D",
    "StackedRNN",
]
