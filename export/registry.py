"""Which function writes which op, and what it is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from biport.ops import Op
from biport.registry import Registry
from export.onnx.lazy_value import LazyValue

Writer: TypeAlias = Callable[..., tuple[LazyValue, ...]]
"""``(op, site) -> one value an output``."""

WRITERS: Registry[type[Op], Writer] = Registry("op of the ONNX export")
writes = WRITERS.register
