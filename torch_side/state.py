"""From the ``state_dict`` of a module back to the weights of its op: the inverse of what `STATES` says."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from biport.errors import WeightError
from biport.ops import Op
from torch_side.registry import PARTS, STATES

Shapes = Mapping[str, Sequence[int]]
"""The shape of each weight of an op, by path."""


Arrays = Mapping[str, np.ndarray]
OpType = TypeVar("OpType", bound=Op)


def shapes_of(op: Op) -> dict[str, tuple[int, ...]]:
    """The shapes of the weights of an op that its module has as tensors."""
    own = op.weights()
    return {path: own[path].shape for path in own.keys() - in_source(op)}


def in_source(op: Op) -> Arrays:
    """Of an op of several modules the weights, by path, that none of these has: numbers in what calls them.

    And what is no float, which says of which dtype it is.
    """
    if type(op) not in PARTS:
        return {}
    kept = tuple(f"{part}." for part in PARTS.lookup(type(op), op.kind)(op))
    own = op.weights()
    return {path: own[path] for path in own if own[path].dtype.kind != "f" or not path.startswith(kept)}


def with_state(owner: str, op: OpType, state: Arrays, prefix: str = "") -> OpType:
    """An op of several modules with what these have by now, see `op_of`.

    Args:
        owner: how errors call it.
        op: what it is; its weights are not looked at.
        state: of the module around them.
        prefix: what the names of its tensors have in front, for errors.
    """
    floats = {array.dtype.name for array in state.values() if array.dtype.kind == "f"}
    op = op.astype(floats.pop()) if len(floats) == 1 else op
    parts = op.parts()
    for part, path in PARTS.lookup(type(op), owner)(op).items():
        inside, own = parts[part], below(state, path)
        names = f"{prefix}{path}."
        if type(inside) in PARTS:
            parts[part] = with_state(owner, inside, own, names)
        else:
            parts[part] = op_of(owner, type(inside), inside.settings(), shapes_of(inside), own, names)
    return op.with_parts(parts)


def below(state: Arrays, path: str) -> dict[str, np.ndarray]:
    """What of a state is at a path or below it, by the rest of its path."""
    return {
        name.removeprefix(path).removeprefix("."): array
        for name, array in state.items()
        if f"{name}.".startswith(f"{path}.") or not path
    }


def op_of(
    owner: str,
    kind: type[Op],
    settings: Mapping[str, Any],
    shapes: Shapes,
    state: Arrays,
    prefix: str = "",
) -> Op:
    """The op of a kind whose module has this state.

    Where each number of the state comes from is seen from a like op whose weights are all different numbers,
    so that there is no second list of layouts. A second bias that was written as zeros, and is none by now,
    is a weight of its own.

    Args:
        owner: how errors call the module.
        kind: of the op.
        settings: see `Op.settings`.
        shapes: of its weights.
        state: arrays under the names that `STATES` gives, in any float dtype.
        prefix: what these have in front, for errors.

    Raises:
        WeightError: tensors are missing, misshapen or not finite.
    """
    if not shapes:
        return kind.build(settings, {})
    same = _same(owner, kind, settings, shapes)
    codes = _codes(shapes, same.values())
    pattern = STATES.lookup(kind, owner)(kind.build(settings, codes))
    floats = {name: array for name, array in pattern.items() if array.dtype.kind == "f"}
    for name, array in floats.items():
        if name not in state or state[name].shape != array.shape:
            given = state[name].shape if name in state else "none"
            path = f"{prefix}{name}".removesuffix(".")
            raise WeightError(f"{owner}: {path} should be of shape {array.shape}, found {given}")
    weights = {path: state[name] for name, path in same.items()}
    mixed = [name for name in floats if name not in same]
    if not mixed:
        return _built(owner, kind, settings, weights)
    origin = np.concatenate([floats[name].ravel() for name in mixed]).astype(np.int64)
    given = np.concatenate([state[name].ravel() for name in mixed])
    second = _second_biases(shapes)
    if second and any(given[origin == 0].tobytes()):
        return op_of(owner, kind, settings, {**shapes, **second}, state, prefix)
    position = np.zeros(int(origin.max()) + 1, np.int64)
    position[origin] = np.arange(len(origin))
    for path in codes.keys() - weights.keys():
        weights[path] = np.asarray(given[position[codes[path].astype(np.int64)]])
    return _built(owner, kind, settings, {path: weights[path] for path in codes})


def _built(owner: str, kind: type[Op], settings: Mapping[str, Any], weights: Arrays) -> Op:
    try:
        return kind.build(settings, weights)
    except WeightError as error:
        raise WeightError(f"{owner}: {error}") from error


def sources(
    owner: str, kind: type[Op], settings: Mapping[str, Any], shapes: Shapes
) -> dict[str, frozenset[str]]:
    """For each tensor of the module of an op the weights, by path, that its numbers are of; see `op_of`."""
    codes = _codes(shapes)
    pattern = STATES.lookup(kind, owner)(kind.build(settings, codes))
    paths = list(codes)
    ends = np.cumsum([codes[path].size for path in paths])
    return {
        name: frozenset(
            paths[at] for at in np.unique(np.searchsorted(ends, array[array > 0].astype(np.int64)))
        )
        for name, array in pattern.items()
        if array.dtype.kind == "f"
    }


def _same(owner: str, kind: type[Op], settings: Mapping[str, Any], shapes: Shapes) -> dict[str, str]:
    """The tensors that are a weight as it is, such as a table of millions of rows, and which."""
    blank = {path: np.broadcast_to(np.float64(1), shape) for path, shape in shapes.items()}
    pattern = STATES.lookup(kind, owner)(kind.build(settings, blank))
    return {name: path for name, array in pattern.items() for path, one in blank.items() if array is one}


def _codes(shapes: Shapes, same: Collection[str] = ()) -> dict[str, np.ndarray]:
    """Weights of these shapes in which no number comes twice, from 1; but those that are known."""
    first, codes = 1, {}
    for path, shape in shapes.items():
        if path in same:
            codes[path] = np.broadcast_to(np.float64(0), shape)
            continue
        count = int(np.prod(shape))
        codes[path] = np.arange(first, first + count, dtype="float64").reshape(shape)
        first += count
    return codes


def _second_biases(shapes: Shapes) -> dict[str, Sequence[int]]:
    """The shapes of the second biases that an op does not have and its module does."""
    ones = [path for path in shapes if "bias_ih." in path]
    seconds = {path.replace("bias_ih.", "bias_hh."): shapes[path] for path in ones}
    return {path: shape for path, shape in seconds.items() if path not in shapes}
