"""A live model of Keras 3, or of Keras 2 by ``tf_keras``, as this route sees it: values and a flat call."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from biport.errors import UnsupportedError, raise_unsupported
from biport.graph import Value
from export.onnx.axis_names import distinct_axes

LARGEST = 2**31 - 2**24
"""Bytes of weights that a frozen TensorFlow graph may hold."""


@dataclass(frozen=True)
class LiveModel:
    """A model that can be traced.

    Args:
        model: the model itself; it is left as it was.
        keras: the package that it is of, ``keras`` or ``tf_keras``.
        owner: how errors call it.
        inputs: name, shape and dtype of each, in the order that `call` takes them.
        outputs: of each, in the order that `call` gives them.
    """

    model: Any
    keras: Any
    owner: str
    inputs: Sequence[Value]
    outputs: Sequence[Value]

    def call(self, tensors: Sequence[Any]) -> list[Any]:
        """The outputs at inference, flat, given a tensor for each input."""
        import tensorflow as tf

        return tf.nest.flatten(self.model(_packed(self.model, tensors), training=False))

    def bounds(self) -> dict[str, int]:
        """For each input that an embedding reads the size of its vocabulary, V."""
        sizes: dict[str, int] = {}
        for layer, name in self._readers("Embedding"):
            sizes[name] = min(layer.input_dim, sizes.get(name, layer.input_dim))
        return sizes

    def padding(self) -> dict[str, float]:
        """For each input that a Masking reads what all features of a masked step are."""
        return {name: float(layer.mask_value) for layer, name in self._readers("Masking")}

    def _readers(self, class_name: str) -> Iterator[tuple[Any, str]]:
        """The layers of a class that read an input, and the name of that."""
        import tensorflow as tf

        names = {_source(tensor): v.name for tensor, v in zip(self.model.inputs, self.inputs, strict=True)}
        kind = getattr(self.keras.layers, class_name)
        for layer in self.model._flatten_layers():
            if isinstance(layer, kind):
                read = [node.input_tensors for node in layer._inbound_nodes]
                for name in {names.get(_source(tensor)) for tensor in tf.nest.flatten(read)} - {None}:
                    yield layer, str(name)

    def longest_sum(self) -> int:
        """The most numbers that a layer adds up for one of its outputs, I + H; rounding grows with it."""
        return max((_own_sum(layer, self.keras) for layer in self.model._flatten_layers()), default=1)


def live_model(model: Any) -> LiveModel:
    """See `LiveModel`.

    Raises:
        UnsupportedError: the model has no declared inputs, a layer that carries its state from call to call,
            or weights beyond 2 GiB; two inputs or outputs have one name; or Keras runs on another backend
            than TensorFlow.
    """
    owner = _model_title(model)
    keras = keras_of(model)
    refuse_stateful(model, owner)
    if not getattr(model, "inputs", None) or not getattr(model, "outputs", None):
        raise UnsupportedError(owner, "inputs", None, "built functional and Sequential models")
    for layer in model._flatten_layers():
        if getattr(layer, "ragged", False):
            raise UnsupportedError(f"{owner}: {layer_title(layer)}", "ragged", True, "dense inputs")
    size = sum(4 * math.prod(shape) for shape in _shapes(model.weights))
    if size > LARGEST:
        raise UnsupportedError(owner, "size of the weights", size, "less than 2 GiB on the tf2onnx route")
    inputs = distinct_axes([_input(tensor) for tensor in model.inputs])
    outputs = _outputs(model, keras, inputs)
    _check_names(owner, [*inputs, *outputs])
    return LiveModel(model, keras, owner, inputs, outputs)


def _model_title(model: Any) -> str:
    return f"model {getattr(model, 'name', type(model).__name__)!r}"


def keras_of(model: Any) -> Any:
    """The Keras that a live model is of, ``keras`` or ``tf_keras``.

    Raises:
        UnsupportedError: it is of neither, or Keras runs on another backend than TensorFlow.
    """
    for name in ("keras", "tf_keras"):
        package: Any = sys.modules.get(name)
        if package is not None and isinstance(model, package.Model):
            if name == "keras" and package.backend.backend() != "tensorflow":
                backend = package.backend.backend()
                raise UnsupportedError("the tf2onnx route", "KERAS_BACKEND", backend, "'tensorflow'")
            return package
    raise UnsupportedError(_model_title(model), "class", type(model).__name__, "live Keras models")


def refuse_stateful(model: Any, owner: str) -> None:
    """Refuse layers that start where the call before ended: an ONNX file starts every time at zero.

    Raises:
        UnsupportedError: there are such layers; all of them are named.
    """
    supported = "False; an ONNX file has no state between calls, the fused route has it as inputs and outputs"
    problems = []
    for layer in _stateful_layers(model):
        problem = UnsupportedError(f"{owner}: {layer_title(layer)}", "stateful", True, supported)
        problem.of_layer(layer.name, type(layer).__name__)
        problems.append(problem)
    raise_unsupported(owner, problems)


def _stateful_layers(model: Any) -> Iterator[Any]:
    """The layers of a model, and of models inside of it, that are stateful or have such a layer inside."""
    for layer in model._flatten_layers(recursive=False, include_self=False):
        if hasattr(layer, "layers") and not hasattr(layer, "cell"):
            yield from _stateful_layers(layer)
        elif any(getattr(part, "stateful", False) for part in layer._flatten_layers()):
            yield layer


def layer_title(layer: Any) -> str:
    """How errors call a layer."""
    return f"layer {layer.name!r} ({type(layer).__name__})"


def _input(tensor: Any) -> Value:
    letters = ["N", "T", *(f"D{axis}" for axis in range(2, len(tensor.shape)))]
    dims = tuple(letters[axis] if dim is None else dim for axis, dim in enumerate(tensor.shape))
    layer, _, _ = tensor._keras_history
    return Value(layer.name, dims, _dtype(tensor))


def _dtype(tensor: Any) -> str:
    """The name by which numpy, and everything here, knows it."""
    name = getattr(tensor.dtype, "name", tensor.dtype)
    return "str" if name == "string" else str(name)


def _source(tensor: Any) -> tuple[int, int, int]:
    layer, node, position = tensor._keras_history
    return id(layer), node, position


def _outputs(model: Any, keras: Any, inputs: Sequence[Value]) -> list[Value]:
    """The outputs by the names of their layers; those of a layer with several are ``name:0``, ``name:1``."""
    import tensorflow as tf

    probes = _probed(model, keras, inputs)
    values: list[Value] = []
    for index, tensor in enumerate(model.outputs):
        layer, node, position = tensor._keras_history
        call = layer._inbound_nodes[node]
        several = len(tf.nest.flatten(call.output_tensors if keras.__name__ == "keras" else call.outputs)) > 1
        name = layer.name + (f":{position}" if several else "")
        dims: list[int | str] = []
        for axis, dim in enumerate(tensor.shape):
            unknown = "N" if axis == 0 else probes.get((index, axis), f"out_{index}_{axis}")
            dims.append(unknown if dim is None else dim)
        values.append(Value(name, tuple(dims), _dtype(tensor)))
    return values


def _probed(model: Any, keras: Any, inputs: Sequence[Value]) -> dict[tuple[int, int], str]:
    """The letters of those output axes that are as long as an input's, tried with two sets of sizes."""
    letters = sorted({str(dim) for value in inputs for dim in value.shape[1:] if not isinstance(dim, int)})
    same: dict[tuple[int, int], str] | None = None
    for base in (1009, 2003):
        sizes = {letter: base + 7 * number for number, letter in enumerate(letters)}
        names = {size: letter for letter, size in sizes.items()}
        try:
            shapes = _output_shapes(model, keras, inputs, sizes)
        except Exception:  # a layer that cannot say its shape costs a letter, not the export
            return {}
        letter_of = {
            (index, axis): names[dim]
            for index, shape in enumerate(shapes)
            for axis, dim in enumerate(shape)
            if dim in names
        }
        if same is not None:
            letter_of = {key: letter for key, letter in letter_of.items() if same.get(key) == letter}
        same = letter_of
    return same or {}


def _output_shapes(
    model: Any, keras: Any, inputs: Sequence[Value], sizes: Mapping[str, int]
) -> list[tuple[int | None, ...]]:
    import tensorflow as tf

    shapes = [
        (None, *(dim if isinstance(dim, int) else sizes[str(dim)] for dim in value.shape[1:]))
        for value in inputs
    ]
    if keras.__name__ == "keras":
        specs = [keras.KerasTensor(s, v.dtype) for s, v in zip(shapes, inputs, strict=True)]
        return [tuple(t.shape) for t in tf.nest.flatten(model.compute_output_spec(_packed(model, specs)))]
    # Keras 2 says shapes only as it calls.
    signature = [tf.TensorSpec(s, tensor.dtype) for s, tensor in zip(shapes, model.inputs, strict=True)]
    function = tf.function(lambda *flat: model(_packed(model, flat), training=False), autograph=False)
    outputs = function.get_concrete_function(*signature).structured_outputs
    return [tuple(tensor.shape) for tensor in tf.nest.flatten(outputs)]


def _packed(model: Any, flat: Sequence[Any]) -> Any:
    """A flat list of inputs in the structure the model was built with."""
    import tensorflow as tf

    structure = getattr(model, "_inputs_struct", None)
    if structure is not None:
        return tf.nest.pack_sequence_as(structure, list(flat))
    return list(flat) if len(flat) > 1 else flat[0]


def _check_names(owner: str, values: Sequence[Value]) -> None:
    for name, count in Counter(value.name for value in values).items():
        if count > 1:
            raise UnsupportedError(owner, "outputs", name, "inputs and outputs of different names")


def _own_sum(layer: Any, keras: Any) -> int:
    """What a layer's own matrices add up; those of a cell count at the cell."""
    if isinstance(layer, keras.layers.Embedding):
        return 1
    inner = {
        id(weight)
        for part in layer._flatten_layers(recursive=False, include_self=False)
        for weight in part.weights
    }
    own = _shapes([weight for weight in layer.weights if id(weight) not in inner])
    return max(1, sum(math.prod(shape[:-1]) for shape in own if len(shape) > 1))


def _shapes(weights: Sequence[Any]) -> list[tuple[int, ...]]:
    """Those of arrays; a table of words counts as a weight in Keras 2, and has none."""
    return [tuple(weight.shape) for weight in weights if hasattr(weight, "shape")]
