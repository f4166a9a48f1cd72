"""A model's tokenisers, `biport.text.Tokenizer`, as ONNX nodes in front of it: strings in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from biport.dims import plain
from biport.errors import InputError
from biport.graph import Graph, Value
from biport.text.characters import Characters, common
from biport.text.characters import refused as not_among
from biport.text.inputs import Tokenizers, source_names, to_data
from biport.text.tokenizer import Tokenizer
from biport.version import __version__
from export.onnx.builder import Builder, Scope, data_type, typed
from export.onnx.label_encoder import DOMAIN, VERSION, label_encoder
from export.onnx.target import target_of
from export.onnx.versions import NEWEST_IR, stamp
from export.publish import PRODUCER
from export.text.plan import Plan, plan_of
from export.text.refusals import UNKNOWN
from export.text.string_nodes import (
    Parts,
    counted,
    positions,
    refused,
    scatter,
    sums,
    where,
    without,
)
from export.text.token_nodes import grams, only_known, standardized, tokens_of

OPSET = 20
"""The first with ``StringSplit``, ``StringConcat`` and ``RegexFullMatch``."""
NONE = -1
"""The id of a token that has none."""


def embed_tokenizers(model: ir.Model, graph: Graph, *, refuse_characters: bool = False) -> list[str]:
    """Make ``model``, written of ``graph``, take strings in place of the ids that are made of them.

    Returns:
        What is worth knowing of the file, a line each.

    Raises:
        InputError: nothing says how ids are made of texts.
        UnsupportedError: ONNX has no operators for what a tokeniser does, see `export.text.plan`.
    """
    if not graph.tokenizers:
        raise InputError("embedding the tokeniser needs a vocabulary")
    plans = plans_of(graph.tokenizers, refuse_characters)
    ids = {str(value.name): value for value in model.graph.inputs}
    names = {value.name for node in model.graph.all_nodes() for value in node.outputs if value.name}
    names |= {name for name in model.graph.initializers if name}
    builder = Builder(names | ids.keys() - {one.source for one in graph.tokenizers.values()})
    texts, own = _written(builder, _free_prefix(model), graph.inputs, graph.tokenizers, plans)
    for name, value in own.items():
        ids[name].replace_all_uses_with(value)
    sources = source_names([value.name for value in graph.inputs], graph.tokenizers)
    model.graph.inputs[:] = [texts.get(name) or ids[name] for name in sources]
    model.graph.insert_before(model.graph[0], builder.nodes)
    for constant in builder.constants.values():
        model.graph.register_initializer(constant)
    model.graph.opset_imports.update({"": OPSET, DOMAIN: VERSION})
    # They name the ids as inputs, which they no longer are.
    model.metadata_props.pop("biport.values", None)
    described = json.loads(model.metadata_props["biport.inputs"])
    numbers = {entry["name"]: entry for entry in described if entry["name"] not in graph.tokenizers}
    entries = [_described(texts[name]) if name in texts else numbers[name] for name in sources]
    characters = _characters(graph.tokenizers, plans)
    if characters:
        model.metadata_props["biport.characters"] = json.dumps(characters)
    steps = json.loads(model.metadata_props["biport.needs_steps"])
    model.metadata_props.update(
        {
            "biport.inputs": json.dumps(entries),
            "biport.needs_steps": json.dumps({name: n for name, n in steps.items() if name in numbers}),
            "biport.needs_tokens": json.dumps({name: n for name, n in steps.items() if name in ids}),
        }
    )
    return [
        f"input {name!r}: texts with characters that ONNX's operators have no tables for, such as "
        f"{_some(known)}, are an error when the file runs"
        for name, known in characters.items()
    ]


def _characters(tokenizers: Tokenizers, plans: Mapping[str, Plan]) -> dict[str, Characters]:
    """By inputs of texts the characters that they may have, where it is not all."""
    known: dict[str, Characters] = {}
    for name, plan in plans.items():
        source = tokenizers[name].source
        if plan.characters is not None:
            known[source] = common(known[source], plan.characters) if source in known else plan.characters
    return known


def _some(characters: Characters) -> str:
    """A few of those that are not among them."""
    return " ".join(not_among(characters, "\u00c9\u0130\u03a9\u0416\u2122\u4e2d"))


def tokenizer_model(values: Sequence[Value], tokenizers: Tokenizers, names: Mapping[str, str]) -> ir.Model:
    """A model of the tokenisers alone: texts in, ids out.

    Args:
        values: inputs of a model of ids.
        tokenizers: of those of them that are made of texts.
        names: by their names what the ids are called, which texts are not.

    Raises:
        UnsupportedError: as `embed_tokenizers`.
    """
    plans = plans_of(tokenizers, False)
    builder = Builder({*names.values(), *(one.source for one in tokenizers.values())})
    texts, ids = _written(builder, "tokenizer", values, tokenizers, plans)
    outputs = []
    for value in values:
        if value.name in ids:
            output = builder.scope("tokenizer")("Identity", ids[value.name])
            output.name = names[value.name]
            outputs.append(typed(output, value.tensor))
    graph = ir.Graph(
        list(texts.values()),
        outputs,
        nodes=builder.nodes,
        initializers=list(builder.constants.values()),
        opset_imports={"": OPSET, DOMAIN: VERSION},
        name="tokenizer",
    )
    model = ir.Model(graph, ir_version=NEWEST_IR, producer_name=PRODUCER, producer_version=__version__)
    carried = json.dumps(to_data(tokenizers))
    model.metadata_props.update(
        {"biport.version": __version__, "biport.route": "fused", "biport.tokenizers": carried}
    )
    stamp(model, target_of(None, None, None))
    return model


def plans_of(tokenizers: Tokenizers, refuse_characters: bool) -> dict[str, Plan]:
    """How the operators do what each of them does; raises like `embed_tokenizers`."""
    return {name: plan_of(one, name, refuse_characters) for name, one in tokenizers.items()}


def _written(
    builder: Builder, prefix: str, values: Sequence[Value], tokenizers: Tokenizers, plans: Mapping[str, Plan]
) -> tuple[dict[str, ir.Value], dict[str, ir.Value]]:
    """The inputs of texts by their names, and the ids that are made of them by theirs."""
    texts: dict[str, ir.Value] = {}
    ids: dict[str, ir.Value] = {}
    for value in values:
        if value.name in tokenizers:
            tokenizer = tokenizers[value.name]
            text = text_value(tokenizer, value)
            kind = ir.TensorType(ir.DataType.STRING)
            new = ir.Value(name=text.name, shape=ir.Shape(plain(text.shape)), type=kind)
            given = texts.setdefault(text.name, new)
            scope = builder.scope(f"{prefix}/{value.name}")
            own = _ids(scope, given, tokenizer, plans[value.name], len(value.shape))
            wide = value.dtype == "int64"
            ids[value.name] = own if wide else scope("Cast", own, to=int(data_type(value.dtype)))
    return texts, ids


def _free_prefix(model: ir.Model) -> str:
    """``tokenizer``, with a number behind it where a node of the model is called so."""
    names = [node.name or "" for node in model.graph.all_nodes()]
    prefix, number = "tokenizer", 1
    while any(name.startswith(f"{prefix}/") for name in names):
        number += 1
        prefix = f"tokenizer_{number}"
    return prefix


def text_value(tokenizer: Tokenizer, value: Value) -> Value:
    """The input of texts that are made ``value``: ``(N,)``, or of its rank where they are tokens already."""
    shape = value.shape if tokenizer.split == "none" else ("N",)
    if tokenizer.split == "none" and len(shape) > 1 and not _one_id_a_token(tokenizer):
        shape = ("N", f"{tokenizer.source}_tokens")
    return Value(tokenizer.source, shape, "str")


def _described(text: ir.Value) -> dict[str, object]:
    assert text.shape is not None
    shape = [dim if isinstance(dim, int) else str(dim.value) for dim in text.shape]
    return {"name": text.name, "shape": shape, "dtype": "str", "ids": None}


def _one_id_a_token(tokenizer: Tokenizer) -> bool:
    """Whether a row of tokens has an id for each of them, in its place, and nothing else."""
    drops = tokenizer.unknown_id is None and not tokenizer.refuses
    ends = (tokenizer.start, tokenizer.end, tokenizer.length, tokenizer.max_length)
    return not tokenizer.ngrams and not drops and all(end is None for end in ends)


def _ids(scope: Scope, texts: ir.Value, tokenizer: Tokenizer, plan: Plan, rank: int) -> ir.Value:
    """The ids, int64, of ``rank``."""
    if tokenizer.split == "none":
        return _of_tokens(scope, texts, tokenizer, plan, rank)
    N = scope("Shape", texts)
    tokens, rows = tokens_of(scope, texts, plan)
    tokens, rows = grams(scope, tokens, rows, N, tokenizer.ngrams or (1,))
    return _table(scope, *_looked_up(scope, tokens, rows, tokenizer), N, tokenizer)


def _of_tokens(scope: Scope, tokens: ir.Value, tokenizer: Tokenizer, plan: Plan, rank: int) -> ir.Value:
    """Ids of tokens ``(N,)`` or ``(N, T)``."""
    flat = scope("Reshape", tokens, [-1])
    if plan.characters is not None:
        flat = only_known(scope, flat, plan)
    flat = standardized(scope, flat, plan)
    if rank == 1 or _one_id_a_token(tokenizer):
        ids, _ = _looked_up(scope, flat, flat, tokenizer)
        return scope("Reshape", ids, scope("Shape", tokens), allowzero=1)
    sizes = scope("Shape", tokens)
    N, T = (scope("Slice", sizes, [axis], [axis + 1]) for axis in (0, 1))
    rows = scope("Expand", scope("Unsqueeze", scope("Range", 0, scope("Squeeze", N), 1), [1]), sizes)
    rows = scope("Reshape", rows, [-1])
    flat, rows = grams(scope, flat, rows, N, tokenizer.ngrams or (1,))
    return _table(scope, *_looked_up(scope, flat, rows, tokenizer), N, tokenizer, T)


def _looked_up(scope: Scope, tokens: ir.Value, rows: ir.Value, tokenizer: Tokenizer) -> Parts:
    """The ids of tokens, those dropped that have none."""
    default = NONE if tokenizer.unknown_id is None else tokenizer.unknown_id
    known = dict(tokenizer.known) or {"": default}
    ids = label_encoder(
        scope,
        tokens,
        keys_strings=list(known),
        values_int64s=list(known.values()),
        default_int64=default,
    )
    if tokenizer.unknown_id is not None:
        return ids, rows
    unknown = scope("Less", ids, 0)
    if tokenizer.refuses:
        return refused(scope, ids, unknown, UNKNOWN), rows
    return without(scope, ids, rows, unknown)


def _table(
    scope: Scope,
    ids: ir.Value,
    rows: ir.Value,
    N: ir.Value,
    tokenizer: Tokenizer,
    steps: ir.Value | None = None,
) -> ir.Value:
    """Rows of ids ``(P,)``, cut, between their ends, and padded: ``(N, T)``.

    Args:
        steps: of rows of tokens how many these are, so that no rows at all have as many ids as others.
    """
    counts = sums(scope, N, rows)
    columns = positions(scope, rows, counts)
    ends = [number for number in (tokenizer.start, tokenizer.end) if number is not None]
    limits = [size for size in (tokenizer.length, tokenizer.max_length) if size is not None]
    if limits:
        room = scope.constant(np.array([min(limits) - len(ends)], "int64"), "room")
        if tokenizer.truncating == "pre":
            over = scope("Max", scope("Sub", counts, room), scope.constant(np.zeros(1, "int64"), "zero"))
            columns = scope("Sub", columns, scope("Gather", over, rows))
        inside = scope("And", scope("Less", columns, room), scope("GreaterOrEqual", columns, 0))
        kept = where(scope, inside)
        ids, rows, columns = (scope("Gather", part, kept) for part in (ids, rows, columns))
        counts = scope("Min", counts, room)
    totals = scope("Add", counts, len(ends)) if ends else counts
    T = _width(scope, totals, tokenizer, steps)
    # How far the first of a row's own ids stands from the left.
    shift = scope("Sub", T, totals) if tokenizer.padding == "pre" else scope("Sub", totals, totals)
    start = 0 if tokenizer.start is None else 1
    columns = scope("Add", scope("Add", columns, scope("Gather", shift, rows)), start)
    table = scope("Expand", tokenizer.padding_id, scope("Concat", N, T, axis=0))
    table = scatter(scope, table, rows, columns, ids)
    every = counted(scope, counts)
    if tokenizer.start is not None:
        table = scatter(scope, table, every, shift, scope("Expand", tokenizer.start, N))
    if tokenizer.end is not None:
        behind = scope("Add", scope("Add", shift, counts), start)
        table = scatter(scope, table, every, behind, scope("Expand", tokenizer.end, N))
    return table


def _width(scope: Scope, totals: ir.Value, tokenizer: Tokenizer, steps: ir.Value | None) -> ir.Value:
    """T, ``(1,)``."""
    if tokenizer.length is not None:
        return scope.constant(np.array([tokenizer.length], "int64"), "length")
    longest = scope("ReduceMax", scope("Concat", totals, [0], axis=0), keepdims=1)
    if steps is None:
        return longest
    zero = scope.constant(np.zeros(1, "int64"), "zero")
    every = zero
    for size in tokenizer.ngrams or (1,):
        every = scope("Add", every, scope("Max", scope("Sub", steps, size - 1), zero))
    return scope("Where", scope("Equal", scope("Shape", totals), 0), every, longest)
