"""One fused ONNX node for a cell, or for two of opposite directions, and which cells have one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from biport.gates import stack_gates
from biport.ops import GRU, LSTM, RNN, Cell, Gates
from export.onnx.builder import Scope

# https://onnx.ai/onnx/operators/onnx__LSTM.html: W[iofc], R[iofc], Wb[iofc], Rb[iofc]; onnx__GRU.html: W[zrh]
ORDERS: dict[type[Cell], str] = {LSTM: "iofc", GRU: "zrh", RNN: "h"}

FUSED: dict[str, tuple[str, float | None, float | None]] = {
    "celu": ("Elu", 1.0, None),
    "elu": ("Elu", 1.0, None),
    "hard_sigmoid": ("HardSigmoid", 1 / 6, 0.5),
    "hard_sigmoid_keras2": ("HardSigmoid", 0.2, 0.5),
    "leaky_relu": ("LeakyRelu", 0.2, None),
    "linear": ("Affine", 1.0, 0.0),
    "relu": ("Relu", None, None),
    "sigmoid": ("Sigmoid", None, None),
    "softsign": ("Softsign", None, None),
    "sparse_sigmoid": ("HardSigmoid", 0.5, 0.5),
    "tanh": ("Tanh", None, None),
}
"""What fused nodes compute and onnxruntime computes right: ONNX name, alpha, beta; measured in every position
of every node. Softplus is left out: in onnxruntime 1.31 a fused one gives infinity at 89 and NaN at 100."""


def obstacle(op: Cell) -> str | None:
    """Why no fused node computes ``op``; ``None`` where one does."""
    for name in (op.activation, op.recurrent):
        if name == "softplus":
            return "onnxruntime overflows in a fused softplus"
        if name not in FUSED:
            return f"activation {name} is not fused by ONNX"
    return None


def go_together(one: Cell, two: Cell) -> bool:
    """Whether one node can hold both as its two directions."""
    return type(one) is type(two) and _node_settings(one) == _node_settings(two)


def _node_settings(op: Cell) -> tuple[object, ...]:
    return op.hidden_size, op.activation, op.recurrent, getattr(op, "reset_after", None)


def fused(
    scope: Scope,
    cells: Sequence[Cell],
    direction: str,
    x: ir.Value,
    lengths: ir.Value | None,
    initial: Sequence[ir.Value],
    wanted: Sequence[bool],
) -> list[ir.Value | None]:
    """One node over the step form ``(T', N', I)``.

    Args:
        cells: one, or a forward and a backward one that `go_together`.
        direction: ``"forward"``, ``"reverse"`` or ``"bidirectional"``.
        lengths: ``sequence_lens``, ``(N',)``, none of them 0, or ``None`` when all steps are valid.
        initial: the initial states, ``(D, N', H)`` each, or none for zeros.
        wanted: which of the results somebody reads.

    Returns:
        Every step's output ``(T', D, N', H)``, zeros behind the end of a row, and the final states
        ``(D, N', H)``; ``None`` for what is not wanted.
    """
    order = ORDERS[type(cells[0])]
    operands = [
        x,
        scope.constant(np.stack([stack_gates(cell.weight_ih, order) for cell in cells]), "W"),
        scope.constant(np.stack([stack_gates(cell.weight_hh, order) for cell in cells]), "R"),
        _bias(scope, cells, order),
        lengths,
        *initial,
    ]
    while operands[-1] is None:
        operands.pop()
    named = list(wanted[: len(wanted) - list(wanted)[::-1].index(True)])
    outputs = iter(
        scope.several(
            cells[0].kind,
            *operands,
            wanted=named,
            hidden_size=cells[0].hidden_size,
            direction=direction,
            **_attributes(cells),
        )
    )
    return [next(outputs) if want else None for want in wanted]


def _attributes(cells: Sequence[Cell]) -> dict[str, Any]:
    """What is not the default: the CUDA provider hands a node that repeats a default to the CPU."""
    first = cells[0]
    attributes: dict[str, Any] = {}
    if isinstance(first, GRU) and first.reset_after:
        attributes["linear_before_reset"] = 1
    names = [name for cell in cells for name in _activations(cell)]
    if names == [name for cell in cells for name in _default_activations(cell)]:
        return attributes
    kinds, alphas, betas = zip(*(FUSED[name] for name in names), strict=True)
    attributes["activations"] = list(kinds)
    # onnxruntime hands these out in order, to those functions that take one.
    for key, numbers in (("activation_alpha", alphas), ("activation_beta", betas)):
        given = [number for number in numbers if number is not None]
        if given:
            attributes[key] = given
    return attributes


def _activations(cell: Cell) -> list[str]:
    match cell:
        case LSTM():
            return [cell.recurrent, cell.activation, cell.activation]
        case GRU():
            return [cell.recurrent, cell.activation]
        case _:
            return [cell.activation]


def _default_activations(cell: Cell) -> list[str]:
    return {LSTM: ["sigmoid", "tanh", "tanh"], GRU: ["sigmoid", "tanh"], RNN: ["tanh"]}[type(cell)]


def _bias(scope: Scope, cells: Sequence[Cell], order: str) -> ir.Value | None:
    """``[Wb, Rb]`` for each direction, ``(D, 2·G·H)``; a bias that is not there counts as zeros."""
    if all(cell.bias_ih is None for cell in cells):
        return None
    return scope.constant(np.stack([_both_biases(cell, order) for cell in cells]), "B")


def _both_biases(cell: Cell, order: str) -> np.ndarray:
    zeros = np.zeros(len(order) * cell.hidden_size, cell.dtype)

    def stacked(bias: Gates | None) -> np.ndarray:
        return zeros if bias is None else stack_gates(bias, order)

    return np.concatenate([stacked(cell.bias_ih), stacked(cell.bias_hh)])
