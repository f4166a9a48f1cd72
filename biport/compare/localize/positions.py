"""Where inside of a node's output a difference begins: half, row, step and unit, in walking order."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from biport.compare.finding import Place
from biport.ops import Bidirectional, Op, Recurrent
from biport.reference.recurrent import walk


@dataclass(frozen=True)
class Walk:
    """Part of an output as one walk gives it: ``(N, T, H)`` in walking order, or ``(N, H)``.

    Args:
        half: as in `Place`.
        exact: the oracle's.
        found: the form's.
        mask: ``(N, T)`` in walking order, or ``None``.
        backward: the first step walked is the last in time.
        recurrent: whether there is a walk at all.
        state: as in `Place`.
    """

    half: str
    exact: np.ndarray
    found: np.ndarray
    mask: np.ndarray | None = None
    backward: bool = False
    recurrent: bool = True
    state: str = ""


def seen_walks(
    op: Op, output: int, exact: np.ndarray, found: np.ndarray, mask: np.ndarray | None
) -> Iterator[Walk]:
    """An output of ``op``, taken apart into its walks where it is not merged."""
    match op:
        case Recurrent() if output == 0:
            way = op.reverse and op.return_sequences
            yield Walk("", exact, found, _turned(mask, op.reverse), way)
        case Bidirectional() if output < (2 if op.merge is None else 1):
            yield from _halves(op, output, exact, found, mask)
        case Recurrent():
            yield Walk("", exact, found, recurrent=False, state=state_name(op, output - 1))
        case Bidirectional():
            place = output - (2 if op.merge is None else 1)
            count = len(op.forward.state_sizes)
            half, name = (op.forward, "forward") if place < count else (op.backward, "backward")
            state = state_name(half, place % count)
            yield Walk(name, exact, found, recurrent=False, state=state)
        case _:
            yield Walk("", exact, found, recurrent=False)


def _halves(
    op: Bidirectional, output: int, exact: np.ndarray, found: np.ndarray, mask: np.ndarray | None
) -> Iterator[Walk]:
    cut = op.forward.sizes[1]
    if op.merge not in ("concat", None):
        yield Walk("", exact, found, mask)
        return
    if op.merge is None or output:
        parts = {"forward": slice(None)} if output == 0 else {"backward": slice(None)}
    else:
        parts = {"forward": slice(None, cut), "backward": slice(cut, None)}
    for half, units in parts.items():
        back = half == "backward" and op.forward.return_sequences
        one, two = (_turned(array[..., units], back) for array in (exact, found))
        assert one is not None
        assert two is not None
        yield Walk(half, one, two, _turned(mask, back), back)


def _turned(array: np.ndarray | None, turn: bool) -> np.ndarray | None:
    return array[:, ::-1] if array is not None and turn else array


def state_name(op: Recurrent, place: int) -> str:
    """What the state at ``place`` is called: ``h``, ``c``, or ``c of cell 1``."""
    cells: Sequence[Any] = getattr(op, "cells", (op,))
    names = [(name, number) for number, cell in enumerate(cells) for name in cell.states]
    name, number = names[place]
    return name if len(cells) == 1 else f"{name} of cell {number}"


def unfolded(op: Op, inputs: Sequence[np.ndarray], mask: np.ndarray | None) -> dict[str, np.ndarray]:
    """Every step of a recurrent op, whatever it gives out: ``{half: (N, T, H) in walking order}``."""
    x, *initial = inputs
    every: dict[str, Any] = {"return_sequences": True, "return_state": False}
    if isinstance(op, Recurrent):
        return {"": walk(dataclasses.replace(op, **every), x, initial, mask)[0]}
    assert isinstance(op, Bidirectional)
    count = len(op.forward.state_sizes)
    halves = {"forward": (op.forward, initial[:count]), "backward": (op.backward, initial[count:])}
    return {
        name: walk(dataclasses.replace(half, **every), x, given, mask)[0]
        for name, (half, given) in halves.items()
    }


def unfolded_walks(
    op: Op,
    found_op: Op,
    inputs: Sequence[np.ndarray],
    mask: np.ndarray | None,
    found_mask: np.ndarray | None,
) -> Iterator[Walk]:
    """Every step of ``op`` and of another op in its place."""
    wanted, found = unfolded(op, inputs, mask), unfolded(found_op, inputs, found_mask)
    for half in [half for half in wanted if half in found]:
        back = half == "backward" or bool(getattr(op, "reverse", False))
        yield Walk(half, wanted[half], found[half], _turned(mask, back), back)


def first(walks: dict[str, list[Walk]], allowed: float) -> Place | None:
    """Where the walks, by case, first differ by more than ``allowed``.

    First is what was walked after the fewest steps, because there the least can have gone before it; among
    equals the earliest case, row and walk.
    """
    found: list[tuple[tuple[int, bool, int, int, int], Place]] = []
    for number, (case, parts) in enumerate(walks.items()):
        for order, part in enumerate(parts):
            found += [
                ((key, place.padded, number, place.row, order), place)
                for key, place in _in_rows(case, part, allowed)
            ]
    return min(found, key=lambda item: item[0])[1] if found else None


def _in_rows(case: str, part: Walk, allowed: float) -> Iterator[tuple[int, Place]]:
    exact, found = _lifted(part.exact), _lifted(part.found)
    if exact.shape != found.shape or exact.size == 0:
        return
    off = difference(exact, found) > allowed
    timed = part.exact.ndim >= 3
    for row in np.flatnonzero(off.any(axis=(1, 2))):
        at = int(off[row].any(axis=1).argmax())
        valid = None if part.mask is None or not timed else part.mask[row]
        walked = at + 1 if valid is None else int(valid[: at + 1].sum())
        units = np.flatnonzero(off[row, at])
        unit = int(units[np.nan_to_num(np.abs(exact - found)[row, at, units], nan=np.inf).argmax()])
        step = (exact.shape[1] - 1 - at if part.backward else at) if timed else None
        yield (
            walked,
            Place(
                case=case,
                row=int(row),
                half=part.half,
                state=part.state,
                step=step,
                walked=walked if part.recurrent and timed else None,
                padded=valid is not None and not valid[at],
                unit=unit,
                units=tuple(int(i) for i in units),
                found=float(found[row, at, unit]),
                exact=float(exact[row, at, unit]),
            ),
        )


def _lifted(array: np.ndarray) -> np.ndarray:
    """``(N, T, H)`` of any array: without steps T = 1, and further axes are units."""
    array = array.astype("float64")
    if array.ndim == 2:
        return array[:, None]
    return array.reshape(*array.shape[:2], -1) if array.ndim > 2 else array.reshape(len(array), 1, -1)


def difference(exact: np.ndarray, found: np.ndarray) -> np.ndarray:
    """The error of every element as `tolerance.measure` takes it; infinite where NaN are elsewhere."""
    finite = np.isfinite(exact)
    scale = max(1.0, float(np.abs(exact[finite]).max(initial=0.0)))
    with np.errstate(invalid="ignore"):
        far = np.abs(found - exact) / scale
    same = (found == exact) | (np.isnan(found) & np.isnan(exact))
    return np.where(same, 0.0, np.where(np.isnan(far), np.inf, far))
