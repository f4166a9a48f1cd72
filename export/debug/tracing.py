"""What an ONNX file of the fused route computes on its way: its inner values as extra outputs."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from biport.compare.localize.traced import Cases, Traced, Values
from biport.errors import FileError
from biport.graph import Graph
from export.require import require_onnx
from export.session import Session

if TYPE_CHECKING:
    import onnx_ir as ir

    from export.publish import WrittenValues

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
        MissingDependencyError: onnx or onnx-ir is not installed.
    """
    require_onnx("tracing an ONNX file")
    import onnx_ir as ir

    from export.debug.differences import differences, ops_of

    model = ir.load(path)
    if "biport.values" not in model.metadata_props:
        return Traced({}, notes=[UNKNOWN])
    known = {name: form for name, form in _forms(Path(path), model).items() if name in graph.tensors}
    values: dict[str, Values] = {}
    valid: dict[str, Values] = {}
    for case, outputs in _run(model, known, cases):
        values[case], valid[case] = _named(known, outputs, len(cases[case][0]))
    seen = {name for by_name in values.values() for name in by_name}
    hidden = [node.name for node in graph.nodes if seen.isdisjoint(node.outputs)]
    notes = [f"not seen in the ONNX file: {', '.join(hidden)}"] if hidden else []
    ops = ops_of(model, graph)
    # Where the op can be made of the file's weights, it says itself which of them differ.
    remarks = {
        name: [said for said in lines if name not in ops or "initialiser" not in said]
        for name, lines in differences(model, graph).items()
    }
    return Traced(values, valid, ops, {name: said for name, said in remarks.items() if said}, notes)


def _forms(path: Path, model: ir.Model) -> WrittenValues:
    try:
        forms = json.loads(model.metadata_props["biport.values"])
        wanted = {"value", "order", "steps", "mask", "source"}
        if not all(form.keys() <= wanted for form in forms.values()):
            raise ValueError(f"keys other than {sorted(wanted)}")
    except (AttributeError, ValueError) as error:
        raise FileError(f"{path}: its biport metadata cannot be read: {error}") from error
    return forms


def _run(model: ir.Model, forms: WrittenValues, cases: Cases) -> Iterator[tuple[str, Values]]:
    """For each case the values of the file, by the file's names."""
    import onnx_ir as ir

    wanted = {form.get("value") or form.get("steps") for form in forms.values()}
    wanted |= {form["source"] for form in forms.values() if "source" in form}
    taken = {value.name for value in (*model.graph.inputs, *model.graph.outputs)}
    inner = {value.name: value for node in model.graph for value in node.outputs}
    constants = {
        name: value.const_value.numpy()
        for name, value in model.graph.initializers.items()
        if name in wanted - taken and value.const_value is not None
    }
    model.graph.outputs.extend(inner[str(name)] for name in sorted(map(str, wanted - taken)) if name in inner)
    with tempfile.TemporaryDirectory(prefix="biport-") as folder:
        copy = Path(folder) / "traced.onnx"
        ir.save(model, copy, external_data="traced.onnx.data")
        session = Session(copy)
        for case, arrays in cases.items():
            given = {value.name: array for value, array in zip(session.input_values, arrays, strict=True)}
            yield case, constants | given | dict(zip(session.output_names, session.run(arrays), strict=True))


def _named(forms: WrittenValues, outputs: Values, N: int) -> tuple[Values, Values]:
    """The graph's values in batch-major form, and the steps at which those in step form are known."""
    values: Values = {}
    valid: Values = {}
    for name, form in forms.items():
        output = form.get("value")
        if output in outputs:
            order = form.get("order")
            written = outputs[str(output)]
            values[name] = written.transpose(np.argsort(order)) if isinstance(order, list) else written
    for name, form in forms.items():
        output, mask = form.get("steps"), form.get("mask")
        if output not in outputs or (mask is not None and mask not in values):
            continue
        if mask is not None:
            valid[name] = values[str(mask)]
        source = outputs.get(str(form.get("source")))
        values[name] = _in_time(outputs[str(output)], valid.get(name), source, N)
    return values, valid


def _in_time(steps: np.ndarray, mask: np.ndarray | None, source: np.ndarray | None, N: int) -> np.ndarray:
    """``(T', N', ...)`` with the valid steps in front to ``(N, T, ...)``; zeros at masked steps.

    Args:
        source: which step each one is, among all N'·T' of them, where rows are in groups.
    """
    if mask is None:
        return np.swapaxes(steps, 0, 1)[:N]
    if source is not None:
        # Under a mask the form has at least 1 row of 2 steps.
        sizes = max(mask.shape[0], 1), max(mask.shape[1], 2)
        out = np.zeros((sizes[0] * sizes[1], *steps.shape[2:]), steps.dtype)
        out[source.reshape(-1)] = steps.reshape(-1, *steps.shape[2:])
        out = out.reshape(*sizes, *steps.shape[2:])[:N, : mask.shape[1]]
    else:
        step = np.maximum(np.cumsum(mask, axis=1) - 1, 0)
        out = steps[step, np.arange(N)[:, None]]
    return np.where(mask.reshape(*mask.shape, *[1] * (out.ndim - 2)), out, 0)
