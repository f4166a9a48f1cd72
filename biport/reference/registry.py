"""Which function computes which op."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from biport.ops import Op
from biport.registry import Registry

Arrays = Sequence[np.ndarray]
Masks = Sequence[np.ndarray | None]
Reference = Callable[..., tuple[np.ndarray, ...]]
"""``(op, inputs, masks) -> outputs``."""

REFERENCES: Registry[type[Op], Reference] = Registry("op of the reference")
computes = REFERENCES.register
