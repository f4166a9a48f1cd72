"""What the writers and readers of torch's recurrent layers share.

All layers have torch's own weights: gates stacked in torch's order, ``(G·H, I)`` and ``(G·H, H)``, and two
biases. A single bias goes to ``bias_ih`` beside zeros; a second bias of zeros that only ever acts in the sum
of both is read as none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from torch import nn

from biport import ops
from biport.gates import split_gates, stack_gates
from biport.ops import Cell
from biport.registry import Registry
from torch_side import layers
from torch_side.reading.layer_call import arrays, build
from torch_side.registry import StateDict
from torch_side.shared.activations import ACTIVATION_MODULES

NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


@dataclass(frozen=True)
class Kind:
    """One kind of cell: its op, torch's layer, ours under masks and in a loop, and the order of its gates."""

    op: type[Cell]
    native: Callable[..., nn.RNNBase]
    masked: Callable[..., nn.RNNBase]
    looped: Callable[..., nn.RNNBase]
    order: str


KINDS: Registry[type, Kind] = Registry("recurrent layer")
"""By op and by class of layer."""

for _kind in (
    # torch.nn.LSTM stacks i f g o; its g is the cell candidate c.
    Kind(ops.LSTM, nn.LSTM, layers.MaskedLSTM, layers.LoopedLSTM, "ifco"),
    # torch.nn.GRU stacks r z n; its n is the candidate h.
    Kind(ops.GRU, nn.GRU, layers.MaskedGRU, layers.LoopedGRU, "rzh"),
    Kind(ops.RNN, nn.RNN, layers.MaskedRNN, layers.LoopedRNN, "h"),
):
    KINDS.register(*cast(list[type], [_kind.op, _kind.native, _kind.masked, _kind.looped]))(_kind)


def is_native(op: Cell) -> bool:
    """Whether `torch.nn` has the cell, and drops nothing of its state in training."""
    if op.recurrent_dropout:
        return False
    if isinstance(op, ops.RNN):
        return op.activation in ("tanh", "relu")
    return (op.activation, op.recurrent, getattr(op, "reset_after", True)) == ("tanh", "sigmoid", True)


def state_cell(op: Cell, suffix: str = "_l0") -> StateDict:
    """The tensors of one direction under torch's names, ``weight_ih_l0`` and so on."""
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


def layer_of(op: Cell, masked: bool, bidirectional: bool = False, zero_output: bool = True) -> nn.RNNBase:
    """The layer that computes a cell: torch's own unless it is masked or torch lacks it.

    Args:
        op: its direction and what it returns are the statements' affair.
        masked: whether it is called with a mask.
        bidirectional: whether it has a second direction.
        zero_output: whether the output is zero at masked steps.
    """
    kind = KINDS.lookup(type(op), op.kind)
    sizes = op.input_size, op.hidden_size
    settings: dict[str, Any] = {} if op.bias_ih is not None else {"bias": False}
    if isinstance(op, ops.RNN) and is_native(op) and op.activation != "tanh":
        settings["nonlinearity"] = op.activation
    if not is_native(op):
        return kind.looped(*sizes, **settings, **_looped_settings(op, zero_output))
    settings |= {"bidirectional": True} if bidirectional else {}
    if masked:
        return kind.masked(*sizes, **settings, **_zero(zero_output))
    return kind.native(*sizes, batch_first=True, **settings)


def _zero(zero_output: bool) -> dict[str, bool]:
    return {} if zero_output else {"zero_output_for_mask": False}


def _looped_settings(op: Cell, zero_output: bool) -> dict[str, Any]:
    given = {"activation": (op.activation, "tanh")}
    if not isinstance(op, ops.RNN):
        given["recurrent_activation"] = (op.recurrent, "sigmoid")
    settings: dict[str, Any] = {
        name: ACTIVATION_MODULES[value]() for name, (value, default) in given.items() if value != default
    }
    settings |= {"reset_after": False} if isinstance(op, ops.GRU) and not op.reset_after else {}
    settings |= {name: rate for name in ("dropout", "recurrent_dropout") if (rate := getattr(op, name))}
    return settings | _zero(zero_output)


def read_cell(owner: str, layer: nn.RNNBase, direction: str = "", **settings: Any) -> ops.Cell:
    """The op of one direction of a layer: ``""`` or ``"_reverse"``."""
    kind = KINDS.lookup(type(layer), owner)
    names = NAMES if layer.bias else NAMES[:2]
    tensors = arrays(owner, {name: getattr(layer, f"{name}_l0{direction}") for name in names})
    return cell_of(owner, kind, tensors, **settings)


def cell_of(owner: str, kind: Kind, tensors: dict[str, Any], **settings: Any) -> ops.Cell:
    """The op of these `NAMES` of tensors."""
    one_bias = kind.op is not ops.GRU or not settings.get("reset_after", True)
    # By bits, because adding -0.0 or dropping it is not the same thing bit for bit.
    if "bias_hh" in tensors and one_bias and not any(tensors["bias_hh"].tobytes()):
        del tensors["bias_hh"]
    weights: dict[str, Any] = {"bias_ih": None, "bias_hh": None}
    weights |= {name: split_gates(array, kind.order) for name, array in tensors.items()}
    size, hidden = tensors["weight_ih"].shape[1], tensors["weight_hh"].shape[1]
    return build(owner, kind.op, input_size=size, hidden_size=hidden, **settings, **weights)


def freeze_second_biases(layer: nn.RNNBase, directions: Sequence[Cell]) -> None:
    """Have training leave second biases alone that are zeros because the op has one: they stay zeros."""
    for op, suffix in zip(directions, ("_l0", "_l0_reverse"), strict=False):
        if op.bias_ih is not None and op.bias_hh is None:
            layer.get_parameter(f"bias_hh{suffix}").requires_grad_(False)


def summed_biases(module: nn.Module) -> Iterator[tuple[nn.Parameter, nn.Parameter]]:
    """The second biases in a module that only ever act in a sum, and the first of each.

    The reset gate of a GRU acts on the second one alone.
    """
    for layer in module.modules():
        if isinstance(layer, nn.GRU) and getattr(layer, "reset_after", True):
            continue
        if isinstance(layer, nn.RNNBase):
            for name, second in layer.named_parameters(recurse=False):
                if name.startswith("bias_hh"):
                    yield second, layer.get_parameter(name.replace("bias_hh", "bias_ih"))
