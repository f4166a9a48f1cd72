"""Keras' layers in front of a model <-> `ops.CategoryEncoding`, `Discretization`, `IntegerLookup`."""

from __future__ import annotations

from typing import Any

from biport import ops
from biport.errors import FileError, shown
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes
from keras_side.shared.encoding import encoding_mode, vectors_dtype


@reads("CategoryEncoding")
def read_category_encoding(record: LayerRecord) -> ops.CategoryEncoding:
    """Read a CategoryEncoding.

    One that is built for rows of one id makes one vector of it, whatever its mode.
    """
    with record.settings() as config:
        num_tokens = config.take("num_tokens", int)
        mode = encoding_mode(record, config, config.take("output_mode", str, default="multi_hot"))
        config.require(sparse=False)
    return ops.CategoryEncoding(num_tokens=num_tokens, output_mode=mode, float_dtype=vectors_dtype(record))


@writes(ops.CategoryEncoding)
def write_category_encoding(op: ops.CategoryEncoding) -> WrittenLayer:
    """Write a CategoryEncoding."""
    return WrittenLayer("CategoryEncoding", {"num_tokens": op.num_tokens, "output_mode": op.output_mode})


@reads("IntegerLookup")
def read_integer_lookup(record: LayerRecord) -> ops.IntegerLookup:
    """Read an IntegerLookup, its vocabulary given or adapted; what it makes of the ids is a node of its own.

    Where it gives no ids, its mask token is nothing, and its ids begin with those of unknown tokens. The op
    counts the mask token as 0 there too, and the encoding leaves that out.
    """
    with record.settings() as config:
        count = config.take("num_oov_indices", int, default=1)
        mask_token = config.take("mask_token", (int, type(None)), default=None)
        oov_token = config.take("oov_token", (int, type(None)), default=-1)
        given = config.take("vocabulary", (list, tuple, type(None)), default=None)
        mode = config.take("output_mode", str, default="int")
        if mode != "int":
            encoding_mode(record, config, mode)
        config.choose("oov_method", ["floormod"], default="floormod")
        config.require(invert=False, sparse=False, vocabulary_dtype="int64", salt=None)
        config.ignore("max_tokens", "pad_to_max_tokens", "vocabulary_size", "has_input_vocabulary")
        config.ignore("idf_weights")
        if count < 1:
            config.refuse("num_oov_indices", count, "1 or more: others raise in the middle of a model")
    masks = [mask_token] if mask_token is not None and mode == "int" else []
    tokens = record.variables.vocabulary(given, [*masks, *[oov_token] * count])
    return ops.IntegerLookup(
        vocabulary=_integers(record.owner, tokens), num_oov_indices=count, mask_token=mask_token
    )


def _integers(owner: str, tokens: Any) -> tuple[int, ...]:
    """The tokens as integers; a file has them as text.

    Raises:
        FileError: some are none.
    """
    try:
        numbers = tuple(int(token) if isinstance(token, str) else token for token in tokens)
    except ValueError as error:
        raise FileError(f"{owner}: the vocabulary should be integers, found {shown(tokens)}") from error
    if not all(isinstance(token, int) and not isinstance(token, bool) for token in numbers):
        raise FileError(f"{owner}: the vocabulary should be integers, found {shown(tokens)}")
    return numbers


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


@reads("Discretization")
def read_discretization(record: LayerRecord) -> ops.Discretization:
    """Read a Discretization, its boundaries given or adapted; what it makes of ids is a node of its own."""
    with record.settings() as config:
        boundaries = config.take("bin_boundaries", (list, tuple, type(None)))
        mode = config.take("output_mode", str, default="int")
        if mode != "int":
            encoding_mode(record, config, mode)
        config.require(sparse=False)
        config.ignore("num_bins", "epsilon")
        if not boundaries:
            config.refuse("bin_boundaries", boundaries, "one or more, given or adapted")
    # What older files have of the data that it was adapted to says no more than the boundaries.
    record.variables.own_array("0")
    return ops.Discretization(boundaries=tuple(boundaries))


@writes(ops.Discretization)
def write_discretization(op: ops.Discretization) -> WrittenLayer:
    """Write a Discretization."""
    return WrittenLayer("Discretization", {"bin_boundaries": list(op.boundaries)})
