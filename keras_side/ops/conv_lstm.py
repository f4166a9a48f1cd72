"""Keras' ConvLSTM1D, ConvLSTM2D and ConvLSTM3D <-> the ops of these names.

The axes of a kernel come first in Keras, ``(*K, I, 4H)``, and last in the graph, ``{gate: (H, I, *K)}``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from biport.errors import UnsupportedError, WeightError
from biport.gates import split_gates, stack_gates
from biport.ops import ConvolutionalLSTM, Gates
from biport.ops.conv_lstm import CONV_LSTMS
from biport.ops.convolution import PADDINGS
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes
from keras_side.shared import recurrent
from keras_side.shared.activations import read_activation, write_activation
from keras_side.shared.sizes import take_sizes, written_sizes

ORDER = "ifco"  # keras/src/layers/rnn/conv_lstm.py, ConvLSTMCell.call

KINDS: Mapping[str, type[ConvolutionalLSTM]] = {kind.__name__: kind for kind in CONV_LSTMS.values()}


@reads(KINDS, masks=recurrent.recurrent_mask, refuse_masked=recurrent.refuse_masked, states=True)
def read_conv_lstm(record: LayerRecord) -> ConvolutionalLSTM:
    """Read a ConvLSTM1D, ConvLSTM2D or ConvLSTM3D."""
    kind = KINDS[record.class_name]
    count = kind.dimensions
    with record.settings() as config:
        scan = recurrent.read_scan(config)
        filters = config.take("filters", int)
        use_bias = config.take("use_bias", bool, default=True)
        config.require(data_format="channels_last")
        config.ignore("seed", "unit_forget_bias")
        settings = {
            "kernel_size": take_sizes(config, "kernel_size", count),
            "strides": take_sizes(config, "strides", count, 1),
            "padding": config.choose("padding", PADDINGS[:2], default="valid"),
            "dilation": take_sizes(config, "dilation_rate", count, 1),
            "activation": read_activation(config, "activation", default="tanh"),
            "recurrent_activation": recurrent.read_recurrent_activation(config),
            "dropout": float(config.take("dropout", (int, float), default=0.0)),
            "recurrent_dropout": float(config.take("recurrent_dropout", (int, float), default=0.0)),
        }
    names = ["kernel", "recurrent_kernel", *(["bias"] if use_bias else [])]
    arrays = record.variables.child("cell").take(names)
    kernel, recurrent_kernel = (_from_kernel(arrays[name], name, count) for name in names[:2])
    return kind(
        input_size=next(iter(kernel.values())).shape[1],
        hidden_size=filters,
        weight_ih=kernel,
        weight_hh=recurrent_kernel,
        bias=split_gates(arrays["bias"], ORDER) if use_bias else None,
        **settings,
        **scan,
    )


@writes(*CONV_LSTMS.values())
def write_conv_lstm(op: ConvolutionalLSTM) -> WrittenLayer:
    """Write a ConvLSTM1D, ConvLSTM2D or ConvLSTM3D.

    Raises:
        UnsupportedError: Keras has not these strides with this dilation.
    """
    if max(op.strides) > 1 and max(op.dilation) > 1:
        raise UnsupportedError(op.kind, "strides", op.strides, "1 where there is a dilation, as in Keras")
    config = {
        "filters": op.hidden_size,
        "kernel_size": written_sizes(op.kernel_size),
        "strides": written_sizes(op.strides),
        "padding": op.padding,
        "data_format": "channels_last",
        "dilation_rate": written_sizes(op.dilation),
        "activation": write_activation(op.activation),
        "recurrent_activation": write_activation(op.recurrent_activation),
        "use_bias": op.bias is not None,
        "dropout": op.dropout,
        "recurrent_dropout": op.recurrent_dropout,
        **recurrent.write_scan(op),
    }
    return WrittenLayer(op.kind, config, list(_weights(op)))


def _weights(op: ConvolutionalLSTM) -> Sequence[np.ndarray]:
    kernels = [_to_kernel(op.weight_ih), _to_kernel(op.weight_hh)]
    return kernels if op.bias is None else [*kernels, stack_gates(op.bias, ORDER)]


def _from_kernel(kernel: np.ndarray, name: str, dimensions: int) -> dict[str, np.ndarray]:
    if kernel.ndim != dimensions + 2:
        raise WeightError(f"{name} should have {dimensions + 2} dimensions, found shape {kernel.shape}")
    return split_gates(np.moveaxis(kernel, (-1, -2), (0, 1)), ORDER)


def _to_kernel(gates: Gates) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(stack_gates(gates, ORDER), (0, 1), (-1, -2)))
