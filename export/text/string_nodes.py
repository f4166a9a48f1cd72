"""Operators over texts that lie one behind the other, each with the number of what it is a part of.

``pieces (P,)`` are texts, ``owners (P,)`` those numbers, which never decrease.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from export.onnx.builder import Scope

Parts = tuple[ir.Value, ir.Value]
"""Pieces and their owners."""

LARGEST = np.iinfo("int64").max


def strings(scope: Scope, texts: str | Sequence[str]) -> ir.Value:
    """A constant of strings, which `Builder.constant` has no bytes of."""
    array = np.array(texts, object)
    values = [str(text).encode() for text in array.ravel()]
    key = ("string", array.shape, *values)
    constants = scope.builder.constants
    if key not in constants:
        name = scope.builder.value_name(f"{scope.name}/text")
        tensor = ir.StringTensor(values, shape=ir.Shape(array.shape), name=name)
        constants[key] = ir.Value(
            name=name,
            shape=ir.Shape(array.shape),
            type=ir.TensorType(ir.DataType.STRING),
            const_value=tensor,
        )
    return constants[key]


def divided(scope: Scope, pieces: ir.Value, owners: ir.Value, separator: str) -> Parts:
    """The pieces divided at ``separator``; nothing stays of it, nor of what is empty."""
    parts, _ = scope.several("StringSplit", pieces, wanted=(True, True), delimiter=separator)
    return _filled(scope, parts, owners)


def set_apart(scope: Scope, pieces: ir.Value, owners: ir.Value, mark: str, piece: str) -> Parts:
    """The pieces divided at ``mark``, with a ``piece`` in place of each; nothing stays of what is empty."""
    parts, counts = scope.several("StringSplit", pieces, wanted=(True, True), delimiter=mark)
    K = scope("Gather", scope("Shape", parts), 1)
    last = scope("Unsqueeze", scope("Sub", counts, 1), [1])
    between = scope("Less", scope("Unsqueeze", scope("Range", 0, K, 1), [0]), last)
    marks = scope("Where", between, strings(scope, piece), strings(scope, ""))
    pairs = (scope("Unsqueeze", part, [2]) for part in (parts, marks))
    return _filled(scope, scope("Concat", *pairs, axis=2), owners)


def _filled(scope: Scope, table: ir.Value, owners: ir.Value) -> Parts:
    """What is not empty in a table ``(P, ...)``, in its order."""
    indices = scope("NonZero", scope("Not", scope("Equal", table, strings(scope, ""))))
    own = scope("Gather", owners, scope("Gather", indices, 0, axis=0))
    return scope("GatherND", table, scope("Transpose", indices)), own


def without(scope: Scope, pieces: ir.Value, owners: ir.Value, dropped: ir.Value) -> Parts:
    """The pieces, or ids, that are not ``dropped``, a boolean each."""
    left = where(scope, scope("Not", dropped))
    return scope("Gather", pieces, left), scope("Gather", owners, left)


def where(scope: Scope, chosen: ir.Value) -> ir.Value:
    """The positions at which booleans ``(P,)`` are true."""
    return scope("Squeeze", scope("NonZero", chosen), [0])


def changed(
    scope: Scope,
    pieces: ir.Value,
    owners: ir.Value,
    chosen: ir.Value,
    change: Callable[[ir.Value], Parts],
) -> Parts:
    """Some of the pieces changed, each to any number of others that take its place.

    Args:
        chosen: which, a boolean for each.
        change: given those, makes what becomes of them, and of the how many-th each is.
    """
    P = scope("Shape", pieces)
    some, rest = where(scope, chosen), where(scope, scope("Not", chosen))
    parts, numbers = change(scope("Gather", pieces, some))
    numbers = scope("Gather", some, numbers)
    every = scope("Concat", rest, numbers, axis=0)
    texts = scope("Concat", scope("Gather", pieces, rest), parts, axis=0)
    first = starts(scope, sums(scope, P, every))
    among = positions(scope, numbers, sums(scope, P, numbers))
    target = scope("Add", scope("Gather", first, numbers), among)
    target = scope("Concat", scope("Gather", first, rest), target, axis=0)
    texts = scope("ScatterND", texts, scope("Unsqueeze", target, [1]), texts)
    return texts, scope("Gather", owners, scope("ScatterElements", every, target, every, axis=0))


def joined(scope: Scope, pieces: ir.Value, owners: ir.Value, on: ir.Value) -> Parts:
    """The pieces, with each of which ``on`` is true put behind the one before it."""
    first = scope("Not", on)
    groups = scope("Sub", scope("CumSum", scope("Cast", first, to=int(ir.DataType.INT64)), 0), 1)
    heads = where(scope, first)
    return together(scope, pieces, groups, scope("Shape", heads)), scope("Gather", owners, heads)


def together(scope: Scope, pieces: ir.Value, groups: ir.Value, G: ir.Value) -> ir.Value:
    """One text ``(G,)`` of the pieces of each group, in their order."""
    counts = sums(scope, G, groups)
    K = scope("ReduceMax", scope("Concat", counts, [0], axis=0), keepdims=1)
    background = scope("Expand", strings(scope, ""), scope("Concat", G, K, axis=0))
    table = scatter(scope, background, groups, positions(scope, groups, counts), pieces)
    builder = scope.builder.body()
    step = builder.scope(f"{scope.name}/together")

    def given(name: str, dtype: ir.DataType, shape: Sequence[str]) -> ir.Value:
        full = builder.value_name(f"{step.name}/{name}")
        return ir.Value(name=full, type=ir.TensorType(dtype), shape=ir.Shape(shape))

    number = given("number", ir.DataType.INT64, ())
    going, so_far = given("going", ir.DataType.BOOL, ()), given("so_far", ir.DataType.STRING, ("G",))
    longer = step("StringConcat", so_far, step("Gather", table, number, axis=1))
    longer.type, longer.shape = ir.TensorType(ir.DataType.STRING), ir.Shape(("G",))
    still = step("Identity", going)
    still.type, still.shape = ir.TensorType(ir.DataType.BOOL), ir.Shape(())
    body = ir.Graph([number, going, so_far], [still, longer], nodes=builder.nodes, name=step.name)
    return scope("Loop", scope("Squeeze", K), None, scope("Expand", strings(scope, ""), G), body=body)


def scatter(scope: Scope, table: ir.Value, rows: ir.Value, columns: ir.Value, values: ir.Value) -> ir.Value:
    """A table with values at other places."""
    pairs = (scope("Unsqueeze", part, [1]) for part in (rows, columns))
    return scope("ScatterND", table, scope("Concat", *pairs, axis=1), values)


def previous(scope: Scope, values: ir.Value, first: ir.Value) -> ir.Value:
    """At each of ``(P,)`` what is before it; before the first ``first``, ``(1,)``."""
    return scope("Slice", scope("Concat", first, values, axis=0), [0], [-1], [0])


def following(scope: Scope, values: ir.Value, last: ir.Value) -> ir.Value:
    """At each of ``(P,)`` what is behind it; behind the last ``last``, ``(1,)``."""
    return scope("Slice", scope("Concat", values, last, axis=0), [1], [LARGEST], [0])


def sums(scope: Scope, N: ir.Value, owners: ir.Value) -> ir.Value:
    """How many pieces each of ``N``, ``(1,)``, owners has, ``(N,)``."""
    ones = scope("Expand", scope.constant(np.array([1], "int64"), "one"), scope("Shape", owners))
    zeros = scope("Expand", scope.constant(np.array([0], "int64"), "zero"), N)
    return scope("ScatterElements", zeros, owners, ones, axis=0, reduction="add")


def starts(scope: Scope, counts: ir.Value) -> ir.Value:
    """How many pieces are in front of those of each owner."""
    return scope("CumSum", counts, 0, exclusive=1)


def positions(scope: Scope, owners: ir.Value, counts: ir.Value) -> ir.Value:
    """Of each piece how many of its owner are in front of it."""
    return scope("Sub", counted(scope, owners), scope("Gather", starts(scope, counts), owners))


def counted(scope: Scope, values: ir.Value) -> ir.Value:
    """``0, 1, ...`` of what there is."""
    return scope("Range", 0, scope("Squeeze", scope("Shape", values)), 1)


def refused(scope: Scope, values: ir.Value, wrong: ir.Value, why: str) -> ir.Value:
    """``values (P,)``, or an error where one of the booleans ``wrong`` is true.

    The error is that of a ``Reshape`` to a shape that is none, and the node's name says ``why``.
    """
    count = scope("ReduceSum", scope("Cast", wrong, to=int(ir.DataType.INT64)), keepdims=0)
    own = scope.builder.scope(f"{scope.name}/{why}")
    return own("Reshape", values, scope("Sub", [-1], count))
