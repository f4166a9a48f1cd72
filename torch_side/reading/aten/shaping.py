"""The same numbers in another shape or order."""

from __future__ import annotations

from biport import ops
from biport.dims import Dim, longest, product, quotient, shortest
from biport.ops.shaping import WHOLE
from torch_side.reading.aten_call import AtenCall
from torch_side.registry import reads_aten

END = 2**63 - 1
"""What torch has for the end of a slice that has none."""


def reshaped(call: AtenCall, x: str, shape: tuple[Dim, ...]) -> str:
    """A value in another shape, of which no size is -1."""
    return x if call.tensor(x).shape == shape else call.apply(ops.ReshapeTo(shape=shape), x)


@reads_aten("view.default", "reshape.default", "_unsafe_view.default", "flatten.using_ints", "unflatten.int")
def read_view(call: AtenCall) -> str:
    """The shape that torch says it has."""
    return reshaped(call, call.value("self"), call.result_shape)


@reads_aten("clone.default", "contiguous.default", "alias.default", "detach.default", "detach_.default",
            "lift_fresh_copy.default", "lift_fresh.default")  # fmt: skip
def read_same(call: AtenCall) -> str:
    """The value itself."""
    return call.value(call.node.args[0])


@reads_aten("transpose.int", "permute.default", "t.default", "numpy_T.default", "movedim.intlist", "swapaxes.default",
            "mT.default")  # fmt: skip
def read_permute(call: AtenCall) -> str:
    """``x.transpose(1, 2)``, ``x.permute(2, 0, 1)``, ``x.t()``."""
    x = call.value("self")
    rank = call.rank(x)
    axes = list(range(rank))
    if call.name == "permute":
        axes = [axis % rank for axis in call["dims"]]
    elif call.name == "transpose":
        one, two = call["dim0"] % max(rank, 1), call["dim1"] % max(rank, 1)
        if rank:
            axes[one], axes[two] = two, one
    else:
        axes.reverse()
    return call.apply(ops.PermuteDims(axes=tuple(axes)), x)


@reads_aten("unsqueeze.default")
def read_unsqueeze(call: AtenCall) -> str:
    """``x.unsqueeze(1)``."""
    x = call.value("self")
    return call.apply(ops.ExpandDims(axes=(call["dim"] % (call.rank(x) + 1),)), x)


@reads_aten("squeeze.dim", "squeeze.dims", "squeeze.default")
def read_squeeze(call: AtenCall) -> str:
    """Axes of size 1 taken away; torch leaves others in place."""
    x = call.value("self")
    shape = call.tensor(x).shape
    axes = tuple(axis for axis in call.axes(x) if shape[axis] == 1)
    return call.apply(ops.Squeeze(axes=axes), x) if axes else x


@reads_aten("expand.default", "expand_as.default", "broadcast_to.default")
def read_expand(call: AtenCall) -> str:
    """``x.expand(n, t, 4)``."""
    x = call.value("self")
    shape = call.result_shape
    return x if call.tensor(x).shape == shape else call.apply(ops.BroadcastTo(shape=shape), x)


@reads_aten("slice.Tensor")
def read_slice(call: AtenCall) -> str:
    """``x[:, 1:-1]``, one axis at a time."""
    x = call.value("self")
    axis, size = call.axis(x), call.tensor(x).shape[call.axis(x)]
    start = _bound(call, call["start"], size, 0)
    stop = _bound(call, call["end"], size, size)
    if start == 0 and stop == size and call["step"] == 1:
        return x
    items = [WHOLE] * call.rank(x)
    items[axis] = (start, None if stop == size else stop, call["step"])
    return call.apply(ops.Slice(items=tuple(items)), x)


def _bound(call: AtenCall, bound: object, size: Dim, default: Dim) -> Dim:
    """Where a slice begins or ends, counted from the first."""
    if bound is None:
        return default
    where = call.size(bound)
    if isinstance(where, int) and where >= END:
        return size
    if isinstance(where, int) and where < 0:
        return longest(size + where, 0)
    if isinstance(where, int) and isinstance(size, int):
        return min(where, size)
    return where if where == size or isinstance(where, int) else shortest(where, size)


@reads_aten("select.int")
def read_select(call: AtenCall) -> str:
    """``x[:, -1]``."""
    x, index = call.value("self"), call["index"]
    items = [WHOLE] * call.rank(x)
    if not isinstance(index, int):
        where = call.size(index)
        items[call.axis(x)] = (where, where + 1, 1)
        return call.apply(ops.Squeeze(axes=(call.axis(x),)), call.apply(ops.Slice(items=tuple(items)), x))
    items[call.axis(x)] = index
    return call.apply(ops.Slice(items=tuple(items)), x)


@reads_aten("cat.default")
def read_cat(call: AtenCall) -> str:
    """``torch.cat([a, b], dim=-1)``; torch leaves out what is empty and of one axis."""
    values = call.values("tensors")
    rank = max(map(call.rank, values))
    values = [value for value in values if call.rank(value) == rank]
    if len(values) == 1:
        return values[0]
    axis = call["dim"] % rank
    values = [call.cast(value, call.result_dtype) for value in values]
    return call.apply(ops.Concatenate(axis=axis - rank if axis == rank - 1 else axis), *values)


@reads_aten("stack.default")
def read_stack(call: AtenCall) -> str:
    """``torch.stack([a, b], dim=1)``."""
    values = [call.cast(value, call.result_dtype) for value in call.values("tensors")]
    return call.apply(ops.Stack(axis=call["dim"] % (call.rank(values[0]) + 1)), *values)


SIZES = (product, quotient)
