"""`ops.Activation` <-> a call such as `torch.tanh`; modules and methods for it are read too."""

from __future__ import annotations

from typing import Any

from torch import fx, nn

from biport import ops
from biport.errors import UnsupportedError
from torch_side.activations import NAMES, SPELLINGS, is_keras, spelled
from torch_side.ops.in_place import check_inplace
from torch_side.reader import Bound, Reader, build
from torch_side.registry import reads, writes
from torch_side.writer import Writer

LAYERS = (nn.ELU, nn.LeakyReLU, nn.ReLU, nn.ReLU6, nn.Softmax)
"""Modules that have ops of their own; a function is `ops.Activation` where its parameters are Keras'."""


@writes(ops.Activation)
def write_activation(
    op: ops.Activation, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``torch.tanh(x)``."""
    spelling = SPELLINGS[op.function]
    return (writer.call(spelling.function, inputs[0], **spelling.settings),)


@reads(*(target for target in NAMES if target not in LAYERS))
def read_activation(reader: Reader, node: fx.Node) -> Bound:
    """An activation that no layer took along."""
    source = reader.value(node, node.all_input_nodes[0])
    found = spelled(reader, node)
    assert found is not None
    name, settings = found
    check_inplace(reader, node, settings.get("inplace", False))
    if is_keras(name, settings, reader.rank(source)):
        op: ops.Op = build(reader.owner(node), ops.Activation, function=name)
    else:
        op = _relative(reader, node, name, settings)
    return reader.emit(node, op, [source])[0]


def _relative(reader: Reader, node: fx.Node, name: str, settings: dict[str, Any]) -> ops.Op:
    """The op for an activation with parameters of its own.

    Raises:
        UnsupportedError: there is none.
    """
    owner = reader.owner(node)
    match name, settings:
        case "leaky_relu", {"negative_slope": slope}:
            return build(owner, ops.LeakyReLU, negative_slope=slope)
        case "elu", {"alpha": alpha}:
            return build(owner, ops.ELU, alpha=alpha)
        case "softmax", {"dim": int(dim), "dtype": None}:
            return build(owner, ops.Softmax, axis=dim)
        case "hard_tanh", {"min_val": 0 | 0.0, "max_val": top}:
            return build(owner, ops.ReLU, max_value=top)
    wanted = {**SPELLINGS[name].defaults, **SPELLINGS[name].settings}
    key = next(key for key in settings if key != "_stacklevel" and settings[key] != wanted[key])
    raise UnsupportedError(owner, key, settings[key], repr(wanted[key]))
