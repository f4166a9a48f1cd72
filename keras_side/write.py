"""Graphs to live Keras models and to ``.keras`` files."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras_side.ops
from biport.analysis.scalars import inline_scalars
from biport.errors import BiportError, InputError, UnsupportedError
from biport.files import atomic_file, check_target
from biport.graph import Graph, Node
from biport.inputs import letter_axes
from biport.log import logged
from biport.ops import FLOATS, Constant
from biport.registry import discover
from biport.rewrite.biases import summed_biases
from biport.rewrite.explicit_padding import without_numbers
from biport.text.inputs import source_names
from keras_side.load import set_weights
from keras_side.records import WrittenLayer, WrittenOperation
from keras_side.registry import Written
from keras_side.require import require_keras
from keras_side.shared.learning import unwritten
from keras_side.writing.call_layer import Unfinished, call_layer
from keras_side.writing.carried_masks import check_carried_masks
from keras_side.writing.cropped import cropped_behind
from keras_side.writing.custom_objects import NAME, custom_objects, source, with_those_beside
from keras_side.writing.reshapes import in_words_of_keras
from keras_side.writing.text_inputs import text_inputs

if TYPE_CHECKING:
    import keras

discover(keras_side.ops)


@logged("keras_side.write")
def write(graph: Graph, *, texts: bool = False) -> keras.Model:
    """Write a graph as a functional Keras model with the graph's names, weights and dtype.

    Every mask is passed to its layer explicitly, so the model does not depend on how a release of Keras
    propagates masks. A layer of which the graph keeps two biases gets their sum; that is warned about
    when the second is not zero.

    Args:
        graph: the model.
        texts: have the model take texts where the graph says how its ids are made of them, and Keras has a
            layer for that, a TextVectorization or a StringLookup.

    Raises:
        UnsupportedError: the graph has an op Keras has no layer for.
        MissingDependencyError: keras or its backend is not installed.
    """
    require_keras()
    summed = summed_biases(graph)
    if summed:
        warnings.warn(f"two biases were added up for Keras in: {', '.join(summed)}", stacklevel=3)
    if untold := unwritten(graph):
        warnings.warn(f"Keras cannot be told of training: {'; '.join(untold)}", stacklevel=3)
    with warnings.catch_warnings():
        # Keras warns of every layer that ends a mask; the graph has settled that already.
        warnings.filterwarnings("ignore", message=".*does not support masking.*")
        return _write(graph, texts)


@logged("keras_side.save")
def save(
    graph: Graph,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    texts: bool = False,
    check: Callable[[Path], None] | None = None,
) -> Path:
    """Write a graph as a ``.keras`` file, which appears whole or not at all.

    Keras opens it with ``keras.saving.load_model``. Where the graph has what Keras has nothing for, see
    `custom_objects`, a ``custom_objects.py`` is written beside it that says how.

    Args:
        graph: the model.
        path: the file.
        overwrite: replace a file that is there.
        texts: see `write`.
        check: called with the file before it is put in its place; what it raises keeps the file from that.

    Raises:
        InputError: the file is there already, its name does not end in ``.keras``, its folder is missing, or
            has a ``custom_objects.py`` of somebody else's.
        UnsupportedError: the graph has an op Keras has no layer for.
    """
    target = Path(path)
    if target.suffix != ".keras":
        raise InputError(f"{target}: a Keras file ends in .keras")
    check_target(target, overwrite)
    model = write(graph, texts=texts)
    with atomic_file(target) as draft:
        model.save(draft)
        if check is not None:
            check(draft)
        if names := custom_objects(draft):
            text = source(with_those_beside(names, target), target.name)
            draft.with_name(NAME).write_text(text, encoding="utf-8")
    return target


def _called(node: Node, written: WrittenLayer | WrittenOperation, unfinished: Unfinished) -> Sequence[Any]:
    """`call_layer`, where Keras infers all sizes that it asks for."""
    try:
        return call_layer(node, written, unfinished)
    except BiportError:
        raise
    except ValueError as error:
        reason, supported = str(error).split("\n")[0], "sizes that Keras can infer, as numbers"
        raise UnsupportedError(f"{node.name} ({node.op.kind})", "in Keras", reason, supported) from error


def _in_words_of_keras(node: Node, graph: Graph) -> tuple[Node, Written]:
    """The same function, whose errors name the node."""
    try:
        return in_words_of_keras(node, graph)
    except UnsupportedError as problem:
        if problem.owner != node.op.kind:
            raise
        owner = f"{node.name} ({node.op.kind})"
        raise UnsupportedError(owner, problem.setting, problem.value, problem.supported) from problem


def _write(graph: Graph, texts: bool = False) -> keras.Model:
    import keras

    graph = cropped_behind(without_numbers(graph))
    sources, ids = text_inputs(graph) if texts else ({}, {})
    values: dict[str, Any] = {**ids}
    for value in graph.inputs:
        if value.name in ids:
            continue
        shape = tuple(dim if isinstance(dim, int) else None for dim in value.shape)
        values[value.name] = keras.Input(batch_shape=shape, dtype=value.dtype, name=value.name)
    weights: list[tuple[Any, WrittenLayer, str]] = []
    dtype = next((own for node in graph.nodes if (own := node.op.dtype)), None)
    dtype = dtype or next((value.dtype for value in graph.inputs if value.dtype in FLOATS), "float32")
    names = {node.name for node in graph.nodes}
    unfinished = Unfinished(values, letter_axes(graph.inputs), dtype, names, _write)
    inline = inline_scalars(graph)
    for node in graph.nodes:
        if isinstance(node.op, Constant) and node.outputs[0] in inline:
            values[node.outputs[0]] = node.op.value.item()
            continue
        node, written = _in_words_of_keras(node, graph)
        outputs = _called(node, written, unfinished)
        if isinstance(written, WrittenLayer) and written.weights:
            weights.append((unfinished.layers[id(node.op)], written, node.name))
        values |= zip(node.outputs, outputs, strict=True)
    outputs = [values[name] for name in graph.outputs]
    spoken = {name: graph.tokenizers[name] for name in ids}
    names = source_names([value.name for value in graph.inputs], spoken)
    inputs = [sources[name] if name in sources else values[name] for name in names]
    model = keras.Model(inputs if len(inputs) > 1 else inputs[0], outputs if len(outputs) > 1 else outputs[0])
    for layer, written, name in weights:
        set_weights(layer, written, name)
        if written.config.get("trainable") is False:
            # Layers inside hear of a change alone.
            layer.trainable = True
            layer.trainable = False
    check_carried_masks(graph, model)
    return model
