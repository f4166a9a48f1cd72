"""`nn.Linear` and products with a matrix of weights."""

from __future__ import annotations

from biport import ops
from torch_side.reading.aten_call import AtenCall
from torch_side.reading.layer_call import build
from torch_side.registry import reads_aten


@reads_aten("linear.default")
def read_linear(call: AtenCall) -> str:
    """``x @ weight.T + bias``."""
    x = call.value("input")
    if not (call.is_static("weight") and call.is_static("bias")) or call.rank(x) < 2:
        axes = ops.PermuteDims(axes=(1, 0))
        product = call.apply(ops.MatMul(), x, call.apply(axes, call.value("weight")))
        return call.compute("add", product, call.value("bias")) if call.has("bias") else product
    weight, bias = call.array("weight"), call.array("bias")
    assert weight is not None
    op = build(
        call.owner,
        ops.Dense,
        input_size=weight.shape[1],
        output_size=weight.shape[0],
        weight=weight,
        bias=bias,
    )
    return call.apply(op, x, key=("linear", call["weight"], call["bias"]))
