"""Operations without inputs <-> the registered layers that Keras lacks for them, see `keras_side.layers`."""

from __future__ import annotations

from typing import Any, TypeGuard

from biport import ops
from biport.errors import FileError, GraphError, WeightError
from biport.ops import Op
from keras_side.records import LayerRecord, WrittenLayer, WrittenOperation
from keras_side.registered import decoded
from keras_side.registry import Taken, reads, writes

SIZED: tuple[type[Op], ...] = (
    ops.Arange,
    ops.BroadcastTo,
    ops.Constant,
    ops.Full,
    ops.Pad,
    ops.ReshapeTo,
    ops.SizeOf,
    ops.Slice,
    ops.Tile,
)
"""What a ``biport>TensorOperation`` may be: ops that have no inputs, or sizes among their settings."""


def taken(record: LayerRecord) -> Taken:
    """Which of the tensors that a ``biport>TensorOperation`` is called with its op reads.

    Raises:
        FileError: its configuration does not say.
    """
    count, letters = record.config.get("takes"), record.config.get("letters")
    if not _is_count(count) or not isinstance(letters, dict) or not all(map(_is_axis, letters.values())):
        raise FileError(f"{record.owner}: takes and letters do not say which tensors it reads")
    return Taken(count, {name: (at, axis) for name, (at, axis) in letters.items()})


def _is_count(number: object) -> TypeGuard[int]:
    return type(number) is int and number >= 0


def _is_axis(pair: object) -> bool:
    return isinstance(pair, list | tuple) and len(pair) == 2 and all(map(_is_count, pair))


@reads({"TensorOperation": ops.Constant}, taken=taken)
def read_tensor_operation(record: LayerRecord) -> Op:
    """Read an op by its settings; the letters of its sizes are those it was written with.

    Raises:
        FileError: there is no such op, or it does not have such settings.
    """
    with record.settings() as config:
        config.ignore("takes", "letters")
        kind, settings, arrays = (config.take(name) for name in ("kind", "settings", "arrays"))
    known = {op.__name__: op for op in SIZED}
    if kind not in known:
        raise FileError(f"{record.owner}: kind should be one of {sorted(known)}, found {kind!r}")
    try:
        return known[kind].build(settings, {path: decoded(data) for path, data in arrays.items()})
    except (GraphError, WeightError) as error:
        raise FileError(f"{record.owner}: {error}") from error


def no_tensor(record: LayerRecord) -> Taken:
    """A parameter reads nothing."""
    return Taken(0, {})


@reads("Parameter", taken=no_tensor)
def read_parameter(record: LayerRecord) -> ops.Parameter:
    """Read a ``biport>Parameter``; the weight has its shape of itself."""
    trainable = record.config.get("trainable", True)
    with record.settings() as config:
        config.ignore("shape")
    return ops.Parameter(value=record.variables.take(["value"])["value"], trainable=bool(trainable))


@writes(ops.Parameter)
def write_parameter(op: ops.Parameter) -> WrittenLayer:
    """Write the layer that holds the weight."""
    config = {"shape": list(op.value.shape), "trainable": op.trainable}
    return WrittenLayer(class_name="Parameter", config=config, weights=[op.value])


@writes(ops.Constant)
def write_constant(op: ops.Constant) -> WrittenOperation:
    """Write the array."""

    def apply(keras: Any) -> Any:
        return keras.ops.convert_to_tensor(op.value)

    return WrittenOperation(apply)


@writes(ops.Arange)
def write_arange(op: ops.Arange) -> WrittenOperation:
    """Write ``keras.ops.arange``."""

    def apply(keras: Any, dims: Any) -> Any:
        start, stop = dims
        return keras.ops.cast(keras.ops.arange(start, stop, op.step, dtype="int64"), op.output_dtype)

    return WrittenOperation(apply, op.ends)


@writes(ops.Full)
def write_full(op: ops.Full) -> WrittenOperation:
    """Write ``keras.ops.full``."""

    def apply(keras: Any, dims: Any = ()) -> Any:
        return keras.ops.full(tuple(dims), op.value, dtype=op.output_dtype)

    return WrittenOperation(apply, op.shape)


@writes(ops.SizeOf)
def write_size_of(op: ops.SizeOf) -> WrittenOperation:
    """Write the size as a tensor."""

    def apply(keras: Any, dims: Any) -> Any:
        return keras.ops.cast(dims[0], op.output_dtype)

    return WrittenOperation(apply, (op.size,))
