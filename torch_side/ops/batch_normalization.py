"""`ops.BatchNormalization` <-> `torch.nn.BatchNorm1d`, or `torch_side.layers.BatchNormalization`."""

from __future__ import annotations

import numpy as np
from torch import fx, nn

from biport import ops
from torch_side import layers
from torch_side.channels import Turned, write_turned
from torch_side.reader import Bound, Reader, arrays, build
from torch_side.registry import State, reads, states, writes
from torch_side.writer import Writer


@states(ops.BatchNormalization)
def state_batch_normalization(op: ops.BatchNormalization) -> State:
    """The ``state_dict``: weight and bias where there are any, and the statistics."""
    found = {"weight": op.weight, "bias": op.bias, "running_mean": op.mean, "running_var": op.variance}
    found["num_batches_tracked"] = np.asarray(0, "int64")
    return {name: array for name, array in found.items() if array is not None}


def _without(layer: nn.BatchNorm1d, op: ops.BatchNormalization) -> nn.BatchNorm1d:
    """The layer without the parameters the op lacks: torch's settings know only both or none."""
    for name in ("weight", "bias"):
        if getattr(op, name) is None:
            layer.register_parameter(name, None)
    return layer


def plain(op: ops.BatchNormalization) -> nn.BatchNorm1d:
    """Torch's own layer; its momentum is what a step takes, Keras' what it keeps."""
    return _without(nn.BatchNorm1d(op.size, eps=op.epsilon, momentum=1 - op.momentum), op)


def along_axis(op: ops.BatchNormalization) -> nn.BatchNorm1d:
    """A layer for any axis."""
    settings = {"axis": op.axis, "eps": op.epsilon, "momentum": 1 - op.momentum}
    return _without(layers.BatchNormalization(op.size, **settings), op)


@writes(ops.BatchNormalization)
def write_batch_normalization(
    op: ops.BatchNormalization, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.bn(x)``, or ``self.bn(x.transpose(1, 2)).transpose(1, 2)`` over ``(N, T, I)``."""
    if op.axis != -1 or writer.rank() > 3:
        return (writer.module(along_axis, inputs[0]),)
    if writer.rank() == 2:
        return (writer.module(plain, inputs[0]),)
    return (write_turned(writer, writer.module(plain, write_turned(writer, inputs[0]))),)


@reads(nn.BatchNorm1d, layers.BatchNormalization)
def read_batch_normalization(reader: Reader, node: fx.Node) -> Bound:
    """The layer at inference: it must have kept statistics."""
    layer, owner = reader.module(node), reader.owner(node)
    (argument,) = reader.arguments(node, "input")
    found = reader.look(argument)
    source = found.source if isinstance(found, Turned) else reader.value(node, argument)
    reader.require(node, track_running_stats=(layer.running_mean is not None, True))
    reader.require(node, cumulative_average=(layer.momentum is None, False))
    names = {"weight": "weight", "bias": "bias", "mean": "running_mean", "variance": "running_var"}
    op = build(
        owner,
        ops.BatchNormalization,
        size=layer.num_features,
        axis=_axis(layer, isinstance(found, Turned), reader.rank(source)),
        epsilon=float(layer.eps),
        momentum=_kept(float(layer.momentum)),
        **arrays(owner, {name: getattr(layer, attribute) for name, attribute in names.items()}),
    )
    (made,) = reader.emit(node, op, [source])
    return Turned(made) if isinstance(found, Turned) else made


def _axis(layer: nn.Module, turned: bool, rank: int | None) -> int:
    if isinstance(layer, layers.BatchNormalization):
        return layer.axis
    return -1 if turned or rank == 2 else 1


def _kept(taken: float) -> float:
    """Keras' momentum of torch's: 0.1 of 0.9, where the difference alone is 0.09999999999999998."""
    short = round(1 - taken, 12)
    return short if 1 - short == taken else 1 - taken
