"""The ops of `biport.ops.source`, with numbers for all sizes in their settings."""

from __future__ import annotations

import numpy as np

from biport.dims import numbers
from biport.ops import Arange, Constant, Full, Parameter, SizeOf
from biport.reference.registry import Arrays, Masks, computes


@computes(Constant, Parameter)
def constant(op: Constant | Parameter, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """The array."""
    return (op.value,)


@computes(Arange)
def arange(op: Arange, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """The numbers from ``start`` up to ``stop``."""
    start, stop = numbers((op.start, op.stop))
    return (np.arange(start, stop, op.step, dtype=op.output_dtype),)


@computes(Full)
def full(op: Full, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """One number everywhere."""
    return (np.full(numbers(op.shape), op.value, op.output_dtype),)


@computes(SizeOf)
def size_of(op: SizeOf, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """A number."""
    return (np.asarray(numbers([op.size])[0], op.output_dtype),)
