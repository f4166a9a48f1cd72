"""Ids to vectors, and numbers to bins, by comparing them with all there are; tokens to ids by a table."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from biport.ops import CategoryEncoding, Discretization, IntegerLookup
from export.onnx.elementwise import elementwise
from export.onnx.empty_axes import reduced
from export.onnx.label_encoder import label_encoder
from export.onnx.lazy_value import LazyValue
from export.onnx.site import Site
from export.registry import writes


@writes(CategoryEncoding)
def write_category_encoding(op: CategoryEncoding, site: Site) -> tuple[LazyValue, ...]:
    """``Equal``, not ``OneHot``, to which -1 is the last of all."""
    (ids,) = site.inputs
    scope = site.scope
    zero = np.zeros((), "float32")

    def write() -> ir.Value:
        every = scope.constant(np.arange(op.num_tokens, dtype=ids.tensor.dtype), "categories")
        equal = scope("Equal", scope("Unsqueeze", ids.value(), [-1]), every)
        ones = scope("Cast", equal, to=ir.DataType.FLOAT)
        if op.output_mode == "one_hot":
            return ones
        every_id = (*ids.tensor.shape, op.num_tokens)
        counts = reduced(scope, "ReduceSum", ones, every_id, "float32", [1], False)
        if op.output_mode == "count":
            return counts
        return scope("Cast", scope("Greater", counts, zero), to=ir.DataType.FLOAT)

    return (site.lazy(write),)


@writes(IntegerLookup)
def write_integer_lookup(op: IntegerLookup, site: Site) -> tuple[LazyValue, ...]:
    """One ``LabelEncoder``; of the tokens that it does not know the remainder, where that matters."""
    scope, known = site.scope, op.numbers()
    shared = op.num_oov_indices > 1

    def look_up(tokens: ir.Value) -> ir.Value:
        wide = scope("Cast", tokens, to=ir.DataType.INT64)
        numbers = label_encoder(
            scope,
            wide,
            keys_int64s=list(known),
            values_int64s=list(known.values()),
            default_int64=-1 if shared else op.first_unknown,
        )
        if not shared:
            return numbers
        unknown = scope("Add", scope("Mod", wide, op.num_oov_indices), op.first_unknown)
        return scope("Where", scope("Less", numbers, 0), unknown, numbers)

    return elementwise(site, look_up)


@writes(Discretization)
def write_discretization(op: Discretization, site: Site) -> tuple[LazyValue, ...]:
    """As many boundaries as there are, without those that a number is below, of which NaN is below none."""
    scope, narrow = site.scope, site.inputs[0].tensor.dtype == "float32"
    every = np.array(op.boundaries, "float32")

    def put(x: ir.Value) -> ir.Value:
        compared = x if narrow else scope("Cast", x, to=ir.DataType.FLOAT)
        boundaries = scope.constant(every, "boundaries")
        below = scope("Less", scope("Unsqueeze", compared, [-1]), boundaries)
        # Over nothing onnxruntime 1.31 reduces no axis that is counted from behind.
        last = len(site.inputs[0].tensor.shape)
        counted = scope("ReduceSum", scope("Cast", below, to=ir.DataType.INT32), [last], keepdims=0)
        return scope("Sub", np.array(len(every), "int32"), counted)

    return elementwise(site, put)
