"""Putting an ONNX file in its place: checked, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import onnx

from biport.analysis.lengths import Least
from biport.dims import plain
from biport.errors import Argument, FileError, GraphError
from biport.files import atomic_file
from biport.graph import Value
from biport.version import __version__
from export.check_vectors import check_path

PRODUCER = "biport"
DATA_SUFFIX = ".data"
"""Weights that do not fit into a protobuf lie beside ``model.onnx`` in ``model.onnx.data``."""

WrittenValues: TypeAlias = Mapping[str, Mapping[str, str | Sequence[int] | None]]
"""For each value of the graph what the file has of it.

Its name and, where that is not the graph's, the order of its axes; or its name in step form and the mask's,
and where rows are in groups the name of what says which step each one is.
"""


@dataclass(frozen=True)
class Written:
    """What an export wrote.

    Args:
        path: the ONNX file.
        route: ``"fused"`` or ``"tf2onnx"``.
        opset: the version of the standard's operators.
        ir_version: the version of the format.
        nodes: how many nodes of each operator, the most frequent first; those inside loops count too.
        bytes: the size on disk, external data included.
        data: the file with the weights, where they lie outside.
        check: the file with the check vectors, where they lie outside.
        notes: what is worth knowing: a line for each layer that ONNX has no fused node for.
    """

    path: Path
    route: str
    opset: int
    ir_version: int
    nodes: Mapping[str, int]
    bytes: int
    data: Path | None = None
    check: Path | None = None
    notes: Sequence[str] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for ``--json``."""
        return {
            "path": str(self.path),
            "route": self.route,
            "opset": self.opset,
            "ir_version": self.ir_version,
            "nodes": dict(self.nodes),
            "bytes": self.bytes,
            "data": None if self.data is None else str(self.data),
            "check": None if self.check is None else str(self.check),
            "notes": list(self.notes),
        }


Check = Callable[[Path], None]
"""Looks at a file before it is put in its place, and raises where that must not happen."""


def publish(
    path: Path, write: Callable[[Path], None], *, overwrite: bool, check: Check | None = None
) -> None:
    """Have ``write`` make the file in a temporary folder beside ``path``, check it, and move it there.

    Raises:
        FileError: the folder is missing or cannot be written to, or there is a file already.
        GraphError: what was written is not valid ONNX.
    """
    refuse_to_overwrite(path, overwrite)
    # The weights go first: a reader of the folder never sees a model without them.
    with atomic_file(path) as draft:
        write(draft)
        _check(draft)
        if check is not None:
            check(draft)
        stale = not check_path(draft).exists()
    if stale:
        # Of the file that was replaced.
        check_path(path).unlink(missing_ok=True)


def refuse_to_overwrite(path: Path, overwrite: bool) -> None:
    """Refuse a file that is there and not to be replaced, or whose folder is missing.

    Raises:
        FileError: it cannot be written.
    """
    if not path.parent.is_dir():
        raise FileError(f"{path}: there is no folder {path.parent}")
    if path.is_dir():
        raise FileError(f"{path}: is a folder")
    for file in (path, data_path(path), check_path(path)):
        if file.exists() and not overwrite:
            argument = Argument("overwrite", True)
            raise FileError(f"{file}: exists already; use ", argument, " to replace it")


def data_path(path: Path) -> Path:
    """Where the external weights of ``path`` lie."""
    return path.with_name(path.name + DATA_SUFFIX)


def _check(path: Path) -> None:
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GraphError(f"{path.name}: biport made an invalid ONNX file: {error}") from error


def metadata(
    route: str,
    inputs: Sequence[Value],
    bounds: Mapping[str, int],
    *,
    needs_steps: Mapping[str, Least],
    origin: Mapping[str, str],
    digest: str | None = None,
    values: WrittenValues | None = None,
) -> dict[str, str]:
    """The ``metadata_props`` of a file, which is how a session knows what the model accepts."""
    described = [
        {
            "name": value.name,
            "shape": list(plain(value.shape)),
            "dtype": value.dtype,
            "ids": bounds.get(value.name),
        }
        for value in inputs
    ]
    properties = {
        "biport.version": __version__,
        "biport.route": route,
        "biport.origin": json.dumps(dict(origin), sort_keys=True),
        "biport.inputs": json.dumps(described),
        "biport.needs_steps": json.dumps({name: least.size for name, least in needs_steps.items()}),
        "biport.needs_for": json.dumps({name: [*least[1:]] for name, least in needs_steps.items()}),
    }
    if values is not None:
        properties["biport.values"] = json.dumps(values)
    return properties if digest is None else properties | {"biport.digest": digest}
