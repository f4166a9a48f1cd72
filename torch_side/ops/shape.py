"""The same numbers in another shape or order <-> `torch.flatten`, `torch.permute`, or modules.

Also read are ``x.transpose(1, 2)``, `torch.nn.Flatten`, and `torch.nn.Unflatten` of rows.
"""

from __future__ import annotations

import torch

from biport import ops
from torch_side import layers
from torch_side.registry import Inputs, Masks, Outputs, writes
from torch_side.shared.layer_ops import register_layer
from torch_side.writing.graph_writer import GraphWriter

register_layer(ops.Reshape, layers.Reshape, {"target_shape": "shape"})
register_layer(ops.RepeatVector, layers.RepeatVector, {"n": "n"})
register_layer(ops.UpSampling1D, layers.UpSampling1D, {"size": "size"})
register_layer(ops.Cropping1D, layers.Cropping1D, {"cropping": "cropping"}, unpack=True)
register_layer(ops.ZeroPadding1D, layers.ZeroPadding1D, {"padding": "padding"}, unpack=True)


@writes(ops.Flatten)
def write_flatten(op: ops.Flatten, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``torch.flatten(x, 1)``."""
    return (writer.call(torch.flatten, inputs[0], 1),)


@writes(ops.Permute)
def write_permute(op: ops.Permute, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``torch.permute(x, (0, 2, 1))``."""
    return (writer.call(torch.permute, inputs[0], (0, *op.dims)),)
