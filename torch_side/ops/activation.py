"""Activations <-> calls such as `torch.tanh`, or modules; torch's modules and methods are read too."""

from __future__ import annotations

from typing import Any

from torch import fx, nn

from biport import ops
from biport.errors import UnsupportedError
from torch_side import layers
from torch_side.reading.fx_reader import Bound, FxReader, arrays, build
from torch_side.registry import Inputs, Masks, Outputs, StateDict, reads, states, writes
from torch_side.shared.activations import NAMES, call_activation, is_keras, keras_parameters, spelled
from torch_side.shared.in_place import check_inplace
from torch_side.writing.graph_writer import GraphWriter

LAYERS = (nn.ELU, nn.LeakyReLU, nn.ReLU, nn.ReLU6, nn.Softmax)
"""Modules that have ops of their own; a function is `ops.Activation` where its parameters are Keras'."""


@writes(ops.Activation)
def write_activation(op: ops.Activation, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``torch.tanh(x)``."""
    return (call_activation(writer, op.function, inputs[0]),)


@reads(*(target for target in NAMES if target not in LAYERS))
def read_activation(reader: FxReader, node: fx.Node) -> Bound:
    """An activation that no layer took along."""
    source = reader.value(node, node.all_input_nodes[0])
    spelling = spelled(reader, node)
    assert spelling is not None
    name, settings = spelling
    check_inplace(reader, node, settings.get("inplace", False))
    if is_keras(name, settings, reader.rank(source)):
        op: ops.Op = build(reader.owner(node), ops.Activation, function=name)
    else:
        op = _with_parameters(reader, node, name, settings)
    return reader.emit(node, op, [source])[0]


def _with_parameters(reader: FxReader, node: fx.Node, name: str, settings: dict[str, Any]) -> ops.Op:
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
    wanted = keras_parameters(name)
    key = next(key for key in settings if key != "_stacklevel" and settings[key] != wanted[key])
    raise UnsupportedError(owner, key, settings[key], repr(wanted[key]))


def relu(op: ops.ReLU) -> nn.Module:
    """Torch's own module where there is one."""
    match op.max_value, op.negative_slope, op.threshold:
        case None, 0, 0:
            return nn.ReLU()
        case 6, 0, 0:
            return nn.ReLU6()
    return layers.ReLU(op.max_value, op.negative_slope, op.threshold)


@writes(ops.ReLU)
def write_re_lu(op: ops.ReLU, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``self.re_lu(x)``."""
    return (writer.module(relu, inputs[0]),)


@reads(nn.ReLU, nn.ReLU6)
def read_re_lu(reader: FxReader, node: fx.Node) -> Bound:
    """Torch's modules."""
    top = 6.0 if isinstance(reader.module(node), nn.ReLU6) else None
    return _read_module(reader, node, ops.ReLU, max_value=top)


@reads(layers.ReLU)
def read_own_re_lu(reader: FxReader, node: fx.Node) -> Bound:
    """The layer."""
    module = reader.module(node)
    fields = {name: getattr(module, name) for name in ("max_value", "negative_slope", "threshold")}
    op = build(reader.owner(node), ops.ReLU, **fields)
    (x,) = reader.arguments(node, "x")
    return reader.emit(node, op, [reader.value(node, x)])[0]


@writes(ops.LeakyReLU)
def write_leaky_re_lu(op: ops.LeakyReLU, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``self.leaky_re_lu(x)``."""
    return (writer.module(lambda op: nn.LeakyReLU(op.negative_slope), inputs[0]),)


@reads(nn.LeakyReLU)
def read_leaky_re_lu(reader: FxReader, node: fx.Node) -> Bound:
    """The layer."""
    return _read_module(reader, node, ops.LeakyReLU, negative_slope=reader.module(node).negative_slope)


@writes(ops.ELU)
def write_elu(op: ops.ELU, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``self.elu(x)``."""
    return (writer.module(lambda op: nn.ELU(op.alpha), inputs[0]),)


@reads(nn.ELU)
def read_elu(reader: FxReader, node: fx.Node) -> Bound:
    """The layer."""
    return _read_module(reader, node, ops.ELU, alpha=reader.module(node).alpha)


def _read_module(reader: FxReader, node: fx.Node, kind: type[ops.Op], **fields: Any) -> Bound:
    """A module of torch that may write over its input."""
    check_inplace(reader, node, reader.module(node).inplace)
    op = build(reader.owner(node), kind, **fields)
    (x,) = reader.arguments(node, "input")
    return reader.emit(node, op, [reader.value(node, x)])[0]


@states(ops.PReLU)
def state_p_re_lu(op: ops.PReLU) -> StateDict:
    """The ``state_dict`` of the layer."""
    return {"weight": op.alpha}


@writes(ops.PReLU)
def write_p_re_lu(op: ops.PReLU, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``self.p_re_lu(x)``."""
    return (writer.module(lambda op: layers.PReLU(op.alpha.shape), inputs[0]),)


@reads(layers.PReLU)
def read_p_re_lu(reader: FxReader, node: fx.Node) -> Bound:
    """The layer."""
    owner = reader.owner(node)
    alpha = arrays(owner, {"alpha": reader.module(node).weight})
    (x,) = reader.arguments(node, "x")
    return reader.emit(node, build(owner, ops.PReLU, **alpha), [reader.value(node, x)])[0]


@reads(nn.PReLU)
def read_torch_p_re_lu(reader: FxReader, node: fx.Node) -> Bound:
    """Torch's module: one slope, or one for each size of the second axis."""
    owner = reader.owner(node)
    (x,) = reader.arguments(node, "input")
    source = reader.value(node, x)
    rank = reader.rank(source)
    if rank is None:
        raise UnsupportedError(owner, "input", f"{source} of unknown shape", "read(module, inputs=[...])")
    alpha = arrays(owner, {"alpha": reader.module(node).weight})["alpha"]
    shape = (alpha.size,) + (1,) * (rank - 2)
    return reader.emit(node, build(owner, ops.PReLU, alpha=alpha.reshape(shape)), [source])[0]


@writes(ops.Softmax)
def write_softmax(op: ops.Softmax, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``self.softmax(x)``, or ``self.softmax(x, mask=mask)``."""
    if masks[0] is None and isinstance(op.axis, int):
        return (writer.module(lambda op: nn.Softmax(op.axis), inputs[0]),)
    return (writer.module(lambda op: layers.Softmax(op.axis), inputs[0], mask=masks[0]),)


@reads(nn.Softmax)
def read_softmax(reader: FxReader, node: fx.Node) -> Bound:
    """Torch's module; its old habit of choosing an axis is refused."""
    dim = reader.module(node).dim
    if dim is None:
        raise UnsupportedError(reader.owner(node), "dim", None, "an axis")
    op = build(reader.owner(node), ops.Softmax, axis=dim)
    (x,) = reader.arguments(node, "input")
    return reader.emit(node, op, [reader.value(node, x)])[0]


@reads(layers.Softmax)
def read_own_softmax(reader: FxReader, node: fx.Node) -> Bound:
    """The layer."""
    op = build(reader.owner(node), ops.Softmax, axis=reader.module(node).dim)
    x, mask = reader.arguments(node, "x", mask=None)
    masks = [None if mask is None else reader.value(node, mask)]
    return reader.emit(node, op, [reader.value(node, x)], masks)[0]
