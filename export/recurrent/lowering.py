"""A fused node or a loop for a recurrent layer, as measured: the rule, and a node that holds both.

onnxruntime's fused GRU and RNN lose to a `Scan` where a batch is large, by up to a quarter and up to five
times: RNN computes its activations one number at a time. Its LSTM never loses by more than the noise. The
batch is known only when the model runs, so that an ``If`` decides; both its branches read the same input
and give the same values. Figures: ``docs/benchmarks.md``; measured again by ``benchmarks/lowering.py``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from biport.ops import GRU, RNN, Cell
from export.onnx.builder import Scope
from export.onnx.fused_node import fused, obstacle
from export.onnx.site import Site
from export.onnx.step_layout import StepLayout
from export.recurrent.body import cell_scanned

LOWERINGS = ("auto", "fused", "loop")
LOOP_FROM: dict[type[Cell], int] = {GRU: 2048, RNN: 256}
"""From which N·H on a Scan is faster on the CPU; an LSTM stays fused."""

NodeOutputs: TypeAlias = list[ir.Value | None]
"""Every step's output and the final states; ``None`` for what nobody reads."""


def why_looped(cell: Cell, site: Site, layout: StepLayout) -> str | None:
    """Why ``cell`` is a loop whatever comes; ``None`` where it is fused or its batch decides."""
    reason, lowering = obstacle(cell), site.lowering
    if reason is not None:
        return reason
    if site.may_be_nan:
        return "its input can be NaN or infinite, of which fused nodes make numbers"
    if lowering == "loop":
        return "asked for as a loop"
    least, N = _least(cell, lowering), layout.sizes.root.tensor.shape[0]
    if least is not None and isinstance(N, int) and least <= N:
        return f"a loop is faster over a batch of {N}"
    return None


def _least(cell: Cell, lowering: str) -> int | None:
    """The batch from which on ``cell`` is a loop; ``None`` for none."""
    if lowering == "fused" or type(cell) not in LOOP_FROM:
        return None
    return -(-LOOP_FROM[type(cell)] // cell.hidden_size)


def lowered(
    site: Site,
    cells: Sequence[Cell],
    direction: str,
    layout: StepLayout,
    x: ir.Value,
    initial: Sequence[ir.Value],
    wanted: Sequence[bool],
) -> NodeOutputs:
    """What `fused` writes, where that is always the faster; or else an ``If`` with a loop beside it."""
    least, scope = _least(cells[0], site.lowering), site.scope

    def node(inner: Scope) -> NodeOutputs:
        return fused(inner, cells, direction, x, layout.lengths, initial, wanted)

    if least is None or isinstance(layout.sizes.root.tensor.shape[0], int):
        return node(scope)

    def loop(inner: Scope) -> NodeOutputs:
        branch = dataclasses.replace(site, scope=inner)
        return _loops(branch, cells, direction, layout, x, initial, wanted)

    return _either(scope, layout.sizes.at_least(least), loop, node, wanted)


def _loops(
    site: Site,
    cells: Sequence[Cell],
    direction: str,
    layout: StepLayout,
    x: ir.Value,
    initial: Sequence[ir.Value],
    wanted: Sequence[bool],
) -> NodeOutputs:
    """A Scan for each direction, their results laid together as `fused` gives them."""
    scope = site.scope
    valid, directions = layout.valid(scope), []
    for number, cell in enumerate(cells):
        given = [scope("Gather", state, np.asarray(number, "int64"), axis=0) for state in initial]
        reverse = direction == "reverse" or number == 1
        states = given or [None] * len(cell.states)
        directions.append(cell_scanned(site, cell, reverse, layout, x, valid, states, wanted))
    axes = (1, *(0 for _ in wanted[1:]))
    return [
        _together(scope, list(parts), axis)
        for parts, axis in zip(zip(*directions, strict=True), axes, strict=True)
    ]


def _together(scope: Scope, parts: list[ir.Value | None], axis: int) -> ir.Value | None:
    wide = [scope("Unsqueeze", part, [axis]) for part in parts if part is not None]
    if len(wide) < 2:
        return wide[0] if wide else None
    return scope("Concat", *wide, axis=axis)


def _either(
    scope: Scope,
    condition: ir.Value,
    then: Callable[[Scope], NodeOutputs],
    otherwise: Callable[[Scope], NodeOutputs],
    wanted: Sequence[bool],
) -> NodeOutputs:
    """An ``If`` whose branches write the same values."""
    branches = {}
    for name, write in (("then_branch", then), ("else_branch", otherwise)):
        builder = scope.builder.body()
        outputs = [value for value in write(builder.scope(scope.name)) if value is not None]
        for value in outputs:
            value.type = ir.TensorType(ir.DataType.FLOAT)
        branches[name] = ir.Graph([], outputs, nodes=builder.nodes, name=f"{scope.name}/{name}")
    outputs = iter(scope.several("If", condition, wanted=[want for want in wanted if want], **branches))
    return [next(outputs) if want else None for want in wanted]
