"""Pooling -> torch's modules, or ours; over all of an axis ``x.amax(dim=2)``, ``x.mean(dim=(2, 3))``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn
from torch.nn import functional

from biport import ops
from biport.ops.pooling import GLOBAL_MAXIMA, GLOBAL_MEANS, MAXIMA, MEANS
from biport.ops.windows import Pairs
from torch_side import layers
from torch_side.layers.windows import each
from torch_side.reading.layer_call import LayerCall, build
from torch_side.registry import ANY_ORDER, CHANNELS_FIRST, Inputs, Masks, Outputs, reads, writes_axes
from torch_side.shared.channels import same_in_all
from torch_side.shared.windows import known_widths, torch_widths
from torch_side.writing.graph_writer import GraphWriter

WINDOWS: Mapping[type[ops.Op], tuple[type[nn.Module], type[nn.Module]]] = {
    ops.MaxPooling1D: (nn.MaxPool1d, layers.MaxPooling1D),
    ops.MaxPooling2D: (nn.MaxPool2d, layers.MaxPooling2D),
    ops.MaxPooling3D: (nn.MaxPool3d, layers.MaxPooling3D),
    ops.AveragePooling1D: (nn.AvgPool1d, layers.AveragePooling1D),
    ops.AveragePooling2D: (nn.AvgPool2d, layers.AveragePooling2D),
    ops.AveragePooling3D: (nn.AvgPool3d, layers.AveragePooling3D),
}
"""Torch's own module, and one that pads as Keras does."""


@writes_axes(CHANNELS_FIRST, *MAXIMA.values(), *MEANS.values())
def write_pooling(op: ops.Pooling, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``self.pool(x)``."""
    (x,), sizes = inputs, writer.known(writer.tensor().shape[1:-1])
    widths = known_widths(op.padding, sizes, op.pool_size, op.strides)
    settings = None if widths is None else _torch_padding(op, sizes, widths)
    if settings is None and widths is not None and isinstance(op, ops.MaxPooling):
        x = writer.call(functional.pad, x, torch_widths(widths), value=-float("inf"))
        settings = {}
    return (writer.module(lambda op: _module(op, settings), x),)


def _module(op: ops.Pooling, settings: Mapping[str, Any] | None) -> nn.Module:
    """Torch's own layer with these settings, or one that pads as Keras does."""
    native, own = WINDOWS[type(op)]
    sizes = same_in_all(op.pool_size), same_in_all(op.strides)
    if settings is not None:
        return native(*sizes, **settings)
    return own(*sizes) if isinstance(op.padding, str) else own(*sizes, padding=op.padding)


def _torch_padding(op: ops.Pooling, sizes: Sequence[int | None], widths: Pairs) -> dict[str, Any] | None:
    """The settings of torch's own layer for a padding; ``None`` where it has none."""
    if not any(map(any, widths)):
        return {}
    before = [front for front, _ in widths]
    if isinstance(op, ops.AveragePooling3D) and not _reach_within(sizes, op.pool_size):
        return None
    if any(2 * front > size for front, size in zip(before, op.pool_size, strict=True)):
        return None
    settings: dict[str, Any] = {"padding": same_in_all(before)} if any(before) else {}
    if isinstance(op, ops.AveragePooling) and any(before):
        settings["count_include_pad"] = False
    if all(front == behind for front, behind in widths):
        return settings
    axes = zip(sizes, op.pool_size, op.strides, widths, strict=True)
    return settings | {"ceil_mode": True} if all(_rounds_up(*along) for along in axes) else None


def _reach_within(sizes: Sequence[int | None], spans: Sequence[int]) -> bool:
    """Whether no window is longer than an axis: `nn.AvgPool3d` refuses these, whatever is padded."""
    return all(size is not None and size >= span for size, span in zip(sizes, spans, strict=True))


def _rounds_up(size: int | None, span: int, stride: int, widths: tuple[int, int]) -> bool:
    """Whether torch's ``ceil_mode`` pads an axis as it should be: a last window may reach out behind."""
    before, behind = widths
    if size is None:
        return False
    wanted = (size + before + behind - span) // stride + 1
    rounded = -(-(size + 2 * before - span) // stride) + 1
    # Torch leaves out a window that begins behind the end.
    rounded -= (rounded - 1) * stride >= size + before
    return rounded == wanted


def _read_windows(call: LayerCall, kind: type[ops.Pooling], **more: tuple[Any, Any]) -> Any:
    """A layer over windows; ``more`` settings are as `LayerCall.require` takes them."""
    layer = call.module
    (argument,) = call.arguments("input")
    # nn.AvgPool1d keeps a tuple where the others keep the number.
    own = layer.padding if any(each(layer.padding, len(layer.window))) else 0
    call.require(padding=(own, 0), ceil_mode=(layer.ceil_mode, False), **more)
    padding = getattr(layer, "keras_padding", "same")
    op = build(call.owner, kind, pool_size=layer.window, strides=layer.step, padding=padding)
    return call.emit_channels_first(op, argument)


@reads(layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D)
def read_max_pooling(call: LayerCall) -> Any:
    """The layer, without padding of torch's own."""
    layer = call.module
    refused = {"dilation": (layer.dilation, 1), "return_indices": (layer.return_indices, False)}
    return _read_windows(call, MAXIMA[len(layer.window)], **refused)


@reads(layers.AveragePooling1D, layers.AveragePooling2D, layers.AveragePooling3D)
def read_average_pooling(call: LayerCall) -> Any:
    """The layer, without padding of torch's own."""
    return _read_windows(call, MEANS[len(call.module.window)])


@writes_axes(ANY_ORDER, *GLOBAL_MAXIMA.values())
def write_global_max_pooling(
    op: ops.GlobalMaxPooling, writer: GraphWriter, inputs: Inputs, masks: Masks
) -> Outputs:
    """``x.amax(dim=1)``."""
    return (writer.method("amax", inputs[0], **writer.over(op.axes, op.keepdims)),)


@writes_axes(ANY_ORDER, *GLOBAL_MEANS.values())
def write_global_average_pooling(
    op: ops.GlobalAveragePooling, writer: GraphWriter, inputs: Inputs, masks: Masks
) -> Outputs:
    """``x.mean(dim=1)``, or ``self.global_average_pooling1d(x, mask=mask)``."""
    if masks[0] is None:
        return (writer.method("mean", inputs[0], **writer.over(op.axes, op.keepdims)),)
    return (writer.module(lambda op: layers.GlobalAveragePooling1D(op.keepdims), inputs[0], mask=masks[0]),)


@reads(layers.GlobalAveragePooling1D)
def read_global_average_pooling1d(call: LayerCall) -> Any:
    """The layer."""
    x, mask = call.arguments("x", mask=None)
    masks = [None if mask is None else call.value(mask)]
    op = ops.GlobalAveragePooling1D(keepdims=call.module.keepdims)
    return call.emit(op, [call.value(x)], masks)[0]
