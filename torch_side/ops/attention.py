"""Attention <-> layers of the same names in `torch_side.layers`; `nn.MultiheadAttention` is read too."""

from __future__ import annotations

from typing import Any

from torch import nn

from biport import ops
from biport.ops.attention import PROJECTIONS
from torch_side import layers
from torch_side.reading.layer_call import LayerCall, arrays, build
from torch_side.registry import Inputs, Masks, Outputs, StateDict, reads, states, writes
from torch_side.shared.attention import present, read_call, read_masked, settings, write_call
from torch_side.writing.graph_writer import GraphWriter

TIME_FIRST = ops.PermuteDims(axes=(1, 0, 2))
SIZES = ("num_heads", "key_size", "value_size")
PARTS = [(part, kind) for part in PROJECTIONS for kind in ("weight", "bias")]
"""The tensors of the four projections of several heads."""


@states(ops.Attention)
def state_attention(op: ops.Attention) -> StateDict:
    """The ``state_dict`` of the layer."""
    return present({"scale": op.scale, "score_weight": op.score_weight})


def _attention(op: ops.Attention) -> layers.Attention:
    return layers.Attention(score_mode=op.score_mode, use_scale=op.scale is not None, **settings(op))


@writes(ops.Attention)
def write_attention(op: ops.Attention, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``self.attention(query, value, query_mask=..., value_mask=...)``."""
    return write_call(op, _attention, writer, inputs, masks)


@reads(layers.Attention)
def read_attention(call: LayerCall) -> Any:
    """The layer."""
    layer = call.module
    own = {"scale": layer.scale, "score_weight": layer.score_weight}
    return read_call(call, ops.Attention, score_mode=layer.score_mode, **own)


@states(ops.AdditiveAttention)
def state_additive_attention(op: ops.AdditiveAttention) -> StateDict:
    """The ``state_dict`` of the layer."""
    return present({"scale": op.scale})


def _additive_attention(op: ops.AdditiveAttention) -> layers.AdditiveAttention:
    return layers.AdditiveAttention(None if op.scale is None else op.scale.size, **settings(op))


@writes(ops.AdditiveAttention)
def write_additive_attention(
    op: ops.AdditiveAttention, writer: GraphWriter, inputs: Inputs, masks: Masks
) -> Outputs:
    """``self.additive_attention(query, value, query_mask=..., value_mask=...)``."""
    return write_call(op, _additive_attention, writer, inputs, masks)


@reads(layers.AdditiveAttention)
def read_additive_attention(call: LayerCall) -> Any:
    """The layer."""
    return read_call(call, ops.AdditiveAttention, scale=call.module.scale)


@states(ops.MultiHeadAttention)
def state_multi_head_attention(op: ops.MultiHeadAttention) -> StateDict:
    """The ``state_dict`` of the layer: that of four `nn.Linear`."""
    return present({f"{part}.{kind}": getattr(op, f"{part}_{kind}") for part, kind in PARTS})


def _multi_head_attention(op: ops.MultiHeadAttention) -> layers.MultiHeadAttention:
    sizes = [weight.shape[1] for weight in (op.query_weight, op.key_weight, op.value_weight)]
    return layers.MultiHeadAttention(
        op.num_heads,
        op.key_size,
        op.value_size,
        [*sizes, op.output_weight.shape[0]],
        bias=op.query_bias is not None,
        forgets=op.forgets,
        **settings(op),
    )


@writes(ops.MultiHeadAttention)
def write_multi_head_attention(
    op: ops.MultiHeadAttention, writer: GraphWriter, inputs: Inputs, masks: Masks
) -> Outputs:
    """``self.multi_head_attention(query, value, query_mask=..., value_mask=...)``."""
    return write_call(op, _multi_head_attention, writer, inputs, masks)


@reads(layers.MultiHeadAttention)
def read_multi_head_attention(call: LayerCall) -> Any:
    """The layer."""
    layer, owner = call.module, call.owner
    tensors = {f"{part}_{kind}": getattr(getattr(layer, part), kind) for part, kind in PARTS}
    # Keras' layer forgets with dropout, and where it gives the weights.
    call.require(forgets=(layer.forgets or not layer.dropout, True))
    sizes = {name: getattr(layer, name) for name in SIZES} | {"return_scores": layer.forgets}
    fields = {**sizes, **settings(layer), **arrays(owner, tensors)}
    return read_masked(
        call, lambda **more: build(owner, ops.MultiHeadAttention, **fields, **more), key_mask=None
    )


@reads(nn.MultiheadAttention)
def read_torch_multi_head_attention(call: LayerCall) -> Any:
    """Torch's layer, without masks: under one it is traced, since it gives NaN where no step is looked at."""
    layer, owner = call.module, call.owner
    query, key, value, *options = call.arguments(
        "query",
        "key",
        "value",
        key_padding_mask=None,
        need_weights=True,
        attn_mask=None,
        average_attn_weights=True,
        is_causal=False,
    )
    _, need_weights, _, average, _ = options
    call.require(
        add_bias_kv=(layer.bias_k is not None, False),
        add_zero_attn=(layer.add_zero_attn, False),
    )
    op = build(owner, ops.MultiHeadAttention, return_scores=need_weights, **_torch_fields(owner, layer))
    names = [call.value(item) for item in (query, value, key)]
    if not layer.batch_first:
        turned = {name: call.emit(TIME_FIRST, [name])[0] for name in dict.fromkeys(names)}
        names = [turned[name] for name in names]
    output, *scores = call.emit(op, names if names[1] != names[2] else names[:2])
    output = output if layer.batch_first else call.emit(TIME_FIRST, [output])[0]
    if need_weights and average:
        scores = [call.emit(ops.Reduction(function="mean", axes=(1,)), scores)[0]]
    return output, scores[0] if scores else None


def _torch_fields(owner: str, layer: nn.MultiheadAttention) -> dict[str, Any]:
    size = layer.embed_dim // layer.num_heads
    if layer.in_proj_weight is not None:
        projections = dict(zip(PROJECTIONS, layer.in_proj_weight.chunk(3), strict=False))
    else:
        projections = {part: getattr(layer, f"{part[0]}_proj_weight") for part in PROJECTIONS[:3]}
    biases: dict[str, Any] = dict.fromkeys(PROJECTIONS)
    if layer.in_proj_bias is not None:
        biases |= dict(zip(PROJECTIONS, layer.in_proj_bias.chunk(3), strict=False))
        biases["output"] = layer.out_proj.bias
    projections["output"] = layer.out_proj.weight
    named = {f"{part}_weight": array for part, array in projections.items()}
    named |= {f"{part}_bias": array for part, array in biases.items()}
    sizes = {"num_heads": layer.num_heads, "key_size": size, "value_size": size, "dropout": layer.dropout}
    return sizes | arrays(owner, named)
