"""Tensor operations that take axes together: one node where ONNX has one that says the same.

Measured with onnxruntime 1.31: a ``ReduceMean`` of nothing is 0, a ``ReduceMax`` minus infinity, and either
extreme leaves NaN out now and then. All are right of sums, products, norms and ``ReduceLogSumExp``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import onnx_ir as ir

from biport.dims import product
from biport.ops import ArgReduction, CumulativeSum, LogSoftmax, Reduction
from export.onnx.builder import Operand
from export.onnx.elementwise import elementwise
from export.onnx.empty_axes import ordered, reduced
from export.onnx.extremes import extreme
from export.onnx.lazy_value import LazyValue
from export.onnx.long_enough import long_enough
from export.onnx.orders import left_of, moved_axes
from export.onnx.site import Site
from export.registry import writes

NODES: Mapping[str, str] = {
    "sum": "ReduceSum",
    "prod": "ReduceProd",
    "max": "ReduceMax",
    "min": "ReduceMin",
    "logsumexp": "ReduceLogSumExp",
}
NORMS: Mapping[float, str] = {1: "ReduceL1", 2: "ReduceL2"}
LOGICAL: Mapping[str, tuple[str, ir.DataType]] = {
    "any": ("ReduceSum", ir.DataType.INT64),
    "all": ("ReduceProd", ir.DataType.INT32),
}
"""In which numbers, as no node reduces booleans: a sum that cannot overflow, and a product of 0 and 1."""


@writes(Reduction)
def write_reduction(op: Reduction, site: Site) -> tuple[LazyValue, ...]:
    """Any shape, over some axes."""
    if not op.axes:
        return elementwise(site, lambda x: x)
    (x,) = site.inputs
    axes = [axis % len(x.tensor.shape) for axis in op.axes]
    reduced = _Reduced(op, site)
    order = x.order if op.keepdims else left_of(x.order, axes)
    return (site.lazy(lambda: reduced(x.ordered(x.order)), root=x if min(axes) > 1 else None, order=order),)


class _Reduced:
    """Writes a reduction, of the axes in the order that they come in."""

    def __init__(self, op: Reduction, site: Site) -> None:
        self.op = op
        self.site = site
        self.scope = site.scope
        (x,) = site.inputs
        self.shape, self.dtype = [x.tensor.shape[axis] for axis in x.order], x.tensor.dtype
        self.axes = sorted(moved_axes(x.order, [axis % len(x.order) for axis in op.axes]))

    def __call__(self, x: ir.Value) -> ir.Value:
        match self.op.function:
            case "any" | "all" as function:
                node, dtype = LOGICAL[function]
                numbers = self._reduce(node, self.scope("Cast", x, to=dtype), dtype=str(dtype.numpy()))
                return self.scope("Cast", numbers, to=ir.DataType.BOOL)
            case "max" | "min" as function:
                return self._extreme(NODES[function], x)
            case "norm" if self.op.extreme:
                return self._extreme("ReduceMax", self.scope("Abs", x))
            case "norm":
                return self._reduce(NORMS[self.op.order], x)
            case "mean":
                return self._mean(x)
            case "var":
                return self._variance(x)
            case "std":
                return self.scope("Sqrt", self._variance(x))
        return self._reduce(NODES[self.op.function], x)

    def _reduce(
        self, node: str, x: ir.Value, keepdims: bool | None = None, dtype: str | None = None
    ) -> ir.Value:
        keep = self.op.keepdims if keepdims is None else keepdims
        return reduced(self.scope, node, x, self.shape, dtype or self.dtype, self.axes, keep)

    def _extreme(self, node: str, x: ir.Value) -> ir.Value:
        """It fails over nothing."""
        for axis in self.axes:
            x = long_enough(self.site, x, axis, self.shape[axis], 1, rank=len(self.shape))
        return extreme(self.site, x, partial(self._reduce, node), partial(self._reduce, "ReduceMax"))

    def _mean(self, x: ir.Value) -> ir.Value:
        if self._known:
            return self._reduce("ReduceMean", x)
        return self.scope("Div", self._reduce("ReduceSum", x), self._count(x))

    def _variance(self, x: ir.Value) -> ir.Value:
        distance = self.scope("Sub", x, self._reduce("ReduceMean", x, keepdims=True))
        return self.scope("Div", self._reduce("ReduceSumSquare", distance), self._count(x))

    @property
    def _known(self) -> int:
        """How many elements are reduced to one; 0 where that varies."""
        count = product([self.shape[axis] for axis in self.axes])
        return count if isinstance(count, int) else 0

    def _count(self, x: ir.Value) -> Operand:
        """The number of elements less the correction, not below 0."""
        correction = np.asarray(self.op.correction, "float32")
        if self._known:
            return np.asarray(max(self._known - correction, 0), "float32")
        sizes = self.scope("Gather", self.scope("Shape", x), self.axes)
        count = self.scope("Cast", self.scope("ReduceProd", sizes, keepdims=0), to=ir.DataType.FLOAT)
        if not self.op.correction:
            return count
        return self.scope("Max", self.scope("Sub", count, correction), np.zeros((), "float32"))


@writes(ArgReduction)
def write_arg_reduction(op: ArgReduction, site: Site) -> tuple[LazyValue, ...]:
    """Any shape, along an axis; the first of equal numbers.

    Asked to keep the axis, onnxruntime 1.31 keeps all of its size where there is no element.
    """
    (x,) = site.inputs
    axis = op.axis % len(x.tensor.shape)
    node = {"argmax": "ArgMax", "argmin": "ArgMin"}[op.function]

    def write() -> ir.Value:
        if x.tensor.dtype == "int64" and site.scope.older_than(1, 20):
            # There is no kernel for these.
            largest, tensor = op.function == "argmax", x.tensor
            both = ordered(site.scope, x.value(), tensor.shape, "int64", axis, largest, lambda _: [1])
            return both[1] if op.keepdims else site.scope("Squeeze", both[1], [axis])
        positions = site.scope(node, x.value(), axis=axis, keepdims=0)
        return site.scope("Unsqueeze", positions, [axis]) if op.keepdims else positions

    return (site.lazy(write),)


@writes(CumulativeSum)
def write_cumulative_sum(op: CumulativeSum, site: Site) -> tuple[LazyValue, ...]:
    """Any shape, along an axis."""
    (x,) = site.inputs
    return (site.lazy(lambda: site.scope("CumSum", x.value(), np.asarray(op.axis, "int64")), root=x),)


@writes(LogSoftmax)
def write_log_softmax(op: LogSoftmax, site: Site) -> tuple[LazyValue, ...]:
    """Any shape, along an axis."""
    (x,) = site.inputs
    if len(x.tensor.shape) == 3 and op.axis % 3 == 2:
        return elementwise(site, lambda x: site.scope("LogSoftmax", x, axis=-1), features_last=True)
    return (site.lazy(lambda: site.scope("LogSoftmax", x.value(), axis=op.axis), root=x),)
