"""What drops numbers in training and does nothing else."""

from __future__ import annotations

from biport import ops
from biport.dims import product
from torch_side.reading.aten.shaping import reshaped
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
    return _spatial(call, x, rate) if features else call.apply(ops.Dropout(rate=rate), x)


def _spatial(call: AtenCall, x: str, rate: float) -> str:
    """Whole features dropped of ``(N, C, ...)``."""
    shape, swap = call.tensor(x).shape, ops.PermuteDims(axes=(0, 2, 1))
    flat = reshaped(call, x, (*shape[:2], product(shape[2:])))
    dropped = call.apply(ops.SpatialDropout1D(rate=rate), call.apply(swap, flat))
    return reshaped(call, call.apply(swap, dropped), shape)
