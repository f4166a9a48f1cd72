"""Normalisation <-> torch's own layers, or where they do not suit, those of `torch_side.layers`."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from biport import ops
from torch_side import layers
from torch_side.reading.layer_call import LayerCall, arrays, build
from torch_side.registry import (
    CHANNELS_FIRST,
    CHANNELS_LAST,
    EVERY_ELEMENT,
    Axes,
    Inputs,
    Masks,
    Outputs,
    StateDict,
    axes_of,
    reads,
    states,
    writes,
)
from torch_side.shared.layer_ops import register_layer
from torch_side.writing.graph_writer import GraphWriter

register_layer(ops.Rescaling, layers.Rescaling, {"scale": "scale", "offset": "offset"})


Norm = TypeVar("Norm", bound="nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.GroupNorm")

BATCH_NORMS: Mapping[int, type[nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d]] = {
    2: nn.BatchNorm1d,
    3: nn.BatchNorm1d,
    4: nn.BatchNorm2d,
    5: nn.BatchNorm3d,
}
"""By the number of dimensions."""


@axes_of(ops.Rescaling)
def axes_of_rescaling(op: ops.Rescaling, inputs: Sequence[ops.Tensor]) -> Axes:
    """Of one number it does the same to every element."""
    single = all(isinstance(number, int | float) for number in (op.scale, op.offset))
    return EVERY_ELEMENT if single else CHANNELS_LAST


@states(ops.BatchNormalization)
def state_batch_normalization(op: ops.BatchNormalization) -> StateDict:
    """The ``state_dict``: weight and bias where there are any, and the statistics."""
    state = {"weight": op.weight, "bias": op.bias, "running_mean": op.mean, "running_var": op.variance}
    state["num_batches_tracked"] = np.asarray(0, "int64")
    return {name: array for name, array in state.items() if array is not None}


def _without(layer: Norm, op: ops.BatchNormalization | ops.GroupNormalization) -> Norm:
    """The layer without the parameters the op lacks: torch's settings know only both or none."""
    for name in ("weight", "bias"):
        if getattr(op, name) is None:
            layer.register_parameter(name, None)
    return layer


def _keeps_statistics(op: ops.BatchNormalization) -> bool:
    """Whether training leaves the statistics alone, and computes with them: torch's own layer does not."""
    return op.learning.frozen.issuperset(op.statistics)


def batch_normalization(op: ops.BatchNormalization) -> nn.BatchNorm1d:
    """A layer for any axis."""
    settings: dict[str, Any] = {"axis": op.axis, "eps": op.epsilon, "momentum": _other_momentum(op.momentum)}
    settings |= {"frozen": True} if _keeps_statistics(op) else {}
    return _without(layers.BatchNormalization(op.size, **settings), op)


def _is_own(op: ops.BatchNormalization, rank: int) -> bool:
    return op.axis not in (-1, rank - 1) or rank not in BATCH_NORMS or _keeps_statistics(op)


@axes_of(ops.BatchNormalization)
def axes_of_batch_normalization(op: ops.BatchNormalization, inputs: Sequence[ops.Tensor]) -> Axes:
    """Torch's own layers have their channels first."""
    return CHANNELS_LAST if _is_own(op, len(inputs[0].shape)) else CHANNELS_FIRST


@writes(ops.BatchNormalization)
def write_batch_normalization(
    op: ops.BatchNormalization, writer: GraphWriter, inputs: Inputs, masks: Masks
) -> Outputs:
    """``self.bn(x)``; torch's momentum is what a step takes, Keras' what it keeps."""
    rank = writer.rank()
    if _is_own(op, rank):
        return (writer.module(batch_normalization, inputs[0]),)

    def native(op: ops.BatchNormalization) -> nn.Module:
        layer = BATCH_NORMS[rank](op.size, eps=op.epsilon, momentum=_other_momentum(op.momentum))
        return _without(layer, op)

    return (writer.module(native, inputs[0]),)


@reads(layers.BatchNormalization)
def read_batch_normalization(call: LayerCall) -> Any:
    """The layer at inference: it must have kept statistics."""
    layer, owner = call.module, call.owner
    (argument,) = call.arguments("input")
    call.require(track_running_stats=(layer.running_mean is not None, True))
    call.require(cumulative_average=(layer.momentum is None, False))
    names = {"weight": "weight", "bias": "bias", "mean": "running_mean", "variance": "running_var"}
    op = build(
        owner,
        ops.BatchNormalization,
        size=layer.num_features,
        axis=layer.axis,
        epsilon=float(layer.eps),
        momentum=_other_momentum(float(layer.momentum)),
        learning=ops.Learning(frozen=frozenset(ops.BatchNormalization.statistics if layer.frozen else ())),
        **arrays(owner, {name: getattr(layer, attribute) for name, attribute in names.items()}),
    )
    return call.emit(op, [call.value(argument)])[0]


def _other_momentum(momentum: float) -> float:
    """Keras' momentum of torch's, or torch's of Keras': 0.1 of 0.9, not 0.09999999999999998."""
    short = round(1 - momentum, 12)
    return short if 1 - short == momentum else 1 - momentum


@states(ops.LayerNormalization)
def state_layer_normalization(op: ops.LayerNormalization) -> StateDict:
    """The ``state_dict``: weight and bias, where there are any."""
    return op.weights()


def layer_norm(op: ops.LayerNormalization) -> nn.LayerNorm:
    """Torch's own layer, without the parameters the op lacks."""
    shape = list(next(iter(op.weights().values())).shape)
    layer = nn.LayerNorm(shape, eps=op.epsilon, bias=op.bias is not None)
    if op.weight is None:
        layer.register_parameter("weight", None)
    if op.bias is not None and layer.bias is None:
        layer.register_parameter("bias", nn.Parameter(torch.zeros(shape)))
    return layer


def layer_normalization(op: ops.LayerNormalization) -> layers.LayerNormalization:
    """A layer for any axes."""
    shape = next((array.shape for array in op.weights().values()), ())
    present = {"weight": op.weight is not None, "bias": op.bias is not None}
    present |= {"rms_scaling": op.rms_scaling}
    return layers.LayerNormalization(op.axes, op.epsilon, shape=shape, **present)


@writes(ops.LayerNormalization)
def write_layer_normalization(
    op: ops.LayerNormalization, writer: GraphWriter, inputs: Inputs, masks: Masks
) -> Outputs:
    """``self.norm(x)``."""
    last = op.axes == tuple(range(-len(op.axes), 0))
    native = last and bool(op.weights()) and not op.rms_scaling
    return (writer.module(layer_norm if native else layer_normalization, inputs[0]),)


@reads(layers.LayerNormalization)
def read_layer_normalization(call: LayerCall) -> Any:
    """The layer."""
    layer, owner = call.module, call.owner
    op = build(
        owner,
        ops.LayerNormalization,
        axes=layer.axes,
        epsilon=float(layer.eps),
        rms_scaling=layer.rms_scaling,
        **arrays(owner, {"weight": layer.weight, "bias": layer.bias}),
    )
    (x,) = call.arguments("x")
    return call.emit(op, [call.value(x)])[0]


@writes(ops.UnitNormalization)
def write_unit_normalization(
    op: ops.UnitNormalization, writer: GraphWriter, inputs: Inputs, masks: Masks
) -> Outputs:
    """``functional.normalize(x, dim=-1)``, or what that does over several axes."""
    (x,) = inputs
    if len(op.axes) == 1:
        return (writer.call(functional.normalize, x, dim=op.axes[0]),)
    length = writer.call(torch.linalg.vector_norm, x, dim=op.axes, keepdim=True)
    return (writer.call(operator.truediv, x, writer.call(torch.clamp, length, min=1e-12)),)


@states(ops.RMSNormalization)
def state_rms_normalization(op: ops.RMSNormalization) -> StateDict:
    """The ``state_dict``: the weight."""
    return op.weights()


@writes(ops.RMSNormalization)
def write_rms_normalization(
    op: ops.RMSNormalization, writer: GraphWriter, inputs: Inputs, masks: Masks
) -> Outputs:
    """``self.norm(x)``."""
    return (writer.module(lambda op: nn.RMSNorm(list(op.weight.shape), eps=op.epsilon), inputs[0]),)


@states(ops.GroupNormalization)
def state_group_normalization(op: ops.GroupNormalization) -> StateDict:
    """The ``state_dict``: weight and bias, where there are any."""
    return op.weights()


def _is_own_group(op: ops.GroupNormalization, x: ops.Tensor) -> bool:
    both = (op.weight is None) == (op.bias is None)
    last = op.axis in (-1, len(x.shape) - 1)
    return not last or x.shape[op.axis] == op.groups or not both


@axes_of(ops.GroupNormalization)
def axes_of_group_normalization(op: ops.GroupNormalization, inputs: Sequence[ops.Tensor]) -> Axes:
    """Torch's own layer has its channels first."""
    return CHANNELS_LAST if _is_own_group(op, inputs[0]) else CHANNELS_FIRST


@writes(ops.GroupNormalization)
def write_group_normalization(
    op: ops.GroupNormalization, writer: GraphWriter, inputs: Inputs, masks: Masks
) -> Outputs:
    """``self.norm(x)``."""
    size = writer.tensor().shape[op.axis]
    assert isinstance(size, int)

    def native(op: ops.GroupNormalization) -> nn.GroupNorm:
        return _without(nn.GroupNorm(op.groups, size, op.epsilon), op)

    def of_any_axis(op: ops.GroupNormalization) -> nn.GroupNorm:
        return _without(layers.GroupNormalization(op.groups, size, axis=op.axis, eps=op.epsilon), op)

    build = of_any_axis if _is_own_group(op, writer.tensor()) else native
    return (writer.module(build, inputs[0]),)


@reads(layers.GroupNormalization)
def read_group_normalization(call: LayerCall) -> Any:
    """The layer."""
    layer, owner = call.module, call.owner
    (argument,) = call.arguments("input")
    op = build(
        owner,
        ops.GroupNormalization,
        groups=layer.num_groups,
        axis=layer.axis,
        epsilon=float(layer.eps),
        **arrays(owner, {"weight": layer.weight, "bias": layer.bias}),
    )
    return call.emit(op, [call.value(argument)])[0]


@states(ops.Normalization)
def state_normalization(op: ops.Normalization) -> StateDict:
    """The ``state_dict``: mean and variance."""
    return op.weights()


def _normalization(op: ops.Normalization) -> layers.Normalization:
    return layers.Normalization(op.axes, invert=op.invert, shape=op.mean.shape)


@writes(ops.Normalization)
def write_normalization(op: ops.Normalization, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``self.normalization(x)``."""
    return (writer.module(_normalization, inputs[0]),)


@reads(layers.Normalization)
def read_normalization(call: LayerCall) -> Any:
    """The layer."""
    layer, owner = call.module, call.owner
    statistics = arrays(owner, {"mean": layer.mean, "variance": layer.variance})
    op = build(owner, ops.Normalization, axes=layer.axes, invert=layer.invert, **statistics)
    (x,) = call.arguments("x")
    return call.emit(op, [call.value(x)])[0]
