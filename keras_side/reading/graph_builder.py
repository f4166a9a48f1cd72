"""The graph while it is read: inputs, nodes, masks as values of their own, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeGuard

from biport import ops
from biport.errors import (
    MAX_REASONS,
    FileError,
    UnsupportedError,
    UnsupportedModelError,
    raise_unsupported,
    shown,
)
from biport.graph import Node, Value
from biport.inputs import carries
from keras_side.masks import AllOf, AnyOf, FeaturesUnequal, Full, Given, InTime, Mask, OfScores, Unequal
from keras_side.reading.config_entries import Layer
from keras_side.reading.mask_expressions import Data, Unreadable
from keras_side.records import MAX_PARTS, check_name

SMALL_INTEGERS = ("int8", "uint8", "int16", "uint16")
MAX_RANK = 32
FLOATS_OF_LAYERS = "float32 or float64 for outputs of layers"

MASK_OPS: tuple[type[ops.Op], ...] = (
    ops.Concatenate,
    ops.FeaturesNotEqual,
    ops.LogicalAnd,
    ops.LogicalOr,
    ops.NotEqual,
    ops.OnesLike,
)
"""What masks become, see `GraphBuilder.mask_value`."""


@dataclass
class KerasTensor:
    """A value while reading: its name in the graph and the mask Keras would hang on it."""

    value: str
    mask: Mask | None = None
    twins: list[KerasTensor] = field(default_factory=list, repr=False, compare=False)
    """Other tensors that are one object with this one when the model runs."""

    def twin(self, value: str) -> KerasTensor:
        """The same object under another name: some layers give their very input."""
        other = KerasTensor(value, self.mask, self.twins)
        self.twins += [other] if self.twins else [self, other]
        return other

    def lose_mask(self) -> None:
        """Take off the mask of the object."""
        for tensor in self.twins or [self]:
            tensor.mask = None


@dataclass
class GraphBuilder:
    """What has been read so far of one model and the models inside it."""

    owner: str
    inputs: list[Value] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    problems: list[UnsupportedError] = field(default_factory=list)
    converted: list[tuple[str, str, str]] = field(default_factory=list)
    """Operations that name a dtype: what errors call them, the value they give, and the dtype."""
    _told: set[str] = field(default_factory=set)
    _mask_values: dict[Mask, str] = field(default_factory=dict)
    _names: set[str] = field(default_factory=set)
    _positions: dict[str, int] = field(default_factory=dict)
    """Of inputs in `inputs`."""
    _origins: dict[str, str] = field(default_factory=dict)
    """By value: the model input whose numbers it has."""
    _parts: int = 0

    def refuse(self, problem: UnsupportedError) -> None:
        """Note a problem, once, and go on to find the others."""
        for reason in problem.problems if isinstance(problem, UnsupportedModelError) else [problem]:
            if str(reason) not in self._told:
                self._told.add(str(reason))
                self.problems.append(reason)
        if len(self.problems) >= MAX_REASONS:
            raise_unsupported(self.owner, self.problems)

    def count(self, parts: int) -> None:
        """Count what is read, which models called again and again make grow without end."""
        self._parts += parts
        if self._parts > MAX_PARTS:
            raise FileError(f"{self.owner}: more than {MAX_PARTS} layers, calls and arguments")

    def data(self, item: object) -> KerasTensor:
        """A tensor that can be read as data.

        Raises:
            UnsupportedError: it comes from an operation, or from a layer already refused.
        """
        if isinstance(item, KerasTensor):
            return item
        if isinstance(item, Unreadable):
            raise item.problem
        raise UnsupportedError(self.owner, "tensor", str(item)[:60], "outputs of layers")

    def symbol(self, item: Any) -> Any:
        """A tensor as `keras_side.reading.mask_expressions` sees it; numbers and lists stay what they are."""
        if isinstance(item, list):
            return [self.symbol(part) for part in item]
        if not isinstance(item, KerasTensor):
            return item
        position = self._positions.get(item.value)
        dtype = "" if position is None else self.inputs[position].dtype
        return Data(item.value, dtype, self.rank(item.value))

    def rank(self, value: str) -> int | None:
        """How many dimensions a model input has; ``None`` for any other value."""
        position = self._positions.get(value)
        return None if position is None else len(self.inputs[position].shape)

    def input(self, layer: Layer) -> KerasTensor:
        """A model input.

        Raises:
            FileError: its shape or dtype is none.
            UnsupportedError: it is sparse or ragged.
        """
        shape = layer.config.get("batch_shape")
        if not _is_shape(shape):
            raise FileError(f"{layer.owner}: batch_shape should be a list of sizes, found {shown(shape)}")
        if layer.config.get("sparse") or layer.config.get("ragged"):
            raise UnsupportedError(layer.owner, "sparse or ragged", True, "dense inputs")
        # Two inputs need not be of one length, so each has letters of its own.
        other = f"_{len(self.inputs) + 1}" if self.inputs else ""
        letters = ["N", *(f"{letter}{other}" for letter in ("T", *(f"D{i}" for i in range(2, len(shape)))))]
        # A batch size in the file is the one the model happened to be built with.
        dims = ["N", *(letters[axis] if dim is None else dim for axis, dim in enumerate(shape) if axis)]
        dtype = layer.config.get("dtype") or "float32"
        if not isinstance(dtype, str):
            raise FileError(f"{layer.owner}: dtype should be a name, found {dtype!r}")
        self._positions.setdefault(layer.name, len(self.inputs))
        self.inputs.append(Value(layer.name, tuple(dims), str(dtype)))
        self._names.add(layer.name)
        self._origins[layer.name] = layer.name
        return KerasTensor(layer.name)

    def enter(self, layer: Layer, tensor: KerasTensor) -> KerasTensor:
        """A tensor that goes into a model inside another; Keras cuts it to integers if that takes integers.

        Raises:
            UnsupportedError: it is no model input, so that its numbers are others than integers.
        """
        dtype = layer.config.get("dtype")
        if self.cuts(layer.owner, dtype, tensor):
            position = self._positions.get(tensor.value)
            if position is None:
                raise UnsupportedError(layer.owner, "dtype", dtype, FLOATS_OF_LAYERS)
            value = self.inputs[position]
            self.inputs[position] = Value(value.name, value.shape, "int32")
        return tensor

    def cuts(self, owner: str, dtype: object, tensor: KerasTensor) -> bool:
        """Whether a tensor holds floats, those of a model input, where Keras takes integers.

        Raises:
            UnsupportedError: they are no model input's, so that they are others than integers.
        """
        if dtype not in (*ops.INTEGERS, *SMALL_INTEGERS):
            return False
        origin = self._origins.get(tensor.value)
        if origin is None:
            raise UnsupportedError(owner, "dtype", dtype, FLOATS_OF_LAYERS)
        return self.inputs[self._positions[origin]].dtype in ops.FLOATS

    def mask_value(self, mask: Mask) -> str:
        """The graph value of a mask, made when first asked for.

        Raises:
            UnsupportedError: it is one that scores of an attention carry.
        """
        if isinstance(mask, Given):
            return mask.value
        if mask in self._mask_values:
            return self._mask_values[mask]
        match mask:
            case Unequal(value, number, name):
                op, inputs = ops.NotEqual(value=number), (value,)
            case FeaturesUnequal(value, number, name):
                op, inputs = ops.FeaturesNotEqual(value=number), (value,)
            case AllOf(masks, name):
                op, inputs = ops.LogicalAnd(), tuple(self.mask_value(part) for part in masks)
            case AnyOf(masks, name):
                op, inputs = ops.LogicalOr(), tuple(self.mask_value(part) for part in masks)
            case InTime(masks, name):
                op, inputs = ops.Concatenate(axis=1), tuple(self.mask_value(part) for part in masks)
            case OfScores(value):
                problem = f"of (N, 1, S, T), which Keras hangs on the scores of {value!r}"
                supported = "layers without masks there, such as Activation('softmax')"
                raise UnsupportedError(self.owner, "mask", problem, supported)
            case Full(value):
                op, inputs, name = ops.OnesLike(), (value,), f"{value}_all_steps"
        while name in self._names:
            name += "_"
            check_name(self.owner, name)
        self.add(Node(name, op, inputs))
        self._mask_values[mask] = name
        return name

    def add(self, node: Node) -> None:
        """One more node."""
        check_name(self.owner, node.name)
        self.count(len(node.name) // 1000)
        self._names.add(node.name)
        self.nodes.append(node)
        if carries(node.op) and (origin := self._origins.get(node.inputs[0])):
            self._origins.update(dict.fromkeys(node.outputs, origin))


def _is_size(dim: object) -> bool:
    return isinstance(dim, int) and not isinstance(dim, bool) and 0 < dim < 2**63


def _is_shape(shape: object) -> TypeGuard[list[int | None]]:
    if not isinstance(shape, list) or not 0 < len(shape) <= MAX_RANK:
        return False
    return all(dim is None or _is_size(dim) for dim in shape)
