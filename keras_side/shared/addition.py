"""Sums that are added up along the axes they should be.

Measured with Keras 3.15.1 on TensorFlow 2.21: ``keras.ops.add(x, y)``, and so the layers ``Add`` and
``Average``, take y for a bias wherever it has one size other than 1 and x has the same size along axis 1 or
the last one: ``(7, 5, 7)`` and ``(7, 1, 1)`` are added along the last axis.
"""

from __future__ import annotations

from typing import Any


def added(keras: Any, x: Any, y: Any) -> Any:
    """The sum of Keras tensors or numbers; where y could be taken for a bias, x less -y."""
    if is_added(x, y):
        return keras.ops.add(x, y)
    return keras.ops.add(y, x) if is_added(y, x) else keras.ops.subtract(x, keras.ops.negative(y))


def is_added(x: Any, y: Any) -> bool:
    """Whether Keras is certain to add y to x as it stands."""
    one, two = (tuple(getattr(part, "shape", ())) for part in (x, y))
    return not two or len(one) < 2 or one == two or (one[-1] == two[-1] and one[-1] not in (None, 1))
