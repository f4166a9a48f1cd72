"""`ops.Dense` <-> `torch.nn.Linear` and the activation after it."""

from __future__ import annotations

from typing import Any

from torch import nn

from biport import ops
from torch_side.reading.layer_call import LayerCall, arrays, build
from torch_side.registry import Inputs, Masks, Outputs, StateDict, reads, states, writes
from torch_side.shared.activations import write_activation
from torch_side.writing.graph_writer import GraphWriter


@states(ops.Dense)
def state_dense(op: ops.Dense) -> StateDict:
    """The ``state_dict`` of the `nn.Linear`: ``(O, I)`` and ``(O,)``."""
    return {"weight": op.weight} | ({} if op.bias is None else {"bias": op.bias})


def linear(op: ops.Dense) -> nn.Linear:
    """An `nn.Linear` of the op's sizes."""
    return nn.Linear(op.input_size, op.output_size, bias=op.bias is not None)


@writes(ops.Dense)
def write_dense(op: ops.Dense, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``torch.sigmoid(self.dense(x))``, or the like for the other activations."""
    return (write_activation(writer, op.activation, writer.module(linear, inputs[0])),)


@reads(nn.Linear)
def read_dense(call: LayerCall) -> Any:
    """An `nn.Linear`."""
    module, owner = call.module, call.owner
    op = build(
        owner,
        ops.Dense,
        input_size=module.in_features,
        output_size=module.out_features,
        **arrays(owner, {"weight": module.weight, "bias": module.bias}),
    )
    (x,) = call.arguments("input")
    return call.emit(op, [call.value(x)])[0]
