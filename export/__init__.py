"""Graphs and live Keras models to ONNX, and running the result.

``import export`` loads no ONNX package and no framework; each function loads what it needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from export.require import require

if TYPE_CHECKING:
    from export.decode import stepper, write_decoder
    from export.fused_route import write
    from export.session import Session
    from export.tf2onnx_route import write_tf2onnx
    from export.tracing import trace

__all__ = ["Session", "stepper", "trace", "write", "write_decoder", "write_tf2onnx"]

_HOMES = {
    "Session": "export.session",
    "stepper": "export.decode",
    "trace": "export.tracing",
    "write": "export.fused_route",
    "write_decoder": "export.decode",
    "write_tf2onnx": "export.tf2onnx_route",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'export' has no attribute {name!r}")
    if name in ("trace", "write", "write_decoder"):
        for package in ("onnx", "onnx_ir"):
            require(package, "exporting to ONNX", "export")
    return getattr(importlib.import_module(_HOMES[name]), name)
