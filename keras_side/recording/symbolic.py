"""A live model run on symbolic tensors of Keras, with its custom layers opened.

An opened layer runs its ``call`` on the symbolic tensors, so that the layers and ``keras.ops`` in it are
recorded one by one, where Keras would record the layer as one. Its variables are symbolic while it does. A
layer whose code takes no symbolic tensors, since it calls TensorFlow or needs sizes as tensors, stays closed
and is recorded from its graph (`keras_side.recording.tensorflow_graph`). What all that changes in the model
is put back.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from biport.errors import BiportError, UnsupportedError
from keras_side.recording.concrete import concrete
from keras_side.recording.custom import is_container, is_custom, paths, recurrent_classes
from keras_side.recording.fault import refusal
from keras_side.recording.put_back import put_back
from keras_side.recording.recorder import History, Recorder, SymbolicInput
from keras_side.recording.stand_in import stand_in, symbolic_variables
from keras_side.recording.tensors import (
    Closed,
    Inherited,
    Opened,
    Tensors,
    is_array,
    is_symbolic,
    owner_of,
    symbolic_tensors,
)


class _NotSymbolicError(Exception):
    """A layer's code does not take symbolic tensors."""


@dataclass
class Recording:
    """The run of a model.

    Args:
        model: live; a model or a layer.
        recorder: what gets the entries.
        prefix: of the paths of what is inside.
        closed: whether all custom layers are recorded from their graphs.
    """

    model: Any
    recorder: Recorder
    prefix: str = ""
    closed: bool = False
    _reasons: dict[int, UnsupportedError] = field(default_factory=dict)
    """By the identity of a layer that stays closed: why its code does not take symbolic tensors."""
    _standing: dict[int, Any] = field(default_factory=dict)
    """By the identity of a variable: the symbolic tensor that stands for it."""
    _inside_closed: bool = False

    def __post_init__(self) -> None:
        self.tensors = Tensors(self.recorder, self.prefix, paths(self.model, self.prefix))

    def run(self, *inputs: Any, **options: Any) -> list[History]:
        """What the model gives for symbolic inputs that its tensors know, in one list.

        Raises:
            UnsupportedError: it does something that cannot be recorded; the message names the line.
        """
        keras = sys.modules["keras"]
        with put_back(self.model), _whole_errors():
            with self._opening(), self._every_call_symbolic(), self._keras_own_whole():
                given = keras.tree.flatten(self._outputs(inputs, options))
            outputs = [one for one in given if one is not None]
            self.tensors.record(outputs)
            return [self.tensors.history(one, self._path("output")) for one in outputs]

    def _outputs(self, inputs: Sequence[Any], options: Mapping[str, Any]) -> Any:
        while True:
            closed = len(self._reasons)
            try:
                return self.model(*inputs, **options)
            except _NotSymbolicError:
                assert len(self._reasons) > closed
                self.tensors.forget_run()

    def _path(self, name: str) -> str:
        return f"{self.prefix}.{name}" if self.prefix else name

    def _path_of(self, layer: Any) -> str:
        return self.tensors.paths.get(id(layer), self._path(layer.name))

    @contextlib.contextmanager
    def _opening(self) -> Iterator[None]:
        inside = [self.model, *self.model._flatten_layers(include_self=False)]
        opened = [layer for layer in inside if self._opens(layer)]
        for layer in opened:
            vars(layer)["symbolic_call"] = functools.partial(self._called, layer)
        try:
            yield
        finally:
            for layer in opened:
                vars(layer).pop("symbolic_call", None)

    def _opens(self, layer: Any) -> bool:
        if layer is self.model or is_custom(layer):
            return True
        return is_container(layer) and any(map(is_custom, layer._flatten_layers(include_self=False)))

    @contextlib.contextmanager
    def _every_call_symbolic(self) -> Iterator[None]:
        """Have layers that are called on numbers alone recorded too: they have weights."""
        keras = sys.modules["keras"]
        kind, own = keras.layers.Layer, keras.layers.Layer.__call__

        @functools.wraps(own)
        def call(layer: Any, *arguments: Any, **options: Any) -> Any:
            if not self._inside_closed and not symbolic_tensors((arguments, options)):
                arguments, options = keras.tree.map_structure(
                    lambda one: self._as_symbolic(one, layer), (arguments, options)
                )
            return own(layer, *arguments, **options)

        kind.__call__ = call
        try:
            yield
        finally:
            kind.__call__ = own

    @contextlib.contextmanager
    def _keras_own_whole(self) -> Iterator[None]:
        """Have a layer that hands on to the ``call`` of a recurrent class of Keras' own recorded as that."""
        kinds = recurrent_classes()
        own = {kind: kind.call for kind in kinds if "call" in vars(kind)}
        for kind, call in own.items():
            kind.call = self._inheriting(kind, call)
        try:
            yield
        finally:
            for kind, call in own.items():
                kind.call = call

    def _inheriting(self, kind: type, call: Any) -> Any:
        """The ``call`` of a class, which a class made of it hands on to."""

        @functools.wraps(call)
        def inherited(layer: Any, *arguments: Any, **options: Any) -> Any:
            return self._inherit(layer, kind, call, *arguments, **options)

        return inherited

    def _inherit(self, layer: Any, kind: type, call: Any, *arguments: Any, **options: Any) -> Any:
        keras = sys.modules["keras"]
        if self._inside_closed or not symbolic_tensors((arguments, options)):
            return call(layer, *arguments, **options)
        self._inside_closed = True
        try:
            bound = functools.partial(call, layer)
            positional, named = keras.tree.map_structure(_dense, (arguments, options))
            outputs = keras.src.backend.compute_output_spec(bound, *positional, **named)
        finally:
            self._inside_closed = False
        flat = keras.tree.flatten(outputs)
        inherited = Inherited(self._path_of(layer), layer, kind, arguments, options, flat)
        self.tensors.kept += flat
        self.tensors.inherited |= {id(tensor): inherited for tensor in flat}
        return outputs

    def _as_symbolic(self, item: Any, layer: Any) -> Any:
        """A tensor of numbers as a symbolic one; anything else as it is."""
        keras = sys.modules["keras"]
        if not is_array(item):
            return item
        array = np.asarray(keras.ops.convert_to_numpy(item))
        tensor = keras.KerasTensor(array.shape, keras.backend.standardize_dtype(array.dtype))
        self.tensors.give(tensor, self.recorder.constant(f"{self._path_of(layer)}.constant", array))
        return tensor

    def _called(self, layer: Any, *arguments: Any, **options: Any) -> Any:
        """The call of an opened layer: what its code gives, each tensor a new one that stands for that."""
        keras = sys.modules["keras"]
        path = self._path_of(layer)
        if id(layer) in self._reasons or (self.closed and not is_container(layer)):
            return self._stay_closed(layer, path, arguments, options)
        try:
            with symbolic_variables(layer, functools.partial(self._variable, layer, path)):
                given = layer.call(*arguments, **options)
            self.tensors.note(keras.tree.flatten(given), path, (arguments, options))
            return keras.tree.map_structure(lambda one: self._stand_for(one, path), given)
        except (BiportError, _NotSymbolicError):
            raise
        except Exception as error:  # A user's code may fail in any way.
            self._reasons[id(layer)] = refusal(owner_of(self.recorder, path), layer, error)
            raise _NotSymbolicError from error

    def _variable(self, layer: Any, path: str, name: str, variable: Any) -> Any:
        if id(variable) not in self.tensors.histories:
            named = f"{path}.{name}" if path else name
            tensor = stand_in(
                variable, named, f"{self.recorder.owner}: layer {path!r} ({type(layer).__name__})"
            )
            self.tensors.give(tensor, self.recorder.parameter(named, variable))
            self.tensors.histories[id(variable)] = self.tensors.histories[id(tensor)]
            self.tensors.kept += [variable]
            self._standing[id(variable)] = tensor
        return self._standing[id(variable)]

    def _stay_closed(self, layer: Any, path: str, arguments: Any, options: Any) -> Any:
        self._inside_closed = True
        try:
            ran = concrete(owner_of(self.recorder, path), layer, arguments, options)
        finally:
            self._inside_closed = False
        self.tensors.kept.append(ran)
        self.tensors.closed |= {id(tensor): Closed(path, ran) for tensor, _ in ran.outputs}
        return ran.given

    def _stand_for(self, given: Any, path: str) -> Any:
        keras = sys.modules["keras"]
        if given is None:
            return None
        tensor = keras.KerasTensor(given.shape, keras.backend.standardize_dtype(given.dtype))
        if (mask := getattr(given, "_keras_mask", None)) is not None:
            keras.src.backend.set_keras_mask(tensor, mask)
        self.tensors.kept.append(tensor)
        self.tensors.opened[id(tensor)] = Opened(path, given)
        return tensor


def record_layer(
    layer: Any, recorder: Recorder, inputs: Sequence[Any], closed: bool = False
) -> list[History]:
    """Run a layer, or a model, on symbolic inputs.

    Args:
        layer: live.
        recorder: what gets the entries.
        inputs: `keras_side.recording.recorder.SymbolicInput` in the structure of its arguments.
        closed: whether all custom layers are recorded from their graphs of TensorFlow.

    Returns:
        What it gives, in one list.

    Raises:
        UnsupportedError: it does something that cannot be recorded; the message names the line.
    """
    recording = Recording(layer, recorder, closed=closed)

    def tensor(given: SymbolicInput) -> Any:
        recording.tensors.give(given.tensor, given.known)
        return given.tensor

    return recording.run(*sys.modules["keras"].tree.map_structure(tensor, list(inputs)), training=False)


def _dense(item: Any) -> Any:
    """A symbolic tensor of the same shape; Keras 3.15 calls what is multiplied by a number sparse."""
    return sys.modules["keras"].KerasTensor(item.shape, item.dtype) if is_symbolic(item) else item


@contextlib.contextmanager
def _whole_errors() -> Iterator[None]:
    """Have Keras leave tracebacks as they are, which have the lines of the user's code in them."""
    keras = sys.modules["keras"]
    before = keras.config.is_traceback_filtering_enabled()
    keras.config.disable_traceback_filtering()
    try:
        yield
    finally:
        if before:
            keras.config.enable_traceback_filtering()
