"""What an ONNX file of the fused route computes on its way: its inner values as extra outputs."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path

import numpy as np
import onnx_ir as ir

from biport.compare.localize.traced import Cases, Traced, Values
from biport.errors import FileError
from biport.graph import Graph
from export.held import differences, ops_of
from export.session import Session

UNKNOWN = "only its final outputs can be seen: a file of another route, or of an earlier biport"


def trace(path: str | PathLike[str], cases: Cases, graph: Graph) -> Traced:
    """The values of ``graph`` while the file runs, and what the file has otherwise than ``graph`` would give.

    Values that exist in step form only are brought back with the file's own mask, and are known at its valid
    steps. The file is left as it is; a copy of it with more outputs is run from a temporary folder.

    Args:
        path: a file written by `export.write`; of any other nothing is seen.
        cases: one array an input, by case.
        graph: the model that the file should be, in float32.

    Raises:
        BiportError: what `Session` raises.
    """
    model = ir.load(path)
    if "biport.values" not in model.metadata_props:
        return Traced({}, notes=[UNKNOWN])
    places = _places(Path(path), model)
    known = {name: place for name, place in places.items() if name in graph.tensors}
    values: dict[str, Values] = {}
    valid: dict[str, Values] = {}
    for case, found in _run(model, known, cases):
        values[case], valid[case] = _named(known, found)
    seen = {name for found in values.values() for name in found}
    hidden = [node.name for node in graph.nodes if seen.isdisjoint(node.outputs)]
    notes = [f"not seen in the ONNX file: {', '.join(hidden)}"] if hidden else []
    ops = ops_of(model, graph)
    # Where the op can be made of the file's weights, it says itself which of them differ.
    remarks = {
        name: [said for said in lines if name not in ops or "initialiser" not in said]
        for name, lines in differences(model, graph).items()
    }
    return Traced(values, valid, ops, {name: said for name, said in remarks.items() if said}, notes)


Places = Mapping[str, Mapping[str, str | None]]


def _places(path: Path, model: ir.Model) -> Places:
    try:
        places = json.loads(model.metadata_props["biport.values"])
        wanted = {"value", "steps", "mask"}
        if not all(place.keys() <= wanted for place in places.values()):
            raise ValueError(f"keys other than {sorted(wanted)}")
    except (AttributeError, ValueError) as error:
        raise FileError(f"{path}: its biport metadata cannot be read: {error}") from error
    return places


def _run(model: ir.Model, places: Places, cases: Cases) -> Iterator[tuple[str, Values]]:
    """For each case the values of the file, by the file's names."""
    wanted = {place.get("value") or place.get("steps") for place in places.values()}
    taken = {value.name for value in (*model.graph.inputs, *model.graph.outputs)}
    made = {value.name: value for node in model.graph for value in node.outputs}
    model.graph.outputs.extend(made[str(name)] for name in sorted(map(str, wanted - taken)) if name in made)
    with tempfile.TemporaryDirectory(prefix="biport-") as folder:
        copy = Path(folder) / "traced.onnx"
        ir.save(model, copy, external_data="traced.onnx.data")
        session = Session(copy)
        for case, arrays in cases.items():
            given = {value.name: array for value, array in zip(session.input_values, arrays, strict=True)}
            yield case, given | dict(zip(session.output_names, session.run(arrays), strict=True))


def _named(places: Places, found: Values) -> tuple[Values, Values]:
    """The graph's values in batch-major form, and the steps at which those in step form are known."""
    values: Values = {}
    valid: Values = {}
    for name, place in places.items():
        held = place.get("value")
        if held in found:
            values[name] = found[str(held)]
    for name, place in places.items():
        held, mask = place.get("steps"), place.get("mask")
        if held not in found or (mask is not None and mask not in values):
            continue
        if mask is not None:
            valid[name] = values[mask]
        values[name] = _in_time(found[str(held)], valid.get(name), _batch(places, values))
    return values, valid


def _batch(places: Places, values: Values) -> int:
    return next(len(array) for array in values.values())


def _in_time(steps: np.ndarray, mask: np.ndarray | None, N: int) -> np.ndarray:
    """``(T', N', ...)`` with the valid steps in front to ``(N, T, ...)``; zeros at masked steps."""
    if mask is None:
        return np.swapaxes(steps, 0, 1)[:N]
    place = np.maximum(np.cumsum(mask, axis=1) - 1, 0)
    out = steps[place, np.arange(N)[:, None]]
    return np.where(mask.reshape(*mask.shape, *[1] * (out.ndim - 2)), out, 0)
