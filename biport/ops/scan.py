"""A recurrence over a body: one step is a graph of its own."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self, final

from biport.dims import Dim, Size, letters_in, plain
from biport.errors import GraphError, UnsupportedError
from biport.ops.base import Op
from biport.ops.checks import TooShortError, need
from biport.ops.recurrent import Recurrent, check_states
from biport.ops.rows import rows_meet
from biport.ops.tensor import FLOATS, Tensor, Value, same_dim
from biport.ops.wiring import wired


@dataclass(frozen=True)
class Call:
    """One op of a body applied to values: a node of the step.

    Args:
        name: unique in the body.
        op: the name of the op; two calls of one share its weights.
        inputs: the names of the values it reads.
        outputs: the names of the values it makes; by default its own name.
        masks: for each input the name of its mask, or ``None``; by default no masks.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    masks: tuple[str | None, ...] = ()

    def __post_init__(self) -> None:
        for field, given in (
            ("inputs", self.inputs),
            ("outputs", self.outputs or (self.name,)),
            ("masks", self.masks or (None,) * len(self.inputs)),
        ):
            object.__setattr__(self, field, tuple(given))


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Scan(Recurrent):
    """A recurrence of which one step is a graph, the body: what any cell is.

    Inputs are the sequence ``(N, T, I)``; then all initial states, ``(N, size)`` each, or none of them, which
    is zeros; then the constants, which every step is given as they are. At each step the body makes of x
    ``(N, I)``, the states and the constants the output ``(N, O)`` and the new states. Masks, directions and
    what is returned are those of every `Recurrent`. Where the body says so, x, states and output have
    further fixed sizes in front of the features: images ``(N, T, H, W, I)``, states ``(N, H, W, size)``.

    The letters of the body's sizes are its own: what they stand for is seen from the arrays of a step. The
    first size of x is the rows. `biport.graph.body_of` shows the body as a graph, and
    `biport.graph.scan_over` makes a Scan of one.

    Args:
        body: the ops of a step by name, each once however often it is called. No name has a slash, and none
            begins with another and a dot: they stand in the paths of the weights, ``body.score.weight``.
        calls: the nodes of a step, in an order in which each reads only what is above it.
        arguments: name, shape and dtype of x, then of each state, then of each constant.
        results: the names of the output, then of the new states.
        state_count: how many states there are, one or more.

    Raises:
        GraphError: the body is no graph, or not of that many states.
        UnsupportedError: x, a state or the output is not of ``(N, ..., size)`` floats, fixed but for N.
    """

    goes_both_ways: ClassVar[bool] = False

    body: Mapping[str, Op]
    calls: tuple[Call, ...]
    arguments: tuple[Value, ...]
    results: tuple[str, ...]
    state_count: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "body", dict(self.body))
        object.__setattr__(self, "calls", tuple(_each(Call, self.calls)))
        object.__setattr__(self, "arguments", tuple(_each(Value, self.arguments)))
        object.__setattr__(self, "results", tuple(self.results))
        self._check_names()
        self._check_sizes()

    def _check_names(self) -> None:
        for name, op in self.body.items():
            if not isinstance(name, str) or not isinstance(op, Op):
                raise GraphError(f"{self.kind}: a body should have ops by name, found {name!r}: {op!r}")
            crowded = [other for other in self.body if other != name and not apart(name, other)]
            if not name or "/" in name or crowded:
                raise GraphError(f"{self.kind}: {name!r} is no name for an op in the paths of weights")
        called = {call.op for call in self.calls}
        for missing in sorted(called ^ self.body.keys()):
            what = "is called but not there" if missing in called else "is never called"
            raise GraphError(f"{self.kind}: the op {missing!r} of its body {what}")

    def _check_sizes(self) -> None:
        count = self.state_count
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise GraphError(f"{self.kind}: state_count should be one or more, found {count!r}")
        if len(self.results) != 1 + count or len(self.arguments) < 1 + count:
            raise GraphError(
                f"{self.kind}: a step with {count} states takes x, them and constants, and gives its output "
                f"and them, found {len(self.arguments)} arguments and {len(self.results)} results"
            )
        rows = self.arguments[0].shape[:1]
        if not rows or not isinstance(rows[0], Size) or not rows[0].is_letter:
            raise GraphError(f"{self.kind}: a step takes x (N, I), found {self.arguments[0].tensor}")
        ends = [*self.results, *(value.name for value in self.arguments[: 1 + count])]
        for name in ends:
            tensor = self.tensors[name]
            fixed = len(tensor.shape) > 1 and all(isinstance(size, int) for size in tensor.shape[1:])
            if (
                not fixed
                or tensor.shape[:1] != rows
                or tensor.dtype != self.dtype
                or tensor.dtype not in FLOATS
            ):
                given = f"{name!r} {tensor}"
                wanted = f"x, states and an output of one float dtype, {rows[0]} rows of a fixed size"
                raise UnsupportedError(self.kind, "body", given, wanted)
        for value, result in zip(self.arguments[1 : 1 + count], self.results[1:], strict=True):
            if value.tensor != self.tensors[result]:
                raise GraphError(
                    f"{self.kind}: the state {value.name!r} is {value.tensor} before a step, "
                    f"and {self.tensors[result]} after it"
                )

    @cached_property
    def tensors(self) -> Mapping[str, Tensor]:
        """Shape and dtype of every value of the body."""
        return self._wired({})

    def _wired(self, sizes: Mapping[str, Dim]) -> dict[str, Tensor]:
        """`tensors` with numbers, or other sizes, in place of letters."""
        ops = {name: op.at(sizes) for name, op in self.body.items()}
        return wired(
            [value.at(sizes) for value in self.arguments],
            ((call, ops[call.op]) for call in self.calls),
            self.results,
        )

    @property
    def constant_count(self) -> int:
        """How many arguments are neither x nor states."""
        return len(self.arguments) - 1 - self.state_count

    @property
    def sizes(self) -> tuple[int, int]:
        """I and O."""
        return self.step_shape[-1], self._shape(self.results[0])[-1]

    @property
    def step_shape(self) -> tuple[int, ...]:
        """x of a step behind the rows: I, or more sizes in front of it."""
        return self._shape(self.arguments[0].name)

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """The width of each state."""
        return tuple(self._shape(name)[-1] for name in self.results[1:])

    @property
    def rank(self) -> int:
        """How many sizes a step has behind the rows."""
        return len(self.step_shape)

    def output_shape(self, step: Sequence[Dim] = ()) -> tuple[int, ...]:
        """As the body says, whatever x is."""
        return self._shape(self.results[0])

    def state_shapes(self, step: Sequence[Dim] = ()) -> tuple[tuple[int, ...], ...]:
        """As the body says, whatever x is."""
        return tuple(map(self._shape, self.results[1:]))

    def _shape(self, name: str) -> tuple[int, ...]:
        """A value of the body behind the rows."""
        return tuple(size for size in self.tensors[name].shape[1:] if isinstance(size, int))

    @property
    def states(self) -> tuple[str, ...]:
        """What the body calls its states."""
        return tuple(value.name for value in self.arguments[1 : 1 + self.state_count])

    @property
    def state_names(self) -> tuple[str, ...]:
        """What the body calls them."""
        return self.states

    @cached_property
    def dtype(self) -> str:
        """Of x, the states and the output."""
        return self.arguments[0].dtype

    def settings(self) -> dict[str, Any]:
        """As for every op; calls and arguments are plain data."""
        calls = [dataclasses.asdict(call) for call in self.calls]
        arguments = [
            {"name": value.name, "shape": plain(value.shape), "dtype": value.dtype}
            for value in self.arguments
        ]
        return super().settings() | {"calls": calls, "arguments": arguments}

    def astype(self, dtype: str) -> Self:
        inside = self._fields_of({path: part.astype(dtype) for path, part in self.parts().items()})
        arguments = tuple(
            dataclasses.replace(value, dtype=dtype) if value.dtype in FLOATS else value
            for value in self.arguments
        )
        return dataclasses.replace(self, arguments=arguments, **inside)

    @cached_property
    def letters(self) -> frozenset[str]:
        """None: those of the body are its own."""
        return frozenset()

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        counts = 1 + self.constant_count, 1 + self.state_count + self.constant_count
        if len(inputs) not in counts:
            raise GraphError(
                f"{self.kind} takes {counts[0]} inputs, or {counts[1]} with states, found {len(inputs)}"
            )
        x, initial, constants = self.split(inputs)
        need(self, x, 2 + self.rank, (self.dtype,), self.sizes[0])
        check_states(self, initial, self.state_shapes())
        self._check_step([Tensor((x.shape[0], *x.shape[2:]), x.dtype), *constants])
        return self.results_of(x)

    def _check_step(self, given: Sequence[Tensor]) -> None:
        """Refuse x or constants of which the body can make nothing."""
        known: dict[str, int] = {}
        for value, tensor in zip([self.arguments[0], *self.constant_arguments], given, strict=True):
            pairs = list(zip(value.shape, tensor.shape, strict=False))
            alike = len(value.shape) == len(tensor.shape) and value.dtype == tensor.dtype
            if not alike or not all(same_dim(own, size) for own, size in pairs):
                raise GraphError(f"{self.kind} takes {value.name!r} of {value.tensor}, found {tensor}")
            for own, size in pairs:
                number = size if isinstance(own, Size) and own.is_letter and isinstance(size, int) else None
                if number is not None and known.setdefault(str(own), number) != number:
                    raise GraphError(f"{self.kind}: {own} is {known[str(own)]} and {size}")
        if known:
            try:
                self._wired(known)
            except TooShortError as error:
                raise TooShortError(f"{self.kind}: {error}", error.axis) from error
            except GraphError as error:
                raise GraphError(f"{self.kind}: {error}") from error

    @property
    def constant_arguments(self) -> tuple[Value, ...]:
        """The arguments that are neither x nor states."""
        return self.arguments[1 + self.state_count :]

    def _steps(self) -> Iterator[tuple[Call, Op, list[Tensor]]]:
        """Each call, its op and what that is given."""
        for call in self.calls:
            yield call, self.body[call.op], [self.tensors[name] for name in call.inputs]

    def mixes_rows(self, inputs: Sequence[Tensor]) -> bool:
        rows = letters_in(self.arguments[0].shape[0])
        return any(
            rows_meet(op, given, [self.tensors[name] for name in call.outputs], rows)
            for call, op, given in self._steps()
        )

    def may_be_nan(self, inputs: Sequence[Tensor], masked: bool) -> bool:
        return any(
            op.may_be_nan(given, bool(call.masks) and call.masks[0] is not None)
            for call, op, given in self._steps()
        )

    def sum_length(self, inputs: Sequence[Tensor]) -> int:
        return max((op.sum_length(given) for _, op, given in self._steps()), default=1)

    def __repr__(self) -> str:
        kinds = Counter(op.kind for _, op, _ in self._steps())
        body = ", ".join(kind if count == 1 else f"{count} {kind}" for kind, count in kinds.items())
        states = zip(self.states, map(_sizes, self.state_shapes()), strict=True)
        constants = [f"{value.name} {value.tensor}" for value in self.constant_arguments]
        flags = ("reverse", "return_sequences", "return_state", "zero_output_for_mask")
        width, size = _sizes(self.step_shape), _sizes(self.output_shape())
        parts = [
            *(f"input_size={width}", f"output_size={size}"),
            f"states=({', '.join(f'{name} {wide}' for name, wide in states)})",
            *([f"constants=({', '.join(constants)})"] if constants else []),
            f"body=({body or 'nothing'})",
            *(flag for flag in flags if getattr(self, flag)),
        ]
        return f"{self.kind}({', '.join(parts)})"


def apart(one: str, two: str) -> bool:
    """Whether paths that begin with one of two names cannot be taken for paths of the other."""
    return not f"{one}.".startswith(f"{two}.") and not f"{two}.".startswith(f"{one}.")


def _sizes(shape: Sequence[int]) -> str:
    """A shape behind the rows as text: ``3``, or ``8x6x3``."""
    return "x".join(map(str, shape))


def _each(kind: type, given: Sequence[Any]) -> Iterator[Any]:
    """Objects of a kind, of such or of their plain data."""
    for one in given:
        yield kind(**one) if isinstance(one, Mapping) else one
