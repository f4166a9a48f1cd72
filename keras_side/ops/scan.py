"""Keras' ``RNN`` around a cell that is a model, and biport's own, of constants and images <-> `ops.Scan`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from biport import ops
from biport.errors import UnsupportedError
from biport.graph import body_of, owners, scan_over
from keras_side.records import LayerRecord, WrittenLayer, layer_name
from keras_side.registry import WRITERS, reads, writes
from keras_side.shared import recurrent

BODY_CELL = "BodyCell"


@reads(
    {"Recurrence": ops.Scan},
    masks=recurrent.recurrent_mask,
    refuse_masked=recurrent.refuse_masked,
    states=True,
    constants=True,
)
def read_recurrence(record: LayerRecord) -> ops.Scan:
    """Read biport's own RNN."""
    with record.settings() as config:
        scan = recurrent.read_scan(config)
        cell = record.child("cell", config.take("cell", Mapping))
    if cell.class_name != BODY_CELL:
        raise UnsupportedError(record.owner, "cell", cell.class_name, BODY_CELL)
    return read_body(cell, scan)


def read_body(cell: LayerRecord, settings: Mapping[str, Any]) -> ops.Scan:
    """What steps with a BodyCell."""
    with cell.settings() as config:
        count = config.take("state_count", int)
        body = config.take("body", Mapping)
    return scan_over(cell.model("body", body), count, **settings)


@writes(ops.Scan)
def write_scan(op: ops.Scan) -> WrittenLayer:
    """Write an RNN around a BodyCell: biport's own where it takes constants, or more than vectors."""
    written = {name: WRITERS.lookup(type(part), op.kind)(part) for name, part in owners(body_of(op)).items()}
    return WrittenLayer(
        class_name="RNN" if _is_plain(op) else "Recurrence",
        config=recurrent.write_scan(op),
        inside={layer_name(name): part for name, part in written.items() if isinstance(part, WrittenLayer)},
    )


def _is_plain(op: ops.Scan) -> bool:
    """Whether x, states and output of a step are vectors, and there is nothing else."""
    shapes = op.step_shape, op.output_shape(), *op.state_shapes()
    return not op.constant_count and all(len(shape) == 1 for shape in shapes)


def steps_with_body(record: LayerRecord) -> bool:
    """Whether a layer is an RNN around a BodyCell, or a Bidirectional around such a one."""
    key = "layer" if record.class_name == "Bidirectional" else "cell"
    inner = record.config.get(key)
    if not isinstance(inner, Mapping) or record.class_name not in ("Bidirectional", "RNN", "Recurrence"):
        return False
    return inner.get("class_name") == BODY_CELL or (
        key == "layer" and steps_with_body(record.child("forward_layer", inner))
    )
