"""A Keras model file to look at, also one that cannot be ported."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from biport import ops
from biport.analysis.summary import Inspection, LayerRow, inspect_graph
from biport.errors import UnsupportedError
from biport.graph import Graph
from biport.ops.convolution import Convolving
from keras_side.file.model_file import Format, ModelFile
from keras_side.legacy.masks import KERAS_3_0, MERGES, mask_rules
from keras_side.read import read_file
from keras_side.reading.config_entries import model_layers
from keras_side.reading.every_step import model_inside
from keras_side.reading.stateful import kept_states, stateful_notes
from keras_side.release import Release
from keras_side.typed_errors import typed_errors

NEWEST = (3, 16)
"""The first Keras whose masks were not looked at."""

MERGED = (*MERGES, "Concatenate")


def inspect(source: str | os.PathLike[str], config: Any = None, *, states: str | None = None) -> Inspection:
    """What is in a ``.keras`` or ``.h5`` file; as static as `keras_side.read`.

    Args:
        source: the path of the file.
        config: as for `keras_side.read`.
        states: as for `keras_side.read`.

    Raises:
        FileError: the file is missing, truncated, foreign or hostile.
        WeightError: weights missing, left over, of the wrong shape, or not finite.
        InputError: ``config`` is missing, or not needed.
    """
    path, kept = Path(source), kept_states(states)
    with typed_errors(path.name), ModelFile(path, config) as file:
        facts = _facts(file)
        try:
            graph = read_file(file, kept)
        except UnsupportedError as problem:
            rows = list(_rows(file.owner, file.config, file.variables, _reasons(problem), ""))
            return Inspection(path, facts, rows, problem=problem)
        return inspect_graph(path, facts, graph, [*_notes(file, graph), *stateful_notes(file.config, kept)])


def _facts(file: ModelFile) -> dict[str, str]:
    written = f"Keras {file.origin.version}"
    if file.origin.backend:
        written += f", {file.origin.backend}"
    size = f"{file.path.stat().st_size:,} bytes"
    return {"format": str(file.format), "size": size, "written by": written}


def _rows(
    owner: str, data: Mapping[str, Any], variables: Any, reasons: Mapping[str, list[str]], prefix: str
) -> Iterator[LayerRow]:
    """A row a layer; those of models inside follow their model."""
    config = data.get("config")
    layers = config.get("layers") if isinstance(config, Mapping) else None
    for layer in model_layers(owner, layers if isinstance(layers, list) else [], variables):
        inner = model_inside(layer)
        if inner is not None:
            yield LayerRow(f"{prefix}{layer.name}", layer.class_name)
            within = {"config": inner.config}
            yield from _rows(owner, within, inner.variables, reasons, f"{prefix}{layer.name}.")
        elif layer.class_name != "InputLayer":
            yield LayerRow(
                name=f"{prefix}{layer.name}",
                what=layer.class_name,
                parameters=layer.variables.count() if layer.has_own_variables else 0,
                reasons=reasons.get(layer.name, []),
            )


def _reasons(problem: UnsupportedError) -> Mapping[str, list[str]]:
    """By the names of the layers."""
    by_layer: dict[str, list[str]] = {}
    for reason in problem.reasons():
        by_layer.setdefault(reason["layer"], []).append(f"{reason['setting']}={reason['value']}")
    return by_layer


def _notes(file: ModelFile, graph: Graph) -> list[str]:
    """What a file does not say, and what was taken for it."""
    notes = graph.notes
    notes += [
        f"input {name!r} is ids that a tokeniser makes of {tokenizer.source!r}: {tokenizer.summary}"
        for name, tokenizer in graph.tokenizers.items()
    ]
    if _zeroes_masked_steps(graph) and _zeroes_or_repeats(file.origin):
        notes.append(
            f"Keras {file.origin.version} is the name of several releases of TensorFlow, which differ at "
            "masked steps of a Bidirectional's sequences; read as later ones have it: zeros"
        )
    if file.origin.generation == 1 and any(isinstance(node.op, Convolving) for node in graph.nodes):
        notes.append(
            "Keras 1 does not say over which backend a convolution was trained; taken for TensorFlow, as "
            "Keras 2 takes it (under Theano kernels are turned round)"
        )
    if file.origin.generation == 3 and not file.origin.before(*NEWEST):
        notes.append(
            f"written by a newer Keras than biport was tested with ({NEWEST[0]}.{NEWEST[1] - 1}); masks are "
            "read as that one hands them on"
        )
    if mask_rules(file.origin) == KERAS_3_0 and any(node.op.kind in MERGED for node in graph.nodes):
        notes.append(
            "Keras before 3.4 ends masks where tensors are merged; loaded into a later one it differs"
        )
    if file.format in (Format.WEIGHTS_BY_NAME, Format.WEIGHTS_AS_IN_ARCHIVE):
        notes.append("the configuration was given beside the weights")
    return notes


def _zeroes_or_repeats(origin: Release) -> bool:
    """TensorFlow 1.13 to 2.2, some of whose LSTM and GRU repeat the output before (``standard_lstm``)."""
    return origin.version in ("2.2.4-tf", "2.3.0-tf")


def _zeroes_masked_steps(graph: Graph) -> bool:
    return any(
        isinstance(node.op, ops.Bidirectional) and node.op.forward.zero_output_for_mask and node.masks[0]
        for node in graph.nodes
    )
