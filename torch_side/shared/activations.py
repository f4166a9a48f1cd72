"""Activations in torch, by their Keras names: how they are written and read.

A written activation is one call, so that it reads back as one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from torch_side.layers.activation import ACTIVATION_FUNCTIONS
from torch_side.reading.fx_reader import FxReader
from torch_side.writing.graph_writer import GraphWriter


@dataclass(frozen=True)
class Spelling:
    """What else is read as one activation than what computes it here.

    Args:
        others: other functions, method names and module classes for it.
        defaults: the parameters of all of these beside ``x``, in order, with torch's own values.
    """

    others: tuple[Any, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)


_INPLACE = {"inplace": False}
_DIM = {"dim": None, "_stacklevel": 3, "dtype": None}

SPELLINGS: dict[str, Spelling] = {
    "celu": Spelling((torch.celu, nn.CELU), {"alpha": 1.0} | _INPLACE),
    "elu": Spelling((nn.ELU,), {"alpha": 1.0} | _INPLACE),
    "exponential": Spelling(("exp",)),
    "gelu": Spelling((nn.GELU,), {"approximate": "none"}),
    "hard_shrink": Spelling((functional.hardshrink, "hardshrink", nn.Hardshrink), {"lambd": 0.5}),
    "hard_sigmoid": Spelling((nn.Hardsigmoid,), _INPLACE),
    "hard_sigmoid_keras2": Spelling(),
    "hard_silu": Spelling((nn.Hardswish,), _INPLACE),
    "hard_tanh": Spelling((nn.Hardtanh,), {"min_val": -1.0, "max_val": 1.0} | _INPLACE),
    "leaky_relu": Spelling((nn.LeakyReLU,), {"negative_slope": 0.01} | _INPLACE),
    "linear": Spelling(),
    "log_sigmoid": Spelling((nn.LogSigmoid,)),
    "log_softmax": Spelling((functional.log_softmax, "log_softmax", nn.LogSoftmax), _DIM),
    "mish": Spelling((nn.Mish,), _INPLACE),
    "relu": Spelling((functional.relu, "relu", nn.ReLU), _INPLACE),
    "relu6": Spelling((nn.ReLU6,), _INPLACE),
    "selu": Spelling((torch.selu, nn.SELU), _INPLACE),
    "sigmoid": Spelling((functional.sigmoid, torch.special.expit, "sigmoid", nn.Sigmoid)),
    "silu": Spelling((nn.SiLU,), _INPLACE),
    "soft_shrink": Spelling((functional.softshrink, nn.Softshrink), {"lambd": 0.5}),
    "softmax": Spelling((functional.softmax, "softmax", nn.Softmax), _DIM),
    "softplus": Spelling((nn.Softplus,), {"beta": 1.0, "threshold": 20.0}),
    "softsign": Spelling((nn.Softsign,)),
    "sparse_plus": Spelling(),
    "sparse_sigmoid": Spelling(),
    "squareplus": Spelling(),
    "tanh": Spelling((functional.tanh, "tanh", nn.Tanh)),
    "tanh_shrink": Spelling((nn.Tanhshrink,)),
}
NAMES: dict[Any, str] = {
    target: name
    for name, known in SPELLINGS.items()
    for target in (ACTIVATION_FUNCTIONS[name].func, *known.others)
}
"""Functions, method names and module classes to the name of the activation they spell."""


def call_activation(writer: GraphWriter, name: str, x: fx.Node) -> fx.Node:
    """Write the call of the activation called ``name``, ``linear`` too."""
    function = ACTIVATION_FUNCTIONS[name]
    return writer.call(function.func, x, **function.keywords)


def keras_parameters(name: str) -> dict[str, Any]:
    """The parameters with which an activation of torch is Keras'."""
    return {**SPELLINGS[name].defaults, **ACTIVATION_FUNCTIONS[name].keywords}


def write_activation(writer: GraphWriter, name: str, x: fx.Node) -> fx.Node:
    """Write the activation called ``name``; nothing for ``linear``."""
    return x if name == "linear" else call_activation(writer, name, x)


def spelled(reader: FxReader, node: fx.Node) -> tuple[str, dict[str, Any]] | None:
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
    wanted = keras_parameters(name)
    for key, value in settings.items():
        match key:
            case "inplace" | "_stacklevel":
                continue
            case "dim":
                same = value == -1 or (rank is not None and value == rank - 1)
            case "threshold":
                # Torch's own 20 is 2e-9 off at the threshold, less than float32 can tell there.
                same = value >= 20
            case _:
                same = value == wanted[key]
        if not same:
            return False
    return True
