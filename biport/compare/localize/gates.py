"""Which single gate could explain the first wrong step of a scan.

Until then the states agree, so all gates of that step are known. A gate alone can explain it only if
every output, at all these steps, lies between what the gate's smallest and its largest value would give.
That is necessary and not sufficient: several gates may pass.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from biport.ops import GRU, LSTM, Cell
from biport.reference.functions import ACTIVATIONS
from biport.reference.recurrent import gate_values, input_part, state_part, step

BOUNDED = {
    "sigmoid": (0.0, 1.0),
    "hard_sigmoid": (0.0, 1.0),
    "hard_sigmoid_keras2": (0.0, 1.0),
    "sparse_sigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "hard_tanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
}
"""Activations whose range, and that they are continuous, makes the test tell something."""


FirstStep = tuple[np.ndarray, np.ndarray | None, np.ndarray, int]
"""Of one row, in the order of the scan: inputs ``(T, I)``, mask ``(T,)`` or ``None``, the form's outputs
``(T, H)``, and the first step that is wrong, a valid one."""


def possible_gates(op: Cell, rows: Sequence[FirstStep], allowed: float) -> list[str] | None:
    """The gates each of which alone could explain the outputs; ``None`` where the test cannot be made.

    Args:
        op: the oracle's cell, scanning forward over what it is given.
        rows: what each row was given and gave.
        allowed: what rounding may do.
    """
    if isinstance(op, GRU) and not op.reset_after:
        return None
    gates = [gate for gate in op.gates if _range(op, gate) is not None]
    if len(op.gates) < 2 or not gates or not rows:
        return None
    for x, mask, outputs, at in rows:
        states = _states(op, x, mask, at)
        values = gate_values(op, x[at : at + 1], states[0])
        gates = [gate for gate in gates if _explains(op, gate, values, states, x, outputs, at, allowed)]
    return gates


def _range(op: Cell, gate: str) -> tuple[float, float] | None:
    candidate = op.gates[-1]
    return BOUNDED.get(op.activation if gate == candidate else op.recurrent)


def _states(op: Cell, x: np.ndarray, mask: np.ndarray | None, at: int) -> tuple[np.ndarray, ...]:
    """The states before step ``at``, ``(1, H)`` each."""
    states = tuple(np.zeros((1, size)) for size in op.state_sizes)
    for t in range(at):
        if mask is None or mask[t]:
            _, states = step(op, x[t : t + 1], states)
    return states


def _explains(
    op: Cell,
    gate: str,
    values: dict[str, np.ndarray],
    states: tuple[np.ndarray, ...],
    x: np.ndarray,
    outputs: np.ndarray,
    at: int,
    allowed: float,
) -> bool:
    limits = _range(op, gate)
    assert limits is not None
    ends = []
    for value in np.linspace(*limits, 33):
        if isinstance(op, GRU) and gate == "r":
            ends.append(_with_reset(op, value, values, states, x[at : at + 1]))
        else:
            ends.append(_output(op, values | {gate: np.full_like(values[gate], value)}, states))
    low, high = np.min(ends, axis=0) - allowed, np.max(ends, axis=0) + allowed
    return bool(((outputs[at] >= low) & (outputs[at] <= high)).all())


def _output(op: Cell, gate: dict[str, np.ndarray], states: tuple[np.ndarray, ...]) -> np.ndarray:
    if isinstance(op, LSTM):
        c = gate["f"] * states[1] + gate["i"] * gate["c"]
        return (gate["o"] * ACTIVATIONS[op.activation](c))[0]
    return (gate["z"] * states[0] + (1 - gate["z"]) * gate["h"])[0]


def _with_reset(
    op: GRU, value: float, values: dict[str, np.ndarray], states: tuple[np.ndarray, ...], x: np.ndarray
) -> np.ndarray:
    inner = value * state_part(op, "h", states[0])
    candidate = ACTIVATIONS[op.activation](input_part(op, "h", x) + inner)
    return _output(op, values | {"h": candidate}, states)
