"""An ``If`` whose branches write the same values."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_ir as ir

from export.onnx.builder import Scope

Branch = Callable[[Scope], Sequence[ir.Value]]
"""Writes the values of one branch."""


def either(
    scope: Scope,
    condition: ir.Value,
    then: Branch,
    otherwise: Branch,
    results: Sequence[tuple[ir.DataType, int]],
) -> list[ir.Value]:
    """What ``then`` writes where ``condition`` is true, and else what ``otherwise`` does.

    Args:
        results: the type of each value and how many axes it has: onnxruntime up to 1.16 runs no branch that
            leaves it open.
    """
    branches = {}
    # What is otherwise written comes first, and has the plain names.
    for name, write in (("else_branch", otherwise), ("then_branch", then)):
        builder = scope.builder.body()
        outputs = list(write(builder.scope(scope.name)))
        for value, (dtype, rank) in zip(outputs, results, strict=True):
            value.type, value.shape = ir.TensorType(dtype), ir.Shape([None] * rank)
        branches[name] = ir.Graph([], outputs, nodes=builder.nodes, name=f"{scope.name}/{name}")
    return scope.several("If", condition, wanted=[True] * len(results), **branches)
