"""The layer of a node called on Keras tensors, its masks said in full."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from biport.dims import letter, plain
from biport.errors import UnsupportedError
from biport.graph import Graph, Node, body_of
from biport.inputs import check_letters
from biport.ops import (
    INTEGERS,
    Add,
    Average,
    Bidirectional,
    MultiHeadAttention,
    OnesLike,
    Op,
    Recurrent,
    Scan,
    Softmax,
)
from biport.ops.attention import Attends
from biport.ops.base import EVERY_INPUT
from keras_side.records import WrittenLayer, WrittenOperation, layer_name
from keras_side.registered import LAYERS, encoded
from keras_side.registry import WRITERS, Written
from keras_side.shared.activations import stock_activation
from keras_side.shared.addition import added, is_added
from keras_side.shared.attention import refuse_weighted_padding


@dataclass
class Unfinished:
    """A model of which some nodes are written.

    Args:
        values: the Keras tensors by their names in the graph, those of the model's inputs in front.
        letters: of the model's inputs, see `biport.inputs.letter_axes`.
        dtype: of its layers.
        names: of all nodes of the graph, which nothing else may have.
        write_body: writes the graph of a step as a model of its own.
        layers: those made so far, by the identity of their op.
        ops: the ops of those, kept so that no other op gets the identity of one.
    """

    values: dict[str, Any]
    letters: Mapping[str, tuple[str, int]]
    dtype: str
    names: Collection[str]
    write_body: Callable[[Graph], Any]
    layers: dict[int, Any] = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)


def call_layer(node: Node, written: Written, model: Unfinished) -> Sequence[Any]:
    """Apply a node's layer, made on its first use, to Keras tensors.

    Args:
        node: of the graph.
        written: its op as a Keras layer or operation.
        model: what is there already; a new layer is added.

    Returns:
        The tensors of the node's outputs, in order.

    Raises:
        UnsupportedError: Keras cannot be told the masks of the node.
    """
    import keras

    # What reads nothing has to be called on something to become a part of the model.
    values, layers = model.values, model.layers
    model.ops.append(node.op)
    inputs = [values[name] for name in node.inputs or list(values)[:1]]
    if isinstance(written, WrittenOperation):
        if not node.inputs or any(not isinstance(dim, int) for dim in written.dims):
            return _sized(node, written, model)
        dims = {"dims": list(written.dims)} if written.dims else {}
        return operated(functools.partial(written.apply, keras, **dims), inputs, node.name, model.names)
    if node.op.masked is EVERY_INPUT and not any(node.masks) and any(map(_carries_mask, inputs)):
        # The layer would take the masks that hang on its inputs; the operation of its name does not.
        function = getattr(keras.ops, written.class_name.lower())
        return operated(lambda *parts: reduce(function, parts), inputs, node.name, model.names)
    if isinstance(node.op, Softmax) and _softmax_refuses(node, inputs[0]):
        # The layer would take the mask that hangs on its input, which fits (N, T) alone.
        return operated(functools.partial(_softmax, axis=node.op.axis), inputs, node.name, model.names)
    if isinstance(node.op, Add | Average) and not all(is_added(inputs[0], x) for x in inputs[1:]):
        return operated(lambda *parts: _sum(node.op, parts), inputs, node.name, model.names)
    if written.class_name == "Concatenate" and any(x.dtype in ("bool", *INTEGERS) for x in inputs):
        # The layer makes floats of them.
        join = keras.ops.concatenate
        return operated(lambda *parts: join(parts, **written.config), inputs, node.name, model.names)
    if id(node.op) not in layers:
        layers[id(node.op)] = _layer(node, written, model)
    if isinstance(node.op, Attends):
        return keras.tree.flatten(_attended(node, layers[id(node.op)], inputs, model))
    options = {} if written.takes_list else _mask_options(node, inputs, model)
    if isinstance(node.op, Recurrent | Bidirectional):
        options |= _states(node.op, inputs, written)
    outputs = layers[id(node.op)](inputs if written.takes_list else inputs[0], **options)
    return keras.tree.flatten(outputs)


def _layer(node: Node, written: WrittenLayer, model: Unfinished) -> Any:
    """A layer, made for its first call."""
    options = {"name": layer_name(node.name), "dtype": model.dtype}
    kind = _layer_class(written.class_name)
    if not isinstance(node.op, Scan):
        return kind.from_config(_with_dtype(written.config, model.dtype) | options)
    body = model.write_body(body_of(node.op))
    cell = _layer_class("BodyCell")(body, node.op.state_count, dtype=model.dtype)
    return kind(cell, **written.config, **options)


def _sized(node: Node, written: WrittenOperation, model: Unfinished) -> Sequence[Any]:
    """An operation as a layer, which computes the sizes that it needs when it runs."""
    import keras

    values, layers, letters = model.values, model.layers, model.letters
    check_letters(f"node {node.name!r}", [*written.dims, *map(letter, sorted(node.op.letters))], letters)
    axes = {name: letters[name] for name in sorted(node.op.letters)}
    sources = list(dict.fromkeys(source for source, _ in axes.values()))
    tensors = [values[name] for name in (*node.inputs, *sources)] or list(values.values())[:1]
    if id(node.op) not in layers:
        config = {
            "kind": node.op.kind,
            # As JSON has them: Keras would write down that a tuple is one.
            "settings": json.loads(json.dumps(plain(node.op.settings()))),
            "arrays": {path: encoded(array) for path, array in node.op.weights().items()},
            "takes": len(node.inputs),
            "letters": {
                name: [len(node.inputs) + sources.index(source), axis]
                for name, (source, axis) in axes.items()
            },
        }
        layer_class = _layer_class("TensorOperation")
        layers[id(node.op)] = layer_class.from_config(
            config | {"name": layer_name(node.name), "dtype": model.dtype}
        )
    return keras.tree.flatten(layers[id(node.op)](tensors))


def _sum(op: Op, parts: Sequence[Any]) -> Any:
    import keras

    total = reduce(functools.partial(added, keras), parts)
    return total / len(parts) if isinstance(op, Average) else total


def _layer_class(name: str) -> Any:
    import keras

    import keras_side.layers as own

    return getattr(own if name in LAYERS.values() else keras.layers, name)


def _attended(node: Node, layer: Any, inputs: Sequence[Any], model: Unfinished) -> Any:
    """Call an attention; its masks are said in full."""
    import keras

    op = node.op
    assert isinstance(op, Attends)
    owner = f"node {node.name!r}"
    inputs, attention_mask = op.split(inputs)
    limited = node.masks[1] is not None or attention_mask is not None
    refuse_weighted_padding(owner, op, limited, model.dtype)
    options: dict[str, Any] = {}
    if attention_mask is not None:
        _check_attention_mask(owner, node, len(attention_mask.shape))
    if op.causal:
        options["use_causal_mask"] = True
    if op.return_scores:
        options["return_attention_scores"] = True
    masks = [None if mask is None else model.values[mask] for mask in node.masks[: len(inputs)]]
    if not isinstance(op, MultiHeadAttention):
        if attention_mask is not None:
            masks[1] = attention_mask
        return layer(list(inputs), mask=masks, **options)
    if masks[0] is not None and attention_mask is None and not _carries_mask(inputs[0]):
        name = _free(f"{node.name}_queries_mask", model.names)
        (attention_mask,) = operated(lambda mask: keras.ops.expand_dims(mask, -1), masks[:1], name)
    if attention_mask is not None:
        options["attention_mask"] = attention_mask
    # That of the queries is the one that hangs on them; see `keras_side.writing.carried_masks`.
    for position, name in enumerate(("value_mask", "key_mask")[: len(inputs) - 1], start=1):
        if masks[position] is None and _carries_mask(inputs[position]):
            masks[position] = _every_step(inputs[position], f"{node.name}_all_steps_{position}", model)
        options[name] = masks[position]
    return layer(*inputs, **{key: value for key, value in options.items() if value is not None})


def _check_attention_mask(owner: str, node: Node, rank: int) -> None:
    """Refuse an attention mask that Keras 3.15 cannot take beside what else limits the queries.

    Raises:
        UnsupportedError: it is one.
    """
    op = node.op
    assert isinstance(op, Attends)
    if not isinstance(op, MultiHeadAttention) and (op.causal or node.masks[1] is not None):
        # Keras has it in place of the values' mask, and meets causality with masks (N, T) alone.
        supported = "one without a mask of the values, and not causal"
        raise UnsupportedError(owner, "attention_mask", f"for {op.kind}", supported)
    if rank == 4 and any(node.masks):
        supported = "(N, S, T) beside masks of queries, values or keys"
        raise UnsupportedError(owner, "attention_mask", "of (N, P, S, T)", supported)


def _carries_mask(tensor: Any) -> bool:
    return getattr(tensor, "_keras_mask", None) is not None


def _softmax_refuses(node: Node, x: Any) -> bool:
    return node.masks[0] is None and len(x.shape) != 2 and _carries_mask(x)


def _softmax(x: Any, axis: int | Sequence[int]) -> Any:
    from keras import ops

    if isinstance(axis, int):
        return ops.softmax(x, axis=axis)
    # Several axes of the operation of that name are a list in a file, which it does not take.
    return ops.exp(x - ops.logsumexp(x, axis=tuple(axis), keepdims=True))


def _states(op: Recurrent | Bidirectional, inputs: Sequence[Any], written: WrittenLayer) -> dict[str, Any]:
    """What a recurrent layer starts from, and what it is given at every step."""
    states, constants = inputs[1:], ()
    if isinstance(op, Recurrent):
        _, states, constants = op.split(inputs)
    options: dict[str, Any] = {"initial_state": _grouped(states, written.state_groups)} if states else {}
    return options | ({"constants": list(constants)} if constants else {})


def _grouped(states: Sequence[Any], groups: Sequence[int]) -> list[Any]:
    """The states in lists of so many each; flat where there are no groups."""
    if not groups:
        return list(states)
    left = iter(states)
    return [[next(left) for _ in range(count)] for count in groups]


def _mask_options(node: Node, inputs: Sequence[Any], model: Unfinished) -> dict[str, Any]:
    """The mask of a call, said in full: without one, Keras would use what hangs on the input."""
    options = {}
    for position in node.op.masked:
        mask, tensor = node.masks[position], inputs[position]
        if mask is not None:
            options["mask"] = model.values[mask]
        elif _carries_mask(tensor):
            options["mask"] = _every_step(tensor, f"{node.name}_all_steps", model)
    return options


def _every_step(x: Any, name: str, model: Unfinished) -> Any:
    """The mask of every step of ``x``, ``(N, T, ...)``."""
    import keras

    written = WRITERS.lookup(OnesLike, name)(OnesLike())
    assert isinstance(written, WrittenOperation)
    apply = functools.partial(written.apply, keras)
    return operated(apply, [x], _free(name, model.names), model.names)[0]


def operated(
    apply: Callable[..., Any], inputs: Sequence[Any], name: str, taken: Collection[str] = ()
) -> list[Any]:
    """What functions of ``keras.ops`` make of symbolic tensors, every operation named after ``name``.

    Keras numbers operations by itself, and refuses the model when a layer happens to have such a name.

    Args:
        apply: the functions.
        inputs: Keras tensors and numbers.
        name: of the last operation; those before it have numbers behind it.
        taken: names that none of those may have.
    """
    import keras

    outputs = keras.tree.flatten(apply(*inputs))
    known = {id(tensor) for tensor in keras.tree.flatten(list(inputs))}
    operations = _operations(outputs, known)
    for position, operation in enumerate(operations):
        last = operation is operations[-1]
        operation.name = name if last else _free(f"{name}_{position}", taken)
    return outputs


def _free(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _operations(outputs: Sequence[Any], known: set[int]) -> list[Any]:
    """The operations between known tensors and the outputs, each behind those it reads."""
    import keras

    ordered: dict[int, Any] = {}

    def follow(tensor: Any) -> None:
        if not isinstance(tensor, keras.KerasTensor) or id(tensor) in known:
            return
        operation, node_index, _ = tensor._keras_history  # type: ignore[attr-defined]
        if id(operation) not in ordered:
            for source in operation._inbound_nodes[node_index].input_tensors:
                follow(source)
            ordered[id(operation)] = operation

    for output in outputs:
        follow(output)
    return list(ordered.values())


def _with_dtype(config: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """The configuration with ``dtype`` set in the layers inside it too, and activations that Keras has."""
    return {key: _inner_dtype(value, dtype) for key, value in config.items()}


def _inner_dtype(value: Any, dtype: str) -> Any:
    if isinstance(value, list):
        return [_inner_dtype(part, dtype) for part in value]
    if dtype == "float32":
        value = stock_activation(value)
    if not isinstance(value, Mapping) or value.get("module") != "keras.layers":
        return value
    return dict(value) | {"config": _with_dtype(value["config"], dtype) | {"dtype": dtype}}
