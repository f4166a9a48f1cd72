"""Which weights a layer of Keras 1, 2 or 3 has, in the order of an HDF5 file, and in which form.

A wrapper's or a model's weights are those of the layers inside it (``preprocess_weights_for_loading`` in
keras/engine/saving.py of 2.2.4, and in keras/src/legacy/saving/legacy_h5_format.py of 3.15).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from biport.errors import FileError, UnsupportedError, WeightError
from biport.extend import named_errors
from biport.ops.attention import PROJECTIONS
from keras_side.legacy.operations import is_operation
from keras_side.legacy.settings import CLASSES
from keras_side.mapped import reader_of_class
from keras_side.records import MODELS
from keras_side.registered import LAYERS, WEIGHTS
from keras_side.registry import READERS
from keras_side.release import Release
from keras_side.shared.recurrent import CONV_LSTMS
from keras_side.shared.tokenizers import TOKENIZERS

Arrays = dict[str, np.ndarray]
LayerPath = tuple[str, ...]
"""Where a layer is inside the outermost one: ``("forward_layer", "cell")``."""

MODERN_1 = {
    "W": "kernel",
    "U": "recurrent_kernel",
    "b": "bias",
    "running_mean": "moving_mean",
    "running_std": "moving_variance",
}
"""What weights of Keras 1 are called since; its ``running_std`` is a variance
(keras/layers/normalization.py of 1.2.2)."""

SEPARABLE = re.compile(r"SeparableConv[12]D")
CONVOLUTION = re.compile(r"(Depthwise)?Conv[123]D(Transpose)?")

LSTM_1, GRU_1 = "icfo", "zrh"
"""In which order Keras 1 lists the gates, three weights each (keras/layers/recurrent.py of 1.2.2)."""


class UnplacedError(UnsupportedError):
    """The weights of a layer cannot be told from those of one beside it that biport does not know."""


@dataclass(frozen=True)
class Slot:
    """One array of a list: what it is, and whether it stands among the trainable ones."""

    path: LayerPath
    name: str
    trainable: bool


def layer_entries(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The entries of the layers of a serialised model."""
    config = data.get("config")
    layers = config.get("layers") if isinstance(config, Mapping) else None
    return [entry for entry in layers if isinstance(entry, Mapping)] if isinstance(layers, list) else []


def layer_name(entry: Mapping[str, Any]) -> str:
    """What the layer of an entry is called."""
    config = entry.get("config")
    return str((config.get("name") if isinstance(config, Mapping) else None) or entry.get("name"))


def slots(
    entry: Mapping[str, Any], origin: Release, path: LayerPath = (), trainable: bool = True
) -> Iterator[Slot]:
    """The weights of a layer in the order of its layers.

    Raises:
        UnplacedError: a layer inside is not known, so that nobody can tell what it takes.
    """
    class_name, config = str(entry.get("class_name")), entry.get("config")
    settings = config if isinstance(config, Mapping) else {}
    if (reader := reader_of_class(entry)) is not None:
        if reader.weights is None:
            supported = "reads_class(..., weights=...), which says what weights the class has"
            raise UnplacedError(layer_name(entry), "class", class_name, supported)
        with named_errors(f"layer {layer_name(entry)!r}", reader.weights):
            weights = list(reader.weights(settings))
        for weight in weights:
            *inside, name = weight.split(".")
            yield Slot((*path, *inside), name, trainable)
        return
    trainable = trainable and settings.get("trainable") is not False
    inner = list(_inner(class_name, entry, settings, path))
    if inner:
        for at, layer in inner:
            yield from slots(layer, origin, at, trainable)
        return
    path = (*path, "cell") if class_name in CELLS_OF else path
    learnt, kept = _own(class_name, settings, origin)
    yield from (Slot(path, name, trainable) for name in learnt)
    yield from (Slot(path, name, False) for name in kept)


CELLS_OF = (
    *CONV_LSTMS,
    "CuDNNGRU",
    "CuDNNLSTM",
    "GRU",
    "GRUV2",
    "LSTM",
    "LSTMV2",
    "SimpleRNN",
    "UnifiedGRU",
    "UnifiedLSTM",
)
"""Layers that have their weights in a cell."""


def _inner(
    class_name: str, entry: Mapping[str, Any], settings: Mapping[str, Any], path: LayerPath
) -> Iterator[tuple[LayerPath, Mapping[str, Any]]]:
    """The layers inside a layer, in the order of their weights, and where they are."""
    class_name = LAYERS.get(class_name, class_name)
    if class_name in MODELS:
        for layer in layer_entries(entry):
            yield (*path, layer_name(layer)), layer
        return
    inner: list[tuple[str, object]] = []
    if class_name == "Bidirectional":
        if not {"forward_layer", "backward_layer"}.isdisjoint(path):
            # Each would double the layers of the one it is in.
            raise UnplacedError(
                layer_name(entry), "layer", class_name, "recurrent layers inside a Bidirectional"
            )
        forward = settings.get("layer")
        inner = [("forward_layer", forward), ("backward_layer", settings.get("backward_layer") or forward)]
    elif class_name == "MultiHeadAttention":
        inner = [(f"{part}_dense", _projection(settings)) for part in PROJECTIONS]
    elif class_name == "TimeDistributed":
        inner = [("layer", settings.get("layer"))]
    elif class_name in ("RNN", "Recurrence"):
        inner = [("cell", settings.get("cell"))]
    elif class_name == "BodyCell":
        inner = [("body", settings.get("body"))]
    elif class_name == "StackedRNNCells":
        cells = settings.get("cells")
        inner = [
            (f"cells.{index}", cell) for index, cell in enumerate(cells if isinstance(cells, list) else ())
        ]
    for key, layer in inner:
        if not isinstance(layer, Mapping):
            raise FileError(f"{layer_name(entry)}: {key} should be a serialised layer")
        yield (*path, key), layer


def _projection(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """One of the products of a MultiHeadAttention, whose weights are those of a Dense."""
    return {"class_name": "Dense", "config": {"use_bias": settings.get("use_bias", True), "trainable": True}}


def _own(class_name: str, settings: Mapping[str, Any], origin: Release) -> tuple[list[str], list[str]]:
    """The trainable and the other weights of a layer without others inside."""
    modern = CLASSES.get(class_name, class_name)
    if origin.generation == 3 and is_operation(class_name, settings):
        return [], []
    bias = ["bias"] if settings.get("use_bias", settings.get("bias", True)) else []
    if origin.generation == 1 and modern in ("LSTM", "GRU") and settings.get("consume_less") != "gpu":
        gates = LSTM_1 if modern == "LSTM" else GRU_1
        return [f"{weight}_{gate}" for gate in gates for weight in "WUb"], []
    match modern:
        case "Embedding":
            return ["embeddings"], []
        case "Dense":
            return ["kernel", *bias], []
        case name if SEPARABLE.fullmatch(name):
            return ["depthwise_kernel", "pointwise_kernel", *bias], []
        case name if CONVOLUTION.fullmatch(name):
            return ["kernel", *bias], []
        case "LSTM" | "GRU" | "SimpleRNN" | "LSTMCell" | "GRUCell" | "SimpleRNNCell":
            return ["kernel", "recurrent_kernel", *bias], []
        case name if name in CONV_LSTMS:
            return ["kernel", "recurrent_kernel", *bias], []
        case "BatchNormalization":
            return _affine(settings), ["moving_mean", "moving_variance"]
        case "LayerNormalization" | "GroupNormalization":
            return _affine(settings), []
        case "RMSNormalization":
            return ["scale"], []
        case "Normalization":
            return [], ["mean", "variance", "count"] if settings.get("mean") is None else []
        case "PReLU":
            return ["alpha"], []
        case name if name in LAYERS:
            return list(WEIGHTS[LAYERS[name]]), []
        case "AdditiveAttention" if settings.get("use_scale", True):
            return ["scale"], []
        case "Attention":
            scale = ["scale"] if settings.get("use_scale") else []
            return [*scale, *(["concat_score_weight"] if settings.get("score_mode") == "concat" else [])], []
    if modern not in READERS and modern not in (*WITHOUT_WEIGHTS, *TOKENIZERS):
        raise UnplacedError(f"layer {settings.get('name')!r}", "class", class_name)
    return [], []


WITHOUT_WEIGHTS = ("InputLayer", "Lambda", "Merge", "TFOpLambda", "TensorFlowOpLayer")


def _affine(settings: Mapping[str, Any]) -> list[str]:
    if settings.get("rms_scaling"):
        return ["gamma"]
    names = (("gamma", settings.get("scale", True)), ("beta", settings.get("center", True)))
    return [name for name, there in names if there]


def changes(
    entry: Mapping[str, Any], origin: Release, path: LayerPath = ()
) -> Iterator[tuple[LayerPath, Callable[[Arrays], Arrays]]]:
    """Where weights are kept in another form than Keras 3 keeps them, and how they come into that."""
    class_name, config = str(entry.get("class_name")), entry.get("config")
    settings = config if isinstance(config, Mapping) else {}
    for at, layer in _inner(class_name, entry, settings, path):
        yield from changes(layer, origin, at)
    cell = (*path, "cell")
    modern = CLASSES.get(class_name, class_name)
    if class_name == "CuDNNLSTM":
        yield cell, lambda arrays: _from_cudnn(arrays, 4)
    elif class_name == "CuDNNGRU":
        yield cell, lambda arrays: _from_cudnn(arrays, 3)
    elif origin.generation == 1 and SEPARABLE.fullmatch(modern):
        yield path, lambda arrays: _axes_in_front(arrays, settings)
    elif CONVOLUTION.fullmatch(modern):
        yield path, lambda arrays: _convolution(arrays, modern, settings, origin)
    elif origin.generation == 1 and modern in ("LSTM", "GRU") and settings.get("consume_less") != "gpu":
        order = "ifco" if modern == "LSTM" else "zrh"
        yield cell, lambda arrays: _stacked(arrays, order)


def _stacked(arrays: Arrays, order: str) -> Arrays:
    """The gates of Keras 1, an array each, side by side."""
    return {
        MODERN_1[weight]: np.concatenate([arrays[f"{weight}_{g}"] for g in order], -1) for weight in "WUb"
    }


def from_cudnn_cell(arrays: Arrays) -> Arrays:
    """Weights of a cell, also where they are kept as CuDNN keeps them, which the length of the bias tells."""
    bias, recurrent = arrays.get("bias"), arrays.get("recurrent_kernel")
    if bias is None or recurrent is None or bias.ndim != 1 or recurrent.ndim != 2:
        return arrays
    rows, columns = recurrent.shape
    gates = columns // rows if rows else 0
    return _from_cudnn(arrays, gates) if gates in (3, 4) and bias.shape == (2 * columns,) else arrays


def _from_cudnn(arrays: Arrays, gates: int) -> Arrays:
    """Weights as CuDNN keeps them: each gate transposed in memory, and a bias for each kernel.

    Source:
        keras/engine/saving.py of 2.2.4, ``_convert_rnn_weights``.
    """
    kernel, recurrent, bias = (arrays[name] for name in ("kernel", "recurrent_kernel", "bias"))
    if kernel.ndim != 2 or recurrent.ndim != 2 or bias.shape != (2 * gates * recurrent.shape[0],):
        raise WeightError(f"CuDNN weights of shapes {kernel.shape}, {recurrent.shape} and {bias.shape}")
    parts = [part.T.reshape(part.shape, order="F") for part in np.split(kernel, gates, axis=1)]
    rows = [part.T for part in np.split(recurrent, gates, axis=1)]
    return {
        "kernel": np.concatenate(parts, axis=1),
        "recurrent_kernel": np.concatenate(rows, axis=1),
        # An LSTM of Keras has one bias; a GRU that resets after has both.
        "bias": bias.reshape(2, -1).sum(axis=0, dtype=bias.dtype) if gates == 4 else bias.reshape(2, -1),
    }


def _axes_in_front(arrays: Arrays, settings: Mapping[str, Any]) -> Arrays:
    """Kernels of Keras 1 whose axes are behind where the features of the input are in front."""
    if settings.get("dim_ordering") != "th":
        return arrays
    return {
        name: np.ascontiguousarray(np.moveaxis(array, (1, 0), (-2, -1))) if array.ndim > 3 else array
        for name, array in arrays.items()
    }


def _convolution(arrays: Arrays, modern: str, settings: Mapping[str, Any], origin: Release) -> Arrays:
    """A kernel ``(*K, I, O)``, of a transposed one ``(*K, O, I)``, that is slid as it is.

    Keras 1 kept those of one axis as ``(K, 1, I, O)`` or, before 1.2, ``(O, I, K, 1)``, others with their
    axes behind where the features were in front; Theano slid kernels turned round
    (keras/engine/saving.py of 2.2.4, ``preprocess_weights_for_loading`` and ``_need_convert_kernel``).
    """
    kernel = arrays["kernel"]
    if origin.generation == 1 and modern == "Conv1D" and kernel.ndim == 4:
        size = settings.get("filter_length")
        if kernel.shape[:2] != (size, 1) or kernel.shape[3] != settings.get("nb_filter"):
            kernel = np.transpose(kernel, (2, 3, 1, 0))
        kernel = kernel[:, 0]
    elif origin.generation == 1 and kernel.ndim >= 4:
        kernel = _axes_in_front({"kernel": kernel}, settings)["kernel"]
        if modern.endswith("Transpose"):
            kernel = kernel.swapaxes(-2, -1)
    if origin.backend == "theano":
        kernel = np.flip(kernel, tuple(range(kernel.ndim - 2)))
    return arrays | {"kernel": np.ascontiguousarray(kernel)}
