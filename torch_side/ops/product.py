"""Products -> ``a @ b`` and `torch.einsum`."""

from __future__ import annotations

import operator

import torch

from biport import ops
from torch_side.registry import Inputs, Masks, Outputs, writes
from torch_side.writing.graph_writer import GraphWriter


@writes(ops.MatMul)
def write_mat_mul(op: ops.MatMul, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``a @ b``."""
    return (writer.call(operator.matmul, *inputs),)


@writes(ops.Einsum)
def write_einsum(op: ops.Einsum, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``torch.einsum("nth,nsh->nts", a, b)``."""
    return (writer.call(torch.einsum, op.equation, *inputs),)
