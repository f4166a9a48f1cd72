"""Which providers of onnxruntime work here, in a process of its own that a broken one may end.

``python -m export.runtime.probe`` prints what is installed; with names of providers behind it also what
became of each, a JSON object a line.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from export.runtime.providers import CUDA, cuda_trouble, placement, reason

SQUARED = (
    b'\x08\x07:@\n\x11\n\x01x\n\x01x\x12\x01y"\x06MatMul\x12\x01gZ\x13\n\x01x\x12\x0e\n\x0c\x08\x01\x12\x08\n'
    b"\x02\x08\x02\n\x02\x08\x02b\x13\n\x01y\x12\x0e\n\x0c\x08\x01\x12\x08\n\x02\x08\x02\n\x02\x08\x02B\x04\n\x00\x10\r"
)
"""A model in ONNX, IR 7 and opset 13, so that nothing is needed to write one: y = x x, float32 (2, 2)."""


def probe(ort: Any, provider: str) -> dict[str, Any]:
    """Whether a provider runs a product of matrices, and why not."""
    start = time.perf_counter()
    problem = _problem(ort, provider)
    return {
        "provider": provider,
        "works": problem is None,
        "problem": problem,
        "seconds": time.perf_counter() - start,
    }


def _problem(ort: Any, provider: str) -> str | None:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if provider == CUDA and hasattr(ort, "preload_dlls"):
        ort.preload_dlls()
    x = np.array([[1, 2], [3, 4]], "float32")
    try:
        session = ort.InferenceSession(SQUARED, options, providers=[provider], enable_fallback=0)
        if provider not in session.get_providers():
            return cuda_trouble(ort, "onnxruntime left it out") if provider == CUDA else "left out"
        (y,) = session.run(None, {"x": x})
    except Exception as error:  # onnxruntime's errors share no class but this one
        return cuda_trouble(ort, reason(error)) if provider == CUDA else reason(error)
    placed = placement(session)
    if placed is not None and provider not in placed:
        return "built in, and runs no node of a model of its own"
    return None if np.array_equal(y, x @ x) else f"computes {y.tolist()} for {(x @ x).tolist()}"


def main(names: Sequence[str]) -> None:
    """Print what there is to say, a line as soon as it is known."""
    import onnxruntime as ort

    every = list(ort.get_available_providers())
    print(json.dumps({"version": ort.__version__, "providers": every}), flush=True)
    for name in names:
        print(json.dumps(probe(ort, name)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
