"""What an op says it makes steps and features of, against what moves when those of its inputs are changed."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

from biport import ops
from biport.ops import Locality
from biport.ops.elementwise import Broadcasting
from biport.reference import REFERENCES
from testing.examples import EXAMPLES, Example, N, of_each_kind

Arrays = Sequence[np.ndarray]
SIDES = ((1, Locality.STEP, Locality.EVERY_STEP), (-1, Locality.FEATURE, Locality.EVERY_FEATURE))

CAUTIOUS = {ops.CategoryEncoding, ops.OnesLike, ops.BroadcastTo, ops.ReshapeTo}
"""Ops that say less than is true: of masks over ``(N, T)``, where steps and features are one axis; where one
step alone is not defined; and those that name the number of steps, so that they cannot be applied to one."""


def check_locality(example: Example) -> None:
    meet = _rows_meet(example)
    check_where_rows_meet(example, meet)
    told, true = example.op.locality(example.tensors), Locality.NONE if meet else _measured(example)
    assert told in true, f"says {told}, is {true}"
    assert told == true or type(example.op) in CAUTIOUS, f"says {told}, is {true}"


def check_where_rows_meet(example: Example, meet: bool) -> None:
    """As told by the op where there are as many rows as before; how many there are its shapes tell."""
    rows = [
        ops.Tensor(("N", *x.shape[1:]) if x.shape[:1] == (N,) else x.shape, x.dtype.name)
        for x in example.inputs
    ]
    if all(tensor.shape[:1] == ("N",) and "N" not in tensor.shape[1:] for tensor in example.op.infer(rows)):
        assert example.op.mixes_rows(rows) == meet


test_locality = of_each_kind(EXAMPLES, check_locality)


def test_every_op_has_examples() -> None:
    assert {type(example.op) for example in EXAMPLES} == set(ops.op_classes())


STEPPABLE = [example for example in EXAMPLES if Locality.EVERY_STEP in example.op.locality(example.tensors)]


def check_one_step_alone(example: Example) -> None:
    """What is the same at every step can be computed of a single one, which is what decoding does."""
    step = 2

    def one(x: np.ndarray) -> np.ndarray:
        return x[:, step : step + 1]

    for whole, alone in zip(_run(example), _run(example, one), strict=True):
        np.testing.assert_allclose(alone, one(whole), rtol=0, atol=1e-12)


test_one_step_alone = of_each_kind(STEPPABLE, check_one_step_alone)


@pytest.mark.parametrize("kind", [ops.Conv1D, ops.LSTM, ops.Flip, ops.Attention])
def test_a_planted_fault_shows(kind: type[ops.Op], monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted fault: an op that looks at other steps says that it does not."""
    monkeypatch.setattr(kind, "locality", lambda op, inputs: Locality.STEP)
    example = next(example for example in EXAMPLES if type(example.op) is kind)
    with pytest.raises(AssertionError, match=r"says Locality\.STEP, is Locality"):
        check_locality(example)


def _measured(example: Example) -> Locality:
    local = Locality.NONE
    for axis, alone, alike in SIDES:
        size = _size(example, axis)
        if size is None or any(out.ndim < 2 or out.shape[axis] != size for out in _run(example)):
            continue
        if not _leaks(example, axis, size):
            local |= alike if _permutes(example, axis, size) else alone
    return local


def _rows_meet(example: Example) -> bool:
    """Whether rows are not kept, or a change of one shows in another row of some output."""
    return any(out.shape[:1] != (N,) for out in _run(example)) or _leaks(example, 0, N)


def _size(example: Example, axis: int) -> int | None:
    """The size of an axis that all inputs have which have the axis, and not one step or feature for all."""
    rank = max((x.ndim for x in example.inputs), default=0)
    beside = [x.shape[0] for x in example.inputs if x.ndim == rank - 1]
    if axis == 1 and isinstance(example.op, Broadcasting) and beside != [1] * len(beside):
        # Aligned at the end, it has steps where no layer has them.
        return None
    sizes = {x.shape[axis] for x in example.inputs if _has(example, x, axis)}
    return sizes.pop() if len(sizes) == 1 else None


def _has(example: Example, x: np.ndarray, axis: int) -> bool:
    """Whether an input has several rows, steps or features, and not one for all; features are aligned."""
    rank = max(other.ndim for other in example.inputs)
    if axis == 0:
        return x.shape[:1] == (N,)
    return (x.ndim == rank > 1 or (axis == -1 and x.ndim > 0)) and x.shape[axis] > 1


def _leaks(example: Example, axis: int, size: int) -> bool:
    """Whether a change of one step of all inputs shows at another step of some output."""
    before = _run(example)
    for position in range(size):
        others = np.delete(np.arange(size), position)
        for change in _changes():
            after = _run(example, lambda x, change=change, at=position: _changed(x, axis, at, change), axis)
            for one, two in zip(before, after, strict=True):
                if not np.array_equal(np.take(one, others, axis), np.take(two, others, axis), equal_nan=True):
                    return True
    return False


def _permutes(example: Example, axis: int, size: int) -> bool:
    """Whether inputs with their steps in another order give the outputs in that order."""
    rng = np.random.default_rng(0)
    before = _run(example)
    for order in (np.roll(np.arange(size), 1), rng.permutation(size), rng.permutation(size)):
        after = _run(example, lambda x, order=order: np.take(x, order, axis), axis)
        for one, two in zip(before, after, strict=True):
            if not np.allclose(np.take(one, order, axis), two, rtol=0, atol=1e-12, equal_nan=True):
                return False
    return True


def _changes() -> Iterator[Callable[[np.ndarray], np.ndarray]]:
    rng = np.random.default_rng(1)
    yield lambda x: np.full_like(x, 2)
    yield lambda x: ~x if x.dtype == bool else (x + 1) % 3 if x.dtype.kind == "i" else x + 20
    yield lambda x: ~x if x.dtype == bool else (x + 2) % 3 if x.dtype.kind == "i" else x - 20
    yield lambda x: rng.permutation(x.reshape(-1)).reshape(x.shape)


def _changed(
    x: np.ndarray, axis: int, position: int, change: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    x = x.copy()
    view = np.moveaxis(x, axis, 0)
    view[position] = change(view[position])
    return x


def _run(
    example: Example, change: Callable[[np.ndarray], np.ndarray] = np.copy, axis: int = 1
) -> tuple[np.ndarray, ...]:
    """The outputs with every input and mask changed that has several steps or features, or the rows."""

    inputs = [change(x) if _has(example, x, axis) else x for x in example.inputs]
    masks = [
        mask if mask is None or (axis == -1 and x.ndim > 2) or mask.shape[axis] == 1 else change(mask)
        for x, mask in zip(example.inputs, example.masks, strict=True)
    ]
    return REFERENCES.lookup(type(example.op), "")(example.op, inputs, masks)
