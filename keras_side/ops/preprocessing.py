"""Keras' layers in front of a model <-> `ops.CategoryEncoding` and `ops.IntegerLookup`; they end the mask."""

from __future__ import annotations

from typing import Any

from biport import ops
from biport.config import Config
from biport.errors import FileError, shown
from biport.ops.preprocessing import ENCODINGS
from keras_side.policies import dtype_name
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("CategoryEncoding")
def read_category_encoding(record: LayerRecord) -> ops.CategoryEncoding:
    """Read a CategoryEncoding.

    One that is built for rows of one id makes one vector of it, whatever its mode.
    """
    with record.settings() as config:
        num_tokens = config.take("num_tokens", int)
        mode = _mode(record, config, config.take("output_mode", str, default="multi_hot"))
        config.require(sparse=False)
    return ops.CategoryEncoding(
        num_tokens=num_tokens,
        output_mode=mode,
        float_dtype="float64" if dtype_name(record.config.get("dtype")) == "float64" else "float32",
    )


def _mode(record: LayerRecord, config: Config, mode: str) -> str:
    """How a layer encodes ids of the shape it is built for; what is not supported is refused."""
    mode = "multi_hot" if mode == "binary" else mode
    rank = len(record.input_shape)
    one = rank > 1 and record.input_shape[-1] == 1
    if mode not in ENCODINGS:
        config.refuse("output_mode", mode, ENCODINGS)
        return ENCODINGS[0]
    if mode == "one_hot" and not rank:
        config.refuse("output_mode", mode, "multi_hot or count, where the file says no shape")
    if mode != "one_hot" and rank not in (0, 2):
        # Over one axis Keras puts all rows together, and over three it adds up the second.
        config.refuse("output_mode", f"{mode} of {rank} dimensions", "(N, T)")
    if mode == "one_hot" and one and rank > 2:
        config.refuse("output_mode", f"one_hot of one id in {rank} dimensions", "(N, 1), or (N, ..., T)")
    return "multi_hot" if one and mode == "one_hot" else mode


@writes(ops.CategoryEncoding)
def write_category_encoding(op: ops.CategoryEncoding) -> WrittenLayer:
    """Write a CategoryEncoding."""
    return WrittenLayer("CategoryEncoding", {"num_tokens": op.num_tokens, "output_mode": op.output_mode})


@reads("IntegerLookup")
def read_integer_lookup(record: LayerRecord) -> ops.IntegerLookup:
    """Read an IntegerLookup, its vocabulary given or adapted."""
    with record.settings() as config:
        count = config.take("num_oov_indices", int, default=1)
        mask_token = config.take("mask_token", (int, type(None)), default=None)
        oov_token = config.take("oov_token", (int, type(None)), default=-1)
        tokens = config.take("vocabulary", (list, tuple, type(None)), default=None)
        mode = config.take("output_mode", str, default="int")
        if mode != "int":
            _mode(record, config, mode)
            if mask_token is not None:
                config.refuse("mask_token", mask_token, f"None where output_mode is {mode}")
        config.choose("oov_method", ["floormod"], default="floormod")
        config.require(invert=False, sparse=False, idf_weights=None, vocabulary_dtype="int64", salt=None)
        config.ignore("max_tokens", "pad_to_max_tokens", "vocabulary_size", "has_input_vocabulary")
        if count < 1:
            config.refuse("num_oov_indices", count, "1 or more: others raise in the middle of a model")
    if tokens is None:
        tokens = _adapted(record)
    return ops.IntegerLookup(
        vocabulary=_without_special(record.owner, tokens, mask_token, [oov_token] * count),
        num_oov_indices=count,
        mask_token=mask_token,
    )


def _adapted(record: LayerRecord) -> list[int]:
    """The vocabulary that a layer was adapted to.

    Raises:
        FileError: it is no list of integers.
    """
    tokens = record.variables.vocabulary()
    try:
        return [int(token) for token in tokens]
    except ValueError as error:
        raise FileError(
            f"{record.owner}: the vocabulary should be integers, found {shown(tokens)}"
        ) from error


def _without_special(owner: str, tokens: Any, mask_token: int | None, unknown: list) -> tuple[int, ...]:
    """The tokens without those that a vocabulary may have in front, mask and all.

    Raises:
        FileError: some are no integers.
    """
    if not all(isinstance(token, int) and not isinstance(token, bool) for token in tokens):
        raise FileError(f"{owner}: the vocabulary should be integers, found {shown(tokens)}")
    special = [*([] if mask_token is None else [mask_token]), *unknown]
    return tuple(tokens[len(special) :] if list(tokens[: len(special)]) == special else tokens)


def encoding(record: LayerRecord, op: ops.Op) -> ops.CategoryEncoding | None:
    """What a lookup makes of its numbers, where it does not give them: a layer of its own."""
    if not isinstance(op, ops.IntegerLookup) or record.config.get("output_mode", "int") == "int":
        return None
    with Config(record.owner, {}) as config:
        mode = _mode(record, config, record.config["output_mode"])
    size = op.num_oov_indices + len(op.vocabulary)
    if record.config.get("pad_to_max_tokens"):
        size = max(size, record.config["max_tokens"])
    return ops.CategoryEncoding(num_tokens=size, output_mode=mode)


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
