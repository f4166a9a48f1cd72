"""What a class of somebody's own is in known ops: how a function says so, on every side.

A function that reads such a class is given a builder, applies ops to symbolic values, and gives what the
class gives: `keras_side.reads_class`, `torch_side.reads_class`. It runs none of the class's code.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biport import ops
from biport.dims import Dim
from biport.errors import BiportError, GraphError, InputError, UnsupportedError
from biport.ops import FLOATS, Op, Tensor
from biport.ops.elementwise import FUNCTIONS
from biport.registry import snake_case


@dataclass(frozen=True, eq=False)
class Symbolic:
    """A value of the graph that is being read; numbers and other values may be added to it and so on.

    Args:
        builder: what applies ops to it.
        source: its name in the graph, or what gives that when it is first needed.
        mask: which of its steps count, ``(N, T)``; ``None`` where all do.
    """

    builder: Builder
    source: str | Callable[[], str]
    mask: Symbolic | None = None

    @property
    def value(self) -> str:
        """Its name in the graph."""
        return self.source if isinstance(self.source, str) else self.source()

    @property
    def shape(self) -> tuple[Dim, ...]:
        """Its sizes, numbers or expressions of letters."""
        return tuple(self.builder.tensor(self.value).shape)

    @property
    def rank(self) -> int:
        """How many axes it has."""
        return len(self.shape)

    @property
    def dtype(self) -> str:
        """Its dtype."""
        return self.builder.tensor(self.value).dtype

    def __add__(self, other: Operand) -> Symbolic:
        return self.builder.function("add", self, other)

    def __radd__(self, other: Operand) -> Symbolic:
        return self.builder.function("add", other, self)

    def __sub__(self, other: Operand) -> Symbolic:
        return self.builder.function("subtract", self, other)

    def __rsub__(self, other: Operand) -> Symbolic:
        return self.builder.function("subtract", other, self)

    def __mul__(self, other: Operand) -> Symbolic:
        return self.builder.function("multiply", self, other)

    def __rmul__(self, other: Operand) -> Symbolic:
        return self.builder.function("multiply", other, self)

    def __truediv__(self, other: Operand) -> Symbolic:
        return self.builder.function("divide", self, other)

    def __rtruediv__(self, other: Operand) -> Symbolic:
        return self.builder.function("divide", other, self)

    def __pow__(self, other: Operand) -> Symbolic:
        return self.builder.function("pow", self, other)

    def __neg__(self) -> Symbolic:
        return self.builder.function("negative", self)

    def __matmul__(self, other: Operand) -> Symbolic:
        return self.builder.apply(ops.MatMul(), self, other)

    def __getitem__(self, index: Any) -> Symbolic:
        """Part of it, as an array's: ``x[:, -1]``, ``x[..., None]``."""
        items = list(index if isinstance(index, tuple) else (index,))
        if Ellipsis in items:
            at = items.index(Ellipsis)
            left = self.rank - sum(item is not None for item in items) + 1
            items[at : at + 1] = [slice(None)] * left
        return self.builder.apply(ops.Slice(items=tuple(map(_item, items))), self)

    def sum(self, axis: int | Sequence[int], keepdims: bool = False) -> Symbolic:
        """The sum along axes."""
        return self._reduced("sum", axis, keepdims)

    def mean(self, axis: int | Sequence[int], keepdims: bool = False) -> Symbolic:
        """The mean along axes."""
        return self._reduced("mean", axis, keepdims)

    def max(self, axis: int | Sequence[int], keepdims: bool = False) -> Symbolic:
        """The largest along axes."""
        return self._reduced("max", axis, keepdims)

    def _reduced(self, function: str, axis: int | Sequence[int], keepdims: bool) -> Symbolic:
        given = [axis] if isinstance(axis, int) else axis
        axes = tuple(sorted(one % self.rank for one in given))
        return self.builder.apply(ops.Reduction(function=function, axes=axes, keepdims=keepdims), self)

    def astype(self, dtype: str) -> Symbolic:
        """The same numbers in another dtype."""
        return self if dtype == self.dtype else self.builder.apply(ops.Cast(output_dtype=dtype), self)


def _item(item: Any) -> Any:
    """An index of one axis as `ops.Slice` has it."""
    if isinstance(item, slice):
        return item.start, item.stop, 1 if item.step is None else item.step
    return item


Operand = Symbolic | np.ndarray | float | int | bool


class Builder:
    """What a function that reads a class builds with; the sides say what becomes of an op."""

    def emit(
        self, op: Op, inputs: Sequence[str], masks: Sequence[str | None], name: str | None
    ) -> Sequence[str]:
        """Apply an op to values; the values it gives."""
        raise NotImplementedError

    def tensor(self, value: str) -> Tensor:
        """Shape and dtype of a value."""
        raise NotImplementedError

    def apply_all(
        self, op: Op, *inputs: Operand, masks: Sequence[Symbolic | None] = (), name: str | None = None
    ) -> tuple[Symbolic, ...]:
        """All outputs of an op.

        Args:
            op: of `biport.ops`, with its weights.
            inputs: symbolic values; numbers and arrays are constants.
            masks: for each input the mask that counts for it; without any, none does.
            name: what the node is called, behind the name of the layer.

        Raises:
            GraphError: the op does not suit its inputs.
        """
        like = next((x for x in inputs if isinstance(x, Symbolic) and x.dtype in FLOATS), None)
        given = [x if isinstance(x, Symbolic) else self._constant(x, like, inputs) for x in inputs]
        own = [None if mask is None else mask.value for mask in masks]
        own += [None] * (len(given) - len(own))
        return tuple(Symbolic(self, value) for value in self.emit(op, [x.value for x in given], own, name))

    def apply(
        self, op: Op, *inputs: Operand, masks: Sequence[Symbolic | None] = (), name: str | None = None
    ) -> Symbolic:
        """The first output of an op; see `apply_all`."""
        return self.apply_all(op, *inputs, masks=masks, name=name)[0]

    def function(self, function: str, *inputs: Operand, name: str | None = None) -> Symbolic:
        """A function of each element: one of `ops.Elementwise`, or an activation such as ``"tanh"``."""
        elementwise = function in FUNCTIONS
        op = ops.Elementwise(function=function) if elementwise else ops.Activation(function=function)
        return self.apply(op, *inputs, name=name)

    def softmax(self, x: Symbolic, axis: int = -1, name: str | None = None) -> Symbolic:
        """Softmax along an axis."""
        return self.apply(ops.Softmax(axis=axis), x, name=name)

    def where(self, condition: Symbolic, x: Operand, y: Operand, name: str | None = None) -> Symbolic:
        """``x`` where a condition holds, ``y`` elsewhere."""
        return self.apply(ops.Where(), condition, x, y, name=name)

    def constant(self, array: Any, name: str | None = None) -> Symbolic:
        """An array that is part of the program."""
        return self.apply(ops.Constant(value=np.asarray(array)), name=name or "constant")

    def parameter(self, array: np.ndarray, name: str, trainable: bool = True) -> Symbolic:
        """An array that training changes."""
        return self.apply(ops.Parameter(value=array, trainable=trainable), name=name)

    def _constant(self, number: Any, like: Symbolic | None, inputs: Sequence[Operand]) -> Symbolic:
        """A number or an array as a value, in the dtype of what it is computed with."""
        array = np.asarray(number)
        other = like or next(x for x in inputs if isinstance(x, Symbolic))
        return self.constant(array if array.dtype == "bool" else array.astype(other.dtype))


def node_name(op: Op) -> str:
    """What a node is called that nobody gave a name."""
    return snake_case(str(getattr(op, "function", None) or op.kind))


def described(function: Callable[..., Any]) -> str:
    """A function of somebody's own, for messages: its name, and where it is."""
    try:
        path, line = inspect.getsourcefile(function), inspect.getsourcelines(function)[1]
    except (OSError, TypeError):
        return getattr(function, "__qualname__", repr(function))
    return f"{function.__qualname__} ({Path(path or '').name}, line {line})"


@contextmanager
def named_errors(owner: str, function: Callable[..., Any]) -> Iterator[None]:
    """Have whatever a function of somebody's own raises name it, and the layer that it reads.

    Raises:
        InputError: it raised something else than an error of biport.
    """
    try:
        yield
    except UnsupportedError:
        raise
    except BiportError as error:
        raise type(error)(f"{owner}: as read by {described(function)}: {error}") from error
    except Exception as error:  # A function of the user's own fails in any way.
        reason = " ".join(str(error).split())
        raise InputError(
            f"{owner}: {described(function)}, which reads it, fails: {type(error).__name__}: {reason}"
        ) from error


def symbolic_outputs(given: Any) -> list[Symbolic]:
    """What a function that reads a class gave, in one list.

    Raises:
        GraphError: it gave something else than symbolic values.
    """
    parts = list(given.values()) if isinstance(given, Mapping) else given
    parts = list(parts) if isinstance(parts, list | tuple) else [parts]
    if not parts or not all(isinstance(part, Symbolic) for part in parts):
        raise GraphError(f"it should give what the layer gives, symbolic values; found {given!r}")
    return parts
