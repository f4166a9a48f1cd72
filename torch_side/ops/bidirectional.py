"""`ops.Bidirectional` <-> `torch_side.layers.Bidirectional`, one bidirectional `torch.nn.LSTM` inside."""

from __future__ import annotations

import operator

from torch import fx

from biport import ops
from biport.errors import UnsupportedError, raise_unsupported
from torch_side import layers
from torch_side.ops.lstm import read_half, state_half
from torch_side.reader import Bound, Reader, build
from torch_side.registry import State, reads, states, writes
from torch_side.writer import Writer


@states(ops.Bidirectional)
def state_bidirectional(op: ops.Bidirectional) -> State:
    """The ``state_dict`` of the layer."""
    return {**state_half(op.forward, "l0"), **state_half(op.backward, "l0_reverse")}


def bidirectional(op: ops.Bidirectional) -> layers.Bidirectional:
    """A layer with the op's settings."""
    return layers.Bidirectional(
        op.forward.input_size,
        op.forward.hidden_size,
        bias=op.forward.bias_ih is not None,
        return_sequences=op.forward.return_sequences,
        merge=op.merge,
        dropout=op.forward.dropout,
        recurrent_dropout=op.forward.recurrent_dropout,
    )


@writes(ops.Bidirectional)
def write_bidirectional(
    op: ops.Bidirectional, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.bidirectional(x, mask=mask)``; two outputs with ``merge=None``.

    Raises:
        UnsupportedError: the halves differ in what one `torch.nn.LSTM` has once.
    """
    _check_halves(op, writer.owner)
    made = writer.module(bidirectional, inputs[0], mask=masks[0])
    if op.merge is not None:
        return (made,)
    return writer.call(operator.getitem, made, 0), writer.call(operator.getitem, made, 1)


def _check_halves(op: ops.Bidirectional, owner: str) -> None:
    problems = []
    for name in ("hidden_size", "dropout", "recurrent_dropout", "bias"):
        one, two = (
            half.bias_ih is not None if name == "bias" else getattr(half, name)
            for half in (op.forward, op.backward)
        )
        if one != two:
            found = f"{one} forward, {two} backward"
            problems.append(UnsupportedError(owner, name, found, "the same for both halves"))
    raise_unsupported(owner, problems)


@reads(layers.Bidirectional)
def read_bidirectional(reader: Reader, node: fx.Node) -> Bound:
    """Both halves, and how they are merged."""
    layer, owner = reader.module(node), reader.owner(node)
    settings = {name: getattr(layer, name) for name in ("return_sequences", "dropout", "recurrent_dropout")}
    settings["zero_output_for_mask"] = layer.return_sequences
    op = build(
        owner,
        ops.Bidirectional,
        forward=read_half(owner, layer.lstm, "l0", **settings),
        backward=read_half(owner, layer.lstm, "l0_reverse", reverse=True, **settings),
        merge=layer.merge,
    )
    x, mask = reader.arguments(node, "x", mask=None)
    masks = [None if mask is None else reader.value(node, mask)]
    made = reader.emit(node, op, [reader.value(node, x)], masks)
    return made if layer.merge is None else made[0]
