"""Recurrent layers kept whole on their way through tf2onnx, and written by this package on the other side.

Traced as they are, a masked LSTM and every GRU and SimpleRNN become a Loop of 70 to 300 nodes. So while the
model is traced, each layer whose op is known is one operator without a form in ONNX, a *placeholder*, that
tf2onnx hands over as it is; then the nodes of the fused route are put in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from biport.graph import Graph, Node, Value
from biport.ops import Bidirectional, Op, Recurrent, Scan, Tensor
from export.tf2onnx.calls import replaced_calls

if TYPE_CHECKING:
    import onnx_ir as ir

    from export.onnx.target import Target

DOMAIN = "biport.marker"
TF_OP = "PyFunc"
"""The TensorFlow operator that stands for a layer: it takes and gives any tensors and is never run here."""

OpOf = Callable[[Any], Op | None]
"""The op of a live recurrent layer, ``None`` where it has none."""


@dataclass(frozen=True)
class Placeholder:
    """A call of a layer.

    Args:
        name: the layer's.
        op: what it computes.
        masked: whether the second input is a mask.
        step: what it is given at each step, behind the rows.
    """

    name: str
    op: Op
    masked: bool
    step: tuple[int, ...]


@contextmanager
def with_placeholders(model: Any, op_of: OpOf) -> Iterator[list[Placeholder]]:
    """``model`` with placeholders for its recurrent layers; the list has those traced, in order."""
    placeholders: list[Placeholder] = []
    known = [(layer, op_of(layer)) for layer in _recurrent_layers(model)]
    # tf2onnx writes the step of a cell of somebody's own by itself.
    whole = [(layer, op) for layer, op in known if op is not None and not isinstance(op, Scan)]
    calls = [(layer, _call(layer, op, placeholders)) for layer, op in whole]
    with replaced_calls(calls):
        yield placeholders


def _recurrent_layers(model: Any) -> list[Any]:
    """The outermost recurrent layers in float32: not the two of one that goes both ways."""
    import keras

    kinds = keras.layers.RNN, keras.layers.Bidirectional
    inside: set[int] = set()
    layers = []
    for layer in model._flatten_layers():
        if isinstance(layer, kinds) and id(layer) not in inside:
            if layer.compute_dtype == "float32":
                layers.append(layer)
            inside |= {id(part) for part in layer._flatten_layers(include_self=False)}
    return layers


def _call(layer: Any, op: Op, placeholders: list[Placeholder]) -> Callable[..., Any]:
    import keras
    import tensorflow as tf

    def never(*_: Any) -> Any:
        raise AssertionError("a placeholder is replaced, not run")

    def call(
        sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False, **_: Any
    ) -> Any:
        if isinstance(sequences, list | tuple):
            sequences, *initial_state = sequences
        states = keras.tree.flatten(initial_state) if initial_state is not None else []
        tensors = _inferred(op, sequences, states)
        masks = [] if mask is None else [mask]
        name = f"biport_marker_{len(placeholders)}"
        placeholders.append(Placeholder(layer.name, op, bool(masks), tuple(sequences.shape[2:])))
        flat = tf.numpy_function(never, [sequences, *masks, *states], [tf.float32] * len(tensors), name=name)
        outputs = flat if isinstance(flat, list | tuple) else [flat]
        # What an output is declared to be is lost where the graph is frozen, an operator that says it is not.
        shaped = [
            tf.ensure_shape(output, [dim if isinstance(dim, int) else None for dim in tensor.shape])
            for output, tensor in zip(outputs, tensors, strict=True)
        ]
        return shaped[0] if len(shaped) == 1 else _packed(layer, shaped)

    return call


def _packed(layer: Any, outputs: list[Any]) -> list[Any]:
    """Outputs with the states nested as Keras does those of several cells."""
    import keras

    layers = [layer] if isinstance(layer, keras.layers.RNN) else [layer.forward_layer, layer.backward_layer]
    sizes = [one.state_size for one in layers] if layers[0].return_state else []
    nested = [part for size in sizes for part in (size if isinstance(size, list | tuple) else [size])]
    first = len(outputs) - len(keras.tree.flatten(nested))
    return [*outputs[:first], *keras.tree.pack_sequence_as(nested, outputs[first:])]


def _inferred(op: Op, sequences: Any, states: Sequence[Any]) -> tuple[Tensor, ...]:
    letters = ("N", "T")
    shape = tuple(
        letters[axis] if axis < 2 and dim is None else dim for axis, dim in enumerate(sequences.shape)
    )
    given = [Tensor(("N", *state.shape[1:]), "float32") for state in states]
    return op.infer([Tensor(shape, "float32"), *given])


def handlers() -> dict[str, Any]:
    """For tf2onnx: what makes a node of this package's domain of a placeholder, and what it has wrong."""
    from export.tf2onnx.corrected import HANDLERS

    def keep(context: Any, node: Any, name: str, _: Any) -> None:
        number = int(name.rpartition("biport_marker_")[2].partition(":")[0].partition("/")[0])
        # Not "Placeholder": by that name tf2onnx calls the inputs of a graph.
        node.type, node.domain = "Marker", DOMAIN
        for attribute in list(node.attr):
            del node.attr[attribute]
        node.set_attr("number", number)

    return {TF_OP: (keep, []), **{name: (handler, []) for name, handler in HANDLERS.items()}}


def replaced(model: ir.Model, placeholders: Sequence[Placeholder], target: Target | None = None) -> list[str]:
    """Put the fused route's nodes in place of the placeholders; what the writers noted."""
    from export.build import build

    notes: list[str] = []
    for node in list(model.graph.all_nodes()):
        if node.domain != DOMAIN:
            continue
        placeholder = placeholders[node.attributes["number"].as_int()]
        written, more = build(_graph(placeholder, node), target=target)
        notes += more
        number = node.attributes["number"].as_int()
        _inline(node, written.graph, model.graph, prefix=f"{placeholder.name}_{number}")
    model.opset_imports.pop(DOMAIN, None)
    return notes


def _graph(placeholder: Placeholder, node: ir.Node) -> Graph:
    """The layer as a model of its own."""
    shapes = [_sizes(value) for value in node.inputs]
    states = shapes[2 if placeholder.masked else 1 :]
    op = placeholder.op
    assert isinstance(op, Recurrent | Bidirectional)
    lead: tuple[Any, ...] = tuple(shapes[0][:2])
    inputs = [Value("x", (*lead, *placeholder.step), "float32")]
    inputs += [Value("mask", lead, "bool")] if placeholder.masked else []
    sizes = op.state_shapes(placeholder.step) if states else ()
    inputs += [Value(f"state_{number}", (lead[0], *size), "float32") for number, size in enumerate(sizes)]
    outputs = tuple(f"y_{number}" for number in range(len(node.outputs)))
    read = tuple(value.name for value in inputs if value.name != "mask")
    masks = ("mask" if placeholder.masked else None, *(None for _ in read[1:]))
    return Graph(tuple(inputs), (Node(placeholder.name, op, read, outputs, masks),), outputs)


def _sizes(value: ir.Value | None) -> tuple[Any, ...]:
    """N and T as tf2onnx knows them, letters for what varies."""
    assert value is not None
    if value.shape is None:
        return ("N", "T")
    letters = ("N", "T")
    return tuple(
        dim if isinstance(dim, int) and axis else letters[axis] for axis, dim in enumerate(value.shape[:2])
    )


def _inline(node: ir.Node, inner: ir.Graph, root: ir.Graph, prefix: str) -> None:
    """Move the nodes of ``inner`` to where ``node`` is, and its constants to ``root``."""
    import onnx_ir as ir

    graph = node.graph
    assert graph is not None
    for mine, theirs in zip(inner.inputs, node.inputs, strict=True):
        assert theirs is not None
        ir.convenience.replace_all_uses_with(mine, theirs)
    constants = list(inner.initializers.values())
    nodes = list(inner)
    results = list(inner.outputs)
    inner.outputs.clear()
    inner.initializers.clear()
    inner.remove(nodes)
    for value in constants:
        value.name = f"{prefix}/{value.name}"
        root.register_initializer(value)
    for moved in nodes:
        _renamed(moved, prefix)
    graph.insert_before(node, nodes)
    for old, new in zip(node.outputs, results, strict=True):
        if old.is_graph_output():
            # The model's own name for it, and what it says of its sizes, outlive the placeholder.
            old.name, new.name = f"{prefix}/placeholder", old.name
            new.shape, new.type = old.shape, old.type
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def _renamed(node: ir.Node, prefix: str) -> None:
    """Names that the graph around does not have."""
    node.name = f"{prefix}/{node.name}"
    for output in node.outputs:
        if output.name:
            output.name = f"{prefix}/{output.name}"
    for attribute in node.attributes.values():
        if attribute.type.name == "GRAPH":
            for inner in attribute.as_graph():
                _renamed(inner, prefix)
            for value in attribute.as_graph().inputs:
                value.name = f"{prefix}/{value.name}"
