"""The operations of a graph: one frozen, self-validating dataclass each.

Shape letters: N batch, T time, I input, H hidden, O output, G gates, D directions, V vocabulary.

An op carries its weights as numpy arrays, all of one float dtype, and says with `Op.infer` what it
makes of its inputs. What it computes is defined by `biport.reference`, in numpy.
"""

from biport.ops.activation import (
    ACTIVATIONS,
    ELU,
    Activation,
    LeakyReLU,
    PReLU,
    ReLU,
    Softmax,
)
from biport.ops.attention import AdditiveAttention, Attention, MultiHeadAttention
from biport.ops.base import Locality, Op, op_class, op_classes, parameter, same_bits
from biport.ops.convolution import Conv1D
from biport.ops.dense import Dense
from biport.ops.embedding import Embedding, ToIds
from biport.ops.mask import FeaturesNotEqual, LogicalAnd, LogicalOr, Masking, NotEqual, OnesLike
from biport.ops.merge import (
    Add,
    Average,
    Concatenate,
    Dot,
    LearnedAverage,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
)
from biport.ops.normalization import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
    Normalization,
    Rescaling,
    RMSNormalization,
    UnitNormalization,
)
from biport.ops.pooling import AveragePooling1D, GlobalAveragePooling1D, GlobalMaxPooling1D, MaxPooling1D
from biport.ops.preprocessing import CategoryEncoding, IntegerLookup
from biport.ops.recurrent import (
    GRU,
    LSTM,
    MERGE_MODES,
    RNN,
    Bidirectional,
    Cell,
    Gates,
    Recurrent,
    StackedRNN,
    stacked,
)
from biport.ops.regularization import (
    ActivityRegularization,
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    Identity,
    SpatialDropout1D,
)
from biport.ops.shape import (
    Cropping1D,
    Flatten,
    Flip,
    Permute,
    RepeatVector,
    Reshape,
    UpSampling1D,
    ZeroPadding1D,
)
from biport.ops.tensor import FLOATS, INTEGERS, Dim, Tensor, same_dim
from biport.ops.time_distributed import TimeDistributed

__all__ = [
    "ACTIVATIONS",
    "ELU",
    "FLOATS",
    "GRU",
    "INTEGERS",
    "LSTM",
    "MERGE_MODES",
    "RNN",
    "Activation",
    "ActivityRegularization",
    "Add",
    "AdditiveAttention",
    "AlphaDropout",
    "Attention",
    "Average",
    "AveragePooling1D",
    "BatchNormalization",
    "Bidirectional",
    "CategoryEncoding",
    "Cell",
    "Concatenate",
    "Conv1D",
    "Cropping1D",
    "Dense",
    "Dim",
    "Dot",
    "Dropout",
    "Embedding",
    "FeaturesNotEqual",
    "Flatten",
    "Flip",
    "Gates",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalMaxPooling1D",
    "GroupNormalization",
    "Identity",
    "IntegerLookup",
    "LayerNormalization",
    "LeakyReLU",
    "LearnedAverage",
    "Locality",
    "LogicalAnd",
    "LogicalOr",
    "Masking",
    "MaxPooling1D",
    "Maximum",
    "Minimum",
    "MultiHeadAttention",
    "Multiply",
    "Normalization",
    "NotEqual",
    "OnesLike",
    "Op",
    "PReLU",
    "Permute",
    "RMSNormalization",
    "ReLU",
    "Recurrent",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "Softmax",
    "SpatialDropout1D",
    "StackedRNN",
    "Subtract",
    "Tensor",
    "TimeDistributed",
    "ToIds",
    "UnitNormalization",
    "UpSampling1D",
    "ZeroPadding1D",
    "op_class",
    "op_classes",
    "parameter",
    "same_bits",
    "same_dim",
    "stacked",
]
