"""Which function reads and writes which cell: what an ``RNN`` layer steps with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeVar

from biport.ops import Cell, Op
from biport.registry import Registry
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.shared.learning import read_learning, written_learning

CELL_READERS: Registry[str, Callable[[LayerRecord], Cell]] = Registry("Keras cell")
CELL_WRITERS: Registry[type[Cell], Callable[..., WrittenLayer]] = Registry("cell of the Keras writer")


def reads_cell(*classes: str) -> Callable[[Callable[[LayerRecord], Cell]], Callable[[LayerRecord], Cell]]:
    """Decorate the function that reads the cells of some classes."""

    def keep(function: Callable[[LayerRecord], Cell]) -> Callable[[LayerRecord], Cell]:
        def read(record: LayerRecord) -> Cell:
            return read_learning(function(record), record.config)

        CELL_READERS.register(*classes)(read)
        return function

    return keep


def writes_cell(kind: type[Cell]) -> Callable[[Callable[..., WrittenLayer]], Callable[..., WrittenLayer]]:
    """Decorate the function that writes cells of a kind."""

    def keep(function: Callable[..., WrittenLayer]) -> Callable[..., WrittenLayer]:
        def write(op: Cell) -> WrittenLayer:
            return with_learning(function(op), op)

        CELL_WRITERS.register(kind)(write)
        return function

    return keep


Written = TypeVar("Written")


def with_learning(written: Written, op: Op) -> Written:
    """A layer told how its weights are trained; anything else as it is."""
    if not isinstance(written, WrittenLayer):
        return written
    if not (settings := written_learning(op, written.class_name)):
        return written
    return dataclasses.replace(written, config={**written.config, **settings})
