"""What does nothing at inference <-> modules; `torch.nn.functional.dropout` is read too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from biport import ops
from torch_side import layers
from torch_side.registry import (
    CHANNELS_FIRST,
    EVERY_ELEMENT,
    Axes,
    Inputs,
    Masks,
    Outputs,
    axes_of,
    writes_axes,
)
from torch_side.shared.layer_ops import register_layer
from torch_side.writing.graph_writer import GraphWriter

register_layer(ops.Dropout, nn.Dropout, {"rate": "p"})
register_layer(ops.AlphaDropout, nn.AlphaDropout, {"rate": "p"})
register_layer(ops.GaussianDropout, layers.GaussianDropout, {"rate": "p"})
register_layer(ops.GaussianNoise, layers.GaussianNoise, {"stddev": "std"})
register_layer(ops.ActivityRegularization, layers.ActivityRegularization, {"l1": "l1", "l2": "l2"})
register_layer(ops.Identity, nn.Identity, {})


@axes_of(
    ops.Dropout,
    ops.AlphaDropout,
    ops.GaussianDropout,
    ops.GaussianNoise,
    ops.ActivityRegularization,
    ops.Identity,
)
def axes_of_noise(op: ops.Op, inputs: Sequence[ops.Tensor]) -> Axes:
    """It does the same to every element."""
    return EVERY_ELEMENT


DROPOUTS: Mapping[int, type[nn.Module]] = {1: nn.Dropout1d, 2: nn.Dropout2d, 3: nn.Dropout3d}
"""By the number of axes."""


@writes_axes(CHANNELS_FIRST, ops.SpatialDropout1D, ops.SpatialDropout2D, ops.SpatialDropout3D)
def write_spatial_dropout(
    op: ops.SpatialDropout, writer: GraphWriter, inputs: Inputs, masks: Masks
) -> Outputs:
    """``self.spatial_dropout2d(x)``."""
    return (writer.module(lambda op: DROPOUTS[op.dimensions](op.rate), inputs[0]),)
