"""A layer's ``call`` run once on symbolic tensors of TensorFlow, with the calls of layers in it noticed."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from biport.errors import BiportError, UnsupportedError
from keras_side.mapped import reader_of_live
from keras_side.recording.custom import has_custom, keras_class, stays_whole
from keras_side.recording.fault import refusal
from keras_side.records import MODELS
from keras_side.registry import READERS
from keras_side.shared.cells import CELL_READERS


@dataclass(frozen=True)
class LayerCall:
    """A call of a layer that is recorded whole.

    Args:
        layer: the layer.
        arguments: what it was called with, in their structure.
        options: the same by name, the masks that Keras filled in among them.
        outputs: the tensors it gave.
        graph: in which.
        operations: which ones of the graph are the layer's.
    """

    layer: Any
    arguments: Sequence[Any]
    options: Mapping[str, Any]
    outputs: Sequence[Any]
    graph: Any
    operations: range


@dataclass(frozen=True)
class Concrete:
    """What ran.

    Args:
        layer: whose ``call`` it was.
        graph: of TensorFlow.
        inputs: symbolic tensors of Keras that the layer was called with, the masks on them among these, each
            with the tensor of the graph in its stead.
        outputs: symbolic tensors of Keras for what ``call`` gave, and for the masks on that, each with the
            tensor or the numbers it stands for.
        given: what ``call`` gave, of those.
        calls: of layers that are recorded whole.
    """

    layer: Any
    graph: Any
    inputs: Sequence[tuple[Any, Any]]
    outputs: Sequence[tuple[Any, Any]]
    given: Any
    calls: Sequence[LayerCall]


def concrete(owner: str, layer: Any, arguments: Sequence[Any], options: Mapping[str, Any]) -> Concrete:
    """Run the ``call`` of a layer.

    Args:
        owner: how errors call it.
        layer: built.
        arguments: of ``call``: symbolic tensors of Keras, in any structure, and anything else.
        options: the same by name.

    Raises:
        UnsupportedError: Keras does not run on TensorFlow, or the code of the layer fails on tensors whose
            values and sizes are open; the message names the line.
    """
    keras = sys.modules["keras"]
    if keras.backend.backend() != "tensorflow":
        supported = "keras.ops on tensors of any size, or KERAS_BACKEND=tensorflow, whose graphs are read"
        raise UnsupportedError(owner, "backend", keras.backend.backend(), supported)
    import tensorflow as tf

    taken = _symbolic(keras.tree.flatten((arguments, options)))
    taken = list({id(one): one for one in (*taken, *_symbolic(map(_mask, taken)))}.values())
    inputs: list[tuple[Any, Any]] = []
    calls: list[LayerCall] = []
    result: list[Any] = []

    def body(*tensors: Any) -> list[Any]:
        inputs[:] = zip(taken, tensors, strict=True)
        own = {id(one): tensor for one, tensor in inputs}
        for one, tensor in inputs:
            if (mask := _mask(one)) is not None:
                keras.src.backend.set_keras_mask(tensor, own.get(id(mask), mask))
        called = (tuple(arguments), dict(options))
        positional, named = keras.tree.map_structure(lambda item: own.get(id(item), item), called)
        with _noticed(calls):
            result[:] = [layer.call(*positional, **named)]
        return [one for one in keras.tree.flatten(result) if tf.is_tensor(one)]

    specs = [tf.TensorSpec(one.shape, one.dtype) for one in taken]
    try:
        with _functions_inlined():
            function = tf.function(body, autograph=False).get_concrete_function(*specs)
    except BiportError:
        raise
    except Exception as error:  # A user's code may fail in any way.
        raise refusal(owner, layer, error) from error
    outputs: dict[int, tuple[Any, Any]] = {}
    given = keras.tree.map_structure(lambda one: _standing(one, outputs), result[0])
    return Concrete(layer, function.graph, inputs, list(outputs.values()), given, calls)


def _symbolic(items: Iterable[Any]) -> list[Any]:
    return [one for one in items if isinstance(one, sys.modules["keras"].KerasTensor)]


def _standing(tensor: Any, outputs: dict[int, tuple[Any, Any]]) -> Any:
    """A symbolic tensor of Keras for one of a graph, with the mask on that; noted in ``outputs``."""
    keras = sys.modules["keras"]
    if not keras.ops.is_tensor(tensor):
        return tensor
    if id(tensor) not in outputs:
        symbolic = keras.KerasTensor(tuple(tensor.shape), tensor.dtype.name)
        outputs[id(tensor)] = symbolic, tensor
        if (mask := _mask(tensor)) is not None:
            keras.src.backend.set_keras_mask(symbolic, _standing(mask, outputs))
    return outputs[id(tensor)][0]


def _mask(tensor: Any) -> Any:
    return getattr(tensor, "_keras_mask", None)


@contextlib.contextmanager
def _functions_inlined() -> Iterator[None]:
    """Have functions of the user's that TensorFlow compiles run as they are: what it has of them it keeps."""
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


@contextlib.contextmanager
def _noticed(calls: list[LayerCall]) -> Iterator[None]:
    """Note the calls of layers that are recorded whole; those inside of them are theirs."""
    keras = sys.modules["keras"]
    kind, own = keras.layers.Layer, keras.layers.Layer.__call__
    inside: list[Any] = []

    @functools.wraps(own)
    def call(layer: Any, *arguments: Any, **options: Any) -> Any:
        if inside or not _is_whole(layer):
            return own(layer, *arguments, **options)
        inside.append(layer)
        try:
            with _noting(layer, calls):
                return own(layer, *arguments, **options)
        finally:
            inside.pop()

    kind.__call__ = call
    try:
        yield
    finally:
        kind.__call__ = own


def _is_whole(layer: Any) -> bool:
    """Whether a layer is recorded whole: one that biport reads. What another one does is operations too."""
    if stays_whole(layer) or reader_of_live(layer) is not None:
        return True
    name = keras_class(layer).__name__
    return not has_custom(layer) and any(name in known for known in (READERS, CELL_READERS, MODELS))


@contextlib.contextmanager
def _noting(layer: Any, calls: list[LayerCall]) -> Iterator[None]:
    """Have a layer's ``call`` note what Keras calls it with and what it gives."""
    # Into the instance's dictionary directly: Keras follows what is set as an attribute.
    before = vars(layer).get("call")
    vars(layer)["call"] = _noted(layer, layer.call, calls)
    try:
        yield
    finally:
        vars(layer).pop("call")
        if before is not None:
            vars(layer)["call"] = before


def _noted(layer: Any, own: Callable[..., Any], calls: list[LayerCall]) -> Callable[..., Any]:
    keras = sys.modules["keras"]
    import tensorflow as tf

    @functools.wraps(own)
    def call(*arguments: Any, **options: Any) -> Any:
        graph = tf.compat.v1.get_default_graph()
        first = len(graph.get_operations())
        # Some layers give their very input, which is to be told from their output.
        outputs = keras.tree.map_structure(
            lambda one: None if one is None else tf.identity(one), own(*arguments, **options)
        )
        own_part = range(first, len(graph.get_operations()))
        calls.append(LayerCall(layer, arguments, options, keras.tree.flatten(outputs), graph, own_part))
        return outputs

    return call


__all__ = ["Concrete", "LayerCall", "concrete"]
