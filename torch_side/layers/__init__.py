"""Layers torch lacks, or has with other rules: ordinary modules, useful without the rest of biport."""

from torch_side.layers.bidirectional import Bidirectional, BidirectionalPair
from torch_side.layers.concatenate import Concatenate
from torch_side.layers.convolution import Conv1d
from torch_side.layers.embedding import Embedding
from torch_side.layers.merging import Dot, Maximum, Minimum, Multiply
from torch_side.layers.normalization import BatchNormalization, LayerNormalization
from torch_side.layers.pooling import (
    AveragePooling1D,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    MaxPooling1D,
)
from torch_side.layers.recurrent import GRU, LSTM, RNN, StackedRNN
from torch_side.layers.spatial_dropout import SpatialDropout1D
from torch_side.layers.time_distributed import TimeDistributed

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "AveragePooling1D",
    "BatchNormalization",
    "Bidirectional",
    "BidirectionalPair",
    "Concatenate",
    "Conv1d",
    "Dot",
    "Embedding",
    "GlobalAveragePooling1D",
    "GlobalMaxPooling1D",
    "LayerNormalization",
    "MaxPooling1D",
    "Maximum",
    "Minimum",
    "Multiply",
    "SpatialDropout1D",
    "StackedRNN",
    "TimeDistributed",
]
