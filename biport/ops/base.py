"""What every op has: weights and settings as data, and how it acts on steps and features.

The files beside this one hold the ops, one family each; `biport.ops` names them all.
"""

from __future__ import annotations

import dataclasses
import functools
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Flag
from typing import Any, ClassVar, Self

import numpy as np

from biport.dims import Dim, bound, letters_in
from biport.errors import GraphError, WeightError, most_alike
from biport.ops.learning import NOTHING, Learning, Penalty
from biport.ops.tensor import FLOATS, Tensor
from biport.weight_files import pieces

EVERY_INPUT = range(2**31)
"""`Op.masked` of an op with any number of inputs."""


class Locality(Flag):
    """What an op makes an element of its output of; steps lie along axis 1, features along the last axis.

    An input of a single step, stretched over the others', counts as the same step everywhere, and so with
    features. Masks are inputs like others. Nothing is said of what looks at several rows, or has no steps.

    Example:
        >>> from biport import ops
        >>> steps = Tensor(("N", "T", 4), "float32")
        >>> ops.Activation(function="softmax").locality([steps])
        <Locality.EVERY_STEP: 3>
        >>> Locality.STEP in ops.Flip().locality([steps])
        False
    """

    NONE = 0
    """Of several steps and several features."""
    STEP = 1
    """Of the same step of the inputs alone."""
    EVERY_STEP = 2 | STEP
    """And in the same way at every step."""
    FEATURE = 4
    """Of the same feature of the inputs alone."""
    EVERY_FEATURE = 8 | FEATURE
    """And in the same way for every feature."""
    ELEMENT = EVERY_STEP | EVERY_FEATURE
    """Of the same element of the inputs alone, in the same way everywhere."""

    @classmethod
    def along(cls, rank: int, mixed: Iterable[int] = (), weighted: Iterable[int] = ()) -> Locality:
        """Of an op over values of some rank that acts on each element by itself but for some axes.

        Args:
            rank: of the values.
            mixed: the axes along which elements meet.
            weighted: the axes along which every element has a weight of its own.
        """
        mixing, weighing = ({axis % max(rank, 1) for axis in axes} for axes in (mixed, weighted))
        local = cls.NONE
        if rank < 2 or 0 in mixing:
            return local
        for axis, alone, alike in ((1, cls.STEP, cls.EVERY_STEP), (rank - 1, cls.FEATURE, cls.EVERY_FEATURE)):
            if axis not in mixing:
                local |= alone if axis in weighing else alike
        return local


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Op:
    """What every operation has; subclasses are final, frozen dataclasses.

    Fields that hold arrays, mappings of gates to arrays, or another op are its weights; all other
    fields but ``learning`` are its settings.

    Args:
        learning: what training does with its weights; it makes no difference to whether two ops are equal.

    Example:
        >>> from biport import ops
        >>> op = ops.Dense(input_size=3, output_size=2, weight=np.ones((2, 3), "float32"), bias=None)
        >>> op
        Dense(input_size=3, output_size=2, bias=None)
        >>> op.infer([Tensor(("N", "T", 3), "float32")])[0]
        Tensor(shape=(N, T, 2), dtype='float32')
        >>> list(op.weights())
        ['weight']
        >>> ops.Dense.build(op.settings(), op.weights()) == op
        True
    """

    masked: ClassVar[Sequence[int]] = ()
    """The positions of the inputs that may come with a ``(N, T)`` mask."""

    statistics: ClassVar[Sequence[str]] = ()
    """Weights that training averages over what it sees, and does not differentiate by."""

    constants: ClassVar[Sequence[str]] = ()
    """Weights that are part of the program, neither trained nor counted."""

    training: ClassVar[Sequence[str]] = ()
    """Settings that act in training alone."""

    @property
    def identity(self) -> bool:
        """Whether at inference the output is the input itself."""
        return False

    @property
    def acts_in_training(self) -> bool:
        """Whether it computes something else in training than at inference, as it is set."""
        strength = any(getattr(self, name, 0) for name in self.training)
        return bool(self.statistics) or strength or any(p.acts_in_training for p in self.parts().values())

    learning: Learning = NOTHING

    moves: ClassVar[bool] = False
    """Whether its outputs have no other numbers than its one input, and zeros: ids that go in come out."""

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The outputs' shapes and dtypes.

        Raises:
            GraphError: the inputs do not suit this op.
        """
        raise NotImplementedError

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        """What is known of how the op treats steps and features; ``NONE`` where nothing is.

        Args:
            inputs: shapes that suit the op, see `infer`.
        """
        return Locality.NONE

    def mixes_rows(self, inputs: Sequence[Tensor]) -> bool:
        """Whether a row of an output may be made of several rows of the inputs, which lie along axis 0.

        It is said where there are as many rows as before; where not, the shapes tell.

        Args:
            inputs: shapes that suit the op, see `infer`.
        """
        return False

    def may_be_nan(self, inputs: Sequence[Tensor], masked: bool) -> bool:
        """Whether it gives NaN or infinity for some finite inputs, overflow aside: 0 / 0, a mean of nothing.

        Args:
            inputs: shapes that suit the op, see `infer`.
            masked: whether its first input comes with a mask.
        """
        return False

    def sum_length(self, inputs: Sequence[Tensor]) -> int:
        """The most products added up for one number: I in ``x Wᵀ``, I + H in a gate, I in a score ``q·k``.

        A mean counts as one number, since its length is divided by: in pooling, in normalisation, and in
        attention, whose weights of the values add up to 1. So does a sum along a size that varies.

        Args:
            inputs: shapes that suit the op, see `infer`.
        """
        return max((part.sum_length(inputs) for part in self.parts().values()), default=1)

    def check_masked(self, owner: str, data: Tensor) -> None:
        """Refuse an input, ``data``, that cannot come with a mask.

        Raises:
            UnsupportedError: it cannot; ``owner`` is the node.
        """

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
        settings: dict[str, Any] = {}
        for field in _fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Op):
                settings[field.name] = _described(value)
            elif _contains_ops(value):
                settings[field.name] = [_described(part) for part in value]
            elif _names_ops(value):
                settings[field.name] = {name: _described(part) for name, part in value.items()}
            elif not _is_weight(field):
                settings[field.name] = value
        return settings

    def parts(self) -> dict[str, Op]:
        """The ops inside of this one, by path: ``forward``, ``cells.0``, ``body.score``."""
        parts: dict[str, Op] = {}
        for field in _fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Op):
                parts[field.name] = value
            elif _contains_ops(value):
                parts |= {f"{field.name}.{number}": part for number, part in enumerate(value)}
            elif _names_ops(value):
                parts |= {f"{field.name}.{name}": part for name, part in value.items()}
        return parts

    def with_parts(self, parts: Mapping[str, Op]) -> Self:
        """The op with others inside, by the paths that `parts` has for them; itself where none is another.

        Example:
            >>> from biport import ops
            >>> op = ops.TimeDistributed(layer=ops.ReLU())
            >>> op.with_parts({"layer": ops.Flatten()})
            TimeDistributed(layer=Flatten())
        """
        if all(parts[path] is part for path, part in self.parts().items() if path in parts):
            return self
        return dataclasses.replace(self, **self._fields_of(parts))

    def _fields_of(self, parts: Mapping[str, Op]) -> dict[str, Any]:
        """The fields that have ops inside, with others in their stead."""
        fields: dict[str, Any] = {}
        for field in _fields(self):
            name, value = field.name, getattr(self, field.name)
            if isinstance(value, Op):
                fields[name] = parts.get(name, value)
            elif _contains_ops(value):
                numbered = enumerate(value)
                fields[name] = tuple(parts.get(f"{name}.{number}", part) for number, part in numbered)
            elif _names_ops(value):
                fields[name] = {key: parts.get(f"{name}.{key}", part) for key, part in value.items()}
        return fields

    def weights(self) -> dict[str, np.ndarray]:
        """The weights by path: ``weight_ih.i``, ``forward.bias_ih.f``."""
        weights: dict[str, np.ndarray] = {}
        for field in _fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                weights[field.name] = value
            elif isinstance(value, Mapping) and not _names_ops(value):
                weights |= {f"{field.name}.{gate}": array for gate, array in value.items()}
        for path_of_part, part in self.parts().items():
            weights |= {f"{path_of_part}.{path}": array for path, array in part.weights().items()}
        return weights

    @classmethod
    def build(cls, settings: Mapping[str, Any], weights: Mapping[str, np.ndarray]) -> Self:
        """The op with these `settings` and `weights`, as those two methods give them.

        Raises:
            GraphError: settings are missing, unknown, or do not suit each other.
            WeightError: weights are missing, left over, or of the wrong shape.
        """
        values: dict[str, Any] = {}
        left = dict(weights)
        for field in _fields(cls):
            given = settings.get(field.name)
            if _describes(given):
                values[field.name] = _built(given, _under(left, field.name))
            elif isinstance(given, list | tuple) and given and all(map(_describes, given)):
                values[field.name] = tuple(
                    _built(part, _under(left, f"{field.name}.{number}")) for number, part in enumerate(given)
                )
            elif isinstance(given, Mapping) and given and all(map(_describes, given.values())):
                values[field.name] = {
                    name: _built(part, _under(left, f"{field.name}.{name}")) for name, part in given.items()
                }
            elif nested := _under(left, field.name):
                values[field.name] = nested
            elif field.name in left:
                values[field.name] = left.pop(field.name)
            elif field.name in settings:
                values[field.name] = given
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
        """The same op in another float dtype: its weights, and a float that it makes (``output_dtype``)."""
        fields = self._fields_of({path: part.astype(dtype) for path, part in self.parts().items()})
        for field in _fields(self):
            value = getattr(self, field.name)
            if _is_weight(field) and value is not None:
                fields[field.name] = _cast(value, dtype)
            elif field.name == "output_dtype" and value in FLOATS:
                fields[field.name] = dtype
        return dataclasses.replace(self, **fields)

    @functools.cached_property
    def letters(self) -> frozenset[str]:
        """The letters of the sizes among its settings, those of `parts` included."""
        own = (letters_in(getattr(self, field.name)) for field in _fields(self))
        return frozenset().union(*own, *(part.letters for part in self.parts().values()))

    def at(self, sizes: Mapping[str, Dim]) -> Self:
        """The op with numbers, or other sizes, in place of letters in its settings; itself without such."""
        if not self.letters & sizes.keys():
            return self
        changed = self._fields_of({path: part.at(sizes) for path, part in self.parts().items()})
        own = {field.name: getattr(self, field.name) for field in _fields(self)}
        return dataclasses.replace(self, **({name: bound(own[name], sizes) for name in own} | changed))

    def all_learning(self) -> dict[str, Learning]:
        """What training does with its weights, under "", and with those of its parts, by their paths.

        A part of which nothing is said is left out.
        """
        inside = {
            f"{prefix}.{path}".rstrip("."): learning
            for prefix, part in self.parts().items()
            for path, learning in part.all_learning().items()
        }
        return ({"": self.learning} if self.learning else {}) | inside

    def with_learning(self, learning: Mapping[str, Learning]) -> Self:
        """The op with these, by the path of a part as `all_learning` has them, and no others.

        Raises:
            GraphError: it has no such part, or a part has no such weights.

        Example:
            >>> from biport import ops
            >>> op = ops.Dense(input_size=3, output_size=2, weight=np.ones((2, 3), "float32"), bias=None)
            >>> frozen = op.with_learning({"": Learning(frozen={"weight"})})
            >>> sorted(frozen.frozen_weights()), frozen == op
            (['weight'], True)
        """
        parts, own = self.parts(), learning.get("", NOTHING)
        weights = {field.name for field in _fields(self) if _is_weight(field)}
        if unknown := sorted({*own.frozen, *own.penalties} - weights):
            raise GraphError(f"{self.kind}: has no weights {unknown} to train, it has {sorted(weights)}")
        inside: dict[str, dict[str, Learning]] = {prefix: {} for prefix in parts}
        for path in learning.keys() - {""}:
            prefix = next((one for one in parts if f"{path}.".startswith(f"{one}.")), None)
            if prefix is None:
                raise GraphError(f"{self.kind}: has no part {path!r}, it has {sorted(parts)}")
            inside[prefix][path.removeprefix(prefix).removeprefix(".")] = learning[path]
        changed = self._fields_of({path: part.with_learning(inside[path]) for path, part in parts.items()})
        return dataclasses.replace(self, learning=own, **changed)

    def frozen_weights(self) -> frozenset[str]:
        """The paths of the weights that training leaves as they are, see `Learning`."""
        return frozenset(self._learned(lambda op: dict.fromkeys(op.learning.frozen, True)))

    def constant_weights(self) -> frozenset[str]:
        """The paths of the weights that are part of the program, see `constants`."""
        return frozenset(self._learned(lambda op: dict.fromkeys(op.constants)))

    def untrained_weights(self) -> frozenset[str]:
        """The paths of the weights that a model is not differentiated by: `statistics` and `constants`."""
        return frozenset(self._learned(lambda op: dict.fromkeys([*op.statistics, *op.constants])))

    def penalties(self) -> dict[str, Penalty]:
        """By the path of a weight: what it adds to the loss; nothing where it is frozen, as in Keras."""
        frozen = self.frozen_weights()
        given = self._learned(lambda op: op.learning.penalties)
        return {path: penalty for path, penalty in given.items() if path not in frozen}

    def _learned(self, of: Callable[[Op], Mapping[str, Any]]) -> dict[str, Any]:
        """By the path of a weight: what is said of its field."""
        said = of(self)
        inside = {
            f"{prefix}.{path}": value
            for prefix, part in self.parts().items()
            for path, value in part._learned(of).items()
        }
        own = (path for path in self.weights() if path.partition(".")[0] in said)
        return {path: said[path.partition(".")[0]] for path in own} | inside

    @functools.cached_property
    def dtype(self) -> str | None:
        """The dtype of its floats, weights or made; ``None`` for an op without."""
        own = getattr(self, "output_dtype", None)
        given = (array.dtype.name for array in self.weights().values() if array.dtype.kind == "f")
        return next(given, own if own in FLOATS else None)

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


class TensorOperation(Op):
    """An op that is no layer: it takes no masks and computes the same in training; not an op by itself."""


def _fields(op: Op | type[Op]) -> tuple[dataclasses.Field[Any], ...]:
    """Those that say what it computes."""
    return _fields_of(op if isinstance(op, type) else type(op))


def _fields_of(op: type[Op]) -> tuple[dataclasses.Field[Any], ...]:
    if op not in _FIELDS:
        _FIELDS[op] = tuple(field for field in dataclasses.fields(op) if field.name != "learning")
    return _FIELDS[op]


# A class that nobody else has is to go: `op_classes` lists those that there are.
_FIELDS: weakref.WeakKeyDictionary[type[Op], tuple[dataclasses.Field[Any], ...]] = weakref.WeakKeyDictionary()


def _contains_ops(value: object) -> bool:
    return isinstance(value, tuple) and bool(value) and all(isinstance(part, Op) for part in value)


def _names_ops(value: object) -> bool:
    if not isinstance(value, Mapping) or not value:
        return False
    return all(isinstance(part, Op) for part in value.values())


def _described(op: Op) -> dict[str, Any]:
    return {"kind": op.kind, **op.settings()}


def _describes(given: object) -> bool:
    return isinstance(given, Mapping) and isinstance(given.get("kind"), str)


def _built(given: Any, weights: Mapping[str, np.ndarray]) -> Op:
    rest = {key: value for key, value in given.items() if key != "kind"}
    return op_class(given["kind"]).build(rest, weights)


def _under(left: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Take the weights whose paths begin with ``place`` out of ``left``."""
    inside = [path for path in left if path.startswith(f"{prefix}.")]
    return {path.removeprefix(f"{prefix}."): left.pop(path) for path in inside}


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays are equal bit for bit, the sign of zero included."""
    return (
        a.dtype == b.dtype
        and a.shape == b.shape
        and all(one.tobytes() == other.tobytes() for one, other in zip(pieces(a), pieces(b), strict=True))
    )


def op_class(kind: str) -> type[Op]:
    """The op class called ``kind``.

    Raises:
        GraphError: there is none.

    Example:
        >>> import biport.ops
        >>> op_class("LSTM").states
        ('h', 'c')
    """
    known = {candidate.__name__: candidate for candidate in op_classes()}
    if kind not in known:
        raise GraphError(f"there is no op {kind!r}; those most like it: {', '.join(most_alike(kind, known))}")
    return known[kind]


def op_classes() -> list[type[Op]]:
    """Every op there is, by name."""
    classes, waiting = [], [Op]
    while waiting:
        inner = waiting.pop().__subclasses__()
        classes += [candidate for candidate in inner if not candidate.__subclasses__()]
        waiting += inner
    return sorted(classes, key=lambda candidate: candidate.__name__)


def _cast(weights: Any, dtype: str) -> Any:
    """An array, or the arrays of the gates, with floats in another dtype."""
    if isinstance(weights, Mapping):
        return {gate: _cast(array, dtype) for gate, array in weights.items()}
    return weights.astype(dtype) if weights.dtype.kind == "f" else weights


def _is_weight(field: dataclasses.Field) -> bool:
    return bool(field.metadata.get("weight"))


def parameter() -> Any:
    """Declare a field that holds weights, or ``None`` for weights the layer does without."""
    return dataclasses.field(metadata={"weight": True})


def _shown(op: Op) -> list[str]:
    """The settings worth a line of text: those without a default, and those that differ from theirs."""
    parts = []
    for field in sorted(_fields(op), key=lambda field: field.default is not dataclasses.MISSING):
        value = getattr(op, field.name)
        if isinstance(value, Op):
            parts.append(f"{field.name}={value}")
        elif field.name in op.constants and isinstance(value, np.ndarray) and value.size <= 4:
            parts.append(f"{field.name}={np.array2string(value, separator=', ')}")
        elif _is_weight(field):
            # A second bias is torch's habit, its absence is not worth a word.
            parts += [f"{field.name}=None"] if value is None and field.name != "bias_hh" else []
        elif value is True:
            parts.append(field.name)
        elif field.default is dataclasses.MISSING or value != field.default:
            parts.append(f"{field.name}={value}")
    return parts
