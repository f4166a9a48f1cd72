"""The forms of a model, one mechanism a framework: how it runs, in which numbers, what it shows of itself.

Verification, the matrix, the bench and the demos all run models through these.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from biport import reference
from biport.app.stored import read_stored, texts_of
from biport.app.taken import Taken, taken_by
from biport.app.unread import UnreadModel
from biport.compare.gradients import FLOAT32_ALLOWED, Differentiated
from biport.compare.localize.traced import Cases, Traced
from biport.compare.tolerance import L1_ALLOWED
from biport.dims import Dim
from biport.errors import BiportError, InputError, UnsupportedError
from biport.file_kind import FileKind, file_kind, foreign
from biport.graph import Graph
from biport.rewrite.biases import with_two_biases
from biport.text.characters import Characters
from biport.weight_files import mapped_weights

Arrays = Sequence[np.ndarray]
Run = Callable[[Arrays], Sequence[np.ndarray]]


# A form is itself alone: what it holds need not be hashable.
@dataclass(frozen=True, eq=False)
class Form:
    """One form of a model.

    Args:
        name: what reports call it.
        run: inputs to outputs, float32.
        graph: the graph, where biport can read one from it.
        run_float64: makes what runs the same in float64, given the source's graph; or why there is none. It
            raises `UnsupportedError` where it turns out that there is none.
        float64_allowed: how exact its framework is in float64.
        trace: the values inside of it; given the graph that it is compared with.
        gradients: makes what gives the gradients of its framework; as `run_float64`.
        contract: what inputs it is made for, where it refuses others.
        size: counts its nodes or layers.
        takes_texts: whether it is given texts, where the graph has ids.
        notes: what a report should say of it.
        shapes: of its inputs, where some size of them may be fixed that is not in the graph.
        characters: by inputs of texts those that they may have, where it is not all.
        unread: the live Keras model, where biport cannot read a graph from it.
        precision: the half precision that it computes in, such as ``"float16"``.
        in_float32: the same model computing in float32, where it does not do so by itself.
        taken: what it says of texts and labels beside its graph; ``None`` where it says nothing.
        smaller: the precision that an ONNX file was made smaller in, such as ``"int8"``.
    """

    name: str
    run: Run
    graph: Graph | None = None
    run_float64: Callable[[Graph], Run] | str = "runs in float32 only"
    float64_allowed: float = L1_ALLOWED
    trace: Callable[[Cases, Graph], Traced] | None = None
    gradients: Callable[[Graph], Differentiated] | str = "runs without gradients"
    contract: str | None = None
    size: Callable[[], int] = lambda: 0
    unread: UnreadModel | None = None
    precision: str | None = None
    in_float32: Form | None = None
    takes_texts: bool = False
    characters: Mapping[str, Characters] = field(default_factory=dict)
    taken: Taken | None = None
    smaller: str | None = None
    shapes: Sequence[tuple[Dim, ...]] | None = None
    notes: Sequence[str] = ()


def open_form(
    source: Any,
    config: Any = None,
    example: Any = None,
    states: str | None = None,
    without_keras: bool = False,
) -> Form:
    """Open a live model, a `Graph`, or the path of a Keras file, a folder of biport or an ``.onnx`` file.

    Args:
        source: the model; a `Form` is given back.
        config: the configuration that goes with a Keras file of weights alone, see `keras_side.read`.
        example: how a torch module is called that does not know its inputs itself, see `torch_side.read`.
        states: what is read of the states that a stateful Keras model keeps, see `keras_side.read`.
        without_keras: have what biport reads of a Keras file stand for it, computed by the reference: that
            imports no framework.

    Raises:
        InputError: it is none of these.
        BiportError: what its reader raises.
    """
    if isinstance(source, Form):
        return source
    if isinstance(source, Graph):
        return graph_form("graph", source)
    if isinstance(source, str | os.PathLike):
        with mapped_weights():
            return _open_path(Path(source), config, states, without_keras)
    # A live model of a framework that nobody has imported there cannot be.
    keras, torch, keras_2 = (sys.modules.get(name) for name in ("keras", "torch", "tf_keras"))
    if keras is not None and isinstance(source, keras.Model):
        try:
            return keras_form("keras", source, states=states)
        except UnsupportedError as problem:
            return _unread_form("keras", source, problem)
    if keras_2 is not None and isinstance(source, keras_2.Model):
        return unread_form("tf_keras", UnreadModel(source))
    if torch is not None and isinstance(source, torch.nn.Module):
        own = hasattr(source, "input_values")
        return torch_form("torch", source, example=None if own else example)
    if type(source).__name__ == "Session" and hasattr(source, "run"):
        return onnx_form("onnx", source)
    raise InputError(
        f"cannot verify a {type(source).__name__}: give models or paths of .keras, .h5, bundle or .onnx"
    )


def _open_path(path: Path, config: Any, states: str | None, without_keras: bool) -> Form:
    if path.is_dir():
        graph = read_stored(path)
        taken = taken_by(graph, labels=texts_of(path).get("labels"))
        try:
            import torch_side
        except ModuleNotFoundError:
            return dataclasses.replace(_read_only(path, graph, "no torch here"), taken=taken)
        return dataclasses.replace(
            torch_form(path.name, torch_side.write(graph, copied=False), graph), taken=taken
        )
    kind = file_kind(path) if path.is_file() else None
    if kind is FileKind.EXPORTED:
        return _program_form(path)
    if kind in (FileKind.KERAS_ARCHIVE, FileKind.DAMAGED_ZIP, FileKind.HDF5):
        return _keras_file_form(path, config, states, without_keras)
    if kind is FileKind.ONNX or (kind is FileKind.UNKNOWN and path.suffix == ".onnx"):
        import export

        return onnx_form(path.name, export.Session(path))
    raise foreign(path, "a model (.keras, .h5, .onnx, a bundle or a folder of plain PyTorch)")


def folder_form(path: Path, graph: Graph) -> Form:
    """A folder of plain PyTorch that was written here: its ``model.py`` is imported and run."""
    import torch_side

    return torch_form(path.name, torch_side.load_folder(path), graph)


def _program_form(path: Path) -> Form:
    """A program of torch.export, run by torch."""
    import torch_side

    opened = torch_side.open_program(path)
    return Form(
        path.name,
        lambda arrays: torch_side.run(opened.module, arrays),
        opened.graph,
        "an exported program computes in the dtypes it was exported in",
        gradients="an exported program is compared at inference alone",
        size=lambda: len(opened.graph.nodes),
    )


def _keras_file_form(path: Path, config: Any, states: str | None, without_keras: bool) -> Form:
    """A Keras file, run by the Keras that gives it the meaning it was written with, if that is here."""
    import keras_side
    from keras_side.file.model_file import needs_config
    from keras_side.load_file import load_original, program

    if without_keras:
        form = _read_only(path, keras_side.read(path, config, states=states), "without Keras")
        note = f"{form.name}: Keras did not run; what it is compared by is what biport reads of the file"
        return dataclasses.replace(form, notes=(note,))
    # Read before keras is imported: a bad file is told without waiting for it.
    if needs_config(path):
        return _read_only(path, keras_side.read(path, config, states=states), "weights alone")
    try:
        graph = keras_side.read(path, states=states)
    except UnsupportedError as problem:
        try:
            model = load_original(path)
        except BiportError as error:
            raise problem from error
        return _unread_form(path.name, model, problem)
    loaded = program(path, graph, states=states)
    if loaded.model is not None:
        return keras_form(path.name, loaded.model, graph)
    if loaded.run is not None:
        return Form(f"{path.name} ({loaded.name})", loaded.run, graph)
    return _read_only(path, graph, loaded.why)


def _unread_form(name: str, model: Any, problem: UnsupportedError) -> Form:
    """A Keras model that biport does not read, and TensorFlow can trace."""
    try:
        return unread_form(name, UnreadModel(model))
    except UnsupportedError as error:
        raise problem from error


def unread_form(name: str, unread: UnreadModel) -> Form:
    """A live Keras model without a graph."""
    return Form(name, unread.run, size=lambda: unread.size, unread=unread)


def _read_only(path: Path, graph: Graph, why: str) -> Form:
    """A model that can be read but not run here: the others are still compared with its oracle."""
    return graph_form(f"{path.name} (read in numpy, {why})", graph)


def graph_form(name: str, graph: Graph) -> Form:
    """A graph, computed by the reference in float32."""

    def trace(cases: Cases, _: Graph) -> Traced:
        return Traced({case: reference.trace(graph, arrays, "float32") for case, arrays in cases.items()})

    return Form(
        name,
        lambda arrays: reference.run(graph, arrays, "float32"),
        graph,
        "is computed by the oracle itself",
        trace=trace,
        gradients="is computed in numpy, which has none",
        size=lambda: len(graph.nodes),
    )


def onnx_form(name: str, session: Any) -> Form:
    """An ``export.Session``."""

    def trace(cases: Cases, wanted: Graph) -> Traced:
        import export

        return export.trace(session.path, cases, wanted)

    return Form(
        name,
        session.run,
        run_float64="an ONNX graph computes in float32",
        trace=trace,
        gradients="an ONNX graph has none",
        contract=session.contract,
        takes_texts=any(value.dtype == "str" for value in session.input_values),
        characters=getattr(session, "characters", {}),
        taken=taken_by(session) if hasattr(session, "metadata") else None,
        smaller=getattr(session, "metadata", {}).get("biport.precision"),
        shapes=[value.shape for value in session.input_values],
        size=lambda: session.node_count,
    )


def keras_form(name: str, model: Any, graph: Graph | None = None, states: str | None = None) -> Form:
    """A live Keras model, with the graph that was read from it or from its file; else it is read here."""
    import keras_side

    own = keras_side.read(model, states=states) if graph is None else graph
    model = keras_side.prediction_model(model)

    @functools.cache
    def in_float64(source: Graph) -> tuple[Any, Graph]:
        # A sum of two biases that was rounded to float32 is another one in float64.
        wide = with_two_biases(own, source).astype("float64")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="two biases were added up|Keras cannot be told")
            return keras_side.write(wide), wide

    def run_float64(source: Graph) -> Run:
        rebuilt, wide = in_float64(source)
        return lambda arrays: keras_side.run_float64(rebuilt, arrays, wide)

    def gradients(source: Graph) -> Differentiated:
        try:
            rebuilt, _ = in_float64(source)
        except UnsupportedError as error:
            note = f"gradients in float32, held to {FLOAT32_ALLOWED:g}: {error}"
            return Differentiated(name, functools.partial(keras_side.gradients, model), FLOAT32_ALLOWED, note)
        return Differentiated(name, functools.partial(keras_side.gradients, rebuilt), allowed)

    allowed = keras_side.float64_allowed(own)
    form = Form(
        name,
        lambda arrays: keras_side.run(model, arrays, own),
        own,
        run_float64,
        allowed,
        lambda cases, _: keras_side.trace(model, cases, own),
        gradients,
        size=lambda: len(model.operations) if hasattr(model, "operations") else len(model.layers),
        takes_texts=keras_side.takes_texts(model),
    )
    if "precision" not in own.origin:
        return form
    precise = dataclasses.replace(
        form,
        name=f"{name} in float32",
        run=_in_float32(model, form.run),
        trace=_in_float32(model, form.trace),
    )
    return dataclasses.replace(form, precision=own.origin["precision"], in_float32=precise)


def _in_float32(model: Any, function: Any) -> Any:
    """What a function makes of a live Keras model, made of it while it computes in float32."""
    import keras_side

    def precise(*arguments: Any) -> Any:
        with keras_side.in_float32(model):
            return function(*arguments)

    return precise


def torch_form(name: str, module: Any, graph: Graph | None = None, example: Any = None) -> Form:
    """A live ``nn.Module``, with the graph that it was written from or that is read from it.

    Args:
        name: what reports call it.
        module: of any ``forward`` that `torch_side.read` reads.
        graph: the module's; by default it is read.
        example: how it is called, as for `torch_side.read`.
    """
    import torch_side

    own = torch_side.read(module, example) if graph is None else graph

    def run_float64(_: Graph) -> Run:
        double = torch_side.double(module)
        return lambda arrays: torch_side.run(double, arrays, example)

    return Form(
        name,
        lambda arrays: torch_side.run(module, arrays, example),
        own,
        run_float64,
        trace=lambda cases, _: torch_side.trace(module, cases, own, example),
        gradients=lambda _: Differentiated(
            name,
            torch_side.Differentiable(module, example).double(),
            torch_side.gradients_allowed(own),
        ),
        size=lambda: len(own.nodes),
    )
