"""Graphs to live Keras models, and weights into models that exist already."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import keras_side.ops
from biport.errors import InputError, MissingDependencyError, UnsupportedError, WeightError
from biport.files import check_target
from biport.graph import Graph, Node
from biport.inputs import check_inputs
from biport.ops import (
    FLOATS,
    Bidirectional,
    LogicalAnd,
    LogicalOr,
    MultiHeadAttention,
    OnesLike,
    Recurrent,
)
from biport.ops.attention import Attends
from biport.ops.base import EVERY_INPUT
from biport.registry import discover
from biport.rewrite.biases import LoadReport, summed_biases
from keras_side.attention import refuse_weighted_padding
from keras_side.records import WrittenLayer
from keras_side.registered import LAYERS, register
from keras_side.registry import WRITERS

if TYPE_CHECKING:
    import keras

discover(keras_side.ops)


def write(graph: Graph) -> keras.Model:
    """Write a graph as a functional Keras model with the graph's names, weights and dtype.

    Every mask is passed to its layer explicitly, so the model does not depend on how a release of Keras
    propagates masks. A layer of which the graph keeps two biases gets their sum; that is warned about
    when the second is not zero.

    Raises:
        UnsupportedError: the graph has an op Keras has no layer for.
        MissingDependencyError: keras or its backend is not installed.
    """
    require_keras()
    summed = summed_biases(graph)
    if summed:
        warnings.warn(f"two biases were added up for Keras in: {', '.join(summed)}", stacklevel=2)
    with warnings.catch_warnings():
        # Keras warns of every layer that ends a mask; the graph has settled that already.
        warnings.filterwarnings("ignore", message=".*does not support masking.*")
        return _write(graph)


def require_keras() -> None:
    """Import keras with a backend that stays quiet, and make known to it what biport's models may hold.

    Raises:
        MissingDependencyError: keras or its backend is not installed.
    """
    if sys.modules.get("keras") is None:
        _import_keras()
    register()


def _import_keras() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with _quiet_stderr():
            import keras  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            f"Keras models need keras and a backend ({error}): pip install 'biport[keras]'"
        ) from error


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Keep what TensorFlow's C++ side prints while it is loaded, whatever its log level, off the terminal."""
    try:
        saved = os.dup(2)
    except OSError:
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def save(graph: Graph, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a graph as a ``.keras`` file, which appears whole or not at all.

    Raises:
        InputError: the file is there already, its name does not end in ``.keras``, or its folder is missing.
        UnsupportedError: the graph has an op Keras has no layer for.
    """
    target = Path(path)
    if target.suffix != ".keras":
        raise InputError(f"{target}: a Keras file ends in .keras")
    check_target(target, overwrite)
    model = write(graph)
    with tempfile.TemporaryDirectory(dir=target.absolute().parent, prefix=f".{target.stem}-") as folder:
        staging = Path(folder) / target.name
        model.save(staging)
        os.replace(staging, target)
    return target


def _write(graph: Graph) -> keras.Model:
    import keras

    values: dict[str, Any] = {}
    for value in graph.inputs:
        shape = [None if isinstance(dim, str) else dim for dim in value.shape[1:]]
        values[value.name] = keras.Input(tuple(shape), dtype=value.dtype, name=value.name)
    layers: dict[int, Any] = {}
    weights: list[tuple[Any, WrittenLayer, str]] = []
    dtype = next((found for node in graph.nodes if (found := node.op.dtype)), None)
    dtype = dtype or next((value.dtype for value in graph.inputs if value.dtype in FLOATS), "float32")
    for node in graph.nodes:
        written = WRITERS.lookup(type(node.op), f"node {node.name!r}")(node.op)
        made = _call(node, written, layers, values, dtype)
        if written.weights:
            weights.append((layers[id(node.op)], written, node.name))
        values |= zip(node.outputs, made, strict=True)
    outputs = [values[name] for name in graph.outputs]
    inputs = [values[value.name] for value in graph.inputs]
    model = keras.Model(inputs if len(inputs) > 1 else inputs[0], outputs if len(outputs) > 1 else outputs[0])
    for layer, written, name in weights:
        _set_weights(layer, written, name)
    _check_carried(graph, model)
    return model


def _call(node: Node, written: WrittenLayer, layers: dict, values: Mapping, dtype: str) -> Sequence[Any]:
    """Apply a node's layer, made on its first use, to Keras tensors."""
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
    made = layers[id(node.op)](inputs if written.takes_list else inputs[0], **options)
    return keras.tree.flatten(made)


def _layer_class(name: str) -> Any:
    import keras

    import keras_side.layers as own

    return getattr(own if name in LAYERS.values() else keras.layers, name)


def _attended(node: Node, layer: Any, inputs: Sequence[Any], values: Mapping, dtype: str) -> Any:
    """Call an attention; its masks are said in full."""
    op = node.op
    assert isinstance(op, Attends)
    refuse_weighted_padding(f"node {node.name!r}", op, node.masks[1] is not None, dtype)
    options: dict[str, Any] = {}
    if op.causal:
        options["use_causal_mask"] = True
    if op.return_scores:
        options["return_attention_scores"] = True
    masks = [None if mask is None else values[mask] for mask in node.masks]
    if not isinstance(op, MultiHeadAttention):
        return layer(inputs, mask=masks, **options)
    # That of the queries cannot be given; see `_check_carried`.
    for position, name in enumerate(("value_mask", "key_mask")[: len(inputs) - 1], start=1):
        if masks[position] is None and _carries_mask(inputs[position]):
            masks[position] = _every_step(inputs[position], f"{node.name}_all_steps_{position}")
        options[name] = masks[position]
    return layer(*inputs, **{key: value for key, value in options.items() if value is not None})


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
        mask, found = node.masks[position], inputs[position]
        if mask is not None:
            options["mask"] = values[mask]
        elif _carries_mask(found):
            options["mask"] = _every_step(found, f"{node.name}_all_steps")
    return options


def _every_step(x: Any, name: str) -> Any:
    """The mask of every step of ``x``, ``(N, T, I)``."""
    import keras

    if len(x.shape) != 3:
        raise UnsupportedError(f"node {name!r}", "dimensions", len(x.shape), "3: a mask over (N, T, I)")
    ones = _named(keras.ops.ones_like(x, dtype="bool"), f"{name}_of_features")
    return _named(keras.ops.any(ones, axis=-1), name)


def _check_carried(graph: Graph, model: keras.Model) -> None:
    """Refuse where a layer that cannot be told its masks would see others than the graph's.

    Such layers are the merges whose result depends on the masks that hang on their inputs, and those with
    many heads, whose queries' mask is the one that hangs on them.
    """
    merges = [
        node
        for node in graph.nodes
        if node.op.masked is EVERY_INPUT or isinstance(node.op, MultiHeadAttention)
    ]
    if not merges:
        return
    from keras_side.read import read

    again = read(model)
    calls: Counter[int] = Counter()
    first: dict[int, str] = {}
    for node in merges:
        name, index = first.setdefault(id(node.op), node.name), calls[id(node.op)]
        calls[id(node.op)] += 1
        twin = again[f"{name}@{index}" if index else name]
        if not any((*node.masks, *twin.masks)):
            continue
        for position, (wanted, found) in enumerate(zip(node.masks, twin.masks, strict=True)):
            if _mask_formula(graph, wanted) != _mask_formula(again, found):
                raise UnsupportedError(
                    f"node {node.name!r} ({node.op.kind})",
                    "mask",
                    f"{wanted} for input {position}",
                    "the masks that Keras hangs on its inputs",
                )


def _mask_formula(graph: Graph, name: str | None) -> Any:
    """A mask as nested tuples in which no name occurs but those of the model's inputs."""
    makers = {output: node for node in graph.nodes for output in node.outputs}
    if name is None or name not in makers:
        return name
    node = makers[name]
    parts = [] if isinstance(node.op, OnesLike) else [_mask_formula(graph, part) for part in node.inputs]
    if isinstance(node.op, LogicalAnd | LogicalOr):
        # Keras joins masks two at a time; joined is joined.
        flat = [item for part in parts for item in (part[1] if part[0] == node.op.kind else [part])]
        return node.op.kind, tuple(sorted(set(flat), key=repr))
    return node.op.kind, repr(node.op), tuple(parts)


def _named(tensor: Any, name: str) -> Any:
    """Name the operation behind a symbolic tensor.

    Keras numbers operations by itself, and refuses the model when a layer happens to have such a name.
    """
    tensor._keras_history.operation.name = name
    return tensor


def _operation(written: WrittenLayer, inputs: Sequence[Any], name: str) -> Any:
    import keras

    function = getattr(keras.ops, written.class_name)
    made = function(*inputs[:2], **written.config)
    for position, other in enumerate(inputs[2:]):
        made = function(_named(made, f"{name}_{position}"), other)
    for position, (following, config) in enumerate(written.then):
        made = getattr(keras.ops, following)(_named(made, f"{name}_{position}"), **config)
    return _named(made, name)


def _with_dtype(config: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """The configuration with ``dtype`` set in the layers inside it too."""
    return {key: _inner_dtype(value, dtype) for key, value in config.items()}


def _inner_dtype(value: Any, dtype: str) -> Any:
    if isinstance(value, list):
        return [_inner_dtype(part, dtype) for part in value]
    if not isinstance(value, Mapping) or not isinstance(value.get("config"), Mapping):
        return value
    return dict(value) | {"config": _with_dtype(value["config"], dtype) | {"dtype": dtype}}


def _set_weights(layer: Any, written: WrittenLayer, owner: str) -> None:
    shapes = [tuple(variable.shape) for variable in layer.weights]
    wanted = [array.shape for array in written.weights]
    if shapes != wanted:
        raise WeightError(f"layer {owner!r}: its weights have the shapes {shapes}, the graph's {wanted}")
    # Not np.ascontiguousarray, which makes a vector of a scalar.
    layer.set_weights([np.asarray(array, order="C") for array in written.weights])


def load(model: keras.Model, graph: Graph) -> LoadReport:
    """Fill an existing Keras model with a graph's weights, layer by layer, by name.

    Args:
        model: a built model whose layers have the names of the graph's nodes; those of a model inside it,
            the names ``outer.inner``.
        graph: where the weights come from.

    Returns:
        What was filled, and where two biases had to be added up.

    Raises:
        WeightError: layers or weights missing, left over or of another shape, all named at once; the model
            is then left as it was.
    """
    written = {
        node.name: (node.op, WRITERS.lookup(type(node.op), node.name)(node.op))
        for node in graph.nodes
        if node.op.weights()
    }
    layers = dict(_weighted(model, ""))
    problems = [f"the model has no layer {name!r}" for name in written if name not in layers]
    problems += [f"the graph has no weights for layer {name!r}" for name in layers if name not in written]
    for name in written.keys() & layers.keys():
        wanted = [array.shape for array in written[name][1].weights]
        found = [tuple(variable.shape) for variable in layers[name].weights]
        if wanted != found:
            problems.append(f"layer {name!r} has the shapes {found}, the graph {wanted}")
    if problems:
        raise WeightError(f"model {model.name!r}: " + "; ".join(sorted(problems)))
    for name, (_, layer) in written.items():
        _set_weights(layers[name], layer, name)
    return LoadReport(filled=tuple(written), summed=tuple(summed_biases(graph)))


def _weighted(model: keras.Model, prefix: str) -> Iterator[tuple[str, Any]]:
    """The layers that have weights, those of models inside by their path: ``outer.inner``."""
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _weighted(layer, f"{prefix}{layer.name}.")
        elif layer.weights:
            yield prefix + layer.name, layer


def run(
    model: keras.Model,
    inputs: Sequence[np.ndarray],
    graph: Graph | None = None,
    *,
    compiled: bool = False,
) -> list[np.ndarray]:
    """The outputs of a Keras model, in inference mode, on the CPU.

    An empty batch gives empty outputs, which Keras itself cannot compute.

    Args:
        model: a live model.
        inputs: one array for each of its inputs.
        graph: the model's graph, to check the inputs against; read from the model when not given.
        compiled: run it by ``predict_on_batch``, which pays where a model is run many times.

    Raises:
        InputError: the inputs do not suit the model, or have no time steps (T = 0), which Keras cannot run.
    """
    import keras

    from keras_side.read import read

    arrays = check_inputs(read(model) if graph is None else graph, inputs)
    if any(0 in array.shape[1:] for array in arrays):
        raise InputError("Keras cannot run a model over no time steps (T = 0)")
    batch = len(arrays[0])
    if batch == 0:
        arrays = [np.zeros((1, *array.shape[1:]), array.dtype) for array in arrays]
    flat = call(model, arrays)
    return [np.asarray(keras.ops.convert_to_numpy(output))[:batch] for output in flat]


def call(model: keras.Model, tensors: Sequence[Any]) -> list[Any]:
    """The outputs of a Keras model as tensors, in inference mode, on the CPU; a tensor for each input."""
    import keras

    # On a GPU, cuDNN refuses all masks but right padding, and TF32 changes results by about 1e-3.
    with warnings.catch_warnings(), keras.device("cpu:0"):
        warnings.filterwarnings("ignore", message=".*does not support masking.*")
        # A softmax over one step is 1, as it should be.
        warnings.filterwarnings("ignore", message=".*using a softmax over axis.*")
        # A model may take and give mappings; the graph has their values in the order of the keys.
        sequential = type(model) is keras.Sequential
        packed = tensors[0] if sequential else keras.tree.pack_sequence_as(model.input, list(tensors))
        return keras.tree.flatten(model(packed, training=False))
