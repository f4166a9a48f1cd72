"""Weights into Keras models that exist already."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

import keras_side.ops
from biport.errors import WeightError
from biport.graph import Graph
from biport.registry import discover
from biport.rewrite.biases import LoadReport, summed_biases
from keras_side.records import WrittenLayer
from keras_side.registry import WRITERS

if TYPE_CHECKING:
    import keras

discover(keras_side.ops)


def load(model: keras.Model, graph: Graph) -> LoadReport:
    """Fill an existing Keras model with a graph's weights, layer by layer, by name.

    Args:
        model: a built model whose layers have the names of the graph's nodes; those of a model inside it,
            the names ``outer.inner``.
        graph: where the weights come from.

    Returns:
        What was filled, and where two biases had to be added up.

    Raises:
        WeightError: layers or weights missing, left over or of another shape, all named at once; the model
            is then left as it was.
    """
    written = {
        node.name: (node.op, WRITERS.lookup(type(node.op), node.name)(node.op))
        for node in graph.nodes
        if node.op.weights()
    }
    layers = dict(_weighted(model, ""))
    problems = [f"the model has no layer {name!r}" for name in written if name not in layers]
    problems += [f"the graph has no weights for layer {name!r}" for name in layers if name not in written]
    for name in written.keys() & layers.keys():
        wanted = [array.shape for array in written[name][1].weights]
        shapes = [tuple(variable.shape) for variable in layers[name].weights]
        if wanted != shapes:
            problems.append(f"layer {name!r} has the shapes {shapes}, the graph {wanted}")
    if problems:
        raise WeightError(f"model {model.name!r}: " + "; ".join(sorted(problems)))
    for name, (_, layer) in written.items():
        set_weights(layers[name], layer, name)
    return LoadReport(filled=tuple(written), summed=tuple(summed_biases(graph)))


def _weighted(model: keras.Model, prefix: str) -> Iterator[tuple[str, Any]]:
    """The layers that have weights, those of models inside by their path: ``outer.inner``."""
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _weighted(layer, f"{prefix}{layer.name}.")
        elif layer.weights:
            yield prefix + layer.name, layer


def set_weights(layer: Any, written: WrittenLayer, owner: str) -> None:
    """Give a live layer the weights of its written one.

    Raises:
        WeightError: they have other shapes.
    """
    shapes = [tuple(variable.shape) for variable in layer.weights]
    wanted = [array.shape for array in written.weights]
    if shapes != wanted:
        raise WeightError(f"layer {owner!r}: its weights have the shapes {shapes}, the graph's {wanted}")
    # Not np.ascontiguousarray, which makes a vector of a scalar.
    layer.set_weights([np.asarray(array, order="C") for array in written.weights])
