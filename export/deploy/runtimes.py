"""Which runtimes have all that an ONNX file needs: releases of onnxruntime, the web, and phones.

onnxruntime-web's WebAssembly and the packages for Android and iOS of today (``onnxruntime-android``,
``onnxruntime-c``, ``onnxruntime-objc``) are built with all operators of the CPU. The *reduced* packages for
phones, ``onnxruntime-mobile``, which ended with 1.18, have those of
https://onnxruntime.ai/docs/reference/operators/MobileOps.html: no LSTM, GRU or RNN, though a ``Scan``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from biport.errors import FileError
from biport.file_kind import FileKind, file_kind, foreign
from export.onnx.target import RELEASES

STANDARD = ("", "ai.onnx.ml")
CONTRIBUTED = "com.microsoft"
"""onnxruntime's own domain, which all of its full builds have."""
REDUCED = frozenset(
    (
        *("Abs", "Add", "And", "ArgMax", "ArgMin", "AveragePool", "Cast", "Ceil", "Clip", "Concat"),
        *("ConstantOfShape", "Conv", "ConvTranspose", "Cos", "CumSum", "DepthToSpace", "DequantizeLinear"),
        *("Div", "DynamicQuantizeLinear", "Elu", "Equal", "Erf", "Exp", "Expand", "Flatten", "Floor"),
        *("Gather", "GatherND", "Gemm", "GlobalAveragePool", "Greater", "GreaterOrEqual", "Identity", "If"),
        *("LRN", "InstanceNormalization", "LeakyRelu", "Less", "LessOrEqual", "Log", "LogSoftmax", "Loop"),
        *("MatMul", "MatMulInteger", "Max", "MaxPool", "Mean", "Min", "Mul", "Neg", "NonMaxSuppression"),
        *("NonZero", "Not", "Or", "PRelu", "Pad", "Pow", "QLinearConv", "QLinearMatMul", "QuantizeLinear"),
        *("Range", "Reciprocal", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "Relu"),
        *("Reshape", "Resize", "ReverseSequence", "Round", "Scan", "ScatterND", "Shape", "Sigmoid", "Sin"),
        *("Size", "Slice", "Softmax", "SpaceToDepth", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tanh"),
        *("ThresholdedRelu", "Tile", "TopK", "Transpose", "Unique", "Unsqueeze", "Where"),
    )
)
"""The standard's operators in the reduced packages, as onnxruntime's repository lists them in
``mobile_package.required_operators.config``."""


@dataclass(frozen=True)
class Runtimes:
    """Where a file runs, by what is in it; whether it is fast there is for a measurement to say.

    Args:
        release: the oldest onnxruntime that takes its opset and IR version, ``None`` where none is known.
        foreign: operators that are neither the standard's nor onnxruntime's own: no build has them.
        web: whether onnxruntime-web's WebAssembly has all operators.
        mobile: whether the full packages for Android and iOS have.
        not_in_reduced: the operators that ``onnxruntime-mobile`` lacks.
    """

    release: str | None
    foreign: Sequence[str]
    web: bool
    mobile: bool
    not_in_reduced: Sequence[str]

    def lines(self) -> Iterator[str]:
        """The same for a person."""
        yield f"versions known to onnxruntime: {self.release or 'no known release'}" + (
            " and newer" if self.release else ""
        )
        lacking = f"no: {', '.join(self.foreign)}" if self.foreign else "yes"
        yield f"onnxruntime-web (WebAssembly): {lacking}"
        yield f"onnxruntime for Android and iOS, full packages: {lacking}"
        reduced = f"no: {', '.join(self.not_in_reduced)}" if self.not_in_reduced else "yes"
        yield f"onnxruntime-mobile, the reduced packages up to 1.18: {reduced}"

    def to_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return dict(vars(self))


def runtimes(path: Path) -> Runtimes:
    """Where the ONNX file at ``path`` runs.

    Raises:
        FileError: it is missing or no ONNX file.

    Example:
        >>> import tempfile
        >>> from biport import ops
        >>> from biport.graph import Graph, Node, Value
        >>> from export import write
        >>> x = Value("x", ("N", 3), "float32")
        >>> graph = Graph((x,), (Node("y", ops.Activation(function="tanh"), ("x",)),), ("y",))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write(graph, f"{folder}/tanh.onnx")
        ...     print(*runtimes(Path(folder) / "tanh.onnx").lines(), sep="\\n")
        versions known to onnxruntime: 1.14 and newer
        onnxruntime-web (WebAssembly): yes
        onnxruntime for Android and iOS, full packages: yes
        onnxruntime-mobile, the reduced packages up to 1.18: yes
    """
    if not path.is_file() or file_kind(path) not in (FileKind.ONNX, FileKind.UNKNOWN):
        raise foreign(path, "an ONNX graph")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's errors are its own
        raise FileError(f"{path}: truncated or damaged, not a whole ONNX file") from error
    operators = sorted({(node.domain, node.op_type) for node in _nodes(model.graph)})
    opset = max((entry.version for entry in model.opset_import if not entry.domain), default=1)
    unknown = [
        f"{domain}.{op_type}"
        for domain, op_type in operators
        if domain != CONTRIBUTED and not (domain in STANDARD and onnx.defs.has(op_type, domain))
    ]
    lacking = [op_type for domain, op_type in operators if domain or op_type not in REDUCED]
    return Runtimes(_oldest(opset, model.ir_version), unknown, not unknown, not unknown, lacking)


def _oldest(opset: int, ir_version: int) -> str | None:
    for release, (newest, newest_ir) in sorted(RELEASES.items()):
        if opset <= newest and ir_version <= newest_ir:
            return ".".join(map(str, release))
    return None


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _nodes(attribute.g)
