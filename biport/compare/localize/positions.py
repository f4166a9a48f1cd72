"""Where in a node's output a difference begins: direction, row, step and unit, in the order of the scan."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from biport.compare.finding import Position
from biport.ops import Bidirectional, Op, Recurrent
from biport.reference import REFERENCES


@dataclass(frozen=True)
class Scan:
    """Part of an output as one scan gives it: ``(N, T, H)`` in the order of the scan, or ``(N, H)``.

    Args:
        direction: as in `Position`.
        exact: the oracle's.
        array: the form's.
        mask: ``(N, T)`` in the order of the scan, or ``None``.
        backward: the first step scanned is the last in time.
        recurrent: whether there is a scan at all.
        state: as in `Position`.
    """

    direction: str
    exact: np.ndarray
    array: np.ndarray
    mask: np.ndarray | None = None
    backward: bool = False
    recurrent: bool = True
    state: str = ""


def output_scans(
    op: Op, output: int, exact: np.ndarray, array: np.ndarray, mask: np.ndarray | None
) -> Iterator[Scan]:
    """An output of ``op``, taken apart into its scans where it is not merged."""
    match op:
        case Recurrent() if output == 0:
            backward = op.reverse and op.return_sequences
            yield Scan("", exact, array, _turned(mask, op.reverse), backward)
        case Bidirectional() if output < (2 if op.merge is None else 1):
            yield from _directions(op, output, exact, array, mask)
        case Recurrent():
            yield Scan("", exact, array, recurrent=False, state=state_name(op, output - 1))
        case Bidirectional():
            index = output - (2 if op.merge is None else 1)
            count = len(op.forward.state_sizes)
            one, direction = (op.forward, "forward") if index < count else (op.backward, "backward")
            state = state_name(one, index % count)
            yield Scan(direction, exact, array, recurrent=False, state=state)
        case _:
            yield Scan("", exact, array, recurrent=False)


def _directions(
    op: Bidirectional, output: int, exact: np.ndarray, array: np.ndarray, mask: np.ndarray | None
) -> Iterator[Scan]:
    cut = op.forward.sizes[1]
    if op.merge not in ("concat", None):
        yield Scan("", exact, array, mask)
        return
    if op.merge is None or output:
        parts = {"forward": slice(None)} if output == 0 else {"backward": slice(None)}
    else:
        parts = {"forward": slice(None, cut), "backward": slice(cut, None)}
    for direction, units in parts.items():
        back = direction == "backward" and op.forward.return_sequences
        one, two = (_turned(both[..., units], back) for both in (exact, array))
        assert one is not None
        assert two is not None
        yield Scan(direction, one, two, _turned(mask, back), back)


def _turned(array: np.ndarray | None, turn: bool) -> np.ndarray | None:
    return array[:, ::-1] if array is not None and turn else array


def state_name(op: Recurrent, index: int) -> str:
    """What a state is called: ``h``, ``c``, or ``c of cell 1``."""
    cells: Sequence[Any] = getattr(op, "cells", (op,))
    names = [(name, number) for number, cell in enumerate(cells) for name in cell.states]
    name, number = names[index]
    return name if len(cells) == 1 else f"{name} of cell {number}"


def every_step(op: Op, inputs: Sequence[np.ndarray], mask: np.ndarray | None) -> dict[str, np.ndarray]:
    """Every step of a recurrent op, whatever it gives out: ``{direction: (N, T, H)}``, as scanned."""
    if isinstance(op, Recurrent):
        return {"": _every_step(op, inputs, mask)}
    assert isinstance(op, Bidirectional)
    (x, *initial), count = inputs, len(op.forward.state_sizes)
    directions = {"forward": (op.forward, initial[:count]), "backward": (op.backward, initial[count:])}
    return {name: _every_step(one, [x, *given], mask) for name, (one, given) in directions.items()}


def _every_step(op: Recurrent, inputs: Sequence[np.ndarray], mask: np.ndarray | None) -> np.ndarray:
    every: dict[str, Any] = {"return_sequences": True, "return_state": False}
    masks = [mask, *[None] * (len(inputs) - 1)]
    return REFERENCES.lookup(type(op), op.kind)(dataclasses.replace(op, **every), inputs, masks)[0]


def step_scans(op: Op, other: Op, inputs: Sequence[np.ndarray], mask: np.ndarray | None) -> Iterator[Scan]:
    """Every step of ``op``, and what another op gives in its place."""
    exact, arrays = every_step(op, inputs, mask), every_step(other, inputs, mask)
    for direction in [name for name in exact if name in arrays]:
        back = direction == "backward" or bool(getattr(op, "reverse", False))
        yield Scan(direction, exact[direction], arrays[direction], _turned(mask, back), back)


def first_difference(scans: dict[str, list[Scan]], allowed: float) -> Position | None:
    """Where the scans, by case, first differ by more than ``allowed``.

    First is what was scanned after the fewest steps, because there the least can have gone before it; among
    equals the earliest case, row and scan.
    """
    ranked: list[tuple[tuple[int, bool, int, int, int], Position]] = []
    for number, (case, parts) in enumerate(scans.items()):
        for order, part in enumerate(parts):
            ranked += [
                ((scanned, position.padded, number, position.row, order), position)
                for scanned, position in _in_rows(case, part, allowed)
            ]
    return min(ranked, key=lambda item: item[0])[1] if ranked else None


def _in_rows(case: str, part: Scan, allowed: float) -> Iterator[tuple[int, Position]]:
    exact, array = _lifted(part.exact), _lifted(part.array)
    if exact.shape != array.shape or exact.size == 0:
        return
    off = difference(exact, array) > allowed
    timed = part.exact.ndim >= 3
    for row in np.flatnonzero(off.any(axis=(1, 2))):
        at = int(off[row].any(axis=1).argmax())
        valid = None if part.mask is None or not timed else part.mask[row]
        scanned = at + 1 if valid is None else int(valid[: at + 1].sum())
        units = np.flatnonzero(off[row, at])
        unit = int(units[np.nan_to_num(np.abs(exact - array)[row, at, units], nan=np.inf).argmax()])
        step = (exact.shape[1] - 1 - at if part.backward else at) if timed else None
        yield (
            scanned,
            Position(
                case=case,
                row=int(row),
                direction=part.direction,
                state=part.state,
                step=step,
                scanned=scanned if part.recurrent and timed else None,
                padded=valid is not None and not valid[at],
                unit=unit,
                units=tuple(int(i) for i in units),
                value=float(array[row, at, unit]),
                exact=float(exact[row, at, unit]),
            ),
        )


def _lifted(array: np.ndarray) -> np.ndarray:
    """``(N, T, H)`` of any array: without steps T = 1, and further axes are units; a number is one row."""
    array = array.astype("float64")
    if array.ndim == 2:
        return array[:, None]
    rows, steps = (*array.shape, 1, 1)[:2]
    return array.reshape(rows, steps, math.prod(array.shape[2:]))


def difference(exact: np.ndarray, array: np.ndarray) -> np.ndarray:
    """The error of every element as `tolerance.measure` takes it; infinite where NaN are elsewhere."""
    finite = np.isfinite(exact)
    scale = max(1.0, float(np.abs(exact[finite]).max(initial=0.0)))
    with np.errstate(invalid="ignore"):
        far = np.abs(array - exact) / scale
    same = (array == exact) | (np.isnan(array) & np.isnan(exact))
    return np.where(same, 0.0, np.where(np.isnan(far), np.inf, far))
