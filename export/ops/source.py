"""Operations without inputs: initializers, and what is made of sizes."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from biport.ops import Arange, Constant, Full, Parameter, SizeOf
from export.onnx.builder import data_type
from export.onnx.lazy_value import LazyValue
from export.onnx.site import Site
from export.registry import writes


@writes(Constant, Parameter)
def write_array(op: Constant | Parameter, site: Site) -> tuple[LazyValue, ...]:
    """The array, as an initializer."""
    return (site.lazy(lambda: site.scope.constant(op.value, "value")),)


@writes(Arange)
def write_arange(op: Arange, site: Site) -> tuple[LazyValue, ...]:
    """``Range``, of integers."""

    def write() -> ir.Value:
        if isinstance(op.start, int) and isinstance(op.stop, int):
            numbers = np.arange(op.start, op.stop, op.step, dtype=op.output_dtype)
            return site.scope.constant(numbers, "numbers")
        step = np.asarray(op.step, "int64")
        numbers = site.scope("Range", site.size(op.start), site.size(op.stop), step)
        return _of_dtype(site, numbers, op.output_dtype)

    return (site.lazy(write),)


@writes(Full)
def write_full(op: Full, site: Site) -> tuple[LazyValue, ...]:
    """``ConstantOfShape``."""

    def write() -> ir.Value:
        value = np.full(1, op.value, op.output_dtype)
        return site.scope("ConstantOfShape", site.dims(op.shape), value=ir.tensor(value))

    return (site.lazy(write),)


@writes(SizeOf)
def write_size_of(op: SizeOf, site: Site) -> tuple[LazyValue, ...]:
    """The size."""

    def write() -> ir.Value:
        if isinstance(op.size, int):
            return site.scope.constant(np.asarray(op.size, op.output_dtype), "size")
        return _of_dtype(site, site.size(op.size), op.output_dtype)

    return (site.lazy(write),)


def _of_dtype(site: Site, numbers: ir.Value, dtype: str) -> ir.Value:
    """Integers of 64 bits in another dtype."""
    return numbers if dtype == "int64" else site.scope("Cast", numbers, to=data_type(dtype))
