"""An ONNX file to look at."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from biport.analysis.summary import Inspection, LayerRow
from biport.errors import FileError
from biport.file_kind import FileKind, file_kind, foreign
from export.deploy.runtimes import runtimes


def inspect(path: Path) -> Inspection:
    """Who wrote an ONNX file, its inputs and outputs, and how many nodes of each operator it has.

    Raises:
        FileError: it is missing or no ONNX file.
    """
    if not path.is_file() or file_kind(path) not in (FileKind.ONNX, FileKind.UNKNOWN):
        raise foreign(path, "an ONNX graph")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except DecodeError as error:
        raise FileError(f"{path}: truncated or damaged, not a whole ONNX file") from error
    if not model.graph.node and not model.graph.output:
        raise FileError(f"{path}: is not an ONNX file, or one without a graph")
    counted = Counter(node.op_type for node in _nodes(model.graph))
    facts = {
        "format": "ONNX",
        "size": f"{path.stat().st_size:,} bytes",
        "written by": f"{model.producer_name} {model.producer_version}".strip() or "unknown",
        "IR version": str(model.ir_version),
        "opset": ", ".join(f"{entry.domain or 'ai.onnx'} {entry.version}" for entry in model.opset_import),
        **{line.partition(": ")[0]: line.partition(": ")[2] for line in runtimes(path).lines()},
        **{f"input {value.name}": _shape(value) for value in model.graph.input},
        **{f"output {value.name}": _shape(value) for value in model.graph.output},
    }
    weights = sum(int(np.prod(tensor.dims, dtype=object)) for tensor in model.graph.initializer)
    rows = [LayerRow(kind, f"{number} nodes") for kind, number in counted.most_common()]
    rows.append(LayerRow("(initialisers)", f"{len(model.graph.initializer)} tensors", parameters=weights))
    return Inspection(path, facts, rows, notes=["biport writes ONNX and does not read it"])


def _nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """All nodes, those inside loops too."""
    nodes: list[onnx.NodeProto] = []
    stack = [graph]
    while stack:
        for node in stack.pop().node:
            nodes.append(node)
            stack += [a.g for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
    return nodes


def _shape(value: onnx.ValueInfoProto) -> str:
    kind = value.type.tensor_type
    dims = [dim.dim_param or (dim.dim_value if dim.HasField("dim_value") else "?") for dim in kind.shape.dim]
    return f"{onnx.TensorProto.DataType.Name(kind.elem_type).lower()} ({', '.join(map(str, dims))})"
