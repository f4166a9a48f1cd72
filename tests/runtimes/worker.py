"""Runs ONNX files for another process, in an environment that holds onnxruntime and numpy alone.

What comes and goes are records on standard input and output: a line of JSON, and where it says how many bytes
of arrays go with it, those, as ``numpy.savez`` writes them.
"""

from __future__ import annotations

import io
import json
import os
import sys
from typing import Any, BinaryIO

import numpy as np


def send(stream: BinaryIO, record: dict[str, Any], arrays: dict[str, np.ndarray] | None = None) -> None:
    """Write a record; texts among the arrays go as arrays of characters."""
    packed = io.BytesIO()
    if arrays:
        texts = {name: array.astype(str) for name, array in arrays.items() if array.dtype == object}
        np.savez(packed, **{**arrays, **texts})  # type: ignore[arg-type]
    data = packed.getvalue()
    stream.write(json.dumps({**record, "bytes": len(data)}).encode() + b"\n" + data)
    stream.flush()


def receive(stream: BinaryIO) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
    """Read a record; ``None`` at the end."""
    line = stream.readline()
    if not line:
        return None
    record = json.loads(line)
    if not record["bytes"]:
        return record, {}
    with np.load(io.BytesIO(stream.read(record["bytes"]))) as packed:
        arrays = {name: packed[name] for name in packed.files}
    return record, {name: a.astype(object) if a.dtype.kind == "U" else a for name, a in arrays.items()}


def main() -> None:
    """Answer one record after the other, until there are none."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # What libraries print does not come between the answers.
    os.dup2(2, 1)
    import onnxruntime as ort

    ort.set_default_logger_severity(4)
    sessions: dict[int, Any] = {}
    send(answers, {"onnxruntime": ort.__version__, "numpy": np.__version__})
    while (request := receive(requests)) is not None:
        record, feed = request
        try:
            if record["task"] == "open":
                sessions[record["session"]] = session = _open(ort, record)
                send(answers, _described(session))
            else:
                results = sessions[record["session"]].run(None, feed)
                outputs = {f"{at:04}": np.asarray(result) for at, result in enumerate(results)}
                send(answers, {}, outputs)
        except Exception as error:  # whatever it is, the other side hears of it
            send(answers, {"error": str(error)})


def _open(ort: Any, record: dict[str, Any]) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(record["path"], options, providers=["CPUExecutionProvider"])


def _described(session: Any) -> dict[str, Any]:
    def values(arguments: Any) -> list[Any]:
        return [[argument.name, argument.type, argument.shape] for argument in arguments]

    return {
        "inputs": values(session.get_inputs()),
        "outputs": values(session.get_outputs()),
        "metadata": session.get_modelmeta().custom_metadata_map,
    }


if __name__ == "__main__":
    main()
