"""Tables of rows."""

from __future__ import annotations

import numpy as np
from torch import fx

from biport import ops
from torch_side.reading.aten_call import AtenCall
from torch_side.reading.layer_call import build
from torch_side.registry import reads_aten


@reads_aten("embedding.default")
def read_embedding(call: AtenCall) -> str:
    """`nn.Embedding`."""
    padding = call["padding_idx"]
    return _looked_up(call, call.value("indices"), None if padding < 0 else padding)


def _looked_up(call: AtenCall, ids: str, padding: int | None) -> str:
    """The rows of a table; a layer, unless the table is computed or also used in another way."""
    if not call.is_static("weight") or call.is_shared("weight"):
        if padding is not None and call.is_shared("weight"):
            call.note(
                f"padding_idx={padding} of a weight that is used elsewhere too: training changes that row"
            )
        return call.apply(ops.Take(axis=0), call.value("weight"), ids)
    weight = call.array("weight")
    assert weight is not None
    op = build(
        call.owner,
        ops.Embedding,
        num_embeddings=weight.shape[0],
        embedding_dim=weight.shape[1],
        padding_idx=padding,
        weight=weight,
    )
    return call.apply(op, ids, key=("embedding", call["weight"], padding))


@reads_aten("embedding_renorm.default", "embedding_renorm_.default")
def read_renorm(call: AtenCall) -> str:
    """Never: it writes into the weights."""
    raise call.refuse("max_norm", call["max_norm"], "None: a forward pass that leaves the table as it is")


MODES = ("sum", "mean", "max")


@reads_aten("embedding_bag.padding_idx", "embedding_bag.default", "_embedding_bag.default",
            "_embedding_bag_forward_only.default")  # fmt: skip
def read_embedding_bag(call: AtenCall) -> tuple[str, ...]:
    """`nn.EmbeddingBag`: sums, means or maxima of rows, of bags of one length."""
    padding = call.arguments.get("padding_idx")
    padding = None if padding is None or padding < 0 else padding
    bags = _bags(call)
    if bags is None:
        raise call.refuse("offsets", "bags of ids in a row", "ids (N, T), a bag a row")
    ids = call.value(bags)
    rows = _looked_up(call, ids, padding)
    counted = None if padding is None else call.compute("not_equal", ids, call.like(padding, ids))
    weights = None
    if call.has("per_sample_weights"):
        weights = call.apply(ops.ReshapeTo(shape=call.tensor(ids).shape), call.value("per_sample_weights"))
    return (_reduced(call, rows, counted, weights),)


def _bags(call: AtenCall) -> fx.Node | None:
    """The ids ``(N, T)``, of which torch makes a row of ids and the offsets of bags of T."""
    indices, offsets = call["indices"], call["offsets"]
    if str(indices.target) not in ("aten.view.default", "aten.reshape.default"):
        return None
    source = indices.args[0]
    if not isinstance(source, fx.Node) or len(source.meta["val"].shape) != 2:
        return None
    if str(offsets.target) != "aten.arange.start_step" or call.arguments.get("include_last_offset"):
        return None
    total, length = call.reader.shape_of(indices)[0], call.reader.shape_of(source)[1]
    given = [call.size(argument) for argument in offsets.args[:3]]
    return source if given == [0, total, length] else None


def _reduced(call: AtenCall, rows: str, counted: str | None, weights: str | None) -> str:
    """``(N, T, O)`` to ``(N, O)``."""
    mode = MODES[call["mode"]]
    zero = call.like(0, rows)
    wide = None if counted is None else call.apply(ops.ExpandDims(axes=(2,)), counted)
    if weights is not None:
        rows = call.compute("multiply", rows, call.apply(ops.ExpandDims(axes=(2,)), weights))
    if wide is None:
        layer = {"mean": ops.GlobalAveragePooling1D(), "max": ops.GlobalMaxPooling1D()}
        return call.apply(layer.get(mode, ops.Reduction(function="sum", axes=(1,))), rows)
    if mode == "max":
        kept = call.apply(ops.Where(), wide, rows, call.like(-np.inf, rows))
        largest = call.apply(ops.Reduction(function="max", axes=(1,)), kept)
        some = call.apply(ops.Reduction(function="any", axes=(1,)), wide)
        return call.apply(ops.Where(), some, largest, zero)
    total = call.apply(ops.Reduction(function="sum", axes=(1,)), call.apply(ops.Where(), wide, rows, zero))
    if mode == "sum":
        return total
    ones = call.cast(wide, call.dtype(rows))
    return _mean(call, total, call.apply(ops.Reduction(function="sum", axes=(1,)), ones))


def _mean(call: AtenCall, total: str, count: str) -> str:
    return call.compute("divide", total, call.compute("maximum", count, call.like(1, count)))
