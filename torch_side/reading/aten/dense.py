"""`nn.Linear` and products with a matrix of weights."""

from __future__ import annotations

from typing import Any

from biport import ops
from torch_side.reading.aten_call import AtenCall
from torch_side.reading.layer_call import build
from torch_side.registry import reads_aten


@reads_aten("linear.default")
def read_linear(call: AtenCall) -> str:
    """``x @ weight.T + bias``; a layer, unless a weight is computed or also used in another way."""
    x = call.value("input")
    own = all(call.is_static(name) and not call.is_shared(name) for name in ("weight", "bias"))
    if own and call.rank(x) > 1:
        return dense(call, x, call["weight"], call["bias"])
    weight = call.value("weight")
    if call.rank(weight) == 2:
        weight = call.apply(ops.PermuteDims(axes=(1, 0)), weight)
    product = call.apply(ops.MatMul(), x, weight)
    return call.compute("add", product, call.value("bias")) if call.has("bias") else product


def dense(call: AtenCall, x: str, weight: Any, bias: Any) -> str:
    """A layer of weights, ``(O, I)``, that nothing else uses."""
    array = call.array(weight)
    assert array is not None
    op = build(
        call.owner,
        ops.Dense,
        input_size=array.shape[1],
        output_size=array.shape[0],
        weight=array,
        bias=call.array(bias),
    )
    return call.apply(op, x, key=("linear", weight, bias))
