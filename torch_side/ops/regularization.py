"""What does nothing at inference <-> modules; `torch.nn.functional.dropout` is read too."""

from __future__ import annotations

from torch import nn

from biport import ops
from torch_side import layers
from torch_side.registry import Inputs, Masks, Outputs, writes
from torch_side.shared.channels import write_features_dropped
from torch_side.shared.layer_ops import register_layer
from torch_side.writing.graph_writer import GraphWriter

register_layer(ops.Dropout, nn.Dropout, {"rate": "p"})
register_layer(ops.AlphaDropout, nn.AlphaDropout, {"rate": "p"})
register_layer(ops.GaussianDropout, layers.GaussianDropout, {"rate": "p"})
register_layer(ops.GaussianNoise, layers.GaussianNoise, {"stddev": "std"})
register_layer(ops.ActivityRegularization, layers.ActivityRegularization, {"l1": "l1", "l2": "l2"})
register_layer(ops.Identity, nn.Identity, {})


@writes(ops.SpatialDropout1D)
def write_spatial_dropout1d(
    op: ops.SpatialDropout1D, writer: GraphWriter, inputs: Inputs, masks: Masks
) -> Outputs:
    """``self.spatial_dropout1d(x.transpose(1, 2)).transpose(1, 2)``."""
    return (write_features_dropped(writer, inputs[0], op.rate),)
