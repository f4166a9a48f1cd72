"""Operations of TensorFlow as nodes of a model, in the words of the operations of Keras 3 that do the same.

``tf.keras`` records a call of TensorFlow as a layer: since 2.4 a ``TFOpLambda`` with the name of a function,
or a ``SlicingOpLambda`` (keras/layers/core/tf_op_layer.py of 2.15), before as a ``TensorFlowOpLayer`` with
the operation as a message (`keras_side.legacy.messages`). What TensorFlow means otherwise than Keras 3 has
readers of its own, ``tf.split`` and the like (`keras_side.operations.tensorflow`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from biport.errors import UnsupportedError
from keras_side.records import MODELS

UNTRAINABLE = (*MODELS, "InputLayer", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D")
"""Layers that do not say whether they are trainable, as all others do (keras/src/layers of 3.15)."""


@dataclass(frozen=True)
class Rule:
    """What a function of TensorFlow is called in Keras 3.

    Args:
        class_name: of the operation.
        names: of arguments and settings that are called something else; others keep their names.
        defaults: settings that are others than those of Keras 3 where nothing is said.
    """

    class_name: str
    names: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)


TWO = {"y": "x2"}
OF_TWO = {
    "__operators__.add": "tf.add",
    "__operators__.eq": "Equal",
    "__operators__.ne": "NotEqual",
    "add": "tf.add",
    "compat.v1.floor_div": "FloorDivide",
    "divide": "Divide",
    "equal": "Equal",
    "greater": "Greater",
    "greater_equal": "GreaterEqual",
    "less": "Less",
    "less_equal": "LessEqual",
    "logical_and": "LogicalAnd",
    "logical_or": "LogicalOr",
    "math.add": "tf.add",
    "math.atan2": "Arctan2",
    "math.divide": "Divide",
    "math.divide_no_nan": "DivideNoNan",
    "math.equal": "Equal",
    "math.floordiv": "FloorDivide",
    "math.floormod": "Mod",
    "math.greater": "Greater",
    "math.greater_equal": "GreaterEqual",
    "math.less": "Less",
    "math.less_equal": "LessEqual",
    "math.logical_and": "LogicalAnd",
    "math.logical_or": "LogicalOr",
    "math.logical_xor": "LogicalXor",
    "math.maximum": "Maximum",
    "math.minimum": "Minimum",
    "math.multiply": "Multiply",
    "math.not_equal": "NotEqual",
    "math.pow": "Power",
    "math.squared_difference": "tf.squared_difference",
    "math.subtract": "Subtract",
    "math.truediv": "TrueDivide",
    "maximum": "Maximum",
    "minimum": "Minimum",
    "multiply": "Multiply",
    "not_equal": "NotEqual",
    "pow": "Power",
    "subtract": "Subtract",
    "truediv": "TrueDivide",
}
OF_ONE = {
    "abs": "Absolute",
    "exp": "Exp",
    "identity": "Copy",
    "logical_not": "LogicalNot",
    "math.abs": "Absolute",
    "math.acos": "Arccos",
    "math.asin": "Arcsin",
    "math.atan": "Arctan",
    "math.ceil": "Ceil",
    "math.cos": "Cos",
    "math.cosh": "Cosh",
    "math.erf": "Erf",
    "math.exp": "Exp",
    "math.expm1": "Expm1",
    "math.floor": "Floor",
    "math.is_finite": "Isfinite",
    "math.is_inf": "Isinf",
    "math.is_nan": "Isnan",
    "math.log": "Log",
    "math.log1p": "Log1p",
    "math.log_sigmoid": "LogSigmoid",
    "math.logical_not": "LogicalNot",
    "math.negative": "Negative",
    "math.reciprocal": "Reciprocal",
    "math.round": "Round",
    "math.rsqrt": "Rsqrt",
    "math.sigmoid": "Sigmoid",
    "math.sign": "Sign",
    "math.sin": "Sin",
    "math.sinh": "Sinh",
    "math.softplus": "Softplus",
    "math.softsign": "Softsign",
    "math.sqrt": "Sqrt",
    "math.square": "Square",
    "math.tan": "Tan",
    "math.tanh": "Tanh",
    "negative": "Negative",
    "nn.elu": "Elu",
    "nn.relu": "Relu",
    "nn.relu6": "Relu6",
    "nn.selu": "Selu",
    "nn.sigmoid": "Sigmoid",
    "nn.silu": "Silu",
    "nn.softplus": "Softplus",
    "nn.softsign": "Softsign",
    "nn.swish": "Silu",
    "nn.tanh": "Tanh",
    "ones_like": "OnesLike",
    "round": "Round",
    "shape": "tf.shape",
    "sigmoid": "Sigmoid",
    "sign": "Sign",
    "sqrt": "Sqrt",
    "square": "Square",
    "stop_gradient": "Copy",
    "tanh": "Tanh",
    "zeros_like": "ZerosLike",
}
REDUCTIONS = {
    "all": "All",
    "any": "Any",
    "logsumexp": "Logsumexp",
    "max": "Max",
    "mean": "tf.mean",
    "min": "Min",
    "prod": "Prod",
    "std": "Std",
    "sum": "Sum",
    "variance": "Var",
}
MATMUL = Rule("tf.matmul", {"a": "x1", "b": "x2"})
SOFTMAX = {"logits": "x"}

FUNCTIONS: Mapping[str, Rule] = {
    **{name: Rule(class_name, TWO) for name, class_name in OF_TWO.items()},
    **{name: Rule(class_name) for name, class_name in OF_ONE.items()},
    **{f"{module}reduce_{name}": Rule(cls) for name, cls in REDUCTIONS.items() for module in ("", "math.")},
    "argmax": Rule("tf.argmax"),
    "argmin": Rule("tf.argmin"),
    "broadcast_to": Rule("tf.broadcast_to"),
    "cast": Rule("Cast"),
    "clip_by_value": Rule("Clip", {"clip_value_min": "x_min", "clip_value_max": "x_max"}),
    "compat.v1.gather": Rule("tf.gather"),
    "compat.v1.gather_nd": Rule("tf.gather_nd"),
    "compat.v1.norm": Rule("tf.norm"),
    "compat.v1.pad": Rule("tf.pad", {"paddings": "pad_width"}),
    "compat.v1.shape": Rule("tf.shape"),
    "compat.v1.size": Rule("tf.size"),
    "compat.v1.squeeze": Rule("Squeeze"),
    "compat.v1.transpose": Rule("tf.transpose", {"perm": "axes"}),
    "concat": Rule("Concatenate"),
    "expand_dims": Rule("ExpandDims"),
    "fill": Rule("tf.fill"),
    "gather": Rule("tf.gather"),
    "linalg.band_part": Rule("tf.band_part", {"num_lower": "lower", "num_upper": "upper"}),
    "linalg.diag": Rule("tf.diag"),
    "linalg.diag_part": Rule("tf.diag_part"),
    "linalg.matmul": MATMUL,
    "linalg.norm": Rule("tf.norm"),
    "linalg.set_diag": Rule("tf.set_diag"),
    "math.add_n": Rule("tf.add_n"),
    "math.argmax": Rule("tf.argmax"),
    "math.argmin": Rule("tf.argmin"),
    "math.cumsum": Rule("tf.cumsum"),
    "math.erfc": Rule("tf.erfc"),
    "math.l2_normalize": Rule("tf.l2_normalize"),
    "math.top_k": Rule("TopK"),
    "matmul": MATMUL,
    "nn.bias_add": Rule("tf.add", {"bias": "x2"}),
    "nn.gelu": Rule("Gelu", defaults={"approximate": False}),
    "nn.l2_normalize": Rule("tf.l2_normalize"),
    "nn.leaky_relu": Rule("LeakyRelu", {"alpha": "negative_slope"}),
    "nn.log_softmax": Rule("LogSoftmax", SOFTMAX),
    "nn.softmax": Rule("Softmax", SOFTMAX),
    "nn.top_k": Rule("TopK"),
    "norm": Rule("tf.norm"),
    "one_hot": Rule("OneHot", {"depth": "num_classes"}),
    "pad": Rule("tf.pad", {"paddings": "pad_width"}),
    "range": Rule("tf.range"),
    "repeat": Rule("Repeat"),
    "reshape": Rule("tf.reshape", {"shape": "newshape"}),
    "reverse": Rule("Flip"),
    "reverse_sequence": Rule(
        "tf.reverse_sequence", {"seq_lengths": "lengths", "seq_axis": "seq_dim", "batch_axis": "batch_dim"}
    ),
    "roll": Rule("Roll"),
    "slice": Rule("tf.slice"),
    "split": Rule("tf.split"),
    "squeeze": Rule("Squeeze"),
    "stack": Rule("Stack"),
    "tensordot": Rule("Tensordot", {"a": "x1", "b": "x2"}),
    "tile": Rule("tf.tile"),
    "transpose": Rule("tf.transpose", {"perm": "axes"}),
    "unstack": Rule("Unstack"),
    "where": Rule("Where", {"x": "x1", "y": "x2"}),
    "ones": Rule("tf.ones"),
    "zeros": Rule("tf.zeros"),
}
"""By the name that a ``TFOpLambda`` has."""

SLICES = "__operators__.getitem"
"""The name that a ``SlicingOpLambda`` has."""


def is_operation(class_name: str, config: Mapping[str, Any]) -> bool:
    """Whether an entry of a functional model in an HDF5 file of Keras 3, which names no module, is no layer.

    Many a layer and an operation have one name: ``Reshape``, ``Softmax``, ``Add``.
    """
    return "trainable" not in config and class_name not in UNTRAINABLE


Operation = tuple[str, dict[str, Any], list[dict[str, Any]]]
"""The class of an operation of Keras 3, its settings and its calls."""


def modern_function(owner: str, config: Mapping[str, Any], nodes: list[dict[str, Any]]) -> Operation:
    """A ``TFOpLambda`` or ``SlicingOpLambda`` as an operation of Keras 3.

    Raises:
        UnsupportedError: it is none that biport knows.
    """
    function = config.get("function")
    if function == SLICES:
        return "GetItem", {}, [_sliced(owner, node) for node in nodes]
    rule = FUNCTIONS.get(function) if isinstance(function, str) else None
    if rule is None:
        raise UnsupportedError(owner, "function", function, sorted((*FUNCTIONS, SLICES)))
    return rule.class_name, dict(rule.defaults), [_call(rule, node) for node in nodes]


def _call(rule: Rule, node: dict[str, Any]) -> dict[str, Any]:
    """A call in the words of Keras 3; a name for the operation says nothing."""
    arguments = {key: value for key, value in node["kwargs"].items() if key != "name"}
    return {
        "args": node["args"],
        "kwargs": {rule.names.get(key, key): value for key, value in arguments.items()},
    }


def _sliced(owner: str, node: dict[str, Any]) -> dict[str, Any]:
    key = node["kwargs"].get("slice_spec")
    items = key if isinstance(key, list) else [key]
    return {"args": [*node["args"], [_index(item) for item in items]], "kwargs": {}}


def _index(item: Any) -> Any:
    """A slice or an ellipsis as Keras 3 writes it."""
    match item:
        case {"start": start, "stop": stop, "step": step}:
            return {"class_name": "__slice__", "config": {"start": start, "stop": stop, "step": step}}
        case {"class_name": "__ellipsis__"}:
            return {"class_name": "__ellipsis__", "config": {}}
    return item
