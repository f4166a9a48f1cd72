"""From the ``state_dict`` of a module back to the weights of its op: the inverse of what `STATES` says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from biport.errors import WeightError
from biport.ops import Op
from torch_side.learning import Shapes, codes_of
from torch_side.registry import STATES


def op_of(
    owner: str, kind: type[Op], settings: Mapping[str, Any], shapes: Shapes, state: Mapping[str, np.ndarray]
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

    Raises:
        WeightError: tensors are missing, misshapen or not finite.
    """
    if not shapes:
        return kind.build(settings, {})
    codes = codes_of(shapes)
    pattern = STATES.lookup(kind, owner)(kind.build(settings, codes))
    floats = {name: array for name, array in pattern.items() if array.dtype.kind == "f"}
    for name, array in floats.items():
        if name not in state or state[name].shape != array.shape:
            actual = state[name].shape if name in state else "none"
            raise WeightError(f"{owner}: {name} should be of shape {array.shape}, found {actual}")
    origin = np.concatenate([array.ravel() for array in floats.values()]).astype(np.int64)
    given = np.concatenate([state[name].ravel() for name in floats])
    second = _second_biases(shapes)
    if second and any(given[origin == 0].tobytes()):
        return op_of(owner, kind, settings, {**shapes, **second}, state)
    position = np.zeros(int(origin.max()) + 1, np.int64)
    position[origin] = np.arange(len(origin))
    weights = {path: np.asarray(given[position[array.astype(np.int64)]]) for path, array in codes.items()}
    try:
        return kind.build(settings, weights)
    except WeightError as error:
        raise WeightError(f"{owner}: {error}") from error


def _second_biases(shapes: Shapes) -> dict[str, Sequence[int]]:
    """The shapes of the second biases that an op does not have and its module does."""
    ones = [path for path in shapes if "bias_ih." in path]
    seconds = {path.replace("bias_ih.", "bias_hh."): shapes[path] for path in ones}
    return {path: shape for path, shape in seconds.items() if path not in shapes}
