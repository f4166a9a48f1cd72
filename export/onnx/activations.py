"""Activations as ONNX nodes, by their Keras names.

Made of operators as old as opset 14, in float32. None overflows where its result does not: onnxruntime's
Softplus and Sigmoid are safe at both ends, and everything else is built on them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir as ir

from export.onnx.builder import Scope


def _number(value: float) -> np.ndarray:
    return np.asarray(value, "float32")


def _gelu(scope: Scope, x: ir.Value) -> ir.Value:
    """``x (1 + erf(x / √2)) / 2``."""
    erf = scope("Erf", scope("Mul", x, _number(0.5**0.5)))
    return scope("Mul", scope("Mul", x, _number(0.5)), scope("Add", erf, _number(1)))


def _mish(scope: Scope, x: ir.Value) -> ir.Value:
    return scope("Mul", x, scope("Tanh", scope("Softplus", x)))


def _sparse_plus(scope: Scope, x: ir.Value) -> ir.Value:
    """A parabola from -1 to 1, ``x`` above."""
    bent = scope("Add", scope("Clip", x, _number(-1), _number(1)), _number(1))
    bent = scope("Mul", scope("Mul", bent, bent), _number(0.25))
    return scope("Where", scope("Greater", x, _number(1)), x, bent)


def _squareplus(scope: Scope, x: ir.Value) -> ir.Value:
    """``(x + √(x² + 4)) / 2``."""
    root = scope("Sqrt", scope("Add", scope("Mul", x, x), _number(4)))
    return scope("Mul", scope("Add", x, root), _number(0.5))


ELEMENTWISE: dict[str, Callable[[Scope, ir.Value], ir.Value]] = {
    "celu": lambda scope, x: scope("Elu", x),
    "elu": lambda scope, x: scope("Elu", x),
    "exponential": lambda scope, x: scope("Exp", x),
    "gelu": _gelu,
    "hard_shrink": lambda scope, x: scope("Shrink", x, lambd=0.5),
    "hard_sigmoid": lambda scope, x: scope("HardSigmoid", x, alpha=1 / 6, beta=0.5),
    "hard_sigmoid_keras2": lambda scope, x: scope("HardSigmoid", x),
    "hard_silu": lambda scope, x: scope("Mul", x, scope("HardSigmoid", x, alpha=1 / 6, beta=0.5)),
    "hard_tanh": lambda scope, x: scope("Clip", x, _number(-1), _number(1)),
    "leaky_relu": lambda scope, x: scope("LeakyRelu", x, alpha=0.2),
    "linear": lambda scope, x: x,
    "log_sigmoid": lambda scope, x: scope("Neg", scope("Softplus", scope("Neg", x))),
    "mish": _mish,
    "relu": lambda scope, x: scope("Relu", x),
    "relu6": lambda scope, x: scope("Clip", x, _number(0), _number(6)),
    "selu": lambda scope, x: scope("Selu", x),
    "sigmoid": lambda scope, x: scope("Sigmoid", x),
    "silu": lambda scope, x: scope("Mul", x, scope("Sigmoid", x)),
    "soft_shrink": lambda scope, x: scope("Shrink", x, lambd=0.5, bias=0.5),
    "softplus": lambda scope, x: scope("Softplus", x),
    "softsign": lambda scope, x: scope("Softsign", x),
    "sparse_plus": _sparse_plus,
    "sparse_sigmoid": lambda scope, x: scope("HardSigmoid", x, alpha=0.5, beta=0.5),
    "squareplus": _squareplus,
    "tanh": lambda scope, x: scope("Tanh", x),
    "tanh_shrink": lambda scope, x: scope("Sub", x, scope("Tanh", x)),
}


OVER_FEATURES: Mapping[str, str] = {"softmax": "Softmax", "log_softmax": "LogSoftmax"}
"""Those that take the features of a place together, and their operators."""


def activate(scope: Scope, name: str, x: ir.Value, axis: int = -1) -> ir.Value:
    """The activation called ``name`` of ``x``, which has its features along ``axis``."""
    if name in OVER_FEATURES:
        return scope(OVER_FEATURES[name], x, axis=axis)
    return ELEMENTWISE[name](scope, x)
