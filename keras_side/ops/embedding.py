"""Keras ``Embedding`` <-> `ops.Embedding`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from biport import ops
from keras_side.masks import Mask, Unequal
from keras_side.records import LayerRecord, WrittenLayer, WrittenOperation
from keras_side.registry import reads, writes


def _mask(
    op: ops.Op, name: str, inputs: Sequence[str], masks: Sequence[Mask | None]
) -> Sequence[Mask | None]:
    assert isinstance(op, ops.Embedding)
    return (Unequal(inputs[0], 0, f"{name}_mask") if op.mask_zero else None,)


@reads("Embedding", masks=_mask)
def read_embedding(record: LayerRecord) -> ops.Embedding:
    """Read an Embedding; its table is ``(V, O)``, as in the graph."""
    with record.settings() as config:
        num_embeddings = config.take("input_dim", int)
        embedding_dim = config.take("output_dim", int)
        mask_zero = config.take("mask_zero", bool, default=False)
        config.ignore("input_length", "weights")
    return ops.Embedding(
        num_embeddings=num_embeddings,
        embedding_dim=embedding_dim,
        mask_zero=mask_zero,
        weight=record.variables.take(["embeddings"])["embeddings"],
    )


@writes(ops.ToIds)
def write_to_ids(op: ops.ToIds) -> WrittenOperation:
    """Write what Keras does to floats in front of a table."""

    def apply(keras: Any, x: Any) -> Any:
        return keras.ops.cast(x, "int32")

    return WrittenOperation(apply)


@writes(ops.Embedding)
def write_embedding(op: ops.Embedding) -> WrittenLayer:
    """Write an Embedding; of a ``padding_idx`` Keras knows nothing, and trains that row too."""
    return WrittenLayer(
        class_name="Embedding",
        config={
            "input_dim": op.num_embeddings,
            "output_dim": op.embedding_dim,
            "mask_zero": op.mask_zero,
        },
        weights=[op.weight],
    )
