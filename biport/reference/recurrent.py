"""`ops.LSTM`, `ops.GRU`, `ops.RNN`, `ops.StackedRNN` and `ops.Bidirectional`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from biport.dims import Dim
from biport.ops import GRU, LSTM, RNN, Bidirectional, Cell, Recurrent, StackedRNN
from biport.reference.functions import ACTIVATIONS
from biport.reference.registry import REFERENCES, Arrays, Masks, computes

States = tuple[np.ndarray, ...]
Step = Callable[[np.ndarray, States], tuple[np.ndarray, States]]


def input_part(op: Cell, gate: str, x: np.ndarray) -> np.ndarray:
    """``x Wᵀ + b_ih`` of one gate, ``(N, I)`` to ``(N, H)``."""
    z = x @ op.weight_ih[gate].T
    return z if op.bias_ih is None else z + op.bias_ih[gate]


def state_part(op: Cell, gate: str, h: np.ndarray) -> np.ndarray:
    """``h Rᵀ + b_hh`` of one gate, ``(N, H)`` to ``(N, H)``."""
    z = h @ op.weight_hh[gate].T
    return z if op.bias_hh is None else z + op.bias_hh[gate]


def gate_values(op: Cell, x: np.ndarray, h: np.ndarray) -> dict[str, np.ndarray]:
    """Every gate of one step, activated, ``{gate: (N, H)}``."""
    activation, recurrent = ACTIVATIONS[op.activation], ACTIVATIONS[op.recurrent]
    if isinstance(op, GRU):
        z, r = (recurrent(input_part(op, gate, x) + state_part(op, gate, h)) for gate in "zr")
        inner = r * state_part(op, "h", h) if op.reset_after else state_part(op, "h", r * h)
        return {"z": z, "r": r, "h": activation(input_part(op, "h", x) + inner)}
    candidate = op.gates[-1]
    return {
        gate: (activation if gate == candidate else recurrent)(
            input_part(op, gate, x) + state_part(op, gate, h)
        )
        for gate in op.gates
    }


def step(op: Recurrent, x: np.ndarray, states: States) -> tuple[np.ndarray, States]:
    """One step: ``x`` ``(N, I)`` and the states to the output ``(N, H)`` and the new states."""
    if isinstance(op, StackedRNN):
        new: list[np.ndarray] = []
        for cell in op.cells:
            count = len(new)
            x, after = step(cell, x, states[count : count + len(cell.states)])
            new += after
        return x, tuple(new)
    assert isinstance(op, Cell)
    gate = gate_values(op, x, states[0])
    match op:
        case LSTM():
            c = gate["f"] * states[1] + gate["i"] * gate["c"]
            h = gate["o"] * ACTIVATIONS[op.activation](c)
            return h, (h, c)
        case GRU():
            h = gate["z"] * states[0] + (1 - gate["z"]) * gate["h"]
            return h, (h,)
        case _:
            return gate["h"], (gate["h"],)


def scan(
    op: Recurrent,
    x: np.ndarray,
    initial: Sequence[np.ndarray],
    mask: np.ndarray | None,
    advance: Step | None = None,
) -> tuple[np.ndarray, ...]:
    """The output, with Keras' rules for masked steps, carry or zero, and the final states if wanted.

    Args:
        advance: makes of x ``(N, I)`` and the states the output and the new states; by default `step`.
    """
    advance = advance or partial(step, op)
    (N, T), size = x.shape[:2], x.shape[2:]
    states = tuple(initial) or tuple(_zeros(N, shape, x.dtype) for shape in op.state_shapes(size))
    output = _zeros(N, op.output_shape(size), x.dtype)
    outputs = np.zeros((N, T, *output.shape[1:]), x.dtype)
    valid = np.ones((N, T), bool) if mask is None else mask
    for t in range(T):
        at = T - 1 - t if op.reverse else t
        new, stepped = advance(x[:, at], states)
        output = _where(valid[:, at], new, 0 if op.zero_output_for_mask else output)
        states = tuple(_where(valid[:, at], *pair) for pair in zip(stepped, states, strict=True))
        outputs[:, t] = output
    return (outputs if op.return_sequences else output, *(states if op.return_state else ()))


def _zeros(rows: int, shape: Sequence[Dim], dtype: np.dtype) -> np.ndarray:
    return np.zeros((rows, *(size for size in shape if isinstance(size, int))), dtype)


def _where(rows: np.ndarray, new: np.ndarray, old: np.ndarray | int) -> np.ndarray:
    """``new`` in some of its rows, and ``old`` in the others."""
    return np.where(np.expand_dims(rows, tuple(range(1, new.ndim))), new, old)


@computes(LSTM, GRU, RNN, StackedRNN)
def recurrent(op: Recurrent, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, T, I)`` and initial states, if given, to ``(N, T, H)`` or ``(N, H)``, and the final states."""
    x, *initial = inputs
    return scan(op, x, initial, masks[0])


@computes(Bidirectional)
def bidirectional(op: Bidirectional, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, T, I)`` and initial states, if given, to one merged output or two, and the final states."""
    x, *initial = inputs
    count = len(op.forward.state_sizes) if initial else 0
    one, *first = _direction(op.forward, [x, *initial[:count]], masks[0])
    two, *second = _direction(op.backward, [x, *initial[count:]], masks[0])
    if op.backward.return_sequences:
        two = two[:, ::-1]
    match op.merge:
        case "concat":
            merged = (np.concatenate([one, two], axis=-1),)
        case "sum":
            merged = (one + two,)
        case "mul":
            merged = (one * two,)
        case "ave":
            merged = ((one + two) / 2,)
        case _:
            merged = one, two
    return *merged, *first, *second


def _direction(op: Recurrent, inputs: Arrays, mask: np.ndarray | None) -> tuple[np.ndarray, ...]:
    masks = [mask, *[None] * (len(inputs) - 1)]
    return REFERENCES.lookup(type(op), op.kind)(op, inputs, masks)
