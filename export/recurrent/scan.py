"""``Scan`` over the step form.

Rows past their end keep their states, in either direction: scanning backward they keep the initial ones until
their last valid step comes, which is where ONNX' ``reverse`` begins as well.

Each gate of a cell has a Gemm of its own: for GRU that takes 0.8 to 1 of the time of one Gemm for all gates,
whose result has to be split. Measured against a ``Loop`` with the same body, H = 32 to 128, N = 1 and 32,
T = 100: the same bits, and the Loop takes 1.04 to 1.7 times as long.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from export.onnx.builder import Scope, data_type
from export.onnx.step_layout import over_axes

_ZERO = np.zeros((), "float32")

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

    def graph(
        self, states: Sequence[ir.Value], results: Sequence[ir.Value], ranks: Sequence[int]
    ) -> ir.Graph:
        """The body, which gives no value twice and none that it did not make.

        Every value is said how many axes it has: onnxruntime up to 1.16 runs no body that leaves it open.
        """
        outputs: list[ir.Value] = []
        for value, rank in zip(results, ranks, strict=True):
            own = value not in outputs and value.producer() in self.builder.nodes
            outputs.append(value if own else self.scope("Identity", value))
            outputs[-1].type, outputs[-1].shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape([None] * rank)
        return ir.Graph([*states, *self.inputs], outputs, nodes=self.builder.nodes, name=self.scope.name)


def looped(
    scope: Scope,
    advance: Advance,
    reverse: bool,
    valid: ir.Value | None,
    initial: Sequence[tuple[str, ir.Value]],
    wanted: Sequence[bool],
    ranks: Sequence[int] = (),
) -> list[ir.Value | None]:
    """A Scan over the step form.

    Args:
        advance: writes a step.
        reverse: scan from the last step to the first; what is given stays in time order.
        valid: which steps are not behind the end of their row, ``(S, N', 1)``, or ``None`` when all are.
        initial: what the states are called, and the initial ones, ``(N', size)`` each.
        wanted: which of the results somebody reads.
        ranks: how many sizes the output and each state have behind N', if not one.

    Returns:
        Every step's output ``(S, N', O)``, zeros behind the end of a row, and the final states
        ``(N', size)``; ``None`` for what is not wanted. States of rows of length 0 are the initial ones.
    """
    step, every, count = Step(scope), wanted[0], len(initial)
    output_rank, *state_ranks = [1 + rank for rank in ranks] or [2] * (1 + count)
    before = [step.input(name) for name, _ in initial]
    output, after = advance(step, before)
    if valid is not None:
        kept = step.of(valid, "valid", "bool")
        masks = [over_axes(step.scope, kept, 2, rank) for rank in state_ranks]
        after = [step.scope("Where", *each) for each in zip(masks, after, before, strict=True)]
    *states, sequence = scope.several(
        "Scan",
        *(state for _, state in initial),
        *step.sequences,
        wanted=(True,) * (count + every),
        body=step.graph(before, [*after, *[output] * every], [*state_ranks, *[output_rank] * every]),
        num_scan_inputs=len(step.sequences),
        scan_input_directions=[int(reverse)] * len(step.sequences),
        **({"scan_output_directions": [int(reverse)]} if every else {}),
    ) + ([] if every else [None])
    if sequence is not None and valid is not None:
        sequence = scope("Where", over_axes(scope, valid, 3, 1 + output_rank), sequence, _ZERO)
    return [sequence, *(state if want else None for state, want in zip(states, wanted[1:], strict=True))]
