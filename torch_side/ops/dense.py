"""`ops.Dense` <-> `torch.nn.Linear` and the activation after it."""

from __future__ import annotations

from torch import fx, nn

from biport import ops
from torch_side.reading.fx_reader import Bound, FxReader, arrays, build
from torch_side.registry import Inputs, Masks, Outputs, StateDict, reads, states, writes
from torch_side.shared.activations import is_keras, spelled, write_activation
from torch_side.writing.graph_writer import GraphWriter


@states(ops.Dense)
def state_dense(op: ops.Dense) -> StateDict:
    """The ``state_dict`` of the `nn.Linear`: ``(O, I)`` and ``(O,)``."""
    return {"weight": op.weight} | ({} if op.bias is None else {"bias": op.bias})


def linear(op: ops.Dense) -> nn.Linear:
    """An `nn.Linear` of the op's sizes."""
    return nn.Linear(op.input_size, op.output_size, bias=op.bias is not None)


@writes(ops.Dense)
def write_dense(op: ops.Dense, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``torch.sigmoid(self.dense(x))``, or the like for the other activations."""
    return (write_activation(writer, op.activation, writer.module(linear, inputs[0])),)


@reads(nn.Linear)
def read_dense(reader: FxReader, node: fx.Node) -> Bound:
    """An `nn.Linear` together with the activation that is its only use."""
    module, owner = reader.module(node), reader.owner(node)
    weights = arrays(owner, {"weight": module.weight, "bias": module.bias})
    (x,) = reader.arguments(node, "input")
    source = reader.value(node, x)
    then = reader.only_user(node)
    activation = None if then is None else _activation(reader, then, reader.rank(source))
    op = build(
        owner,
        ops.Dense,
        input_size=module.in_features,
        output_size=module.out_features,
        activation=activation or "linear",
        **weights,
    )
    (output,) = reader.emit(node, op, [source])
    if then is not None and activation:
        reader.bound[then] = output
    return output


def _activation(reader: FxReader, node: fx.Node, rank: int | None) -> str | None:
    """The activation that ``node`` is, if it is one of Keras'."""
    spelling = spelled(reader, node)
    return spelling[0] if spelling and is_keras(*spelling, rank) else None
