"""Why a node gives something else: other weights, other settings, or a known mistake that gives the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import numpy as np

from biport.errors import BiportError
from biport.ops import ACTIVATIONS, MERGE_MODES, Bidirectional, Cell, Dense, Op, Recurrent, StackedRNN
from biport.reference import REFERENCES
from biport.reference.recurrent import bidirectional

TRAINING_ONLY = ("dropout", "recurrent_dropout", "rate", "mask_zero")

Arrays = Sequence[np.ndarray]
Masks = Sequence[np.ndarray | None]


def other_weights(found: Op, wanted: Op) -> dict[str, list[str]]:
    """The weights that differ, ``{path: gates}``; no gates where there are none: ``{"bias": []}``."""
    mine, yours = _comparable(found), _comparable(wanted)
    differing: dict[str, list[str]] = {}
    for path in sorted(mine.keys() | yours.keys()):
        if path in mine and path in yours and np.array_equal(mine[path], yours[path]):
            continue
        if path in mine and path in yours and "bias" in path and _same_sum(mine[path], yours[path]):
            continue
        place, _, gate = path.rpartition(".")
        is_gate = place.rpartition(".")[2].startswith(("weight_", "bias_"))
        differing.setdefault(place if is_gate else path, []).extend([gate] if is_gate else [])
    return differing


def _same_sum(one: np.ndarray, two: np.ndarray) -> bool:
    """Whether two biases are the same but for having been added up in float32."""
    return one.shape == two.shape and np.allclose(one, two, rtol=1e-6, atol=1e-7)


def _comparable(op: Op) -> dict[str, np.ndarray]:
    """The weights in float64, two biases that only act in their sum as that sum, none as zeros."""
    found = {path: array.astype("float64") for path, array in op.weights().items()}
    for place, cell in _cells(op, ""):
        if not cell.one_bias:
            continue
        for gate in cell.gates:
            parts = [found.pop(f"{place}{name}.{gate}", None) for name in ("bias_ih", "bias_hh")]
            given = [part for part in parts if part is not None]
            found[f"{place}bias_ih.{gate}"] = sum(given) if given else np.zeros(cell.hidden_size)  # type: ignore[assignment]
    return found


def _cells(op: Op, place: str) -> Iterator[tuple[str, Cell]]:
    if isinstance(op, Cell):
        yield place, op
    for name, part in op.parts().items():
        yield from _cells(part, f"{place}{name}.")


def other_settings(found: Op, wanted: Op) -> list[str]:
    """The settings that differ, in words; those of training do not count."""
    if found.kind != wanted.kind:
        return [f"it is a {found.kind} instead of a {wanted.kind}"]
    mine, yours = _flat(found.settings()), _flat(wanted.settings())
    return [
        f"its {path} is {mine.get(path)!r} instead of {yours.get(path)!r}"
        for path in sorted(mine.keys() | yours.keys())
        if mine.get(path) != yours.get(path) and path.rpartition(".")[2] not in TRAINING_ONLY
    ]


def _flat(settings: Any, place: str = "") -> dict[str, Any]:
    if isinstance(settings, Mapping):
        parts = settings.items()
    elif isinstance(settings, list) and any(isinstance(part, Mapping) for part in settings):
        parts = enumerate(settings)
    else:
        return {place: settings}
    found: dict[str, Any] = {}
    for key, value in parts:
        found |= _flat(value, f"{place}.{key}" if place else str(key))
    return found


Compute = Callable[[Arrays, Masks], Sequence[np.ndarray]]


def variants(op: Op, masked: bool) -> Iterator[tuple[str, Compute]]:
    """Mistakes that are known to happen, in words, with what the op would then give."""
    if masked:
        yield "its mask is ignored", lambda x, m: compute(op, x, [None] * len(m))
    if isinstance(op, Bidirectional):
        yield from _of_both(op)
        for name in ("forward", "backward"):
            for words, half in _of_half(getattr(op, name)):
                yield f"{words} in its {name} half", _with_halves(op, **{name: half})
        yield from _of_halves_alike(op)
    elif isinstance(op, Recurrent):
        for words, other in _of_half(op):
            yield words, lambda x, m, other=other: compute(other, x, m)
        if masked:
            yield from _of_padding(op)
    elif isinstance(op, Dense):
        yield from _of_dense(op)
    if isinstance(op, Recurrent | Bidirectional):
        yield "its initial states are ignored", lambda x, m: compute(op, x[:1], m[:1])


def compute(op: Op, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """What the oracle makes of these inputs with ``op``."""
    return REFERENCES.lookup(type(op), op.kind)(op, inputs, masks)


def _with_halves(op: Bidirectional, **changed: Any) -> Compute:
    # Not an op: some of these mistakes are combinations that an op refuses to be.
    other: Any = SimpleNamespace(
        **{"forward": op.forward, "backward": op.backward, "merge": op.merge} | changed
    )
    return lambda x, m: bidirectional(other, x, m)


def _of_both(op: Bidirectional) -> Iterator[tuple[str, Compute]]:
    for merge in MERGE_MODES:
        if merge != op.merge and op.merge not in ("concat", None) and merge not in ("concat", None):
            yield f"it merges by {merge!r} instead of {op.merge!r}", _with_halves(op, merge=merge)
    one, two = op.forward, op.backward
    swapped = {
        "forward": dataclasses.replace(two, reverse=False),
        "backward": dataclasses.replace(one, reverse=True),
    }
    yield "its halves are swapped", _with_halves(op, **swapped)
    for name, reverse in (("forward", True), ("backward", False)):
        turned = dataclasses.replace(getattr(op, name), reverse=reverse)
        yield f"its {name} half walks the other way", _with_halves(op, **{name: turned})
    hold = {name: dataclasses.replace(getattr(op, name), zero_output_for_mask=False) for name in swapped}
    yield "it repeats the previous output at padded steps instead of zeros", _with_halves(op, **hold)


def _of_halves_alike(op: Bidirectional) -> Iterator[tuple[str, Compute]]:
    """The same mistake in both halves."""
    for (words, one), (other, two) in zip(_of_half(op.forward), _of_half(op.backward), strict=False):
        if words == other:
            yield f"{words} in both halves", _with_halves(op, forward=one, backward=two)


def _of_half(op: Recurrent) -> Iterator[tuple[str, Recurrent]]:
    if isinstance(op, StackedRNN):
        for number, cell in enumerate(op.cells):
            for words, other in _of_cell(cell):
                cells = (*op.cells[:number], other, *op.cells[number + 1 :])
                yield f"{words} in cell {number}", dataclasses.replace(op, cells=cells)
    elif isinstance(op, Cell):
        yield from _of_cell(op)


def _of_cell(op: Cell) -> Iterator[tuple[str, Cell]]:
    for one, two in combinations(sorted(op.gates), 2):
        yield f"gates {one} and {two} are swapped", _swapped(op, one, two)
    for name in ("activation", "recurrent_activation"):
        own = getattr(op, name, None)
        for other in ACTIVATIONS:
            if own is not None and other != own:
                yield f"its {name} is {other} instead of {own}", dataclasses.replace(op, **{name: other})
    if hasattr(op, "reset_after") and op.bias_hh is None:
        reset: Any = {"reset_after": not getattr(op, "reset_after")}  # noqa: B009  (a GRU's)
        if op.bias_ih is None:
            yield "its reset gate acts on the other side of the product", dataclasses.replace(op, **reset)
    if op.bias_ih is not None:
        yield "its biases are left out", dataclasses.replace(op, bias_ih=None, bias_hh=None)


def _swapped(op: Cell, one: str, two: str) -> Cell:
    place = {one: two, two: one}
    changed: dict[str, Any] = {
        name: {gate: gates[place.get(gate, gate)] for gate in op.gates}
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        if (gates := getattr(op, name)) is not None
    }
    return dataclasses.replace(op, **changed)


def _of_padding(op: Recurrent) -> Iterator[tuple[str, Compute]]:
    other = dataclasses.replace(op, zero_output_for_mask=not op.zero_output_for_mask)
    gives = ("the previous output", "zeros")
    found, wanted = gives[other.zero_output_for_mask], gives[op.zero_output_for_mask]
    yield f"it gives {found} at padded steps instead of {wanted}", lambda x, m: compute(other, x, m)


def _of_dense(op: Dense) -> Iterator[tuple[str, Compute]]:
    changed: list[tuple[str, dict[str, Any]]] = [
        (f"its activation is {other} instead of {op.activation}", {"activation": other})
        for other in ACTIVATIONS
        if other != op.activation
    ]
    if op.bias is not None:
        changed.append(("its bias is left out", {"bias": None}))
    for words, change in changed:
        other = dataclasses.replace(op, **change)
        yield words, lambda x, m, other=other: compute(other, x, m)


def matching(
    op: Op,
    masked: bool,
    cases: Sequence[str],
    agrees: Callable[[str, Sequence[np.ndarray]], bool],
    sources: Callable[[str], tuple[Arrays, Masks]],
) -> list[str]:
    """The variants that give what was found, in every case.

    Args:
        cases: those to look at, the cheapest first.
        agrees: whether outputs are what was found in a case.
        sources: the node's inputs and masks in a case.
    """
    found = []
    for words, run in variants(op, masked):
        try:
            with np.errstate(all="ignore"):
                if all(agrees(case, run(*sources(case))) for case in cases):
                    found.append(words)
        except (BiportError, ValueError):
            continue  # This mistake cannot be made with this op.
    return found
