"""Weights into Keras models that exist already."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import keras_side.ops
from biport.compare.settings import (
    check_settings_argument,
    differing_settings,
    layer_ops,
    said_elsewhere,
    unreadable,
)
from biport.errors import BiportError, SettingDifference, SettingsError, WeightError
from biport.graph import Graph, Node
from biport.log import logged
from biport.ops import Convolution, Op
from biport.registry import discover
from biport.rewrite.biases import LoadReport, summed_biases
from biport.rewrite.explicit_padding import without_numbers
from biport.rewrite.simplify import simplify
from keras_side.ops.convolution import written_as
from keras_side.policies import COARSE
from keras_side.read import read_live
from keras_side.reading.live_layer import layer_op
from keras_side.records import WrittenLayer
from keras_side.registry import WRITERS, Written
from keras_side.writing.cropped import cropped_behind

if TYPE_CHECKING:
    import keras

discover(keras_side.ops)


@logged("keras_side.load")
def load(model: keras.Model, graph: Graph, *, settings: Literal["check", "ignore"] = "check") -> LoadReport:
    """Fill an existing Keras model with a graph's weights, layer by layer, by name.

    The settings of both are compared, each layer's and each activation's behind it. Not compared is what
    acts in training alone, how layers are wired, and which masks reach them; of a model that
    `keras_side.read` refuses, neither are activations that are layers of their own. `biport.verify` compares
    what the models compute.

    Args:
        model: a built model whose layers have the names of the graph's nodes; those of a model inside it, or
            inside a TimeDistributed, the names ``outer.inner``.
        graph: where the weights come from.
        settings: ``"ignore"`` fills layers that compute something else, too.

    Returns:
        What was filled, and where two biases had to be added up.

    Raises:
        WeightError: layers or weights missing, left over or of another shape, all named at once; the model
            is then left as it was.
        SettingsError: layers compute something else than the graph's, all named at once; likewise.
    """
    check_settings_argument(settings)
    graph = cropped_behind(without_numbers(graph))
    every = dict(_layers(model, "", {node.name for node in graph.nodes}))
    # Of the calls of one layer the first has its name.
    shared = {id(node.op) for node in graph.nodes if node.name in every}
    written = {
        node.name: layer
        for node in graph.nodes
        if node.name in every or id(node.op) not in shared
        if isinstance(layer := _written(node, every.get(node.name)), WrittenLayer)
        if layer.has_weights
    }
    layers = {name: layer for name, layer in every.items() if layer.weights}
    problems = [f"the model has no layer {name!r}" for name in written if name not in every]
    problems += [
        f"layer {name!r} has no weights, the graph has some"
        for name in written.keys() & (every.keys() - layers.keys())
    ]
    problems += [f"the graph has no weights for layer {name!r}" for name in layers if name not in written]
    for name in written.keys() & layers.keys():
        try:
            check_weights(layers[name], written[name], name)
        except WeightError as problem:
            problems.append(str(problem))
    if problems:
        raise WeightError(f"model {model.name!r}: " + "; ".join(sorted(problems)))
    if settings == "check":
        differences = [
            *_coarser(every, graph),
            *_differing(model, {name: layers[name] for name in written}, graph),
        ]
        if differences:
            raise SettingsError(f"model {model.name!r}", differences)
    for name, layer in written.items():
        set_weights(layers[name], layer, name)
    return LoadReport(filled=tuple(written), summed=tuple(summed_biases(graph)))


def _written(node: Node, layer: Any) -> Written:
    """The op of a node as the live layer has it, which may be a convolution of groups, or a depthwise one."""
    op, kind = node.op, type(layer).__name__
    if (
        isinstance(op, Convolution)
        and op.groups == op.input_size
        and kind in (op.kind, f"Depthwise{op.kind}")
    ):
        return written_as(op, kind)
    return WRITERS.lookup(type(op), node.name)(op)


def _coarser(layers: Mapping[str, Any], graph: Graph) -> Iterator[SettingDifference]:
    """Layers that compute in half precision, where the model that the graph was read from does not."""
    if "precision" not in graph.origin:
        for name, layer in layers.items():
            if layer.compute_dtype in COARSE:
                yield SettingDifference(name, "dtype", layer.dtype_policy.name, "float32")


def _differing(model: keras.Model, layers: Mapping[str, Any], graph: Graph) -> list[SettingDifference]:
    """The settings in which a model differs from a graph, whose weights fit the model's ``layers``."""
    # What stands in the model now is about to be replaced, and may be anything.
    blank = {
        id(variable): np.zeros(variable.shape, "float64" if variable.dtype == "float64" else "float32")
        for variable in model.variables
    }
    try:
        return differing_settings(layer_ops(read_live(model, blank)), simplify(graph))
    except BiportError:
        # Somewhere in the model is something that biport does not read.
        pass
    known: dict[str, Op] = {}
    differences: list[SettingDifference] = []
    for name, layer in layers.items():
        try:
            known[name] = layer_op(layer, blank)
        except BiportError as problem:
            differences += unreadable(name, problem, graph[name].op)
    unknown = {name: said_elsewhere(op, graph[name].op) for name, op in known.items()}
    return [*differences, *differing_settings(known, graph, unknown)]


def _layers(model: keras.Model, prefix: str, nodes: Collection[str]) -> Iterator[tuple[str, Any]]:
    """The layers, those of models inside by their path: ``outer.inner``."""
    for layer in model.layers:
        yield from _layers_of(layer, f"{prefix}{layer.name}", nodes)


def _layers_of(layer: Any, name: str, nodes: Collection[str]) -> Iterator[tuple[str, Any]]:
    """A layer, or those inside of it: of a TimeDistributed where these are the ``nodes``."""
    import keras

    inner = layer.layer if isinstance(layer, keras.layers.TimeDistributed) else layer
    path = f"{name}.{inner.name}"
    if isinstance(inner, keras.Model):
        yield from _layers(inner, f"{name}.", nodes)
    elif inner is not layer and any(node == path or node.startswith(f"{path}.") for node in nodes):
        yield from _layers_of(inner, path, nodes)
    else:
        yield name, layer


def set_weights(layer: Any, written: WrittenLayer, owner: str) -> None:
    """Give a live layer the weights of its written one.

    Raises:
        WeightError: they have other shapes.
    """
    check_weights(layer, written, owner)
    for part, own, _ in _weighted(layer, written, owner):
        # Not np.ascontiguousarray, which makes a vector of a scalar.
        part.set_weights([np.asarray(array, order="C") for array in own.weights])
        for one in part._flatten_layers():
            # A Normalization computes with copies of its statistics.
            if hasattr(one, "finalize_state"):
                one.finalize_state()


def check_weights(layer: Any, written: WrittenLayer, owner: str) -> None:
    """Refuse a live layer whose weights are not those of a written one.

    Raises:
        WeightError: they have other shapes.
    """
    for part, own, name in _weighted(layer, written, owner):
        shapes = [tuple(variable.shape) for variable in part.weights]
        wanted = [array.shape for array in own.weights]
        if shapes != wanted:
            raise WeightError(f"layer {name!r} has the shapes {shapes}, the graph {wanted}")


def _weighted(layer: Any, written: WrittenLayer, owner: str) -> Iterator[tuple[Any, WrittenLayer, str]]:
    """A layer with its written one and its name; those of the model that it steps with, where it does.

    Raises:
        WeightError: it steps with something else.
    """
    if not written.inside:
        yield layer, written, owner
        return
    body = getattr(getattr(layer, "cell", None), "body", None)
    layers = {part.name: part for part in getattr(body, "layers", ())}
    inside = {name: part for name, part in written.inside.items() if part.has_weights}
    weighted = {name for name, part in layers.items() if part.weights}
    if weighted != inside.keys():
        names = f"{sorted(weighted)}, the graph with {sorted(inside)}"
        raise WeightError(f"layer {owner!r} steps with layers that have weights: {names}")
    for name, part in inside.items():
        yield from _weighted(layers[name], part, f"{owner}.{name}")
