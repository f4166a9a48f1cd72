"""Layers torch lacks, or has with other rules: ordinary modules, useful without the rest of biport."""

from torch_side.layers.activation import PReLU, ReLU, Softmax
from torch_side.layers.attention import AdditiveAttention, Attention, MultiHeadAttention
from torch_side.layers.conv_lstm import ConvLSTM1d, ConvLSTM2d, ConvLSTM3d
from torch_side.layers.convolution import Conv1d, Conv2d, Conv3d
from torch_side.layers.embedding import ToIds
from torch_side.layers.looped import LoopedGRU, LoopedLSTM, LoopedRNN, Recurrence
from torch_side.layers.masking import Masking
from torch_side.layers.merge import (
    Concatenate,
    Dot,
    LearnedAverage,
    Maximum,
    Minimum,
    Multiply,
)
from torch_side.layers.normalization import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
    Normalization,
    Rescaling,
)
from torch_side.layers.pooling import (
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    GlobalAveragePooling1D,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
)
from torch_side.layers.preprocessing import (
    CategoryEncoding,
    Discretization,
    IntegerLookup,
)
from torch_side.layers.recurrent import MaskedGRU, MaskedLSTM, MaskedRNN
from torch_side.layers.regularization import (
    ActivityRegularization,
    GaussianDropout,
    GaussianNoise,
)
from torch_side.layers.shape import Reshape

__all__ = [
    "ActivityRegularization",
    "AdditiveAttention",
    "Attention",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "BatchNormalization",
    "CategoryEncoding",
    "Concatenate",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvLSTM1d",
    "ConvLSTM2d",
    "ConvLSTM3d",
    "Discretization",
    "Dot",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GroupNormalization",
    "IntegerLookup",
    "LayerNormalization",
    "LearnedAverage",
    "LoopedGRU",
    "LoopedLSTM",
    "LoopedRNN",
    "MaskedGRU",
    "MaskedLSTM",
    "MaskedRNN",
    "Masking",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
    "Maximum",
    "Minimum",
    "MultiHeadAttention",
    "Multiply",
    "Normalization",
    "PReLU",
    "ReLU",
    "Recurrence",
    "Rescaling",
    "Reshape",
    "Softmax",
    "ToIds",
]
