"""A backend of Triton for ONNX files, in Python: the server's own in C++ is in no package of a registry.

Copied into the server's folder of backends as ``onnxruntime/model.py``. It does what the other does: the
requests that Triton hands over together become one batch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton  # type: ignore[import-not-found]  # the server has it


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        file = config["default_model_filename"] or "model.onnx"
        path = Path(args["model_repository"]) / args["model_version"] / file
        self.name = args["model_name"]
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def execute(self, requests: list[Any]) -> list[Any]:
        names = [value.name for value in self.session.get_inputs()]
        given = [[_array(one, name) for name in names] for one in requests]
        feed = {name: np.concatenate([one[i] for one in given]) for i, name in enumerate(names)}
        counts = [len(one[0]) for one in given]
        print(f"{self.name}: a batch of {len(requests)} requests, {sum(counts)} rows", flush=True)
        try:
            outputs = self.session.run(None, feed)
        except Exception as error:
            return [triton.InferenceResponse(error=triton.TritonError(str(error))) for _ in requests]
        ends = np.cumsum([0, *counts])
        return [self._response(outputs, ends[i], ends[i + 1]) for i in range(len(requests))]

    def _response(self, outputs: Any, start: int, end: int) -> Any:
        values = zip(self.session.get_outputs(), outputs, strict=True)
        return triton.InferenceResponse(
            [triton.Tensor(value.name, part[start:end]) for value, part in values]
        )


def _array(request: Any, name: str) -> np.ndarray:
    """An input; texts are bytes, of which onnxruntime's Python would make ``"b'...'"``."""
    array = triton.get_input_tensor_by_name(request, name).as_numpy()
    return np.vectorize(bytes.decode, otypes=[object])(array) if array.dtype == object else array
