"""Pooling over time <-> modules; ``x.mean(dim=1)``, ``x.amax(dim=1)`` and ``x.max(dim=1)`` are read too."""

from __future__ import annotations

import torch
from torch import fx, nn

from biport import ops
from biport.errors import UnsupportedError
from torch_side import layers
from torch_side.layers.pooling import single
from torch_side.reading.fx_reader import Bound, FxReader, Lazy, build
from torch_side.registry import Inputs, Masks, Outputs, reads, writes
from torch_side.shared.channels import ChannelsFirst, channels_first, write_transposed
from torch_side.shared.layer_ops import register_layer
from torch_side.writing.graph_writer import GraphWriter

WINDOWS: dict[type[ops.Op], tuple[type[nn.Module], type[nn.Module]]] = {
    ops.MaxPooling1D: (nn.MaxPool1d, layers.MaxPooling1D),
    ops.AveragePooling1D: (nn.AvgPool1d, layers.AveragePooling1D),
}
"""Torch's own module, and one that pads as Keras does."""

register_layer(ops.GlobalMaxPooling1D, layers.GlobalMaxPooling1D, {"keepdims": "keepdims"})


@writes(ops.MaxPooling1D, ops.AveragePooling1D)
def write_pooling(
    op: ops.MaxPooling1D | ops.AveragePooling1D, writer: GraphWriter, inputs: Inputs, masks: Masks
) -> Outputs:
    """``self.pool(x.transpose(1, 2)).transpose(1, 2)``."""
    layer = WINDOWS[type(op)][op.padding != "valid"]
    pooled = writer.module(lambda op: layer(op.pool_size, op.strides), write_transposed(writer, inputs[0]))
    return (write_transposed(writer, pooled),)


@reads(nn.MaxPool1d, layers.MaxPooling1D)
def read_max_pooling1d(reader: FxReader, node: fx.Node) -> Bound:
    """The layer, without padding of torch's own, which is the same at both ends."""
    layer = reader.module(node)
    return _read_windows(
        reader,
        node,
        ops.MaxPooling1D,
        dilation=(layer.dilation, 1),
        return_indices=(layer.return_indices, False),
    )


@reads(nn.AvgPool1d, layers.AveragePooling1D)
def read_average_pooling1d(reader: FxReader, node: fx.Node) -> Bound:
    """The layer, without padding of torch's own, which is the same at both ends."""
    return _read_windows(reader, node, ops.AveragePooling1D)


def _read_windows(reader: FxReader, node: fx.Node, kind: type[ops.Op], **more: tuple) -> Bound:
    """A layer over windows; ``more`` settings are as `FxReader.require` takes them."""
    layer = reader.module(node)
    (argument,) = reader.arguments(node, "input")
    source = channels_first(reader, node, argument)
    reader.require(node, padding=(single(layer.padding), 0), ceil_mode=(layer.ceil_mode, False))
    reader.require(node, **more)
    op = build(
        reader.owner(node),
        kind,
        pool_size=single(layer.kernel_size),
        strides=single(layer.stride),
        padding="same" if isinstance(layer, WINDOWS[kind][1]) else "valid",
    )
    return ChannelsFirst(reader.emit(node, op, [source])[0])


@writes(ops.GlobalAveragePooling1D)
def write_global_average_pooling1d(
    op: ops.GlobalAveragePooling1D, writer: GraphWriter, inputs: Inputs, masks: Masks
) -> Outputs:
    """``self.global_average_pooling1d(x, mask=mask)``."""
    return (writer.module(lambda op: layers.GlobalAveragePooling1D(op.keepdims), inputs[0], mask=masks[0]),)


@reads(layers.GlobalAveragePooling1D)
def read_global_average_pooling1d(reader: FxReader, node: fx.Node) -> Bound:
    """The layer."""
    x, mask = reader.arguments(node, "x", mask=None)
    masks = [None if mask is None else reader.value(node, mask)]
    op = ops.GlobalAveragePooling1D(keepdims=reader.module(node).keepdims)
    return reader.emit(node, op, [reader.value(node, x)], masks)[0]


@reads(torch.mean, "mean")
def read_mean(reader: FxReader, node: fx.Node) -> Bound:
    """``x.mean(dim=1)``: padded steps count."""
    source, keepdims = _over_time(reader, node)
    return reader.emit(node, ops.GlobalAveragePooling1D(keepdims=keepdims), [source])[0]


@reads(torch.amax, "amax")
def read_amax(reader: FxReader, node: fx.Node) -> Bound:
    """``x.amax(dim=1)``."""
    source, keepdims = _over_time(reader, node)
    return reader.emit(node, ops.GlobalMaxPooling1D(keepdims=keepdims), [source])[0]


@reads(torch.max, "max")
def read_max(reader: FxReader, node: fx.Node) -> Bound:
    """``x.max(dim=1)``, of which only the values are used."""
    return read_amax(reader, node), _Indices()


def _over_time(reader: FxReader, node: fx.Node) -> tuple[str, bool]:
    """The value that is reduced over the time of ``(N, T, I)``, and whether the dimension is kept.

    Raises:
        UnsupportedError: it is over something else.
    """
    x, dim, keepdim = reader.arguments(node, "x", dim=None, keepdim=False)
    source = reader.value(node, x)
    if reader.rank(source) != 3 or dim not in (1, -2):
        reduced = f"dim={dim} of {reader.rank(source)} dimensions"
        raise UnsupportedError(reader.owner(node), "reduced over", reduced, "dim=1 of (N, T, I)")
    return source, bool(keepdim)


class _Indices(Lazy):
    """Where the largest values are: what ``x.max(dim=1)`` gives beside them."""

    def value(self, user: str) -> str:
        raise UnsupportedError(user, "argument", "the indices of max", "its values")

    def item(self, index: object, user: str) -> Bound:
        raise UnsupportedError(user, "argument", "the indices of max", "its values")
