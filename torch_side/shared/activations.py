"""Activations in torch, by their Keras names: how they are written and read.

A written activation is one call, so that it reads back as one.
"""

from __future__ import annotations

from torch import fx

from torch_side.layers.activation import ACTIVATION_FUNCTIONS
from torch_side.writing.graph_writer import GraphWriter


def call_activation(writer: GraphWriter, name: str, x: fx.Node) -> fx.Node:
    """Write the call of the activation called ``name``, ``linear`` too."""
    function = ACTIVATION_FUNCTIONS[name]
    return writer.call(function.func, x, **function.keywords)


def write_activation(writer: GraphWriter, name: str, x: fx.Node) -> fx.Node:
    """Write the activation called ``name``; nothing for ``linear``."""
    return x if name == "linear" else call_activation(writer, name, x)
