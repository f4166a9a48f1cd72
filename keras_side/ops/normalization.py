"""Keras' normalization layers <-> `ops.BatchNormalization` and the others of the family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from biport import ops
from biport.config import Config
from biport.errors import FileError, UnsupportedError, shown
from keras_side.masks import pass_mask
from keras_side.policies import dtype_name
from keras_side.records import LayerRecord, WrittenLayer, present
from keras_side.registry import reads, writes

STATISTICS = ("moving_mean", "moving_variance")
"""Variables of keras/src/layers/normalization/batch_normalization.py that training averages, in its order."""


def _affine_names(config: Config) -> list[str]:
    """The weights there are, in Keras' order."""
    scale, center = config.take("scale", bool), config.take("center", bool)
    return [name for name, there in (("gamma", scale), ("beta", center)) if there]


def _axes(config: Config) -> tuple[int, ...]:
    """One axis or several, in the order that Keras 3.15 sorts them into."""
    return tuple(sorted(_listed_axes(config)))


def _listed_axes(config: Config) -> tuple[int, ...]:
    axes = config.take("axis", (int, list, tuple), default=-1)
    return (axes,) if isinstance(axes, int) else tuple(axes)


def _sorted_sizes(array: np.ndarray | None, axes: Sequence[int]) -> np.ndarray | None:
    """A weight whose sizes are those of ``axes`` as listed, as Keras before 3.15 lays it over the input.

    It is reshaped, not transposed, to the sizes in the order of the axes (keras/src/ops/nn.py and
    tf_keras/src/layers/normalization/layer_normalization.py, ``_broadcast``).
    """
    if array is None or array.ndim != len(axes):
        return array
    return array.reshape([size for _, size in sorted(zip(axes, array.shape, strict=True))])


@reads("BatchNormalization", masks=pass_mask)
def read_batch_normalization(record: LayerRecord) -> ops.BatchNormalization:
    """Read a BatchNormalization; masks matter to it in training only."""
    with record.settings() as config:
        axis = config.take("axis", int, default=-1)
        momentum = config.take("momentum", (int, float), default=0.99)
        epsilon = config.take("epsilon", (int, float), default=1e-3)
        names = _affine_names(config)
        config.require(renorm=False)
        config.ignore("synchronized", "renorm_clipping", "renorm_momentum")
        config.ignore(*(f"{name}_initializer" for name in STATISTICS))
    arrays = record.variables.take([*names, *STATISTICS])
    return ops.BatchNormalization(
        size=len(arrays["moving_mean"]),
        axis=axis,
        epsilon=float(epsilon),
        momentum=float(momentum),
        weight=arrays.get("gamma"),
        bias=arrays.get("beta"),
        mean=arrays["moving_mean"],
        variance=arrays["moving_variance"],
    )


@writes(ops.BatchNormalization)
def write_batch_normalization(op: ops.BatchNormalization) -> WrittenLayer:
    """Write a BatchNormalization."""
    return WrittenLayer(
        class_name="BatchNormalization",
        config={
            "axis": op.axis,
            "momentum": op.momentum,
            "epsilon": op.epsilon,
            "scale": op.weight is not None,
            "center": op.bias is not None,
        },
        weights=present(op.weight, op.bias, op.mean, op.variance),
    )


@reads("LayerNormalization", masks=pass_mask)
def read_layer_normalization(record: LayerRecord) -> ops.LayerNormalization:
    """Read a LayerNormalization; with ``rms_scaling`` it has a gamma alone, whatever it says of both."""
    with record.settings() as config:
        axes = _listed_axes(config)
        epsilon = config.take("epsilon", (int, float), default=1e-3)
        names = _affine_names(config)
        rms_scaling = config.take("rms_scaling", bool, default=False)
    arrays = record.variables.take(["gamma"] if rms_scaling else names)
    try:
        return ops.LayerNormalization(
            axes=tuple(sorted(axes)),
            epsilon=float(epsilon),
            rms_scaling=rms_scaling,
            weight=_sorted_sizes(arrays.get("gamma"), axes),
            bias=_sorted_sizes(arrays.get("beta"), axes),
        )
    except UnsupportedError as problem:
        raise UnsupportedError(record.owner, "axis", sorted(axes), problem.supported) from problem


@writes(ops.LayerNormalization)
def write_layer_normalization(op: ops.LayerNormalization) -> WrittenLayer:
    """Write a LayerNormalization."""
    return WrittenLayer(
        class_name="LayerNormalization",
        config={
            "axis": list(op.axes),
            "epsilon": op.epsilon,
            "rms_scaling": op.rms_scaling,
            "scale": op.weight is not None,
            "center": op.bias is not None,
        },
        weights=present(op.weight, op.bias),
    )


@reads("UnitNormalization", masks=pass_mask)
def read_unit_normalization(record: LayerRecord) -> ops.UnitNormalization:
    """Read a UnitNormalization."""
    with record.settings() as config:
        axes = _axes(config)
    try:
        return ops.UnitNormalization(axes=axes)
    except UnsupportedError as problem:
        raise UnsupportedError(record.owner, "axis", list(axes), problem.supported) from problem


@writes(ops.UnitNormalization)
def write_unit_normalization(op: ops.UnitNormalization) -> WrittenLayer:
    """Write a UnitNormalization."""
    return WrittenLayer("UnitNormalization", {"axis": list(op.axes)})


@reads("RMSNormalization")
def read_rms_normalization(record: LayerRecord) -> ops.RMSNormalization:
    """Read an RMSNormalization, which ends the mask.

    Along other axes than the last Keras multiplies by weights of other axes, or cannot multiply
    (keras/src/ops/nn.py of 3.15, ``rms_normalization``).
    """
    with record.settings() as config:
        axes = _axes(config)
        epsilon = config.take("epsilon", (int, float), default=1e-6)
        rank = 0 if axes[0] < 0 else len(record.input_shape)
        if axes != tuple(range(rank - len(axes), rank)):
            config.refuse("axis", list(axes), "the last axes")
    return ops.RMSNormalization(epsilon=float(epsilon), weight=record.variables.take(["scale"])["scale"])


@writes(ops.RMSNormalization)
def write_rms_normalization(op: ops.RMSNormalization) -> WrittenLayer:
    """Write an RMSNormalization."""
    config = {"axis": list(op.axes), "epsilon": op.epsilon}
    return WrittenLayer("RMSNormalization", config, weights=[op.weight])


@reads("GroupNormalization", masks=pass_mask)
def read_group_normalization(record: LayerRecord) -> ops.GroupNormalization:
    """Read a GroupNormalization; -1 groups are as many as there are numbers of gamma and beta."""
    with record.settings() as config:
        axis = config.take("axis", int, default=-1)
        groups = config.take("groups", int, default=32)
        epsilon = config.take("epsilon", (int, float), default=1e-3)
        names = _affine_names(config)
        if groups == -1 and not names:
            config.refuse("groups", groups, "their number, where there is neither scale nor center")
    arrays = record.variables.take(names)
    size = next((len(array) for array in arrays.values()), groups)
    return ops.GroupNormalization(
        groups=size if groups == -1 else groups,
        axis=axis,
        epsilon=float(epsilon),
        weight=arrays.get("gamma"),
        bias=arrays.get("beta"),
    )


@writes(ops.GroupNormalization)
def write_group_normalization(op: ops.GroupNormalization) -> WrittenLayer:
    """Write a GroupNormalization."""
    return WrittenLayer(
        class_name="GroupNormalization",
        config={
            "groups": op.groups,
            "axis": op.axis,
            "epsilon": op.epsilon,
            "scale": op.weight is not None,
            "center": op.bias is not None,
        },
        weights=present(op.weight, op.bias),
    )


@reads("Normalization", masks=pass_mask)
def read_normalization(record: LayerRecord) -> ops.Normalization:
    """Read a Normalization, its statistics given as settings or adapted."""
    with record.settings() as config:
        axes = config.take("axis", (int, list, tuple, type(None)), default=-1)
        axes = () if axes is None else (axes,) if isinstance(axes, int) else tuple(sorted(axes))
        invert = config.take("invert", bool, default=False)
        given = [config.take(name, default=None) for name in ("mean", "variance")]
    if given[0] is None:
        # How many rows they were taken of matters to nothing.
        adapted = record.variables.take(["mean", "variance"], unread=["count"])
        mean, variance = adapted["mean"], adapted["variance"]
    else:
        mean, variance = (_constants(record, numbers) for numbers in given)
    try:
        return ops.Normalization(axes=axes, invert=invert, mean=mean, variance=variance)
    except UnsupportedError as problem:
        raise UnsupportedError(record.owner, "axis", list(axes), problem.supported) from problem


def _constants(record: LayerRecord, numbers: Any) -> np.ndarray:
    """Numbers of a configuration in the dtype of the layer.

    Keras makes float32 of Python's numbers whatever the dtype (keras/src/backend/tensorflow/core.py of 3.15,
    ``convert_to_tensor``), and keeps what a NumPy array holds, of which a file of a
    Normalization says nothing.

    Raises:
        FileError: they are no numbers.
    """
    stored = "float32"
    match numbers:
        case {"class_name": "__numpy__", "config": {"value": value, "dtype": str(kind)}}:
            numbers, stored = value, kind if kind in ops.FLOATS else stored
    try:
        array = np.asarray(numbers)
    except ValueError as error:
        raise FileError(f"{record.owner}: expected numbers, found {shown(numbers)}") from error
    if array.dtype.kind not in "iuf":
        raise FileError(f"{record.owner}: expected numbers, found {shown(numbers)}")
    dtype = "float64" if dtype_name(record.config.get("dtype")) == "float64" else "float32"
    return array.astype(stored).astype(dtype)


@writes(ops.Normalization)
def write_normalization(op: ops.Normalization) -> WrittenLayer:
    """Write a Normalization as an adapted one; statistics that are stretched are settings."""
    config: dict[str, Any] = {"axis": list(op.axes) or None, "invert": op.invert}
    if op.mean.ndim == len(op.axes) and 1 not in op.mean.shape:
        return WrittenLayer("Normalization", config, weights=[op.mean, op.variance, np.asarray(0, "int64")])
    return WrittenLayer("Normalization", config | {"mean": op.mean, "variance": op.variance})


@reads("Rescaling", masks=pass_mask)
def read_rescaling(record: LayerRecord) -> ops.Rescaling:
    """Read a Rescaling of numbers, or of lists of one for each feature."""
    with record.settings() as config:
        arrays = {name: _constants(record, config.take(name, default=0.0)) for name in ("scale", "offset")}
        for name, array in arrays.items():
            if array.ndim > 1:
                config.refuse(name, f"numbers of {array.ndim} axes", "a number, or a list of them")
    settings: dict[str, Any] = {name: _listed(array) for name, array in arrays.items()}
    return ops.Rescaling(**settings)


def _listed(array: np.ndarray) -> float | tuple[float, ...]:
    return tuple(array.tolist()) if array.ndim else float(array)


@writes(ops.Rescaling)
def write_rescaling(op: ops.Rescaling) -> WrittenLayer:
    """Write a Rescaling."""
    return WrittenLayer("Rescaling", {"scale": _exactly(op.scale), "offset": _exactly(op.offset)})


def _exactly(numbers: float | tuple[float, ...]) -> Any:
    """Numbers as Keras keeps them: those that float32 rounds it takes from NumPy alone."""
    array = np.asarray(numbers)
    if np.array_equal(array, array.astype("float32")):
        return list(numbers) if isinstance(numbers, tuple) else numbers
    return {"class_name": "__numpy__", "config": {"value": array.tolist(), "dtype": "float64"}}
