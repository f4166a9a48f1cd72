"""The dtypes of torch in a graph."""

from __future__ import annotations

import torch

from biport.errors import UnsupportedError
from biport.ops import FLOATS


def graph_dtype(dtype: torch.dtype, owner: str) -> str:
    """A dtype of torch in a graph.

    Raises:
        UnsupportedError: a graph has none like it.
    """
    name = str(dtype).removeprefix("torch.")
    name = {"int16": "int32", "int8": "int32", "uint8": "int32"}.get(name, name)
    if name not in (*FLOATS, "int32", "int64", "bool"):
        raise UnsupportedError(owner, "dtype", name, ["float32", "float64", "int32", "int64", "bool"])
    return name
