"""Operators as older opsets spell them; what they compute is the same.

Writers speak opset 18. Before it the axes of a reduction were an attribute, but for ``ReduceSum``, where they
are an input from 13 on; and a ``Split`` into equal parts was told their number by its outputs alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def spelled(
    op_type: str, inputs: Sequence[Any], attributes: dict[str, Any], opset: int
) -> tuple[Sequence[Any], dict[str, Any]]:
    """Inputs and attributes of a node in ``opset``.

    Example:
        >>> spelled("ReduceMax", ["x", [1]], {"keepdims": 0}, 17)
        (['x'], {'keepdims': 0, 'axes': [1]})
    """
    if opset >= 18:
        return inputs, attributes
    if op_type.startswith("Reduce") and op_type != "ReduceSum" and len(inputs) > 1:
        x, axes = inputs
        return [x], attributes | {"axes": list(axes)}
    if op_type == "Split" and "num_outputs" in attributes:
        return inputs, {name: value for name, value in attributes.items() if name != "num_outputs"}
    return inputs, attributes
