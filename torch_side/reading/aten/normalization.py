"""Normalisation, as it is at inference."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from biport import ops
from biport.ops import Op
from torch_side.reading.aten.channels import MOST_AXES, channels_last
from torch_side.reading.aten_call import AtenCall
from torch_side.reading.layer_call import build
from torch_side.registry import reads_aten

KEPT = "the statistics that were kept (track_running_stats=True)"


@reads_aten("batch_norm.default")
def read_batch_norm(call: AtenCall) -> str:
    """`nn.BatchNorm1d` and the like."""
    if call["training"] or not call.has("running_mean"):
        raise call.refuse("statistics", "of the batch", KEPT)
    return _batch_norm(call)


@reads_aten("_native_batch_norm_legit_no_training.default", "_batch_norm_no_update.default")
def read_native_batch_norm(call: AtenCall) -> tuple[str, ...]:
    """The same; its other outputs are for training."""
    return (_batch_norm(call),)


@reads_aten("_native_batch_norm_legit.no_stats", "_native_batch_norm_legit.default",
            "_native_batch_norm_legit_functional.default", "_batch_norm_with_update.default",
            "_batch_norm_with_update_functional.default", "native_batch_norm.default")  # fmt: skip
def refuse_batch_norm(call: AtenCall) -> str:
    """By the statistics of the batch, which a graph has no op for."""
    raise call.refuse("statistics", "of the batch", KEPT)


@reads_aten("instance_norm.default")
def read_instance_norm(call: AtenCall) -> str:
    """`nn.InstanceNorm1d` and the like: each feature by itself, or by the statistics that were kept."""
    if not call["use_input_stats"]:
        return _batch_norm(call)
    x = call.value("input")
    groups = call.tensor(x).shape[0 if call.rank(x) == 2 else 1]
    if call.rank(x) == 2:
        # One row of two axes: the channels are the first.
        return channels_last(call, "input", 1, lambda y: _normalized(call, y, _group_norm(call, groups, -1)))
    return _channels(call, lambda axis: _group_norm(call, groups, axis))


@reads_aten("group_norm.default")
def read_group_norm(call: AtenCall) -> str:
    """`nn.GroupNorm`."""
    return _channels(call, lambda axis: _group_norm(call, call["num_groups"], axis))


@reads_aten("native_group_norm.default")
def read_native_group_norm(call: AtenCall) -> tuple[str, ...]:
    """The same; its other outputs are for training."""
    return (_channels(call, lambda axis: _group_norm(call, call["group"], axis)),)


@reads_aten("layer_norm.default")
def read_layer_norm(call: AtenCall) -> str:
    """`nn.LayerNorm`, over as many last axes as it has sizes."""
    axes = tuple(range(-len(call["normalized_shape"]), 0))
    x = call.value("input")
    weights = _weights(call)
    if call.rank(x) == len(axes):
        # A graph has rows; this is a single one.
        op = build(call.owner, ops.LayerNormalization, axes=axes, epsilon=float(call["eps"]), **weights)
        y = call.apply(op, call.apply(ops.ExpandDims(axes=(0,)), x), key=_key(call))
        return _scaled(call, call.apply(ops.Squeeze(axes=(0,)), y))
    op = build(call.owner, ops.LayerNormalization, axes=axes, epsilon=float(call["eps"]), **weights)
    return _scaled(call, call.apply(op, x, key=_key(call)))


@reads_aten("native_layer_norm.default")
def read_native_layer_norm(call: AtenCall) -> tuple[str, ...]:
    """The same; its other outputs are for training."""
    return (read_layer_norm(call),)


@reads_aten("rms_norm.default")
def read_rms_norm(call: AtenCall) -> str:
    """`nn.RMSNorm`; without an epsilon it has that of its dtype, without a weight it multiplies by 1."""
    dtype = call.result_dtype
    given = call.array("weight")
    weight = np.ones([int(size) for size in call["normalized_shape"]], dtype) if given is None else given
    epsilon = torch.finfo(getattr(torch, dtype)).eps if call["eps"] is None else call["eps"]
    op = build(call.owner, ops.RMSNormalization, epsilon=float(epsilon), weight=weight)
    return call.apply(op, call.value("input"), key=_key(call))


@reads_aten("_fused_rms_norm.default")
def read_fused_rms_norm(call: AtenCall) -> tuple[str, ...]:
    """The same; its other output is for training."""
    return (read_rms_norm(call),)


def _key(call: AtenCall) -> Any:
    """What makes two calls those of one layer, if it has weights."""
    given = [call.arguments.get(name) for name in ("weight", "bias", "running_mean", "running_var")]
    return (call.name, *given) if any(part is not None for part in given) else None


def _weights(call: AtenCall) -> dict[str, Any]:
    """The weights that a layer may have of its own; others are multiplied and added behind it."""
    own = call.is_static("weight") and call.is_static("bias")
    return {name: call.array(name) if own else None for name in ("weight", "bias")}


def _scaled(call: AtenCall, y: str) -> str:
    """Multiplied and added to what is computed from the inputs, where that is done."""
    if call.is_static("weight") and call.is_static("bias"):
        return y
    y = call.compute("multiply", y, call.value("weight")) if call.has("weight") else y
    return call.compute("add", y, call.value("bias")) if call.has("bias") else y


def _normalized(call: AtenCall, x: str, op: Op) -> str:
    return call.apply(op, x, key=_key(call))


def _channels(call: AtenCall, op_along: Any) -> str:
    """A layer along axis 1 of a batch: ``(N, I)``, ``(N, I, *T)``."""
    count = call.rank(call.value("input")) - 2
    if 1 <= count <= MOST_AXES:
        return channels_last(call, "input", count, lambda x: _normalized(call, x, op_along(-1)))
    return _normalized(call, call.value("input"), op_along(1 if count else -1))


def _batch_norm(call: AtenCall) -> str:
    mean, variance = call.array("running_mean"), call.array("running_var")
    assert mean is not None

    def along(axis: int) -> Op:
        return build(
            call.owner,
            ops.BatchNormalization,
            size=mean.shape[0],
            axis=axis,
            epsilon=float(call["eps"]),
            momentum=keras_momentum(float(call["momentum"])),
            weight=call.array("weight"),
            bias=call.array("bias"),
            mean=mean,
            variance=variance,
        )

    return _channels(call, along)


def keras_momentum(momentum: float) -> float:
    """Keras' momentum of torch's: 0.1 of 0.9, where the difference alone is 0.09999999999999998."""
    short = round(1 - momentum, 12)
    return short if 1 - short == momentum else 1 - momentum


def _group_norm(call: AtenCall, groups: Any, axis: int) -> Op:
    settings: dict[str, Any] = {"axis": axis, "epsilon": float(call["eps"])}
    return build(
        call.owner,
        ops.GroupNormalization,
        groups=groups,
        weight=call.array("weight"),
        bias=call.array("bias"),
        **settings,
    )
