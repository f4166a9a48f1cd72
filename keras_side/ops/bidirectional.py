"""Keras ``Bidirectional`` <-> `ops.Bidirectional`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from biport import ops
from biport.errors import UnsupportedError
from keras_side import recurrent
from keras_side.masks import Mask
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import READERS, WRITERS, reads, writes

HALVES = ("GRU", "LSTM", "RNN", "SimpleRNN")


def _mask(
    op: ops.Op, name: str, inputs: Sequence[str], masks: Sequence[Mask | None]
) -> Sequence[Mask | None]:
    assert isinstance(op, ops.Bidirectional)
    mask = masks[0] if op.forward.return_sequences else None
    merged = 2 if op.merge is None else 1
    return (mask,) * merged + (None,) * (op.output_count - merged)


def _refuse_masked(record: LayerRecord, op: ops.Op) -> None:
    assert isinstance(op, ops.Bidirectional)
    backward = record.child("backward_layer", record.config["backward_layer"])
    recurrent.refuse_masked(backward, op.backward)


def _read_half(record: LayerRecord, attribute: str, data: Mapping) -> ops.Recurrent:
    half = record.child(attribute, data)
    if half.class_name not in HALVES:
        raise UnsupportedError(record.owner, "layer", half.class_name, HALVES)
    op = READERS.lookup(half.class_name, half.owner).read(half)
    assert isinstance(op, ops.Recurrent)
    return op


@reads("Bidirectional", masks=_mask, refuse_masked=_refuse_masked, states=True)
def read_bidirectional(record: LayerRecord) -> ops.Bidirectional:
    """Read a Bidirectional; its halves are stored as ``forward_layer`` and ``backward_layer``."""
    with record.settings() as config:
        merge = config.choose("merge_mode", ops.MERGE_MODES, default="concat")
        forward = config.take("layer", Mapping)
        backward = config.take("backward_layer", Mapping)
    one = _read_half(record, "forward_layer", forward)
    two = _read_half(record, "backward_layer", backward)
    if one.reverse:
        raise UnsupportedError(record.owner, "go_backwards", True, "a forward layer in time order")
    if one.return_state and one.state_sizes != two.state_sizes:
        # Keras takes the backward half's states for copies of the forward half's.
        supported = f"the forward layer's {one.state_sizes}"
        raise UnsupportedError(record.owner, "backward_layer states", two.state_sizes, supported)
    return ops.Bidirectional(forward=one, backward=two, merge=merge)


@writes(ops.Bidirectional)
def write_bidirectional(op: ops.Bidirectional) -> WrittenLayer:
    """Write a Bidirectional around two layers; Keras lists the forward one's weights first."""
    one, two = (WRITERS.lookup(type(half), op.kind)(half) for half in (op.forward, op.backward))
    return WrittenLayer(
        class_name="Bidirectional",
        config={
            "layer": recurrent.serialised(one, f"forward_{op.forward.kind.lower()}"),
            "backward_layer": recurrent.serialised(two, f"backward_{op.backward.kind.lower()}"),
            "merge_mode": op.merge,
        },
        weights=[*one.weights, *two.weights],
        state_groups=(*one.state_groups, *two.state_groups),
    )
