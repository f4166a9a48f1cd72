"""What does nothing at inference <-> modules; `torch.nn.functional.dropout` is read too."""

from __future__ import annotations

from torch import fx, nn
from torch.nn import functional

from biport import ops
from torch_side import layers
from torch_side.reading.fx_reader import Bound, FxReader, build
from torch_side.registry import reads
from torch_side.shared.layer_ops import register_layer

register_layer(ops.Dropout, nn.Dropout, {"rate": "p"})
register_layer(ops.AlphaDropout, nn.AlphaDropout, {"rate": "p"})
register_layer(ops.SpatialDropout1D, layers.SpatialDropout1D, {"rate": "p"})
register_layer(ops.GaussianDropout, layers.GaussianDropout, {"rate": "p"})
register_layer(ops.GaussianNoise, layers.GaussianNoise, {"stddev": "std"})
register_layer(ops.ActivityRegularization, layers.ActivityRegularization, {"l1": "l1", "l2": "l2"})
register_layer(ops.Identity, nn.Identity, {})


@reads(functional.dropout)
def read_functional_dropout(reader: FxReader, node: fx.Node) -> Bound:
    """``F.dropout(x, p, self.training)``; modules are read in eval mode, so training means always."""
    x, rate, training, _ = reader.arguments(node, "input", p=0.5, training=True, inplace=False)
    reader.require(node, training=(training, False))
    op = build(reader.owner(node), ops.Dropout, rate=rate)
    return reader.emit(node, op, [reader.value(node, x)])[0]
