"""What drops numbers in training and does nothing else."""

from __future__ import annotations

from biport import ops
from torch_side.reading.aten.channels import MOST_AXES, channels_last
from torch_side.reading.aten_call import AtenCall
from torch_side.registry import reads_aten


@reads_aten("biport.dropout.default", "dropout.default", "alpha_dropout.default", "feature_dropout.default",
            "feature_alpha_dropout.default")  # fmt: skip
def read_dropout(call: AtenCall) -> str:
    """`nn.Dropout`, `nn.AlphaDropout` and `nn.Dropout1d`.

    Raises:
        UnsupportedError: it also drops in eval mode, or whole features of SELU.
    """
    kind = call.arguments.get("kind", call.name)
    if call["train"]:
        supported = "training=self.training, or an nn.Dropout, which does nothing in eval mode"
        raise call.refuse(kind, "always on", supported)
    x, rate = call.value(call.node.args[1 if "kind" in call.arguments else 0]), call.number("p")
    features = kind.startswith("feature") and call.rank(x) > 2
    if "alpha" in kind:
        if features:
            raise call.refuse(kind, f"over {call.rank(x)} dimensions", "nn.AlphaDropout")
        return call.apply(ops.AlphaDropout(rate=rate), x)
    count = call.rank(x) - 2
    if not features or count > MOST_AXES:
        return call.apply(ops.Dropout(rate=rate), x)
    argument = call.node.args[1 if "kind" in call.arguments else 0]
    return channels_last(call, argument, count, lambda y: call.apply(SPATIAL[count](rate=rate), y))


SPATIAL = {1: ops.SpatialDropout1D, 2: ops.SpatialDropout2D, 3: ops.SpatialDropout3D}
"""What drops whole features, by the number of axes."""
