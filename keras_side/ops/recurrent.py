"""Keras' recurrent layers and their cells <-> `ops.LSTM`, `ops.GRU`, `ops.RNN`, stacks, both directions."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from biport import ops
from biport.config import Config
from biport.errors import UnsupportedError, WeightError
from biport.registry import snake_case
from keras_side.mapped import reader_of_class
from keras_side.masks import Mask
from keras_side.ops.mapped_cell import read_mapped_cell
from keras_side.ops.scan import BODY_CELL, read_body
from keras_side.records import LayerRecord, Variables, WrittenLayer
from keras_side.registry import READERS, reads, writes, written_layer
from keras_side.shared import recurrent
from keras_side.shared.activations import write_activation
from keras_side.shared.cells import CELL_READERS, CELL_WRITERS, reads_cell, writes_cell

LSTM_ORDER = "ifco"  # keras/src/layers/rnn/lstm.py, LSTMCell.call
GRU_ORDER = "zrh"  # keras/src/layers/rnn/gru.py, GRUCell.call
RNN_ORDER = "h"


def _lstm(config: Config, variables: Variables) -> dict[str, Any]:
    """The fields of a cell; Keras keeps one bias, ``(4H,)``."""
    config.ignore("unit_forget_bias")
    activation = recurrent.read_recurrent_activation(config)
    return recurrent.read_cell(config, variables, LSTM_ORDER) | {"recurrent_activation": activation}


def _gru(config: Config, variables: Variables) -> dict[str, Any]:
    """The fields of a cell; with ``reset_after`` Keras keeps two biases, ``(2, 3H)``, else one, ``(3H,)``."""
    reset_after = config.take("reset_after", bool, default=True)
    fields = recurrent.read_cell(config, variables, GRU_ORDER)
    if (fields["bias_hh"] is not None) != (reset_after and fields["bias_ih"] is not None):
        raise WeightError(f"bias should have {2 if reset_after else 1} rows with reset_after={reset_after}")
    activation = recurrent.read_recurrent_activation(config)
    return fields | {"reset_after": reset_after, "recurrent_activation": activation}


def _rnn(config: Config, variables: Variables) -> dict[str, Any]:
    """The fields of a cell; Keras keeps one bias, ``(H,)``."""
    return recurrent.read_cell(config, variables, RNN_ORDER)


KINDS: Mapping[str, tuple[type[ops.Cell], Callable[[Config, Variables], dict[str, Any]]]] = {
    "GRU": (ops.GRU, _gru),
    "LSTM": (ops.LSTM, _lstm),
    "SimpleRNN": (ops.RNN, _rnn),
}
"""Layers of one kind of cell, which Keras has by the name of ``<layer>Cell`` too."""


@reads(
    {name: kind for name, (kind, _) in KINDS.items()},
    masks=recurrent.recurrent_mask,
    refuse_masked=recurrent.refuse_masked,
    states=True,
)
def read_recurrent(record: LayerRecord) -> ops.Cell:
    """Read a GRU, LSTM or SimpleRNN."""
    kind, fields = KINDS[record.class_name]
    with record.settings() as config:
        scan = recurrent.read_scan(config)
        return kind(**fields(config, record.variables.child("cell")), **scan)


@reads_cell(*(f"{name}Cell" for name in KINDS))
def read_cell(record: LayerRecord) -> ops.Cell:
    """Read a GRUCell, LSTMCell or SimpleRNNCell."""
    kind, fields = KINDS[record.class_name.removesuffix("Cell")]
    with record.settings() as config:
        return kind(**fields(config, record.variables))


@writes_cell(ops.GRU)
def write_gru_cell(op: ops.GRU) -> WrittenLayer:
    """Write a GRUCell."""
    activation = write_activation(op.recurrent_activation)
    config = recurrent.write_cell(op, recurrent_activation=activation, reset_after=op.reset_after)
    return WrittenLayer("GRUCell", config, recurrent.cell_weights(op, GRU_ORDER))


@writes_cell(ops.LSTM)
def write_lstm_cell(op: ops.LSTM) -> WrittenLayer:
    """Write an LSTMCell; two biases are added up, because Keras keeps one."""
    activation = write_activation(op.recurrent_activation)
    config = recurrent.write_cell(op, recurrent_activation=activation)
    return WrittenLayer("LSTMCell", config, recurrent.cell_weights(op, LSTM_ORDER))


@writes_cell(ops.RNN)
def write_rnn_cell(op: ops.RNN) -> WrittenLayer:
    """Write a SimpleRNNCell; two biases are added up, because Keras keeps one."""
    return WrittenLayer("SimpleRNNCell", recurrent.write_cell(op), recurrent.cell_weights(op, RNN_ORDER))


@writes(ops.GRU, ops.LSTM, ops.RNN)
def write_recurrent(op: ops.Cell) -> WrittenLayer:
    """Write a GRU, LSTM or SimpleRNN."""
    cell: WrittenLayer = CELL_WRITERS.lookup(type(op), op.kind)(op)
    config = {**cell.config, **recurrent.write_scan(op)}
    return WrittenLayer(cell.class_name.removesuffix("Cell"), config, cell.weights)


@reads(
    {"RNN": ops.StackedRNN},
    masks=recurrent.recurrent_mask,
    refuse_masked=recurrent.refuse_masked,
    states=True,
)
def read_stacked_rnn(record: LayerRecord) -> ops.Recurrent:
    """Read an RNN layer; around a single cell, or a stack of one, it is what the layer of that kind is."""
    with record.settings() as config:
        scan = recurrent.read_scan(config)
        data = config.take("cell", Mapping)
    if (reader := reader_of_class(data)) is not None:
        return read_mapped_cell(record, data, reader, scan)
    cell = record.child("cell", data)
    if cell.class_name == BODY_CELL:
        return read_body(cell, scan)
    if cell.class_name == "StackedRNNCells":
        return ops.stacked(_cells(cell), **scan)
    return dataclasses.replace(_cell(cell), **scan)


def _cells(stack: LayerRecord) -> list[ops.Cell]:
    used: Counter[str] = Counter()
    cells = []
    with stack.settings() as config:
        for index, data in enumerate(config.take("cells", list)):
            # Stored by class name, numbered from the second of a class on, as the layers of a model are.
            key = snake_case(str(data.get("class_name"))) if isinstance(data, Mapping) else ""
            numbered = f"{key}_{used[key]}" if used[key] else key
            used[key] += 1
            cells.append(_cell(stack.item("cells", index, numbered, data)))
    return cells


def _cell(record: LayerRecord) -> ops.Cell:
    return CELL_READERS.lookup(record.class_name, record.owner)(record)


@writes(ops.StackedRNN)
def write_stacked_rnn(op: ops.StackedRNN) -> WrittenLayer:
    """Write an RNN around StackedRNNCells."""
    cells = [CELL_WRITERS.lookup(type(cell), op.kind)(cell) for cell in op.cells]
    stack = WrittenLayer("StackedRNNCells", {"cells": [cell.serialised() for cell in cells]})
    return WrittenLayer(
        class_name="RNN",
        config={"cell": stack.serialised(), **recurrent.write_scan(op)},
        weights=[array for cell in cells for array in cell.weights],
        state_groups=tuple(len(cell.states) for cell in op.cells),
    )


DIRECTIONS = ("GRU", "LSTM", "RNN", "SimpleRNN", *recurrent.CONV_LSTMS)
"""What a Bidirectional may go around."""


def _bidirectional_mask(
    op: ops.Op, name: str, inputs: Sequence[str], masks: Sequence[Mask | None]
) -> Sequence[Mask | None]:
    assert isinstance(op, ops.Bidirectional)
    mask = masks[0] if op.forward.return_sequences else None
    merged = 2 if op.merge is None else 1
    return (mask,) * merged + (None,) * (op.output_count - merged)


def _refuse_masked_backward(record: LayerRecord, op: ops.Op) -> None:
    assert isinstance(op, ops.Bidirectional)
    backward = record.child("backward_layer", record.config["backward_layer"])
    recurrent.refuse_masked(backward, op.backward)


def _direction(record: LayerRecord, layer: LayerRecord) -> ops.Recurrent:
    if layer.class_name not in DIRECTIONS:
        raise UnsupportedError(record.owner, "layer", layer.class_name, DIRECTIONS)
    op = READERS.lookup(layer.class_name, layer.owner).read(layer)
    assert isinstance(op, ops.Recurrent)
    return op


@dataclass(frozen=True)
class _Exchanged:
    """The variables of a Bidirectional whose directions are called by each other's names."""

    variables: Variables

    def child(self, attribute: str) -> Variables:
        other = {"forward_layer": "backward_layer", "backward_layer": "forward_layer"}
        return self.variables.child(other[attribute])

    def __getattr__(self, name: str) -> Any:
        return getattr(self.variables, name)


def exchanged(record: LayerRecord) -> LayerRecord | None:
    """A Bidirectional whose forward layer scans backwards, with its directions exchanged; else ``None``.

    What it gives is what the exchanged one gives, in the order of the backward scan: Keras turns the second
    direction's steps round, whichever way that scans (keras/src/layers/rnn/bidirectional.py, ``call``).
    """
    layers = [record.config.get(name) for name in ("layer", "backward_layer")]
    configs = [layer.get("config") if isinstance(layer, Mapping) else None for layer in layers]
    turned = [isinstance(config, Mapping) and config.get("go_backwards") is True for config in configs]
    if record.class_name != "Bidirectional" or turned != [True, False]:
        return None
    config = {**record.config, "layer": layers[1], "backward_layer": layers[0]}
    return dataclasses.replace(record, config=config, variables=_Exchanged(record.variables))


def both_directions(record: LayerRecord) -> tuple[LayerRecord, LayerRecord, str | None]:
    """The two layers of a Bidirectional, and how what they give is merged."""
    with record.settings() as config:
        merge = config.choose("merge_mode", ops.MERGE_MODES, default="concat")
        layers = config.take("layer", Mapping), config.take("backward_layer", Mapping)
    return record.child("forward_layer", layers[0]), record.child("backward_layer", layers[1]), merge


@reads("Bidirectional", masks=_bidirectional_mask, refuse_masked=_refuse_masked_backward, states=True)
def read_bidirectional(record: LayerRecord) -> ops.Bidirectional:
    """Read a Bidirectional; its directions are stored as ``forward_layer`` and ``backward_layer``.

    Around layers that step with bodies it is no one op, see `steps_with_body`.
    """
    *layers, merge = both_directions(record)
    forward, backward = (_direction(record, layer) for layer in layers)
    if forward.reverse:
        raise UnsupportedError(record.owner, "go_backwards", True, "a forward layer in time order here")
    if forward.return_state and forward.state_sizes != backward.state_sizes:
        # Keras takes the backward direction's states for copies of the forward direction's.
        supported = f"the forward layer's {forward.state_sizes}"
        raise UnsupportedError(record.owner, "backward_layer states", backward.state_sizes, supported)
    return ops.Bidirectional(forward=forward, backward=backward, merge=merge)


@writes(ops.Bidirectional)
def write_bidirectional(op: ops.Bidirectional) -> WrittenLayer:
    """Write a Bidirectional around two layers; Keras lists the forward one's weights first."""
    forward, backward = (written_layer(direction, op.kind) for direction in (op.forward, op.backward))
    return WrittenLayer(
        class_name="Bidirectional",
        config={
            "layer": forward.serialised(f"forward_{op.forward.kind.lower()}"),
            "backward_layer": backward.serialised(f"backward_{op.backward.kind.lower()}"),
            "merge_mode": op.merge,
        },
        weights=[*forward.weights, *backward.weights],
        state_groups=(*forward.state_groups, *backward.state_groups),
    )
