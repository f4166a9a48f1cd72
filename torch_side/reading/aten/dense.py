"""`nn.Linear` and products with a matrix of weights."""

from __future__ import annotations

from biport import ops
from torch_side.reading.aten_call import AtenCall
from torch_side.reading.layer_call import build
from torch_side.registry import reads_aten


@reads_aten("linear.default")
def read_linear(call: AtenCall) -> str:
    """``x @ weight.T + bias``; a layer, unless a weight is computed or also used in another way."""
    x = call.value("input")
    own = all(call.is_static(name) and not call.is_shared(name) for name in ("weight", "bias"))
    if not own or call.rank(x) < 2:
        return _product(call, x)
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


def _product(call: AtenCall, x: str) -> str:
    weight = call.value("weight")
    if call.rank(weight) == 2:
        weight = call.apply(ops.PermuteDims(axes=(1, 0)), weight)
    product = call.apply(ops.MatMul(), x, weight)
    return call.compute("add", product, call.value("bias")) if call.has("bias") else product
