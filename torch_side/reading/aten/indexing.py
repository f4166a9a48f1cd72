"""Elements looked up by integers or by their order, and written where integers or booleans say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from biport import ops
from biport.dims import Dim, product
from torch_side.reading.aten.shaping import along, broadcast, cut, permuted, reshaped
from torch_side.reading.aten.source import is_whole_range
from torch_side.reading.aten_call import AtenCall
from torch_side.registry import reads_aten

BOOLEAN = (torch.bool, torch.uint8)


@reads_aten("index.Tensor", "_unsafe_index.Tensor")
def read_index(call: AtenCall) -> str:
    """``x[:, ids]``, ``out[torch.arange(n), lengths - 1]``: tensors of integers as indices."""
    x, indices = call.value("self"), _integers(call)
    axes = [axis for axis, index in enumerate(indices) if index is not None]
    given = [index for index in indices if index is not None]
    if len(axes) == 1:
        return call.apply(ops.Take(axis=axes[0]), x, given[0])
    rank = max(map(call.rank, given))
    # As numpy does: beside each other they are replaced where they are, otherwise in front.
    first = axes[0] if axes == list(range(axes[0], axes[0] + len(axes))) else 0
    others = [axis for axis in range(call.rank(x)) if axis not in axes]
    x = permuted(call, x, [*axes, *others])
    taken = _taken(call, x, given, rank)
    behind = list(range(rank, call.rank(taken)))
    return permuted(call, taken, [*behind[:first], *range(rank), *behind[first:]])


def _integers(call: AtenCall) -> list[str | None]:
    """The indices of an index.

    Raises:
        UnsupportedError: one is of booleans.
    """
    for index in call["indices"]:
        if index is not None and call.known(index).dtype in BOOLEAN:
            raise call.refuse("index", "booleans, which take as many as are true", "masked_fill or where")
    return [None if index is None else call.value(index) for index in call["indices"]]


def _taken(call: AtenCall, x: str, indices: Sequence[str], rank: int) -> str:
    """The elements where indices of the first axes say, their own axes in front."""
    size, step = call.tensor(x).shape[0], call.tensor(indices[1]).shape
    rows = call.tensor(indices[0]).shape
    if is_whole_range(call, indices[0], size) and product(rows) == size and rows[:1] == (size,):
        if len(indices) == 2 and rank == 1 and step == (size,):
            return call.apply(ops.StepAt(), x, indices[1])
        x = call.apply(ops.ExpandDims(axes=tuple(range(1, rank))), x) if rank > 1 else x
    else:
        x = call.apply(ops.Take(axis=0), x, _of_rank(call, indices[0], rank))
    for index in indices[1:]:
        behind = call.rank(x) - rank - 1
        wide = _of_rank(call, index, rank)
        wide = call.apply(ops.ExpandDims(axes=tuple(range(rank, rank + 1 + behind))), wide)
        x = call.apply(ops.Squeeze(axes=(rank,)), call.apply(ops.TakeAlongAxis(axis=rank), x, wide))
    return x


def _of_rank(call: AtenCall, index: str, rank: int) -> str:
    missing = rank - call.rank(index)
    return call.apply(ops.ExpandDims(axes=tuple(range(missing))), index) if missing else index


@reads_aten("index_select.default")
def read_index_select(call: AtenCall) -> str:
    """``x.index_select(1, ids)``."""
    x, index = call.value("self"), call.value("index")
    return call.apply(
        ops.Take(axis=call.axis(x)), x, reshaped(call, index, [product(call.tensor(index).shape)])
    )


@reads_aten("take.default")
def read_take(call: AtenCall) -> str:
    """``x.take(ids)``: of all elements in a row."""
    x = call.value("self")
    return call.apply(
        ops.Take(axis=0), reshaped(call, x, [product(call.tensor(x).shape)]), call.value("index")
    )


@reads_aten("gather.default")
def read_gather(call: AtenCall) -> str:
    """``x.gather(1, ids)``; where the other axes of the indices are shorter, those of ``x`` are cut."""
    x, index = call.value("self"), call.value("index")
    axis = call.axis(x)
    wanted = call.tensor(index).shape
    for other, size in enumerate(wanted):
        if other != axis and size != call.tensor(x).shape[other]:
            x = cut(call, x, other, (None, size, 1))
    maker = call.reader.maker(index)
    if (
        maker is not None
        and isinstance(maker.op, ops.BroadcastTo)
        and call.rank(maker.inputs[0]) == len(wanted)
    ):
        own = call.tensor(maker.inputs[0]).shape
        index = maker.inputs[0] if own[axis] == wanted[axis] else index
    return _along_axis(call, x, index, axis)


def _along_axis(call: AtenCall, x: str, index: str, axis: int) -> str:
    """`TakeAlongAxis`; one step of each row where that is what it is."""
    shape, own = call.tensor(index).shape, call.tensor(x).shape
    if axis == 1 and len(shape) > 2 and {*shape[1:]} == {1} and shape[0] == own[0]:
        step = call.apply(ops.StepAt(), x, call.apply(ops.ReshapeTo(shape=shape[:1]), index))
        return call.apply(ops.ExpandDims(axes=(1,)), step)
    return call.apply(ops.TakeAlongAxis(axis=axis), x, index)


@reads_aten("take_along_dim.default")
def read_take_along_dim(call: AtenCall) -> str:
    """``x.take_along_dim(ids, dim=1)``."""
    x, index = call.value("self"), call.value("indices")
    if call["dim"] is None:
        x, index = (reshaped(call, value, [product(call.tensor(value).shape)]) for value in (x, index))
        return call.apply(ops.Take(axis=0), x, index)
    return _along_axis(call, x, index, call.axis(x))


@reads_aten("one_hot.default")
def read_one_hot(call: AtenCall) -> str:
    """``F.one_hot(ids, 10)``."""
    return call.apply(
        ops.OneHot(num_classes=call.number("num_classes"), output_dtype="int64"), call.value("self")
    )


@reads_aten("topk.default")
def read_topk(call: AtenCall) -> tuple[str, ...]:
    """``x.topk(2, dim=1)``, also where torch may leave them in any order."""
    x = call.value("self")
    op = ops.TopK(k=call.number("k"), axis=call.axis(x), largest=call["largest"])
    return call.emit(op, x)


@reads_aten("sort.default", "sort.stable")
def read_sort(call: AtenCall) -> tuple[str, ...]:
    """``x.sort(dim=1, descending=True)``: the numbers and their places."""
    x = call.value("self")
    order: dict[str, Any] = {"axis": call.axis(x), "descending": call["descending"]}
    return call.apply(ops.Sort(**order), x), call.apply(ops.ArgSort(**order), x)


@reads_aten("argsort.default", "argsort.stable")
def read_argsort(call: AtenCall) -> str:
    """``lengths.argsort(descending=True)``."""
    x = call.value("self")
    return call.apply(ops.ArgSort(axis=call.axis(x), descending=call["descending"]), x)


@reads_aten("msort.default")
def read_msort(call: AtenCall) -> str:
    """``torch.msort(x)``."""
    return call.apply(ops.Sort(axis=0), call.value("self"))


@reads_aten("kthvalue.default")
def read_kthvalue(call: AtenCall) -> tuple[str, ...]:
    """``x.kthvalue(2, dim=1)``: the second smallest, and its place."""
    x = call.value("self")
    axis, rank = call.axis(x), call.number("k") - 1
    item: Any = (rank, rank + 1, 1) if call["keepdim"] else rank
    kinds = (ops.Sort(axis=axis), ops.ArgSort(axis=axis))
    return tuple(cut(call, call.apply(kind, x), axis, item) for kind in kinds)


@reads_aten("scatter.value", "scatter.src")
def read_scatter(call: AtenCall) -> str:
    """``x.scatter(1, ids, 1.0)``: written along an axis at the places that indices say."""
    x, axis, index, size = _scattered(call)
    if call.name == "scatter" and "src" in call.arguments:
        source = _part(call, call.value("src"), call.tensor(index).shape)
        if call.tensor(index).shape[axis] == 1:
            return call.apply(ops.Where(), _equal_to_position(call, index, axis, size), source, x)
        mask, last = _last_written(call, index, axis, size)
        return call.apply(ops.Where(), mask, call.apply(ops.TakeAlongAxis(axis=axis), source, last), x)
    mask = _written(call, index, axis, size)
    return call.apply(ops.Where(), mask, call.operand("value", call.dtype(x)), x)


@reads_aten("scatter_add.default")
def read_scatter_add(call: AtenCall) -> str:
    """``x.scatter_add(1, ids, y)``: added along an axis at the places that indices say."""
    x, axis, index, size = _scattered(call)
    source = _part(call, call.value("src"), call.tensor(index).shape)
    mask = _each_written(call, index, axis, size)
    wide = call.apply(ops.ExpandDims(axes=(axis + 1,)), source)
    parts = call.apply(ops.Where(), mask, wide, call.like(0, source))
    return call.compute("add", x, call.apply(ops.Reduction(function="sum", axes=(axis,)), parts))


def _scattered(call: AtenCall) -> tuple[str, int, str, Dim]:
    """What is written into, along which axis, at which places, and of how many.

    Raises:
        UnsupportedError: the indices do not cover the other axes.
    """
    x, index = call.value("self"), call.value("index")
    axis, shape = call.axis(x), call.tensor(x).shape
    others = [size for other, size in enumerate(shape) if other != axis]
    if others != [size for other, size in enumerate(call.tensor(index).shape) if other != axis]:
        raise call.refuse(
            "index", f"{call.tensor(index)} for {call.tensor(x)}", "the sizes of all other axes"
        )
    return x, axis, index, shape[axis]


def _part(call: AtenCall, x: str, shape: Sequence[Dim]) -> str:
    for axis, size in enumerate(shape):
        if call.tensor(x).shape[axis] != size:
            x = cut(call, x, axis, (None, size, 1))
    return x


def _equal_to_position(call: AtenCall, index: str, axis: int, size: Dim) -> str:
    """Where along an axis the one place is that indices, of size 1 there, say."""
    positions = call.apply(ops.Arange(stop=size, output_dtype=call.dtype(index)))
    return call.compute("equal", along(call, positions, axis, call.rank(index)), index)


def _each_written(call: AtenCall, index: str, axis: int, size: Dim) -> str:
    """The same for each of several places, the new axis of positions behind theirs."""
    wide = call.apply(ops.ExpandDims(axes=(axis + 1,)), index)
    return _equal_to_position(call, wide, axis + 1, size)


def _written(call: AtenCall, index: str, axis: int, size: Dim) -> str:
    if call.tensor(index).shape[axis] == 1:
        return _equal_to_position(call, index, axis, size)
    return call.apply(ops.Reduction(function="any", axes=(axis,)), _each_written(call, index, axis, size))


def _last_written(call: AtenCall, index: str, axis: int, size: Dim) -> tuple[str, str]:
    """Which places along an axis are written, and by which of the indices: as in torch the last one."""
    hits, count = _each_written(call, index, axis, size), call.tensor(index).shape[axis]
    numbers = call.apply(ops.Arange(start=1, stop=count + 1, output_dtype="int64"))
    numbers = along(call, numbers, axis, call.rank(hits))
    numbers = call.apply(ops.Where(), hits, numbers, call.constant(np.int64(0)))
    last = call.apply(ops.ArgReduction(function="argmax", axis=axis), numbers)
    return call.apply(ops.Reduction(function="any", axes=(axis,)), hits), last


@reads_aten("index_fill.int_Scalar", "index_fill.int_Tensor")
def read_index_fill(call: AtenCall) -> str:
    """``x.index_fill(1, ids, 0.0)``."""
    x = call.value("self")
    axis = call.axis(x)
    mask = _at_any(call, [call.value("index")], [call.tensor(x).shape[axis]])
    return call.apply(
        ops.Where(), along(call, mask, axis, call.rank(x)), call.operand("value", call.dtype(x)), x
    )


@reads_aten("index_put.default")
def read_index_put(call: AtenCall) -> str:
    """``x[mask] = 0.0``, ``x[:, ids] = 1.0``, ``out[torch.arange(n), steps] = y``."""
    x = call.value("self")
    if call["accumulate"]:
        raise call.refuse("accumulate", True, "False")
    known = [None if index is None else call.known(index) for index in call["indices"]]
    value = call.cast(call.value("values"), call.dtype(x))
    booleans = [index for index in known if index is not None and index.dtype in BOOLEAN]
    if booleans:
        return _put_where(call, x, value, known)
    return _put_at(call, x, value)


def _put_where(call: AtenCall, x: str, value: str, known: Sequence[Any]) -> str:
    """One number wherever a mask of the first axes is true."""
    if len(known) > 1 or call.rank(value):
        raise call.refuse("values", call.tensor(value), "a number, where the index is one mask of booleans")
    mask = call.value(call["indices"][0])
    missing = tuple(range(call.rank(mask), call.rank(x)))
    mask = call.apply(ops.ExpandDims(axes=missing), mask) if missing else mask
    return call.apply(ops.Where(), mask, value, x)


def _put_at(call: AtenCall, x: str, value: str) -> str:
    indices = _integers(call)
    axes = [axis for axis, index in enumerate(indices) if index is not None]
    given = [index for index in indices if index is not None]
    shape, rank = call.tensor(x).shape, call.rank(x)
    sizes = [shape[axis] for axis in axes]
    by_rows = (
        axes == [0, 1] and all(call.rank(i) == 1 for i in given) and is_whole_range(call, given[0], sizes[0])
    )
    if by_rows and call.tensor(given[1]).shape == (sizes[0],):
        step = _wrapped(call, given[1], sizes[1])
        mask = _equal_to_position(call, call.apply(ops.ExpandDims(axes=(1,)), step), 1, sizes[1])
        mask = call.apply(ops.ExpandDims(axes=tuple(range(2, rank))), mask) if rank > 2 else mask
        source = value
        if call.rank(value):
            source = broadcast(call, value, [shape[0], *shape[2:]])
            source = call.apply(ops.ExpandDims(axes=(1,)), source)
        return call.apply(ops.Where(), mask, source, x)
    if call.rank(value) and len(axes) == 1 and call.rank(given[0]) == 1:
        return _put_parts(call, x, value, axes[0], given[0])
    if call.rank(value):
        supported = "a number, a value a row at out[torch.arange(n), steps], or parts along one axis"
        raise call.refuse("values", call.tensor(value), supported)
    if axes != list(range(axes[0], axes[0] + len(axes))):
        raise call.refuse("indices", f"axes {axes}", "axes beside each other")
    mask = _at_any(call, given, sizes)
    behind = tuple(range(len(axes), rank - axes[0]))
    mask = call.apply(ops.ExpandDims(axes=behind), mask) if behind else mask
    return call.apply(ops.Where(), mask, value, x)


def _put_parts(call: AtenCall, x: str, value: str, axis: int, index: str) -> str:
    """``out[order] = y``: parts along an axis, in another order."""
    shape, (count,) = call.tensor(x).shape, call.tensor(index).shape
    value = broadcast(call, value, [*shape[:axis], count, *shape[axis + 1 :]])
    mask, last = _last_written(call, _wrapped(call, index, shape[axis]), 0, shape[axis])
    taken = call.apply(ops.Take(axis=axis), value, last)
    return call.apply(ops.Where(), along(call, mask, axis, call.rank(x)), taken, x)


def _at_any(call: AtenCall, indices: Sequence[str], sizes: Sequence[Dim]) -> str:
    """A mask of axes of these sizes, true wherever the indices, taken together, say."""
    rank = max(map(call.rank, indices))
    mask = None
    for number, (index, size) in enumerate(zip(indices, sizes, strict=True)):
        index = _wrapped(call, _of_rank(call, index, rank), size)
        index = call.apply(ops.ExpandDims(axes=tuple(range(rank, rank + len(sizes)))), index)
        hit = _equal_to_position(call, index, rank + number, size)
        mask = hit if mask is None else call.compute("logical_and", mask, hit)
    assert mask is not None
    return call.apply(ops.Reduction(function="any", axes=tuple(range(rank))), mask) if rank else mask


def _wrapped(call: AtenCall, index: str, size: Dim) -> str:
    """Indices counted from the front."""
    end = call.cast(call.apply(ops.SizeOf(size=size)), call.dtype(index))
    below = call.compute("less", index, call.like(0, index))
    return call.apply(ops.Where(), below, call.compute("add", index, end), index)
