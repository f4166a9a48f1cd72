"""The operations of a graph: one frozen, self-validating dataclass each.

Shape letters: N batch, T time, I input, H hidden, O output, G gates, D directions, V vocabulary.

An op carries its weights as numpy arrays, all of one float dtype, and says with `Op.infer` what it
makes of its inputs. What it computes is defined by `biport.reference`, in numpy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, final

import numpy as np

from biport.errors import GraphError, WeightError
from biport.gates import LSTM_GATES

Dim = int | str
"""A size, or the letter of one that varies: ``"N"``, ``"T"``."""

FLOATS = ("float32", "float64")
INTEGERS = ("int32", "int64")

ACTIVATIONS = ("linear", "sigmoid", "tanh", "relu", "softmax")
MERGE_MODES = ("concat", "sum", "mul", "ave", None)

Gates = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Tensor:
    """The shape and dtype of a value."""

    shape: tuple[Dim, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.dtype} ({', '.join(str(dim) for dim in self.shape)})"


def same_dim(a: Dim, b: Dim) -> bool:
    """Whether two sizes can be equal: letters can be anything, numbers only themselves."""
    return isinstance(a, str) or isinstance(b, str) or a == b


class Op:
    """What every operation has; subclasses are final, frozen dataclasses.

    Fields that hold arrays, mappings of gates to arrays, or another op are its weights; all other
    fields are its settings.
    """

    masked: ClassVar[tuple[int, ...]] = ()
    """The positions of the inputs that may come with a ``(N, T)`` mask."""

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The outputs' shapes and dtypes.

        Raises:
            GraphError: the inputs do not suit this op.
        """
        raise NotImplementedError

    @property
    def output_count(self) -> int:
        """How many outputs `infer` gives."""
        return 1

    @property
    def kind(self) -> str:
        """The op's name, such as ``"LSTM"``."""
        return type(self).__name__

    def settings(self) -> dict[str, Any]:
        """Everything but the weights, by field name; an inner op gives a mapping with its ``kind``."""
        found = {}
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, Op):
                found[field.name] = {"kind": value.kind, **value.settings()}
            elif not _is_weight(field):
                found[field.name] = value
        return found

    def weights(self) -> dict[str, np.ndarray]:
        """The weights by path: ``weight_ih.i``, ``forward.bias_ih.f``."""
        found: dict[str, np.ndarray] = {}
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                found[field.name] = value
            elif isinstance(value, Mapping):
                found |= {f"{field.name}.{gate}": array for gate, array in value.items()}
            elif isinstance(value, Op):
                found |= {f"{field.name}.{path}": array for path, array in value.weights().items()}
        return found

    @classmethod
    def build(cls, settings: Mapping[str, Any], weights: Mapping[str, np.ndarray]) -> Self:
        """The op with these `settings` and `weights`, as those two methods give them.

        Raises:
            GraphError: settings are missing, unknown, or do not suit each other.
            WeightError: weights are missing, left over, or of the wrong shape.
        """
        values: dict[str, Any] = {}
        left = dict(weights)
        for field in dataclasses.fields(cls):  # type: ignore[arg-type]
            inner = settings.get(field.name)
            nested = {
                path.split(".", 1)[1]: left.pop(path)
                for path in list(left)
                if path.startswith(field.name + ".")
            }
            if isinstance(inner, Mapping) and "kind" in inner:
                rest = {key: value for key, value in inner.items() if key != "kind"}
                values[field.name] = op_class(inner["kind"]).build(rest, nested)
            elif nested:
                values[field.name] = nested
            elif field.name in left:
                values[field.name] = left.pop(field.name)
            elif field.name in settings:
                values[field.name] = settings[field.name]
            elif _is_weight(field):
                values[field.name] = None
        unknown = sorted(settings.keys() - values.keys())
        if unknown:
            raise GraphError(f"{cls.__name__}: unknown settings {unknown}")
        if left:
            raise WeightError(f"{cls.__name__}: weights left over: {sorted(left)}")
        try:
            return cls(**values)
        except TypeError as error:
            raise GraphError(f"{cls.__name__}: {error}") from error

    def astype(self, dtype: str) -> Self:
        """The same op with its weights in another float dtype."""
        cast = {path: array.astype(dtype) for path, array in self.weights().items()}
        return type(self).build(self.settings(), cast)

    @property
    def dtype(self) -> str | None:
        """The weights' dtype; ``None`` for an op without weights."""
        return next((array.dtype.name for array in self.weights().values()), None)

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other) or not isinstance(other, Op):
            return NotImplemented
        mine, yours = self.weights(), other.weights()
        return (
            self.settings() == other.settings()
            and mine.keys() == yours.keys()
            and all(same_bits(mine[path], yours[path]) for path in mine)
        )

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"{self.kind}({', '.join(_shown(self))})"


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays are equal bit for bit, the sign of zero included."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def op_class(kind: str) -> type[Op]:
    """The op class called ``kind``.

    Raises:
        GraphError: there is none.
    """
    for candidate in Op.__subclasses__():
        if candidate.__name__ == kind:
            return candidate
    raise GraphError(
        f"there is no op {kind!r}; known: {', '.join(sorted(c.__name__ for c in Op.__subclasses__()))}"
    )


def _is_weight(field: dataclasses.Field) -> bool:
    return bool(field.metadata.get("weight"))


def parameter() -> Any:
    """Declare a field that holds weights, or ``None`` for weights the layer does without."""
    return dataclasses.field(metadata={"weight": True})


def _shown(op: Op) -> list[str]:
    """The settings worth a line of text: those that differ from their defaults."""
    parts = []
    for field in dataclasses.fields(op):  # type: ignore[arg-type]
        value = getattr(op, field.name)
        if isinstance(value, Op):
            parts.append(f"{field.name}={value}")
        elif _is_weight(field):
            # A second bias is torch's habit, its absence is not worth a word.
            parts += [f"{field.name}=None"] if value is None and field.name != "bias_hh" else []
        elif value is True:
            parts.append(field.name)
        elif field.default is dataclasses.MISSING or value != field.default:
            parts.append(f"{field.name}={value}")
    return parts


def _check_array(owner: str, name: str, array: object, shape: tuple[int, ...], dtype: str | None) -> None:
    if not isinstance(array, np.ndarray):
        raise WeightError(f"{owner}: {name} is missing")
    if array.shape != shape:
        raise WeightError(f"{owner}: {name} should have shape {shape}, found {array.shape}")
    if array.dtype.name not in FLOATS or (dtype is not None and array.dtype.name != dtype):
        wanted = dtype or " or ".join(FLOATS)
        raise WeightError(f"{owner}: {name} should be {wanted}, found {array.dtype.name}")
    if not np.isfinite(array).all():
        raise WeightError(f"{owner}: {name} holds NaN or infinite numbers")


def _check_sizes(owner: str, **sizes: int) -> None:
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise GraphError(f"{owner}: {name} should be a positive integer, found {size!r}")


def _check_choice(owner: str, name: str, value: object, choices: Sequence[object]) -> None:
    if value not in choices:
        raise GraphError(f"{owner}: {name} should be one of {list(choices)}, found {value!r}")


def _take(op: Op, inputs: Sequence[Tensor], count: int) -> Sequence[Tensor]:
    if len(inputs) != count:
        raise GraphError(f"{op.kind} takes {count} input{'s' * (count != 1)}, found {len(inputs)}")
    return inputs


def _need(op: Op, tensor: Tensor, rank: int | None, dtypes: Sequence[str], last: Dim | None = None) -> None:
    if rank is not None and len(tensor.shape) != rank:
        raise GraphError(f"{op.kind} takes {rank} dimensions, found {tensor}")
    if tensor.dtype not in dtypes:
        raise GraphError(f"{op.kind} takes {' or '.join(dtypes)}, found {tensor}")
    if last is not None and not same_dim(tensor.shape[-1], last):
        raise GraphError(f"{op.kind} takes a last dimension of {last}, found {tensor}")


def _floats(op: Op) -> Sequence[str]:
    return FLOATS if op.dtype is None else (op.dtype,)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class NotEqual(Op):
    """``ids != value``: the mask of a padded batch, ``(N, T)`` integers to ``(N, T)`` booleans."""

    value: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            raise GraphError(f"NotEqual: value should be an integer, found {self.value!r}")

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (ids,) = _take(self, inputs, 1)
        _need(self, ids, 2, INTEGERS)
        return (Tensor(ids.shape, "bool"),)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LogicalOr(Op):
    """A step is valid where it is valid in any of the masks: ``(N, T)`` booleans, two or more."""

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        if len(inputs) < 2:
            raise GraphError(f"LogicalOr takes two or more inputs, found {len(inputs)}")
        for mask in inputs:
            _need(self, mask, 2, ("bool",))
        _match_shapes(self, inputs, axis=None)
        return (inputs[0],)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Embedding(Op):
    """Rows of a table: ``(N, T)`` integers in ``[0, V)`` to ``(N, T, O)``.

    Args:
        num_embeddings: V; Keras ``input_dim``.
        embedding_dim: O; Keras ``output_dim``.
        weight: the table, ``(V, O)``.
        mask_zero: Keras' flag that id 0 is padding. It changes nothing here: the mask it gives rise to
            is a `NotEqual` node of its own.
    """

    num_embeddings: int
    embedding_dim: int
    mask_zero: bool = False
    weight: np.ndarray = parameter()

    def __post_init__(self) -> None:
        _check_sizes(self.kind, num_embeddings=self.num_embeddings, embedding_dim=self.embedding_dim)
        _check_array(self.kind, "weight", self.weight, (self.num_embeddings, self.embedding_dim), None)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (ids,) = _take(self, inputs, 1)
        _need(self, ids, None, INTEGERS)
        return (Tensor((*ids.shape, self.embedding_dim), self.weight.dtype.name),)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LSTM(Op):
    """Long short-term memory over ``(N, T, I)``, with ``x[t]`` ``(N, I)`` and ``h``, ``c`` ``(N, H)``.

    At each step, with σ the sigmoid and one weight pair and bias pair a gate::

        i, f, o = σ(x Wᵀ + b_ih + h Rᵀ + b_hh)      c~ = tanh(x Wᵀ + b_ih + h Rᵀ + b_hh)
        c = f * c + i * c~                           h = o * tanh(c)

    Where the mask is false the step is skipped: ``h`` and ``c`` are carried over, and the output at
    that step repeats the previous output (zeros before the first valid step), or is zero with
    ``zero_output_for_mask``. A row with no valid step gives zeros.

    Args:
        input_size: I.
        hidden_size: H; Keras ``units``.
        reverse: walk from the last step to the first; the output stays in that order. Keras
            ``go_backwards``.
        return_sequences: give ``(N, T, H)``, every step's output, instead of ``(N, H)``, the last's.
        zero_output_for_mask: zeros at masked steps instead of the previous output.
        dropout: share of the inputs dropped in training; nothing at inference.
        recurrent_dropout: share of the states dropped in training; nothing at inference.
        weight_ih: ``{gate: (H, I)}`` for the gates i, f, o and c.
        weight_hh: ``{gate: (H, H)}``.
        bias_ih: ``{gate: (H,)}``, or ``None`` for a layer without biases.
        bias_hh: ``{gate: (H,)}``, or ``None`` where the framework keeps a single bias.

    Source: Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000; the mask rules are
    those of Keras 3.15.
    """

    masked: ClassVar[tuple[int, ...]] = (0,)

    input_size: int
    hidden_size: int
    reverse: bool = False
    return_sequences: bool = False
    zero_output_for_mask: bool = False
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    weight_ih: Gates = parameter()
    weight_hh: Gates = parameter()
    bias_ih: Gates | None = parameter()
    bias_hh: Gates | None = parameter()

    def __post_init__(self) -> None:
        _check_sizes(self.kind, input_size=self.input_size, hidden_size=self.hidden_size)
        if self.bias_hh is not None and self.bias_ih is None:
            raise WeightError(f"{self.kind}: bias_hh without bias_ih")
        shapes = {
            "weight_ih": (self.hidden_size, self.input_size),
            "weight_hh": (self.hidden_size, self.hidden_size),
            "bias_ih": (self.hidden_size,),
            "bias_hh": (self.hidden_size,),
        }
        for name, shape in shapes.items():
            gates = getattr(self, name)
            if gates is None and name.startswith("bias"):
                continue
            if not isinstance(gates, Mapping) or sorted(gates) != sorted(LSTM_GATES):
                raise WeightError(f"{self.kind}: {name} should have the gates {sorted(LSTM_GATES)}")
            for gate in LSTM_GATES:
                _check_array(self.kind, f"{name}.{gate}", gates[gate], shape, self.dtype)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = _take(self, inputs, 1)
        _need(self, x, 3, _floats(self), self.input_size)
        lead = x.shape[:2] if self.return_sequences else x.shape[:1]
        return (Tensor((*lead, self.hidden_size), x.dtype),)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Bidirectional(Op):
    """One recurrent layer walked both ways, ``(N, T, I)`` to ``(N, T, O)`` or ``(N, O)``.

    The backward half's sequence is turned back into time order before the two are merged: side by
    side (``concat``, O = H + H), ``sum``, ``mul``, ``ave`` (their mean), or left as two outputs
    (``None``). With ``return_sequences`` both halves give zeros at masked steps, as Keras forces.

    Args:
        forward: the layer that walks in time order.
        backward: the same kind of layer with ``reverse`` set.
        merge: one of ``concat``, ``sum``, ``mul``, ``ave`` and ``None``; Keras ``merge_mode``.
    """

    masked: ClassVar[tuple[int, ...]] = (0,)

    forward: LSTM
    backward: LSTM
    merge: str | None = "concat"

    def __post_init__(self) -> None:
        _check_choice(self.kind, "merge", self.merge, MERGE_MODES)
        if self.forward.reverse or not self.backward.reverse:
            raise GraphError(f"{self.kind}: forward must not be reversed and backward must be")
        for name in ("input_size", "return_sequences", "zero_output_for_mask", "dtype"):
            one, two = getattr(self.forward, name), getattr(self.backward, name)
            if one != two:
                raise GraphError(f"{self.kind}: {name} is {one} forward and {two} backward")
        if self.forward.zero_output_for_mask != self.forward.return_sequences:
            raise GraphError(f"{self.kind}: zero_output_for_mask must be equal to return_sequences")
        if self.merge not in ("concat", None) and self.forward.hidden_size != self.backward.hidden_size:
            raise GraphError(f"{self.kind}: merge={self.merge} needs two halves of one hidden_size")

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (one,), (two,) = self.forward.infer(inputs), self.backward.infer(inputs)
        if self.merge is None:
            return one, two
        if self.merge == "concat":
            width = self.forward.hidden_size + self.backward.hidden_size
            return (Tensor((*one.shape[:-1], width), one.dtype),)
        return (one,)

    @property
    def output_count(self) -> int:
        """Two where the halves are not merged."""
        return 2 if self.merge is None else 1

    def __repr__(self) -> str:
        mirrored = self.backward.settings() == self.forward.settings() | {"reverse": True}
        backward = "" if mirrored else f", backward={self.backward}"
        return f"{self.kind}({self.forward}{backward}, merge={self.merge})"


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Dense(Op):
    """``activation(x Wᵀ + b)`` over the last dimension, ``(..., I)`` to ``(..., O)``.

    Args:
        input_size: I.
        output_size: O; Keras ``units``.
        activation: one of linear, sigmoid, tanh, relu, and softmax over the last dimension.
        weight: ``(O, I)``.
        bias: ``(O,)`` or ``None``.
    """

    input_size: int
    output_size: int
    activation: str = "linear"
    weight: np.ndarray = parameter()
    bias: np.ndarray | None = parameter()

    def __post_init__(self) -> None:
        _check_sizes(self.kind, input_size=self.input_size, output_size=self.output_size)
        _check_choice(self.kind, "activation", self.activation, ACTIVATIONS)
        _check_array(self.kind, "weight", self.weight, (self.output_size, self.input_size), None)
        if self.bias is not None:
            _check_array(self.kind, "bias", self.bias, (self.output_size,), self.dtype)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = _take(self, inputs, 1)
        _need(self, x, None, _floats(self), self.input_size)
        if len(x.shape) < 2:
            raise GraphError(f"{self.kind} takes two or more dimensions, found {x}")
        return (Tensor((*x.shape[:-1], self.output_size), x.dtype),)


def _check_rate(op: Op, rate: float) -> None:
    if not 0 <= rate <= 1:
        raise GraphError(f"{op.kind}: rate should be in [0, 1], found {rate!r}")


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Dropout(Op):
    """Nothing at inference; in training drops a share ``rate`` of the elements and scales up the rest."""

    rate: float

    def __post_init__(self) -> None:
        _check_rate(self, self.rate)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = _take(self, inputs, 1)
        _need(self, x, None, FLOATS)
        return (x,)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SpatialDropout1D(Op):
    """Nothing at inference; in training drops whole features of ``(N, T, I)``, the same at every step."""

    rate: float

    def __post_init__(self) -> None:
        _check_rate(self, self.rate)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = _take(self, inputs, 1)
        _need(self, x, 3, FLOATS)
        return (x,)


def _match_shapes(op: Op, inputs: Sequence[Tensor], axis: int | None) -> None:
    first = inputs[0]
    for other in inputs[1:]:
        agree = len(other.shape) == len(first.shape) and other.dtype == first.dtype
        if not agree or any(
            not same_dim(a, b)
            for position, (a, b) in enumerate(zip(first.shape, other.shape, strict=True))
            if position != axis
        ):
            raise GraphError(f"{op.kind}: {first} and {other} do not go together")


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Concatenate(Op):
    """Inputs side by side along ``axis``, which is not the batch; all other sizes are equal.

    Also joins masks along time (``axis=1``).
    """

    axis: int = -1

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        if not inputs:
            raise GraphError(f"{self.kind} takes one or more inputs, found none")
        rank = len(inputs[0].shape)
        if not -rank <= self.axis < rank or self.axis % rank == 0:
            raise GraphError(f"{self.kind}: axis {self.axis} is the batch or outside of {inputs[0]}")
        axis = self.axis % rank
        _match_shapes(self, inputs, axis)
        sizes = [tensor.shape[axis] for tensor in inputs]
        total: Dim = sum(size for size in sizes if isinstance(size, int))
        if any(isinstance(size, str) for size in sizes):
            total = sizes[0] if len(sizes) == 1 else "+".join(str(size) for size in sizes)
        shape = inputs[0].shape
        return (Tensor((*shape[:axis], total, *shape[axis + 1 :]), inputs[0].dtype),)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class GlobalMaxPooling1D(Op):
    """The largest value over time, ``(N, T, I)`` to ``(N, I)``; masked steps count, as in Keras.

    Over no step at all (T = 0) there is no maximum: that input is refused.
    """

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = _take(self, inputs, 1)
        _need(self, x, 3, FLOATS)
        return (Tensor((x.shape[0], x.shape[2]), x.dtype),)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class GlobalAveragePooling1D(Op):
    """The mean over the valid steps, ``(N, T, I)`` to ``(N, I)``; NaN for a row without any, as in Keras."""

    masked: ClassVar[tuple[int, ...]] = (0,)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = _take(self, inputs, 1)
        _need(self, x, 3, FLOATS)
        return (Tensor((x.shape[0], x.shape[2]), x.dtype),)
