"""`ops.ConvLSTM1D`, `ops.ConvLSTM2D` and `ops.ConvLSTM3D`."""

from __future__ import annotations

from functools import partial

import numpy as np

from biport.ops import ConvolutionalLSTM
from biport.ops.conv_lstm import CONV_LSTMS
from biport.reference.convolution import convolution
from biport.reference.functions import ACTIVATIONS
from biport.reference.recurrent import States, scan
from biport.reference.registry import Arrays, Masks, computes


@computes(*CONV_LSTMS.values())
def conv_lstm(op: ConvolutionalLSTM, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, T, *S, I)`` and initial states, if given, to every step's output or the last, and the states."""
    x, *initial = inputs
    return scan(op, x, initial, masks[0], partial(step, op))


def step(op: ConvolutionalLSTM, x: np.ndarray, states: States) -> tuple[np.ndarray, States]:
    """One step: ``x`` ``(N, *S, I)`` and the states to the output ``(N, *S', H)`` and the new states."""
    h, c = states
    activation, recurrent = ACTIVATIONS[op.activation], ACTIVATIONS[op.recurrent_activation]
    (of_x,) = convolution(op.input_convolution, [x], [None])
    (of_h,) = convolution(op.state_convolution, [h], [None])
    gate = dict(zip(op.gates, np.split(of_x + of_h, len(op.gates), axis=-1), strict=True))
    c = recurrent(gate["f"]) * c + recurrent(gate["i"]) * activation(gate["c"])
    h = recurrent(gate["o"]) * activation(c)
    return h, (h, c)
