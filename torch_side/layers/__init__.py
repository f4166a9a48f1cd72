"""Layers torch lacks, or has with other rules: ordinary modules, useful without the rest of biport."""

from torch_side.layers.activations import PReLU, ReLU, Softmax
from torch_side.layers.concatenate import Concatenate
from torch_side.layers.embedding import Embedding
from torch_side.layers.masking import Masking
from torch_side.layers.noise import ActivityRegularization, GaussianDropout, GaussianNoise
from torch_side.layers.pooling import GlobalAveragePooling1D, GlobalMaxPooling1D
from torch_side.layers.recurrent import LSTM, Bidirectional
from torch_side.layers.shape import Cropping1D, RepeatVector, Reshape, UpSampling1D, ZeroPadding1D
from torch_side.layers.spatial_dropout import SpatialDropout1D

__all__ = [
    "LSTM",
    "ActivityRegularization",
    "Bidirectional",
    "Concatenate",
    "Cropping1D",
    "Embedding",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalMaxPooling1D",
    "Masking",
    "PReLU",
    "ReLU",
    "RepeatVector",
    "Reshape",
    "Softmax",
    "SpatialDropout1D",
    "UpSampling1D",
    "ZeroPadding1D",
]
