"""What several benchmarks share: rows of ids of different lengths."""

from __future__ import annotations

import numpy as np

LENGTHS = ("full", "uniform", "short")


def lengths(rng: np.random.Generator, N: int, T: int, distribution: str = "uniform") -> np.ndarray:
    """Of N rows, ``(N, 1)``, the first one T.

    All are T (``full``), from a fifth of it on (``uniform``), or half of them below a fifth (``short``).
    """
    rows = {
        "full": np.full((N, 1), T),
        "uniform": rng.integers(T // 5, T + 1, (N, 1)),
        "short": np.clip(rng.lognormal(np.log(T / 5), 0.8, (N, 1)), 1, T).astype(int),
    }[distribution]
    rows[0] = T
    return rows


def padded(rng: np.random.Generator, rows: np.ndarray, T: int, V: int) -> np.ndarray:
    """Ids below V, ``(N, T)``, of rows of some lengths, zeros behind them."""
    return np.where(np.arange(T) < rows, rng.integers(1, V, (len(rows), T)), 0).astype("int32")
