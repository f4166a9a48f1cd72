"""Dtypes of torch: which it computes with, and what they are in a graph."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import torch
from torch import fx

from biport.errors import UnsupportedError
from biport.ops import FLOATS


def common_dtype(arguments: Sequence[Any]) -> torch.dtype:
    """The dtype that torch computes with, given tensors, sizes and numbers.

    Tensors without axes are weaker than others, and numbers than both: they count where their category is
    another, a float beside integers.

    Source:
        ``c10/core/ScalarType`` and ``aten/src/ATen/native/TypeProperties.cpp`` of torch 2: ``result_type``.
    """
    known = [part.meta["val"] if isinstance(part, fx.Node) else part for part in arguments]
    tensors = [part for part in known if isinstance(part, torch.Tensor)]
    groups = (
        [x.dtype for x in tensors if x.dim()],
        [x.dtype for x in tensors if not x.dim()],
        [_dtype_of_number(part) for part in known if not isinstance(part, torch.Tensor)],
    )
    first, *weaker = (reduce(torch.promote_types, group) for group in groups if group)
    for other in weaker:
        if _category(other) > _category(first):
            first = torch.promote_types(first, other)
    return first


def _dtype_of_number(number: Any) -> torch.dtype:
    if isinstance(number, bool | torch.SymBool):
        return torch.bool
    return torch.int64 if isinstance(number, int | torch.SymInt) else torch.get_default_dtype()


def _category(dtype: torch.dtype) -> int:
    return 2 if dtype.is_floating_point else int(dtype != torch.bool)


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
