"""What does nothing at inference <-> modules; `torch.nn.functional.dropout` is read too."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from biport import ops
from torch_side import layers
from torch_side.registry import Inputs, Masks, Outputs, channels_first
from torch_side.shared.layer_ops import register_layer
from torch_side.writing.graph_writer import GraphWriter

register_layer(ops.Dropout, nn.Dropout, {"rate": "p"})
register_layer(ops.AlphaDropout, nn.AlphaDropout, {"rate": "p"})
register_layer(ops.GaussianDropout, layers.GaussianDropout, {"rate": "p"})
register_layer(ops.GaussianNoise, layers.GaussianNoise, {"stddev": "std"})
register_layer(ops.ActivityRegularization, layers.ActivityRegularization, {"l1": "l1", "l2": "l2"})
register_layer(ops.Identity, nn.Identity, {})


DROPOUTS: Mapping[int, type[nn.Module]] = {1: nn.Dropout1d, 2: nn.Dropout2d, 3: nn.Dropout3d}
"""By the number of axes."""


@channels_first(ops.SpatialDropout1D, ops.SpatialDropout2D, ops.SpatialDropout3D)
def write_spatial_dropout(
    op: ops.SpatialDropout, writer: GraphWriter, inputs: Inputs, masks: Masks
) -> Outputs:
    """``self.spatial_dropout2d(x)``."""
    return (writer.module(lambda op: DROPOUTS[op.dimensions](op.rate), inputs[0]),)
