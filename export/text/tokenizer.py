"""`biport.data.whitespace_ids` as ONNX nodes in front of a model: strings in, the model's outputs out."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx_ir as ir

from biport.analysis.padding import masked_axes
from biport.data.vocabulary import PAD, PAD_ID, UNK, UNK_ID, Vocabulary
from biport.data.whitespace import SEPARATORS
from biport.errors import InputError, UnsupportedError
from biport.graph import Graph
from export.onnx.builder import Builder, Scope
from export.onnx.label_encoder import DOMAIN, VERSION, label_encoder
from export.text.string_nodes import counted, divided, free_prefix, starts, strings, sums

OPSET = 20
"""The first with ``StringSplit``."""
NAME = "texts"


def add_tokenizer(model: ir.Model, graph: Graph, vocabulary: Vocabulary | None) -> None:
    """Make ``model``, written of ``graph``, take strings ``(N,)`` in place of its ids.

    Raises:
        InputError: there is no vocabulary.
        UnsupportedError: its tokens are characters or stand between ``<start>`` and ``<end>``; or the model
            takes ids of fixed length or sees padding, so that a text's outputs would hang on those beside it.
    """
    if vocabulary is None:
        raise InputError("embedding the tokeniser needs a vocabulary")
    _check(graph, vocabulary)
    (ids,) = model.graph.inputs
    names = {value.name for node in model.graph.all_nodes() for value in node.outputs if value.name}
    names |= {name for name in model.graph.initializers if name} | {str(ids.name)}
    builder = Builder(names)
    texts = ir.Value(
        name=builder.value_name(NAME), shape=ir.Shape(["N"]), type=ir.TensorType(ir.DataType.STRING)
    )
    scope = builder.scope(free_prefix(model))
    wide = scope("Cast", _ids(scope, texts, vocabulary), to=int(ids.dtype or ir.DataType.INT64))
    ids.replace_all_uses_with(wide)
    model.graph.inputs[:] = [texts]
    first = model.graph[0]
    model.graph.insert_before(first, builder.nodes)
    for value in builder.constants.values():
        model.graph.register_initializer(value)
    model.graph.opset_imports.update({"": OPSET, DOMAIN: VERSION})
    # They name the ids as an input, which they no longer are.
    model.metadata_props.pop("biport.values", None)
    described = [{"name": texts.name, "shape": ["N"], "dtype": "str", "ids": None}]
    model.metadata_props.update(
        {"biport.inputs": json.dumps(described), "biport.needs_steps": "{}", "biport.tokenizer": "whitespace"}
    )


def fitted_vocabulary(graph: Graph) -> Vocabulary | None:
    """The vocabulary of words that the one tokeniser of a graph is of, where it is of such."""
    if len(graph.tokenizers) != 1:
        return None
    (tokenizer,) = graph.tokenizers.values()
    try:
        vocabulary = Vocabulary((PAD, UNK, *tokenizer.tokens))
    except InputError:
        return None
    return vocabulary if vocabulary.tokenizer() == tokenizer else None


def _check(graph: Graph, vocabulary: Vocabulary) -> None:
    owner = "embedding the tokeniser"
    if vocabulary.unit != "word":
        raise UnsupportedError(owner, "unit", vocabulary.unit, "a vocabulary of words")
    if vocabulary.ends:
        raise UnsupportedError(owner, "ends", True, "a vocabulary without <start> and <end>")
    if masked_axes(graph) is None:
        supported = "a model that masks id 0 everywhere, of one input (N, T)"
        raise UnsupportedError(owner, "model", "one that sees padding", supported)
    (ids,) = graph.inputs
    if isinstance(ids.shape[1], int):
        raise UnsupportedError(owner, "T", ids.shape[1], "a length that varies")


def _ids(scope: Scope, texts: ir.Value, vocabulary: Vocabulary) -> ir.Value:
    """Ids ``(N, T)``, int64, T the tokens of the longest text and 1 at least, padded with 0 on the right.

    An empty text is put behind the others and its row taken off at the end: StringNormalizer refuses an
    empty tensor, and there is no largest of no lengths.
    """
    empty = np.array([""], object)
    more = scope("Concat", texts, strings(scope, empty, "empty"), axis=0)
    # The locale "C" is on every machine, and in it only A to Z have small letters.
    pieces = scope("StringNormalizer", more, case_change_action="LOWER", locale="C")
    N = scope("Shape", more)
    rows = scope("Range", 0, scope("Squeeze", N), 1)
    # onnxruntime 1.31 splits at blanks alone where no delimiter is named.
    for separator in reversed(SEPARATORS):
        pieces, rows = divided(scope, pieces, rows, separator)
    ids = _looked_up(scope, pieces, vocabulary)
    counts = sums(scope, N, rows)
    # A text without tokens is one unknown one.
    lengths = scope("Max", counts, scope.constant(np.array([1], "int64"), "one"))
    T = scope("ReduceMax", lengths, keepdims=1)
    background = _background(scope, N, T, counts)
    positions = scope("Sub", counted(scope, rows), scope("Gather", starts(scope, counts), rows))
    where = scope("Concat", scope("Unsqueeze", rows, [1]), scope("Unsqueeze", positions, [1]), axis=1)
    table = scope("ScatterND", background, where, ids)
    return scope("Slice", table, [0], [-1], [0])


def _looked_up(scope: Scope, tokens: ir.Value, vocabulary: Vocabulary) -> ir.Value:
    known: dict[str, Any] = {
        token: number for number, token in enumerate(vocabulary.tokens) if number > UNK_ID
    } or {vocabulary.tokens[UNK_ID]: UNK_ID}
    return label_encoder(
        scope,
        tokens,
        keys_strings=list(known),
        values_int64s=list(known.values()),
        default_int64=UNK_ID,
    )


def _background(scope: Scope, N: ir.Value, T: ir.Value, counts: ir.Value) -> ir.Value:
    """Padding ``(N, T)``, but for an unknown token in front of rows that have none."""
    first = scope("Equal", scope("Range", 0, scope("Squeeze", T), 1), 0)
    lonely = scope("Unsqueeze", scope("Equal", counts, 0), [1])
    filled = scope(
        "Expand", scope("And", lonely, scope("Unsqueeze", first, [0])), scope("Concat", N, T, axis=0)
    )
    return scope("Where", filled, UNK_ID, PAD_ID)
