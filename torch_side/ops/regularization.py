"""What does nothing at inference <-> modules; `torch.nn.functional.dropout` is read too."""

from __future__ import annotations

from torch import nn

from biport import ops
from torch_side import layers
from torch_side.shared.layer_ops import register_layer

register_layer(ops.Dropout, nn.Dropout, {"rate": "p"})
register_layer(ops.AlphaDropout, nn.AlphaDropout, {"rate": "p"})
register_layer(ops.SpatialDropout1D, layers.SpatialDropout1D, {"rate": "p"})
register_layer(ops.GaussianDropout, layers.GaussianDropout, {"rate": "p"})
register_layer(ops.GaussianNoise, layers.GaussianNoise, {"stddev": "std"})
register_layer(ops.ActivityRegularization, layers.ActivityRegularization, {"l1": "l1", "l2": "l2"})
register_layer(ops.Identity, nn.Identity, {})
