"""Activations in torch, by their Keras names: how they are computed, written and read.

A written activation is one call, so that it reads back as one. Torch's defaults are not always Keras':
`leaky_relu` has another slope, and `softplus` is a straight line above a threshold of 20, which is 2e-9 off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from torch_side.reader import Reader
from torch_side.writer import Writer


def linear(x: Tensor) -> Tensor:
    """``x`` itself."""
    return x


def hard_sigmoid_keras2(x: Tensor) -> Tensor:
    """A line of slope 1/5 through (0, 1/2), cut at 0 and 1: Keras 1's and 2's `hard_sigmoid`."""
    return (0.2 * x + 0.5).clamp(0, 1)


def sparse_plus(x: Tensor) -> Tensor:
    """Zero below -1, ``(x + 1)² / 4`` up to 1, then ``x``."""
    return torch.where(x >= 1, x, (x.clamp(-1, 1) + 1).square() / 4)


def sparse_sigmoid(x: Tensor) -> Tensor:
    """A line of slope 1/2 through (0, 1/2), cut at 0 and 1."""
    return ((x + 1) / 2).clamp(0, 1)


def squareplus(x: Tensor) -> Tensor:
    """``(x + √(x² + 4)) / 2``."""
    return (x + (x.square() + 4).sqrt()) / 2


@dataclass(frozen=True)
class Spelling:
    """One activation in torch.

    Args:
        function: what computes it, called as ``function(x, **settings)``.
        settings: the parameters that make it Keras'.
        others: other functions, method names and module classes for it.
        defaults: the parameters of all of these beside ``x``, in order, with torch's own values.
    """

    function: Callable[..., Tensor]
    settings: Mapping[str, Any] = field(default_factory=dict)
    others: tuple[Any, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)


_INPLACE = {"inplace": False}
_DIM = {"dim": None, "_stacklevel": 3, "dtype": None}

SPELLINGS: dict[str, Spelling] = {
    "celu": Spelling(functional.celu, {}, (torch.celu, nn.CELU), {"alpha": 1.0} | _INPLACE),
    "elu": Spelling(functional.elu, {}, (nn.ELU,), {"alpha": 1.0} | _INPLACE),
    "exponential": Spelling(torch.exp, {}, ("exp",)),
    "gelu": Spelling(functional.gelu, {}, (nn.GELU,), {"approximate": "none"}),
    "hard_shrink": Spelling(
        functional.hardshrink, {}, (torch.hardshrink, "hardshrink", nn.Hardshrink), {"lambd": 0.5}
    ),
    "hard_sigmoid": Spelling(functional.hardsigmoid, {}, (nn.Hardsigmoid,), _INPLACE),
    "hard_sigmoid_keras2": Spelling(hard_sigmoid_keras2),
    "hard_silu": Spelling(functional.hardswish, {}, (nn.Hardswish,), _INPLACE),
    "hard_tanh": Spelling(
        functional.hardtanh, {}, (nn.Hardtanh,), {"min_val": -1.0, "max_val": 1.0} | _INPLACE
    ),
    "leaky_relu": Spelling(
        functional.leaky_relu, {"negative_slope": 0.2}, (nn.LeakyReLU,), {"negative_slope": 0.01} | _INPLACE
    ),
    "linear": Spelling(linear),
    "log_sigmoid": Spelling(functional.logsigmoid, {}, (nn.LogSigmoid,)),
    "log_softmax": Spelling(
        torch.log_softmax, {"dim": -1}, (functional.log_softmax, "log_softmax", nn.LogSoftmax), _DIM
    ),
    "mish": Spelling(functional.mish, {}, (nn.Mish,), _INPLACE),
    "relu": Spelling(torch.relu, {}, (functional.relu, "relu", nn.ReLU), _INPLACE),
    "relu6": Spelling(functional.relu6, {}, (nn.ReLU6,), _INPLACE),
    "selu": Spelling(functional.selu, {}, (torch.selu, nn.SELU), _INPLACE),
    "sigmoid": Spelling(torch.sigmoid, {}, (functional.sigmoid, torch.special.expit, "sigmoid", nn.Sigmoid)),
    "silu": Spelling(functional.silu, {}, (nn.SiLU,), _INPLACE),
    "soft_shrink": Spelling(functional.softshrink, {}, (nn.Softshrink,), {"lambd": 0.5}),
    "softmax": Spelling(torch.softmax, {"dim": -1}, (functional.softmax, "softmax", nn.Softmax), _DIM),
    "softplus": Spelling(
        functional.softplus, {"threshold": 40.0}, (nn.Softplus,), {"beta": 1.0, "threshold": 20.0}
    ),
    "softsign": Spelling(functional.softsign, {}, (nn.Softsign,)),
    "sparse_plus": Spelling(sparse_plus),
    "sparse_sigmoid": Spelling(sparse_sigmoid),
    "squareplus": Spelling(squareplus),
    "tanh": Spelling(torch.tanh, {}, (functional.tanh, "tanh", nn.Tanh)),
    "tanh_shrink": Spelling(functional.tanhshrink, {}, (nn.Tanhshrink,)),
}
NAMES: dict[Any, str] = {
    target: name for name, known in SPELLINGS.items() for target in (known.function, *known.others)
}
"""Functions, method names and module classes to the name of the activation they spell."""


def apply(name: str, x: Tensor) -> Tensor:
    """The activation called ``name`` of ``x``, any shape."""
    return SPELLINGS[name].function(x, **SPELLINGS[name].settings)


def emit(writer: Writer, name: str, x: fx.Node) -> fx.Node:
    """Write the activation called ``name``; nothing for ``linear``."""
    return x if name == "linear" else writer.call(SPELLINGS[name].function, x, **SPELLINGS[name].settings)


def spelled(reader: Reader, node: fx.Node) -> tuple[str, dict[str, Any]] | None:
    """Name and parameters of the activation that ``node`` calls; ``None`` when it calls something else.

    Raises:
        UnsupportedError: it is called with arguments nobody knows.
    """
    module = reader.module(node) if node.op == "call_module" else None
    name = NAMES.get(node.target if module is None else type(module))
    if name is None:
        return None
    defaults = SPELLINGS[name].defaults
    if module is not None:
        return name, {key: getattr(module, key, default) for key, default in defaults.items()}
    if "_stacklevel" in defaults and node.target not in (functional.softmax, functional.log_softmax):
        defaults = {key: value for key, value in defaults.items() if key != "_stacklevel"}
    _, *values = reader.arguments(node, "x", **defaults)
    return name, dict(zip(defaults, values, strict=True))


def is_keras(name: str, settings: Mapping[str, Any], rank: int | None) -> bool:
    """Whether an activation with these parameters is Keras' of that name, over a value of ``rank``."""
    wanted = {**SPELLINGS[name].defaults, **SPELLINGS[name].settings}
    for key, found in settings.items():
        match key:
            case "inplace" | "_stacklevel":
                continue
            case "dim":
                same = found == -1 or (rank is not None and found == rank - 1)
            case "threshold":
                # Torch's own 20 is 2e-9 off at the threshold, less than float32 can tell there.
                same = found >= 20
            case _:
                same = found == wanted[key]
        if not same:
            return False
    return True
