"""Operations of TensorFlow that no graph of biport computes, what to use, and the lines that call them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from biport.errors import UnsupportedError
from keras_side.legacy.messages import OPERATIONS
from keras_side.recording.fault import user_line

CHANGES = ("Assign", "ResourceApply", "ResourceScatter", "ResourceStridedSliceAssign", "Scatter")
"""How the names of operations begin that change a variable."""

BOTH = "where, of both results: a graph computes the same for all values"
ALL_STEPS = "the layer RNN around a cell, or operations on all steps at once"
DILATED = "the layers Conv1D and DepthwiseConv2D with a dilation_rate"
LOOKUP = "the layers StringLookup and IntegerLookup"
NOISE = "the layers Dropout and GaussianNoise, which give their input when a model is used"
PYTHON = "functions of TensorFlow or keras.ops in place of Python"

INSTEAD: Mapping[str, str] = {
    "BatchToSpace": DILATED,
    "Case": BOTH,
    "Conv": "the layers Conv1D, Conv2D and Conv3D",
    "EagerPyFunc": PYTHON,
    "FusedBatchNorm": "the layer BatchNormalization",
    "HashTable": LOOKUP,
    "If": BOTH,
    "LookupTable": LOOKUP,
    "MaxPool": "the layers MaxPooling1D, MaxPooling2D and MaxPooling3D",
    "Multinomial": NOISE,
    "PyFunc": PYTHON,
    "Random": NOISE,
    "SpaceToBatch": DILATED,
    "StatelessCase": BOTH,
    "StatelessIf": BOTH,
    "StatelessRandom": NOISE,
    "StatelessWhile": ALL_STEPS,
    "TensorList": ALL_STEPS,
    "TruncatedNormal": NOISE,
    "Where": "where with three arguments: a graph knows how many elements there are",
    "While": ALL_STEPS,
}
"""What does the same, or what an operation is there for, by how its name begins."""


CONTROL_FLOW: Mapping[str, str] = {
    "AssociativeScan": ALL_STEPS,
    "Cond": BOTH,
    "ForiLoop": ALL_STEPS,
    "Map": ALL_STEPS,
    "Scan": ALL_STEPS,
    "Switch": BOTH,
    "VectorizedMap": ALL_STEPS,
    "WhileLoop": ALL_STEPS,
}
"""Operations of ``keras.ops`` that take functions, by class, and what does the same."""


def refuse_control_flow(owner: str, operation: Any, name: str) -> None:
    """Refuse an operation of Keras that calls functions as the values say.

    Raises:
        UnsupportedError: it is one.
    """
    if type(operation).__module__.startswith("keras.src.ops.") and type(operation).__name__ in CONTROL_FLOW:
        supported = CONTROL_FLOW[type(operation).__name__]
        raise UnsupportedError(owner, "operation", f"keras.ops.{name}", supported)


def changes_state(op: Any) -> bool:
    """Whether an operation changes a variable."""
    return op.type.startswith(CHANGES) and op.op_def.is_stateful


def unsupported(owner: str, op: Any) -> UnsupportedError:
    """Why an operation is not read, with the line of the user's code that called it."""
    line = user_line(op.traceback)
    value = f"{op.type} in {line}" if line else op.type
    if changes_state(op):
        supported = "calls that leave the variables of the layer as they are"
        return UnsupportedError(owner, "operation", value, supported)
    instead = [INSTEAD[name] for name in sorted(INSTEAD, reverse=True) if op.type.startswith(name)]
    return UnsupportedError(owner, "operation", value, instead[0] if instead else OPERATIONS)
