"""Gates of a recurrent layer by name, never by slice.

Frameworks stack the gates of a cell along one axis, each in an order of its own. An order is written
as a string of one-letter gate names, ``"ifco"``, and lives in the one file that reads or writes that
framework's layer.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from biport.errors import WeightError


def split_gates(stacked: np.ndarray, order: str) -> dict[str, np.ndarray]:
    """Split the first axis of ``stacked``, ``(G·H, ...)``, into ``{gate: (H, ...)}``.

    Raises:
        WeightError: the first axis does not divide into ``len(order)`` gates.

    Example:
        >>> split_gates(np.array([1, 2, 3, 4]), "ifco")["c"]
        array([3])
    """
    if stacked.ndim == 0 or stacked.shape[0] % len(order):
        raise WeightError(f"cannot split shape {stacked.shape} into the {len(order)} gates {order!r}")
    return dict(zip(order, np.split(stacked, len(order)), strict=True))


def stack_gates(gates: Mapping[str, np.ndarray], order: str) -> np.ndarray:
    """Stack ``{gate: (H, ...)}`` along the first axis in ``order``: ``(G·H, ...)``.

    Raises:
        WeightError: the gates are not exactly those of ``order``.

    Example:
        >>> stack_gates({"z": np.array([1]), "r": np.array([2]), "h": np.array([3])}, "rzh")
        array([2, 1, 3])
    """
    if sorted(gates) != sorted(order):
        raise WeightError(f"expected the gates {sorted(order)}, found {sorted(gates)}")
    return np.concatenate([gates[gate] for gate in order])
