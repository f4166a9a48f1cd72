"""What a recurrent layer becomes, as measured: a fused node or a loop, over groups of rows or all of them.

onnxruntime's fused GRU and RNN lose to a `Scan` where a batch is large, by up to a quarter and up to five
times: RNN computes its activations one number at a time. Its LSTM never loses by more than the noise. The
batch is known only when the model runs, so that an ``If`` decides; both its branches read the same input
and give the same values.

Under a mask rows of like lengths run together, 8 or 16 at a time, in a ``Loop`` whose body is the node or the
`Scan`, whichever is faster for so many rows: what pads the rows of a batch is then not computed, and fewer
rows keep more of a step in the cache. Another ``If`` leaves that to batches it pays for, see
`export.onnx.row_groups`. Figures: ``docs/benchmarks.md``; measured again by ``benchmarks/lowering.py``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from biport.ops import GRU, RNN, Bidirectional, Cell, Recurrent, StackedRNN
from export.onnx.branches import Branch, either
from export.onnx.builder import Scope
from export.onnx.fused_node import fused, obstacle
from export.onnx.row_groups import GroupedLayout
from export.onnx.site import Site
from export.onnx.step_layout import StepLayout
from export.recurrent.body import cell_scanned
from export.recurrent.groups import joined, over_groups, valid_steps, zero_states

LOWERINGS = ("auto", "fused", "loop")
LOOP_FROM: dict[type[Cell], tuple[int, int]] = {GRU: (2048, 4096), RNN: (256, 256)}
"""From which N·H on a Scan is faster on the CPU, without and with a mask; an LSTM stays fused."""
GROUP = (8, 16)
"""How many rows of like lengths are computed together, below `WIDE` and from it on."""
WIDE = 256
"""From which H on more rows share what a step reads of the weights."""

NodeOutputs: TypeAlias = list[ir.Value | None]
"""Every step's output and the final states; ``None`` for what nobody reads."""


def layout_of(op: Recurrent | Bidirectional, site: Site) -> StepLayout:
    """The step form in which a layer is computed."""
    return site.layouts.layout(site.inputs[0], site.masks[0], site.name, _group(op, site))


def _group(op: Recurrent | Bidirectional, site: Site) -> int | None:
    """How many rows are a group of the layer; ``None`` where there are no groups."""
    cells = [cell for cell in _cells(op) if isinstance(cell, Cell) and _never_fused(cell, site) is None]
    if site.lowering != "auto" or len(cells) < len(_cells(op)):
        return None
    size, N = GROUP[max(cell.hidden_size for cell in cells) >= WIDE], site.inputs[0].tensor.shape[0]
    return None if isinstance(N, int) and 2 * size > N else size


def _cells(op: Recurrent | Bidirectional) -> list[object]:
    if isinstance(op, Bidirectional):
        return [*_cells(op.forward), *_cells(op.backward)]
    return [*op.cells] if isinstance(op, StackedRNN) else [op]


def why_looped(cell: Cell, site: Site, layout: StepLayout) -> str | None:
    """Why ``cell`` is a loop whatever comes; ``None`` where it is fused or its batch decides."""
    if isinstance(layout, GroupedLayout):
        return None
    reason = _never_fused(cell, site)
    least, N = _least(cell, site.lowering, layout.mask is not None), layout.sizes.root.tensor.shape[0]
    if reason is None and least is not None and isinstance(N, int) and least <= N:
        return f"a loop is faster over a batch of {N}"
    return reason


def projects_ahead(cell: Cell, site: Site) -> bool:
    """Whether a loop finds the products of the input made before it begins.

    At every step they are faster where a batch is large, because the caches still hold what a step reads: by
    up to a fifth for the batches that have a GRU looped. An RNN is looped from smaller ones.
    """
    return not isinstance(cell, GRU) or _never_fused(cell, site) is not None


def _never_fused(cell: Cell, site: Site) -> str | None:
    reason = obstacle(cell)
    if reason is None and site.may_be_nan:
        return "its input can be NaN or infinite, of which fused nodes make numbers"
    if reason is None and site.lowering == "loop":
        return "asked for as a loop"
    return reason


def _least(cell: Cell, lowering: str, masked: bool) -> int | None:
    """The batch from which on ``cell`` is a loop; ``None`` for none."""
    if lowering == "fused" or type(cell) not in LOOP_FROM:
        return None
    return -(-LOOP_FROM[type(cell)][masked] // cell.hidden_size)


def lowered(
    site: Site,
    cells: Sequence[Cell],
    direction: str,
    layout: StepLayout,
    x: ir.Value,
    initial: Sequence[ir.Value],
    wanted: Sequence[bool],
) -> NodeOutputs:
    """What `fused` writes, where that is always the faster; or else an ``If`` with what is faster beside it.

    In a `GroupedLayout` the form of every step's output is its own, see `GroupedLayout.directions`.
    """
    scope, N = site.scope, layout.sizes.root.tensor.shape[0]
    least = _least(cells[0], site.lowering, layout.mask is not None)
    if least is not None and isinstance(N, int) and least > N:
        least = None

    def node(inner: Scope) -> NodeOutputs:
        return fused(inner, cells, direction, x, layout.lengths, initial, wanted)

    def loop(inner: Scope) -> NodeOutputs:
        valid = layout.valid(inner)
        return _loops(_at(site, inner), cells, direction, layout, x, valid, initial, wanted)

    if not isinstance(layout, GroupedLayout):
        if least is None:
            return node(scope)
        return _either(scope, layout.sizes.at_least(least), loop, node, wanted)

    def of_group(
        inner: Scope, x: ir.Value, lengths: ir.Value | None, initial: Sequence[ir.Value]
    ) -> NodeOutputs:
        if least is None or layout.size < least:
            return fused(inner, cells, direction, x, lengths, initial, wanted)
        valid, given = valid_steps(inner, x, lengths), initial or zero_states(inner, cells, x)
        return _loops(_at(site, inner), cells, direction, layout, x, valid, given, wanted)

    sequences = over_groups(scope, of_group, layout, cells, x, initial, wanted)

    def groups(inner: Scope) -> NodeOutputs:
        return joined(inner, layout, sequences, wanted)

    def many(inner: Scope) -> NodeOutputs:
        return _either(inner, layout.grouped, groups, loop, wanted)

    if least is None:
        return _either(scope, layout.grouped, groups, node, wanted)
    if isinstance(N, int):
        return many(scope)
    # onnxruntime packs the weights of a fused node when it opens a file, but not in a branch of a branch.
    large = scope("Or", layout.grouped, layout.sizes.at_least(least))
    return _either(scope, large, many, node, wanted)


def _at(site: Site, scope: Scope) -> Site:
    return dataclasses.replace(site, scope=scope)


def _loops(
    site: Site,
    cells: Sequence[Cell],
    direction: str,
    layout: StepLayout,
    x: ir.Value,
    valid: ir.Value | None,
    initial: Sequence[ir.Value],
    wanted: Sequence[bool],
) -> NodeOutputs:
    """A Scan for each direction, their results laid together as `fused` gives them."""
    scope = site.scope
    directions = []
    for number, cell in enumerate(cells):
        given = [scope("Gather", state, np.asarray(number, "int64"), axis=0) for state in initial]
        reverse = direction == "reverse" or number == 1
        states = given or [None] * len(cell.states)
        ahead = projects_ahead(cell, site)
        directions.append(cell_scanned(site, cell, reverse, layout, x, valid, states, wanted, ahead))
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

    def given(write: Callable[[Scope], NodeOutputs]) -> Branch:
        return lambda inner: [value for value in write(inner) if value is not None]

    ranks = [rank for want, rank in zip(wanted, (4, 3, 3), strict=False) if want]
    results = [(ir.DataType.FLOAT, rank) for rank in ranks]
    outputs = iter(either(scope, condition, given(then), given(otherwise), results))
    return [next(outputs) if want else None for want in wanted]
