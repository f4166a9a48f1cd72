"""Weights in 8 bits: how the operators of a file are written again, computing in them or only storing them.

A weight that is *stored* in 8 bits is a ``Cast`` and a ``Mul`` that onnxruntime computes once, when it opens
the file: a fused node then reads float32 as ever. A product that is *computed* in 8 bits rounds what it is
given too, by the range that this has in the batch at hand, or for a convolution by one that was seen before:
onnxruntime's convolutions by the range at hand are slower than those in float32.

One scale an output channel everywhere, and one a row of a table. Figures: ``docs/precision.md``.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir

from export.deploy.values import is_read, values_of
from export.onnx.builder import Builder, Scope

METHODS = ("weights", "dynamic", "static")
"""Stored alone; products computed by the range of each batch; and convolutions by ranges seen before."""
LEAST_STORED = 32
"""Numbers of a weight that is worth scales."""
LEAST_SHARE = 1000
"""Of a model's numbers a weight has to be one in so many: a head of few classes stays as exact as it was."""
LEAST_PRODUCT = 4096
"""Numbers of a matrix from which on a product in 8 bits is the faster, for some batch."""
LOOP_FROM = {"GRU": 1280, "RNN": 256}
"""From which N·H on a Scan of products in 8 bits is faster than the fused node in float32."""
MIDDLE = 128
"""What stands for 0 in weights that are computed with."""
CONTRIB = "com.microsoft"
RECURRENT = ("LSTM", "GRU", "RNN")
WEIGHED = (*RECURRENT, "MatMul", "Gemm", "Conv", "ConvTranspose", "Gather")
"""The operators whose weights get smaller."""

Range = tuple[float, float]
"""The smallest and the largest number of a value."""


@dataclass(frozen=True)
class Int8:
    """How a file is written with weights in 8 bits.

    Args:
        method: one of `METHODS`.
        ranges: for ``"static"``, of the values of `convolved`, by name.
    """

    method: str
    ranges: Mapping[str, Range]


def int8(model: onnx.ModelProto, how: Int8) -> onnx.ModelProto:
    """The model with its weights in 8 bits; one without any comes back as it is.

    Args:
        model: valid, and below 2 GiB.
        how: what is computed in them.
    """
    narrow = ir.from_proto(model)
    _Rewriting(narrow, how).write()
    return ir.to_proto(narrow)


def computed(model: onnx.ModelProto) -> bool:
    """Whether ``"dynamic"`` makes something else of a model than ``"weights"``."""
    return _Rewriting(ir.from_proto(model), Int8("dynamic", {})).computes()


def convolved(model: onnx.ModelProto) -> list[str]:
    """The inputs and outputs of the convolutions outside of branches and loops, whose ranges may be seen."""
    nodes = [node for node in ir.from_proto(model).graph if node.op_type == "Conv"]
    values = [value for node in nodes if _matrix(node.inputs[1]) is not None for value in _ends(node)]
    return list(dict.fromkeys(value.name or "" for value in values))


def _ends(node: ir.Node) -> list[ir.Value]:
    x = node.inputs[0]
    assert x is not None
    return [x, node.outputs[0]]


def _matrix(value: ir.Value | None, least: int | None = None) -> np.ndarray | None:
    """The numbers of a weight, of two axes or more; ``None`` for anything else, and for few."""
    least = LEAST_STORED if least is None else least
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    if tensor is None or tensor.dtype != ir.DataType.FLOAT or len(tensor.shape) < 2 or tensor.size < least:
        return None
    array = tensor.numpy()
    return array if np.isfinite(array).all() else None


def rounded(array: np.ndarray, axes: int | tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The numbers in 8 bits and their scales, one for each place along the other axes.

    Example:
        >>> numbers, scales = rounded(np.array([[1.0, -2.0], [0.5, 0.0]], "float32"), axes=1)
        >>> numbers.tolist(), (scales * 127).round(3).tolist()
        ([[64, -127], [127, 0]], [[2.0], [0.5]])
    """
    largest = np.abs(array).max(axis=axes, keepdims=True)
    scales = np.where(largest > 0, largest / 127, 1).astype("float32")
    return np.rint(array / scales).clip(-127, 127).astype("int8"), scales


def _unsigned(numbers: np.ndarray) -> np.ndarray:
    """Numbers in 8 bits without a sign, of which `MIDDLE` is 0.

    With a sign onnxruntime's products lose what exceeds 16 bits on processors that have AVX2 and no VNNI.
    """
    return (numbers.astype("int16") + MIDDLE).astype("uint8")


def _middles(shape: Sequence[int]) -> np.ndarray:
    return np.full(shape, MIDDLE, "uint8")


class _Rewriting:
    """Writes the nodes of a model again, those in branches and loops as well."""

    def __init__(self, model: ir.Model, how: Int8) -> None:
        self._model = model
        self._how = how
        self._computes = how.method != "weights"
        values = values_of(model)
        self._builder = Builder(value.name for value in values if value.name)
        sizes = [array.size for value in values if (array := _matrix(value)) is not None]
        self._least = max(LEAST_STORED, sum(sizes) // LEAST_SHARE)
        self._opening: list[ir.Node] = []
        """What is computed when the file is opened: it stands before all else."""
        self._stored: dict[ir.Value, ir.Value] = {}
        self._undefined: list[str] = json.loads(model.metadata_props.get("biport.undefined", "[]"))

    def write(self) -> None:
        """Write everything, and drop the weights that nobody reads any more."""
        root = self._model.graph
        for graph in [*self._model.graphs()]:
            if self._computes:
                self._sooner(graph)
                self._products(graph)
            for node in [*graph]:
                self._node(node)
        for graph in self._model.graphs():
            for name in [name for name, value in graph.initializers.items() if not is_read(value)]:
                del graph.initializers[name]
            graph.remove(
                [node for node in graph if node.op_type == "Constant" and not is_read(node.outputs[0])]
            )
        for value in self._builder.constants.values():
            root.initializers[value.name or ""] = value
        if self._opening:
            root.insert_before(root[0], self._opening)
        if any(node.domain == CONTRIB for node in root.all_nodes()):
            self._model.opset_imports.setdefault(CONTRIB, 1)

    def _node(self, node: ir.Node) -> None:
        if node.domain:
            return
        if node.op_type == "Gather" and not node.attributes.get_int("axis", 0):
            self._store(node, 0, channel=0)
        elif node.op_type == "LSTM" and self._may_compute(node) and _matrix(node.inputs[1]) is not None:
            self._lstm(node)
        elif node.op_type in RECURRENT:
            for at in (1, 2):
                self._store(node, at, channel=1)
        elif node.op_type == "Conv":
            self._conv(node)
        elif node.op_type == "ConvTranspose":
            self._store(node, 1, channel=1)
        elif node.op_type in ("MatMul", "Gemm"):
            for at in (0, 1):
                self._store(node, at, channel=_channel(node, at))

    def _may_compute(self, node: ir.Node) -> bool:
        """Whether a node may be given numbers in 8 bits: one that is NaN leaves no range for the others."""
        name = node.name or ""
        return self._computes and not any(
            name == owner or name.startswith(f"{owner}/") for owner in self._undefined
        )

    # What is stored.

    def _store(self, node: ir.Node, at: int, channel: int) -> None:
        """Let a node read a weight that is in 8 bits in the file.

        Args:
            channel: the axis whose places have scales of their own; of matrices side by side, each has.
        """
        value = node.inputs[at]
        array = _matrix(value, self._least)
        if value is None or array is None:
            return
        if value not in self._stored:
            summed = (
                range(array.ndim)
                if node.op_type in ("Conv", "ConvTranspose", "Gather")
                else {array.ndim - 1, array.ndim - 2}
            )
            numbers, scales = rounded(array, tuple(axis for axis in summed if axis != channel))
            self._stored[value] = self._opened(value.name or node.op_type, numbers, scales)
        node.replace_input_with(at, self._stored[value])

    def _opened(self, name: str, numbers: np.ndarray, scales: np.ndarray) -> ir.Value:
        scope = self._builder.scope(f"{name}/int8")
        before = len(self._builder.nodes)
        wide = scope("Cast", scope.constant(numbers, "numbers"), to=ir.DataType.FLOAT)
        value = scope("Mul", wide, scope.constant(scales, "scales"))
        value.type, value.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape(numbers.shape)
        self._opening += self._builder.nodes[before:]
        del self._builder.nodes[before:]
        return value

    # What is computed.

    def _lstm(self, node: ir.Node) -> None:
        inputs: list[ir.Value | None] = [*node.inputs, *[None] * (8 - len(node.inputs))]
        scales: list[ir.Value] = []
        scope = self._builder.scope(node.name or "LSTM")
        for at, name in ((1, "W"), (2, "R")):
            array = _matrix(inputs[at], least=1)
            if array is None:
                return
            numbers, scale = rounded(array, 2)
            inputs[at] = scope.constant(_unsigned(numbers).transpose(0, 2, 1), f"{name}/numbers")
            scales += [
                scope.constant(scale[:, :, 0], f"{name}/scales"),
                scope.constant(_middles(scale.shape[:2]), f"{name}/zeros"),
            ]
        attributes = [attribute for name, attribute in node.attributes.items() if name != "layout"]
        outputs = [ir.Value(name=value.name, type=value.type, shape=value.shape) for value in node.outputs]
        new = ir.Node(
            CONTRIB, "DynamicQuantizeLSTM", [*inputs, *scales], attributes, outputs=outputs, name=node.name
        )
        _put(node, [new], outputs)

    def _products(self, graph: ir.Graph) -> None:
        """Products of one value with several matrices become one, whose result is split."""
        for products in self._product_groups(graph):
            self._product(products)

    def _product_groups(self, graph: ir.Graph) -> list[list[_Product]]:
        """The products that are worth 8 bits, those of one value together."""
        groups: dict[ir.Value, list[_Product]] = defaultdict(list)
        for node in graph:
            product = _product(node)
            if product is not None and self._may_compute(node):
                groups[product.x].append(product)
        return [
            products
            for products in groups.values()
            if sum(product.weight.size for product in products) >= LEAST_PRODUCT
        ]

    def computes(self) -> bool:
        """Whether anything would be computed in 8 bits, convolutions aside."""
        return any(self._product_groups(graph) for graph in self._model.graphs()) or any(
            node.op_type == "LSTM" and self._may_compute(node) and _matrix(node.inputs[1]) is not None
            for node in self._model.graph.all_nodes()
        )

    def _product(self, products: Sequence[_Product]) -> None:
        first = products[0].node
        scope = self._builder.scope(first.name or first.op_type)
        numbers, scales = rounded(np.concatenate([product.weight for product in products], axis=1), 0)
        sizes = [product.weight.shape[1] for product in products]
        biases = [product.bias for product in products]
        bias = None
        if any(one is not None for one in biases):
            filled = [
                np.zeros(size, "float32") if one is None else one
                for one, size in zip(biases, sizes, strict=True)
            ]
            bias = scope.constant(np.concatenate(filled), "bias")
        before = len(self._builder.nodes)
        y = scope(
            "DynamicQuantizeMatMul",
            products[0].x,
            scope.constant(_unsigned(numbers), "numbers"),
            scope.constant(scales[0], "scales"),
            scope.constant(_middles(scales[0].shape), "zeros"),
            *([] if bias is None else [bias]),
        )
        self._builder.nodes[-1].domain = CONTRIB
        y.type = ir.TensorType(ir.DataType.FLOAT)
        parts = [y]
        if len(products) > 1:
            parts = scope.several("Split", y, sizes, wanted=[True] * len(products), axis=-1)
        first.prepend(self._builder.nodes[before:])
        del self._builder.nodes[before:]
        for product, part in zip(products, parts, strict=True):
            added = product.addend

            def write(inner: Scope, part: ir.Value = part, added: ir.Value | None = added) -> list[ir.Value]:
                return [inner("Identity", part) if added is None else inner("Add", part, added)]

            self._replace(product.node, write)

    def _conv(self, node: ir.Node) -> None:
        weight = _matrix(node.inputs[1])
        if weight is None:
            return
        x, y = _ends(node)
        ranges = [self._how.ranges.get(value.name or "") for value in (x, y)]
        computed = weight.size >= LEAST_PRODUCT and self._may_compute(node)
        if computed and ranges[0] is not None and ranges[1] is not None:
            self._static_conv(node, weight, ranges[0], ranges[1])
        else:
            self._store(node, 1, channel=0)

    def _static_conv(self, node: ir.Node, weight: np.ndarray, taken: Range, given: Range) -> None:
        numbers, scales = rounded(weight, tuple(range(1, weight.ndim)))
        channels = scales.reshape(-1)
        x_scale, x_zero = _grid(taken)
        # Below 0 a Relu leaves nothing: no bits for that.
        y_scale, y_zero = _grid((0.0, given[1]) if _rectified(node.outputs[0]) else given)
        bias = (
            ir.convenience.get_const_tensor(node.inputs[2])
            if len(node.inputs) > 2 and node.inputs[2]
            else None
        )
        x, *_ = _ends(node)
        attributes = _plain_attributes(node)

        def write(scope: Scope) -> list[ir.Value]:
            ends = [
                scope.constant(number, name)
                for number, name in (
                    (x_scale, "x_scale"),
                    (x_zero, "x_zero"),
                    (y_scale, "y_scale"),
                    (y_zero, "y_zero"),
                )
            ]
            narrow = scope("QuantizeLinear", x, *ends[:2])
            weights = [
                scope.constant(_unsigned(numbers), "numbers"),
                scope.constant(channels, "scales"),
                scope.constant(_middles(channels.shape), "zeros"),
            ]
            added = []
            if bias is not None:
                steps = np.rint(bias.numpy() / (channels.astype("float64") * x_scale))
                added = [scope.constant(steps.clip(-(2**31), 2**31 - 1).astype("int32"), "bias")]
            y = scope("QLinearConv", narrow, *ends[:2], *weights, *ends[2:], *added, **attributes)
            return [scope("DequantizeLinear", y, *ends[2:])]

        self._replace(node, write)

    def _sooner(self, graph: ir.Graph) -> None:
        """Let the loop beside a fused node begin at the batch from which on it is faster in 8 bits."""
        for node in graph:
            if node.op_type != "If" or (fused := _fused_beside_loop(node)) is None:
                continue
            compared, others = _batch_compared(node.inputs[0])
            if compared is None:
                continue
            rows = -(-LOOP_FROM[fused.op_type] // fused.attributes.get_int("hidden_size", 1))
            scope = self._builder.scope(node.name or "If")
            before = len(self._builder.nodes)
            large = scope("GreaterOrEqual", compared.inputs[0], [rows])
            node.replace_input_with(0, scope("Or", *others, large) if others else large)
            node.prepend(self._builder.nodes[before:])
            del self._builder.nodes[before:]

    def _replace(self, node: ir.Node, write: Callable[[Scope], Sequence[ir.Value]]) -> None:
        """Put what ``write`` writes in the place of a node; the last nodes give the outputs of that one."""
        before = len(self._builder.nodes)
        outputs = write(self._builder.scope(node.name or node.op_type))
        new = self._builder.nodes[before:]
        del self._builder.nodes[before:]
        _put(node, new, outputs)


@dataclass(frozen=True, eq=False)
class _Product:
    """A product of a value with a weight, and what is added.

    Args:
        weight: ``(K, N)``.
        bias: ``(N,)``, where it is constant.
        addend: where it is not.
    """

    node: ir.Node
    x: ir.Value
    weight: np.ndarray
    bias: np.ndarray | None = None
    addend: ir.Value | None = None


def _product(node: ir.Node) -> _Product | None:
    if node.domain or node.op_type not in ("MatMul", "Gemm"):
        return None
    x, weight = node.inputs[0], _matrix(node.inputs[1], least=1)
    if x is None or weight is None or weight.ndim != 2:
        return None
    if node.op_type == "MatMul":
        return _Product(node, x, weight)
    if node.attributes.get_int("transA", 0) or {*_factors(node)} != {1.0}:
        return None
    if node.attributes.get_int("transB", 0):
        weight = weight.T
    added = node.inputs[2] if len(node.inputs) > 2 else None
    tensor = None if added is None else ir.convenience.get_const_tensor(added)
    if tensor is not None and tuple(tensor.shape) == (weight.shape[1],):
        return _Product(node, x, weight, bias=tensor.numpy())
    return _Product(node, x, weight, addend=added)


def _factors(gemm: ir.Node) -> tuple[float, float]:
    return gemm.attributes.get_float("alpha", 1.0), gemm.attributes.get_float("beta", 1.0)


def _channel(node: ir.Node, at: int) -> int:
    """Which axis of a matrix is that of the result: not the one summed over."""
    value = node.inputs[at]
    rank = 2 if value is None or value.shape is None else len(value.shape)
    turned = node.op_type == "Gemm" and node.attributes.get_int("transB" if at else "transA", 0)
    last = bool(at) != bool(turned)
    return rank - 1 if last else rank - 2


def _fused_beside_loop(node: ir.Node) -> ir.Node | None:
    """The recurrent node in one branch of an ``If`` that has a Scan in the other."""
    branches = [node.attributes[name].as_graph() for name in ("then_branch", "else_branch")]
    if not any(inner.op_type == "Scan" for inner in branches[0].all_nodes()):
        return None
    return next((inner for inner in branches[1] if inner.op_type in LOOP_FROM), None)


def _batch_compared(condition: ir.Value | None) -> tuple[ir.Node | None, list[ir.Value | None]]:
    """What compares a batch for a condition, and what else makes it true."""
    node, others = None if condition is None else condition.producer(), []
    if node is not None and node.op_type == "Or":
        *others, last = node.inputs
        node = None if last is None else last.producer()
    return (node, others) if node is not None and node.op_type == "GreaterOrEqual" else (None, [])


def _rectified(value: ir.Value) -> bool:
    """Whether all that reads a value is a ``Relu``, with transpositions between."""
    users = [user for user, _ in value.uses()]
    if value.is_graph_output() or not users:
        return False
    return all(
        user.op_type == "Relu" or (user.op_type == "Transpose" and _rectified(user.outputs[0]))
        for user in users
    )


def _grid(of: Range) -> tuple[np.ndarray, np.ndarray]:
    """Scale and zero point of 8 bits without sign over a range, in which 0 is."""
    low, high = min(of[0], 0.0), max(of[1], 0.0)
    scale = (high - low) / 255
    if not math.isfinite(scale) or scale <= 0:
        scale = 1.0
    return np.asarray(scale, "float32"), np.asarray(round(-low / scale), "uint8")


def _plain_attributes(node: ir.Node) -> dict[str, object]:
    return {name: attribute.value for name, attribute in node.attributes.items()}


def _put(node: ir.Node, new: Sequence[ir.Node], outputs: Sequence[ir.Value]) -> None:
    graph = node.graph
    assert graph is not None
    ir.convenience.replace_nodes_and_values(graph, node, [node], new, node.outputs, outputs)
