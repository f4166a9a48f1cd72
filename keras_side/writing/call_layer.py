"""The layer of a node called on Keras tensors, its masks said in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from biport.errors import UnsupportedError
from biport.graph import Node
from biport.ops import Bidirectional, MultiHeadAttention, OnesLike, Recurrent
from biport.ops.attention import Attends
from biport.ops.base import EVERY_INPUT
from keras_side.records import WrittenLayer
from keras_side.registered import LAYERS
from keras_side.shared.attention import refuse_weighted_padding


def call_layer(
    node: Node, written: WrittenLayer, layers: dict[int, Any], values: Mapping[str, Any], dtype: str
) -> Sequence[Any]:
    """Apply a node's layer, made on its first use, to Keras tensors.

    Args:
        node: of the graph.
        written: its op as a Keras layer or operation.
        layers: the layers made so far, by the identity of their op; a new one is added.
        values: the Keras tensors by their names in the graph.
        dtype: of the layer.

    Returns:
        The tensors of the node's outputs, in order.

    Raises:
        UnsupportedError: Keras cannot be told the masks of the node.
    """
    import keras

    inputs = [values[name] for name in node.inputs]
    if isinstance(node.op, OnesLike):
        return [_every_step(inputs[0], node.name)]
    if written.is_operation:
        return [_operation(written, inputs, node.name)]
    if node.op.masked is EVERY_INPUT and not any(node.masks) and any(map(_carries_mask, inputs)):
        # The layer would take the masks that hang on its inputs; the operation of its name does not.
        return [_operation(WrittenLayer(written.class_name.lower(), {}), inputs, node.name)]
    if all(values[name].dtype == "bool" for name in node.inputs) and written.class_name == "Concatenate":
        return [_named(keras.ops.concatenate(inputs, **written.config), node.name)]
    if id(node.op) not in layers:
        config = _with_dtype(written.config, dtype) | {"name": node.name, "dtype": dtype}
        layers[id(node.op)] = _layer_class(written.class_name).from_config(config)
    if isinstance(node.op, Attends):
        return keras.tree.flatten(_attended(node, layers[id(node.op)], inputs, values, dtype))
    options = {} if written.takes_list else _mask_options(node, inputs, values)
    if isinstance(node.op, Recurrent | Bidirectional) and len(inputs) > 1:
        options["initial_state"] = _grouped(inputs[1:], written.state_groups)
    outputs = layers[id(node.op)](inputs if written.takes_list else inputs[0], **options)
    return keras.tree.flatten(outputs)


def _layer_class(name: str) -> Any:
    import keras

    import keras_side.layers as own

    return getattr(own if name in LAYERS.values() else keras.layers, name)


def _attended(node: Node, layer: Any, inputs: Sequence[Any], values: Mapping, dtype: str) -> Any:
    """Call an attention; its masks are said in full."""
    import keras

    op = node.op
    assert isinstance(op, Attends)
    owner = f"node {node.name!r}"
    inputs, attention_mask = op.split(inputs)
    limited = node.masks[1] is not None or attention_mask is not None
    refuse_weighted_padding(owner, op, limited, dtype)
    options: dict[str, Any] = {}
    if attention_mask is not None:
        _check_attention_mask(owner, node, len(attention_mask.shape))
    if op.causal:
        options["use_causal_mask"] = True
    if op.return_scores:
        options["return_attention_scores"] = True
    masks = [None if mask is None else values[mask] for mask in node.masks[: len(inputs)]]
    if not isinstance(op, MultiHeadAttention):
        if attention_mask is not None:
            masks[1] = attention_mask
        return layer(list(inputs), mask=masks, **options)
    if masks[0] is not None and attention_mask is None and not _carries_mask(inputs[0]):
        attention_mask = keras.ops.expand_dims(masks[0], -1)
        _named(attention_mask, f"{node.name}_queries_mask")
    if attention_mask is not None:
        options["attention_mask"] = attention_mask
    # That of the queries is the one that hangs on them; see `keras_side.writing.carried_masks`.
    for position, name in enumerate(("value_mask", "key_mask")[: len(inputs) - 1], start=1):
        if masks[position] is None and _carries_mask(inputs[position]):
            masks[position] = _every_step(inputs[position], f"{node.name}_all_steps_{position}")
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


def _grouped(states: Sequence[Any], groups: Sequence[int]) -> list[Any]:
    """The states in lists of so many each; flat where there are no groups."""
    if not groups:
        return list(states)
    left = iter(states)
    return [[next(left) for _ in range(count)] for count in groups]


def _mask_options(node: Node, inputs: Sequence[Any], values: Mapping) -> dict[str, Any]:
    """The mask of a call, said in full: without one, Keras would use what hangs on the input."""
    options = {}
    for position in node.op.masked:
        mask, tensor = node.masks[position], inputs[position]
        if mask is not None:
            options["mask"] = values[mask]
        elif _carries_mask(tensor):
            options["mask"] = _every_step(tensor, f"{node.name}_all_steps")
    return options


def _every_step(x: Any, name: str) -> Any:
    """The mask of every step of ``x``, ``(N, T, I)``."""
    import keras

    if len(x.shape) != 3:
        raise UnsupportedError(f"node {name!r}", "dimensions", len(x.shape), "3: a mask over (N, T, I)")
    ones = _named(keras.ops.ones_like(x, dtype="bool"), f"{name}_of_features")
    return _named(keras.ops.any(ones, axis=-1), name)


def _named(tensor: Any, name: str) -> Any:
    """Name the operation behind a symbolic tensor.

    Keras numbers operations by itself, and refuses the model when a layer happens to have such a name.
    """
    tensor._keras_history.operation.name = name
    return tensor


def _operation(written: WrittenLayer, inputs: Sequence[Any], name: str) -> Any:
    import keras

    function = getattr(keras.ops, written.class_name)
    result = function(*inputs[:2], **written.config)
    for position, other in enumerate(inputs[2:]):
        result = function(_named(result, f"{name}_{position}"), other)
    for position, (following, config) in enumerate(written.then):
        result = getattr(keras.ops, following)(_named(result, f"{name}_{position}"), **config)
    return _named(result, name)


def _with_dtype(config: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """The configuration with ``dtype`` set in the layers inside it too."""
    return {key: _inner_dtype(value, dtype) for key, value in config.items()}


def _inner_dtype(value: Any, dtype: str) -> Any:
    if isinstance(value, list):
        return [_inner_dtype(part, dtype) for part in value]
    if not isinstance(value, Mapping) or not isinstance(value.get("config"), Mapping):
        return value
    return dict(value) | {"config": _with_dtype(value["config"], dtype) | {"dtype": dtype}}
