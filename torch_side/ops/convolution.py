"""Convolutions -> torch's own modules, or those of `torch_side.layers`, and the activation behind them."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

from torch import fx, nn
from torch.nn import functional

from biport import ops
from biport.dims import Dim
from biport.errors import UnsupportedError
from biport.ops.convolution import CONVOLUTIONS, TRANSPOSED
from biport.ops.windows import Pairs
from torch_side import layers
from torch_side.reading.layer_call import LayerCall, arrays, build
from torch_side.registry import CHANNELS_FIRST, Inputs, Masks, Outputs, StateDict, reads, states, writes_axes
from torch_side.shared.activations import write_activation
from torch_side.shared.channels import same_in_all
from torch_side.shared.windows import known_widths, torch_widths
from torch_side.writing.graph_writer import GraphWriter

MODULES: Mapping[int, type[nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
"""By the number of axes."""

OWN: Mapping[int, type[nn.Module]] = {1: layers.Conv1d, 2: layers.Conv2d, 3: layers.Conv3d}
"""Those that pad as Keras does, whatever the sizes are."""

TURNED_AROUND: Mapping[int, type[nn.Module]] = {
    1: nn.ConvTranspose1d,
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}
"""By the number of axes."""


@states(*CONVOLUTIONS.values(), *TRANSPOSED.values())
def state_convolution(op: ops.Convolution | ops.TransposedConvolution) -> StateDict:
    """The ``state_dict`` of the module: ``(O, I / G, *K)``, or ``(I, O / G, *K)``, and ``(O,)``."""
    return {"weight": op.weight} | ({} if op.bias is None else {"bias": op.bias})


@writes_axes(CHANNELS_FIRST, *CONVOLUTIONS.values())
def write_convolution(op: ops.Convolution, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``torch.relu(self.conv2d(x))``, or another activation."""
    sizes = writer.tensor().shape[1:-1]
    return (write_activation(writer, op.activation, _convolved(op, writer, inputs[0], sizes)),)


def _convolved(
    op: ops.Convolution, writer: GraphWriter, x: fx.Node, sizes: Sequence[Dim], part: str = ""
) -> fx.Node:
    """Torch's own layer, behind a padding that it lacks, or one that pads as Keras does.

    Args:
        op: the node's, or a part of it.
        writer: of the node.
        x: ``(N, I, *T)``.
        sizes: T.
        part: which part of the node's op it is.
    """
    # Torch warns of "same" where one end needs more than the other.
    if op.padding == "same" and set(op.strides) == {1} and all(span % 2 for span in op.spans):
        return writer.module(lambda _: _module(op, "same"), x, part=part)
    widths = known_widths(op.padding, writer.known(sizes), op.spans, op.strides)
    if widths is None:
        return writer.module(lambda _: _own_module(op), x, part=part)
    if all(before == behind for before, behind in widths):
        around = same_in_all([before for before, _ in widths])
        return writer.module(lambda _: _module(op, around), x, part=part)
    padded = writer.call(functional.pad, x, torch_widths(widths))
    return writer.module(lambda _: _module(op, 0), padded, part=part)


def _module(op: ops.Convolution, padding: Any) -> nn.Module:
    return MODULES[op.dimensions](*_sizes(op), padding=padding, **_settings(op))


def _own_module(op: ops.Convolution) -> nn.Module:
    own: dict[str, Any] = {"padding": op.padding} if op.dimensions == 1 else {}
    return OWN[op.dimensions](*_sizes(op), **own, **_settings(op))


def _sizes(op: ops.Convolution | ops.TransposedConvolution) -> tuple[Any, ...]:
    return op.input_size, op.output_size, same_in_all(op.kernel_size)


def _settings(op: ops.Convolution | ops.TransposedConvolution) -> dict[str, Any]:
    return {
        "stride": same_in_all(op.strides),
        "dilation": same_in_all(op.dilation),
        "groups": op.groups,
        "bias": op.bias is not None,
    }


def _read_convolution(call: LayerCall, kind: type[ops.Convolution], padding: str) -> Any:
    layer, owner = call.module, call.owner
    (argument,) = call.arguments("input")
    call.require(padding_mode=(layer.padding_mode, "zeros"))
    op = build(
        owner,
        kind,
        input_size=layer.in_channels,
        output_size=layer.out_channels,
        kernel_size=layer.kernel_size,
        strides=layer.stride,
        padding=padding,
        dilation=layer.dilation,
        groups=layer.groups,
        **arrays(owner, {"weight": layer.weight, "bias": layer.bias}),
    )
    return call.emit_channels_first(op, argument)


@reads(layers.Conv1d)
def read_conv1d(call: LayerCall) -> Any:
    """The layer."""
    return _read_convolution(call, ops.Conv1D, call.module.keras_padding)


@reads(layers.Conv2d)
def read_conv2d(call: LayerCall) -> Any:
    """The layer."""
    return _read_convolution(call, ops.Conv2D, "same")


@reads(layers.Conv3d)
def read_conv3d(call: LayerCall) -> Any:
    """The layer."""
    return _read_convolution(call, ops.Conv3D, "same")


@states(ops.SeparableConv1D, ops.SeparableConv2D)
def state_separable(op: ops.SeparableConvolution) -> StateDict:
    """The ``state_dict`` of both modules, under the names of the parts."""
    parts = {"depthwise": op.depthwise, "pointwise": op.pointwise}
    return {
        f"{part}.{name}": array
        for part, inside in parts.items()
        for name, array in state_convolution(inside).items()
    }


@writes_axes(CHANNELS_FIRST, ops.SeparableConv1D, ops.SeparableConv2D)
def write_separable(
    op: ops.SeparableConvolution, writer: GraphWriter, inputs: Inputs, masks: Masks
) -> Outputs:
    """``torch.relu(self.conv.pointwise(self.conv.depthwise(x)))``, or another activation."""
    x = writer.tensor()
    (between,) = op.depthwise.infer([x])
    each = _convolved(op.depthwise, writer, inputs[0], x.shape[1:-1], ".depthwise")
    z = _convolved(op.pointwise, writer, each, between.shape[1:-1], ".pointwise")
    return (write_activation(writer, op.pointwise.activation, z),)


@writes_axes(CHANNELS_FIRST, *TRANSPOSED.values())
def write_transposed(
    op: ops.TransposedConvolution, writer: GraphWriter, inputs: Inputs, masks: Masks
) -> Outputs:
    """``torch.relu(self.conv2d_transpose(x))``, or another activation; what torch leaves is cut off."""
    own = [
        _own_cropping(writer.owner, op, axis, before, behind)
        for axis, (before, behind) in enumerate(op.cropping)
    ]
    padding, more = (same_in_all(numbers) for numbers in zip(*own, strict=True))

    def module(op: ops.TransposedConvolution) -> nn.Module:
        kind = TURNED_AROUND[op.dimensions]
        return kind(*_sizes(op), padding=padding, output_padding=more, **_settings(op))

    left = tuple(
        (before - padding, behind - (padding - more))
        for (before, behind), (padding, more) in zip(op.cropping, own, strict=True)
    )
    return (
        write_activation(writer, op.activation, _cropped(writer, writer.module(module, inputs[0]), left)),
    )


def _own_cropping(
    owner: str, op: ops.TransposedConvolution, axis: int, before: int, behind: int
) -> tuple[int, int]:
    """The padding and the output padding of torch's layer, which cuts off ``(padding, padding - output)``.

    Raises:
        UnsupportedError: more is added behind than torch does.
    """
    most = max(op.strides[axis], op.dilation[axis]) - 1
    if 0 <= before - behind <= most:
        return before, before - behind
    if behind >= 0:
        return min(before, behind), 0
    if -behind > most:
        supported = f"at most {most} elements more behind"
        raise UnsupportedError(f"{owner}: {op.kind}", "cropping", op.cropping, supported)
    return 0, -behind


def _cropped(writer: GraphWriter, x: fx.Node, cropping: Pairs) -> fx.Node:
    """``x[:, :, 1:-1]``."""
    if not any(map(any, cropping)):
        return x
    kept = [slice(before or None, -behind if behind else None) for before, behind in cropping]
    return writer.call(operator.getitem, x, (slice(None), slice(None), *kept))
