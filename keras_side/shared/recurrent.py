"""What the readers and writers of Keras' recurrent layers share.

A layer of one kind, such as ``LSTM``, holds a cell and says in one configuration what the cell computes and
how the layer scans the steps; ``RNN(cell)`` says it in two.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import numpy as np

from biport import ops
from biport.config import Config
from biport.errors import UnsupportedError
from biport.gates import split_gates, stack_gates
from biport.ops import Cell, Gates, Recurrent
from keras_side.masks import Mask
from keras_side.records import LayerRecord, Variables, input_size
from keras_side.shared.activations import read_activation, write_activation

CONV_LSTMS = "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"
"""Layers whose steps are convolutions."""

SCAN = ("return_sequences", "return_state", "zero_output_for_mask")


class KeptStates(StrEnum):
    """What is read of states that stateful layers keep from call to call."""

    EXPLICIT = "explicit"
    """Inputs and outputs of the graph."""
    ZERO = "zero"
    """Nothing: each call starts from zeros."""


OF_STEPS = object()
"""Instead of these: states of a layer inside of a TimeDistributed, which go from one step to the next."""


def recurrent_mask(
    op: ops.Op, name: str, inputs: Sequence[str], masks: Sequence[Mask | None]
) -> Sequence[Mask | None]:
    """A layer that gives sequences passes its mask on; the last step and the states carry none."""
    assert isinstance(op, Recurrent)
    return (masks[0] if op.return_sequences else None, *(None,) * (op.output_count - 1))


def refuse_masked(record: LayerRecord, op: ops.Op) -> None:
    """Refuse the one masked scan that Keras itself gets wrong.

    Unrolled backwards over sequences with ``zero_output_for_mask``, Keras 3.15 zeroes the outputs, which are
    in the order of the scan, by the mask in the order of time (keras/src/backend/tensorflow/rnn.py).

    Raises:
        UnsupportedError: this is such a layer.
    """
    assert isinstance(op, Recurrent)
    if record.config.get("unroll") and op.reverse and op.return_sequences and op.zero_output_for_mask:
        supported = "False where a masked layer scans backwards: Keras zeroes the wrong steps"
        raise UnsupportedError(record.owner, "unroll", True, supported)


def read_stateful(config: Config) -> None:
    """Refuse a layer that keeps its states from call to call where nobody said what becomes of them."""
    kept = config.take("stateful", default=False)
    if kept is OF_STEPS:
        config.refuse("stateful", True, "False in a TimeDistributed: states would go from step to step")
    elif kept is not False and not isinstance(kept, KeptStates):
        config.refuse("stateful", kept, "False")


def read_scan(config: Config) -> dict[str, Any]:
    """How the layer scans the steps and what it gives: the fields of `ops.Recurrent`."""
    read_stateful(config)
    config.require(time_major=False)
    config.ignore("unroll")
    scan = {name: config.take(name, bool, default=False) for name in SCAN}
    return scan | {"reverse": config.take("go_backwards", bool, default=False)}


def write_scan(op: Recurrent) -> dict[str, Any]:
    """The settings `read_scan` reads."""
    return {name: getattr(op, name) for name in SCAN} | {"go_backwards": op.reverse}


def read_cell(config: Config, variables: Variables, order: str) -> dict[str, Any]:
    """What the cell computes: the fields of `ops.Cell`.

    The kernels are ``(I, G·H)`` and ``(H, G·H)``, gates last; the bias is ``(G·H,)``, or two rows of it.

    Args:
        config: of the layer, or of the cell.
        variables: of the cell.
        order: the gates as Keras stacks them.
    """
    use_bias = config.take("use_bias", bool, default=True)
    names = ["kernel", "recurrent_kernel", "bias"] if use_bias else ["kernel", "recurrent_kernel"]
    arrays = variables.take(names)
    config.ignore("seed", "implementation", "use_cudnn")
    rows = np.atleast_2d(arrays["bias"]) if use_bias else ()
    biases = [split_gates(row, order) for row in rows]
    return {
        "input_size": input_size(arrays["kernel"]),
        "hidden_size": config.take("units", int),
        "activation": read_activation(config, "activation", default="tanh"),
        "dropout": float(config.take("dropout", (int, float), default=0.0)),
        "recurrent_dropout": float(config.take("recurrent_dropout", (int, float), default=0.0)),
        "weight_ih": split_gates(arrays["kernel"].T, order),
        "weight_hh": split_gates(arrays["recurrent_kernel"].T, order),
        "bias_ih": biases[0] if biases else None,
        "bias_hh": biases[1] if len(biases) == 2 else None,
    }


def read_recurrent_activation(config: Config) -> str:
    """The activation of the gates."""
    return read_activation(config, "recurrent_activation", default="sigmoid")


def write_cell(op: Cell, **settings: Any) -> dict[str, Any]:
    """The settings `read_cell` reads, and those of the kind given as ``settings``."""
    return {
        "units": op.hidden_size,
        "activation": write_activation(op.activation),
        "use_bias": op.bias_ih is not None,
        "dropout": op.dropout,
        "recurrent_dropout": op.recurrent_dropout,
        **settings,
    }


def cell_weights(op: Cell, order: str) -> list[np.ndarray]:
    """Kernel, recurrent kernel and, where there is one, the bias."""
    weights = [stack_gates(op.weight_ih, order).T, stack_gates(op.weight_hh, order).T]
    if op.bias_ih is None:
        return weights
    return [*weights, _bias(op, op.bias_ih, op.bias_hh, order)]


def _bias(op: Cell, bias_ih: Gates, bias_hh: Gates | None, order: str) -> np.ndarray:
    """``(G·H,)``, the sum of two biases that act as one, in their own dtype; or ``(2, G·H)``."""
    first = stack_gates(bias_ih, order)
    if bias_hh is None:
        return first
    second = stack_gates(bias_hh, order)
    return first + second if op.one_bias else np.stack([first, second])
