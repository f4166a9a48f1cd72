"""What Python itself does to tensors, and would hide from a trace: ``len(x)`` and ``x.data``."""

from __future__ import annotations

import builtins
import contextlib
from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch._C import TensorBase
from torch._subclasses.fake_tensor import FakeTensor
from torch._subclasses.functional_tensor import FunctionalTensor

_data: Any = vars(TensorBase)["data"]
_len = builtins.len


@contextlib.contextmanager
def traced_python() -> Iterator[None]:
    """Meanwhile the length of a traced tensor may vary, and its data are a view that is traced as well."""
    builtins.len = _size
    Tensor.data = property(_viewed, _data.__set__)  # type: ignore[assignment]
    try:
        yield
    finally:
        builtins.len = _len
        del Tensor.data


def _size(x: Any, /) -> int:
    return x.size(0) if isinstance(x, FakeTensor | FunctionalTensor) and x.dim() else _len(x)


def _viewed(x: Tensor) -> Tensor:
    return x.detach() if isinstance(x, FakeTensor | FunctionalTensor) else _data.__get__(x)
