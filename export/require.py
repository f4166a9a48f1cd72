"""Optional packages, imported with a word of help where they are missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from biport.extras import missing


def require(package: str, purpose: str, extra: str) -> ModuleType:
    """Import ``package``.

    Raises:
        MissingDependencyError: it is not installed; the message has the command that installs it.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package.partition(".")[0]:
            raise
        raise missing(f"{purpose} needs {package}, which is not installed", extra) from error


def require_onnx(purpose: str = "exporting to ONNX") -> None:
    """The packages that read and write ONNX.

    Raises:
        MissingDependencyError: onnx or onnx-ir is not installed.
    """
    for package in ("onnx", "onnx_ir"):
        require(package, purpose, "export")
