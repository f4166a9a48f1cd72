"""`ops.LSTM` <-> `torch_side.layers.LSTM`; a plain `torch.nn.LSTM` is read by `torch_side.idioms`."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import fx, nn

from biport import ops
from biport.gates import split_gates, stack_gates
from torch_side import layers
from torch_side.reader import Bound, Reader, arrays, build
from torch_side.registry import State, reads, states, writes
from torch_side.writer import Writer

ORDER = "ifco"  # torch.nn.LSTM stacks i f g o; its g is the cell candidate c


def state_half(op: ops.LSTM, suffix: str = "l0") -> State:
    """The tensors of one direction of an `nn.LSTM`; a single bias goes to ``bias_ih`` beside zeros."""
    state = {
        f"lstm.weight_ih_{suffix}": stack_gates(op.weight_ih, ORDER),
        f"lstm.weight_hh_{suffix}": stack_gates(op.weight_hh, ORDER),
    }
    if op.bias_ih is not None:
        bias = stack_gates(op.bias_ih, ORDER)
        state[f"lstm.bias_ih_{suffix}"] = bias
        state[f"lstm.bias_hh_{suffix}"] = (
            np.zeros_like(bias) if op.bias_hh is None else stack_gates(op.bias_hh, ORDER)
        )
    return state


def read_half(owner: str, lstm: nn.LSTM, suffix: str = "l0", **settings: Any) -> ops.LSTM:
    """One direction of one layer of an `nn.LSTM`; a second bias of zeros is read as none."""
    names = ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if lstm.bias else ()))
    found = arrays(owner, {name: getattr(lstm, f"{name}_{suffix}") for name in names})
    # By bits, because adding -0.0 or dropping it is not the same thing bit for bit.
    if "bias_hh" in found and not any(found["bias_hh"].tobytes()):
        del found["bias_hh"]
    weights: dict[str, Any] = {"bias_ih": None, "bias_hh": None}
    weights |= {name: split_gates(array, ORDER) for name, array in found.items()}
    size = found["weight_ih"].shape[1]
    return build(owner, ops.LSTM, input_size=size, hidden_size=lstm.hidden_size, **settings, **weights)


@states(ops.LSTM)
def state_lstm(op: ops.LSTM) -> State:
    """The ``state_dict`` of the layer."""
    return state_half(op)


def lstm(op: ops.LSTM) -> layers.LSTM:
    """A layer with the op's settings."""
    settings = op.settings()
    return layers.LSTM(
        settings.pop("input_size"), settings.pop("hidden_size"), bias=op.bias_ih is not None, **settings
    )


@writes(ops.LSTM)
def write_lstm(
    op: ops.LSTM, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.lstm(x, mask=mask)``."""
    return (writer.module(lstm, inputs[0], mask=masks[0]),)


@reads(layers.LSTM)
def read_lstm(reader: Reader, node: fx.Node) -> Bound:
    """One layer, one direction."""
    layer = reader.module(node)
    names = ("reverse", "return_sequences", "zero_output_for_mask", "dropout", "recurrent_dropout")
    op = read_half(reader.owner(node), layer.lstm, **{name: getattr(layer, name) for name in names})
    x, mask = reader.arguments(node, "x", mask=None)
    masks = [None if mask is None else reader.value(node, mask)]
    return reader.emit(node, op, [reader.value(node, x)], masks)[0]
