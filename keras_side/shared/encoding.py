"""What lookups and bins make of their ids where they do not give them: vectors, by nodes of their own."""

from __future__ import annotations

import numpy as np

from biport import ops
from biport.config import Config
from biport.errors import FileError, shown
from biport.graph import Node
from biport.ops.preprocessing import ENCODINGS
from keras_side.policies import dtype_name
from keras_side.records import LayerRecord

TF_IDF = "tf_idf"
OLDER_NAMES = {"binary": "multi_hot", "tf-idf": TF_IDF}
LOOKUPS = ("IntegerLookup", "StringLookup", "TextVectorization")


def encoding_mode(record: LayerRecord, config: Config, mode: str) -> str:
    """How a layer encodes ids of the shape it is built for; what is not supported is refused."""
    mode = OLDER_NAMES.get(mode, mode)
    weighted = mode == TF_IDF and record.class_name in LOOKUPS
    mode = "count" if weighted else mode
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


def vectors_dtype(record: LayerRecord) -> str:
    """Of the vectors that a layer gives."""
    return "float64" if dtype_name(record.config.get("dtype")) == "float64" else "float32"


def encodes(record: LayerRecord) -> bool:
    """Whether a layer makes vectors of its ids."""
    return (
        record.class_name in (*LOOKUPS, "Discretization") and record.config.get("output_mode", "int") != "int"
    )


def encoding_nodes(record: LayerRecord, op: ops.Op, name: str) -> list[Node]:
    """The nodes behind a lookup or bins called ``name``, where those give vectors; the last gives them."""
    if not encodes(record):
        return []
    match op:
        case ops.IntegerLookup():
            known = op.num_oov_indices + len(op.vocabulary)
            return vectors(record, name, name, known, skipped=op.first_unknown)
        case ops.Discretization():
            return vectors(record, name, name, len(op.boundaries) + 1)
    return []


def vectors(record: LayerRecord, name: str, ids: str, count: int, skipped: int = 0) -> list[Node]:
    """The nodes that make vectors of ids.

    Args:
        record: the layer.
        name: what theirs begin with.
        ids: the value that they are of.
        count: how many ids there are.
        skipped: how many more there are in front of them that count nowhere.

    Raises:
        FileError: the layer has not a weight for each.
    """
    with Config(record.owner, {}) as config:
        mode = encoding_mode(record, config, record.config["output_mode"])
    size, dtype = vector_size(record, count), vectors_dtype(record)
    encoded = ops.CategoryEncoding(num_tokens=skipped + size, output_mode=mode, float_dtype=dtype)
    nodes = [Node(f"{name}.encoding", encoded, (ids,))]
    if skipped:
        rank = len(record.input_shape) + 1 if mode == "one_hot" else 2
        items = (*[(None, None, 1)] * (rank - 1), (skipped, None, 1))
        nodes.append(Node(f"{name}.known", ops.Slice(items=items), nodes[-1].outputs))
    if _is_weighted(record):
        weights = ops.Constant(value=_idf(record, count, size).astype(dtype))
        nodes.append(Node(f"{name}.idf", weights, ()))
        factors = (nodes[-2].outputs[0], f"{name}.idf")
        nodes.append(Node(f"{name}.tf_idf", ops.Elementwise(function="multiply"), factors))
    return nodes


def vector_size(record: LayerRecord, count: int) -> int:
    """V of a layer that has ``count`` ids, which may have room for more."""
    padded = record.config.get("pad_to_max_tokens") and record.class_name in LOOKUPS
    return max(count, record.config["max_tokens"]) if padded else count


def _is_weighted(record: LayerRecord) -> bool:
    mode = record.config["output_mode"]
    return OLDER_NAMES.get(mode, mode) == TF_IDF


def _idf(record: LayerRecord, count: int, size: int) -> np.ndarray:
    """How much each id counts: as stored, or as Keras makes them of those that the layer was given.

    Source: keras/src/layers/preprocessing/index_lookup.py of 3.15, ``set_vocabulary``.
    """
    stored = record.variables.own_array("idf_weights")
    if stored is None:
        given = record.config.get("idf_weights")
        if not isinstance(given, list) or not all(isinstance(one, int | float) for one in given):
            raise FileError(f"{record.owner}: idf_weights should be a list of numbers, found {shown(given)}")
        numbers = np.array(given, "float64")
        unknown = count - len(numbers)
        front = np.full(max(unknown, 0), numbers.mean() if len(numbers) else 0.0)
        stored = np.concatenate([front, numbers, np.zeros(max(size - count, 0))]).astype("float32")
    if stored.shape != (size,):
        raise FileError(f"{record.owner}: idf_weights should be {size} numbers, found {stored.shape}")
    return stored
