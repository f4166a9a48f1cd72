"""Keras ``LSTM`` and ``LSTMCell`` <-> `ops.LSTM`."""

from __future__ import annotations

from typing import Any

from biport import ops
from biport.config import Config
from keras_side import recurrent
from keras_side.activations import write_activation
from keras_side.cells import reads_cell, writes_cell
from keras_side.records import LayerRecord, Variables, WrittenLayer
from keras_side.registry import reads, writes

ORDER = "ifco"  # keras/src/layers/rnn/lstm.py, LSTMCell.call


def _cell(config: Config, variables: Variables) -> dict[str, Any]:
    config.ignore("unit_forget_bias")
    activation = recurrent.read_recurrent_activation(config)
    return recurrent.read_cell(config, variables, ORDER) | {"recurrent_activation": activation}


@reads("LSTM", masks=recurrent.recurrent_mask, refuse_masked=recurrent.refuse_masked, states=True)
def read_lstm(record: LayerRecord) -> ops.LSTM:
    """Read an LSTM; Keras keeps one bias, ``(4H,)``."""
    with record.settings() as config:
        walk = recurrent.read_walk(config)
        return ops.LSTM(**_cell(config, record.variables.child("cell")), **walk)


@reads_cell("LSTMCell")
def read_lstm_cell(record: LayerRecord) -> ops.LSTM:
    """Read an LSTMCell."""
    with record.settings() as config:
        return ops.LSTM(**_cell(config, record.variables))


@writes_cell(ops.LSTM)
def write_lstm_cell(op: ops.LSTM) -> WrittenLayer:
    """Write an LSTMCell; two biases are added up, because Keras keeps one."""
    activation = write_activation(op.recurrent_activation)
    settings = recurrent.write_cell(op, recurrent_activation=activation)
    return WrittenLayer("LSTMCell", settings, recurrent.cell_weights(op, ORDER))


@writes(ops.LSTM)
def write_lstm(op: ops.LSTM) -> WrittenLayer:
    """Write an LSTM."""
    return recurrent.layer("LSTM", write_lstm_cell(op), op)
