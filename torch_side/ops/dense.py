"""`ops.Dense` <-> `torch.nn.Linear` and the activation after it."""

from __future__ import annotations

from torch import nn

from biport import ops
from torch_side.registry import Inputs, Masks, Outputs, StateDict, states, writes
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
