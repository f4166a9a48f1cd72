"""What Python itself does to tensors and sizes, and would hide from a trace:
``len(x)``, ``math.sqrt(n)`` and ``x.data``."""

from __future__ import annotations

import builtins
import contextlib
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch._C import TensorBase
from torch._subclasses.fake_tensor import FakeTensor
from torch._subclasses.functional_tensor import FunctionalTensor

_data: Any = vars(TensorBase)["data"]
_len = builtins.len
_sqrt = math.sqrt


@contextlib.contextmanager
def traced_python() -> Iterator[None]:
    """Meanwhile the length of a traced tensor and the root of a size may vary; its data are traced too."""
    builtins.len = _size
    math.sqrt = _root
    Tensor.data = property(_viewed, _data.__set__)  # type: ignore[assignment]
    try:
        yield
    finally:
        builtins.len = _len
        math.sqrt = _sqrt
        del Tensor.data


def _size(x: Any, /) -> int:
    return x.size(0) if isinstance(x, FakeTensor | FunctionalTensor) and x.dim() else _len(x)


def _root(x: Any, /) -> float:
    symbolic: Any = torch
    return symbolic._sym_sqrt(x) if isinstance(x, torch.SymInt | torch.SymFloat) else _sqrt(x)


def _viewed(x: Tensor) -> Tensor:
    return x.detach() if isinstance(x, FakeTensor | FunctionalTensor) else _data.__get__(x)
