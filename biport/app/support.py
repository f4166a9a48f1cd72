"""What is supported, by the names people know: Keras' layers, torch's modules and functions.

Tests compare `SUPPORT` with the registries of both sides and try each of its refusals. The README's table and
``biport layers`` are made of it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from biport.tables import markdown_table


@dataclass(frozen=True)
class Support:
    """One family of layers.

    Args:
        family: the name of its file in every ``ops`` folder.
        keras: layers of Keras 3; files of Keras 1 and 2 have them by their older names too.
        torch: modules, functions (``F.relu``), methods (``.mean``) and operators that are read.
        extent: how much of them.
        refused: what of them is not, each refused with an error that names it.
    """

    family: str
    keras: Sequence[str]
    torch: Sequence[str]
    extent: str
    refused: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return vars(self)


SUPPORT: Sequence[Support] = (
    Support(
        "recurrent",
        ("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional", "LSTMCell", "GRUCell", "SimpleRNNCell"),
        ("nn.LSTM", "nn.GRU", "nn.RNN", "nn.LSTMCell", "nn.GRUCell", "nn.RNNCell", "pack_padded_sequence"),
        "every activation, with or without biases, `reset_after` on or off, `StackedRNNCells`; both "
        "directions with the five merges or a `backward_layer` of another kind and size; sequences or the "
        "last step, initial and final states, `zero_output_for_mask`, every mask; `stateful` as states that "
        "go in and out, or as zeros at each call; cells of one's own; in torch `num_layers`, "
        "`bidirectional`, `batch_first` or not, dropout between layers, `proj_size`, packed rows",
        (
            "stateful in both directions, with states that go in and out",
            "cells that begin with other numbers than zeros",
            "state kept on the module",
        ),
    ),
    Support(
        "conv_lstm",
        ("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"),
        (),
        "strides, padding, dilation, `channels_first`, every activation and mask, both directions, states; "
        "images of fixed sizes. In torch cells of one's own over a number of steps that is fixed",
    ),
    Support(
        "embedding",
        ("Embedding",),
        ("nn.Embedding", "nn.EmbeddingBag"),
        "`mask_zero`; ids checked against the table, of float inputs too",
        ("max_norm",),
    ),
    Support(
        "dense",
        ("Dense",),
        ("nn.Linear", "nn.Bilinear"),
        "over the last axis, every activation; in torch weights that several layers share",
    ),
    Support(
        "attention",
        ("Attention", "AdditiveAttention", "MultiHeadAttention"),
        ("nn.MultiheadAttention", "nn.TransformerEncoderLayer", "F.scaled_dot_product_attention"),
        "keys of their own, causal, with their scores, `output_shape`, under the masks of queries, values "
        "and keys and an `attention_mask`; in torch `key_padding_mask` and `attn_mask`",
        ("use_gate", "attention_axes other than time"),
    ),
    Support(
        "convolution",
        (
            *("Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D"),
            *("SeparableConv2D", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"),
        ),
        ("nn.Conv1d", "nn.Conv2d", "nn.Conv3d", "nn.ConvTranspose1d", "nn.ConvTranspose2d"),
        "valid, same and causal padding, in torch any padding and `padding_mode`, strides, dilation, groups, "
        "`depth_multiplier`, `output_padding`, every activation, `channels_first`",
    ),
    Support(
        "pooling",
        (
            *("MaxPooling1D", "MaxPooling2D", "MaxPooling3D", "AveragePooling1D", "AveragePooling2D"),
            *("AveragePooling3D", "GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D"),
            *("GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D"),
        ),
        (
            *("nn.MaxPool1d", "nn.MaxPool2d", "nn.AvgPool1d", "nn.AvgPool2d", "nn.AdaptiveMaxPool1d"),
            *("nn.AdaptiveAvgPool2d", ".mean(1)", ".amax(1)", ".max(1)"),
        ),
        "valid and same, in torch any padding, strides, `channels_first`; averages under a mask",
        ("return_indices",),
    ),
    Support(
        "normalization",
        (
            *("BatchNormalization", "LayerNormalization", "UnitNormalization", "RMSNormalization"),
            *("GroupNormalization", "Normalization", "Rescaling"),
        ),
        (
            *("nn.BatchNorm1d", "nn.BatchNorm2d", "nn.LayerNorm", "nn.RMSNorm", "nn.GroupNorm"),
            *("nn.InstanceNorm1d", "F.normalize"),
        ),
        "any axis, with or without scale and offset, `rms_scaling`, as at inference; statistics given or "
        "adapted",
        ("renorm", "track_running_stats=False"),
    ),
    Support(
        "preprocessing",
        ("TextVectorization", "StringLookup", "IntegerLookup", "Discretization", "CategoryEncoding"),
        (),
        "right behind an input of texts a tokeniser beside the graph, which begins with the ids: every "
        "`standardize`, `split` and `ngrams` by name; a vocabulary given or adapted, masks and unknown "
        "tokens; ids or vectors, one_hot, multi_hot, count and tf_idf",
        ("num_oov_indices=0", "ragged", "invert", "Hashing", "HashedCrossing"),
    ),
    Support(
        "activation",
        ("Activation", "ReLU", "LeakyReLU", "ELU", "PReLU", "Softmax"),
        ("nn.ReLU", "nn.PReLU", "nn.Softmax", "nn.GLU", "F.gelu", "torch.tanh", "and the others of torch"),
        "all of Keras by name but `glu`, `sparsemax` and `threshold`, and `hard_sigmoid_keras2` of Keras 1 "
        "and 2; softmax over any axes, under a mask; functions of one's own",
        ("sparsemax",),
    ),
    Support(
        "merge",
        ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot"),
        ("+", "-", "*", "/", "torch.maximum", "torch.minimum", "torch.cat", "torch.bmm"),
        "two inputs or more, sizes of 1 stretched, masks as Keras joins them; `biport>LearnedAverage`",
    ),
    Support(
        "mask",
        ("Masking",),
        ("ids != 0", "torch.logical_and", "torch.logical_or", "(x != 0).any(-1)"),
        "made, joined, passed on and ended as each release of Keras does",
    ),
    Support(
        "shape",
        (
            *("Flatten", "Reshape", "Permute", "RepeatVector", "Cropping1D", "Cropping2D", "Cropping3D"),
            *("ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D", "UpSampling1D", "UpSampling2D"),
            "UpSampling3D",
        ),
        ("nn.Flatten", "nn.Unflatten", "nn.Upsample", ".transpose", ".permute", ".flip"),
        "sizes that vary stay free; nearest and bilinear interpolation, `channels_first`",
        ("interpolation=bicubic",),
    ),
    Support(
        "regularization",
        (
            *("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "GaussianDropout"),
            *("GaussianNoise", "AlphaDropout", "ActivityRegularization", "Identity"),
        ),
        ("nn.Dropout", "nn.AlphaDropout", "nn.Identity", "F.dropout"),
        "nothing at inference; kept for training",
        ("noise_shape",),
    ),
    Support(
        "time_distributed",
        ("TimeDistributed",),
        (),
        "around any of these layers and any model with one input and one output; masks of what is inside",
        ("a mask of whole steps around a layer that takes one",),
    ),
)


KERAS_OPERATIONS: Sequence[str] = (
    *("abs", "absolute", "add", "all", "amax", "amin", "any", "append", "arccos", "arccosh", "arcsin"),
    *("arcsinh", "arctan", "arctan2", "arctanh", "argmax", "argmin", "argsort", "array", "array_split"),
    *("average", "average_pool", "batch_normalization", "broadcast_to", "cast", "ceil", "celu", "clip"),
    *("concatenate", "conj", "conjugate", "conv", "conv_transpose", "convert_to_tensor", "copy", "cos"),
    *("cosh", "count_nonzero", "cumsum", "deg2rad", "depthwise_conv", "diff", "divide", "divide_no_nan"),
    *("dot", "dsplit", "einsum", "elu", "equal", "erf", "exp", "exp2", "expand_dims", "expm1", "fabs"),
    *("flip", "fliplr", "flipud", "floor", "floor_divide", "fmod", "full_like", "gelu", "get_item", "glu"),
    *("greater", "greater_equal", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh"),
    *("heaviside", "hsplit", "hstack", "inner", "isclose", "isfinite", "isinf", "isnan", "isneginf"),
    *("isposinf", "layer_normalization", "leaky_relu", "less", "less_equal", "log", "log10", "log1p"),
    *("log2", "log_sigmoid", "log_softmax", "logaddexp", "logical_and", "logical_not", "logical_or"),
    *("logical_xor", "logsumexp", "matmul", "max", "max_pool", "maximum", "mean", "min", "minimum", "mod"),
    *("moments", "moveaxis", "multiply", "nan_to_num", "negative", "norm", "normalize", "not_equal"),
    *("one_hot", "ones_like", "outer", "pad", "power", "prod", "ptp", "rad2deg", "ravel", "real"),
    *("reciprocal", "relu", "relu6", "repeat", "reshape", "rms_normalization", "roll", "round"),
    *("rsqrt", "selu", "separable_conv", "sigmoid", "sign", "silu", "sin", "sinh", "size", "slice"),
    *("soft_shrink", "softmax", "softplus", "softsign", "sort", "sparse_plus", "sparse_sigmoid", "split"),
    *("sqrt", "square", "squareplus", "squeeze", "stack", "std", "stop_gradient", "subtract", "sum"),
    *("swapaxes", "swish", "take", "take_along_axis", "tan", "tanh", "tanh_shrink", "tensordot"),
    *("threshold", "tile", "top_k", "transpose", "tril", "triu", "true_divide", "trunc", "unstack", "var"),
    *("vdot", "vsplit", "vstack", "where", "zeros_like"),
)
"""Functions of ``keras.ops`` that are read between layers, like Python's operators and square brackets."""


TORCH_OPERATIONS: Sequence[str] = (
    *("abs", "absolute", "acos", "acosh", "adaptive_avg_pool1d", "adaptive_avg_pool2d"),
    *("adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"),
    *("add", "addbmm", "addcdiv", "addcmul", "addmm", "addmv", "addr", "alias", "all", "alpha_dropout"),
    *("amax", "amin", "aminmax", "any", "arange", "arccos", "arccosh", "arcsin", "arcsinh", "arctan"),
    *("arctan2", "arctanh", "argmax", "argmin", "argsort", "asin", "asinh", "atan", "atan2", "atanh"),
    *("avg_pool1d", "avg_pool2d", "avg_pool3d", "baddbmm", "batch_norm", "bilinear"),
    *("binary_cross_entropy", "binary_cross_entropy_with_logits", "bitwise_and", "bitwise_not"),
    *("bitwise_or", "bitwise_xor", "bmm", "broadcast_tensors", "broadcast_to", "cat", "ceil", "celu"),
    *("chain_matmul", "channel_shuffle", "chunk", "clamp", "clamp_max", "clamp_min", "clip", "clone"),
    *("column_stack", "concat", "concatenate", "constant_pad_nd", "contiguous", "conv1d", "conv2d"),
    *("conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "convolution", "copy"),
    *("cos", "cosh", "cosine_similarity", "count_nonzero", "cross_entropy_loss", "cumsum", "detach"),
    *("detach_", "diag", "diag_embed", "diagonal", "dist", "div", "divide", "dot", "dropout", "dstack"),
    *("einsum", "elu", "embedding", "embedding_bag", "embedding_renorm", "embedding_renorm_", "empty"),
    *("empty_like", "eq", "erf", "exp", "exp2", "expand", "expand_as", "expm1", "eye"),
    *("feature_alpha_dropout", "feature_dropout", "fill", "fix", "flatten", "flip", "fliplr", "flipud"),
    *("floor", "floor_divide", "fmax", "fmin", "fmod", "full", "full_like", "gather", "ge", "gelu"),
    *("ger", "glu", "greater", "greater_equal", "group_norm", "gru", "gru_cell", "gt"),
    *("hamming_window", "hann_window", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "hstack"),
    *("huber_loss", "index", "index_fill", "index_put", "index_select", "inner", "instance_norm"),
    *("isfinite", "isinf", "isnan", "kthvalue", "l1_loss", "layer_norm", "le", "leaky_relu", "lerp"),
    *("less", "less_equal", "lift", "lift_fresh", "lift_fresh_copy", "linalg_matmul"),
    *("linalg_multi_dot", "linalg_norm", "linalg_vecdot", "linalg_vector_norm", "linear", "linspace"),
    *("log", "log10", "log1p", "log2", "log_sigmoid", "log_sigmoid_forward", "log_softmax"),
    *("logical_and", "logical_not", "logical_or", "logical_xor", "logspace", "logsumexp", "lstm"),
    *("lstm_cell", "lt", "mT", "masked_fill", "matmul", "max", "max_pool1d", "max_pool1d_with_indices"),
    *("max_pool2d", "max_pool2d_with_indices", "max_pool3d", "max_pool3d_with_indices", "maximum"),
    *("mean", "meshgrid", "min", "minimum", "mish", "mm", "mse_loss", "msort", "mul", "multiply", "mv"),
    *("nan_to_num", "native_channel_shuffle", "native_group_norm", "native_layer_norm", "ne", "neg"),
    *("negative", "new_empty", "new_full", "new_ones", "new_zeros", "nll_loss", "nll_loss2d"),
    *("nll_loss_nd", "norm", "not_equal", "numpy_T", "one_hot", "ones", "ones_like", "outer", "pad"),
    *("pairwise_distance", "permute", "pixel_shuffle", "pixel_unshuffle", "positive", "pow", "prelu"),
    *("prod", "range", "reciprocal", "reflection_pad1d", "relu", "relu6", "remainder", "repeat"),
    *("repeat_interleave", "replication_pad1d", "reshape", "resolve_conj", "resolve_neg", "rms_norm"),
    *("rnn_relu", "rnn_relu_cell", "rnn_tanh", "rnn_tanh_cell", "roll", "rot90", "round", "row_stack"),
    *("rrelu", "rrelu_with_noise", "rsqrt", "rsub", "scalar_tensor", "scaled_dot_product_attention"),
    *("scatter", "scatter_add", "select", "select_scatter", "selu", "sgn", "sigmoid", "sign", "silu"),
    *("sin", "sinh", "slice", "slice_scatter", "smooth_l1_loss", "softmax", "softplus", "softshrink"),
    *("sort", "special_erf", "special_exp2", "special_expit", "special_expm1", "special_log1p"),
    *("special_log_softmax", "special_logsumexp", "special_round", "split", "split_with_sizes", "sqrt"),
    *("square", "squeeze", "stack", "std", "std_mean", "sub", "subtract", "sum", "t", "take"),
    *("take_along_dim", "tan", "tanh", "tensor_split", "tensordot", "threshold", "tile", "to", "topk"),
    *("transpose", "tril", "tril_indices", "triu", "triu_indices", "true_divide", "trunc", "type_as"),
    *("unbind", "unflatten", "unfold", "unsafe_chunk", "unsafe_split", "unsafe_split_with_sizes"),
    *("unsqueeze", "upsample_bilinear2d", "upsample_nearest1d", "upsample_nearest2d"),
    *("upsample_nearest3d", "var", "var_mean", "vdot", "view", "view_copy", "vstack", "where", "zero"),
    *("zeros", "zeros_like"),
)
"""Operators of torch (aten) that are read; others are, where torch takes them apart into these."""


def operations_text() -> str:
    """`KERAS_OPERATIONS` and `TORCH_OPERATIONS` as paragraphs."""
    keras, torch = (textwrap.fill(", ".join(names), 110) for names in (KERAS_OPERATIONS, TORCH_OPERATIONS))
    return (
        f"Read between layers: Python's operators, square brackets, and of keras.ops\n{keras}\n\n"
        f"Read of torch, and what torch takes apart into these\n{torch}"
    )


def support_table() -> str:
    """The families as a Markdown table."""
    rows = [
        [
            ", ".join(f"`{name}`" for name in row.keras),
            ", ".join(f"`{name}`" if " the " not in name else name for name in row.torch) or "-",
            row.extent,
            ", ".join(row.refused) or "-",
        ]
        for row in SUPPORT
    ]
    return markdown_table([["Keras", "PyTorch", "how much of it", "refused by name"], *rows])
