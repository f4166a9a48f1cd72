"""`ops.Dense` <-> `torch.nn.Linear` and the activation after it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import fx, nn
from torch.nn import functional

from biport import ops
from biport.errors import UnsupportedError
from torch_side.reader import Bound, Reader, arrays, build
from torch_side.registry import State, reads, states, writes
from torch_side.writer import Writer

SPELLINGS: dict[object, str] = {
    spelling: name
    for name, spellings in {
        "sigmoid": (torch.sigmoid, functional.sigmoid, "sigmoid", nn.Sigmoid),
        "tanh": (torch.tanh, functional.tanh, "tanh", nn.Tanh),
        "relu": (torch.relu, functional.relu, "relu", nn.ReLU),
        "softmax": (torch.softmax, functional.softmax, "softmax", nn.Softmax),
    }.items()
    for spelling in spellings
}
FUNCTIONS: dict[str, Callable] = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}


@states(ops.Dense)
def state_dense(op: ops.Dense) -> State:
    """The ``state_dict`` of the `nn.Linear`: ``(O, I)`` and ``(O,)``."""
    return {"weight": op.weight} | ({} if op.bias is None else {"bias": op.bias})


def linear(op: ops.Dense) -> nn.Linear:
    """An `nn.Linear` of the op's sizes."""
    return nn.Linear(op.input_size, op.output_size, bias=op.bias is not None)


@writes(ops.Dense)
def write_dense(
    op: ops.Dense, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``torch.sigmoid(self.dense(x))``, or the like for the other activations."""
    z = writer.module(linear, inputs[0])
    match op.activation:
        case "linear":
            return (z,)
        case "softmax":
            return (writer.call(torch.softmax, z, dim=-1),)
        case _:
            return (writer.call(FUNCTIONS[op.activation], z),)


@reads(nn.Linear)
def read_dense(reader: Reader, node: fx.Node) -> Bound:
    """An `nn.Linear` together with the activation that is its only use."""
    module, owner = reader.module(node), reader.owner(node)
    weights = arrays(owner, {"weight": module.weight, "bias": module.bias})
    (x,) = reader.arguments(node, "input")
    then = reader.only_user(node)
    activation = None if then is None else _activation(reader, then)
    op = build(
        owner,
        ops.Dense,
        input_size=module.in_features,
        output_size=module.out_features,
        activation=activation or "linear",
        **weights,
    )
    (made,) = reader.emit(node, op, [reader.value(node, x)])
    if then is not None and activation:
        _check_dim(reader, then, rank=len(reader.tensors[made].shape))
        reader.bound[then] = made
    return made


@reads(*SPELLINGS)  # type: ignore[arg-type]
def read_activation(reader: Reader, node: fx.Node) -> Bound:
    """An activation that `read_dense` did not take along: there is no op for it alone."""
    # If what comes before could not be read, that is the problem, not this.
    reader.look(node.all_input_nodes[0])
    raise UnsupportedError(reader.owner(node), supported="an activation as the only use of an nn.Linear")


def _activation(reader: Reader, node: fx.Node) -> str | None:
    target = type(reader.module(node)) if node.op == "call_module" else node.target
    return SPELLINGS.get(target)


def _check_dim(reader: Reader, node: fx.Node, rank: int) -> None:
    """Refuse arguments that change what the activation computes."""
    if _activation(reader, node) == "softmax":
        if node.op == "call_module":
            dim = reader.module(node).dim
        else:
            _, dim, dtype, _ = reader.arguments(node, "x", dim=None, dtype=None, _stacklevel=3)
            reader.require(node, dtype=(dtype, None))
        if dim not in (-1, rank - 1):
            raise UnsupportedError(reader.owner(node), "dim", dim, "-1, the last dimension")
    elif node.op != "call_module":
        reader.arguments(node, "x", inplace=False)
