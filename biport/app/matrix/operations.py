"""What the matrix runs of tensor operations: one model a family, each operation behind a recurrent layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from biport import ops
from biport.dims import letter
from biport.graph import Graph, Node, Value

N, T = letter("N"), letter("T")
WIDTH = 4
"""H of the recurrent layer."""


class Calls:
    """Operations, one after the other, upon ``h`` ``(N, T, H)`` and integers ``ids`` ``(N, T)``.

    Args:
        rng: where weights come from.
        layer: the recurrent layer that ``h`` comes of.
        masked: whether it has a mask.
    """

    def __init__(self, rng: np.random.Generator, layer: ops.LSTM, masked: bool) -> None:
        self.rng = rng
        self.values = [Value("x", ("N", "T", layer.input_size), "float32"), Value("ids", ("N", "T"), "int32")]
        self.values += [Value("mask", ("N", "T"), "bool")] if masked else []
        self.nodes = [Node("h", layer, ("x",), masks=("mask" if masked else None,))]
        self.shown = ["h"]
        """The nodes all of whose outputs are the model's, each by itself."""

    def add(self, name: str, op: ops.Op, *inputs: str) -> str:
        """One more node; its name, which is that of its output where it has one."""
        several = tuple(f"{name}:{index}" for index in range(op.output_count))
        self.nodes.append(Node(name, op, inputs, several if len(several) > 1 else (name,)))
        return name

    def show(self, name: str, op: ops.Op, *inputs: str) -> str:
        """The same, where what it gives is looked at."""
        self.shown.append(name)
        return self.add(name, op, *inputs)

    def number(self, value: float, dtype: str = "float32") -> str:
        """A constant."""
        return self.add(f"constant_{len(self.nodes)}", ops.Constant(value=np.asarray(value, dtype)))

    def array(self, *values: float, dtype: str = "float32") -> str:
        """A constant vector."""
        return self.add(f"constant_{len(self.nodes)}", ops.Constant(value=np.asarray(values, dtype)))

    def parameter(self, *shape: int) -> str:
        """A trainable array."""
        value = self.rng.normal(size=shape).astype("float32")
        return self.add(f"parameter_{len(self.nodes)}", ops.Parameter(value=value))

    def graph(self) -> Graph:
        """The model."""
        outputs = (name for node in self.nodes if node.name in self.shown for name in node.outputs)
        return Graph(tuple(self.values), tuple(self.nodes), tuple(outputs))


def _function(name: str) -> ops.Elementwise:
    return ops.Elementwise(function=name)


def _large(calls: Calls) -> str:
    """Numbers of 0.5 and more."""
    squares = calls.add("squares", _function("square"), "h")
    return calls.add("large", _function("add"), squares, calls.number(0.5))


def _apart(calls: Calls) -> str:
    """``h``, no two features of a step alike, not even where the layer gives zeros."""
    return calls.add("apart", _function("add"), "h", calls.array(0.5, -1.0, 1.5, 0.0))


def _elementwise(calls: Calls) -> None:
    large = _large(calls)
    for name in ("exp", "square", "sin", "cos", "erf", "atan", "abs", "negative"):
        calls.show(name, _function(name), "h")
    for name in ("log", "sqrt", "rsqrt", "reciprocal"):
        calls.show(name, _function(name), large)
    for name in ("add", "subtract", "multiply", "divide", "atan2", "maximum", "minimum"):
        calls.show(name, _function(name), "h", large)
    calls.show("pow", _function("pow"), large, "h")
    calls.show("clip", ops.Clip(min=-0.1, max=0.2), "h")
    # What jumps is given multiples of 0.75, which no rounding moves and some of which are where it jumps.
    signed = calls.add("signed", _function("subtract"), "ids", calls.number(4, "int32"))
    stepped = calls.add(
        "stepped",
        _function("multiply"),
        calls.add("floats", ops.Cast(output_dtype="float32"), signed),
        calls.number(0.75),
    )
    for name in ("sign", "floor", "ceil", "round", "trunc"):
        calls.show(name, _function(name), stepped)
    divisor = calls.number(1.5)
    for name in ("floor_divide", "remainder"):
        calls.show(name, _function(name), stepped, divisor)
        calls.show(f"{name}_of_integers", _function(name), signed, calls.number(-3, "int32"))
    calls.show("cast", ops.Cast(output_dtype="int32"), stepped)
    comparisons = ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal")
    for name in comparisons:
        calls.show(name, _function(name), stepped, calls.number(0.75))
    for name in ("logical_and", "logical_or", "logical_xor"):
        calls.show(name, _function(name), "less_equal", "greater_equal")
    calls.show("logical_not", _function("logical_not"), "less")
    wide = calls.add("wide", ops.ExpandDims(axes=(2,)), "less")
    calls.show("where", ops.Where(), wide, "h", large)


def _reduction(calls: Calls) -> None:
    for name in ("sum", "mean", "prod", "max", "min", "var", "std", "norm"):
        calls.show(name, ops.Reduction(function=name, axes=(1,)), "h")
    calls.show("logsumexp", ops.Reduction(function="logsumexp", axes=(-1,), keepdims=True), "h")
    calls.show("sum_of_all", ops.Reduction(function="sum", axes=(1, 2)), "h")
    calls.show("sample_variance", ops.Reduction(function="var", axes=(-1,), correction=1), "h")
    calls.show("norm_of_order_1", ops.Reduction(function="norm", axes=(-1,), order=1), "h")
    small = calls.add("small", _function("less"), "ids", calls.number(4, "int32"))
    for name in ("any", "all"):
        calls.show(name, ops.Reduction(function=name, axes=(1,)), small)
    calls.show("cumulative_sum", ops.CumulativeSum(axis=1), "h")
    calls.show("softmax", ops.Softmax(axis=1), "h")
    calls.show("log_softmax", ops.LogSoftmax(axis=-1), "h")


def _shaping(calls: Calls) -> None:
    twin = calls.add("twin", _function("sin"), "h")
    calls.show("reshape", ops.ReshapeTo(shape=(N, T * 4)), "h")
    four = calls.add("four", ops.ReshapeTo(shape=(N, T, 2, 2)), "h")
    calls.show("permute", ops.PermuteDims(axes=(0, 2, 3, 1)), four)
    last = calls.show("last", ops.Slice(items=((None, None, 1), -1)), "h")
    calls.show("inner", ops.Slice(items=((None, None, 1), (1, -1, 1))), "h")
    calls.show("every_second", ops.Slice(items=((None, None, 1), (None, None, 2))), "h")
    calls.show("backwards", ops.Slice(items=((None, None, 1), (None, None, 1), (None, None, -1))), "h")
    wide = calls.show("expand_dims", ops.ExpandDims(axes=(1,)), last)
    calls.show("squeeze", ops.Squeeze(axes=(1,)), wide)
    calls.show("broadcast_to", ops.BroadcastTo(shape=(N, T, 4)), wide)
    calls.show("tile", ops.Tile(repetitions=(1, 2, 1)), "h")
    calls.show("repeat", ops.Repeat(repeats=2, axis=1), "h")
    calls.show("flip", ops.Flip(axes=(1,)), "h")
    calls.show("roll", ops.Roll(shift=2, axis=1), "h")
    calls.show("pad", ops.Pad(widths=((0, 0), (0, 2), (1, 0)), value=0.5), "h")
    calls.show("pad_by_reflection", ops.Pad(widths=((0, 0), (0, 0), (2, 1)), mode="reflect"), "h")
    calls.show("concat", ops.Concatenate(axis=-1), "h", twin)
    calls.show("stack", ops.Stack(axis=1), "h", twin)
    calls.show("split", ops.Split(sizes=(2, 2), axis=-1), "h")
    calls.show("split_unequally", ops.Split(sizes=(1, 3), axis=-1), "h")
    calls.show("unstack", ops.Unstack(count=4, axis=-1), "h")


def _indexing(calls: Calls) -> None:
    apart = _apart(calls)
    calls.show("take", ops.Take(axis=-1), "h", calls.array(2, -1, 0, dtype="int64"))
    calls.show("rows_of_a_table", ops.Take(axis=0), calls.parameter(10, 3), "ids")
    order = calls.show("argsort", ops.ArgSort(axis=-1), apart)
    calls.show("take_along_axis", ops.TakeAlongAxis(axis=-1), "h", order)
    first = calls.add("first", ops.Slice(items=((None, None, 1), 0)), "ids")
    within = calls.add("within", _function("remainder"), first, calls.number(7, "int32"))
    steps = calls.add("steps", _function("subtract"), within, calls.number(3, "int32"))
    calls.show("step_at", ops.StepAt(), "h", steps)
    shifted = calls.add("shifted", _function("subtract"), "ids", calls.number(2, "int32"))
    calls.show("one_hot", ops.OneHot(num_classes=6), shifted)
    calls.show("topk", ops.TopK(k=2), apart)
    calls.show("sort", ops.Sort(axis=1), "h")


def _product(calls: Calls) -> None:
    weight = calls.parameter(WIDTH, WIDTH)
    projected = calls.show("matmul", ops.MatMul(), "h", weight)
    turned = calls.add("turned", ops.PermuteDims(axes=(0, 2, 1)), "h")
    gram = calls.show("matmul_of_rows", ops.MatMul(), turned, "h")
    calls.show("matmul_of_squares", ops.MatMul(), gram, weight)
    calls.show("matmul_with_vector", ops.MatMul(), "h", calls.parameter(WIDTH))
    calls.show("einsum", ops.Einsum(equation="nth,nsh->nts"), "h", projected)


def _source(calls: Calls) -> None:
    calls.show("constant", _function("multiply"), "h", calls.array(0.5, -1.5, 2.0, 1.0))
    calls.show("number", _function("multiply"), "h", calls.number(1.5))
    calls.show("parameter", _function("add"), "h", calls.parameter(WIDTH))
    positions = calls.add("positions", ops.Arange(stop=T, output_dtype="float32"))
    calls.show(
        "arange", _function("multiply"), "h", calls.add("column", ops.ExpandDims(axes=(1,)), positions)
    )
    calls.show("full", _function("add"), "h", calls.add("ones", ops.Full(shape=(N, 1, 4), value=1.0)))
    for name in (N, T):
        count = calls.add(f"count_{name}", ops.SizeOf(size=name))
        as_float = calls.add(f"float_{name}", ops.Cast(output_dtype="float32"), count)
        calls.show(f"size_of_{name}", _function("divide"), "h", as_float)


def _beyond_tf2onnx(calls: Calls) -> None:
    calls.show("expm1", _function("expm1"), "h")
    calls.show("log1p", _function("log1p"), _large(calls))
    apart = _apart(calls)
    for name in ("argmax", "argmin"):
        calls.show(name, ops.ArgReduction(function=name, axis=-1), apart)


BEYOND_TF2ONNX = "beyond tf2onnx"
"""The family of what that route refuses, which leaves it to the others."""

FAMILIES: Mapping[str, Callable[[Calls], Any]] = {
    "elementwise": _elementwise,
    "reduction": _reduction,
    "shaping": _shaping,
    "indexing": _indexing,
    "product": _product,
    "source": _source,
    BEYOND_TF2ONNX: _beyond_tf2onnx,
}
"""By the name of the family what calls its operations."""
