"""Operations in a functional model, as far as Keras uses them to compute masks.

A functional model records the masks it propagated as nodes of its own: ``NotEqual`` on the ids, ``NotEqual``
and ``Any`` on the features a ``Masking`` takes, and for a ``Concatenate`` of masked inputs a chain of
``ExpandDims``, ``ZerosLike``, ``OnesLike``, ``LogicalOr``, ``Concatenate`` and ``Any``
(keras/src/layers/merging/concatenate.py, ``compute_mask``). They are read back into the same expressions that
`keras_side.masks` rules make, and so is ``LogicalAnd``, which a model's author may use where no layer of
Keras 3 does. What is no mask here is computed like any other operation, and any boolean value of the graph
can be a mask as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from biport.errors import UnsupportedError
from biport.ops import FLOATS, NUMBERS, Tensor
from biport.registry import Registry
from keras_side.masks import FeaturesUnequal, Full, Given, Mask, Unequal, all_of, any_of, in_time


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
    """A value of the graph.

    Args:
        value: its name.
        tensor: its shape and dtype; float32 for every float.
    """

    value: str
    tensor: Tensor

    @property
    def is_mask(self) -> bool:
        """Whether it can be a mask ``(N, T)`` as it is."""
        return self.tensor.dtype == "bool" and len(self.tensor.shape) == 2

    @property
    def is_mask_inside(self) -> bool:
        """Whether it can be a mask ``(N, T, ...)`` of what is inside the steps as it is."""
        return self.tensor.dtype == "bool" and len(self.tensor.shape) > 2

    @property
    def is_padded(self) -> bool:
        """Whether it may be a padded batch ``(N, T)``: integers, or floats that Keras takes for some."""
        return self.tensor.dtype in NUMBERS and len(self.tensor.shape) == 2

    @property
    def has_features(self) -> bool:
        """Whether it holds floats ``(N, T, I)``."""
        return self.tensor.dtype in FLOATS and len(self.tensor.shape) == 3


Symbol = Mask | Wide | OfEveryQuery | WideUnequal | WideFalse | Unreadable | Data
Arguments = Sequence[Any]
MASKS: Registry[str, Callable[[str, Arguments, Mapping[str, Any]], Symbol | None]] = Registry(
    "Keras operation"
)
WITH_MASK = "biport.WithMask"
"""A tensor and a mask, or none: the same tensor with that one on it. It is nobody's operation: a recording of
what code did says so of the tensors that the code gave."""
OPERATION_MODULES = ("keras.src.ops", "keras.src.activations", "keras.src.quantizers")
"""Where Keras 3.15 defines operations."""


def is_operation(module: object) -> bool:
    """Whether a serialised node is an operation and not a layer."""
    return str(module).startswith(OPERATION_MODULES) or str(module) == "keras.ops"


def evaluate(class_name: str, name: str, arguments: Arguments, config: Mapping[str, Any]) -> Symbol | None:
    """What an operation makes of its arguments where that is about masks."""
    return MASKS.lookup(class_name, name)(name, arguments, config)


def as_mask(symbol: Symbol | None, owner: str) -> Mask | None:
    """A symbol used as the mask of a layer.

    Raises:
        UnsupportedError: it cannot be one.
    """
    if symbol is None or isinstance(symbol, Mask):
        return symbol
    match symbol:
        case Data(value) if symbol.is_mask or symbol.is_mask_inside:
            return Given(value)
        case Data(_, tensor):
            raise UnsupportedError(owner, "mask", str(tensor), "bool (N, T)")
        case Unreadable(problem):
            raise problem
        case _:
            raise UnsupportedError(owner, "mask", symbol, "boolean masks of shape (N, T)")


def _masks(arguments: Arguments) -> list[Mask]:
    """The arguments as masks; none where one of them is something else."""
    given = [Given(a.value) if isinstance(a, Data) and a.is_mask else a for a in arguments]
    masks = [mask for mask in given if isinstance(mask, Mask)]
    return masks if len(masks) == len(given) else []


@MASKS.register("NotEqual")
def _not_equal(name: str, arguments: Arguments, config: Mapping[str, Any]) -> Symbol | None:
    match arguments:
        case [Data(value) as data, int(number)] | [int(number), Data(value) as data] if data.is_padded:
            return None if isinstance(number, bool) else Unequal(value, number, name)
        case [Data(value) as data, int() | float() as number] if data.has_features:
            return WideUnequal(value, number)
    return None


@MASKS.register("ConvertToTensor")
def _convert_to_tensor(name: str, arguments: Arguments, config: Mapping[str, Any]) -> Symbol | None:
    """What an attention does with the queries' mask (keras/src/layers/attention/attention.py)."""
    masks = _masks(arguments[:1])
    return masks[0] if masks and config.get("dtype") in (None, "bool") else None


@MASKS.register("ExpandDims")
def _expand_dims(name: str, arguments: Arguments, config: Mapping[str, Any]) -> Symbol | None:
    match arguments:
        case [Data() as data] if data.is_mask:
            mask = Given(data.value)
        case [mask] if isinstance(mask, Mask):
            pass
        case _:
            return None
    axis = config.get("axis")
    return Wide(mask) if axis in (-1, 2) else OfEveryQuery(mask) if axis in (1, -2) else None


@MASKS.register("BroadcastTo")
def _broadcast_to(name: str, arguments: Arguments, config: Mapping[str, Any]) -> Symbol | None:
    """Over the features, as Keras 3.4 to 3.12 spread a mask."""
    match arguments:
        case [Wide(mask)] if isinstance(config.get("shape"), list | tuple) and len(config["shape"]) == 3:
            return Wide(mask)
    return None


@MASKS.register("ZerosLike")
def _zeros_like(name: str, arguments: Arguments, config: Mapping[str, Any]) -> Symbol | None:
    return WideFalse() if config.get("dtype") == "bool" else None


@MASKS.register("OnesLike")
def _ones_like(name: str, arguments: Arguments, config: Mapping[str, Any]) -> Symbol | None:
    match arguments:
        case [Data(value)] if config.get("dtype") == "bool":
            return Wide(Full(value))
    return None


@MASKS.register("LogicalAnd")
def _logical_and(name: str, arguments: Arguments, config: Mapping[str, Any]) -> Symbol | None:
    masks = _masks(arguments)
    return all_of(masks, name) if masks else None


@MASKS.register("LogicalOr")
def _logical_or(name: str, arguments: Arguments, config: Mapping[str, Any]) -> Symbol | None:
    match arguments:
        case [Wide() as wide, WideFalse()] | [WideFalse(), Wide() as wide]:
            return wide
    masks = _masks(arguments)
    return any_of(masks, name) if masks else None


@MASKS.register("Concatenate")
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


@MASKS.register("Any")
def _any(name: str, arguments: Arguments, config: Mapping[str, Any]) -> Symbol | None:
    match arguments:
        case [Wide(mask)] if config.get("axis") in (-1, 2) and not config.get("keepdims"):
            return mask
        case [WideUnequal(value, number) | Unequal(value, number)] if config.get("axis") in (-1, 2):
            # Of a Masking; a whole number looks like the comparison of ids.
            return None if config.get("keepdims") else FeaturesUnequal(value, float(number), name)
    return None
