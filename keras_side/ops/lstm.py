"""Keras ``LSTM`` <-> `ops.LSTM`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from biport import ops
from biport.gates import split_gates, stack_gates
from keras_side.masks import Mask
from keras_side.records import LayerRecord, WrittenLayer, input_size
from keras_side.registry import reads, writes

ORDER = "ifco"  # keras/src/layers/rnn/lstm.py, LSTMCell.call


def recurrent_mask(
    op: ops.Op, name: str, inputs: Sequence[str], masks: Sequence[Mask | None]
) -> Sequence[Mask | None]:
    """A layer that gives sequences passes its mask on; one that gives the last step ends it."""
    assert isinstance(op, ops.LSTM)
    return (masks[0] if op.return_sequences else None,)


@reads("LSTM", masks=recurrent_mask)
def read_lstm(record: LayerRecord) -> ops.LSTM:
    """Read an LSTM; its kernels are ``(I, 4H)`` and ``(H, 4H)``, gates last, with one bias ``(4H,)``."""
    with record.settings() as config:
        hidden_size = config.take("units", int)
        use_bias = config.take("use_bias", bool, default=True)
        reverse = config.take("go_backwards", bool, default=False)
        return_sequences = config.take("return_sequences", bool, default=False)
        zero_output_for_mask = config.take("zero_output_for_mask", bool, default=False)
        dropout = config.take("dropout", (int, float), default=0.0)
        recurrent_dropout = config.take("recurrent_dropout", (int, float), default=0.0)
        config.require(activation="tanh", recurrent_activation="sigmoid", return_state=False, stateful=False)
        config.ignore("unit_forget_bias", "unroll", "seed", "implementation", "use_cudnn")

    names = ["kernel", "recurrent_kernel", "bias"] if use_bias else ["kernel", "recurrent_kernel"]
    variables = record.variables.child("cell").take(names)
    return ops.LSTM(
        input_size=input_size(variables["kernel"]),
        hidden_size=hidden_size,
        reverse=reverse,
        return_sequences=return_sequences,
        zero_output_for_mask=zero_output_for_mask,
        dropout=float(dropout),
        recurrent_dropout=float(recurrent_dropout),
        weight_ih=split_gates(variables["kernel"].T, ORDER),
        weight_hh=split_gates(variables["recurrent_kernel"].T, ORDER),
        bias_ih=split_gates(variables["bias"], ORDER) if use_bias else None,
        bias_hh=None,
    )


@writes(ops.LSTM)
def write_lstm(op: ops.LSTM) -> WrittenLayer:
    """Write an LSTM; two biases are added up, in their own dtype, because Keras keeps one."""
    weights = [stack_gates(op.weight_ih, ORDER).T, stack_gates(op.weight_hh, ORDER).T]
    if op.bias_ih is not None:
        weights.append(single_bias(op.bias_ih, op.bias_hh))
    return WrittenLayer(
        class_name="LSTM",
        config={
            "units": op.hidden_size,
            "use_bias": op.bias_ih is not None,
            "go_backwards": op.reverse,
            "return_sequences": op.return_sequences,
            "zero_output_for_mask": op.zero_output_for_mask,
            "dropout": op.dropout,
            "recurrent_dropout": op.recurrent_dropout,
        },
        weights=weights,
    )


def single_bias(bias_ih: ops.Gates, bias_hh: ops.Gates | None) -> np.ndarray:
    """``(4H,)``: the sum of the two biases, or the only one bit for bit."""
    stacked = stack_gates(bias_ih, ORDER)
    return stacked if bias_hh is None else stacked + stack_gates(bias_hh, ORDER)
