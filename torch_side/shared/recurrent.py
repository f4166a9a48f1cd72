"""What the writers and readers of torch's recurrent layers share.

A layer of `torch_side.layers` has its weights in a layer of `torch.nn` or in a cell of ours, laid out
alike: gates stacked in torch's order, ``(G·H, I)`` and ``(G·H, H)``, and two biases. A single bias goes to
``bias_ih`` beside zeros; a second bias of zeros that only ever acts in the sum of both is read as none.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from biport import ops
from biport.gates import split_gates, stack_gates
from biport.ops import Cell, Recurrent
from biport.registry import Registry
from torch_side import layers
from torch_side.layers.cells import Cell as TorchCell
from torch_side.layers.recurrent import OneCell, has_native
from torch_side.layers.recurrent import Recurrent as TorchRecurrent
from torch_side.reading.layer_call import LayerCall, arrays, build
from torch_side.registry import Inputs, Masks, Outputs, StateDict
from torch_side.writing.graph_writer import GraphWriter

SCAN_SETTINGS = ("reverse", "return_sequences", "return_state", "zero_output_for_mask")


@dataclass(frozen=True)
class Kind:
    """One kind of cell: its op, its layer here and the order in which torch stacks its gates."""

    op: type[Cell]
    layer: type[OneCell]
    order: str

    @property
    def attribute(self) -> str:
        """The name under which a layer has torch's own."""
        return self.op.__name__.lower()


KINDS: Registry[type, Kind] = Registry("recurrent layer")
"""By op and by layer class."""


def register_kind(op: type[Cell], layer: type[OneCell], order: str) -> Kind:
    """Register a kind of cell."""
    kind = Kind(op, layer, order)
    KINDS.register(op, layer)(kind)
    return kind


def own_settings(op: Cell) -> dict[str, Any]:
    """The settings of an op that are its kind's own: activations, and what a GRU has more."""
    names = ("activation", "recurrent_activation", "reset_after")
    return {name: getattr(op, name) for name in names if hasattr(op, name)}


def is_native(op: Cell) -> bool:
    """Whether `torch.nn` has the cell."""
    return has_native(op.kind, **own_settings(op))


def state_cell(op: Cell, suffix: str) -> StateDict:
    """The tensors of one direction under torch's names, ``weight_ih`` and so on, with ``suffix``."""
    order = KINDS.lookup(type(op), op.kind).order
    state = {
        f"weight_ih{suffix}": stack_gates(op.weight_ih, order),
        f"weight_hh{suffix}": stack_gates(op.weight_hh, order),
    }
    if op.bias_ih is not None:
        bias = stack_gates(op.bias_ih, order)
        second = np.zeros_like(bias) if op.bias_hh is None else stack_gates(op.bias_hh, order)
        state |= {f"bias_ih{suffix}": bias, f"bias_hh{suffix}": second}
    return state


def state_layer(op: Recurrent) -> StateDict:
    """The ``state_dict`` of a layer of one direction."""
    if isinstance(op, ops.StackedRNN):
        return {
            f"cells.{number}.{name}": array
            for number, cell in enumerate(op.cells)
            for name, array in state_layer(cell).items()
        }
    assert isinstance(op, Cell)
    native = is_native(op)
    attribute = KINDS.lookup(type(op), op.kind).attribute if native else "cell"
    return {f"{attribute}.{name}": array for name, array in state_cell(op, "_l0" if native else "").items()}


def make_layer(op: Recurrent) -> TorchRecurrent:
    """A layer with the op's settings."""
    scan = {name: getattr(op, name) for name in SCAN_SETTINGS}
    if isinstance(op, ops.StackedRNN):
        return layers.StackedRNN([make_layer(cell) for cell in op.cells], **scan)
    assert isinstance(op, Cell)
    settings = own_settings(op) | {"dropout": op.dropout, "recurrent_dropout": op.recurrent_dropout}
    layer: Any = KINDS.lookup(type(op), op.kind).layer
    return layer(op.input_size, op.hidden_size, bias=op.bias_ih is not None, **settings, **scan)


def read_cell(
    owner: str, inner: nn.RNNBase | TorchCell, kind: Kind, suffix: str, **settings: Any
) -> ops.Cell:
    """The op of one direction of a layer of `torch.nn`, or of one of our cells."""
    names = ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if inner.bias else ()))
    tensors = arrays(owner, {name: getattr(inner, f"{name}{suffix}") for name in names})
    one_bias = kind.op is not ops.GRU or not settings.get("reset_after", True)
    # By bits, because adding -0.0 or dropping it is not the same thing bit for bit.
    if "bias_hh" in tensors and one_bias and not any(tensors["bias_hh"].tobytes()):
        del tensors["bias_hh"]
    weights: dict[str, Any] = {"bias_ih": None, "bias_hh": None}
    weights |= {name: split_gates(array, kind.order) for name, array in tensors.items()}
    size = tensors["weight_ih"].shape[1]
    return build(owner, kind.op, input_size=size, hidden_size=inner.hidden_size, **settings, **weights)


def read_layer(owner: str, layer: TorchRecurrent) -> ops.Recurrent:
    """The op of a layer of one direction."""
    scan = {name: getattr(layer, name) for name in SCAN_SETTINGS}
    if isinstance(layer, layers.StackedRNN):
        cells = [_plain_cell(owner, cell) for cell in layer.cells]
        return build(owner, ops.stacked, cells=cells, **scan)
    assert isinstance(layer, OneCell)
    return _read_one(owner, layer, scan)


def _plain_cell(owner: str, layer: nn.Module) -> ops.Cell:
    """A layer of a stack as a cell: its direction and outputs are the stack's affair."""
    assert isinstance(layer, OneCell)
    return _read_one(owner, layer, {})


def _read_one(owner: str, layer: OneCell, scan: dict[str, Any]) -> ops.Cell:
    kind = KINDS.lookup(type(layer), owner)
    own = ("activation", "recurrent_activation", "reset_after", "dropout", "recurrent_dropout")
    settings = {name: getattr(layer, name) for name in own if hasattr(layer, name)}
    suffix = "_l0" if isinstance(layer.inner, nn.RNNBase) else ""
    return read_cell(owner, layer.inner, kind, suffix, **settings, **scan)


def write_call(
    op: Recurrent | ops.Bidirectional,
    build_layer: Any,
    writer: GraphWriter,
    inputs: Inputs,
    masks: Masks,
) -> Outputs:
    """``self.layer(x, mask=mask, states=(h, c))``; several outputs are taken apart by index."""
    x, *states = inputs
    keywords = {"mask": masks[0], "states": tuple(states) or None}
    result = writer.module(build_layer, x, **keywords)
    count = op.output_count
    return (result,) if count == 1 else tuple(writer.call(operator.getitem, result, i) for i in range(count))


def read_call(call: LayerCall, op: Recurrent | ops.Bidirectional) -> Any:
    """What a call of a layer gives: one value, or several."""
    x, mask, states = call.arguments("x", mask=None, states=None)
    inputs = [call.value(part) for part in (x, *(states or ()))]
    masks = [None if mask is None else call.value(mask), *[None] * (len(inputs) - 1)]
    outputs = call.emit(op, inputs, masks)
    return outputs if op.output_count > 1 else outputs[0]
