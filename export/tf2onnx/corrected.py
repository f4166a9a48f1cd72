"""TensorFlow's operators that tf2onnx 1.17 converts to something else, or not at all, converted here.

It divides integers as ONNX does, towards zero, where ``FloorDiv`` and ``FloorMod`` go towards minus infinity;
its ``OneHot`` counts negative integers from the end, where TensorFlow gives zeros; ``Erfc`` it does not know.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16)
INT64 = onnx.TensorProto.INT64


def erfc(context: Any, node: Any, name: str, _: Any) -> None:
    """``1 - erf(x)``, of which Keras makes gelu."""
    dtype = context.get_dtype(node.output[0])
    double = dtype == onnx.TensorProto.DOUBLE
    one = context.make_const(f"{name}/one", np.array(1, "float64" if double else "float32"))
    erf = context.make_node("Erf", [node.input[0]], dtypes=[dtype])
    _becomes(context, node, "Sub", [one.output[0], erf.output[0]])


def floor_div(context: Any, node: Any, name: str, _: Any) -> None:
    """The quotient towards minus infinity: of integers, what is left divides without a rest."""
    x, y = node.input
    dtype = context.get_dtype(x)
    if dtype in FLOATS:
        _becomes(context, node, "Floor", _computed(context, "Div", [x, y], dtype))
        return
    (rest,) = _computed(context, "Mod", [x, y], dtype)
    _becomes(context, node, "Div", [*_computed(context, "Sub", [x, rest], dtype), y])


def floor_mod(context: Any, node: Any, name: str, _: Any) -> None:
    """The rest with the sign of the divisor, which ONNX has for integers alone."""
    x, y = node.input
    dtype = context.get_dtype(x)
    if dtype not in FLOATS:
        _becomes(context, node, "Mod", [x, y])
        return
    quotient = _computed(context, "Floor", _computed(context, "Div", [x, y], dtype), dtype)
    _becomes(context, node, "Sub", [x, *_computed(context, "Mul", [*quotient, y], dtype)])


def one_hot(context: Any, node: Any, name: str, _: Any) -> None:
    """One number where the class is the integer, another elsewhere: there alone for one out of range."""
    indices, depth, on, off = node.input
    axis = int(node.get_attr_value("axis", -1))
    zero, one = (context.make_const(f"{name}/{n}", np.array(n, "int64")).output[0] for n in (0, 1))
    where = context.make_const(f"{name}/axis", np.array([axis], "int64")).output[0]
    (integers,) = _computed(context, "Cast", [indices], INT64, to=INT64)
    (wide,) = _computed(context, "Unsqueeze", [integers, where], INT64)
    count = _computed(context, "Cast", [depth], INT64, to=INT64)
    (classes,) = _computed(context, "Range", [zero, *count, one], INT64)
    behind = 0 if axis < 0 else len(context.get_shape(indices)) - axis
    if behind:
        axes = context.make_const(f"{name}/behind", np.arange(1, behind + 1)).output[0]
        (classes,) = _computed(context, "Unsqueeze", [classes, axes], INT64)
    (equal,) = _computed(context, "Equal", [wide, classes], onnx.TensorProto.BOOL)
    _becomes(context, node, "Where", [equal, on, off])


HANDLERS = {"Erfc": erfc, "FloorDiv": floor_div, "FloorMod": floor_mod, "OneHot": one_hot}
"""By TensorFlow's operator what tf2onnx is to call for it."""


def _computed(context: Any, operator: str, inputs: list[str], dtype: int, **attributes: Any) -> list[str]:
    """The output of a new node."""
    return list(context.make_node(operator, inputs, attr=attributes, dtypes=[dtype]).output)


def _becomes(context: Any, node: Any, operator: str, inputs: list[str]) -> None:
    """Let ``node`` be another operator of other inputs; what reads it goes on reading it."""
    node.type = operator
    for attribute in list(node.attr):
        del node.attr[attribute]
    context.replace_inputs(node, inputs)
