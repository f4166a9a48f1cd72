"""The settings of layers, from the words of Keras 1 and 2 to those of Keras 3.

What a key became is said in one table a generation; what takes more than another name is a function of the
layer's class. A setting that has no meaning in Keras 3 stays where it is, so that the reader of the layer
refuses it by name, unless it has the one value that changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from keras_side.release import Release
from keras_side.shared.activations import write_activation
from keras_side.shared.recurrent import CONV_LSTMS

Settings = dict[str, Any]

CLASSES = {
    "AtrousConv1D": "Conv1D",
    "AtrousConvolution1D": "Conv1D",
    "AtrousConvolution2D": "Conv2D",
    "BatchNormalizationV1": "BatchNormalization",  # TensorFlow 1.14, keras/layers/normalization.py
    "BatchNormalizationV2": "BatchNormalization",
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "Convolution3D": "Conv3D",
    "CuDNNGRU": "GRU",
    "CuDNNLSTM": "LSTM",
    "Deconvolution2D": "Conv2DTranspose",
    "GRUV2": "GRU",
    "LSTMV2": "LSTM",
    "Model": "Functional",
    "SeparableConvolution2D": "SeparableConv2D",
    "ThresholdedReLU": "ReLU",
    "UnifiedGRU": "GRU",  # TensorFlow 1.13, keras/layers/recurrent.py
    "UnifiedLSTM": "LSTM",
}
"""Names that classes had before."""

OVER_AXES = {"border_mode": "padding", "dim_ordering": "data_format"}
"""What layers over two axes and more call it."""

CONVOLUTION_1 = {**OVER_AXES, "nb_filter": "filters", "subsample": "strides", "bias": "use_bias"}

KERAS_1: Mapping[str, Mapping[str, str]] = {
    "AtrousConvolution1D": {
        "nb_filter": "filters",
        "filter_length": "kernel_size",
        "subsample_length": "strides",
        "atrous_rate": "dilation_rate",
        "border_mode": "padding",
        "bias": "use_bias",
    },
    "AtrousConvolution2D": {**CONVOLUTION_1, "atrous_rate": "dilation_rate"},
    "AveragePooling1D": {"pool_length": "pool_size", "stride": "strides", "border_mode": "padding"},
    "BatchNormalization": {},
    "Convolution1D": {
        "nb_filter": "filters",
        "filter_length": "kernel_size",
        "subsample_length": "strides",
        "border_mode": "padding",
        "bias": "use_bias",
    },
    "Convolution2D": CONVOLUTION_1,
    "Convolution3D": CONVOLUTION_1,
    "Deconvolution2D": CONVOLUTION_1,
    "Dense": {"output_dim": "units", "bias": "use_bias"},
    "Dropout": {"p": "rate"},
    "GRU": {"output_dim": "units", "inner_activation": "recurrent_activation"},
    "GaussianDropout": {"p": "rate"},
    "GaussianNoise": {"sigma": "stddev"},
    "InputLayer": {"input_dtype": "dtype"},
    "LSTM": {"output_dim": "units", "inner_activation": "recurrent_activation"},
    "MaxPooling1D": {"pool_length": "pool_size", "stride": "strides", "border_mode": "padding"},
    "SeparableConvolution2D": CONVOLUTION_1,
    "SimpleRNN": {"output_dim": "units"},
    "SpatialDropout1D": {"p": "rate"},
    "SpatialDropout2D": {**OVER_AXES, "p": "rate"},
    "SpatialDropout3D": {**OVER_AXES, "p": "rate"},
    "UpSampling1D": {"length": "size"},
    **{
        f"{name}{dimensions}D": OVER_AXES
        for name in (
            *("AveragePooling", "Cropping", "GlobalAveragePooling", "GlobalMaxPooling", "MaxPooling"),
            *("UpSampling", "ZeroPadding"),
        )
        for dimensions in (2, 3)
    },
}
"""What the settings of Keras 1 are called since Keras 2 (keras/legacy/interfaces.py of 2.2.4)."""

DROPPED_1 = (
    *("init", "inner_init", "forget_bias_init", "consume_less", "input_length", "weights"),
    *("dropout_W", "dropout_U", "dim_ordering", "input_dtype"),
)
"""Settings of Keras 1 that matter while a model is trained or built."""

WEIGHTS_1 = {"W": "kernel", "U": "recurrent", "b": "bias"}
"""What settings that say how weights are trained begin with (keras/legacy/interfaces.py of 2.2.4)."""

DROPPED = ("batch_input_shape", "build_input_shape", "shared_object_id")
"""What any layer may carry along: the shape of the model's input, where it is the first."""

HARMLESS: Mapping[str, tuple[Any, ...]] = {
    "adjustment": (None,),
    "causal": (False,),
    "fused": (True, False, None),
    "mode": (0,),
    "num_constants": (None, 0),
    "noise_shape": (None,),
    "ragged": (False,),
    "softmax_robust_masking": (False,),
    "renorm": (False,),
    "time_major": (False,),
    "virtual_batch_size": (None,),
}
"""Settings that Keras 3 has no longer, and the values that change nothing."""


def order_of_axes(data: Mapping[str, Any]) -> str | None:
    """The ``dim_ordering`` that the layers of a model of Keras 1 name, those inside others too.

    Layers that pad, crop or repeat name none (keras/layers/convolutional.py of 1.2.2, ``get_config``): they
    have that of the machine. Where others name several, it is both of them, which is refused.

    Example:
        >>> order_of_axes({"config": [{"class_name": "Convolution2D", "config": {"dim_ordering": "th"}}]})
        'th'
    """
    orders, waiting = set(), [data]
    while waiting:
        match waiting.pop():
            case Mapping() as part:
                orders.update({"th", "tf"}.intersection([str(part.get("dim_ordering"))]))
                waiting += part.values()
            case list() as parts:
                waiting += parts
    return " and ".join(sorted(orders)) or None


def layer_settings(
    class_name: str, config: Mapping[str, Any], origin: Release, order: str | None = None
) -> tuple[str, Settings]:
    """Class name and settings of a layer as Keras 3 would write them; layers inside it stay as they are.

    Args:
        class_name: as the file has it.
        config: its settings.
        origin: the Keras that wrote them.
        order: see `order_of_axes`.
    """
    settings = dict(config)
    modern = CLASSES.get(class_name, class_name)
    if origin.generation == 1:
        names = KERAS_1.get(class_name, {})
        if order is not None and "dim_ordering" in names:
            settings.setdefault("dim_ordering", order)
        kept = {key: value for key, value in settings.items() if key in names or key not in DROPPED_1}
        settings = {names.get(key, _of_weight(class_name, key)): value for key, value in kept.items()}
        if class_name != "Embedding":
            settings.pop("input_dim", None)
    for key in DROPPED:
        if key != "batch_input_shape" or class_name != "InputLayer":
            settings.pop(key, None)
    _take_defaults(class_name, modern, settings, origin)
    if class_name in RULES:
        RULES[class_name](settings, origin)
    for key, values in HARMLESS.items():
        if key in settings and _is_one_of(settings[key], values):
            del settings[key]
    settings["dtype"] = _dtype(settings.get("dtype"))
    for key in ("activation", "recurrent_activation"):
        if key in settings:
            settings[key] = _activation(settings[key])
    return modern, settings


def _of_weight(class_name: str, key: str) -> str:
    """``W_regularizer`` of Keras 1 as it is called since; any other key as it is."""
    weight, _, kind = key.partition("_")
    if weight not in WEIGHTS_1 or kind not in ("regularizer", "constraint"):
        return key
    return f"embeddings_{kind}" if class_name == "Embedding" else f"{WEIGHTS_1[weight]}_{kind}"


def _is_one_of(value: object, values: tuple[Any, ...]) -> bool:
    return any(type(value) is type(choice) and value == choice for choice in values)


def _take_defaults(class_name: str, modern: str, settings: Settings, origin: Release) -> None:
    """What a layer does where an old file is silent, because the setting came later."""
    if modern in ("GRU", "GRUCell"):
        # Came with Keras 2.1.5 as False; TensorFlow 2 made True the default of its GRU, and writes it.
        settings.setdefault("reset_after", class_name in ("CuDNNGRU", "UnifiedGRU"))
    if modern in ("GRU", "GRUCell", "LSTM", "LSTMCell"):
        hard = origin.standalone and origin.before(2, 3) and not class_name.startswith("CuDNN")
        settings.setdefault("recurrent_activation", "hard_sigmoid" if hard else "sigmoid")
    if modern in CONV_LSTMS:
        settings.setdefault("recurrent_activation", "hard_sigmoid")
    if modern == "BatchNormalization":
        settings.setdefault("scale", True)
        settings.setdefault("center", True)


def _dtype(policy: object) -> object:
    """A dtype policy as Keras 3 names its classes (keras/mixed_precision/policy.py of 2.15)."""
    if isinstance(policy, Mapping) and policy.get("class_name") in ("Policy", "PolicyV1"):
        return dict(policy) | {"class_name": "DTypePolicy"}
    return policy


def _activation(function: Any) -> Any:
    """Keras 1 and 2 call ``hard_sigmoid`` what Keras 3 has not: ``clip(0.2 x + 0.5, 0, 1)``.

    Source:
        keras/backend/tensorflow_backend.py of 2.2.4, ``hard_sigmoid``; keras/backend.py of 2.15.
    """
    if function == "hard_sigmoid":
        return write_activation("hard_sigmoid_keras2")
    if isinstance(function, Mapping):
        if function.get("class_name") == "function" and function.get("config") == "hard_sigmoid":
            return write_activation("hard_sigmoid_keras2")
        if function.get("class_name") == "Activation" and isinstance(function.get("config"), Mapping):
            return _activation(function["config"].get("activation"))
    return function


def _number(value: Any) -> Any:
    """A number that Keras wrote as a numpy array (keras/engine/saving.py of 2.2.4, ``get_json_type``)."""
    return value["value"] if isinstance(value, Mapping) and "value" in value else value


def _input(config: Settings, origin: Release) -> None:
    if "batch_input_shape" in config:
        config["batch_shape"] = config.pop("batch_input_shape")


def _cudnn(config: Settings, origin: Release) -> None:
    """CuDNN has no other activations (keras/layers/cudnn_recurrent.py of 2.2.4)."""
    config["activation"] = "tanh"
    config["recurrent_activation"] = "sigmoid"


def _batch_normalization(config: Settings, origin: Release) -> None:
    """The axis is a list of one in ``tf.keras``."""
    match config.get("axis"):
        case [int(axis)]:
            config["axis"] = axis


def _kernel(config: Settings, origin: Release) -> None:
    """Keras 1 has a setting for each axis of a kernel (keras/layers/convolutional.py of 1.2.2)."""
    names = ("nb_row", "nb_col") if "nb_row" in config else ("kernel_dim1", "kernel_dim2", "kernel_dim3")
    if set(names) <= config.keys():
        config["kernel_size"] = [config.pop(name) for name in names]
    _ordering(config, origin)


def _deconvolution(config: Settings, origin: Release) -> None:
    """The shape that it is to give, which strides of 1 leave no choice of."""
    _kernel(config, origin)
    if config.get("strides") == [1, 1]:
        config.pop("output_shape", None)


def _separable(config: Settings, origin: Release) -> None:
    """Keras 2 turns no kernels round here that Theano has turned, which gives other numbers."""
    if origin.backend == "theano":
        config["backend"] = "theano"
    _kernel(config, origin)


def _ordering(config: Settings, origin: Release) -> None:
    """Keras 1 names the order of the axes after who has it so."""
    orders = {"th": "channels_first", "tf": "channels_last"}
    if config.get("data_format") in orders:
        config["data_format"] = orders[config["data_format"]]


def _zero_padding(config: Settings, origin: Release) -> None:
    """Four numbers in a row, or by name, in Keras 1 (keras/layers/convolutional.py of 1.2.2)."""
    _ordering(config, origin)
    names = ("top_pad", "bottom_pad", "left_pad", "right_pad")
    match config.get("padding"):
        case [int(top), int(bottom), int(left), int(right)]:
            config["padding"] = [[top, bottom], [left, right]]
        case Mapping() as sides if sides.keys() <= set(names):
            top, bottom, left, right = (sides.get(name, 0) for name in names)
            config["padding"] = [[top, bottom], [left, right]]


def _leaky_relu(config: Settings, origin: Release) -> None:
    """The default was 0.3 (keras/layers/advanced_activations.py of 2.2.4)."""
    config["negative_slope"] = _number(config.pop("alpha", 0.3))


def _embedding(config: Settings, origin: Release) -> None:
    """Keras 1 drops out ids while it trains."""
    if origin.generation == 1:
        config.pop("dropout", None)


def _multi_head_attention(config: Settings, origin: Release) -> None:
    """The shapes that it was built for say nothing that its weights do not."""
    for key in ("query_shape", "key_shape", "value_shape"):
        config.pop(key, None)


def _category_encoding(config: Settings, origin: Release) -> None:
    """One vector a row, whatever the mode: of several ids ``one_hot`` is an error
    (keras/layers/preprocessing/preprocessing_utils.py of 2.15, ``encode_categorical_inputs``)."""
    if config.get("output_mode") == "one_hot":
        config["output_mode"] = "multi_hot"


def _ids(config: Settings, origin: Release) -> None:
    """The dtype of lookups and bins was that of the ids they give."""
    if config.get("dtype") == "int64":
        del config["dtype"]


def _elu(config: Settings, origin: Release) -> None:
    config["alpha"] = _number(config.get("alpha", 1.0))


def _relu(config: Settings, origin: Release) -> None:
    for key in ("max_value", "negative_slope", "threshold"):
        if key in config:
            config[key] = _number(config[key])


def _thresholded_relu(config: Settings, origin: Release) -> None:
    """``x`` where it is above theta, else 0 (keras/layers/advanced_activations.py of 2.2.4)."""
    config["threshold"] = _number(config.pop("theta", 1.0))


RULES: Mapping[str, Callable[[Settings, Release], None]] = {
    **dict.fromkeys((name for name, words in KERAS_1.items() if "dim_ordering" in words), _ordering),
    **dict.fromkeys(("AtrousConvolution2D", "Convolution2D", "Convolution3D"), _kernel),
    "BatchNormalization": _batch_normalization,
    "BatchNormalizationV1": _batch_normalization,
    "BatchNormalizationV2": _batch_normalization,
    "CategoryEncoding": _category_encoding,
    "CuDNNGRU": _cudnn,
    "CuDNNLSTM": _cudnn,
    "Deconvolution2D": _deconvolution,
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D"), _separable),
    "Discretization": _ids,
    "ELU": _elu,
    "Embedding": _embedding,
    "InputLayer": _input,
    "IntegerLookup": _ids,
    "LeakyReLU": _leaky_relu,
    "MultiHeadAttention": _multi_head_attention,
    "ReLU": _relu,
    "SeparableConvolution2D": _separable,
    "ThresholdedReLU": _thresholded_relu,
    "ZeroPadding2D": _zero_padding,
}
"""What takes more than another name."""
