"""A live Keras model run in float64: the oracle of models that have no graph.

What TensorFlow traced of the model computes the same numbers in float64 once every float32 in it is one. A
copy of the model under another dtype would not do: a Lambda or a layer of somebody's own cannot be copied,
nor told in which dtype to compute.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from export.tf2onnx.conversion import first_line, traceable
from export.tf2onnx.frozen import INPUT, OUTPUT
from export.tf2onnx.live_model import LiveModel

Run = Callable[[Sequence[np.ndarray]], list[np.ndarray]]
FLOAT64 = 2
WIDER = {1: FLOAT64, 19: FLOAT64, 14: FLOAT64, 8: 18}
"""Of float32, float16, bfloat16 and complex64, by TensorFlow's numbers (``types.proto``)."""


class Program:
    """A model as TensorFlow computes it, eager Keras left out.

    Args:
        live: the model.

    Raises:
        UnsupportedError: the model cannot be traced; the layer is named.
    """

    def __init__(self, live: LiveModel) -> None:
        self._graph = traceable(live)
        self._count = len(live.inputs), len(live.outputs)
        self.rounded: Run = _run(self._graph, *self._count)
        """Inputs to outputs in float32."""

    def exact(self, sample: Sequence[np.ndarray]) -> tuple[Run, list[str]]:
        """Inputs to outputs in float64, and what computes in float32 there too, for want of anything wider.

        Args:
            sample: inputs to try it on.
        """
        try:
            wide, narrow = widened(self._graph)
            run = _run(wide, *self._count)
            run(sample)
        except Exception as error:  # Operators without a form in float64 are met in as many ways.
            return self.rounded, [f"every operator ({first_line(error)})"]
        return run, narrow


def _run(graph: Any, inputs: int, outputs: int) -> Run:
    import tensorflow as tf

    with tf.Graph().as_default() as imported, tf.device("/CPU:0"):
        tf.import_graph_def(graph, name="")
    session = tf.compat.v1.Session(graph=imported)
    fetched = [f"{OUTPUT}{index}:0" for index in range(outputs)]
    fed = [imported.get_tensor_by_name(f"{INPUT}{index}:0") for index in range(inputs)]

    def run(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        feed = {
            tensor: array.astype(tensor.dtype.as_numpy_dtype)
            for tensor, array in zip(fed, arrays, strict=True)
        }
        return session.run(fetched, feed)

    return run


def widened(graph: Any) -> tuple[Any, list[str]]:
    """A ``GraphDef`` with every float32 and float16 in it made float64.

    Args:
        graph: the original; it is left as it is.

    Returns:
        The graph, and which operators have no float64 and stand between casts.

    Raises:
        ValueError: there is such an operator inside of a loop.
    """
    wide = type(graph)()
    wide.CopyFrom(graph)
    for function in wide.library.function:
        for argument in (*function.signature.input_arg, *function.signature.output_arg):
            argument.type = WIDER.get(argument.type, argument.type)
        for node in function.node_def:
            if not _has_float64(node):
                raise ValueError(f"{node.op} inside of a loop has no float64")
            _widen(node)
    narrow = [node for node in wide.node if not _has_float64(node)]
    casts: dict[str, Any] = {}
    for node in wide.node:
        if _has_float64(node):
            _widen(node)
    for node in narrow:
        casts |= _widened_outputs(node)
    for node in wide.node:
        node.input[:] = [casts[name].name if name in casts else name for name in map(_reference, node.input)]
    wide.node.extend([*casts.values(), *(cast for node in narrow for cast in _narrowed_inputs(node))])
    return wide, sorted({node.op for node in narrow})


def _reference(name: str) -> str:
    """A tensor's name with the number of the output."""
    return name if ":" in name or name.startswith("^") else f"{name}:0"


def _has_float64(node: Any) -> bool:
    """Whether there is an operator for the CPU that does the same in float64."""
    wanted = {name: WIDER[part.type] for name, part in node.attr.items() if part.type in WIDER}
    return _has_kernel(node.op, frozenset(wanted.items()))


@functools.cache
def _has_kernel(operator: str, wanted: frozenset[tuple[str, int]]) -> bool:
    """Whether an operator takes these types by the names of its attributes, and gives no fixed float32."""
    from tensorflow.python.framework import kernels, op_def_registry

    definition = op_def_registry.get(operator)
    if definition is None:  # A function of the graph's own.
        return True
    if any(argument.type in WIDER for argument in (*definition.input_arg, *definition.output_arg)):
        return False
    for kernel in kernels.get_registered_kernels_for_op(operator).kernel:
        allowed = {c.name: list(c.allowed_values.list.type) for c in kernel.constraint}
        suits = all(kind in allowed.get(name, [kind]) for name, kind in wanted)
        if kernel.device_type == "CPU" and suits:
            return True
    return not wanted


def _widen(node: Any) -> None:
    import tensorflow as tf

    for name, attribute in node.attr.items():
        if name.startswith("_"):
            continue
        if attribute.type in WIDER:
            attribute.type = WIDER[attribute.type]
        if attribute.HasField("list"):
            attribute.list.type[:] = [WIDER.get(kind, kind) for kind in attribute.list.type]
        if attribute.HasField("tensor") and attribute.tensor.dtype in WIDER:
            kind = tf.as_dtype(WIDER[attribute.tensor.dtype])
            array = tf.make_ndarray(attribute.tensor).astype(kind.as_numpy_dtype)
            attribute.tensor.CopyFrom(tf.make_tensor_proto(array, kind))


def _widened_outputs(node: Any) -> dict[str, Any]:
    """Casts of what a narrow operator gives, by the names of the tensors."""
    casts = {}
    for index, kind in enumerate(_kinds(node, "output_arg")):
        if kind in WIDER:
            tensor = f"{node.name}:{index}"
            casts[tensor] = _cast(f"{node.name}/widened_{index}", tensor, kind, WIDER[kind])
    return casts


def _narrowed_inputs(node: Any) -> list[Any]:
    """Casts of what a narrow operator takes; it is made to read them."""
    casts = []
    for index, kind in enumerate(_kinds(node, "input_arg")):
        if kind in WIDER:
            casts.append(_cast(f"{node.name}/narrowed_{index}", node.input[index], WIDER[kind], kind))
            node.input[index] = casts[-1].name
    return casts


def _kinds(node: Any, side: str) -> list[int]:
    """The types of a node's inputs or outputs, in order."""
    from tensorflow.python.framework import op_def_registry

    kinds: list[int] = []
    for argument in getattr(op_def_registry.get(node.op), side):
        if argument.type_list_attr:
            kinds += node.attr[argument.type_list_attr].list.type
            continue
        kind = argument.type or node.attr[argument.type_attr].type
        kinds += [kind] * (node.attr[argument.number_attr].i if argument.number_attr else 1)
    return kinds


def _cast(name: str, source: str, old: int, new: int) -> Any:
    import tensorflow as tf

    node = tf.compat.v1.NodeDef(name=name, op="Cast", input=[source])
    node.attr["SrcT"].type, node.attr["DstT"].type = old, new
    return node
