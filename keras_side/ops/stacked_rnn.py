"""Keras ``RNN``: around one cell <-> that cell's op, around ``StackedRNNCells`` <-> `ops.StackedRNN`."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping

from biport import ops
from biport.registry import snake_case
from keras_side import recurrent
from keras_side.cells import CELL_READERS, CELL_WRITERS
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("RNN", masks=recurrent.recurrent_mask, refuse_masked=recurrent.refuse_masked, states=True)
def read_stacked_rnn(record: LayerRecord) -> ops.Recurrent:
    """Read an RNN layer; around a single cell, or a stack of one, it is what the layer of that kind is."""
    with record.settings() as config:
        walk = recurrent.read_walk(config)
        cell = record.child("cell", config.take("cell", Mapping))
    if cell.class_name == "StackedRNNCells":
        return ops.stacked(_cells(cell), **walk)
    return dataclasses.replace(_cell(cell), **walk)


def _cells(stack: LayerRecord) -> list[ops.Cell]:
    used: Counter[str] = Counter()
    found = []
    with stack.settings() as config:
        for index, data in enumerate(config.take("cells", list)):
            # Stored by class name, numbered from the second of a class on, as the layers of a model are.
            key = snake_case(str(data.get("class_name"))) if isinstance(data, Mapping) else ""
            place = f"{key}_{used[key]}" if used[key] else key
            used[key] += 1
            found.append(_cell(stack.item("cells", index, place, data)))
    return found


def _cell(record: LayerRecord) -> ops.Cell:
    return CELL_READERS.lookup(record.class_name, record.owner)(record)


@writes(ops.StackedRNN)
def write_stacked_rnn(op: ops.StackedRNN) -> WrittenLayer:
    """Write an RNN around StackedRNNCells."""
    cells = [CELL_WRITERS.lookup(type(cell), op.kind)(cell) for cell in op.cells]
    stack = WrittenLayer("StackedRNNCells", {"cells": [recurrent.serialised(cell) for cell in cells]})
    return WrittenLayer(
        class_name="RNN",
        config={"cell": recurrent.serialised(stack), **recurrent.write_walk(op)},
        weights=[array for cell in cells for array in cell.weights],
        state_groups=tuple(len(cell.states) for cell in op.cells),
    )
