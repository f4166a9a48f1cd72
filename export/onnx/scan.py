"""``Scan`` over the step form: of a cell that no fused node computes, and of any other step.

What no state is needed for is written before the Scan; its body has what depends on one. Rows past their end
keep their states, in either direction: scanning backward they keep the initial ones until their last valid
step comes, which is where ONNX' ``reverse`` begins as well.

Of a cell the inputs of all steps are projected before, by a MatMul a gate. Each gate has a Gemm of its own in
the body, which onnxruntime makes one node with the activation behind it: for GRU that takes 0.8 to 1 of the
time of one Gemm for all gates, whose result has to be split.

The same cells as steps of layers, with bodies that the writers of the ops write (`export.ops.scan`), take 0.9
to 1.2 times as long over 32 rows, and 1.1 to 1.5 times over one, where each node costs more than what it
computes: LSTM, GRU and RNN, H = 32 and 128, T = 100, one thread. So these bodies stay.

Measured against a ``Loop`` with the same body, H = 32 to 128, N = 1 and 32, T = 100: the same bits, and the
Loop takes 1.04 to 1.7 times as long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from biport.ops import GRU, LSTM, RNN, Cell
from export.onnx.activations import activate
from export.onnx.builder import Scope, data_type

_ONE, _ZERO = np.ones((), "float32"), np.zeros((), "float32")

Advance: TypeAlias = "Callable[[Step, Sequence[ir.Value]], tuple[ir.Value, Sequence[ir.Value]]]"
"""Writes a step: of the states ``(N', size)`` the output ``(N', O)`` and the new states."""


class Step:
    """The body of a Scan that is being written.

    Args:
        scope: where the Scan stands.
    """

    def __init__(self, scope: Scope) -> None:
        self.builder = scope.builder.body()
        self.scope = self.builder.scope(f"{scope.name}/step")
        self.sequences: list[ir.Value] = []
        self.inputs: list[ir.Value] = []

    def of(self, sequence: ir.Value, name: str, dtype: str = "float32") -> ir.Value:
        """This step's part ``(N', ...)`` of a sequence ``(S, N', ...)`` that is written outside."""
        self.sequences.append(sequence)
        self.inputs.append(self.input(name, dtype))
        return self.inputs[-1]

    def input(self, name: str, dtype: str = "float32") -> ir.Value:
        """What the body is given under a name."""
        type_ = ir.TensorType(data_type(dtype))
        return ir.Value(name=self.builder.value_name(f"{self.scope.name}/{name}"), type=type_)

    def graph(self, states: Sequence[ir.Value], results: Sequence[ir.Value]) -> ir.Graph:
        """The body, which gives no value twice and none that it did not make."""
        outputs: list[ir.Value] = []
        for value in results:
            own = value not in outputs and value.producer() in self.builder.nodes
            outputs.append(value if own else self.scope("Identity", value))
            outputs[-1].type = ir.TensorType(ir.DataType.FLOAT)
        return ir.Graph([*states, *self.inputs], outputs, nodes=self.builder.nodes, name=self.scope.name)


def looped(
    scope: Scope,
    advance: Advance,
    reverse: bool,
    valid: ir.Value | None,
    initial: Sequence[tuple[str, ir.Value]],
    wanted: Sequence[bool],
) -> list[ir.Value | None]:
    """A Scan over the step form.

    Args:
        advance: writes a step.
        reverse: scan from the last step to the first; what is given stays in time order.
        valid: which steps are not behind the end of their row, ``(S, N', 1)``, or ``None`` when all are.
        initial: what the states are called, and the initial ones, ``(N', size)`` each.
        wanted: which of the results somebody reads.

    Returns:
        Every step's output ``(S, N', O)``, zeros behind the end of a row, and the final states
        ``(N', size)``; ``None`` for what is not wanted. States of rows of length 0 are the initial ones.
    """
    step, every, count = Step(scope), wanted[0], len(initial)
    before = [step.input(name) for name, _ in initial]
    output, after = advance(step, before)
    if valid is not None:
        kept = step.of(valid, "valid", "bool")
        after = [step.scope("Where", kept, new, old) for new, old in zip(after, before, strict=True)]
    *states, sequence = scope.several(
        "Scan",
        *(state for _, state in initial),
        *step.sequences,
        wanted=(True,) * (count + every),
        body=step.graph(before, [*after, *([output] if every else [])]),
        num_scan_inputs=len(step.sequences),
        scan_input_directions=[int(reverse)] * len(step.sequences),
        **({"scan_output_directions": [int(reverse)]} if every else {}),
    ) + ([] if every else [None])
    if sequence is not None and valid is not None:
        sequence = scope("Where", valid, sequence, _ZERO)
    return [sequence, *(state if want else None for state, want in zip(states, wanted[1:], strict=True))]


def scanned(
    scope: Scope,
    op: Cell,
    reverse: bool,
    x: ir.Value,
    valid: ir.Value | None,
    initial: Sequence[ir.Value],
    wanted: Sequence[bool],
) -> list[ir.Value | None]:
    """A drop-in for the fused node of a cell over the step form ``(S, N', I)``; see `looped`."""
    projected = {gate: _projected(scope, op, gate, x) for gate in op.gates}
    states = list(zip(op.states, initial, strict=True))
    return looped(scope, partial(_cell_step, op, projected), reverse, valid, states, wanted)


def _cell_step(
    op: Cell, projected: Mapping[str, ir.Value], step: Step, states: Sequence[ir.Value]
) -> tuple[ir.Value, Sequence[ir.Value]]:
    z = {gate: step.of(value, f"x_{gate}") for gate, value in projected.items()}
    after = {LSTM: _lstm, GRU: _gru, RNN: _rnn}[type(op)](step.scope, op, z, *states)
    return after[0], after


def _projected(scope: Scope, op: Cell, gate: str, x: ir.Value) -> ir.Value:
    """``x Wᵀ`` of every step, with the biases that do not wait for the state, ``(S, N', H)``."""
    z = scope("MatMul", x, scope.constant(_transposed(op.weight_ih[gate]), f"W_{gate}"))
    if op.bias_ih is None:
        return z
    bias = op.bias_ih[gate]
    if op.bias_hh is not None and not _is_late(op, gate):
        bias = bias + op.bias_hh[gate]
    return scope("Add", z, scope.constant(bias, f"B_{gate}"))


def _is_late(op: Cell, gate: str) -> bool:
    """Whether the second bias of a gate has to wait for the state."""
    return isinstance(op, GRU) and op.reset_after and gate == "h"


def _transposed(weight: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(weight.T)


Inputs = Mapping[str, ir.Value]
"""The projected input of each gate, ``(N', H)``."""


def _recurrent(step: Scope, op: Cell, gate: str, h: ir.Value, add: ir.Value | None) -> ir.Value:
    """``h Rᵀ`` of a gate, and what there is to add."""
    return step("Gemm", h, step.constant(_transposed(op.weight_hh[gate]), f"R_{gate}"), add)


def _gate(step: Scope, op: Cell, gate: str, h: ir.Value, z: Inputs) -> ir.Value:
    return activate(step, op.recurrent, _recurrent(step, op, gate, h, z[gate]))


def _lstm(step: Scope, op: Cell, z: Inputs, h: ir.Value, c: ir.Value) -> list[ir.Value]:
    i, o, f = (_gate(step, op, gate, h, z) for gate in "iof")
    candidate = activate(step, op.activation, _recurrent(step, op, "c", h, z["c"]))
    c = step("Add", step("Mul", f, c), step("Mul", i, candidate))
    return [step("Mul", o, activate(step, op.activation, c)), c]


def _gru(step: Scope, op: Cell, z: Inputs, h: ir.Value) -> list[ir.Value]:
    assert isinstance(op, GRU)
    update, reset = (_gate(step, op, gate, h, z) for gate in "zr")
    if op.reset_after:
        late = None if op.bias_hh is None else step.constant(op.bias_hh["h"], "b_h")
        inner = _recurrent(step, op, "h", h, late)
        candidate = step("Add", z["h"], step("Mul", reset, inner))
    else:
        candidate = _recurrent(step, op, "h", step("Mul", reset, h), z["h"])
    candidate = activate(step, op.activation, candidate)
    rest = step("Mul", step("Sub", _ONE, update), candidate)
    return [step("Add", step("Mul", update, h), rest)]


def _rnn(step: Scope, op: Cell, z: Inputs, h: ir.Value) -> list[ir.Value]:
    return [activate(step, op.activation, _recurrent(step, op, "h", h, z["h"]))]
