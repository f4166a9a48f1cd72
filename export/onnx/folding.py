"""What is known of sizes before a model runs is computed then: nodes become constants.

Only integers and booleans, and what is cast of them: of weights nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator
from onnx_ir.passes.common import RemoveUnusedNodesPass, ShapeInferencePass

FOLDED = frozenset(
    (
        *("Shape", "Size", "Slice", "Concat", "Gather", "Squeeze", "Unsqueeze", "Reshape", "Transpose"),
        *(
            "Expand",
            "Identity",
            "Cast",
            "Range",
            "ConstantOfShape",
            "Add",
            "Sub",
            "Mul",
            "Div",
            "Mod",
            "Max",
            "Min",
        ),
        *("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Not", "And", "Or", "Where"),
        *("ReduceProd", "ReduceSum", "ReduceMax", "ReduceMin", "CumSum"),
    )
)
LARGEST = 2**16
"""Elements of what becomes a constant; more are not worth their bytes."""


def fold(model: ir.Model) -> None:
    """Put constants in the place of what a model computes of sizes that are known."""
    while True:
        _infer(model)
        nodes = [node for node in model.graph.all_nodes() if _foldable(node)]
        for node in nodes:
            _fold(model, node)
        if not nodes:
            break
    RemoveUnusedNodesPass()(model)


def _infer(model: ir.Model) -> None:
    """Find shapes and types; sequences keep theirs, of which the pass makes tensors."""
    values = [value for graph in model.graphs() for value in graph.inputs]
    values += [value for node in model.graph.all_nodes() for value in node.outputs]
    sequences = {value: value.type for value in values if isinstance(value.type, ir.SequenceType)}
    ShapeInferencePass()(model)
    for value, type_ in sequences.items():
        value.type, value.shape = type_, None


def _foldable(node: ir.Node) -> bool:
    if node.domain or node.op_type not in FOLDED or len(node.outputs) != 1:
        return False
    if node.outputs[0].is_graph_output() or not node.outputs[0].uses():
        return False
    arrays = _arrays(node)
    if arrays is None or any(array is not None and array.dtype.kind not in "iub" for array in arrays):
        return False
    # Which way a negative quotient is rounded not every release of onnx' evaluator knows.
    signed = node.op_type in ("Div", "Mod") and any(
        array is not None and (array < 0).any() for array in arrays
    )
    shape = node.outputs[0].shape
    known = shape is not None and all(isinstance(dim, int) for dim in shape)
    return not signed and (not known or int(np.prod(shape.numpy(), dtype=object)) <= LARGEST)  # type: ignore[union-attr]


def _arrays(node: ir.Node) -> Sequence[np.ndarray | None] | None:
    """What a node reads, where all of it is known; of ``Shape`` the shape it gives."""
    if node.op_type == "Shape":
        value = node.inputs[0]
        shape = None if value is None else value.shape
        if shape is None:
            return None
        start, end = node.attributes.get_int("start", 0), node.attributes.get_int("end", len(shape))
        dims = [dim for dim in shape[start:end] if isinstance(dim, int)]
        return [np.array(dims, "int64")] if len(dims) == len(shape[start:end]) else None
    tensors = [None if value is None else ir.convenience.get_const_tensor(value) for value in node.inputs]
    if any(value is not None and tensor is None for value, tensor in zip(node.inputs, tensors, strict=True)):
        return None
    return [None if tensor is None else tensor.numpy() for tensor in tensors]


def _fold(model: ir.Model, node: ir.Node) -> None:
    arrays = _arrays(node)
    assert arrays is not None
    result = arrays[0] if node.op_type == "Shape" else _evaluated(model, node, arrays)
    assert result is not None
    (old,) = node.outputs
    name = old.name
    old.name = f"{name}/folded"
    tensor = ir.tensor(np.asarray(result), name=name)
    new = ir.Value(
        name=name, shape=ir.Shape(result.shape), type=ir.TensorType(tensor.dtype), const_value=tensor
    )
    model.graph.register_initializer(new)
    old.replace_all_uses_with(new)
    assert node.graph is not None
    node.graph.remove(node, safe=True)


def _evaluated(model: ir.Model, node: ir.Node, arrays: Sequence[np.ndarray | None]) -> np.ndarray:
    """What a node gives, by onnx' own evaluator."""
    given = {f"x{at}": array for at, array in enumerate(arrays) if array is not None}
    proto = ir.to_proto(node)
    proto.input[:] = [f"x{at}" if array is not None else "" for at, array in enumerate(arrays)]
    proto.output[:] = ["y"]
    info = [
        onnx.helper.make_tensor_value_info(
            name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        for name, array in given.items()
    ]
    graph = onnx.helper.make_graph([proto], "node", info, [onnx.ValueInfoProto(name="y")])
    opset = onnx.helper.make_opsetid("", model.opset_imports[""])
    (result,) = ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=[opset])).run(None, given)
    return np.asarray(result)
