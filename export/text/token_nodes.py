"""From texts to what is looked up of them, as ONNX nodes: pieces, and the row that each is of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from biport.text.standardize import PUNCTUATION
from export.onnx.builder import Scope
from export.text.plan import Plan, pattern_of
from export.text.refusals import CHARACTERS
from export.text.string_nodes import (
    LARGEST,
    Parts,
    changed,
    counted,
    divided,
    following,
    joined,
    positions,
    previous,
    refused,
    set_apart,
    starts,
    strings,
    sums,
    together,
    where,
    without,
)


def tokens_of(scope: Scope, texts: ir.Value, plan: Plan) -> Parts:
    """The tokens of texts ``(N,)``."""
    rows = counted(scope, texts)
    if plan.characters is not None:
        texts = only_known(scope, texts, plan)
    if not plan.added:
        return _divided(scope, texts, rows, plan)
    for token in plan.added:
        texts, rows = set_apart(scope, texts, rows, token, token)
    others = [scope("Not", scope("Equal", texts, strings(scope, token))) for token in plan.added]
    plain = others[0]
    for other in others[1:]:
        plain = scope("And", plain, other)
    return changed(
        scope, texts, rows, plain, lambda given: _divided(scope, given, counted(scope, given), plan)
    )


def only_known(scope: Scope, texts: ir.Value, plan: Plan) -> ir.Value:
    """``texts (P,)``, or an error where one has a character that the plan does not know."""
    assert plan.characters is not None
    known = scope("RegexFullMatch", texts, pattern=pattern_of(plan.characters))
    return refused(scope, texts, scope("Not", known), CHARACTERS)


def _divided(scope: Scope, texts: ir.Value, rows: ir.Value, plan: Plan) -> Parts:
    pieces = standardized(scope, texts, plan, marks=False)
    for separator in plan.separators:
        pieces, rows = divided(scope, pieces, rows, separator)
    if plan.strips:
        pieces = _without_marks(scope, pieces)
    if plan.strips or not plan.separators:
        pieces, rows = without(scope, pieces, rows, scope("Equal", pieces, strings(scope, "")))
    if not plan.apart:
        return pieces, rows
    marked = scope("Not", scope("RegexFullMatch", pieces, pattern=_none_of(plan)))
    return changed(scope, pieces, rows, marked, lambda given: _apart(scope, given, plan))


def standardized(scope: Scope, texts: ir.Value, plan: Plan, marks: bool = True) -> ir.Value:
    """``texts (P,)`` in small letters, where the plan says so, and without marks."""
    if plan.lowers:
        # An empty tensor is refused: a text is put behind the others, and taken off.
        more = scope("Concat", texts, strings(scope, [""]), axis=0)
        # In this locale, which is on every machine, only A to Z have small letters.
        more = scope("StringNormalizer", more, case_change_action="LOWER", locale="C")
        texts = scope("Slice", more, [0], [-1], [0])
    return _without_marks(scope, texts) if plan.strips and marks else texts


def _none_of(plan: Plan) -> str:
    """Texts without any of what is set apart, in the syntax of RE2."""
    return f"[^{''.join(rf'{_escape}{{{ord(mark):x}}}' for mark in plan.apart)}]*"


_escape = r"\x"


def _apart(scope: Scope, given: ir.Value, plan: Plan) -> Parts:
    """What becomes of pieces with marks: words, and marks by themselves or together."""
    pieces, owners = given, counted(scope, given)
    for mark, piece in plan.apart.items():
        pieces, owners = set_apart(scope, pieces, owners, mark, piece)
    word = scope("RegexFullMatch", pieces, pattern=_none_of(plan))
    no, nothing = scope.constant(np.zeros(1, "bool"), "no"), scope.constant(np.full(1, -1), "nothing")
    behind_own = scope("Equal", owners, previous(scope, owners, nothing))
    if plan.joins == "marks":
        mark = scope("Not", word)
        on = scope("And", behind_own, scope("And", mark, previous(scope, mark, no)))
        return joined(scope, pieces, owners, on)
    before_own = scope("Equal", owners, following(scope, owners, nothing))
    between = scope("And", behind_own, before_own)
    words = scope("And", previous(scope, word, no), following(scope, word, no))
    link = scope("And", scope("Equal", pieces, strings(scope, "'")), scope("And", between, words))
    return joined(scope, pieces, owners, scope("Or", link, previous(scope, link, no)))


def _without_marks(scope: Scope, pieces: ir.Value) -> ir.Value:
    """Pieces ``(P,)`` without the marks of ASCII; most have none, and stay."""
    unmarked = "".join(rf"\x{ord(mark):02x}" for mark in PUNCTUATION)
    marked = where(scope, scope("Not", scope("RegexFullMatch", pieces, pattern=f"[^{unmarked}]*")))
    some = scope("Gather", pieces, marked)
    parts, owners = some, counted(scope, some)
    for mark in PUNCTUATION:
        parts, owners = divided(scope, parts, owners, mark)
    stripped = together(scope, parts, owners, scope("Shape", some))
    return scope("ScatterND", pieces, scope("Unsqueeze", marked, [1]), stripped)


def grams(scope: Scope, tokens: ir.Value, rows: ir.Value, N: ir.Value, sizes: Sequence[int]) -> Parts:
    """Of each row all tokens of the first size that follow each other, with blanks between; then the next."""
    if tuple(sizes) == (1,):
        return tokens, rows
    counts = sums(scope, N, rows)
    there = positions(scope, rows, counts)
    texts, owners, columns, totals = [], [], [], scope("Sub", counts, counts)
    for size in sizes:
        first = _cut(scope, rows, 0, size)
        within = where(scope, scope("Equal", first, _cut(scope, rows, size - 1, size)))
        texts.append(scope("Gather", _following_joined(scope, tokens, size), within))
        owners.append(scope("Gather", first, within))
        before = scope("Gather", totals, owners[-1])
        columns.append(scope("Add", scope("Gather", there, within), before))
        number = scope("Max", scope("Sub", counts, size - 1), scope.constant(np.zeros(1, "int64"), "zero"))
        totals = scope("Add", totals, number)
    text, owner, column = (scope("Concat", *part, axis=0) for part in (texts, owners, columns))
    target = scope("Add", column, scope("Gather", starts(scope, totals), owner))
    ordered = scope("ScatterND", text, scope("Unsqueeze", target, [1]), text)
    return ordered, scope("ScatterElements", owner, target, owner, axis=0)


def _following_joined(scope: Scope, tokens: ir.Value, size: int) -> ir.Value:
    text = _cut(scope, tokens, 0, size)
    for offset in range(1, size):
        text = scope("StringConcat", text, strings(scope, " "))
        text = scope("StringConcat", text, _cut(scope, tokens, offset, size))
    return text


def _cut(scope: Scope, x: ir.Value, offset: int, size: int) -> ir.Value:
    """Of a sequence the elements that are ``offset`` from the beginning of ``size`` in turn."""
    left = size - 1 - offset
    return scope("Slice", x, [offset], [-left if left else LARGEST], [0])
