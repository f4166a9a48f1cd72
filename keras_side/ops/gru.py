"""Keras ``GRU`` and ``GRUCell`` <-> `ops.GRU`."""

from __future__ import annotations

from typing import Any

from biport import ops
from biport.config import Config
from biport.errors import WeightError
from keras_side import recurrent
from keras_side.activations import write_activation
from keras_side.cells import reads_cell, writes_cell
from keras_side.records import LayerRecord, Variables, WrittenLayer
from keras_side.registry import reads, writes

ORDER = "zrh"  # keras/src/layers/rnn/gru.py, GRUCell.call


def _cell(config: Config, variables: Variables) -> dict[str, Any]:
    reset_after = config.take("reset_after", bool, default=True)
    fields = recurrent.read_cell(config, variables, ORDER)
    if (fields["bias_hh"] is not None) != (reset_after and fields["bias_ih"] is not None):
        raise WeightError(f"bias should have {2 if reset_after else 1} rows with reset_after={reset_after}")
    activation = recurrent.read_recurrent_activation(config)
    return fields | {"reset_after": reset_after, "recurrent_activation": activation}


@reads("GRU", masks=recurrent.recurrent_mask, refuse_masked=recurrent.refuse_masked, states=True)
def read_gru(record: LayerRecord) -> ops.GRU:
    """Read a GRU; with ``reset_after`` Keras keeps two biases, ``(2, 3H)``, else one, ``(3H,)``."""
    with record.settings() as config:
        walk = recurrent.read_walk(config)
        return ops.GRU(**_cell(config, record.variables.child("cell")), **walk)


@reads_cell("GRUCell")
def read_gru_cell(record: LayerRecord) -> ops.GRU:
    """Read a GRUCell."""
    with record.settings() as config:
        return ops.GRU(**_cell(config, record.variables))


@writes_cell(ops.GRU)
def write_gru_cell(op: ops.GRU) -> WrittenLayer:
    """Write a GRUCell."""
    activation = write_activation(op.recurrent_activation)
    config = recurrent.write_cell(op, recurrent_activation=activation, reset_after=op.reset_after)
    return WrittenLayer("GRUCell", config, recurrent.cell_weights(op, ORDER))


@writes(ops.GRU)
def write_gru(op: ops.GRU) -> WrittenLayer:
    """Write a GRU."""
    return recurrent.layer("GRU", write_gru_cell(op), op)
