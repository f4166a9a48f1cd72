"""A ``Loop`` over the groups of rows of a `GroupedLayout`.

The weights are those of the graph around it, once for all groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from biport.ops import Cell
from export.onnx.builder import Scope
from export.onnx.row_groups import GroupedLayout

GROUP_BODY = "/group"
"""What the names of the graphs end in that compute a group."""

Node: TypeAlias = Callable[[Scope, ir.Value, ir.Value | None, Sequence[ir.Value]], "list[ir.Value | None]"]
"""Writes what computes a group: of its steps ``(S_k, w_k, I)``, its lengths ``(w_k,)`` and its initial states
``(D, w_k, H)`` what `export.onnx.fused_node.fused` gives."""


def over_groups(
    scope: Scope,
    node: Node,
    layout: GroupedLayout,
    cells: Sequence[Cell],
    x: ir.Value,
    initial: Sequence[ir.Value],
    wanted: Sequence[bool],
) -> list[ir.Value]:
    """What ``node`` gives for each group, as sequences; empty ones where rows are not in groups.

    The loop stands in no branch: in one of a branch onnxruntime packs the weights anew at every run.

    Args:
        x: the steps of all groups, ``(R, 1, I)``.
        initial: the initial states in the order of the rows, ``(D, N', H)`` each, or none for zeros.
        wanted: which of the results somebody reads.

    Returns:
        For each that is wanted: every step's output, ``(S_k·D·w_k, 1, 1, H)``, of ``(S_k, D, w_k, H)``; and
        the final states, ``(D, w_k, H)``.
    """
    first, asked = cells[0], [index for index, want in enumerate(wanted) if want]
    builder = scope.builder.body()
    inner = builder.scope(scope.name)

    def given(name: str, type_: ir.TypeProtocol, rank: int | None) -> ir.Value:
        shape = None if rank is None else ir.Shape([None] * rank)
        return ir.Value(name=builder.value_name(f"{inner.name}/{name}"), type=type_, shape=shape)

    number = given("number", ir.TensorType(ir.DataType.INT64), 0)
    condition = given("condition", ir.TensorType(ir.DataType.BOOL), 0)
    results = ir.SequenceType(ir.TensorType(ir.DataType.FLOAT))
    before = [given(f"results_{index}", results, None) for index in asked]

    column = inner("Gather", layout.groups, number, axis=1)
    _, steps, begin, end = inner.several("Split", column, wanted=[True] * 4, axis=0, num_outputs=4)
    own = inner("Slice", x, begin, end, [0])
    own = inner("Reshape", own, inner("Concat", steps, [-1, first.input_size], axis=0))
    start = inner("Mul", inner("Unsqueeze", number, [0]), [layout.size])
    members = inner("Slice", layout.order, start, inner("Add", start, [layout.size]), [0])
    members = inner("Squeeze", members, [1])
    lengths = None if layout.lengths is None else inner("Gather", layout.lengths, members, axis=0)
    states = [inner("Gather", state, members, axis=1) for state in initial]
    computed = [value for value in node(inner, own, lengths, states) if value is not None]
    if wanted[0]:
        computed[0] = inner("Reshape", computed[0], [-1, 1, 1, first.hidden_size])
    after = [inner("SequenceInsert", *pair) for pair in zip(before, computed, strict=True)]
    for value in after:
        value.type = results
    more = inner("Identity", condition)
    more.type, more.shape = condition.type, condition.shape
    body = ir.Graph(
        [number, condition, *before], [more, *after], nodes=builder.nodes, name=f"{scope.name}{GROUP_BODY}"
    )

    empty = [scope("SequenceEmpty") for _ in asked]
    for value in empty:
        value.type = results
    sequences = scope.several("Loop", layout.count, None, *empty, wanted=[True] * len(asked), body=body)
    for sequence in sequences:
        sequence.type = results
    return sequences


def joined(
    scope: Scope, layout: GroupedLayout, sequences: Sequence[ir.Value], wanted: Sequence[bool]
) -> list[ir.Value | None]:
    """The sequences of `over_groups` one group after another.

    Returns:
        Every step's output, ``(R·D, 1, 1, H)``; and the final states in the order of the rows,
        ``(D, N', H)``.
    """
    outputs: list[ir.Value | None] = [None] * len(wanted)
    asked = [index for index, want in enumerate(wanted) if want]
    for index, sequence in zip(asked, sequences, strict=True):
        outputs[index] = scope("ConcatFromSequence", sequence, axis=min(index, 1))
        if index:
            outputs[index] = scope("Gather", outputs[index], scope("Squeeze", layout.rank, [1]), axis=1)
    return outputs


def valid_steps(scope: Scope, x: ir.Value, lengths: ir.Value | None) -> ir.Value | None:
    """Which steps of ``(S_k, w_k, I)`` are not behind the end of their row, ``(S_k, w_k, 1)``."""
    if lengths is None:
        return None
    count = scope("Squeeze", scope("Shape", x, start=0, end=1), [0])
    time = scope(
        "Range", np.asarray(0, "int32"), scope("Cast", count, to=ir.DataType.INT32), np.asarray(1, "int32")
    )
    return scope("Less", scope("Unsqueeze", time, [1, 2]), scope("Unsqueeze", lengths, [0, 2]))


def zero_states(scope: Scope, cells: Sequence[Cell], x: ir.Value) -> list[ir.Value]:
    """The initial states of the rows of ``(S_k, w_k, I)``, ``(D, w_k, H)`` each."""
    first = cells[0]
    shape = scope("Concat", [len(cells)], scope("Shape", x, start=1, end=2), [first.hidden_size], axis=0)
    return [scope("ConstantOfShape", shape)] * len(first.states)
