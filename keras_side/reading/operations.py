"""Operations between layers, such as ``a + b`` or ``keras.ops.relu(x)``, as the ops that do the same.

Unlike the layers of their names they take no masks and hand none on. An operation is read by the function
registered for its class; what that refuses names the operation, the setting and what could be in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from biport import ops
from biport.errors import UnsupportedError
from biport.ops import Op
from biport.registry import Registry

Shape = Sequence[int | None]


@dataclass(frozen=True)
class OperationCall:
    """An operation and what it was recorded with.

    Args:
        class_name: such as ``"Reshape"``.
        owner: how errors call it.
        config: its settings.
        shapes: of the tensors it reads, N included, where the file says them.
    """

    class_name: str
    owner: str
    config: Mapping[str, Any]
    shapes: Sequence[Shape | None]

    def refusal(self, setting: str, value: Any, supported: str) -> UnsupportedError:
        """Why this call cannot be read."""
        return UnsupportedError(self.owner, setting, value, supported)


DATA_OPERATIONS: Registry[str, Callable[[OperationCall], Op]] = Registry("operation")

MERGES: Mapping[str, type[Op]] = {
    "Add": ops.Add,
    "Maximum": ops.Maximum,
    "Minimum": ops.Minimum,
    "Multiply": ops.Multiply,
    "Subtract": ops.Subtract,
}
"""Of two tensors (keras/src/ops/numpy.py)."""

ACTIVATIONS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "Celu": ("celu", {"alpha": 1.0}),
    "Exp": ("exponential", {}),
    "Gelu": ("gelu", {"approximate": False}),
    "HardShrink": ("hard_shrink", {"threshold": 0.5}),
    "HardSigmoid": ("hard_sigmoid", {}),
    "HardSilu": ("hard_silu", {}),
    "HardTanh": ("hard_tanh", {}),
    "LogSigmoid": ("log_sigmoid", {}),
    "LogSoftmax": ("log_softmax", {"axis": -1}),
    "Mish": ("mish", {}),
    "Relu": ("relu", {}),
    "Relu6": ("relu6", {}),
    "Selu": ("selu", {}),
    "Sigmoid": ("sigmoid", {}),
    "Silu": ("silu", {}),
    "SoftShrink": ("soft_shrink", {"threshold": 0.5}),
    "Softplus": ("softplus", {}),
    "Softsign": ("softsign", {}),
    "SparsePlus": ("sparse_plus", {}),
    "SparseSigmoid": ("sparse_sigmoid", {}),
    "Squareplus": ("squareplus", {"b": 4}),
    "Tanh": ("tanh", {}),
    "TanhShrink": ("tanh_shrink", {}),
}
"""Of one tensor, and the one value of each of their settings (keras/src/ops/nn.py and ops/numpy.py)."""

IDENTITIES: Mapping[str, bool] = {
    "Cast": True,
    "Conjugate": True,
    "ConvertToTensor": True,
    "Copy": False,
    "Real": True,
    "StopGradient": False,
}
"""Operations that change nothing at inference, and whether they give the very tensor, mask and all."""

SLOPES: Mapping[str, tuple[type[Op], str]] = {
    "Elu": (ops.ELU, "alpha"),
    "LeakyRelu": (ops.LeakyReLU, "negative_slope"),
}
"""Of one tensor, with one number."""

OPS: tuple[type[Op], ...] = (
    *MERGES.values(),
    *(kind for kind, _ in SLOPES.values()),
    *(ops.Activation, ops.Concatenate, ops.Flip, ops.Identity),
    *(ops.ReLU, ops.Reshape, ops.Softmax, ops.ToIds),
)
"""What operations are read as."""


def read_operation(call: OperationCall) -> Op:
    """The op that does the same.

    Raises:
        UnsupportedError: there is none.
    """
    if call.class_name not in DATA_OPERATIONS:
        raise unsupported_operation(call.owner, call.class_name)
    return DATA_OPERATIONS.lookup(call.class_name, call.owner)(call)


LAYERS_INSTEAD: Mapping[str, str] = {
    "ExpandDims": "a Reshape",
    "GetItem": "a Cropping1D, or a recurrent layer that gives its last step alone",
    "Matmul": "a Dot of two tensors, or a Dense",
    "Max": "a GlobalMaxPooling1D over the steps",
    "Mean": "a GlobalAveragePooling1D over the steps",
    "Squeeze": "a Reshape",
    "Transpose": "a Permute",
}
"""Layers that do what some operations do."""


def unsupported_operation(owner: str, class_name: str) -> UnsupportedError:
    """Why no operation of this class is read."""
    instead = LAYERS_INSTEAD.get(class_name) or DATA_OPERATIONS.supported()
    return UnsupportedError(owner, DATA_OPERATIONS.purpose, class_name, instead)


def declared_shape(tensor: object) -> Shape | None:
    """The shape that a serialised tensor says it has."""
    match tensor:
        case {"config": {"shape": list(shape)}}:
            return shape
    return None


def _check_count(call: OperationCall, count: int) -> None:
    if len(call.shapes) != count:
        raise call.refusal("inputs", len(call.shapes), f"{count}")


@DATA_OPERATIONS.register(*MERGES)
def _merge(call: OperationCall) -> Op:
    _check_count(call, 2)
    return MERGES[call.class_name]()


@DATA_OPERATIONS.register(*ACTIVATIONS)
def _activation(call: OperationCall) -> Op:
    _check_count(call, 1)
    function, settings = ACTIVATIONS[call.class_name]
    for key, wanted in settings.items():
        value = call.config.get(key, wanted)
        if value != wanted:
            raise call.refusal(key, value, repr(wanted))
    return ops.Activation(function=function)


@DATA_OPERATIONS.register(*IDENTITIES)
def _identity(call: OperationCall) -> Op:
    _check_count(call, 1)
    return ops.Identity()


@DATA_OPERATIONS.register(*SLOPES)
def _slope(call: OperationCall) -> Op:
    _check_count(call, 1)
    kind, setting = SLOPES[call.class_name]
    return kind(**{setting: _number(call, setting)})


@DATA_OPERATIONS.register("ReLU")
def _relu(call: OperationCall) -> Op:
    """``keras.activations.relu`` (keras/src/activations/activations.py)."""
    _check_count(call, 1)
    limit = None if call.config.get("max_value") is None else _number(call, "max_value")
    slope, threshold = _number(call, "negative_slope", 0.0), _number(call, "threshold", 0.0)
    return ops.ReLU(max_value=limit, negative_slope=slope, threshold=threshold)


def _number(call: OperationCall, setting: str, default: float | None = None) -> float:
    value = call.config.get(setting, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise call.refusal(setting, value, "a number")
    return float(value)


@DATA_OPERATIONS.register("Softmax")
def _softmax(call: OperationCall) -> Op:
    _check_count(call, 1)
    axis = call.config.get("axis", -1)
    if axis in (-1, None):
        return ops.Activation(function="softmax")
    if not isinstance(axis, int) or axis == 0:
        raise call.refusal("axis", axis, "one axis, not the batch")
    return ops.Softmax(axis=axis)


@DATA_OPERATIONS.register("Concatenate")
def _concatenate(call: OperationCall) -> Op:
    axis = call.config.get("axis", -1)
    if not isinstance(axis, int):
        raise call.refusal("axis", axis, "one axis")
    if len(call.shapes) < 2:
        raise call.refusal("inputs", len(call.shapes), "two or more")
    return ops.Concatenate(axis=axis)


@DATA_OPERATIONS.register("Flip")
def _flip(call: OperationCall) -> Op:
    _check_count(call, 1)
    axis = call.config.get("axis")
    if axis not in (1, [1], (1,)):
        raise call.refusal("axis", axis, "1: the steps")
    return ops.Flip()


@DATA_OPERATIONS.register("Reshape")
def _reshape(call: OperationCall) -> Op:
    """Row by row where the size of a row is known and stays what it is, so that -1 in front is N."""
    _check_count(call, 1)
    match call.config.get("newshape"), call.shapes[0]:
        case [-1, *sizes], [_, *own] if _row(sizes) is not None and _row(sizes) == _row(own):
            return ops.Reshape(target_shape=tuple(sizes))
    raise call.refusal(
        "newshape",
        call.config.get("newshape"),
        "-1 for N in front of known sizes of a row, or a Reshape",
    )


def _row(sizes: Sequence[Any]) -> int | None:
    """How many numbers a row of these sizes has; ``None`` where one is not known."""
    product = 1
    for size in sizes:
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            return None
        product *= size
    return product
