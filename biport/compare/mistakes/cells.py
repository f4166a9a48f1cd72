"""Mistakes in what a cell is: its gates, weights and activations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import combinations

import numpy as np

from biport.compare.mistakes.base import Mistake, of_ops, replaced
from biport.ops import ACTIVATIONS, GRU, LSTM, Cell, Dense, Op

WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def _exchanged(kind: type[Cell], one: str, two: str, names: Sequence[str], op: Op) -> Op:
    """Two gates exchanged in the weights called ``names``."""
    if not isinstance(op, kind):
        return op
    weights = {name: gates for name in names if (gates := getattr(op, name)) is not None}
    return replaced(
        op, **{name: {**gates, one: gates[two], two: gates[one]} for name, gates in weights.items()}
    )


def _each_gate(name: str, change: Callable[[np.ndarray], np.ndarray], op: Op) -> Op:
    """``change`` made to every gate of the weight called ``name``."""
    gates = getattr(op, name) if isinstance(op, Cell) else None
    if gates is None:
        return op
    return replaced(op, **{name: {gate: change(array) for gate, array in gates.items()}})


def _without_biases(op: Op) -> Op:
    if not isinstance(op, Cell) or op.bias_ih is None:
        return op
    return replaced(op, bias_ih=None, bias_hh=None)


def _without_one_bias(name: str, op: Op) -> Op:
    both = isinstance(op, Cell) and op.bias_hh is not None
    return _each_gate(name, np.zeros_like, op) if both else op


def _without_bias(op: Op) -> Op:
    return replaced(op, bias=None) if isinstance(op, Dense) and op.bias is not None else op


def _biases_exchanged(op: Op) -> Op:
    if not isinstance(op, Cell) or op.one_bias or op.bias_hh is None:
        return op
    return replaced(op, bias_ih=op.bias_hh, bias_hh=op.bias_ih)


def _reset_toggled(op: Op) -> Op:
    if not isinstance(op, GRU):
        return op
    second = op.bias_hh
    if not op.reset_after and second is None and op.bias_ih is not None:
        second = {gate: np.zeros_like(array) for gate, array in op.bias_ih.items()}
    return replaced(op, reset_after=not op.reset_after, bias_hh=second)


def _update_inverted(op: Op) -> Op:
    """``z`` for ``1 - z``: of a sigmoid, the gate with its signs turned."""
    if not isinstance(op, GRU) or op.recurrent_activation != "sigmoid":
        return op
    weights = {name: gates for name in WEIGHTS if (gates := getattr(op, name)) is not None}
    return replaced(op, **{name: {**gates, "z": -gates["z"]} for name, gates in weights.items()})


def _activations_exchanged(op: Op) -> Op:
    if not isinstance(op, LSTM | GRU) or op.activation == op.recurrent_activation:
        return op
    return replaced(op, activation=op.recurrent_activation, recurrent_activation=op.activation)


ACTIVATION_SETTINGS = ("activation", "recurrent_activation", "function")


def _other_activation(name: str, before: str, after: str) -> Mistake:
    def change(op: Op) -> Op:
        return replaced(op, **{name: after}) if getattr(op, name, None) == before else op

    return of_ops(f"its {name} is {after} instead of {before}", change)


def activation_mistakes(op: Op) -> Iterator[Mistake]:
    """Every other activation in place of each that ``op`` has, the ops inside of it included."""
    settings = {
        (name, getattr(part, name))
        for part in _with_inner(op)
        for name in ACTIVATION_SETTINGS
        if getattr(part, name, None) in ACTIVATIONS
    }
    for name, before in sorted(settings):
        yield from (_other_activation(name, before, after) for after in ACTIVATIONS if after != before)


def _with_inner(op: Op) -> Iterator[Op]:
    yield op
    for part in op.parts().values():
        yield from _with_inner(part)


def _gate_mistakes() -> Iterator[Mistake]:
    for kind in (LSTM, GRU):
        for one, two in combinations(kind.gates, 2):
            yield of_ops(f"gates {one} and {two} are exchanged", partial(_exchanged, kind, one, two, WEIGHTS))
    yield of_ops(
        "gates i and f are exchanged in its recurrent weights",
        partial(_exchanged, LSTM, "i", "f", WEIGHTS[1:2]),
    )
    yield of_ops(
        "gates z and r are exchanged in its biases",
        partial(_exchanged, GRU, "z", "r", WEIGHTS[2:]),
    )


def _weight_mistakes() -> Iterator[Mistake]:
    yield of_ops("its biases are left out", _without_biases)
    yield of_ops("its input biases are left out", partial(_without_one_bias, "bias_ih"))
    yield of_ops("its recurrent biases are left out", partial(_without_one_bias, "bias_hh"))
    yield of_ops("its two biases are exchanged", _biases_exchanged)
    yield of_ops(
        "its recurrent weights are transposed", partial(_each_gate, "weight_hh", lambda a: a.T.copy())
    )
    yield of_ops("its recurrent weights are left out", partial(_each_gate, "weight_hh", np.zeros_like))
    yield of_ops(
        "the units of its input weights are in the opposite order",
        partial(_each_gate, "weight_ih", lambda a: a[::-1].copy()),
    )
    yield of_ops(
        "the inputs of its input weights are in the opposite order",
        partial(_each_gate, "weight_ih", lambda a: a[:, ::-1].copy()),
    )
    yield of_ops("its bias is left out", _without_bias)


def _cell_mistakes() -> Iterator[Mistake]:
    yield of_ops("its reset gate acts on the other side of the product", _reset_toggled)
    yield of_ops("z and 1 - z are exchanged", _update_inverted)
    yield of_ops("its two activations are exchanged", _activations_exchanged)
    # What is left at its default, or taken from another release; `activation_mistakes` has all others.
    yield _other_activation("activation", "relu", "tanh")
    yield _other_activation("activation", "tanh", "relu")
    yield _other_activation("recurrent_activation", "hard_sigmoid", "sigmoid")
    yield _other_activation("recurrent_activation", "hard_sigmoid", "hard_sigmoid_keras2")


CELL_MISTAKES = (*_gate_mistakes(), *_weight_mistakes(), *_cell_mistakes())
