"""Keras' layers in front of a model <-> `ops.CategoryEncoding` and `ops.IntegerLookup`; they end the mask."""

from __future__ import annotations

from typing import Any

from biport import ops
from biport.errors import FileError, shown
from biport.ops.preprocessing import ENCODINGS
from keras_side.records import LayerRecord, WrittenLayer, dtype_name
from keras_side.registry import reads, writes


@reads("CategoryEncoding")
def read_category_encoding(record: LayerRecord) -> ops.CategoryEncoding:
    """Read a CategoryEncoding.

    One that is built for rows of one id makes one vector of it, whatever its mode.
    """
    with record.settings() as config:
        num_tokens = config.take("num_tokens", int)
        mode = config.take("output_mode", str, default="multi_hot")
        mode = "multi_hot" if mode == "binary" else mode
        if mode not in ENCODINGS:
            config.refuse("output_mode", mode, ENCODINGS)
            mode = ENCODINGS[0]
        config.require(sparse=False)
        rank = len(record.input_shape)
        if mode == "one_hot" and not rank:
            config.refuse("output_mode", mode, "multi_hot or count, where the file says no shape")
        if mode != "one_hot" and rank not in (0, 2):
            # Over one axis Keras puts all rows together, and over three it adds up the second.
            config.refuse("output_mode", f"{mode} of {rank} dimensions", "(N, T)")
        one = rank > 1 and record.input_shape[-1] == 1
        if mode == "one_hot" and one and rank > 2:
            config.refuse("output_mode", f"one_hot of one id in {rank} dimensions", "(N, 1), or (N, ..., T)")
    return ops.CategoryEncoding(
        num_tokens=num_tokens,
        output_mode="multi_hot" if one and mode == "one_hot" else mode,
        float_dtype="float64" if dtype_name(record.config.get("dtype")) == "float64" else "float32",
    )


@writes(ops.CategoryEncoding)
def write_category_encoding(op: ops.CategoryEncoding) -> WrittenLayer:
    """Write a CategoryEncoding."""
    return WrittenLayer("CategoryEncoding", {"num_tokens": op.num_tokens, "output_mode": op.output_mode})


@reads("IntegerLookup")
def read_integer_lookup(record: LayerRecord) -> ops.IntegerLookup:
    """Read an IntegerLookup with a vocabulary."""
    with record.settings() as config:
        count = config.take("num_oov_indices", int, default=1)
        mask_token = config.take("mask_token", (int, type(None)), default=None)
        oov_token = config.take("oov_token", (int, type(None)), default=-1)
        tokens = config.take("vocabulary", (list, tuple, type(None)), default=None)
        config.choose("output_mode", ["int"], default="int")
        config.choose("oov_method", ["floormod"], default="floormod")
        config.require(invert=False, sparse=False, idf_weights=None, vocabulary_dtype="int64", salt=None)
        config.ignore("max_tokens", "pad_to_max_tokens", "vocabulary_size", "has_input_vocabulary")
        if tokens is None:
            supported = "one given to the layer: IntegerLookup(vocabulary=layer.get_vocabulary())"
            config.refuse("vocabulary", "adapted", supported)
        if count < 1:
            config.refuse("num_oov_indices", count, "1 or more: others raise in the middle of a model")
    assert tokens is not None
    return ops.IntegerLookup(
        vocabulary=_without_special(record.owner, tokens, mask_token, [oov_token] * count),
        num_oov_indices=count,
        mask_token=mask_token,
    )


def _without_special(owner: str, tokens: Any, mask_token: int | None, unknown: list) -> tuple[int, ...]:
    """The tokens without those that a vocabulary may have in front, mask and all.

    Raises:
        FileError: some are no integers.
    """
    if not all(isinstance(token, int) and not isinstance(token, bool) for token in tokens):
        raise FileError(f"{owner}: the vocabulary should be integers, found {shown(tokens)}")
    special = [*([] if mask_token is None else [mask_token]), *unknown]
    return tuple(tokens[len(special) :] if list(tokens[: len(special)]) == special else tokens)


@writes(ops.IntegerLookup)
def write_integer_lookup(op: ops.IntegerLookup) -> WrittenLayer:
    """Write an IntegerLookup; the token for others is one that the vocabulary does not begin with."""
    return WrittenLayer(
        class_name="IntegerLookup",
        config={
            "vocabulary": list(op.vocabulary),
            "num_oov_indices": op.num_oov_indices,
            "mask_token": op.mask_token,
            "oov_token": None,
        },
    )
