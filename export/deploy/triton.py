"""A model repository for NVIDIA's Triton Inference Server: the file and its ``config.pbtxt``."""

from __future__ import annotations

import json
from pathlib import Path

from biport.errors import InputError, UnsupportedError
from biport.files import atomic_file, check_folder_name
from biport.graph import Value
from export.session import Session

TYPES = {"str": "TYPE_STRING", "bool": "TYPE_BOOL", "float16": "TYPE_FP16"} | {
    "float32": "TYPE_FP32",
    "float64": "TYPE_FP64",
    **{f"{sign.lower()}int{bits}": f"TYPE_{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)},
}
"""Triton's names of dtypes (``DataType`` of its ``model_config.proto``)."""
CONFIG, MODEL, VERSION = "config.pbtxt", "model.onnx", "1"
MAX_BATCH, DELAY = 64, 2000
"""Rows that Triton puts together at most, and microseconds that a request waits for others."""


def repository_path(folder: Path, name: str) -> Path:
    """Where the ONNX file of the model ``name`` goes; its folders are not made.

    Raises:
        InputError: the name is none that Triton takes, or ``folder`` is a file.
    """
    if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
        raise InputError(f"{name!r}: a model of Triton is called by letters, digits, - and _")
    check_folder_name(folder)
    return folder / name / VERSION / MODEL


def write_config(path: Path, max_batch: int = MAX_BATCH, delay: int = DELAY) -> Path:
    """Write the ``config.pbtxt`` of the model at ``path``, which `repository_path` gave.

    Requests go together where they have one T: Triton's batcher takes inputs of one shape only, and so never
    pads a row.

    Args:
        path: the ONNX file.
        max_batch: rows in a batch at most.
        delay: microseconds that a request waits for others.

    Raises:
        UnsupportedError: an input or output has no batch axis of its own.
    """
    name = path.parent.parent.name
    target = path.parent.parent / CONFIG
    text = config(Session(path, device="cpu", threads=1), name, max_batch, delay)
    with atomic_file(target) as draft:
        draft.write_text(text)
    return target


def config(session: Session, name: str, max_batch: int = MAX_BATCH, delay: int = DELAY) -> str:
    """The text of ``config.pbtxt``; raises like `write_config`."""
    inputs = ",\n".join(_tensor(value) for value in session.input_values)
    outputs = ",\n".join(_tensor(value) for value in session.output_values)
    return f"""name: {json.dumps(name)}
backend: "onnxruntime"
max_batch_size: {max_batch}
input [
{inputs}
]
output [
{outputs}
]
dynamic_batching {{
  max_queue_delay_microseconds: {delay}
}}
"""


def _tensor(value: Value) -> str:
    if not value.shape or isinstance(value.shape[0], int) or value.dtype not in TYPES:
        supported = "tensors (N, ...) of numbers or texts"
        raise UnsupportedError("a Triton model", value.name, value.tensor, supported)
    dims = ", ".join(str(dim) if isinstance(dim, int) else "-1" for dim in value.shape[1:])
    # Triton has no tensor without dimensions: (N,) is declared as (N, 1) and taken apart.
    shape = f"dims: [ {dims} ]" if dims else "dims: [ 1 ]\n    reshape {\n      shape: [ ]\n    }"
    return f"  {{\n    name: {json.dumps(value.name)}\n    data_type: {TYPES[value.dtype]}\n    {shape}\n  }}"
