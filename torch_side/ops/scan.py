"""A recurrence over a body <-> `torch_side.layers.Recurrence`, a loop over a module."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from torch import nn

from biport import ops
from biport.graph import body_of
from torch_side import layers
from torch_side.reading.layer_call import LayerCall
from torch_side.reading.written import scan_of
from torch_side.registry import STATES, Inputs, Masks, Outputs, StateDict, parts, reads, states, writes
from torch_side.writing.graph_writer import GraphWriter, write_graph
from torch_side.writing.ported import Ported


@states(ops.Scan)
def state_scan(op: ops.Scan) -> StateDict:
    """``cell.score.weight`` and so on."""
    parts, state = op.parts(), dict[str, np.ndarray]()
    for part, path in parts_of_scan(op).items():
        own = STATES.lookup(type(parts[part]), op.kind)(parts[part])
        state |= {f"{path}.{name}".removesuffix("."): array for name, array in own.items()}
    return state


@parts(ops.Scan)
def parts_of_scan(op: ops.Scan) -> dict[str, str]:
    """``cell.score`` for ``body.score`` and so on."""
    paths, inside = _cell(op).paths, op.body
    return {
        f"body.{call.op}": f"cell.{paths[call.name]}"
        for call in op.calls
        if call.name in paths and type(inside[call.op]) in STATES
    }


def _cell(op: ops.Scan, biases: str = "one") -> Ported:
    """A step as a module."""
    return write_graph(body_of(op), biases, op.state_count)


@writes(ops.Scan)
def write_scan(op: ops.Scan, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``rnn = self.rnn(x, [h], constants=[memory])``, then ``rnn[0]``, the outputs, and ``rnn[1]``."""
    x, start, constants = op.split(inputs)
    mask = masks[0]
    if op.reverse:
        x = writer.method("flip", x, 1)
        mask = None if mask is None else writer.method("flip", mask, 1)
    zero = {} if mask is None or op.zero_output_for_mask else {"zero_output_for_mask": False}

    def build_layer(_: Any) -> nn.Module:
        sizes = [list(shape) for shape in op.state_shapes()]
        return layers.Recurrence(_cell(op, writer.biases), sizes, bool(op.constant_count), **zero)

    given = [x, list(start)] if start else [x]
    result = writer.module(build_layer, *given, mask=mask, constants=list(constants) or None)
    output = writer.call(operator.getitem, result, 0)
    if not op.return_sequences:
        output = writer.call(operator.getitem, output, (slice(None), -1))
    if not op.return_state:
        return (output,)
    final = writer.call(operator.getitem, result, 1)
    return (output, *(writer.call(operator.getitem, final, at) for at in range(op.state_count)))


@reads(layers.Recurrence)
def read_recurrence(call: LayerCall) -> Any:
    """A loop over a cell that was written."""
    x, hx, mask, constants = call.arguments("input", hx=None, mask=None, constants=None)
    zero = call.module.zero_output_for_mask
    op = scan_of(call.module, return_sequences=True, return_state=True, zero_output_for_mask=zero)
    assert op is not None
    inputs = [call.value(x), *map(call.value, [*(hx or []), *(constants or [])])]
    masks = [None if mask is None else call.value(mask), *[None] * (len(inputs) - 1)]
    output, *final = call.emit(op, inputs, masks)
    return output, final
