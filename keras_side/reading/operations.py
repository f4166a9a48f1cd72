"""Operations between layers, such as ``a + b`` or ``keras.ops.relu(x)``, as the ops that do the same.

Unlike the layers of their names they take no masks and hand none on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from biport import ops
from biport.ops import Op

MERGES: Mapping[str, type[Op]] = {
    "Add": ops.Add,
    "Maximum": ops.Maximum,
    "Minimum": ops.Minimum,
    "Multiply": ops.Multiply,
    "Subtract": ops.Subtract,
}
"""Of two tensors (keras/src/ops/numpy.py)."""

ACTIVATIONS: Mapping[str, str] = {
    "Exp": "exponential",
    "Relu": "relu",
    "Sigmoid": "sigmoid",
    "Silu": "silu",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Tanh": "tanh",
}
"""Of one tensor (keras/src/ops/nn.py); those without settings of their own."""

IDENTITIES: Mapping[str, bool] = {
    "Cast": True,
    "Conjugate": True,
    "ConvertToTensor": True,
    "Copy": False,
    "Real": True,
    "StopGradient": False,
}
"""Operations that change nothing at inference, and whether they give the very tensor, mask and all."""

OPS: tuple[type[Op], ...] = (
    *MERGES.values(),
    ops.Activation,
    ops.Concatenate,
    ops.Flip,
    ops.Identity,
    ops.ToIds,
)
"""What operations are read as."""

SUPPORTED = (
    *sorted((*MERGES, *ACTIVATIONS, *IDENTITIES, "Concatenate", "Flip", "Softmax")),
    "and those Keras computes masks with",
)


def data_operation(class_name: str, inputs: int, config: Mapping[str, Any]) -> Op | None:
    """The op of an operation over so many tensors; ``None`` where there is none."""
    axis = config.get("axis", -1)
    if class_name in MERGES and inputs == 2:
        return MERGES[class_name]()
    if class_name in IDENTITIES and inputs == 1:
        return ops.Identity()
    if class_name in ACTIVATIONS and inputs == 1:
        return ops.Activation(function=ACTIVATIONS[class_name])
    if class_name == "Concatenate" and inputs >= 2 and isinstance(axis, int):
        return ops.Concatenate(axis=axis)
    if class_name == "Flip" and inputs == 1 and axis in (1, [1], (1,)):
        return ops.Flip()
    if class_name == "Softmax" and inputs == 1 and axis in (-1, None):
        return ops.Activation(function="softmax")
    return None
