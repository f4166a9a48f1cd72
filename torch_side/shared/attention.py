"""What the writers and readers of torch's attention layers share."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import nn

from biport import ops
from biport.ops.attention import Attends
from torch_side.reading.layer_call import LayerCall, arrays, build
from torch_side.registry import Inputs, Masks, Outputs, StateDict
from torch_side.writing.graph_writer import GraphWriter

SETTINGS = ("causal", "dropout")


def settings(source: Any) -> dict[str, Any]:
    """What an op and its layer call alike."""
    return {name: getattr(source, name) for name in SETTINGS}


def present(named: Mapping[str, np.ndarray | None]) -> StateDict:
    """The weights that are there."""
    return {name: array for name, array in named.items() if array is not None}


def write_call(
    op: Attends,
    build_layer: Callable[[Any], nn.Module],
    writer: GraphWriter,
    inputs: Inputs,
    masks: Masks,
) -> Outputs:
    """``self.attention(query, value, key, query_mask=..., value_mask=...)``; the output, and the weights."""
    names = ("query_mask", "value_mask", "key_mask")
    sequences, attention_mask = op.split(inputs)
    named = dict(zip(names, masks[: len(sequences)], strict=False))
    result = writer.module(build_layer, *sequences, **named, attention_mask=attention_mask)
    count = 2 if op.return_scores else 1
    return tuple(writer.call(operator.getitem, result, position) for position in range(count))


def read_call(call: LayerCall, kind: Callable[..., ops.Op], **own: Any) -> Any:
    """A layer of one head, with settings and weights of its own."""
    layer, owner = call.module, call.owner
    weights = arrays(owner, {name: value for name, value in own.items() if not isinstance(value, str)})
    fields = {**settings(layer), "return_scores": True, **own, **weights}
    return read_masked(call, lambda **more: build(owner, kind, **fields, **more))


def read_masked(call: LayerCall, op_of: Callable[..., Any], **more: None) -> Any:
    """A layer called with queries, values and perhaps keys, a mask or none for each, and an attention mask.

    Args:
        call: of the layer.
        op_of: the op, given ``has_attention_mask``.
        more: the masks that are the keys'.
    """
    query, value, key, *masks, attention_mask = call.arguments(
        "query", "value", key=None, query_mask=None, value_mask=None, **more, attention_mask=None
    )
    sequences = [call.value(item) for item in (query, value, key) if item is not None]
    named = [None if mask is None else call.value(mask) for mask in masks]
    named = [*named, None][: len(sequences)]
    given = [] if attention_mask is None else [call.value(attention_mask)]
    op = op_of(has_attention_mask=bool(given))
    outputs = call.emit(op, [*sequences, *given], [*named, *[None] * len(given)])
    return outputs[0], outputs[1] if op.return_scores else None
