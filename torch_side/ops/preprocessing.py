"""`CategoryEncoding`, `Discretization`, `IntegerLookup` of `ops` <-> `torch_side.layers` of these names."""

from __future__ import annotations

from typing import Any

import numpy as np

from biport import ops
from torch_side import layers
from torch_side.reading.layer_call import LayerCall, build
from torch_side.registry import Inputs, Masks, Outputs, StateDict, reads, states, writes
from torch_side.shared.layer_ops import register_layer
from torch_side.writing.graph_writer import GraphWriter

register_layer(ops.Discretization, layers.Discretization, {"boundaries": "boundaries"})
register_layer(
    ops.IntegerLookup,
    layers.IntegerLookup,
    {"vocabulary": "vocabulary", "num_oov_indices": "num_oov_indices", "mask_token": "mask_token"},
)


@states(ops.CategoryEncoding)
def state_category_encoding(op: ops.CategoryEncoding) -> StateDict:
    """The ``state_dict``: the one of which the vectors are made."""
    return {"one": np.ones((), op.float_dtype)}


def _category_encoding(op: ops.CategoryEncoding) -> layers.CategoryEncoding:
    return layers.CategoryEncoding(op.num_tokens, op.output_mode, op.float_dtype)


@writes(ops.CategoryEncoding)
def write_category_encoding(
    op: ops.CategoryEncoding, writer: GraphWriter, inputs: Inputs, masks: Masks
) -> Outputs:
    """``self.category_encoding(ids)``."""
    return (writer.module(_category_encoding, inputs[0]),)


@reads(layers.CategoryEncoding)
def read_category_encoding(call: LayerCall) -> Any:
    """The layer."""
    layer = call.module
    settings = {name: getattr(layer, name) for name in ("num_tokens", "output_mode", "float_dtype")}
    op = build(call.owner, ops.CategoryEncoding, **settings)
    (ids,) = call.arguments("ids")
    return call.emit(op, [call.value(ids)])[0]
