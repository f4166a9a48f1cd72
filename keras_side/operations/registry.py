"""Which function reads which operation of Keras, and what a reader has to know of a call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import numpy as np

from biport import ops
from biport.errors import BiportError, GraphError, UnsupportedError, WeightError
from biport.ops import EVERY_DTYPE, FLOATS, Op
from biport.ops.convolution import CONVOLUTIONS, TRANSPOSED
from biport.ops.pooling import MAXIMA, MEANS
from biport.ops.shape import ZERO_PADDINGS
from biport.registry import Registry, snake_case
from keras_side.operations.terms import FLOAT, Term, as_float, cast, common_dtype, constant

Numbers = bool | int | float


class Weights(NamedTuple):
    """An array that is known while a model is read.

    Args:
        array: its numbers.
        trainable: whether training changes them.
    """

    array: np.ndarray
    trainable: bool


DTYPES = ("bool", "int32", "int64", "float32", "float64")


@dataclass(frozen=True, eq=False)
class OperationCall:
    """An operation and what it was called with.

    Args:
        class_name: such as ``"Reshape"``.
        owner: how errors call it.
        config: its settings.
        arguments: by name: a term for each tensor and each array, or a Python value.
    """

    class_name: str
    owner: str
    config: Mapping[str, Any]
    arguments: Mapping[str, Any]
    known: Callable[[str], Weights | None] = lambda value: None
    """What is known of a value of the graph."""
    _used: set[str] = field(default_factory=set)

    def refusal(self, setting: str, value: Any, supported: str | Sequence[str]) -> UnsupportedError:
        """Why this call cannot be read."""
        return UnsupportedError(self.owner, setting, value, supported)

    def setting(self, name: str, default: Any = None) -> Any:
        """A setting, or what it is where the file is silent."""
        self._used.add(name)
        return self.config.get(name, default)

    def require(self, **wanted: Any) -> None:
        """Refuse settings that are not what they are here."""
        for name, value in wanted.items():
            given = self.setting(name, value)
            if type(given) is not type(value) or given != value:
                raise self.refusal(name, given, repr(value))

    def check_settings(self) -> None:
        """Refuse settings that nobody has asked for."""
        for name in self.config:
            if name not in self._used and name != "name":
                raise self.refusal(name, self.config[name], "calls without it")

    def flag(self, name: str) -> bool:
        """A setting that is true or false, false by default."""
        value = self.setting(name, False)
        if not isinstance(value, bool):
            raise self.refusal(name, value, "True or False")
        return value

    def integer(self, name: str, default: int | None = None) -> int:
        """A setting that is a whole number."""
        value = self.setting(name, default)
        if not is_whole(value):
            raise self.refusal(name, value, "an integer")
        return value

    def real(self, name: str, default: float | None = None) -> float:
        """A setting that is a number."""
        value = self.setting(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.refusal(name, value, "a number")
        return float(value)

    def axis(self, rank: int, name: str = "axis", default: int | None = None) -> int:
        """A setting that is one of ``rank`` axes, counted from the front."""
        return self._axis(name, self.setting(name, default), rank)

    def axes(self, rank: int, name: str = "axis") -> tuple[int, ...]:
        """A setting that is one axis or several, counted from the front; ``None`` is all of them."""
        value = self.setting(name)
        if value is None:
            return tuple(range(rank))
        items = value if isinstance(value, list | tuple) else [value]
        axes = tuple(self._axis(name, item, rank) for item in items)
        if len(set(axes)) < len(axes):
            raise self.refusal(name, value, "each axis once")
        return axes

    def _axis(self, name: str, value: Any, rank: int) -> int:
        if not is_whole(value) or not -rank <= value < rank:
            raise self.refusal(name, value, f"axes of {rank} dimensions")
        return value % rank

    def dtype(self, name: str = "dtype", default: str | None = None) -> str:
        """A setting that is a dtype; float32 for every float."""
        value = self.setting(name)
        value = default if value is None else value
        if value not in EVERY_DTYPE:
            raise self.refusal(name, value, DTYPES)
        return FLOAT if value in FLOATS else str(value)

    def item(self, name: str) -> Any:
        """An argument: a term, or a Python value; ``None`` where it was left out."""
        return self.arguments.get(name)

    def term(self, name: str = "x") -> Term:
        """An argument as a term.

        Raises:
            UnsupportedError: it is something else.
        """
        return self.as_term(self.item(name), name)

    def terms(self, *names: str) -> list[Term]:
        """Arguments as terms."""
        return [self.term(name) for name in names]

    def numbers(self, name: str) -> Weights:
        """An argument that is a constant or a weight.

        Raises:
            UnsupportedError: it is computed.
        """
        term = self.term(name)
        if term.constant is not None:
            return Weights(term.constant, trainable=False)
        weights = self.known(term.source) if isinstance(term.source, str) else None
        if weights is None:
            raise self.refusal(name, "computed by the model", "a weight or a constant")
        return weights

    def several(self, name: str) -> list[Term]:
        """An argument that is a list of tensors."""
        items = self.item(name)
        if not isinstance(items, list) or not items:
            raise self.refusal(name, items, "a list of tensors")
        return [self.as_term(item, name) for item in items]

    def promoted(self, *names: str, least: str = "bool") -> list[Term]:
        """Arguments in the dtype that Keras promotes them to, which is ``least`` or more."""
        items = [self.item(name) for name in names]
        dtype = common_dtype(
            least, *(self._weak_dtype(item, name) for item, name in zip(items, names, strict=True))
        )
        return [cast(self.as_term(item, name), dtype) for item, name in zip(items, names, strict=True)]

    def _weak_dtype(self, item: Any, name: str) -> str:
        if isinstance(item, bool) or not isinstance(item, int | float):
            return self.as_term(item, name).dtype
        return "int" if isinstance(item, int) else "float"

    def as_term(self, item: Any, name: str) -> Term:
        """A term, a number or a list of numbers as a term."""
        if isinstance(item, Term):
            return item
        if isinstance(item, bool | int | float | list):
            try:
                return array_term(item)
            except (TypeError, ValueError, OverflowError, BiportError):
                pass
        raise self.refusal(name, item, "tensors, numbers, and arrays of numbers other than NaN")


def is_whole(value: object) -> bool:
    """Whether it is a whole number, not a boolean."""
    return isinstance(value, int) and not isinstance(value, bool)


def array_term(value: Any) -> Term:
    """Python's numbers, or an array, as a constant: int32 and float32, as TensorFlow converts them."""
    array = np.asarray(value)
    if array.dtype == "int64" and not isinstance(value, np.ndarray):
        info = np.iinfo("int32")
        fits = array.size == 0 or (info.min <= array.min() and array.max() <= info.max)
        array = array.astype("int32") if fits else array
    if array.size == 0 and not isinstance(value, np.ndarray):
        array = array.astype("float64")
    return constant(array.astype("float64") if array.dtype.name in FLOATS else array)


Read = Callable[[OperationCall], Term | list[Term]]
Reader = TypeVar("Reader", bound=Read)


@dataclass(frozen=True)
class OperationReader:
    """How an operation is read.

    Args:
        read: gives what it computes: a term, or one for each of its outputs.
        takes: the names of the arguments of a call, in order; the last one may have a star.
        functions: what it is called in ``keras.ops``.
    """

    read: Read
    takes: Sequence[str]
    functions: Sequence[str]


OPERATIONS: Registry[str, OperationReader] = Registry("operation")

NAMES: Mapping[str, Sequence[str]] = {
    "Abs": (),
    "Absolute": ("abs", "absolute"),
    "Argmax": ("argmax",),
    "Argmin": ("argmin",),
    "BatchNorm": ("batch_normalization",),
    "Conj": (),
    "Conjugate": ("conj", "conjugate"),
    "HardSilu": ("hard_silu", "hard_swish"),
    "LayerNorm": ("layer_normalization",),
    "Mish": (),
    "RMSNorm": ("rms_normalization",),
    "ReLU": (),
    "Resize": (),
    "Silu": ("silu", "swish"),
    "TopK": ("top_k",),
}
"""Functions of ``keras.ops`` that are not called like their class; of `keras.activations` there are none."""

MADE: Sequence[type[Op]] = (
    *(ops.Activation, ops.Arange, ops.ArgReduction, ops.ArgSort, ops.BroadcastTo, ops.Cast, ops.Clip),
    *(ops.Concatenate, ops.Constant, ops.CumulativeSum, ops.ELU, ops.Einsum, ops.Elementwise, ops.ExpandDims),
    *(ops.Flip, ops.Full, ops.Identity, ops.LeakyReLU, ops.LogSoftmax, ops.MatMul, ops.OneHot, ops.Pad),
    *(ops.PermuteDims, ops.ReLU, ops.Reduction, ops.Repeat, ops.ReshapeTo, ops.Roll, ops.SizeOf, ops.Slice),
    *(ops.Softmax, ops.Sort, ops.Split, ops.Squeeze, ops.Stack, ops.Take, ops.TakeAlongAxis, ops.Tile),
    *(ops.ToIds, ops.TopK, ops.Unstack, ops.Where),
)
"""What operations are read as, but for those of `WINDOWED`."""

WINDOWED: Sequence[type[Op]] = (
    *(*CONVOLUTIONS.values(), *TRANSPOSED.values(), ops.SeparableConv1D, ops.SeparableConv2D),
    *(*MAXIMA.values(), *MEANS.values(), *ZERO_PADDINGS.values(), ops.UpSampling2D),
)
"""What operations over several axes are read as."""


def reads(*classes: str, takes: Sequence[str] = ("x",)) -> Callable[[Reader], Reader]:
    """Decorate the function that reads the operations of some classes."""

    def keep(function: Reader) -> Reader:
        for name in classes:
            of_keras = not name.startswith("tf.")
            functions = NAMES.get(name, (snake_case(name),)) if of_keras else ()
            OPERATIONS.register(name)(OperationReader(function, takes, functions))
        return function

    return keep


def bind(
    takes: Sequence[str], arguments: Sequence[Any], options: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    """The arguments of a call by name.

    Raises:
        ValueError: there are more than the operation takes.
    """
    names = list(takes)
    if names and names[-1].startswith("*"):
        rest = names.pop()[1:]
        yield rest, list(arguments[len(names) :])
        arguments = arguments[: len(names)]
    if len(arguments) > len(names):
        raise ValueError(f"{len(arguments)} arguments, {len(names)} at most")
    yield from zip(names, arguments, strict=False)
    yield from ((name, options[name]) for name in options if name in takes)


def read_operation(call: OperationCall) -> list[Term]:
    """What an operation computes, a term for each output.

    Raises:
        UnsupportedError: no ops of a graph do.
    """
    reader = OPERATIONS.lookup(call.class_name, call.owner)
    try:
        terms = reader.read(call)
    except (GraphError, WeightError) as error:
        raise call.refusal("call", str(error), "shapes and dtypes that go together") from error
    call.check_settings()
    return terms if isinstance(terms, list) else [terms]


__all__ = ["OPERATIONS", "OperationCall", "OperationReader", "as_float", "bind", "read_operation", "reads"]
