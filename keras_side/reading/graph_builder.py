"""The graph while it is read: inputs, nodes, masks as values of their own, and what is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from biport import ops
from biport.dims import Dim, product
from biport.errors import (
    MAX_REASONS,
    FileError,
    GraphError,
    UnsupportedError,
    UnsupportedModelError,
    raise_unsupported,
    shown,
)
from biport.graph import Node, Value
from biport.inputs import carries
from biport.ops import Tensor
from biport.text import Tokenizer
from keras_side.masks import (
    AllOf,
    AnyInside,
    AnyOf,
    FeaturesUnequal,
    Full,
    Given,
    InTime,
    Mask,
    OfRows,
    OfScores,
    OfSteps,
    OfWholeRows,
    Unequal,
)
from keras_side.operations.terms import FLOAT, inferred
from keras_side.reading.config_entries import Layer
from keras_side.reading.mask_expressions import Data, Symbol, Unreadable
from keras_side.records import check_name, check_parts

TEXT = "string"
"""The dtype of an input of texts."""
OF_TEXTS = " (texts)"
"""Behind the name of an input of texts while a model is read: its own is that of the ids."""
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


@dataclass(eq=False)
class OperationOutput:
    """What an operation gives that may be a mask: nodes of it as data are made when first asked for.

    Args:
        symbol: what it is among masks.
        compute: makes the nodes.
    """

    symbol: Symbol
    compute: Callable[[], KerasTensor]
    _tensor: KerasTensor | None = None

    @property
    def tensor(self) -> KerasTensor:
        """The same as data."""
        if self._tensor is None:
            self._tensor = self.compute()
        return self._tensor


@dataclass
class GraphBuilder:
    """What has been read so far of one model and the models inside it."""

    owner: str
    inputs: list[Value] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    problems: list[UnsupportedError] = field(default_factory=list)
    floats: list[tuple[str, str]] = field(default_factory=list)
    """Operations that name a float dtype: what errors call them, and the dtype."""
    operations: set[str] = field(default_factory=set)
    """The nodes that operations became."""
    coarse: Sequence[str] = ()
    """Floats of 16 bits that the model computes in, see `keras_side.policies`; they are float32 here."""
    tokenizers: dict[str, Tokenizer] = field(default_factory=dict)
    """By the names of inputs of ids: what makes them of texts."""
    fixed_batch: bool = False
    """Whether an input says how many rows it has."""
    taken: set[str] = field(default_factory=set)
    """The nodes of weights that are weights of other ops now; they stay if anything else reads them."""
    _told: set[str] = field(default_factory=set)
    _mask_values: dict[Mask, str] = field(default_factory=dict)
    _names: set[str] = field(default_factory=set)
    _producers: dict[str, Node] = field(default_factory=dict)
    """By value."""
    _positions: dict[str, int] = field(default_factory=dict)
    """Of inputs in `inputs`."""
    _origins: dict[str, str] = field(default_factory=dict)
    """By value: the model input whose numbers it has."""
    _tensors: dict[str, Tensor | GraphError] = field(default_factory=dict)
    """By value: shape and dtype, float32 for every float; or why there is none."""
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
        check_parts(self.owner, self._parts)

    def data(self, item: object) -> KerasTensor:
        """A tensor that can be read as data, of numbers.

        Raises:
            UnsupportedError: it comes from an operation, or from a layer already refused; or is of texts.
        """
        if isinstance(item, KerasTensor) and self.is_text(item.value):
            raise self._only_texts(item.value.removesuffix(OF_TEXTS))
        return self.tensor_of(item)

    def tensor_of(self, item: object) -> KerasTensor:
        """As `data`, of numbers or of texts."""
        if isinstance(item, OperationOutput):
            return item.tensor
        if isinstance(item, KerasTensor):
            return item
        if isinstance(item, Unreadable):
            raise item.problem
        raise UnsupportedError(self.owner, "tensor", str(item)[:60], "outputs of layers")

    def symbol(self, item: Any) -> Any:
        """A tensor as `keras_side.reading.mask_expressions` sees it; numbers and lists stay what they are."""
        if isinstance(item, list):
            return [self.symbol(part) for part in item]
        if isinstance(item, OperationOutput):
            return item.symbol
        if not isinstance(item, KerasTensor):
            return item
        return Data(item.value, self.tensor(item.value))

    def origin(self, value: str) -> str | None:
        """The model input whose numbers a value has."""
        return self._origins.get(value)

    def is_integer(self, value: str) -> bool:
        """Whether a value is known to hold integers."""
        tensor = self._tensors.get(value)
        return isinstance(tensor, Tensor) and tensor.dtype in ops.INTEGERS

    def tensor(self, value: str) -> Tensor:
        """Shape and dtype of a value; float32 for every float.

        Raises:
            GraphError: the node that gives it does not suit its inputs.
        """
        tensor = self._tensors[value]
        if isinstance(tensor, GraphError):
            raise tensor
        return tensor

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
        self.fixed_batch |= shape[0] is not None
        # A batch size in the file is the one the model happened to be built with.
        dims = ["N", *(letters[axis] if dim is None else dim for axis, dim in enumerate(shape) if axis)]
        dtype = layer.config.get("dtype") or "float32"
        if not isinstance(dtype, str):
            raise FileError(f"{layer.owner}: dtype should be a name, found {dtype!r}")
        dtype = FLOAT if dtype in self.coarse else dtype
        name = layer.name + (OF_TEXTS if dtype == TEXT else "")
        self._positions.setdefault(name, len(self.inputs))
        self.inputs.append(Value(name, tuple(dims), str(dtype)))
        self._names |= {name, layer.name}
        self._origins[name] = name
        self._tensors[name] = Tensor(dims, _dtype_while_read(dtype))
        return KerasTensor(name)

    def is_text(self, value: str) -> bool:
        """Whether a value is an input of texts."""
        position = self._positions.get(value)
        return position is not None and self.inputs[position].dtype == TEXT

    def ids_of(self, text: str, tokenizer: Tokenizer, layer: str) -> KerasTensor:
        """The ids that a tokeniser makes of an input of texts: an input of the graph in its place.

        It is called as the input of texts is; where several layers read that one, the others' after them.
        """
        given = self.inputs[self._positions[text]]
        name = source = text.removesuffix(OF_TEXTS)
        if name in self._positions:
            name = self.free_name(f"{source}.{layer}")
            self._names.add(name)
        position = self._positions[text] if name == source else len(self.inputs)
        letter = f"T_{position + 1}" if position else "T"
        N, *rest = given.shape
        if tokenizer.split != "none" or tokenizer.length is not None:
            rest = [tokenizer.length or letter]
        elif tokenizer.ngrams:
            rest = [tokenizer.width(T) if isinstance(T, int) else letter for T in rest]
        value = Value(name, (N, *rest), "int64")
        self._positions[name] = len(self.inputs)
        self.inputs.append(value)
        self._origins[name] = name
        self._tensors[name] = value.tensor
        self.tokenizers[name] = dataclasses.replace(tokenizer, source=source)
        return KerasTensor(name)

    def graph_inputs(self) -> list[Value]:
        """The inputs, ids in the place of the texts that they are of.

        Raises:
            UnsupportedError: there are texts that nothing makes ids of.
        """
        ids: dict[str, list[Value]] = {}
        for value in self.inputs:
            if value.name in self.tokenizers:
                ids.setdefault(self.tokenizers[value.name].source, []).append(value)
        inputs = []
        for value in self.inputs:
            if value.dtype == TEXT:
                source = value.name.removesuffix(OF_TEXTS)
                if source not in ids:
                    raise self._only_texts(source)
                inputs += ids[source]
            elif value.name not in self.tokenizers:
                inputs.append(value)
        return inputs

    def _only_texts(self, source: str) -> UnsupportedError:
        supported = "a TextVectorization or a StringLookup right behind it, which makes ids of texts"
        return UnsupportedError(f"{self.owner}: input {source!r}", "dtype", TEXT, supported)

    def enter(self, layer: Layer, tensor: KerasTensor) -> KerasTensor:
        """A tensor that goes into a model inside another; Keras cuts it to integers if that takes integers.

        Raises:
            UnsupportedError: it is no model input, so that its numbers are others than integers.
        """
        dtype = layer.config.get("dtype")
        if self.cuts(layer.owner, dtype, tensor):
            position = self._positions.get(tensor.value)
            if position is None:
                name = self.free_name(f"{tensor.value}.whole")
                self.add_operation(Node(name, ops.Cast(output_dtype="int32"), (tensor.value,)))
                return KerasTensor(name, tensor.mask)
            value = self.inputs[position]
            self.inputs[position] = Value(value.name, value.shape, "int32")
            self._tensors[value.name] = Tensor(value.shape, "int32")
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

    def dim(self, owner: str, value: str, axis: int) -> Dim:
        """The size of a value along an axis.

        Raises:
            FileError: there is no such axis.
        """
        shape = self.tensor(value).shape
        if axis >= len(shape):
            raise FileError(f"{owner}: there is no axis {axis} in {value!r}")
        return shape[axis]

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
                return self._compared(mask, ops.NotEqual(value=number), value, name)
            case FeaturesUnequal(value, number, name):
                return self._compared(mask, ops.FeaturesNotEqual(value=number), value, name)
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
            case OfWholeRows():
                supported = "an input without a mask around layers that take one"
                raise UnsupportedError(self.owner, "mask", "a mask of the steps", supported)
            case OfRows(masks, name) | OfSteps(masks, name):
                op, inputs = ops.ReshapeTo(shape=self.mask_shape(mask)), (self.mask_value(masks[0]),)
            case AnyInside(masks, name):
                axes = tuple(range(2, len(self.mask_shape(masks[0]))))
                op, inputs = ops.Reduction(function="any", axes=axes), (self.mask_value(masks[0]),)
            case Full(value):
                op, inputs, name = ops.OnesLike(), (value,), f"{value}_all_steps"
        self._mask_values[mask] = self._operation(name, op, inputs)
        return self._mask_values[mask]

    def _compared(self, mask: Unequal | FeaturesUnequal, op: ops.Op, value: str, name: str) -> str:
        """A mask that is a comparison, ``(N, T)``, or of all steps that ``(N, T, S)`` has."""
        *lead, S = shape = self.mask_shape(mask)
        if len(lead) > 1:
            features = self.tensor(value).shape[len(shape) :]
            rows = ops.ReshapeTo(shape=(product(lead), S, *features))
            value = self._operation(f"{name}.rows", rows, (value,))
            value = self._operation(f"{name}.of_rows", op, (value,))
            op = ops.ReshapeTo(shape=shape)
        self._mask_values[mask] = self._operation(name, op, (value,))
        return self._mask_values[mask]

    def _operation(self, name: str, op: ops.Op, inputs: tuple[str, ...]) -> str:
        name = self.free_name(name)
        self.add_operation(Node(name, op, inputs))
        return name

    def mask_shape(self, mask: Mask) -> tuple[Dim, ...]:
        """The shape of a mask; that of parts of a mask is the whole's but for the sizes along time."""
        match mask:
            case Given(value) | Unequal(value):
                return self.tensor(value).shape
            case FeaturesUnequal(value):
                return self.tensor(value).shape[:-1]
            case Full(value):
                return self.tensor(value).shape[:2]
            case OfScores(value):
                N, _, S, T = self.tensor(f"{value}:1").shape
                return N, 1, S, T
            case OfRows(masks) | OfWholeRows(masks):
                N, T, *rest = self.mask_shape(masks[0])
                return N * T, *rest
            case OfSteps(masks, lead=lead):
                return *lead, *self.mask_shape(masks[0])[1:]
            case AnyInside(masks):
                return self.mask_shape(masks[0])[:2]
            case AllOf(masks) | AnyOf(masks) | InTime(masks):
                return self.mask_shape(masks[0])

    def free_name(self, name: str) -> str:
        """A name that no node or input has."""
        while name in self._names:
            name += "_"
            check_name(self.owner, name)
        return name

    def node_of(self, value: str) -> Node | None:
        """The node that gives a value; ``None`` for an input."""
        return self._producers.get(value)

    def add_operation(self, node: Node) -> None:
        """One more node, left out of the graph if nothing reads it."""
        self.operations.add(node.name)
        self.add(node)

    def add(self, node: Node) -> None:
        """One more node."""
        check_name(self.owner, node.name)
        self.count(len(node.name) // 1000)
        self._names.add(node.name)
        self.nodes.append(node)
        self._producers.update(dict.fromkeys(node.outputs, node))
        self._tensors.update(zip(node.outputs, self._inferred(node), strict=True))
        if carries(node.op) and node.inputs and (origin := self._origins.get(node.inputs[0])):
            self._origins.update(dict.fromkeys(node.outputs, origin))

    def _inferred(self, node: Node) -> Sequence[Tensor | GraphError]:
        try:
            outputs = inferred(node.op, [self.tensor(name) for name in node.inputs])
        except GraphError as error:
            reason = error if str(error).startswith("node ") else GraphError(f"node {node.name!r}: {error}")
            return [reason] * len(node.outputs)
        return outputs

    def read_nodes(self, outputs: Sequence[str]) -> list[Node]:
        """The nodes without those of operations that neither layers nor the model's ``outputs`` read."""
        needed, kept = set(outputs), []
        for node in reversed(self.nodes):
            optional = node.name in self.operations or node.name in self.taken
            if optional and needed.isdisjoint(node.outputs):
                continue
            kept.append(node)
            needed.update(node.inputs, (mask for mask in node.masks if mask is not None))
        return kept[::-1]


def _is_size(dim: object) -> bool:
    return isinstance(dim, int) and not isinstance(dim, bool) and 0 < dim < 2**63


def _is_shape(shape: object) -> TypeGuard[list[int | None]]:
    if not isinstance(shape, list) or not 0 < len(shape) <= MAX_RANK:
        return False
    return all(dim is None or _is_size(dim) for dim in shape)


def _dtype_while_read(dtype: str) -> str:
    if dtype in ops.FLOATS:
        return FLOAT
    return "int32" if dtype in SMALL_INTEGERS else dtype
