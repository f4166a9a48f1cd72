"""Activations in torch, by their Keras names: how they are written and read.

A written activation is one call, so that it reads back as one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from torch import fx, nn

from torch_side.layers import activation as own
from torch_side.layers.activation import ACTIVATION_FUNCTIONS
from torch_side.writing.graph_writer import GraphWriter


def call_activation(writer: GraphWriter, name: str, x: fx.Node) -> fx.Node:
    """Write the call of the activation called ``name``, ``linear`` too."""
    function = ACTIVATION_FUNCTIONS[name]
    over = {"dim": writer.axis(function.keywords["dim"])} if "dim" in function.keywords else {}
    return writer.call(function.func, x, **function.keywords | over)


def write_activation(writer: GraphWriter, name: str, x: fx.Node) -> fx.Node:
    """Write the activation called ``name``; nothing for ``linear``."""
    return x if name == "linear" else call_activation(writer, name, x)


ACTIVATION_MODULES: Mapping[str, Callable[[], nn.Module]] = {
    "celu": nn.CELU,
    "elu": nn.ELU,
    "exponential": own.Exponential,
    "gelu": nn.GELU,
    "hard_shrink": own.HardShrink,
    "hard_sigmoid": nn.Hardsigmoid,
    "hard_sigmoid_keras2": own.HardSigmoidKeras2,
    "hard_silu": nn.Hardswish,
    "hard_tanh": nn.Hardtanh,
    "leaky_relu": partial(nn.LeakyReLU, 0.2),
    "linear": nn.Identity,
    "log_sigmoid": nn.LogSigmoid,
    "log_softmax": partial(nn.LogSoftmax, dim=-1),
    "mish": nn.Mish,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "selu": nn.SELU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "soft_shrink": own.SoftShrink,
    "softmax": partial(nn.Softmax, dim=-1),
    "softplus": partial(nn.Softplus, threshold=40.0),
    "softsign": nn.Softsign,
    "sparse_plus": own.SparsePlus,
    "sparse_sigmoid": own.SparseSigmoid,
    "squareplus": own.Squareplus,
    "tanh": nn.Tanh,
    "tanh_shrink": nn.Tanhshrink,
}
"""What computes each activation inside of a layer."""


def activation_name(module: nn.Module) -> str | None:
    """The name of the activation that a module computes, if it is one of `ACTIVATION_MODULES`."""
    said = type(module), repr(module)
    known = ((name, make()) for name, make in ACTIVATION_MODULES.items())
    return next((name for name, other in known if (type(other), repr(other)) == said), None)
