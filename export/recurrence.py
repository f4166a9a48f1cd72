"""What the recurrent ops share: one fused node in step form, and the forms of what it gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from biport.gates import stack_gates
from biport.ops import LSTM, Gates
from export.builder import Scope
from export.flow import Flow, Site
from export.layout import Layout


def fused_lstm(
    scope: Scope, halves: Sequence[LSTM], order: str, x: ir.Value, lengths: ir.Value | None
) -> ir.Value:
    """One LSTM node over the step form ``(T', N', I)``.

    Activations, alpha, beta and clip are left out even where they would repeat the defaults: the CUDA
    provider hands such a node to the CPU.

    Args:
        halves: one op, or a forward and a backward one of equal sizes.
        order: the gates as the node stacks them.
        lengths: ``sequence_lens``, ``(N',)``, or ``None`` when all steps are valid.

    Returns:
        Every step's output ``(T', D, N', H)`` or, when the ops return no sequences, the last ``(D, N', H)``.
    """
    first = halves[0]
    sequence = first.return_sequences
    return scope.several(
        "LSTM",
        x,
        scope.constant(np.stack([stack_gates(half.weight_ih, order) for half in halves]), "W"),
        scope.constant(np.stack([stack_gates(half.weight_hh, order) for half in halves]), "R"),
        _bias(scope, halves, order),
        *([] if lengths is None else [lengths]),
        wanted=(True,) if sequence else (False, True),
        hidden_size=first.hidden_size,
        direction=_direction(halves),
    )[0]


def _direction(halves: Sequence[LSTM]) -> str:
    if len(halves) == 2:
        return "bidirectional"
    return "reverse" if halves[0].reverse else "forward"


def _bias(scope: Scope, halves: Sequence[LSTM], order: str) -> ir.Value | None:
    """``[Wb, Rb]`` for each direction, ``(D, 2·G·H)``; a bias that is not there counts as zeros."""
    if all(half.bias_ih is None for half in halves):
        return None
    return scope.constant(np.stack([_both_biases(half, order) for half in halves]), "B")


def _both_biases(half: LSTM, order: str) -> np.ndarray:
    zeros = np.zeros(len(order) * half.hidden_size, half.dtype)

    def stacked(bias: Gates | None) -> np.ndarray:
        return zeros if bias is None else stack_gates(bias, order)

    return np.concatenate([stacked(half.bias_ih), stacked(half.bias_hh)])


def recurrent_flow(
    site: Site,
    op: LSTM,
    layout: Layout,
    walk: Callable[[], ir.Value],
    *,
    width: int,
    directions: int = 1,
    reverse: bool = False,
    output: int = 0,
) -> Flow:
    """The flow of one recurrent output.

    Args:
        op: the layer, or the forward half of two: its rules are those of both.
        walk: writes the node; ``(T', D, N', H)`` or ``(D, N', H)``, without D where the halves are merged.
        width: H of one direction.
        directions: how many directions are still to be laid side by side.
        reverse: the output is in walking order, last step first.
        output: which output of the op this is.
    """
    scope = site.scope
    if not op.return_sequences:

        def final() -> ir.Value:
            y = _beside(scope, walk(), directions, width, batch=0)
            return layout.last(scope, y, zero=op.zero_output_for_mask, reverse=reverse)

        return site.flow(final, output=output)

    def leave() -> ir.Value:
        hold = not op.zero_output_for_mask
        return layout.leave(scope, walk(), width, directions, hold=hold, reverse=reverse)

    def stay(wanted: Layout) -> ir.Value | None:
        # Walking order is not time order, and the next layer's mask is in time order.
        if wanted is not layout or reverse:
            return None
        return _beside(scope, walk(), directions, width, batch=1)

    return site.flow(leave, stay, site.inputs[0], output=output)


def _beside(scope: Scope, y: ir.Value, directions: int, width: int, batch: int) -> ir.Value:
    """Lay directions side by side: ``(D, N', H)`` to ``(N', D·H)``, with ``batch`` axes before D."""
    if directions == 1:
        return y
    axes = list(range(batch))
    y = scope("Transpose", y, perm=[*axes, batch + 1, batch, batch + 2])
    return scope("Reshape", y, [0] * (batch + 1) + [directions * width])
