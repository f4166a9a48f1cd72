"""What to use in place of a layer that is not supported."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from biport.errors import UnsupportedError
from keras_side.code_needed import CodeNeededError, known, lambda_layer
from keras_side.legacy.messages import OPERATIONS
from keras_side.legacy.operations import FUNCTIONS
from keras_side.registry import READERS

CUSTOM = "the layers of Keras itself: code of the model's author is never run"

SUBSTITUTES = {
    "Highway": "Dense, Multiply and Add",
    "Lambda": "the layer that does the same, such as Activation, Reshape or Permute",
    "LocallyConnected1D": "Conv1D",
    "MaxoutDense": "Dense layers and Maximum",
    "Merge": "Add, Multiply, Average, Maximum, Concatenate or Dot of a list of tensors (modes sum, mul, ave, "
    "max, concat)",
    "SReLU": "PReLU",
    **dict.fromkeys(
        ("HashedCrossing", "Hashing"),
        "an IntegerLookup or a StringLookup with a vocabulary, or the ids as the input of the model: a hash "
        "(FarmHash64, SipHash64) has no operator in ONNX or torch",
    ),
    "TimeDistributedDense": "TimeDistributed around Dense",
}
"""By class name: what does the same, or nearly."""


SUBCLASSED = (
    "Sequential and functional models. What a subclassed model computes is code that no file holds: read it "
    "live, or build a functional model of the same layers, give it the weights (set_weights, or load_weights "
    "of a file), and port that one"
)


def subclassed(owner: str, class_name: str) -> UnsupportedError:
    """Why a model of a class of its author's own is not read, and what to do."""
    return CodeNeededError(owner, "class", class_name, SUBCLASSED)


PICTURES = (
    *("AugMix", "AutoContrast", "CenterCrop", "ContrastLimitedAdaptiveHistogramEqualization", "CutMix"),
    *("Equalization", "MaxNumBoundingBoxes", "MixUp", "RandAugment", "Resizing", "Solarization"),
)
"""Layers of Keras over pictures, beside those whose names begin with Random or end in 2D or 3D."""

IN_FRONT = (*("DenseFeatures", "MelSpectrogram", "Pipeline", "STFTSpectrogram"),)
"""Layers of Keras that prepare data."""

OTHERS = (
    *("AbstractRNNCell", "AdaptiveAveragePooling1D", "AdaptiveMaxPooling1D"),
    *("EinsumDense", "FlaxLayer", "GRUCell", "GroupQueryAttention", "InputLayer", "JaxLayer", "LSTMCell"),
    *("Layer", "ReversibleEmbedding", "SimpleRNNCell"),
    *("SpectralNormalization", "StackedRNNCells", "TFSMLayer", "ThresholdedReLU", "TorchModuleWrapper"),
    "Wrapper",
)
"""The other layers of Keras that biport does not read, but for `SUBSTITUTES`."""


def unsupported_class(owner: str, class_name: str, config: Mapping[str, Any]) -> UnsupportedError:
    """Why a layer of this class is not read, and what to use in place of it."""
    if class_name == "TFOpLambda":
        return UnsupportedError(owner, "function", config.get("function"), sorted(FUNCTIONS))
    if class_name == "TensorFlowOpLayer":
        return UnsupportedError(owner, "operation", str(config.get("node_def"))[:80], OPERATIONS)
    instead = substitute(class_name)
    if class_name == "Lambda":
        return lambda_layer(owner, config, str(instead))
    if not isinstance(instead, str) or CUSTOM not in instead:
        return UnsupportedError(owner, "class", class_name, instead)
    return CodeNeededError(owner, "class", class_name, "; ".join([instead, *known({"config": config})]))


def substitute(class_name: str) -> str | list[str]:
    """What to use in place of a class that is not supported: words, or the layers to choose from."""
    if class_name in SUBSTITUTES:
        return SUBSTITUTES[class_name]
    if class_name in PICTURES or re.fullmatch(r"Random[A-Z]\w*|\w+[23]D(Transpose)?", class_name):
        return "layers over sequences, (N, T, I); none of them works on pictures or volumes"
    if class_name in IN_FRONT:
        return "its output as the input of the model, this layer in front of it"
    if class_name in OTHERS:
        return READERS.supported()
    alike = difflib.get_close_matches(class_name, READERS.supported(), 1, 0.7)
    return f"{alike[0]}, if it does the same; else {CUSTOM}" if alike else CUSTOM
