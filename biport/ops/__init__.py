"""The operations of a graph: one frozen, self-validating dataclass each.

Shape letters: N batch, T time, I input, H hidden, O output, G gates, D directions, V vocabulary.

An op carries its weights as numpy arrays, all of one float dtype, and says with `Op.infer` what it
makes of its inputs. What it computes is defined by `biport.reference`, in numpy.
"""

from biport.ops.activations import (
    ACTIVATIONS,
    ELU,
    FUSED_ACTIVATIONS,
    Activation,
    LeakyReLU,
    PReLU,
    ReLU,
    Softmax,
)
from biport.ops.base import (
    FLOATS,
    INTEGERS,
    Dim,
    Op,
    Tensor,
    op_class,
    op_classes,
    parameter,
    same_bits,
    same_dim,
)
from biport.ops.dense import Dense, Embedding
from biport.ops.dropout import (
    ActivityRegularization,
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    Identity,
    SpatialDropout1D,
)
from biport.ops.masks import FeaturesNotEqual, LogicalOr, Masking, NotEqual
from biport.ops.merging import Concatenate
from biport.ops.pooling import GlobalAveragePooling1D, GlobalMaxPooling1D
from biport.ops.recurrent import LSTM, MERGE_MODES, Bidirectional, Gates
from biport.ops.shape import Cropping1D, Flatten, Permute, RepeatVector, Reshape, UpSampling1D, ZeroPadding1D

__all__ = [
    "ACTIVATIONS",
    "ELU",
    "FLOATS",
    "FUSED_ACTIVATIONS",
    "INTEGERS",
    "LSTM",
    "MERGE_MODES",
    "Activation",
    "ActivityRegularization",
    "AlphaDropout",
    "Bidirectional",
    "Concatenate",
    "Cropping1D",
    "Dense",
    "Dim",
    "Dropout",
    "Embedding",
    "FeaturesNotEqual",
    "Flatten",
    "Gates",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalMaxPooling1D",
    "Identity",
    "LeakyReLU",
    "LogicalOr",
    "Masking",
    "NotEqual",
    "Op",
    "PReLU",
    "Permute",
    "ReLU",
    "RepeatVector",
    "Reshape",
    "Softmax",
    "SpatialDropout1D",
    "Tensor",
    "UpSampling1D",
    "ZeroPadding1D",
    "op_class",
    "op_classes",
    "parameter",
    "same_bits",
    "same_dim",
]
