"""Where an ONNX file of the fused route differs from what its graph would give."""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from biport.errors import BiportError
from biport.gates import split_gates
from biport.graph import Graph
from biport.ops import Bidirectional, Cell, Dense, Op, StackedRNN
from export.build import build
from export.onnx.fused_node import ORDERS
from export.recurrent.groups import GROUP_BODY

KINDS = {kind.__name__: order for kind, order in ORDERS.items()}
Weights = dict[str, Any]


def ops_of(model: ir.Model, graph: Graph) -> dict[str, Op]:
    """Each node's op with the weights that the file has for it; nodes written as a Scan are left out."""
    ops: dict[str, Op] = {}
    nodes = list(model.graph.all_nodes())
    for node in graph.nodes:
        own = [
            item
            for item in nodes
            if re.fullmatch(re.escape(node.name) + r"/[A-Za-z]+(_\d+)?", item.name or "")
        ]
        try:
            op = _dense(node.op, own) if isinstance(node.op, Dense) else _rebuilt(node.op, _by_direction(own))
        except (BiportError, IndexError, ValueError):
            continue  # What cannot be read as the node's weights is told by `differences`.
        if op is not None:
            ops[node.name] = op
    return ops


def _by_direction(nodes: list[ir.Node]) -> dict[str, list[Weights]]:
    """The weights of fused nodes by direction, in the order of the nodes."""
    by_direction: dict[str, list[Weights]] = defaultdict(list)
    for node in nodes:
        # In the loop over groups stands a node of the same weights once more.
        if node.op_type not in KINDS or (node.graph is not None and _is_group(node.graph)):
            continue
        setting = node.attributes["direction"].as_string() if "direction" in node.attributes else "forward"
        directions = ("forward", "reverse") if setting == "bidirectional" else (setting,)
        for number, direction in enumerate(directions):
            arrays = [_constant(value) for value in node.inputs[1:4]]
            own = [None if array is None else array[number] for array in arrays]
            by_direction[direction].append(_cell(KINDS[node.op_type], own))
    return by_direction


def _is_group(graph: Any) -> bool:
    return (graph.name or "").endswith(GROUP_BODY)


def _cell(order: str, arrays: list[np.ndarray | None]) -> Weights:
    W, R, B = [*arrays, None][:3]
    if W is None or R is None:
        raise ValueError("no weights")
    biases = (None, None) if B is None else np.split(B, 2)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    stacked = zip(names, (W, R, *biases), strict=True)
    return {name: None if array is None else split_gates(array, order) for name, array in stacked}


def _rebuilt(op: Op, by_direction: Mapping[str, list[Weights]]) -> Any:
    """``op`` with the weights of its fused nodes; ``None`` for an op that is not recurrent."""
    if isinstance(op, Bidirectional):
        return dataclasses.replace(
            op, forward=_rebuilt(op.forward, by_direction), backward=_rebuilt(op.backward, by_direction)
        )
    if isinstance(op, StackedRNN):
        queue = by_direction["reverse" if op.reverse else "forward"]
        return dataclasses.replace(op, cells=tuple(_with(cell, queue.pop(0)) for cell in op.cells))
    if isinstance(op, Cell):
        return _with(op, by_direction["reverse" if op.reverse else "forward"].pop(0))
    return None


def _with(op: Cell, weights: Weights) -> Cell:
    weights = dict(weights)
    # A bias the op does not have is zeros in the file, where another direction has one.
    for name in ("bias_hh", "bias_ih"):
        given = weights[name]
        if getattr(op, name) is None and given is not None and not any(a.any() for a in given.values()):
            weights[name] = None
    return dataclasses.replace(op, **weights)


def _dense(op: Dense, nodes: list[ir.Node]) -> Dense | None:
    by_kind = {node.op_type: node for node in reversed(nodes)}
    if "Gemm" in by_kind:
        arrays = [_constant(value) for value in (*by_kind["Gemm"].inputs, None)]
        return dataclasses.replace(op, weight=arrays[1], bias=arrays[2])
    weight = _constant(by_kind["MatMul"].inputs[1]) if "MatMul" in by_kind else None
    if weight is None:
        return None
    bias = _constant(by_kind["Add"].inputs[1]) if op.bias is not None and "Add" in by_kind else None
    return dataclasses.replace(op, weight=np.ascontiguousarray(weight.T), bias=bias)


def _constant(value: ir.Value | None) -> np.ndarray | None:
    return None if value is None or value.const_value is None else value.const_value.numpy()


def differences(model: ir.Model, graph: Graph) -> dict[str, list[str]]:
    """For each node of ``graph`` the ONNX nodes that are not what `export.write` writes."""
    props = model.metadata_props
    rebuilt, _ = build(graph, props.get("biport.lowering", "fused"), props.get("biport.contract"))
    fresh = {node.name: node for node in rebuilt.graph.all_nodes()}
    lines: dict[str, list[str]] = defaultdict(list)
    read = {node.name: node for node in model.graph.all_nodes()}
    for name in [*fresh, *(name for name in read if name not in fresh)]:
        owners = [node.name for node in graph.nodes if str(name).startswith(f"{node.name}/")]
        if owners:
            lines[max(owners, key=len)] += _compared(str(name), read.get(name), fresh.get(name))
    return {name: said for name, said in lines.items() if said}


def _compared(name: str, node: ir.Node | None, wanted: ir.Node | None) -> Iterator[str]:
    if node is None or wanted is None:
        yield f"the ONNX node {name} is {'missing' if node is None else 'too many'}"
        return
    if node.op_type != wanted.op_type:
        yield f"the ONNX node {name} is of type {node.op_type} instead of {wanted.op_type}"
    for key in sorted(node.attributes.keys() | wanted.attributes.keys()):
        one, two = (_attribute(given, key) for given in (node, wanted))
        if one != two:
            yield f"the ONNX node {name} has {key} {one} instead of {two}"
    if len(node.inputs) != len(wanted.inputs):
        yield f"the ONNX node {name} has {len(node.inputs)} inputs instead of {len(wanted.inputs)}"
    for index, (one, two) in enumerate(zip(node.inputs, wanted.inputs, strict=False)):
        yield from _compared_inputs(name, index, one, two)


def _attribute(node: ir.Node, key: str) -> str | None:
    attribute = node.attributes.get(key)
    if attribute is None or isinstance(attribute.value, ir.Graph):
        return None  # The nodes of a body have names of their own.
    value = attribute.value
    if isinstance(value, float):
        return str(np.float32(value))  # What a file can store.
    return str([_shown(part) for part in value] if isinstance(value, tuple | list) else value)


def _shown(part: Any) -> Any:
    return float(np.float32(part)) if isinstance(part, float) else part


def _compared_inputs(name: str, index: int, one: ir.Value | None, two: ir.Value | None) -> Iterator[str]:
    arrays = [_constant(value) for value in (one, two)]
    if arrays[0] is not None and arrays[1] is not None:
        if not np.array_equal(arrays[0], arrays[1]):
            assert one is not None
            yield f"the initialiser {one.name} differs"
        return
    names = [None if value is None else value.name for value in (one, two)]
    if names[0] != names[1]:
        yield f"the ONNX node {name} reads {names[0]} at input {index} instead of {names[1]}"
