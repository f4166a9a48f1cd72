"""Keras ``Bidirectional`` <-> `ops.Bidirectional`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from biport import ops
from biport.errors import UnsupportedError
from keras_side.masks import Mask
from keras_side.ops.lstm import read_lstm, recurrent_mask, write_lstm
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


def _mask(
    op: ops.Op, name: str, inputs: Sequence[str], masks: Sequence[Mask | None]
) -> Sequence[Mask | None]:
    assert isinstance(op, ops.Bidirectional)
    (mask,) = recurrent_mask(op.forward, name, inputs, masks)
    return (mask, mask) if op.merge is None else (mask,)


def _read_half(record: LayerRecord, attribute: str, data: Mapping) -> ops.LSTM:
    half = record.child(attribute, data)
    if half.class_name != "LSTM":
        raise UnsupportedError(record.owner, "layer", half.class_name, "LSTM")
    return read_lstm(half)


@reads("Bidirectional", masks=_mask)
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
    if one.hidden_size != two.hidden_size:
        raise UnsupportedError(
            record.owner, "backward_layer units", two.hidden_size, f"the forward layer's {one.hidden_size}"
        )
    if (one.bias_ih is None) != (two.bias_ih is None):
        raise UnsupportedError(record.owner, "use_bias", "unequal", "the same in both layers")
    return ops.Bidirectional(forward=one, backward=two, merge=merge)


@writes(ops.Bidirectional)
def write_bidirectional(op: ops.Bidirectional) -> WrittenLayer:
    """Write a Bidirectional around two layers; Keras lists the forward one's weights first."""
    halves = [write_lstm(op.forward), write_lstm(op.backward)]
    forward, backward = (
        {
            "module": "keras.layers",
            "class_name": half.class_name,
            "config": dict(half.config) | {"name": name},
            "registered_name": None,
        }
        for half, name in zip(halves, ("forward_lstm", "backward_lstm"), strict=True)
    )
    return WrittenLayer(
        class_name="Bidirectional",
        config={"layer": forward, "backward_layer": backward, "merge_mode": op.merge},
        weights=[*halves[0].weights, *halves[1].weights],
    )
