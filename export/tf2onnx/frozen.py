"""A live Keras model as a TensorFlow graph whose weights are constants."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from biport.errors import UnsupportedError
from export.tf2onnx.calls import Call, replaced_calls
from export.tf2onnx.live_model import LiveModel, layer_title
from export.tf2onnx.scopes import Scopes, called_parts

INPUT, OUTPUT = "in_", "out_"
"""The operators of inputs and outputs are called so and numbered."""
SCOPE_NAME = "[A-Za-z0-9.][A-Za-z0-9_.-]*"
RANDOM = ("Multinomial", "Parameterized", "Random", "TruncatedNormal")
"""How the names of operators begin that draw numbers from the state of TensorFlow."""


def frozen(live: LiveModel, scopes: Scopes | None = None) -> Any:
    """The graph, a ``GraphDef``, of a model at inference on the CPU.

    Args:
        live: the model.
        scopes: whose scopes operators are to be in.

    Raises:
        UnsupportedError: an output hangs on the state that calls before have left.
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
    with (
        _without_cudnn(live.model),
        _plain_names(live),
        _any_time(live),
        tf.device("/CPU:0"),
        # The last: a scope goes around whatever call stands there.
        scopes.entered() if scopes else nullcontext(),
    ):
        concrete = tf.function(call, autograph=False).get_concrete_function(*signature)
    written = _written(concrete.graph)
    _refuse_state(live, concrete, written, scopes)
    # What is written cannot be frozen, needed or not.
    function = _pruned(concrete, len(signature)) if written else concrete
    graph = convert_variables_to_constants_v2(
        function, lower_control_flow=False, aggressive_inlining=True
    ).graph.as_graph_def(add_shapes=True)
    _with_constants(graph, concrete.graph.captures)
    return graph


def _written(graph: Any) -> set[int]:
    """The handles, by identity, of the variables that some operator writes."""
    from tensorflow.python.framework.auto_control_deps_utils import get_read_write_resource_inputs

    # Looking up counts as writing for TensorFlow, since a table may grow while it is asked.
    operators = [operator for operator in graph.get_operations() if "LookupTable" not in operator.type]
    return {id(handle) for operator in operators for handle in get_read_write_resource_inputs(operator)[1]}


def _refuse_state(live: LiveModel, concrete: Any, written: set[int], scopes: Scopes | None) -> None:
    """Refuse outputs that hang on what calls before have left: a file forgets it.

    That is the state of a layer, or of its random numbers. What is written and read by no output, such as the
    numbers of a dropout that is not at work, does not matter.
    """
    operator = _reader(concrete.outputs, written)
    if operator is None:
        return
    if scopes is None:
        frozen(live, Scopes(live.model))
    layer = None if scopes is None else scopes.layer(operator.name)
    owner = live.owner if layer is None else f"{live.owner}: {layer_title(layer)}"
    supported = "layers that compute the same in every call"
    error = UnsupportedError(owner, "state", "other in every call", supported)
    if layer is not None:
        error.of_layer(layer.name, type(layer).__name__)
    raise error


def _reader(outputs: Sequence[Any], handles: set[int]) -> Any:
    """An operator that an output hangs on and that reads one of these variables, or draws a number."""
    waiting, seen = [tensor.op for tensor in outputs], set()
    while waiting:
        operator = waiting.pop()
        if operator.name in seen:
            continue
        seen.add(operator.name)
        if operator.type.startswith(RANDOM) or any(id(tensor) in handles for tensor in operator.inputs):
            return operator
        waiting += [tensor.op for tensor in operator.inputs]
    return None


def _pruned(concrete: Any, inputs: int) -> Any:
    """The function without what no output hangs on."""
    from tensorflow.python.eager.wrap_function import VariableHolder, WrappedFunction

    for operator in concrete.graph.get_operations():
        # TensorFlow has what reads wait for what writes; none of these writes is wanted.
        operator._remove_all_control_inputs()
    whole = WrappedFunction(concrete.graph, variable_holder=VariableHolder())
    return whole.prune(concrete.inputs[:inputs], concrete.outputs)


def _with_constants(graph: Any, captures: Any) -> None:
    """Make constants of tensors that a layer holds outside of variables, as Normalization its mean."""
    import tensorflow as tf

    constants = {inner.op.name: outer for outer, inner in captures if outer.dtype != tf.resource}
    for node in graph.node:
        if node.op == "Placeholder" and node.name in constants:
            tensor = constants[node.name]
            node.op = "Const"
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(tensor.numpy(), tensor.dtype))
            del node.attr["shape"]


@contextmanager
def _plain_names(live: LiveModel) -> Iterator[None]:
    """Keras makes scopes of the names of layers, and a graph takes fewer names for one than Keras does."""
    parts = called_parts(live.model) if live.keras.__name__ == "keras" else []
    before = [(part, part.name) for part in parts if not re.fullmatch(SCOPE_NAME, part.name)]
    for number, (part, _) in enumerate(before):
        object.__setattr__(part, "name", f"layer_{number}")
    try:
        yield
    finally:
        for part, name in before:
            object.__setattr__(part, "name", name)


def _any_time(live: LiveModel) -> AbstractContextManager[None]:
    """TimeDistributed over a number of steps that is not known: Keras 3 then runs N steps, not T.

    Source: keras/src/layers/rnn/time_distributed.py, ``call``: ``input_shape`` is from before the transpose.
    """
    kind = live.keras.layers.TimeDistributed
    layers = [layer for layer in live.model._flatten_layers() if type(layer) is kind]
    if live.keras.__name__ != "keras":
        layers = []
    return replaced_calls([(layer, _folded(layer)) for layer in layers])


def _folded(layer: Any) -> Call:
    """The call of a TimeDistributed with the steps as rows of one batch."""
    import tensorflow as tf

    original = layer.call

    def call(inputs: Any, training: Any = None, mask: Any = None) -> Any:
        if inputs.shape[1] is not None:
            return original(inputs, training=training, mask=mask)
        options = {"training": training} if layer.layer._call_has_training_arg else {}
        if mask is not None and layer.layer._call_has_mask_arg:
            options["mask"] = rows(mask)
        steps = tf.shape(inputs)[:2]
        return tf.nest.map_structure(
            lambda output: tf.reshape(output, [steps[0], steps[1], *_sizes(output, 1)]),
            layer.layer.call(rows(inputs), **options),
        )

    def rows(tensor: Any) -> Any:
        return tf.reshape(tensor, [-1, *_sizes(tensor, 2)])

    return call


def _sizes(tensor: Any, first: int) -> list[Any]:
    """The sizes of the axes from the first on, numbers where they are known."""
    import tensorflow as tf

    sizes = tf.shape(tensor)
    return [sizes[axis] if dim is None else dim for axis, dim in enumerate(tensor.shape)][first:]


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
