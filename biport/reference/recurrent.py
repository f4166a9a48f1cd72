"""`ops.LSTM` and `ops.Bidirectional`."""

from __future__ import annotations

import numpy as np

from biport.ops import LSTM, Bidirectional
from biport.reference.activations import sigmoid
from biport.reference.registry import Arrays, Masks, computes


def _step(op: LSTM, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One step: ``x`` ``(N, I)``, states ``(N, H)``, to the new states."""
    gate = {}
    for name in op.weight_ih:
        gate[name] = x @ op.weight_ih[name].T + h @ op.weight_hh[name].T
        for bias in (op.bias_ih, op.bias_hh):
            if bias is not None:
                gate[name] = gate[name] + bias[name]
    c = sigmoid(gate["f"]) * c + sigmoid(gate["i"]) * np.tanh(gate["c"])
    return sigmoid(gate["o"]) * np.tanh(c), c


@computes(LSTM)
def lstm(op: LSTM, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, T, I)`` to ``(N, T, H)`` or ``(N, H)``, with Keras' hold and zero rules at masked steps."""
    (x,), (mask,) = inputs, masks
    N, T, _ = x.shape
    h = c = output = np.zeros((N, op.hidden_size), x.dtype)
    outputs = np.zeros((N, T, op.hidden_size), x.dtype)
    valid = np.ones((N, T), bool) if mask is None else mask
    for t in range(T):
        at = T - 1 - t if op.reverse else t
        keep = valid[:, at, None]
        new_h, new_c = _step(op, x[:, at], h, c)
        output = np.where(keep, new_h, 0 if op.zero_output_for_mask else output)
        h, c = np.where(keep, new_h, h), np.where(keep, new_c, c)
        outputs[:, t] = output
    return (outputs if op.return_sequences else output,)


@computes(Bidirectional)
def bidirectional(op: Bidirectional, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, T, I)`` to one merged output, or two."""
    (one,), (two,) = lstm(op.forward, inputs, masks), lstm(op.backward, inputs, masks)
    if op.backward.return_sequences:
        two = two[:, ::-1]
    match op.merge:
        case "concat":
            return (np.concatenate([one, two], axis=-1),)
        case "sum":
            return (one + two,)
        case "mul":
            return (one * two,)
        case "ave":
            return ((one + two) / 2,)
        case _:
            return one, two
