"""Which function reads and writes which cell: what an ``RNN`` layer steps with."""

from __future__ import annotations

from collections.abc import Callable

from biport.ops import Cell
from biport.registry import Registry
from keras_side.records import LayerRecord, WrittenLayer

CELL_READERS: Registry[str, Callable[[LayerRecord], Cell]] = Registry("Keras cell")
CELL_WRITERS: Registry[type[Cell], Callable[..., WrittenLayer]] = Registry("cell of the Keras writer")

reads_cell = CELL_READERS.register
writes_cell = CELL_WRITERS.register
