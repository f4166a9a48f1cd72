"""onnxruntime's own tools that make the numbers of a float32 model smaller."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx

from export.require import require

QUANTIZED = ("LSTM", "MatMul", "Gemm", "Gather", "Attention", "Conv")
"""What onnxruntime 1.31 quantizes while it runs; GRU and RNN keep their weights in float32."""


def require_tools(precision: str) -> None:
    """What the functions here need.

    Raises:
        MissingDependencyError: onnxruntime is not installed.
    """
    require("onnxruntime", f"writing {precision}", "cpu")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Neither the quantizer's advice nor the converter's warnings of small weights that become 0."""
    root = logging.getLogger()
    level, disabled = root.level, root.disabled
    root.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.disabled = disabled
        root.setLevel(level)


@_quiet()
def int8(model: Any) -> Any:
    """The protobuf ``model`` with the weights of `QUANTIZED` in 8 bits, one scale a tensor."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    # A Gemm becomes a MatMul of the transposed weight, which then is not what was said of it here.
    del plain.graph.value_info[:]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "model.onnx"
        quantize_dynamic(plain, target, op_types_to_quantize=list(QUANTIZED), weight_type=QuantType.QInt8)
        return onnx.load(target)
