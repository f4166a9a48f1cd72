"""Run several forms of one model on the same inputs and hold each against the oracle.

Beside the command line this is the one place of the core that knows all sides by name; it imports a side
only when it is handed a form of that side.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import importlib
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from biport import bundle, reference
from biport.compare.cases import random_cases
from biport.compare.gradients import FLOAT32_ALLOWED, Differentiated, gradient_lines
from biport.compare.localize import Oracle, Traced, locate
from biport.compare.localize.traced import Cases
from biport.compare.tolerance import (
    L1_ALLOWED,
    Error,
    Line,
    Report,
    Verdict,
    float32_floor,
    judge_float32,
    judge_float64,
    measure,
)
from biport.errors import BiportError, FileError, InputError, UnsupportedError
from biport.graph import Graph, weight_differences
from biport.inputs import Inputs, check_inputs, in_order
from biport.rewrite.biases import with_two_biases

Arrays = Sequence[np.ndarray]
T = TypeVar("T")
RIGHT_PADDED = ("full", "right", "one step", "long")
"""The cases without a valid step behind a masked one."""


@dataclass(frozen=True)
class Form:
    """One form of a model.

    Args:
        name: what the report calls it.
        run: inputs to outputs, float32.
        graph: the graph, where biport can read one from it.
        run_float64: makes what runs the same in float64, given the source's graph; or why there is none. It
            raises `UnsupportedError` where it turns out that there is none.
        float64_allowed: how exact its framework is in float64.
        trace: the values inside of it; given the graph that it is held against.
        gradients: makes what gives the gradients of its framework; as `run_float64`.
        contract: what inputs it is made for, where it refuses others.
    """

    name: str
    run: Callable[[Arrays], Sequence[np.ndarray]]
    graph: Graph | None = None
    run_float64: Callable[[Graph], Callable[[Arrays], Sequence[np.ndarray]]] | str = "runs in float32 only"
    float64_allowed: float = L1_ALLOWED
    trace: Callable[[Cases, Graph], Traced] | None = None
    gradients: Callable[[Graph], Differentiated] | str = "runs without gradients"
    contract: str | None = None


def open_form(source: Any, config: Any = None) -> Form:
    """Open a live model, a `Graph`, or the path of a Keras file, a bundle or an ``.onnx`` file.

    Args:
        source: the model.
        config: the configuration that goes with a Keras file of weights alone, see `keras_side.read`.

    Raises:
        InputError: it is none of these.
        BiportError: what its reader raises.
    """
    if isinstance(source, Graph):
        return _graph_form("graph", source)
    if isinstance(source, str | os.PathLike):
        return _open_path(Path(source), config)
    keras, torch = sys.modules.get("keras"), sys.modules.get("torch")
    if keras is not None and isinstance(source, keras.Model):
        return _keras_form("keras", source)
    if torch is not None and isinstance(source, torch.nn.Module):
        return _torch_form("torch", source)
    if type(source).__name__ == "Session" and hasattr(source, "run"):
        return _onnx_form("onnx", source)
    raise InputError(
        f"cannot verify a {type(source).__name__}: give models or paths of .keras, .h5, bundle or .onnx"
    )


KERAS_FILES = (".h5", ".hdf5", ".keras")


def _open_path(path: Path, config: Any) -> Form:
    if path.is_dir():
        graph = bundle.read(path)
        torch_side = _installed("torch_side")
        if torch_side is None:
            return _read_only(path, graph, "no torch here")
        return _torch_form(path.name, torch_side.write(graph), graph)
    if not path.exists():
        raise FileError(f"{path}: no such file")
    if path.suffix in KERAS_FILES:
        return _keras_file_form(path, config)
    if path.suffix == ".onnx":
        return _onnx_form(path.name, importlib.import_module("export").Session(path))
    raise InputError(f"{path}: expected a .keras or .h5 file, a bundle folder or an .onnx file")


def _keras_file_form(path: Path, config: Any) -> Form:
    """A Keras file, run by the Keras that gives it the meaning it was written with, if that is here."""
    # Read before keras is imported: a bad file is told without waiting for it.
    if importlib.import_module("keras_side.file").needs_config(path):
        return _read_only(path, importlib.import_module("keras_side").read(path, config), "weights alone")
    graph = importlib.import_module("keras_side").read(path)
    found = importlib.import_module("keras_side.load_file").program(path, graph)
    if found.model is not None:
        return _keras_form(path.name, found.model, graph)
    if found.run is not None:
        return Form(f"{path.name} ({found.name})", found.run, graph)
    return _read_only(path, graph, found.why)


def _installed(side: str) -> Any:
    """The side's package, or ``None`` where its framework is not installed."""
    try:
        return importlib.import_module(side)
    except ModuleNotFoundError:
        return None


def _read_only(path: Path, graph: Graph, why: str) -> Form:
    """A model that can be read but not run here: the others are still held against its oracle."""
    return _graph_form(f"{path.name} (read in numpy, {why})", graph)


def _graph_form(name: str, graph: Graph) -> Form:
    def trace(cases: Cases, _: Graph) -> Traced:
        return Traced({case: reference.trace(graph, arrays, "float32") for case, arrays in cases.items()})

    return Form(
        name,
        lambda arrays: reference.run(graph, arrays, "float32"),
        graph,
        "is computed by the oracle itself",
        trace=trace,
        gradients="is computed in numpy, which has none",
    )


def _onnx_form(name: str, session: Any) -> Form:
    def trace(cases: Cases, wanted: Graph) -> Traced:
        return importlib.import_module("export").trace(session.path, cases, wanted)

    return Form(
        name,
        session.run,
        run_float64="an ONNX graph computes in float32",
        trace=trace,
        gradients="an ONNX graph has none",
        contract=session.contract,
    )


def _keras_form(name: str, model: Any, graph: Graph | None = None) -> Form:
    side = importlib.import_module("keras_side")
    read = side.read(model) if graph is None else graph

    made: list[tuple[Any, Graph]] = []

    def double(source: Graph) -> tuple[Any, Graph]:
        if not made:
            # A sum of two biases that was rounded to float32 is another one in float64.
            wide = with_two_biases(read, source).astype("float64")
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="two biases were added up")
                made.append((side.write(wide), wide))
        return made[0]

    def run_float64(source: Graph) -> Callable[[Arrays], Sequence[np.ndarray]]:
        rebuilt, wide = double(source)
        return lambda arrays: side.run(rebuilt, arrays, wide)

    def gradients(source: Graph) -> Differentiated:
        try:
            rebuilt, _ = double(source)
        except UnsupportedError as error:
            note = f"gradients in float32, held to {FLOAT32_ALLOWED:g}: {error}"
            return Differentiated(name, functools.partial(side.gradients, model), FLOAT32_ALLOWED, note)
        return Differentiated(name, functools.partial(side.gradients, rebuilt), allowed)

    allowed = side.float64_allowed(read)
    return Form(
        name,
        lambda arrays: side.run(model, arrays, read),
        read,
        run_float64,
        allowed,
        lambda cases, _: side.trace(model, cases, read),
        gradients,
    )


def _torch_form(name: str, module: Any, graph: Graph | None = None) -> Form:
    side = importlib.import_module("torch_side")
    read = side.read(module) if graph is None else graph

    def run_float64(_: Graph) -> Callable[[Arrays], Sequence[np.ndarray]]:
        double = copy.deepcopy(module).double()
        return lambda arrays: side.run(double, arrays)

    return Form(
        name,
        lambda arrays: side.run(module, arrays),
        read,
        run_float64,
        trace=lambda cases, _: side.trace(module, cases, read),
        gradients=lambda _: Differentiated(
            name,
            functools.partial(side.gradients, copy.deepcopy(module).double()),
            side.gradients_allowed(read),
        ),
    )


def verify(
    *sources: Any,
    inputs: Inputs | None = None,
    seed: int = 0,
    float64: bool = False,
    trace: bool = False,
    gradients: bool = False,
    config: Any = None,
) -> Report:
    """Compare forms of one model with the oracle, the float64 reference of the first form's graph.

    Args:
        sources: two or more of: live Keras models, torch modules, `Graph`, ``export.Session``, paths of
            Keras files, bundles and ``.onnx`` files. The first that biport can read is the source.
        inputs: one array for each input, in order or by name; by default `random_cases`, which have every
            pattern of mask, or those padded on the right where a form is made for no others.
        seed: of the random inputs.
        float64: also run, at level L1, the forms that can compute in float64.
        trace: also say, for each form that differs, where it first does; see `biport.compare.localize`.
        gradients: also compare, at level L3, the gradients of the forms that have them, in float64; see
            `biport.compare.gradients`.
        config: the configuration of the Keras files that hold weights alone, see `keras_side.read`.

    Returns:
        The report. A difference is a verdict, not an exception, and so is a form that fails to run.

    Raises:
        BiportError: a form cannot be opened, none of them can be read, or the inputs do not suit it;
            gradients are asked for, and no form has any.
    """
    if len(sources) < 2:
        raise InputError("verify compares two or more forms of a model")
    forms = _with_names([open_form(source, config) for source in sources])
    source = next((form for form in forms if form.graph is not None), None)
    if source is None or source.graph is None:
        raise InputError(
            "verify needs a form to read the model from: a Keras model, a torch module or a bundle"
        )
    graph = source.graph
    names = [value.name for value in graph.inputs]
    cases = random_cases(graph, seed) if inputs is None else {"input": in_order(names, inputs)}
    if inputs is None and any(form.contract is not None for form in forms):
        cases = {case: arrays for case, arrays in cases.items() if case in RIGHT_PADDED}
    for arrays in cases.values():
        check_inputs(graph, arrays)
    exact = graph.astype("float64")
    oracle: Results = {case: reference.run(exact, arrays) for case, arrays in cases.items()}
    rounded: Results = {case: reference.run(graph, arrays, "float32") for case, arrays in cases.items()}
    rounding = _errors(rounded, oracle, len(graph.outputs))
    results = {form.name: _run_all(form.run, cases) for form in forms}
    lines = _float32_lines(results, source, graph, oracle, rounding)
    notes: list[str] = []
    if float64:
        lines += _float64_lines(forms, graph, cases, oracle, rounding, notes)
    if gradients:
        worst = max(rounding, key=lambda error: error.maximum)
        lines += gradient_lines(_differentiated(forms, graph, cases, notes), graph, cases, worst, seed, notes)
    weights = {
        form.name: weight_differences(graph, form.graph)
        for form in forms
        if form is not source and form.graph is not None
    }
    report = Report(lines, weights, list(cases), graph.digest(), notes=notes)
    if not trace:
        return report
    differing = {form: results[form.name] for form in forms if form.name in report.at_fault}
    found = locate(Oracle(graph, cases), cases, differing) if differing else []
    return dataclasses.replace(report, trace=found)


def _with_names(forms: Sequence[Form]) -> list[Form]:
    """The forms under names of their own."""
    used: dict[str, int] = {}
    named = []
    for form in forms:
        used[form.name] = used.get(form.name, 0) + 1
        name = form.name if used[form.name] == 1 else f"{form.name} ({used[form.name]})"
        named.append(dataclasses.replace(form, name=name))
    return named


Results = dict[str, Sequence[np.ndarray]]


def _run_all(run: Callable[[Arrays], Sequence[np.ndarray]], cases: Mapping[str, Arrays]) -> Results | str:
    """Outputs by case, or what went wrong."""
    try:
        return {case: run(arrays) for case, arrays in cases.items()}
    except BiportError as error:
        return str(error)
    except Exception as error:  # A foreign runtime may raise anything; whatever it is, it is a finding.
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


def _errors(results: Results | str, oracle: Results, outputs: int) -> list[Error]:
    if isinstance(results, str):
        return [Error(float("inf"), float("inf"), note=results)] * outputs
    if any(len(found) != outputs for found in results.values()):
        found = len(next(iter(results.values())))
        return [Error(float("inf"), float("inf"), note=f"{found} outputs instead of {outputs}")] * outputs
    return [
        measure(
            {case: found[position] for case, found in results.items()},
            {case: exact[position] for case, exact in oracle.items()},
        )
        for position in range(outputs)
    ]


def _float32_lines(
    results: Mapping[str, Results | str],
    source: Form,
    graph: Graph,
    oracle: Results,
    reference_errors: Sequence[Error],
) -> list[Line]:
    floor, count = float32_floor(graph), len(graph.outputs)
    errors = {name: _errors(found, oracle, count) for name, found in results.items()}
    lines = []
    for name in results:
        for position, output in enumerate(graph.outputs):
            error, base = errors[name][position], reference_errors[position]
            own = errors[source.name][position]
            trusted = judge_float32(own, base, None, floor)[0] is not Verdict.DIFFERENT
            yardstick = own if trusted and name != source.name else None
            verdict, allowed = judge_float32(error, base, yardstick, floor)
            lines.append(Line(name, output, "L2", verdict, error, allowed))
    return lines


def _float64_lines(
    forms: Sequence[Form],
    graph: Graph,
    cases: Mapping[str, Arrays],
    oracle: Results,
    reference_errors: Sequence[Error],
    notes: list[str],
) -> list[Line]:
    wide = {
        case: [array.astype("float64") if array.dtype.kind == "f" else array for array in arrays]
        for case, arrays in cases.items()
    }
    lines = []
    for form in forms:
        run = _opened(form.run_float64, graph)
        if isinstance(run, str):
            notes.append(f"{form.name}: not run in float64: {run}")
            continue
        found = _errors(_run_all(run, wide), oracle, len(graph.outputs))
        for output, error, rounded in zip(graph.outputs, found, reference_errors, strict=True):
            verdict, allowed = judge_float64(error, form.float64_allowed, rounded)
            lines.append(Line(form.name, output, "L1", verdict, error, allowed))
    return lines


def _differentiated(
    forms: Sequence[Form], graph: Graph, cases: Mapping[str, Arrays], notes: list[str]
) -> list[Differentiated]:
    """The forms that have gradients; of the others it is noted why they have none."""
    if any(array.size == 0 for arrays in cases.values() for array in arrays):
        raise InputError("gradients need inputs that are not empty")
    found, missing = [], []
    for form in forms:
        gradients = _opened(form.gradients, graph)
        if isinstance(gradients, str):
            missing.append(f"{form.name}: no gradients: {gradients}")
            continue
        # The form may have been given another name since it was opened.
        found.append(dataclasses.replace(gradients, name=form.name))
        if gradients.note:
            missing.append(f"{form.name}: {gradients.note}")
    if not found:
        raise InputError(f"no form has gradients to compare: {'; '.join(missing)}")
    notes += missing
    return found


def _opened(make: Callable[[Graph], T] | str, source: Graph) -> T | str:
    """What is made, or why there is none."""
    if isinstance(make, str):
        return make
    try:
        return make(source)
    except UnsupportedError as error:
        # Some layers of Keras compute something else in float64.
        return str(error)
