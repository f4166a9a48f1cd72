"""From what a command is told of a model to the model: read, run, or looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from biport.analysis.summary import Inspection, LayerRow, inspect_graph
from biport.app.examples import Described, parse_examples
from biport.app.forms import Form, keras_form, open_form, torch_form
from biport.app.source import Source
from biport.app.stored import STORED, is_stored, read_stored
from biport.app.user_module import import_file, make_module, parse_arguments
from biport.errors import Argument, InputError, UnsupportedError
from biport.file_kind import FileKind, file_kind
from biport.graph import Graph
from biport.weight_files import mapped_weights

UNTRAINED = "the weights are those that the module was made with; a checkpoint loads others"


@dataclass(frozen=True)
class OwnModule:
    """A module of the user's own.

    Args:
        module: live, with its weights.
        example: what it is called with.
        lengths: the inputs that are lengths of rows.
        notes: what somebody who ports it should know.
    """

    module: Any
    example: Any
    lengths: Sequence[str]
    notes: Sequence[str]

    def read(self) -> tuple[Graph, list[str]]:
        """What it computes, and all that somebody should know.

        Raises:
            BiportError: it cannot be read.
        """
        from torch_side.reading.source import read_source as read_module

        with mapped_weights():
            # What torch_side.read warns of is told as notes.
            graph = read_module(self.module, self.example, self.lengths)
        return graph, [*self.notes, *graph.notes]

    def rows(self) -> list[LayerRow]:
        """Its layers as torch knows them."""
        return [
            LayerRow(path, str(part), parameters=sum(one.numel() for one in part.parameters()))
            for path, part in self.module.named_modules()
            if not list(part.children())
        ]


def make_source(source: Source) -> OwnModule:
    """Make the module that a source names, and load its weights.

    Raises:
        BiportError: either goes wrong.
    """
    import torch

    import torch_side
    from torch_side.reading.scripted import in_python

    options = source.module
    module = make_module(source.text, parse_arguments(options.args))
    if isinstance(module, torch.jit.ScriptModule):
        module = in_python(module)
    notes = [UNTRAINED]
    if options.checkpoint is not None:
        loaded = torch_side.load_checkpoint(module, options.checkpoint)
        notes = [f"{options.checkpoint}: {note}" for note in loaded.notes]
    return OwnModule(module, _example(module, parse_examples(options.example)), options.lengths, notes)


def _example(module: Any, described: Mapping[str, Described]) -> Any:
    """What a module is called with: by name, or in order where it has other names for its arguments."""
    import torch_side

    if not described:
        return torch_side.default_example(module)
    names = torch_side.argument_names(module)
    if described.keys() <= names.keys():
        return {name: described[name] for name in names if name in described}
    if names.keys().isdisjoint(described):
        return tuple(described.values())
    unknown = ", ".join(name for name in described if name not in names)
    raise InputError(
        Argument("example"), f": {type(module).__name__}.forward takes {', '.join(names)}; found {unknown}"
    )


def load_with_code(source: Source) -> Any:
    """The live model of a Keras file with custom code, which is imported.

    Raises:
        BiportError: the code cannot be imported, or the file not loaded with it.
    """
    import keras_side

    assert source.code is not None
    return keras_side.load_with_code(source.path, import_file(source.code))


def read_source(source: Source) -> tuple[Graph, list[str]]:
    """A model, and what somebody who ports it should know.

    Raises:
        BiportError: it cannot be read.
    """
    source.check()
    if source.is_module:
        return make_source(source).read()
    with mapped_weights():
        return _read_path(source)


def _read_path(source: Source) -> tuple[Graph, list[str]]:
    path = source.path
    if source.code is not None:
        import keras_side

        graph = keras_side.read(path, code=import_file(source.code))
        return graph, graph.notes
    if is_stored(path):
        return read_stored(path), []
    if source.is_program:
        import torch_side

        graph = torch_side.open_program(path).graph
        return graph, graph.notes
    if path.is_file() and file_kind(path) is FileKind.ONNX:
        raise InputError(
            f"{path}: biport writes ONNX but does not read it; give a Keras file or a folder of biport"
        )
    import keras_side

    inspection = keras_side.inspect(path, source.config, states=source.states)
    if inspection.problem is not None:
        raise inspection.problem
    assert inspection.graph is not None
    return inspection.graph, [*inspection.notes]


def open_source(source: Source, without_keras: bool = False) -> Form:
    """A model that can be run beside others.

    Args:
        source: the model.
        without_keras: as for `biport.app.forms.open_form`.

    Raises:
        InputError: its code is to be imported, without Keras.
        BiportError: it cannot be opened.
    """
    if source.code is not None and without_keras:
        raise InputError(Argument("without_keras", True), ": code of a model's own needs Keras to run")
    if source.code is not None:
        return keras_form(source.path.name, load_with_code(source))
    if not source.is_module:
        return open_form(source.text, source.config, states=source.states, without_keras=without_keras)
    own = make_source(source)
    graph, _ = own.read()
    return torch_form(source.text, own.module, graph, own.example)


def inspect_source(source: Source) -> Inspection:
    """What is in a model, for a person to look at.

    Raises:
        BiportError: it cannot be opened.
    """
    source.check()
    path = source.path
    if source.is_module or source.is_program:
        kind = "PyTorch module" if source.is_module else "program of torch.export (.pt2)"
        own = make_source(source) if source.is_module else None
        try:
            graph, notes = read_source(source) if own is None else own.read()
        except UnsupportedError as problem:
            rows = [] if own is None else own.rows()
            return Inspection(path, {"format": kind}, rows, problem=problem)
        return inspect_graph(path, {"format": kind, "read by": _origin(graph)}, graph, notes)
    if source.code is not None:
        graph, notes = read_source(source)
        return inspect_graph(path, {"format": "Keras file", "code": str(source.code)}, graph, notes)
    if is_stored(path):
        graph = read_stored(path)
        kind = STORED[file_kind(path)]
        facts = {"format": kind, "read from": _origin(graph)}
        if graph.alphabet is not None:
            facts["texts by CTC"] = graph.alphabet.summary
        return inspect_graph(path, facts, graph)
    if path.suffix == ".onnx" or (path.is_file() and file_kind(path) is FileKind.ONNX):
        from export.require import require_onnx

        require_onnx("inspecting an ONNX file")
        from export.debug.inspect import inspect as inspect_onnx

        return inspect_onnx(path)
    import keras_side

    return keras_side.inspect(path, source.config, states=source.states)


def _origin(graph: Graph) -> str:
    return " ".join(graph.origin.get(key, "unknown") for key in ("framework", "version"))
