"""Whole Keras models to graphs: from a live model, or from a file of any Keras, without keras.

Both ways end in the same serialised configuration, so a file gives the very graph its live model does.
Nested models are laid flat, their layers named ``outer.inner``. The masks Keras hands on behind the scenes
become edges here: a mask that a functional model recorded for a call is taken as recorded; where it
recorded none, the layer gets what its input carries, as it does when Keras runs the model. Files of Keras 1
and 2 come here in the words of Keras 3 (`keras_side.legacy`), with the rules their masks went by.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from biport import ops
from biport.errors import (
    BiportError,
    FileError,
    UnsupportedError,
    UnsupportedModelError,
    raise_unsupported,
)
from biport.graph import Graph, Node, Value
from biport.inputs import carries
from keras_side.file.model_file import ModelFile
from keras_side.legacy.weights import UnplacedError
from keras_side.reading import operations
from keras_side.reading.call_order import ends_masks
from keras_side.reading.config_entries import named
from keras_side.reading.graph_builder import MASK_OPS, SMALL_INTEGERS, KerasTensor
from keras_side.reading.live_model import describe, is_live
from keras_side.reading.traverse import Traversal
from keras_side.records import Variables, serialized
from keras_side.registry import READERS
from keras_side.release import Release
from keras_side.unsupported import subclassed

MALFORMED = (ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)
"""What values of unforeseen types end in."""


def read(source: Any, config: Any = None) -> Graph:
    """Read a live Sequential or functional Keras model, or the file of one, into a graph.

    A file is read statically: neither keras nor tensorflow is imported and nothing in it is executed. It may
    be a ``.keras`` or ``.h5`` file of Keras 1, 2 or 3, and means what the Keras that wrote it meant.

    Args:
        source: a built live model, or the path of a file.
        config: for a file of weights alone, the configuration that goes with it, as ``model.to_json()``
            writes it: the path of a JSON file, or the mapping in it.

    Returns:
        The graph; the same, bit for bit, for a live model and for the file it was saved to.

    Raises:
        FileError: the file is missing, truncated, foreign or hostile.
        UnsupportedError: layers or settings biport does not port, all of them at once, by name.
        WeightError: weights missing, left over, of the wrong shape, or not finite.
        InputError: the live model has not been built; ``config`` is missing, or not needed.
    """
    if is_live(source):
        return read_live(source)
    if not isinstance(source, str | os.PathLike):
        own = f"{type(source).__module__}.{type(source).__qualname__}"
        older = any(base.__module__.startswith("tf_keras.") for base in type(source).__mro__)
        live = "the file that a live model of Keras 2 is saved to" if older else "live Keras models"
        raise UnsupportedError(own, supported=(live, "paths of .keras and .h5 files"))
    path = Path(source)
    with typed_errors(path.name), ModelFile(path, config) as file:
        return read_file(file)


def read_live(model: Any, instead: Mapping[int, np.ndarray] | None = None) -> Graph:
    """The graph of a live model; see `read`.

    Args:
        model: the model.
        instead: arrays to be read in place of the values of its variables, by the identity of these: reading
            is linear, so gradients come out under the names and in the layouts of the weights.
    """
    data, variables, version = describe(model)
    with _named_errors(variables.owner):
        variables = dataclasses.replace(variables, instead=instead or {})
        return _read_model(data, variables, variables.owner, Release(version))


def read_file(file: ModelFile) -> Graph:
    """The graph of an open file; see `read`."""
    graph = _read_model(file.config, file.variables, file.owner, file.origin)
    file.variables.check_all_taken()
    return graph


def readable_ops() -> set[type[ops.Op]]:
    """The ops that a graph may have which was read from Keras: those of layers, operations and masks."""
    layers = {READERS.lookup(name, name).op for name in READERS}
    return layers | {*operations.OPS, *MASK_OPS}


@contextlib.contextmanager
def typed_errors(owner: str) -> Iterator[None]:
    """Have every error name the file, and end in one of biport's whatever the file holds."""
    with _named_errors(owner):
        try:
            yield
        except RecursionError as error:
            raise FileError(f"{owner}: its configuration is nested too deep") from error
        except BiportError:
            raise
        except MALFORMED as error:
            raise FileError(f"{owner}: does not describe a model ({error!r})") from error


@contextlib.contextmanager
def _named_errors(owner: str) -> Iterator[None]:
    """Have every error name the model."""
    try:
        yield
    except UnsupportedError:
        raise
    except BiportError as error:
        raise type(error)(named(owner, str(error))) from error


def _read_model(data: Mapping[str, Any], variables: Variables, owner: str, origin: Release) -> Graph:
    try:
        class_name, config = serialized(owner, data)
    except UnsupportedError as problem:
        raise UnsupportedModelError(owner, [subclassed(owner, data["class_name"])]) from problem
    traversal = Traversal(owner, origin, ends_masks(config))
    builder = traversal.builder
    outputs: list[KerasTensor] = []
    try:
        outputs = traversal.model(class_name, config, variables, prefix="", inputs=None)
    except UnsupportedError as problem:
        builder.refuse(problem)
    # What follows from another reason says nothing new.
    problems = [problem for problem in builder.problems if not isinstance(problem, UnplacedError)]
    raise_unsupported(owner, problems or builder.problems)
    dtype = next((own for node in builder.nodes if (own := node.op.dtype)), "float32")
    consumers: dict[str, set[type[ops.Op]]] = {}
    for node in builder.nodes:
        for name in node.inputs:
            consumers.setdefault(name, set()).add(type(node.op))
    inputs = [_graph_input(value, consumers.get(value.name, set()), dtype, owner) for value in builder.inputs]
    graph = Graph(
        inputs=tuple(inputs),
        nodes=tuple(_with_ids(builder.nodes, inputs, owner)),
        outputs=tuple(output.value for output in outputs),
        origin={"framework": "keras", "version": origin.version},
    )
    _check_converted(graph, builder.converted)
    return graph


TAKE_IDS = {ops.CategoryEncoding, ops.Embedding, ops.IntegerLookup, ops.NotEqual}


def _with_ids(nodes: Sequence[Node], inputs: Sequence[Value], owner: str) -> Iterator[Node]:
    """The nodes, those that take ids reading what `ops.ToIds` makes of floats that are a model input's.

    Raises:
        UnsupportedError: the floats are something else, which Keras cuts to integers.
    """
    integers = {value.name for value in inputs if value.dtype in ops.INTEGERS}
    given = {value.name for value in inputs} - integers
    converted: dict[str, str] = {}
    for node in nodes:
        source = node.inputs[0]
        if type(node.op) in TAKE_IDS and source not in integers:
            if source not in given:
                label = f"{owner}: layer {node.name!r} ({node.op.kind})"
                supported = "ids that are a model input, reshaped or not"
                problem = UnsupportedError(label, "input", f"floats of {source!r}", supported)
                problem.of_layer(node.name, node.op.kind)
                raise problem
            if source not in converted:
                converted[source] = f"{source}.ids"
                yield Node(converted[source], ops.ToIds(), (source,))
            node = dataclasses.replace(node, inputs=(converted[source],))
        yield node
        if isinstance(node.op, ops.ToIds | ops.IntegerLookup):
            integers.update(node.outputs)
        elif carries(node.op) or isinstance(node.op, ops.Concatenate):
            if integers.issuperset(node.inputs):
                integers.update(node.outputs)
            elif carries(node.op) and source in given:
                given.update(node.outputs)


def _check_converted(graph: Graph, converted: Sequence[tuple[str, str, str]]) -> None:
    """Refuse operations that make numbers of another kind of what is there.

    Raises:
        UnsupportedError: there is one.
    """
    for owner, value, wanted in converted:
        given = graph.tensors[value].dtype
        if given != wanted and not {given, wanted} <= set(ops.INTEGERS):
            raise UnsupportedError(owner, "dtype", wanted, given)


def _graph_input(value: Value, used_by: set[type[ops.Op]], dtype: str, owner: str) -> Value:
    """A model input as the graph declares it.

    Keras takes ids as floats, the default of an InputLayer, and cuts them to integers; a graph says what
    they are, for layers that take nothing else. All float values of a graph have the dtype of its weights.
    """
    if value.dtype in (*ops.INTEGERS, "bool"):
        return value
    if value.dtype not in (*ops.FLOATS, *SMALL_INTEGERS):
        raise UnsupportedError(
            f"{owner}: input {value.name!r}", "dtype", value.dtype, (*ops.INTEGERS, *ops.FLOATS, "bool")
        )
    only_ids = bool(used_by & TAKE_IDS) and not used_by - TAKE_IDS
    if only_ids or value.dtype in SMALL_INTEGERS:
        return Value(value.name, value.shape, "int32")
    return Value(value.name, value.shape, dtype)
