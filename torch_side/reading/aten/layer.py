"""Layers that were read whole at their call."""

from __future__ import annotations

from torch import nn

from torch_side.layers import AdditiveAttention, Attention, Recurrence
from torch_side.reading.aten_call import AtenCall
from torch_side.registry import reads_aten

GIVE_ALL = (nn.MultiheadAttention, nn.RNNBase, Attention, AdditiveAttention, Recurrence)
"""Layers that give more than may be used; how ours of several heads treats masks depends on what is asked."""


@reads_aten("biport.layer.default")
def read_layer(call: AtenCall) -> tuple[str, ...]:
    """What `torch_side.reading.layer_session` read, applied to the values of this program."""
    session = call.reader.program.session
    assert session is not None
    record = session.calls[call["number"]]
    values: dict[str, str] = {str(position): call.value(part) for position, part in enumerate(call["inputs"])}
    sizes = {
        str(letter): dim
        for position, value in values.items()
        for letter, dim in zip(record.tensors[position].shape, call.reader.tensors[value].shape, strict=True)
        if not isinstance(letter, int)
    }
    path = call.reader.position(call.node)[0] or None
    weighted = [emission for emission in record.emissions if emission.op.weights()]
    main = (weighted or record.emissions)[-1]
    for emission in record.emissions:
        inputs = [values[name] for name in emission.inputs]
        masks = [None if mask is None else values[mask] for mask in emission.masks]
        own = path if emission is main else None
        if emission.name is not None:
            own = f"{path}.{emission.name}" if path else emission.name
        key = ("layer", record.module, emission.name or emission.op.kind)
        outputs = call.emit(emission.op.at(sizes), *inputs, masks=masks, name=own, key=key)
        if isinstance(record.module, GIVE_ALL):
            call.reader.give_all.add(outputs[0])
        if own is not None:
            call.reader.kept.add(outputs[0])
        values |= zip(emission.outputs, outputs, strict=True)
    return tuple(values[name] for name in record.outputs)
