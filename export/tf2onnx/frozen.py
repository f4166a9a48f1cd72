"""A live Keras model as a TensorFlow graph whose weights are constants."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from biport.errors import UnsupportedError
from export.tf2onnx.live_model import LiveModel, layer_title
from export.tf2onnx.scopes import Scopes

INPUT, OUTPUT = "in_", "out_"
"""The operators of inputs and outputs are called so and numbered."""


def frozen(live: LiveModel, scopes: Scopes | None = None) -> Any:
    """The graph, a ``GraphDef``, of a model at inference on the CPU.

    Args:
        live: the model.
        scopes: whose scopes operators are to be in.

    Raises:
        UnsupportedError: a layer writes into a variable, which a graph of constants cannot do.
        Exception: what Keras and TensorFlow raise.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    def call(*flat: Any) -> list[Any]:
        # Two outputs that are one tensor, or an input handed through, need an operator of their own.
        return [tf.identity(tensor, name=f"{OUTPUT}{index}") for index, tensor in enumerate(live.call(flat))]

    signature = [
        tf.TensorSpec(tensor.shape, tensor.dtype, name=f"{INPUT}{index}")
        for index, tensor in enumerate(live.model.inputs)
    ]
    with _without_cudnn(live.model), tf.device("/CPU:0"), scopes.entered() if scopes else nullcontext():
        concrete = tf.function(call, autograph=False).get_concrete_function(*signature)
    _refuse_assignments(live, concrete.graph.as_graph_def(), scopes)
    graph = convert_variables_to_constants_v2(
        concrete, lower_control_flow=False, aggressive_inlining=True
    ).graph.as_graph_def(add_shapes=True)
    _with_constants(graph, concrete.graph.captures)
    return graph


def _refuse_assignments(live: LiveModel, graph: Any, scopes: Scopes | None) -> None:
    """What is assigned is forgotten by a file: the state of a layer, or of its random numbers."""
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    names = [node.name for node in nodes if node.op.startswith("Assign") and node.op.endswith("VariableOp")]
    if not names:
        return
    if scopes is None:
        scopes = Scopes(live.model)
        frozen(live, scopes)
    layer = scopes.layer(names[0])
    owner = live.owner if layer is None else f"{live.owner}: {layer_title(layer)}"
    supported = "layers that compute the same in every call"
    error = UnsupportedError(owner, "state", "a variable that a call changes", supported)
    if layer is not None:
        error.of_layer(layer.name, type(layer).__name__)
    raise error


def _with_constants(graph: Any, captures: Any) -> None:
    """Make constants of tensors that a layer holds outside of variables, as Normalization its mean."""
    import tensorflow as tf

    held = {inner.op.name: outer for outer, inner in captures if outer.dtype != tf.resource}
    for node in graph.node:
        if node.op == "Placeholder" and node.name in held:
            tensor = held[node.name]
            node.op = "Const"
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(tensor.numpy(), tensor.dtype))
            del node.attr["shape"]


@contextmanager
def _without_cudnn(model: Any) -> Iterator[None]:
    """cuDNN operators, which Keras picks where there is a GPU, have no form in ONNX."""
    layers = [layer for layer in model._flatten_layers() if hasattr(layer, "use_cudnn")]
    settings = [layer.use_cudnn for layer in layers]
    for layer in layers:
        layer.use_cudnn = False
    try:
        yield
    finally:
        for layer, setting in zip(layers, settings, strict=True):
            layer.use_cudnn = setting
