"""Mistakes in tensor operations: axes, bounds, orders, operands, and what two languages call by one name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from biport.compare.mistakes.base import Mistake, replaced
from biport.dims import letter, letters_in
from biport.errors import BiportError
from biport.graph import Graph, Node
from biport.ops import (
    Arange,
    ArgReduction,
    ArgSort,
    Cast,
    Clip,
    Concatenate,
    Constant,
    CumulativeSum,
    Einsum,
    Elementwise,
    Flip,
    Full,
    LogSoftmax,
    MatMul,
    OneHot,
    Op,
    Pad,
    PermuteDims,
    Reduction,
    Repeat,
    ReshapeTo,
    Roll,
    SizeOf,
    Slice,
    Softmax,
    Sort,
    Split,
    Stack,
    StepAt,
    Take,
    TakeAlongAxis,
    Tensor,
    Tile,
    TopK,
    Unstack,
    Where,
)

CallChange = Callable[[Node, Sequence[Tensor]], Sequence[Node]]
Kinds = type[Op] | tuple[type[Op], ...]


def of_calls(name: str, kinds: Kinds, change: CallChange) -> Mistake:
    """A mistake in how operations are called, made wherever what comes of it is a graph still.

    Args:
        name: a clause that says what is wrong.
        kinds: the ops that can have it.
        change: the nodes that stand for one, by what its inputs are; that very node where it has nothing to
            change.
    """
    return Mistake(name, partial(_wherever_possible, kinds, change))


def of_settings(name: str, kinds: Kinds, change: Callable[[Any], Op]) -> Mistake:
    """The same of an operation's settings alone."""

    def of_node(node: Node, tensors: Sequence[Tensor]) -> list[Node]:
        op = change(node.op)
        return [node if op is node.op else dataclasses.replace(node, op=op)]

    return of_calls(name, kinds, of_node)


def _wherever_possible(kinds: Kinds, change: CallChange, graph: Graph) -> Graph:
    for node in graph.nodes:
        if not isinstance(node.op, kinds):
            continue
        try:
            others = change(node, [graph.tensors[name] for name in node.inputs])
            if list(others) == [node]:
                continue
            nodes = (other for one in graph.nodes for other in (others if one is node else [one]))
            changed = dataclasses.replace(graph, nodes=tuple(nodes))
            # Letters suit whatever they meet; numbers tell.
            changed.at(_some_sizes(graph))
            graph = changed
        except BiportError:
            continue  # It cannot be made here.
    return graph


def _some_sizes(graph: Graph) -> dict[str, int]:
    """A number for each letter of the inputs, unlikely to be another size.

    A form that was read has a letter for the steps of each input, though they are to be the same.
    """
    sizes = {name: 103 for value in graph.inputs for name in letters_in(value.shape)}
    return sizes | {name: 101 for value in graph.inputs for name in letters_in(value.shape[:1])}


def _before(op: Op, index: int, node: Node) -> list[Node]:
    """``op`` between ``node`` and one of its inputs."""
    first = Node(f"{node.name}_before", op, (node.inputs[index],))
    return [first, _with_input(node, index, first.name)]


def _with_input(node: Node, index: int, name: str) -> Node:
    return dataclasses.replace(node, inputs=(*node.inputs[:index], name, *node.inputs[index + 1 :]))


def _behind(node: Node, op: Op, *others: str) -> list[Node]:
    """``op`` between ``node`` and what reads it; ``others`` are what else that takes."""
    inner = f"{node.name}_inner"
    return [
        dataclasses.replace(node, outputs=(inner,)),
        Node(f"{node.name}_behind", op, (inner, *others), node.outputs),
    ]


def _other_axis(axis: int) -> int:
    """The next axis: steps for features and features for steps, whichever end they are counted from."""
    return {0: 1, 1: 2, -1: -2, -2: -1}.get(axis, axis - 1 if axis > 0 else axis + 1)


def _along_another(op: Any) -> Op:
    setting = "axes" if hasattr(op, "axes") and not isinstance(op, Softmax) else "axis"
    given = getattr(op, setting)
    if isinstance(given, int):
        return replaced(op, **{setting: _other_axis(given)})
    return replaced(op, **{setting: tuple(map(_other_axis, given))}) if len(given) == 1 else op


ALONG = (
    *(Reduction, ArgReduction, CumulativeSum, Softmax, LogSoftmax, Concatenate, Stack, Split, Unstack),
    *(Flip, Roll, Repeat, Take, TakeAlongAxis, TopK, Sort, ArgSort),
)


def _of_function(kinds: Kinds, before: str, after: str) -> Mistake:
    def change(op: Any) -> Op:
        return replaced(op, function=after) if op.function == before else op

    return of_settings(f"it is {after} instead of {before}", kinds, change)


FUNCTIONS = (
    *(("exp", "expm1"), ("expm1", "exp"), ("log1p", "log"), ("log", "log1p"), ("log", "log2")),
    *(("sqrt", "rsqrt"), ("rsqrt", "reciprocal"), ("reciprocal", "negative"), ("square", "abs")),
    *(("sin", "cos"), ("cos", "sin"), ("erf", "atan"), ("atan", "tan"), ("atan2", "divide")),
    *(("round", "floor"), ("floor", "trunc"), ("ceil", "floor"), ("trunc", "floor"), ("trunc", "round")),
    *(("less", "less_equal"), ("less_equal", "less"), ("greater", "greater_equal")),
    *(("greater_equal", "greater"), ("equal", "not_equal"), ("not_equal", "equal")),
    *(("logical_and", "logical_or"), ("logical_or", "logical_xor"), ("logical_xor", "logical_or")),
    *(("add", "subtract"), ("multiply", "divide"), ("divide", "floor_divide"), ("pow", "multiply")),
    *(("maximum", "minimum"), ("minimum", "maximum")),
)
REDUCTIONS = (
    *(("sum", "mean"), ("mean", "sum"), ("prod", "sum"), ("logsumexp", "max"), ("logsumexp", "sum")),
    *(("max", "min"), ("min", "max"), ("any", "all"), ("all", "any"), ("var", "std"), ("std", "var")),
    *(("norm", "sum"),),
)

ORDERED = (
    *("subtract", "divide", "floor_divide", "remainder", "pow", "atan2"),
    *("less", "less_equal", "greater", "greater_equal"),
)
"""Functions whose operands are not to be exchanged."""

UNARY = ("negative", "abs", "sign", "square", "exp", "log", "sqrt", "floor", "round", "logical_not")
"""Functions that give what they take, and so can be left out."""


def _operands_exchanged(node: Node, tensors: Sequence[Tensor]) -> list[Node]:
    if isinstance(node.op, Elementwise) and node.op.function not in ORDERED:
        return [node]
    return [dataclasses.replace(node, inputs=node.inputs[::-1])]


def _left_out(node: Node, tensors: Sequence[Tensor]) -> list[Node]:
    if isinstance(node.op, Elementwise) and node.op.function not in UNARY:
        return [node]
    # An index of nothing is all of it.
    return [dataclasses.replace(node, op=Slice(items=()))]


def _towards_zero(function: str, node: Node, tensors: Sequence[Tensor]) -> list[Node]:
    """``//`` and ``%`` as C has them: of the sizes alone, with the signs put back."""
    if node.op.settings()["function"] != function:
        return [node]
    own = [f"{node.name}_size_{index}" for index in range(2)]
    sizes = [
        Node(name, Elementwise(function="abs"), (given,))
        for name, given in zip(own, node.inputs, strict=True)
    ]
    signs = [
        Node(f"{node.name}_sign_{index}", Elementwise(function="sign"), (given,))
        for index, given in enumerate(node.inputs)
    ]
    multiply = Elementwise(function="multiply")
    of_sizes = dataclasses.replace(node, inputs=tuple(own), outputs=(f"{node.name}_of_sizes",))
    if function == "remainder":
        last = Node(f"{node.name}_signed", multiply, (*of_sizes.outputs, signs[0].name), node.outputs)
        return [*sizes, signs[0], of_sizes, last]
    sign = Node(f"{node.name}_sign", multiply, (signs[0].name, signs[1].name))
    last = Node(f"{node.name}_signed", multiply, (*of_sizes.outputs, sign.name), node.outputs)
    return [*sizes, *signs, of_sizes, sign, last]


def _branches_exchanged(node: Node, tensors: Sequence[Tensor]) -> list[Node]:
    condition, x, y = node.inputs
    return [dataclasses.replace(node, inputs=(condition, y, x))]


def _rounded_first(node: Node, tensors: Sequence[Tensor]) -> list[Node]:
    return _before(Elementwise(function="round"), 0, node)


def _elementwise_mistakes() -> Iterator[Mistake]:
    for before, after in FUNCTIONS:
        yield _of_function(Elementwise, before, after)
    yield of_calls("its operands are exchanged", (Elementwise, MatMul), _operands_exchanged)
    yield of_calls("it is left out", (Elementwise, Flip, PermuteDims, Roll), _left_out)
    yield of_calls(
        "its remainder has the sign of the dividend", Elementwise, partial(_towards_zero, "remainder")
    )
    yield of_calls("its quotient goes towards zero", Elementwise, partial(_towards_zero, "floor_divide"))
    yield of_calls("its branches are exchanged", Where, _branches_exchanged)
    yield of_settings("its lower limit is ignored", Clip, lambda op: replaced(op, min=None))
    yield of_settings("its upper limit is ignored", Clip, lambda op: replaced(op, max=None))
    yield of_settings("its limits are exchanged", Clip, lambda op: replaced(op, min=op.max, max=op.min))
    yield of_calls("it rounds instead of cutting", Cast, _rounded_first)


def _summed_before(node: Node, tensors: Sequence[Tensor]) -> list[Node]:
    """The sum of what is in front of each element, without that element."""
    return _behind(node, Elementwise(function="subtract"), *node.inputs)


def _of_sample(op: Any) -> Op:
    deviating = op.function in ("var", "std")
    return replaced(op, correction=0 if op.correction else 1) if deviating else op


def _of_other_order(op: Any) -> Op:
    return replaced(op, order=2 if op.order == 1 else 1) if op.function == "norm" else op


def _largest_for_smallest(op: Any) -> Op:
    if isinstance(op, ArgReduction):
        return replaced(op, function="argmin" if op.function == "argmax" else "argmax")
    if isinstance(op, TopK):
        return replaced(op, largest=not op.largest)
    return replaced(op, descending=not op.descending)


def _reduction_mistakes() -> Iterator[Mistake]:
    yield of_settings("it goes along another axis", ALONG, _along_another)
    for before, after in REDUCTIONS:
        yield _of_function(Reduction, before, after)
    yield of_settings(
        "it is wrong about keeping its axes",
        (Reduction, ArgReduction),
        lambda op: replaced(op, keepdims=not op.keepdims),
    )
    yield of_settings("it divides by another number of degrees of freedom", Reduction, _of_sample)
    yield of_settings("its norm is of another order", Reduction, _of_other_order)
    yield of_settings(
        "largest and smallest are exchanged", (ArgReduction, TopK, Sort, ArgSort), _largest_for_smallest
    )
    yield of_calls("it sums up what is in front alone", CumulativeSum, _summed_before)
    yield of_settings("it is no logarithm", LogSoftmax, lambda op: Softmax(axis=op.axis))


def _of_items(change: Callable[[Any], Any], op: Any) -> Op:
    return replaced(op, items=tuple(None if item is None else change(item) for item in op.items))


def _first_for_last(item: Any) -> Any:
    return -1 - item if item in (0, -1) else item


def _begun_later(item: Any) -> Any:
    if isinstance(item, int) or item == (None, None, 1):
        return item
    start, stop, step = item
    return (1 if start is None else start + 1, stop, step) if start != -1 and step > 0 else item


def _ended_earlier(item: Any) -> Any:
    if isinstance(item, int) or item == (None, None, 1):
        return item
    start, stop, step = item
    return (start, -1 if stop is None else stop - 1, step) if stop != 0 and step > 0 else item


def _stepless(item: Any) -> Any:
    return item if isinstance(item, int) else (*item[:2], 1)


def _in_column_order(node: Node, tensors: Sequence[Tensor]) -> list[Node]:
    """A row of the batch read along its first axis."""
    rank = len(tensors[0].shape)
    return [node] if rank < 3 else _before(PermuteDims(axes=(0, *range(rank - 1, 0, -1))), 0, node)


def _joined(op: Any) -> Op:
    return Concatenate(axis=op.axis)


def _inputs_turned(node: Node, tensors: Sequence[Tensor]) -> list[Node]:
    return [dataclasses.replace(node, inputs=node.inputs[::-1])]


def _outputs_turned(node: Node, tensors: Sequence[Tensor]) -> list[Node]:
    return [dataclasses.replace(node, outputs=node.outputs[::-1])]


def _each_element(node: Node, tensors: Sequence[Tensor]) -> list[Node]:
    """Each element repeated where all of it was to be, along the one axis where it is."""
    repetitions = node.op.settings()["repetitions"]
    wide = [axis for axis, count in enumerate(repetitions) if count != 1]
    if len(wide) != 1 or len(repetitions) != len(tensors[0].shape):
        return [node]
    return [dataclasses.replace(node, op=Repeat(repeats=repetitions[wide[0]], axis=wide[0]))]


def _all_of_it(node: Node, tensors: Sequence[Tensor]) -> list[Node]:
    repeats, axis = node.op.settings()["repeats"], node.op.settings()["axis"]
    rank = len(tensors[0].shape)
    repetitions = tuple(repeats if own == axis % rank else 1 for own in range(rank))
    return [dataclasses.replace(node, op=Tile(repetitions=repetitions))]


def _shaping_mistakes() -> Iterator[Mistake]:
    yield of_settings("first and last are exchanged", Slice, partial(_of_items, _first_for_last))
    yield of_settings("it begins one later", Slice, partial(_of_items, _begun_later))
    yield of_settings("it ends one earlier", Slice, partial(_of_items, _ended_earlier))
    yield of_settings("its step is ignored", Slice, partial(_of_items, _stepless))
    yield of_settings(
        "front and end of its padding are exchanged",
        Pad,
        lambda op: replaced(op, widths=tuple(pair[::-1] for pair in op.widths)),
    )
    yield of_settings("it pads with zeros", Pad, lambda op: replaced(op, mode="constant", value=0.0))
    yield of_settings(
        "it repeats the edge instead of mirroring",
        Pad,
        lambda op: replaced(op, mode="edge") if op.mode == "reflect" else op,
    )
    yield of_settings(
        "it is the inverse permutation",
        PermuteDims,
        lambda op: replaced(op, axes=tuple(int(axis) for axis in np.argsort(op.axes))),
    )
    yield of_calls("it reads in column order", ReshapeTo, _in_column_order)
    yield of_settings("it joins along an axis that is there", Stack, _joined)
    yield of_calls("its inputs are in the opposite order", (Stack, Concatenate), _inputs_turned)
    yield of_calls("its parts are in the opposite order", (Split, Unstack), _outputs_turned)
    yield of_settings(
        "the sizes of its parts are in the opposite order",
        Split,
        lambda op: replaced(op, sizes=op.sizes[::-1]),
    )
    yield of_calls("it repeats each element instead of all of it", Tile, _each_element)
    yield of_calls("it repeats all of it instead of each element", Repeat, _all_of_it)
    yield of_settings("it rolls the other way", Roll, lambda op: replaced(op, shift=-op.shift))


def _one_before(node: Node, tensors: Sequence[Tensor]) -> list[Node]:
    """Indices that begin at 1: of 0 the last."""
    if isinstance(node.op, OneHot):
        return _behind(node, Roll(shift=-1, axis=-1))
    axis = 1 if isinstance(node.op, StepAt) else node.op.settings()["axis"]
    return _before(Roll(shift=1, axis=axis), 0, node)


def _cut_at_zero(node: Node, tensors: Sequence[Tensor]) -> list[Node]:
    return _before(Clip(min=0), 1, node)


def _from_the_end(node: Node, tensors: Sequence[Tensor]) -> list[Node]:
    """Of an integer that is out of range, the class as many from the end on."""
    classes = np.asarray(node.op.settings()["num_classes"], tensors[0].dtype)
    count = Node(f"{node.name}_count", Constant(value=classes), ())
    within = Node(f"{node.name}_within", Elementwise(function="remainder"), (*node.inputs, count.name))
    return [count, within, _with_input(node, 0, within.name)]


def _indexing_mistakes() -> Iterator[Mistake]:
    by_index = (Take, TakeAlongAxis, StepAt)
    yield of_calls("its indices begin at one", (*by_index, OneHot), _one_before)
    yield of_calls("its negative indices are those of the first", by_index, _cut_at_zero)
    yield of_calls("integers out of range count from the end", OneHot, _from_the_end)


def _transposed(node: Node, tensors: Sequence[Tensor]) -> list[Node]:
    rank = len(tensors[1].shape)
    axes = (*range(rank - 2), rank - 1, rank - 2)
    return _before(PermuteDims(axes=axes), 1, node) if rank > 1 else [node]


def _output_transposed(op: Any) -> Op:
    turned = op.output[:-2] + op.output[:-3:-1]
    return replaced(op, equation=f"{','.join(op.terms)}->{turned}") if len(op.output) > 1 else op


def _product_mistakes() -> Iterator[Mistake]:
    yield of_calls("its right operand is transposed", MatMul, _transposed)
    yield of_settings("its output is transposed", Einsum, _output_transposed)


def _whole_number(op: Any) -> Op:
    whole = np.trunc(op.value) if op.value.ndim == 0 and op.value.dtype.kind == "f" else op.value
    return op if (whole == op.value).all() else replaced(op, value=whole)


def _backwards(op: Any) -> Op:
    return replaced(op, value=op.value[..., ::-1].copy()) if op.value.ndim else op


def _one_later(op: Any) -> Op:
    return replaced(op, start=op.start + op.step, stop=op.stop + op.step)


def _other_letters(op: Op) -> Op:
    return op.at({"N": letter("T"), "T": letter("N")})


def _source_mistakes() -> Iterator[Mistake]:
    yield of_settings("its number is cut to a whole one", Constant, _whole_number)
    yield of_settings("its array is in the opposite order", Constant, _backwards)
    yield of_settings("its numbers begin one later", Arange, _one_later)
    yield of_settings("its number is another", Full, lambda op: replaced(op, value=1.0 - op.value))
    yield of_settings("it is one less", SizeOf, lambda op: replaced(op, size=op.size - 1))
    yield of_settings("batch and time are exchanged in its sizes", (SizeOf, Arange), _other_letters)


OPERATION_MISTAKES = (
    *_elementwise_mistakes(),
    *_reduction_mistakes(),
    *_shaping_mistakes(),
    *_indexing_mistakes(),
    *_product_mistakes(),
    *_source_mistakes(),
)
