"""Operations of TensorFlow written as messages, in the words of the operations of Keras 3 that do the same.

Before Keras tensors, ``tf.keras`` recorded each operation of a graph as a ``TensorFlowOpLayer``: its
``NodeDef``, as text or as a mapping, and those of its inputs that are constants, by their places
(tensorflow/python/keras/engine/base_layer.py of TensorFlow 2.1). The nodes of a concrete function are the
same operations (`keras_side.recording.tensorflow_graph`).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from biport.errors import UnsupportedError
from keras_side.legacy.operations import Operation

Message = tuple[str, list[Any], dict[str, Any]]
"""The class of an operation of Keras 3, its arguments and its settings."""
Translate = Callable[[list[Any], Mapping[str, Any]], Message]
"""From the inputs, tensors and constants alike, and the attributes of a message."""

TYPES = {
    "DT_BOOL": "bool",
    "DT_DOUBLE": "float64",
    "DT_FLOAT": "float32",
    "DT_INT32": "int32",
    "DT_INT64": "int64",
}

ALIKE: Mapping[str, str] = {
    "Abs": "Absolute",
    "Acos": "Arccos",
    "Add": "tf.add",
    "AddV2": "tf.add",
    "Asin": "Arcsin",
    "Atan": "Arctan",
    "Atan2": "Arctan2",
    "BatchMatMul": "Matmul",
    "BiasAdd": "tf.add",
    "Ceil": "Ceil",
    "Cos": "Cos",
    "Cosh": "Cosh",
    "DivNoNan": "DivideNoNan",
    "Elu": "Elu",
    "Equal": "Equal",
    "Erf": "Erf",
    "Erfc": "tf.erfc",
    "Exp": "Exp",
    "Expm1": "Expm1",
    "Floor": "Floor",
    "FloorDiv": "FloorDivide",
    "FloorMod": "Mod",
    "Greater": "Greater",
    "GreaterEqual": "GreaterEqual",
    "Identity": "Copy",
    "IsFinite": "Isfinite",
    "IsInf": "Isinf",
    "IsNan": "Isnan",
    "Less": "Less",
    "LessEqual": "LessEqual",
    "Log": "Log",
    "Log1p": "Log1p",
    "LogSoftmax": "LogSoftmax",
    "LogicalAnd": "LogicalAnd",
    "LogicalNot": "LogicalNot",
    "LogicalOr": "LogicalOr",
    "Maximum": "Maximum",
    "Minimum": "Minimum",
    "Mul": "Multiply",
    "Neg": "Negative",
    "NotEqual": "NotEqual",
    "OnesLike": "OnesLike",
    "Pow": "Power",
    "RealDiv": "TrueDivide",
    "Reciprocal": "Reciprocal",
    "Relu": "Relu",
    "Relu6": "Relu6",
    "Rint": "Round",
    "Round": "Round",
    "Rsqrt": "Rsqrt",
    "Selu": "Selu",
    "Sigmoid": "Sigmoid",
    "Sign": "Sign",
    "Sin": "Sin",
    "Sinh": "Sinh",
    "Softmax": "Softmax",
    "Softplus": "Softplus",
    "Softsign": "Softsign",
    "Sqrt": "Sqrt",
    "Square": "Square",
    "SquaredDifference": "tf.squared_difference",
    "StopGradient": "Copy",
    "Sub": "Subtract",
    "Tan": "Tan",
    "Tanh": "Tanh",
    "ZerosLike": "ZerosLike",
}
"""Of the same inputs, and no attributes but dtypes."""

REDUCTIONS: Mapping[str, str] = {
    "All": "All",
    "Any": "Any",
    "Max": "Max",
    "Mean": "tf.mean",
    "Min": "Min",
    "Prod": "Prod",
    "Sum": "Sum",
}

NAMED: Mapping[str, tuple[str, Sequence[str]]] = {
    "ArgMax": ("tf.argmax", ("x", "axis")),
    "ArgMin": ("tf.argmin", ("x", "axis")),
    "AvgPool": ("tf.avg_pool", ("x",)),
    "AvgPool3D": ("tf.avg_pool", ("x",)),
    "BroadcastTo": ("tf.broadcast_to", ("x", "shape")),
    "ClipByValue": ("Clip", ("x", "x_min", "x_max")),
    "Conv2D": ("tf.conv", ("x", "kernel")),
    "Conv2DBackpropInput": ("tf.conv_transpose", ("shape", "kernel", "x")),
    "Conv3D": ("tf.conv", ("x", "kernel")),
    "Conv3DBackpropInputV2": ("tf.conv_transpose", ("shape", "kernel", "x")),
    "Cumsum": ("tf.cumsum", ("x", "axis")),
    "DepthwiseConv2dNative": ("tf.depthwise_conv", ("x", "kernel")),
    "ExpandDims": ("ExpandDims", ("x", "axis")),
    "Fill": ("tf.fill", ("dims", "value")),
    "FusedBatchNormV3": ("tf.batch_norm", ("x", "scale", "offset", "mean", "variance")),
    "GatherNd": ("tf.gather_nd", ("x", "indices")),
    "GatherV2": ("tf.gather", ("x", "indices", "axis")),
    "MatrixBandPart": ("tf.band_part", ("x", "lower", "upper")),
    "MatrixDiagPartV3": ("tf.diag_part", ("x", "k")),
    "MatrixDiagV3": ("tf.diag", ("x", "k", "rows", "columns")),
    "MatrixSetDiagV3": ("tf.set_diag", ("x", "diagonal", "k")),
    "MaxPool": ("tf.max_pool", ("x",)),
    "MaxPool3D": ("tf.max_pool", ("x",)),
    "MirrorPad": ("tf.pad", ("x", "pad_width")),
    "OneHot": ("OneHot", ("x", "num_classes", "on", "off")),
    "Pad": ("tf.pad", ("x", "pad_width")),
    "PadV2": ("tf.pad", ("x", "pad_width", "constant_values")),
    "Range": ("tf.range", ("start", "limit", "delta")),
    "Reshape": ("tf.reshape", ("x", "newshape")),
    "ResizeBilinear": ("tf.resize_bilinear", ("x", "size")),
    "ResizeNearestNeighbor": ("tf.resize_nearest", ("x", "size")),
    "ReverseSequence": ("tf.reverse_sequence", ("x", "lengths")),
    "ReverseV2": ("Flip", ("x", "axis")),
    "Roll": ("Roll", ("x", "shift", "axis")),
    "Select": ("Where", ("condition", "x1", "x2")),
    "SelectV2": ("Where", ("condition", "x1", "x2")),
    "Shape": ("tf.shape", ("x",)),
    "Size": ("tf.size", ("x",)),
    "Slice": ("tf.slice", ("x", "begin", "size")),
    "Tile": ("tf.tile", ("x", "multiples")),
    "TopKV2": ("TopK", ("x", "k")),
    "Transpose": ("tf.transpose", ("x", "axes")),
}
"""Of inputs that Keras 3 names, the tensors first."""

WINDOWS = {"padding": "padding", "strides": "strides"}
POOLS = {**WINDOWS, "ksize": "pool_size", "explicit_paddings": "explicit_paddings"}
CONVOLUTIONS = {**WINDOWS, "dilations": "dilation_rate", "explicit_paddings": "explicit_paddings"}
RESIZING = {"align_corners": "align_corners", "half_pixel_centers": "half_pixel_centers"}

ATTRIBUTES: Mapping[str, Mapping[str, str]] = {
    **dict.fromkeys(("AvgPool", "AvgPool3D", "MaxPool", "MaxPool3D"), POOLS),
    **dict.fromkeys(
        ("Conv2D", "Conv2DBackpropInput", "Conv3D", "Conv3DBackpropInputV2", "DepthwiseConv2dNative"),
        CONVOLUTIONS,
    ),
    "FusedBatchNormV3": {"epsilon": "epsilon", "is_training": "is_training"},
    **dict.fromkeys(("ResizeBilinear", "ResizeNearestNeighbor"), RESIZING),
    "ArgMax": {"output_type": "output_type"},
    "ArgMin": {"output_type": "output_type"},
    "BatchMatMulV2": {"adj_x": "transpose_a", "adj_y": "transpose_b"},
    "BatchMatMulV3": {"adj_x": "transpose_a", "adj_y": "transpose_b"},
    "Cast": {"DstT": "dtype"},
    "Cumsum": {"exclusive": "exclusive", "reverse": "reverse"},
    "Einsum": {"equation": "subscripts"},
    "Fill": {"T": "dtype"},
    "GatherV2": {"batch_dims": "batch_dims"},
    "LeakyRelu": {"alpha": "negative_slope"},
    "MatMul": {"transpose_a": "transpose_a", "transpose_b": "transpose_b"},
    "MirrorPad": {"mode": "mode"},
    "OneHot": {"T": "dtype", "axis": "axis"},
    "Pack": {"axis": "axis"},
    "Range": {"Tidx": "dtype"},
    "ReverseSequence": {"batch_dim": "batch_dim", "seq_dim": "seq_dim"},
    "Shape": {"out_type": "out_type"},
    "Size": {"out_type": "out_type"},
    "Squeeze": {"squeeze_dims": "axis"},
    "TopKV2": {"sorted": "sorted"},
    "Unpack": {"axis": "axis", "num": "num"},
}
"""What attributes are called in Keras 3."""

SAME_INPUTS: Mapping[str, str] = {
    "BatchMatMulV2": "tf.matmul",
    "BatchMatMulV3": "tf.matmul",
    "Cast": "Cast",
    "LeakyRelu": "LeakyRelu",
    "MatMul": "tf.matmul",
    "Squeeze": "Squeeze",
    "Unpack": "Unstack",
}
"""Of the same inputs, with `ATTRIBUTES`."""

OPERATIONS = sorted(
    {
        *ALIKE,
        *REDUCTIONS,
        *NAMED,
        *SAME_INPUTS,
        "AddN",
        "ConcatV2",
        "Einsum",
        "Pack",
        "Split",
        "SplitV",
        "StridedSlice",
    }
)
"""The operations that are read."""


def modern_message(owner: str, config: Mapping[str, Any], nodes: list[dict[str, Any]]) -> Operation:
    """A ``TensorFlowOpLayer`` as an operation of Keras 3.

    Raises:
        UnsupportedError: it is none that biport knows.
    """
    message = _message(config.get("node_def"))
    operation = message.get("op")
    if operation not in OPERATIONS:
        raise UnsupportedError(owner, "operation", operation, OPERATIONS)
    attributes = {name: _attribute(value) for name, value in (message.get("attr") or {}).items()}
    calls = [translated(owner, str(operation), attributes, _inputs(config, node)) for node in nodes]
    class_name = calls[0][0] if calls else ""
    return class_name, {}, [{"args": arguments, "kwargs": settings} for _, arguments, settings in calls]


def _message(node_def: object) -> Mapping[str, Any]:
    """The message, which is a mapping, or JSON in text."""
    if isinstance(node_def, str):
        try:
            node_def = json.loads(node_def)
        except ValueError:
            return {}
    return node_def if isinstance(node_def, Mapping) else {}


def _inputs(config: Mapping[str, Any], node: Mapping[str, Any]) -> list[Any]:
    """Tensors and constants in their places."""
    (first,) = node["args"]
    inputs = list(first) if isinstance(first, list) else [first]
    constants = config.get("constants")
    for position, constant in sorted((int(key), value) for key, value in (constants or {}).items()):
        inputs.insert(position, constant)
    return inputs


def _attribute(value: Any) -> Any:
    """What an attribute says, whatever it is said by (tensorflow/core/framework/attr_value.proto)."""
    match value:
        case {"list": Mapping() as inside}:
            return [_attribute({kind: item}) for kind, items in inside.items() for item in items]
        case {"i": number}:
            return int(number)
        case {"type": kind}:
            return TYPES.get(kind, kind)
        case {"f": number} | {"b": number}:
            return number
        case {"s": str(text)}:
            return base64.b64decode(text).decode()
    return value


def translated(owner: str, operation: str, attributes: Mapping[str, Any], inputs: list[Any]) -> Message:
    """One of `OPERATIONS` in the words of Keras 3.

    Args:
        owner: how errors call it.
        operation: its kind, ``"AddV2"``.
        attributes: by name; dtypes by theirs.
        inputs: tensors, numbers and lists of numbers, in the order of the operation's definition.

    Raises:
        UnsupportedError: its attributes say something that no operation of Keras 3 does.

    Example:
        >>> translated("x", "Sum", {"keep_dims": True}, ["tensor", [1]])
        ('Sum', ['tensor'], {'axis': [1], 'keepdims': True})
    """
    if attributes.get("data_format", "NHWC") not in ("NHWC", "NDHWC"):
        raise UnsupportedError(owner, "data_format", attributes["data_format"], "NHWC")
    named = {new: attributes[old] for old, new in ATTRIBUTES.get(operation, {}).items() if old in attributes}
    if operation in ALIKE:
        return ALIKE[operation], inputs, {}
    if operation in REDUCTIONS:
        return (
            REDUCTIONS[operation],
            inputs[:1],
            {"axis": inputs[1], "keepdims": attributes.get("keep_dims", False)},
        )
    if operation in SAME_INPUTS:
        if operation == "Squeeze" and not named.get("axis"):
            named = {}
        return SAME_INPUTS[operation], inputs, named
    if operation in NAMED:
        class_name, names = NAMED[operation]
        given = dict(zip(names, inputs, strict=False))
        if operation == "OneHot":
            _check_one_hot(owner, given)
        return class_name, [], {**given, **named}
    match operation:
        case "AddN":
            return "tf.add_n", [inputs], {}
        case "ConcatV2":
            # An empty list has no dtype.
            parts = [part for part in inputs[:-1] if part != []]
            return "Concatenate", [parts], {"axis": inputs[-1]}
        case "Einsum":
            return "Einsum", inputs, named
        case "Pack":
            return "Stack", [inputs], named
        case "Split":
            return "tf.split", inputs[1:], {"axis": inputs[0], "num_or_size_splits": attributes["num_split"]}
        case "SplitV":
            return "tf.split", inputs[:1], {"axis": inputs[2], "num_or_size_splits": inputs[1]}
    return _strided(inputs, attributes)


def _check_one_hot(owner: str, given: dict[str, Any]) -> None:
    values = given.pop("on", 1), given.pop("off", 0)
    if values != (1, 0):
        raise UnsupportedError(owner, "on_value and off_value", values, "1 and 0")


def _strided(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Message:
    """A ``StridedSlice``: bits say what the numbers of a place mean.

    Source:
        tensorflow/core/ops/array_ops.cc of 2.15, ``StridedSlice``.
    """
    x, begin, end, strides = inputs
    masks = {name: int(attributes.get(f"{name}_mask", 0)) for name in MASKS}
    if not all(isinstance(bounds, list) for bounds in (begin, end, strides)):
        bits = {f"{name}_mask": mask for name, mask in masks.items()}
        return "tf.strided_slice", [x], {"begin": begin, "end": end, "strides": strides, **bits}
    key: list[Any] = []
    for position, bounds in enumerate(zip(begin, end, strides, strict=True)):
        bit = {name: mask >> position & 1 for name, mask in masks.items()}
        start, stop = (None if bit["begin"] else bounds[0]), (None if bit["end"] else bounds[1])
        if bit["ellipsis"]:
            key.append({"class_name": "__ellipsis__", "config": {}})
        elif bit["new_axis"]:
            key.append(None)
        elif bit["shrink_axis"]:
            key.append(bounds[0])
        else:
            step = None if bounds[2] == 1 else bounds[2]
            key.append({"class_name": "__slice__", "config": {"start": start, "stop": stop, "step": step}})
    return "GetItem", [x, key], {}


MASKS = ("begin", "ellipsis", "end", "new_axis", "shrink_axis")
