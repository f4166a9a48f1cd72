"""Operations without inputs -> buffers, parameters, numbers in place, and `torch.arange`, `torch.full`."""

from __future__ import annotations

import torch

from biport import ops
from torch_side.registry import Inputs, Masks, Outputs, StateDict, states, writes
from torch_side.writing.graph_writer import GraphWriter, torch_dtype


@states(ops.Constant, ops.Parameter)
def state_array(op: ops.Constant | ops.Parameter) -> StateDict:
    """The array, which is the attribute itself."""
    return {"": op.value}


@writes(ops.Constant)
def write_constant(op: ops.Constant, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``self.table``, a buffer; or a Python number."""
    return (op.value.item() if writer.inline() else writer.attribute(op.value),)


@writes(ops.Parameter)
def write_parameter(op: ops.Parameter, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``self.w``, an `nn.Parameter`; it takes no gradient where it is not trained."""
    return (writer.attribute(op.value, trainable=op.trainable),)


@writes(ops.Arange)
def write_arange(op: ops.Arange, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``torch.arange(T)``."""
    start, stop = writer.sizes(op.ends)
    ends = (start, stop, op.step) if op.step != 1 else (start, stop) if op.start != 0 else (stop,)
    return (writer.call(torch.arange, *ends, dtype=torch_dtype(op.output_dtype), device=writer.device()),)


@writes(ops.Full)
def write_full(op: ops.Full, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``torch.zeros((n, 4))``, or ``torch.full``."""
    shape, dtype = writer.sizes(op.shape), torch_dtype(op.output_dtype)
    if op.value == 0:
        return (writer.call(torch.zeros, shape, dtype=dtype, device=writer.device()),)
    if op.value == 1:
        return (writer.call(torch.ones, shape, dtype=dtype, device=writer.device()),)
    return (writer.call(torch.full, shape, op.value, dtype=dtype, device=writer.device()),)


@writes(ops.SizeOf)
def write_size_of(op: ops.SizeOf, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``torch.tensor(x.size(1))``."""
    dtype = torch_dtype(op.output_dtype)
    return (writer.call(torch.full, (), writer.size(op.size), dtype=dtype, device=writer.device()),)
