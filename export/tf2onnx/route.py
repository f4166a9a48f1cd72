"""Live Keras model to ONNX through tf2onnx: the route for models biport does not read, and the baseline.

The model is traced here, not by `tf2onnx.convert.from_keras`: that one refuses models never called, names
axes ``unk__71``, and on a machine with a GPU meets cuDNN operators it cannot convert.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biport.errors import InputError, UnsupportedError
from biport.graph import Value
from biport.ops import Dim, Tensor
from export.onnx.axis_names import distinct_axes
from export.require import require
from export.tf2onnx.placeholders import OpOf, Placeholder, handlers, replaced, with_placeholders

if TYPE_CHECKING:
    from export.publish import Check, Written

OPSET = 18
NOISY = ("tensorflow", "tf2onnx")


def write_tf2onnx(
    model: Any,
    path: str | PathLike[str],
    *,
    overwrite: bool = False,
    bounds: Mapping[str, int] | None = None,
    op_of: OpOf | None = None,
    check: Check | None = None,
) -> Written:
    """Write a live Keras model as an ONNX file by way of TensorFlow.

    With ``op_of`` recurrent layers are written as the fused route writes them and only what is around them by
    tf2onnx, see `export.tf2onnx.placeholders`.

    Inputs and outputs keep the Keras names and order; their axes are called N and T, a second input's T_2.
    Unlike the fused route's files these do not run on empty batches by themselves: `export.Session` steps in.

    Args:
        model: a built functional or Sequential model, called before or not; it is left as it was.
        path: the file to write.
        overwrite: replace a file that is there already.
        bounds: for each input of ids the size of its vocabulary, V; by default that of the
            embeddings which read the input directly.
        op_of: the op of a live recurrent layer, ``None`` for one that tf2onnx is to convert, such as
            `keras_side.recurrent_op`; by default tf2onnx converts all of them.
        check: called with the file before it is put in its place; what it raises, this does.

    Raises:
        UnsupportedError: the model has no declared inputs, a layer that tf2onnx cannot express, or weights
            beyond 2 GiB; or Keras runs on another backend than TensorFlow.
        InputError: ``bounds`` names no input of the model.
        FileError: the file exists, or its folder is missing or cannot be written to.
        MissingDependencyError: tensorflow, keras, tf2onnx or onnx-ir is not installed.
    """
    for package in ("tensorflow", "keras"):
        require(package, "the tf2onnx route", "keras")
    for package in ("tf2onnx", "onnx", "onnx_ir"):
        require(package, "the tf2onnx route", "export")
    from export.publish import Written, publish

    path = Path(path)
    owner = f"model {getattr(model, 'name', type(model).__name__)!r}"
    _check_model(model, owner)
    inputs = _inputs(model)
    outputs = _outputs(model, inputs)
    _check_names(owner, [*inputs, *outputs])
    _check_bounds(bounds, inputs)
    proto, placeholders = _traced(model, owner, op_of)
    onnx_model = _named(proto, inputs, outputs, _embedded(model) | dict(bounds or {}))
    notes = replaced(onnx_model, placeholders)
    _refuse_foreign(onnx_model, owner)

    publish(path, lambda target: _save(onnx_model, target), overwrite=overwrite, check=check)
    return Written(
        path=path,
        route="tf2onnx",
        opset=OPSET,
        nodes=dict(Counter(node.op_type for node in onnx_model.graph.all_nodes()).most_common()),
        bytes=path.stat().st_size,
        notes=notes,
    )


def _save(model: Any, path: Path) -> None:
    import onnx_ir as ir

    ir.save(model, path)


def _check_model(model: Any, owner: str) -> None:
    import keras

    if keras.backend.backend() != "tensorflow":
        raise UnsupportedError("the tf2onnx route", "KERAS_BACKEND", keras.backend.backend(), "'tensorflow'")
    if not isinstance(model, keras.Model):
        raise UnsupportedError(owner, "class", type(model).__name__, "live Keras models")
    if not getattr(model, "inputs", None) or not getattr(model, "outputs", None):
        supported = "built functional and Sequential models"
        raise UnsupportedError(owner, "inputs", None, supported)
    size = sum(4 * math.prod(weight.shape) for weight in model.weights)
    if size > 2**31 - 2**24:
        raise UnsupportedError(owner, "size of the weights", size, "less than 2 GiB on the tf2onnx route")


def _inputs(model: Any) -> list[Value]:
    values: list[Value] = []
    for tensor in model.inputs:
        letters = ["N", "T", *(f"D{axis}" for axis in range(2, len(tensor.shape)))]
        dims = tuple(letters[axis] if dim is None else dim for axis, dim in enumerate(tensor.shape))
        values.append(Value(tensor._keras_history.operation.name, dims, tensor.dtype))
    return distinct_axes(values)


def _outputs(model: Any, inputs: Sequence[Value]) -> list[Value]:
    """The outputs by the names of their layers; those of a layer with several are ``name:0``, ``name:1``."""
    probes = _probed(model, inputs)
    values: list[Value] = []
    for index, tensor in enumerate(model.outputs):
        history = tensor._keras_history
        several = len(history.operation._inbound_nodes[history.node_index].output_tensors) > 1
        name = history.operation.name + (f":{history.tensor_index}" if several else "")
        dims: list[Dim] = []
        for axis, dim in enumerate(tensor.shape):
            unknown = "N" if axis == 0 else probes.get((index, axis), f"out_{index}_{axis}")
            dims.append(unknown if dim is None else dim)
        values.append(Value(name, tuple(dims), tensor.dtype))
    return values


def _probed(model: Any, inputs: Sequence[Value]) -> dict[tuple[int, int], str]:
    """The letters of those output axes that are as long as an input's, tried with two sets of sizes."""
    letters = sorted({dim for value in inputs for dim in value.shape[1:] if isinstance(dim, str)})
    same: dict[tuple[int, int], str] | None = None
    for base in (1009, 2003):
        sizes = {letter: base + 7 * number for number, letter in enumerate(letters)}
        names = {size: letter for letter, size in sizes.items()}
        try:
            shapes = _output_shapes(model, inputs, sizes)
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


def _output_shapes(model: Any, inputs: Sequence[Value], sizes: Mapping[str, int]) -> list[tuple]:
    import keras

    specs = [
        keras.KerasTensor((None, *(sizes.get(str(dim), dim) for dim in value.shape[1:])), value.dtype)
        for value in inputs
    ]
    outputs = model.compute_output_spec(_packed(model, specs))
    return [tuple(tensor.shape) for tensor in keras.tree.flatten(outputs)]


def _packed(model: Any, flat: Sequence[Any]) -> Any:
    """A flat list of inputs in the structure the model was built with."""
    import keras

    structure = getattr(model, "_inputs_struct", None)
    return flat[0] if structure is None else keras.tree.pack_sequence_as(structure, list(flat))


def _check_names(owner: str, values: Sequence[Value]) -> None:
    for name, count in Counter(value.name for value in values).items():
        if count > 1:
            raise UnsupportedError(owner, "outputs", name, "inputs and outputs of different names")


def _check_bounds(bounds: Mapping[str, int] | None, inputs: Sequence[Value]) -> None:
    names = [value.name for value in inputs]
    for name in bounds or {}:
        if name not in names:
            raise InputError(f"bounds: there is no input {name!r}; the inputs are {', '.join(names)}")


def _embedded(model: Any) -> dict[str, int]:
    """For each input that feeds an embedding the size of its vocabulary."""
    import keras

    names = {id(tensor): value.name for tensor, value in zip(model.inputs, _inputs(model), strict=True)}
    sizes: dict[str, int] = {}
    for layer in model._flatten_layers():
        if not isinstance(layer, keras.layers.Embedding):
            continue
        read = {names.get(id(tensor)) for node in layer._inbound_nodes for tensor in node.input_tensors}
        for name in (name for name in read if name is not None):
            sizes[name] = min(layer.input_dim, sizes.get(name, layer.input_dim))
    return sizes


def _traced(model: Any, owner: str, op_of: OpOf | None) -> tuple[Any, list[Placeholder]]:
    """The ONNX protobuf, its inputs called ``in_0``, ``in_1`` and its outputs ``out_0``, ``out_1``."""
    import keras
    import tensorflow as tf
    import tf2onnx

    def call(*flat: Any) -> dict[str, Any]:
        outputs = keras.tree.flatten(model(_packed(model, flat), training=False))
        # Two outputs that are one tensor, or an input handed through, need a node of their own.
        return {f"out_{index}": tf.identity(tensor) for index, tensor in enumerate(outputs)}

    signature = [
        tf.TensorSpec(tensor.shape, tensor.dtype, name=f"in_{index}")
        for index, tensor in enumerate(model.inputs)
    ]
    known = op_of or (lambda layer: None)
    with (
        _quiet(),
        _without_cudnn(model),
        with_placeholders(model, known) as placeholders,
        tf.device("/CPU:0"),
    ):
        function = tf.function(call, autograph=False)
        proto, _ = tf2onnx.convert.from_function(
            function, input_signature=signature, opset=OPSET, custom_op_handlers=handlers(), custom_ops=None
        )
    return proto, placeholders


def _refuse_foreign(model: Any, owner: str) -> None:
    """tf2onnx keeps an operator it cannot convert as it is, and only logs that it did."""
    import onnx

    for node in model.graph.all_nodes():
        if not onnx.defs.has(node.op_type, node.domain):
            raise UnsupportedError(owner, "operator", node.op_type, "operators tf2onnx converts to ONNX")


@contextmanager
def _quiet() -> Iterator[None]:
    """No logging and no warnings of tensorflow and tf2onnx."""
    loggers = [logging.getLogger(name) for name in NOISY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _without_cudnn(model: Any) -> Iterator[None]:
    """cuDNN operators, which Keras picks where there is a GPU, have no form in ONNX."""
    layers = [layer for layer in model._flatten_layers() if hasattr(layer, "use_cudnn")]
    settings = [layer.use_cudnn for layer in layers]
    for layer in layers:
        layer.use_cudnn = False
    try:
        yield
    finally:
        for layer, setting in zip(layers, settings, strict=True):
            layer.use_cudnn = setting


def _named(proto: Any, inputs: Sequence[Value], outputs: Sequence[Value], bounds: Mapping[str, int]) -> Any:
    """The model with the Keras names and order, axes by letter, and biport's metadata."""
    import keras
    import onnx_ir as ir

    from biport.version import __version__
    from export.publish import PRODUCER, metadata

    model = ir.from_proto(proto)
    _free_names(model.graph, [*inputs, *outputs])
    _rename(model.graph.inputs, "in", inputs)
    _rename(model.graph.outputs, "out", outputs)
    model.producer_name, model.producer_version = PRODUCER, __version__
    origin = {"framework": "keras", "version": keras.__version__}
    model.metadata_props.update(metadata("tf2onnx", inputs, bounds, needs_steps={}, origin=origin))
    return model


def _free_names(graph: Any, wanted: Sequence[Value]) -> None:
    """Rename inner values that have a name an input or an output is about to get."""
    taken = {value.name for value in wanted}
    for node in graph.all_nodes():
        for value in (*node.outputs, *(body_input for body in _bodies(node) for body_input in body.inputs)):
            if value.name in taken:
                value.name = f"inner/{value.name}"
    for value in list(graph.initializers.values()):
        if value.name in taken:
            value.name = f"inner/{value.name}"


def _bodies(node: Any) -> list[Any]:
    import onnx_ir as ir

    return [item.as_graph() for item in node.attributes.values() if item.type == ir.AttributeType.GRAPH]


def _rename(values: Any, prefix: str, wanted: Sequence[Value]) -> None:
    """Put the values of a graph into the order of ``wanted`` and name and describe them so."""
    from export.onnx.builder import typed

    by_name = {str(value.name).partition(":")[0]: value for value in values}
    ordered = [by_name[f"{prefix}_{index}"] for index in range(len(wanted))]
    values[:] = ordered
    for value, described in zip(ordered, wanted, strict=True):
        value.name = described.name
        typed(value, Tensor(_traced_sizes(value, described), described.dtype))


def _traced_sizes(value: Any, described: Value) -> tuple[Dim, ...]:
    """The sizes TensorFlow found, else those Keras tells; of unequal directions it tells the wrong one."""
    if value.shape is None or len(value.shape) != len(described.shape):
        return described.shape
    return tuple(
        size if isinstance(size, int) and axis else told
        for axis, (size, told) in enumerate(zip(value.shape, described.shape, strict=True))
    )
