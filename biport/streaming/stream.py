"""A model fed chunk by chunk, whatever runs it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

import numpy as np

from biport import reference
from biport.dims import bound
from biport.errors import InputError
from biport.graph import Graph, Value
from biport.inputs import BATCH, Inputs, batch_axis, check_arrays, in_order, letters, time_axis
from biport.ops import FLOATS
from biport.streaming.plan import Streaming, plan_stream

Run = Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]
"""A model: arrays in the order of its inputs to arrays in the order of its outputs."""


class Stream:
    """A model that is fed a few steps of its rows at a time and goes on where it was.

    Fed chunks of any lengths, it gives of each step what the model gives of it in one call over all of them,
    and of all steps so far what one call over these gives.

    Args:
        plan: of the model.
        run: the model.
        initial: by the names of states what they are before the first step, ``(N, H)``; others are zeros.

    Raises:
        InputError: ``initial`` names what is no state.

    Example:
        >>> from biport import ops
        >>> from biport.graph import Node
        >>> from biport.rewrite.states import explicit_states
        >>> weights = {name: {"h": np.full((1, 1), 0.5, "float32")} for name in ("weight_ih", "weight_hh")}
        >>> cell = ops.RNN(
        ...     input_size=1, hidden_size=1, activation="linear", **weights, bias_ih=None, bias_hh=None
        ... )
        >>> graph = Graph((Value("x", ("N", "T", 1), "float32"),), (Node("rnn", cell, ("x",)),), ("rnn",))
        >>> with reference_stream(explicit_states(graph)) as stream:
        ...     [stream.feed([np.ones((1, steps, 1))])[0].item() for steps in (1, 2)]
        [0.5, 0.875]
    """

    def __init__(self, plan: Streaming, run: Run, initial: Mapping[str, np.ndarray] | None = None) -> None:
        self.plan = plan
        self._run = run
        self._values = {value.name: value for value in plan.inputs}
        self.inputs: list[Value] = [value for value in plan.inputs if value.name not in plan.states]
        """What `feed` takes, in order."""
        names, after = [value.name for value in plan.outputs], set(plan.states.values())
        self.output_names: list[str] = [name for name in names if name not in after] or names
        """What `feed` gives, in order: the outputs that are no states, or all where there are no others."""
        self._initial = dict(initial or {})
        if unknown := sorted(self._initial.keys() - plan.states.keys()):
            names = ", ".join(plan.states) or "none"
            raise InputError(f"{unknown[0]!r} is no state of this model; its states are {names}")
        self._states: dict[str, np.ndarray] = {}
        self._last: dict[str, np.ndarray] = {}
        """What outputs that are of all steps so far were, and repeating ones at the last step."""
        self._begun: np.ndarray | None = None

    @property
    def states(self) -> dict[str, np.ndarray]:
        """What the states are now, by the names of the inputs; none before the first chunk."""
        return {name: array.copy() for name, array in self._states.items()}

    @property
    def rows(self) -> int | None:
        """How many rows the stream has; ``None`` before the first chunk."""
        return None if self._begun is None else len(self._begun)

    def feed(self, inputs: Inputs) -> list[np.ndarray]:
        """The outputs for the next steps of every row, in order; see `output_names`.

        Args:
            inputs: the next chunk of each input that comes in chunks, ``(N, T, ...)``, and what the others
                are, in order or by name. The first chunk says what N is; T may differ each time, and be 0.

        Raises:
            InputError: the inputs do not suit the model, or have more or fewer rows than those before.
        """
        arrays = check_arrays(self.inputs, {}, in_order([value.name for value in self.inputs], inputs))
        rows = self._rows(arrays)
        if self._begun is None:
            self._begin(rows)
        assert self._begun is not None
        if rows != len(self._begun):
            raise InputError(
                f"the stream has {len(self._begun)} rows since its first chunk, found {rows}; reset() starts "
                "another"
            )
        given = dict(zip((value.name for value in self.inputs), arrays, strict=True)) | self._states
        if self._is_empty(given):
            return self._unchanged(given)
        outputs = self._run([given[value.name] for value in self.plan.inputs])
        named = dict(zip((value.name for value in self.plan.outputs), map(np.asarray, outputs), strict=True))
        if self.plan.mask is not None:
            self._repeat(named, self._valid(self.plan.mask, given))
        self._states = {name: named[output] for name, output in self.plan.states.items()}
        self._last = {name: named[name] for name in self.plan.last}
        for name, axis in self.plan.repeating.items():
            self._last[name] = np.take(named[name], -1, axis)
        self._begun[:] = True
        return [named[name] for name in self.output_names]

    def reset(self, rows: Sequence[int] | np.ndarray | None = None) -> None:
        """Have rows start again; by default all of them, and the next chunk may have any number of rows.

        Args:
            rows: their numbers, or a mask of them.

        Raises:
            InputError: there are no such rows.
        """
        if rows is None:
            self._states, self._last, self._begun = {}, {}, None
            return
        if self._begun is None:
            raise InputError("the stream has no rows before its first chunk")
        try:
            at = np.arange(len(self._begun))[np.asarray(rows, dtype=None if len(rows) else int)]
        except IndexError as error:
            raise InputError(f"the stream has {len(self._begun)} rows, found {rows}") from error
        fresh = self._started(len(self._begun))
        for name, array in self._states.items():
            axis = batch_axis(self._values[name].shape) or 0
            index = (*(slice(None),) * axis, at)
            array = array.copy()
            array[index] = fresh[name][index]
            self._states[name] = array
        self._begun[at] = False

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.reset()

    def _rows(self, arrays: Sequence[np.ndarray]) -> int:
        sizes = letters(self.inputs, arrays)
        if BATCH in sizes:
            return sizes[BATCH]
        axes = ((array, batch_axis(value.shape)) for value, array in zip(self.inputs, arrays, strict=True))
        return next((array.shape[axis] for array, axis in axes if axis is not None), 1)

    def _begin(self, rows: int) -> None:
        self._states = self._started(rows)
        self._begun = np.zeros(rows, bool)

    def _started(self, rows: int) -> dict[str, np.ndarray]:
        """The states before the first step.

        Raises:
            InputError: those that were given are of another shape.
        """
        states = {}
        for name in self.plan.states:
            value = self._values[name]
            axis = batch_axis(value.shape)
            shape = tuple(
                rows if at == axis and not isinstance(dim, int) else dim for at, dim in enumerate(value.shape)
            )
            if not all(isinstance(dim, int) for dim in shape):
                raise InputError(f"state {name!r}: {value.tensor} has sizes that nothing tells")
            given = np.asarray(self._initial.get(name, np.zeros(shape)))  # type: ignore[arg-type]
            if given.shape != shape:
                raise InputError(
                    f"state {name!r}: expected {value.tensor} of {rows} rows, found {given.shape}"
                )
            states[name] = given.astype(value.dtype)
        return states

    def _is_empty(self, given: Mapping[str, np.ndarray]) -> bool:
        """Whether a chunk has no steps, and what is of all steps so far is known."""
        axes = {name: time_axis(self._values[name].shape) for name in self.plan.chunked}
        empty = [axis is not None and given[name].shape[axis] == 0 for name, axis in axes.items()]
        assert self._begun is not None
        known = not self.plan.last or (bool(self._last) and bool(self._begun.all()))
        return bool(empty) and all(empty) and known

    def _unchanged(self, given: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs of a chunk without steps."""
        sizes = letters(self.plan.inputs, [given[value.name] for value in self.plan.inputs])
        known = {output: self._states[name] for name, output in self.plan.states.items()}
        known |= {name: self._last[name] for name in self.plan.last}
        empty = {value.name: (bound(value.shape, sizes), value.dtype) for value in self.plan.outputs}
        return [known[name].copy() if name in known else np.empty(*empty[name]) for name in self.output_names]

    def _valid(self, graph: Graph, given: Mapping[str, np.ndarray]) -> np.ndarray:
        """``(N, T)``, the valid steps of a chunk."""
        floats = (value.dtype for value in graph.inputs if value.dtype in FLOATS)
        return reference.run(graph, [given[value.name] for value in graph.inputs], next(floats, "float32"))[0]

    def _repeat(self, outputs: dict[str, np.ndarray], valid: np.ndarray) -> None:
        """Have outputs be at steps that begin a chunk and are masked what they were before the chunk."""
        assert self._begun is not None
        if not self._last:
            return
        masked = self._begun[:, None] & ~np.logical_or.accumulate(valid, axis=1)
        resting = self._begun & ~valid.any(axis=1)
        for name in self.plan.last:
            axis = self._row_axis(name)
            if axis is not None:
                outputs[name] = np.where(
                    _along(resting, axis, outputs[name]), self._last[name], outputs[name]
                )
        for name, axis in self.plan.repeating.items():
            at = masked if axis else masked.T
            at = at.reshape(*at.shape, *(1,) * (outputs[name].ndim - 2))
            outputs[name] = np.where(at, np.expand_dims(self._last[name], axis), outputs[name])

    def _row_axis(self, name: str) -> int | None:
        return next(batch_axis(value.shape) for value in self.plan.outputs if value.name == name)


def _along(rows: np.ndarray, axis: int, array: np.ndarray) -> np.ndarray:
    """What is said of each row, beside an array that has them along an axis."""
    return rows.reshape([-1 if at == axis else 1 for at in range(array.ndim)])


def reference_stream(
    graph: Graph,
    states: Mapping[str, str] | None = None,
    initial: Mapping[str, np.ndarray] | None = None,
    dtype: str = "float64",
) -> Stream:
    """The oracle, in numpy.

    Args:
        graph: the model.
        states: see `plan_stream`.
        initial: see `Stream`.
        dtype: of the computation.

    Raises:
        UnsupportedError: chunks make a difference, see `plan_stream`.
    """
    exact = graph.astype(dtype)
    return Stream(plan_stream(exact, states), functools.partial(reference.run, exact, dtype=dtype), initial)
