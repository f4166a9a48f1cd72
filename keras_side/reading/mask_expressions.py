"""Operations in a functional model, as far as Keras uses them to compute masks.

A functional model records the masks it propagated as nodes of its own: ``NotEqual`` on the ids, ``NotEqual``
and ``Any`` on the features a ``Masking`` takes, and for a ``Concatenate`` of masked inputs a chain of
``ExpandDims``, ``ZerosLike``, ``OnesLike``, ``LogicalOr``, ``Concatenate`` and ``Any``
(keras/src/layers/merging/concatenate.py, ``compute_mask``). They are read back into the same expressions that
`keras_side.masks` rules make, and so is ``LogicalAnd``, which a model's author may use where no layer of
Keras 3 does; any other operation is refused where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from biport.errors import UnsupportedError
from biport.registry import Registry
from keras_side.masks import FeaturesUnequal, Full, Given, Mask, Unequal, all_of, any_of, in_time
from keras_side.reading.operations import unsupported_operation


@dataclass(frozen=True)
class Wide:
    """A mask spread over the features, ``(N, T, I)``."""

    mask: Mask


@dataclass(frozen=True)
class OfEveryQuery:
    """A mask of the values of an attention, for each of its queries, ``(N, 1, T)``."""

    mask: Mask


@dataclass(frozen=True)
class WideUnequal:
    """``value != number``, ``(N, T, I)``."""

    value: str
    number: float


@dataclass(frozen=True)
class WideFalse:
    """False everywhere, ``(N, T, I)``."""


@dataclass(frozen=True)
class Unreadable:
    """What an operation gives that is not a mask biport knows; an error where it is used."""

    problem: UnsupportedError


@dataclass(frozen=True)
class Data:
    """A value of the graph; of what is no input of the model dtype and rank are not known."""

    value: str
    dtype: str
    rank: int | None = None


Symbol = Mask | Wide | OfEveryQuery | WideUnequal | WideFalse | Unreadable | Data
Arguments = Sequence[Any]
OPERATIONS: Registry[str, Callable[[str, Arguments, Mapping[str, Any]], Symbol | None]] = Registry(
    "Keras operation"
)
OPERATION_MODULES = ("keras.src.ops", "keras.src.activations", "keras.src.quantizers")
"""Where Keras 3.15 defines operations."""


def is_operation(module: object) -> bool:
    """Whether a serialised node is an operation and not a layer."""
    return str(module).startswith(OPERATION_MODULES) or str(module) == "keras.ops"


def evaluate(
    class_name: str, name: str, owner: str, arguments: Arguments, config: Mapping[str, Any]
) -> Symbol:
    """What the operation makes of its arguments."""
    problem = unsupported_operation(f"{owner}: operation {name!r}", class_name)
    problem.of_layer(name, class_name)
    if class_name not in OPERATIONS:
        return Unreadable(problem)
    symbol = OPERATIONS.lookup(class_name, owner)(name, arguments, config)
    return Unreadable(problem) if symbol is None else symbol


def as_mask(symbol: Symbol | None, owner: str) -> Mask | None:
    """A symbol used as the mask of a layer.

    Raises:
        UnsupportedError: it is not a mask biport knows.
    """
    if symbol is None or isinstance(symbol, Mask):
        return symbol
    match symbol:
        case Data(value, "bool"):
            return Given(value)
        case Unreadable(problem):
            raise problem
        case _:
            raise UnsupportedError(owner, "mask", symbol, "boolean masks of shape (N, T)")


def _masks(arguments: Arguments) -> list[Mask]:
    """The arguments as masks; none where one of them is something else."""
    given = [Given(a.value) if isinstance(a, Data) and a.dtype == "bool" else a for a in arguments]
    masks = [mask for mask in given if isinstance(mask, Mask)]
    return masks if len(masks) == len(given) else []


@OPERATIONS.register("NotEqual")
def _not_equal(name: str, arguments: Arguments, config: Mapping[str, Any]) -> Symbol | None:
    match arguments:
        case [Data(value), int(number)] if not isinstance(number, bool):
            return Unequal(value, number, name)
        case [int(number), Data(value)] if not isinstance(number, bool):
            return Unequal(value, number, name)
        case [Data(value), float(number)]:
            return WideUnequal(value, number)
    return None


@OPERATIONS.register("ConvertToTensor")
def _convert_to_tensor(name: str, arguments: Arguments, config: Mapping[str, Any]) -> Symbol | None:
    """What an attention does with the queries' mask (keras/src/layers/attention/attention.py)."""
    masks = _masks(arguments[:1])
    return masks[0] if masks and config.get("dtype") in (None, "bool") else None


@OPERATIONS.register("ExpandDims")
def _expand_dims(name: str, arguments: Arguments, config: Mapping[str, Any]) -> Symbol | None:
    match arguments:
        case [Data(value, "bool", 2)]:
            mask = Given(value)
        case [mask] if isinstance(mask, Mask):
            pass
        case _:
            return None
    axis = config.get("axis")
    return Wide(mask) if axis in (-1, 2) else OfEveryQuery(mask) if axis in (1, -2) else None


@OPERATIONS.register("BroadcastTo")
def _broadcast_to(name: str, arguments: Arguments, config: Mapping[str, Any]) -> Symbol | None:
    """Over the features, as Keras 3.4 to 3.12 spread a mask."""
    match arguments:
        case [Wide(mask)] if isinstance(config.get("shape"), list | tuple) and len(config["shape"]) == 3:
            return Wide(mask)
    return None


@OPERATIONS.register("ZerosLike")
def _zeros_like(name: str, arguments: Arguments, config: Mapping[str, Any]) -> Symbol | None:
    return WideFalse() if config.get("dtype") == "bool" else None


@OPERATIONS.register("OnesLike")
def _ones_like(name: str, arguments: Arguments, config: Mapping[str, Any]) -> Symbol | None:
    match arguments:
        case [Data(value)] if config.get("dtype") == "bool":
            return Wide(Full(value))
    return None


@OPERATIONS.register("LogicalAnd")
def _logical_and(name: str, arguments: Arguments, config: Mapping[str, Any]) -> Symbol | None:
    masks = _masks(arguments)
    return all_of(masks, name) if masks else None


@OPERATIONS.register("LogicalOr")
def _logical_or(name: str, arguments: Arguments, config: Mapping[str, Any]) -> Symbol | None:
    match arguments:
        case [Wide() as wide, WideFalse()] | [WideFalse(), Wide() as wide]:
            return wide
    masks = _masks(arguments)
    return any_of(masks, name) if masks else None


@OPERATIONS.register("Concatenate")
def _concatenate(name: str, arguments: Arguments, config: Mapping[str, Any]) -> Symbol | None:
    parts = arguments[0] if arguments and isinstance(arguments[0], list) else []
    if masks := _masks(parts):
        return in_time(masks, name) if config.get("axis") in (-1, 1) else None
    if not parts or not all(isinstance(part, Wide) for part in parts):
        return None
    masks = [part.mask for part in parts]
    if config.get("axis") in (-1, 2):
        return Wide(any_of(masks, name))
    if config.get("axis") in (1, -2):
        return Wide(in_time(masks, name))
    return None


@OPERATIONS.register("Any")
def _any(name: str, arguments: Arguments, config: Mapping[str, Any]) -> Symbol | None:
    match arguments:
        case [Wide(mask)] if config.get("axis") in (-1, 2) and not config.get("keepdims"):
            return mask
        case [WideUnequal(value, number) | Unequal(value, number)] if config.get("axis") in (-1, 2):
            # Of a Masking; a whole number looks like the comparison of ids.
            return None if config.get("keepdims") else FeaturesUnequal(value, float(number), name)
    return None
