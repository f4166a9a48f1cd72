"""Between which numbers the values of a model lie while it runs: what fixed 8 bits are made for."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from export.session import Session


def seen_ranges(
    model: onnx.ModelProto, names: Sequence[str], batches: Iterable[Sequence[Any]]
) -> dict[str, tuple[float, float]]:
    """The smallest and the largest number of each value over ``batches``.

    Args:
        model: in float32, below 2 GiB.
        names: of float32 values outside of branches and loops.
        batches: the inputs of each, in order.

    Returns:
        By name; a value that never has an element, or one that is not finite, is left out.

    Raises:
        InputError: a batch does not suit the model.
        MissingDependencyError: onnxruntime is not installed.
    """
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    inputs = {value.name: value for value in watched.graph.input}
    shown = []
    for number, name in enumerate(names):
        # An input cannot be an output as well.
        shown.append(f"{name}/seen" if name in inputs else name)
        if name in inputs:
            watched.graph.node.add(
                op_type="Identity", input=[name], output=[shown[-1]], name=f"seen/{number}"
            )
        watched.graph.output.add(name=shown[-1]).type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    ranges: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "watched.onnx"
        onnx.save(watched, path)
        session = Session(path, device="cpu")
        for batch in batches:
            for name, array in zip(names, session.run(batch), strict=True):
                low, high = ranges.get(name, (0.0, 0.0))
                ranges[name] = (
                    float(np.min(array, initial=low)),
                    float(np.max(array, initial=high)),
                )
    return {name: both for name, both in ranges.items() if np.isfinite(both).all() and any(both)}
