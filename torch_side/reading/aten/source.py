"""Tensors made of nothing but their shape."""

from __future__ import annotations

from biport import ops
from torch_side.reading.aten_call import AtenCall
from torch_side.registry import reads_aten


@reads_aten("zeros.default", "zeros_like.default", "new_zeros.default", "ones.default", "ones_like.default",
            "new_ones.default", "full.default", "full_like.default", "new_full.default", "empty.memory_format",
            "empty_like.default", "new_empty.default")  # fmt: skip
def read_full(call: AtenCall) -> str:
    """``torch.zeros(n, t)``, ``torch.ones_like(x)``, ``x.new_full(...)``."""
    value = call.arguments.get("fill_value", 1 if "ones" in call.name else 0)
    dtype = call.result_dtype
    value = bool(value) if dtype == "bool" else value
    return call.apply(ops.Full(shape=call.result_shape, value=float(value), output_dtype=dtype))
