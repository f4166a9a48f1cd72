"""A small way to write ONNX nodes with onnx-ir: operands in, value out, equal constants kept once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from biport.dims import plain
from biport.ops import Tensor
from biport.weight_files import pieces
from export.onnx.spelling import spelled
from export.onnx.target import Target

Operand = ir.Value | np.ndarray | int | Sequence[int] | None
"""What a node reads: a value, a constant (Python numbers become int64), or ``None`` for nothing."""


class Builder:
    """Collects the nodes and constants of one ONNX graph, and notes for the person who asked for it.

    Args:
        names: value names that are spoken for: the inputs and outputs of the graph.
        target: what the nodes are written for.
    """

    def __init__(self, names: Iterable[str] = (), target: Target | None = None) -> None:
        self.target = target or Target()
        self.nodes: list[ir.Node] = []
        self.notes: list[str] = []
        self.constants: dict[object, ir.Value] = {}
        self._values = set(names)
        self._nodes: set[str] = set()

    def scope(self, name: str) -> Scope:
        """A way to write nodes whose names begin with ``name``."""
        return Scope(self, name)

    def body(self) -> Builder:
        """For the graph inside of a node: it shares constants and notes, and no value gets a name twice."""
        inner = Builder(target=self.target)
        inner.notes, inner.constants = self.notes, self.constants
        inner._values, inner._nodes = self._values, self._nodes
        return inner

    def value_name(self, wanted: str) -> str:
        """``wanted``, with a number behind it where the name is taken."""
        return _free(wanted, self._values)

    def node_name(self, wanted: str) -> str:
        """``wanted``, with a number behind it where a node has that name already."""
        return _free(wanted, self._nodes)

    def constant(self, array: np.ndarray, name: str) -> ir.Value:
        """The initialiser of ``array``; equal arrays share one, named by the first to ask."""
        # Not np.ascontiguousarray, which makes a vector of a scalar.
        array = np.asarray(array, order="C")
        digest = hashlib.blake2b()
        for piece in pieces(array):
            digest.update(piece.reshape(-1).view("uint8").data)
        key = (array.dtype.str, array.shape, digest.digest())
        if key not in self.constants:
            name = self.value_name(name)
            tensor = ir.tensor(array, name=name)
            self.constants[key] = ir.Value(
                name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor
            )
        return self.constants[key]


class Scope:
    """Writes the nodes that belong to one name: ``scope("Gather", table, ids, axis=0)``."""

    def __init__(self, builder: Builder, name: str) -> None:
        self.builder = builder
        self.name = name

    def __call__(self, op_type: str, *inputs: Operand, **attributes: Any) -> ir.Value:
        """Write a node and give its only output."""
        output = self.several(op_type, *inputs, wanted=(True,), **attributes)[0]
        if op_type == "Sqrt" and self.older_than(1, 21):
            # Of infinity it is NaN there.
            infinity = np.asarray(np.inf, "float32")
            return self("Where", self("Equal", inputs[0], infinity), infinity, output)
        if op_type == "Floor" and self.older_than(1, 16):
            # It goes by way of 32 bits there; from 2**23 on a number has no fraction.
            fraction = self("Less", self("Abs", inputs[0]), np.asarray(2**23, "float32"))
            return self("Where", fraction, output, inputs[0])
        return output

    def several(
        self, op_type: str, *inputs: Operand, wanted: Sequence[bool], **attributes: Any
    ) -> list[ir.Value]:
        """Write a node with many outputs; those not ``wanted`` are left out by the empty name."""
        node_name = self.builder.node_name(f"{self.name}/{op_type}")
        outputs = [
            ir.Value(name=self.builder.value_name(f"{node_name}:{index}") if want else "")
            for index, want in enumerate(wanted)
        ]
        given, attributes = spelled(op_type, inputs, attributes, self.builder.target.opset)
        operands = [self._operand(operand) for operand in given]
        node = ir.node(op_type, operands, attributes, outputs=outputs, name=node_name)
        self.builder.nodes.append(node)
        return [output for output, want in zip(outputs, wanted, strict=True) if want]

    def older_than(self, *release: int) -> bool:
        """Whether what is written is for an onnxruntime before ``release``, see `Target`."""
        return self.builder.target.older_than(*release)

    def constant(self, array: np.ndarray, name: str) -> ir.Value:
        """An initialiser called ``name`` under this scope."""
        return self.builder.constant(array, f"{self.name}/{name}")

    def _operand(self, operand: Operand) -> ir.Value | None:
        if operand is None or isinstance(operand, ir.Value):
            return operand
        if isinstance(operand, np.ndarray):
            return self.constant(operand, "constant")
        array = np.asarray(operand, "int64")
        shown = "_".join(str(number) for number in array.ravel()[:4])
        return self.builder.constant(array, f"const/{shown}")


def _free(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    taken.add(name)
    return name


def data_type(dtype: str) -> ir.DataType:
    """A dtype of the graph in ONNX."""
    return ir.DataType.from_numpy(np.dtype(dtype))


def typed(value: ir.Value, tensor: Tensor) -> ir.Value:
    """Declare shape and dtype of ``value``; letters become named dynamic axes."""
    value.type = ir.TensorType(data_type(tensor.dtype))
    value.shape = ir.Shape(plain(tensor.shape))
    return value
