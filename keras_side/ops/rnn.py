"""Keras ``SimpleRNN`` and ``SimpleRNNCell`` <-> `ops.RNN`."""

from __future__ import annotations

from biport import ops
from keras_side import recurrent
from keras_side.cells import reads_cell, writes_cell
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes

ORDER = "h"


@reads("SimpleRNN", masks=recurrent.recurrent_mask, refuse_masked=recurrent.refuse_masked, states=True)
def read_rnn(record: LayerRecord) -> ops.RNN:
    """Read a SimpleRNN."""
    with record.settings() as config:
        walk = recurrent.read_walk(config)
        return ops.RNN(**recurrent.read_cell(config, record.variables.child("cell"), ORDER), **walk)


@reads_cell("SimpleRNNCell")
def read_rnn_cell(record: LayerRecord) -> ops.RNN:
    """Read a SimpleRNNCell."""
    with record.settings() as config:
        return ops.RNN(**recurrent.read_cell(config, record.variables, ORDER))


@writes_cell(ops.RNN)
def write_rnn_cell(op: ops.RNN) -> WrittenLayer:
    """Write a SimpleRNNCell; two biases are added up, because Keras keeps one."""
    settings = recurrent.write_cell(op)
    return WrittenLayer("SimpleRNNCell", settings, recurrent.cell_weights(op, ORDER))


@writes(ops.RNN)
def write_rnn(op: ops.RNN) -> WrittenLayer:
    """Write a SimpleRNN."""
    return recurrent.layer("SimpleRNN", write_rnn_cell(op), op)
