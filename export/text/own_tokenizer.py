"""A model's own tokenisers, `biport.text.Tokenizer`, as ONNX nodes in front of it: strings in."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from biport.dims import plain
from biport.errors import UnsupportedError
from biport.graph import Graph, Value
from biport.text.inputs import source_names
from biport.text.standardize import PUNCTUATION, lowers, strips
from biport.text.tokenizer import WHITESPACE, Tokenizer
from export.onnx.builder import Builder, Scope
from export.onnx.label_encoder import DOMAIN, VERSION, label_encoder
from export.text.string_nodes import counted, divided, free_prefix, starts, strings, sums

OPSET = 20
"""The first with ``StringSplit``, ``StringConcat`` and ``RegexFullMatch``."""
UNWRITTEN = ("normalizers", "filters", "padding", "truncating", "max_length", "start", "end", "ids", "added")
"""Settings that no nodes are written of."""
UNMARKED = r"[^!-/:-@\[-`{-~]*"
"""A text without any of `PUNCTUATION`."""


def add_own_tokenizers(model: ir.Model, graph: Graph) -> None:
    """Make ``model``, written of ``graph``, take strings in place of the ids that are made of them.

    Raises:
        UnsupportedError: a tokeniser divides at every character, or takes no unknown tokens: ONNX has no
            operators for that.
    """
    for name, tokenizer in graph.tokenizers.items():
        _check(name, tokenizer)
    ids = {str(value.name): value for value in model.graph.inputs}
    names = {value.name for node in model.graph.all_nodes() for value in node.outputs if value.name}
    names |= {name for name in model.graph.initializers if name}
    builder = Builder(names | ids.keys() - {one.source for one in graph.tokenizers.values()})
    prefix = free_prefix(model)
    described = json.loads(model.metadata_props["biport.inputs"])
    texts: dict[str, ir.Value] = {}
    for value in graph.inputs:
        if value.name in graph.tokenizers:
            tokenizer = graph.tokenizers[value.name]
            given = texts.setdefault(tokenizer.source, _input(tokenizer, value))
            own = _ids(builder.scope(f"{prefix}/{value.name}"), given, tokenizer, value)
            ids[value.name].replace_all_uses_with(own)
    sources = source_names([value.name for value in graph.inputs], graph.tokenizers)
    model.graph.inputs[:] = [texts.get(name) or ids[name] for name in sources]
    model.graph.insert_before(model.graph[0], builder.nodes)
    for constant in builder.constants.values():
        model.graph.register_initializer(constant)
    model.graph.opset_imports.update({"": OPSET, DOMAIN: VERSION})
    # They name the ids as inputs, which they no longer are.
    model.metadata_props.pop("biport.values", None)
    numbers = {entry["name"]: entry for entry in described if entry["name"] not in graph.tokenizers}
    entries = [_described(texts[name]) if name in texts else numbers[name] for name in sources]
    steps = json.loads(model.metadata_props["biport.needs_steps"])
    known = {name: count for name, count in steps.items() if name in numbers}
    model.metadata_props.update(
        {
            "biport.inputs": json.dumps(entries),
            "biport.needs_steps": json.dumps(known),
            "biport.tokenizer": "keras",
        }
    )


def _check(name: str, tokenizer: Tokenizer) -> None:
    owner = f"embedding the tokeniser of input {name!r}"
    if tokenizer.split not in ("whitespace", "none"):
        raise UnsupportedError(
            owner, "split", tokenizer.split, "whitespace: ONNX divides texts at delimiters alone"
        )
    known = {one.name: one.default for one in dataclasses.fields(Tokenizer)}
    for name in UNWRITTEN:
        if getattr(tokenizer, name) != known[name]:
            raise UnsupportedError(owner, name, getattr(tokenizer, name), repr(known[name]))
    if tokenizer.standardize == "unicode_lower":
        raise UnsupportedError(owner, "standardize", "unicode_lower", "lower: ONNX knows ASCII alone")
    if tokenizer.unknown_id is None:
        raise UnsupportedError(owner, "num_oov_indices", 0, "1: ONNX has no operator that refuses a token")


def _input(tokenizer: Tokenizer, value: Value) -> ir.Value:
    """The input of texts: ``(N,)``, or what has the rank of the ids where texts are tokens already."""
    shape = plain(value.shape) if tokenizer.split == "none" else ("N",)
    if tokenizer.split == "none" and (tokenizer.ngrams or tokenizer.length is not None):
        shape = ("N", f"{tokenizer.source}_tokens")
    return ir.Value(name=tokenizer.source, shape=ir.Shape(shape), type=ir.TensorType(ir.DataType.STRING))


def _described(text: ir.Value) -> dict[str, object]:
    assert text.shape is not None
    shape = [dim if isinstance(dim, int) else str(dim.value) for dim in text.shape]
    return {"name": text.name, "shape": shape, "dtype": "str", "ids": None}


def _ids(scope: Scope, texts: ir.Value, tokenizer: Tokenizer, value: Value) -> ir.Value:
    """The ids, int64, of the shape of ``value``."""
    if tokenizer.split == "whitespace":
        return _of_texts(scope, texts, tokenizer)
    return _of_tokens(scope, texts, tokenizer, len(value.shape))


def _of_texts(scope: Scope, texts: ir.Value, tokenizer: Tokenizer) -> ir.Value:
    """Ids ``(N, T)`` of texts ``(N,)``.

    An empty text is put behind the others and its row taken off at the end: StringNormalizer refuses an
    empty tensor, and there is no largest of no lengths.
    """
    more = scope("Concat", texts, _text(scope, [""]), axis=0)
    N = scope("Shape", more)
    tokens, rows = _lowered(scope, more, tokenizer), counted(scope, more)
    for separator in WHITESPACE:
        tokens, rows = divided(scope, tokens, rows, separator)
    if strips(tokenizer.standardize):
        whole = _without_marks(scope, tokens)
        left = scope("NonZero", scope("Not", scope("Equal", whole, _text(scope, ""))))
        left = scope("Squeeze", left, [0])
        tokens, rows = scope("Gather", whole, left), scope("Gather", rows, left)
    counts = sums(scope, N, rows)
    grams = _grams(scope, tokens, rows, counts, tokenizer.ngrams or (1,))
    looked_up, owners, positions, totals = grams
    ids = _looked_up(scope, looked_up, tokenizer)
    if tokenizer.length is None:
        T = scope("ReduceMax", totals, keepdims=1)
    else:
        T = scope.constant(np.array([tokenizer.length], "int64"), "length")
        inside = scope("Squeeze", scope("NonZero", scope("Less", positions, tokenizer.length)), [0])
        ids, owners, positions = (scope("Gather", part, inside) for part in (ids, owners, positions))
    background = scope("Expand", tokenizer.padding_id, scope("Concat", N, T, axis=0))
    where = scope("Concat", scope("Unsqueeze", owners, [1]), scope("Unsqueeze", positions, [1]), axis=1)
    return scope("Slice", scope("ScatterND", background, where, ids), [0], [-1], [0])


def _of_tokens(scope: Scope, tokens: ir.Value, tokenizer: Tokenizer, rank: int) -> ir.Value:
    """Ids of tokens ``(N,)`` or ``(N, T)``."""
    flat = scope("Concat", scope("Reshape", tokens, [-1]), _text(scope, [""]), axis=0)
    flat = _lowered(scope, flat, tokenizer)
    if strips(tokenizer.standardize):
        flat = _without_marks(scope, flat)
    flat = scope("Slice", flat, [0], [-1], [0])
    table = scope("Reshape", flat, scope("Shape", tokens), allowzero=1)
    if tokenizer.ngrams:
        parts = [_joined(scope, table, size, axis=1) for size in tokenizer.ngrams]
        table = scope("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
    ids = _looked_up(scope, table, tokenizer)
    if tokenizer.length is None:
        return ids
    cut = scope("Slice", ids, [0], [tokenizer.length], [1])
    missing = scope("Sub", tokenizer.length, scope("Gather", scope("Shape", cut), [1]))
    pads = scope("Concat", scope.constant(np.zeros(3, "int64"), "none"), missing, axis=0)
    return scope("Pad", cut, pads, tokenizer.padding_id)


def _text(scope: Scope, text: str | list[str]) -> ir.Value:
    return strings(scope, np.array(text, object), "text")


def _lowered(scope: Scope, texts: ir.Value, tokenizer: Tokenizer) -> ir.Value:
    """With small letters for A to Z: in the locale "C", which is on every machine, only those have any."""
    if not lowers(tokenizer.standardize):
        return texts
    return scope("StringNormalizer", texts, case_change_action="LOWER", locale="C")


def _without_marks(scope: Scope, tokens: ir.Value) -> ir.Value:
    """Tokens ``(P,)`` without the marks of ASCII; most have none, and stay."""
    marked = scope("Not", scope("RegexFullMatch", tokens, pattern=UNMARKED))
    where = scope("Transpose", scope("NonZero", marked))
    return scope("ScatterND", tokens, where, _stripped(scope, scope("GatherND", tokens, where)))


def _stripped(scope: Scope, tokens: ir.Value) -> ir.Value:
    """Tokens ``(P,)`` divided at each of the marks, and put together again."""
    P = scope("Shape", tokens)
    parts, owners = tokens, counted(scope, tokens)
    for mark in PUNCTUATION:
        parts, owners = divided(scope, parts, owners, mark)
    counts = sums(scope, P, owners)
    positions = scope("Sub", counted(scope, owners), scope("Gather", starts(scope, counts), owners))
    K = scope("ReduceMax", scope("Concat", counts, [0], axis=0), keepdims=1)
    background = scope("Expand", _text(scope, ""), scope("Concat", P, K, axis=0))
    where = scope("Concat", scope("Unsqueeze", owners, [1]), scope("Unsqueeze", positions, [1]), axis=1)
    table = scope("ScatterND", background, where, parts)
    return _put_together(scope, table, P, K)


def _put_together(scope: Scope, table: ir.Value, P: ir.Value, K: ir.Value) -> ir.Value:
    """The texts of each row of ``(P, K)`` as one."""
    builder = scope.builder.body()
    step = builder.scope(f"{scope.name}/put_together")

    def given(name: str, dtype: ir.DataType, shape: Sequence[str]) -> ir.Value:
        full = builder.value_name(f"{step.name}/{name}")
        return ir.Value(name=full, type=ir.TensorType(dtype), shape=ir.Shape(shape))

    number = given("number", ir.DataType.INT64, ())
    going, so_far = given("going", ir.DataType.BOOL, ()), given("so_far", ir.DataType.STRING, ("P",))
    longer = step("StringConcat", so_far, step("Gather", table, number, axis=1))
    longer.type, longer.shape = ir.TensorType(ir.DataType.STRING), ir.Shape(("P",))
    on = step("Identity", going)
    on.type, on.shape = ir.TensorType(ir.DataType.BOOL), ir.Shape(())
    body = ir.Graph([number, going, so_far], [on, longer], nodes=builder.nodes, name=step.name)
    empty = scope("Expand", _text(scope, ""), P)
    return scope("Loop", scope("Squeeze", K), None, empty, body=body)


def _grams(
    scope: Scope, tokens: ir.Value, rows: ir.Value, counts: ir.Value, sizes: Sequence[int]
) -> tuple[ir.Value, ir.Value, ir.Value, ir.Value]:
    """What is looked up of tokens ``(P,)``: texts, the row and the place of each, and how many a row has."""
    there = scope("Sub", counted(scope, rows), scope("Gather", starts(scope, counts), rows))
    if tuple(sizes) == (1,):
        return tokens, rows, there, counts
    texts, owners, positions, totals = [], [], [], scope("Sub", counts, counts)
    for size in sizes:
        first = _cut(scope, rows, 0, size, axis=0)
        last = _cut(scope, rows, size - 1, size, axis=0)
        within = scope("Squeeze", scope("NonZero", scope("Equal", first, last)), [0])
        texts.append(scope("Gather", _joined(scope, tokens, size, axis=0), within))
        owners.append(scope("Gather", first, within))
        own = scope("Gather", there, within)
        positions.append(scope("Add", own, scope("Gather", totals, owners[-1])))
        number = scope("Max", scope("Sub", counts, size - 1), scope.constant(np.zeros(1, "int64"), "zero"))
        totals = scope("Add", totals, number)
    joined = (scope("Concat", *part, axis=0) for part in (texts, owners, positions))
    return (*joined, totals)  # type: ignore[return-value]


def _joined(scope: Scope, tokens: ir.Value, size: int, axis: int) -> ir.Value:
    """Every ``size`` tokens that follow each other, with blanks between."""
    text = _cut(scope, tokens, 0, size, axis)
    for offset in range(1, size):
        text = scope("StringConcat", text, _text(scope, " "))
        text = scope("StringConcat", text, _cut(scope, tokens, offset, size, axis))
    return text


def _cut(scope: Scope, x: ir.Value, offset: int, size: int, axis: int) -> ir.Value:
    """Of a sequence the elements that are ``offset`` from the beginning of ``size`` in turn."""
    left = size - 1 - offset
    end = -left if left else np.iinfo("int64").max
    return scope("Slice", x, [offset], [end], [axis])


def _looked_up(scope: Scope, tokens: ir.Value, tokenizer: Tokenizer) -> ir.Value:
    known = {token: number for number, token in enumerate(tokenizer.tokens, tokenizer.first_id)}
    if tokenizer.mask_token is not None:
        known[tokenizer.mask_token] = tokenizer.padding_id
    return label_encoder(
        scope,
        tokens,
        keys_strings=list(known),
        values_int64s=list(known.values()),
        default_int64=tokenizer.unknown_id,
    )
