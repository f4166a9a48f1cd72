"""Functions of each element by itself, and of several tensors that broadcast."""

from __future__ import annotations

from collections.abc import Mapping

from biport import ops
from torch_side.reading.aten_call import FLOAT, AtenCall
from torch_side.registry import reads_aten

BINARY: Mapping[str, str] = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "div": "divide",
    "maximum": "maximum",
    "minimum": "minimum",
    "pow": "pow",
    "eq": "equal",
    "ne": "not_equal",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
}
"""The functions of two tensors, or of a tensor and a number."""


@reads_aten(*(f"{name}.{kind}" for name in BINARY for kind in ("Tensor", "Scalar")), "maximum.default",
            "minimum.default", "pow.Tensor_Tensor", "pow.Tensor_Scalar")  # fmt: skip
def read_binary(call: AtenCall) -> str:
    """``a + b``, ``a < 0`` and the like, in the dtype torch promotes both to."""
    names = [name for name in ("self", "other", "exponent") if name in call.arguments]
    one, two = call.promoted(*names)
    function = BINARY[call.name]
    if function == "divide" and call.dtype(one) not in ops.FLOATS:
        one, two = call.cast(one, FLOAT), call.cast(two, FLOAT)
    alpha = call.arguments.get("alpha", 1)
    if alpha != 1:
        two = call.compute("multiply", two, call.like(alpha, two))
    return call.compute(function, one, two)
