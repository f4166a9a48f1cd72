"""A module as the call that makes it: ``nn.LSTM(4, 3, batch_first=True)``.

The arguments are those of its class' ``__init__``, with the values of the attributes of the same names;
where a class keeps one under another name, or as a parameter, it is said here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from biport.registry import Registry
from torch_side import layers
from torch_side.writing.code import Code, call, literal, sequence

Settings = dict[str, Any]

SETTINGS: Registry[type[nn.Module], Callable[[Any], Settings]] = Registry("layer without a spelling")
"""The arguments that are no attributes of a layer, by its class or one that it is made of."""

SKIPPED = frozenset({"self", "device", "dtype", "_weight", "_freeze", "inplace", "mode"})
"""What is no setting of a layer."""

MISSING = object()


def class_name(kind: type[nn.Module]) -> str:
    """``nn.LSTM``, or the name of a class that is copied."""
    return f"nn.{kind.__name__}" if kind.__module__.startswith("torch.nn.") else kind.__name__


def constructor(module: nn.Module, classes: Mapping[nn.Module, str] | None = None) -> Code:
    """The call that makes a module like this one, but for the values of its weights.

    Args:
        module: it.
        classes: what classes of the file are called that take no arguments, by the modules they are for.

    Raises:
        TypeError: an argument of its class cannot be told from it.
    """
    if classes and module in classes:
        return Code(f"{classes[module]}()")
    positional: list[Code] = []
    keywords: list[tuple[str, Code]] = []
    given = _given(module)
    for at, parameter in enumerate(_parameters(type(module))):
        value = given.get(parameter.name, MISSING)
        if value is MISSING:
            value = getattr(module, parameter.name, MISSING)
        if value is MISSING:
            raise TypeError(f"{type(module).__name__} does not say its {parameter.name}")
        if parameter.name == "bias" and not isinstance(value, bool):
            value = value is not None
        required = parameter.default is inspect.Parameter.empty
        # What a layer is mostly made with is said even where it is the default: ``nn.Dropout(0.5)``.
        first = at == 0 and isinstance(parameter.default, float)
        if not required and not first and _same(value, parameter.default):
            continue
        by_position = (required or first) and parameter.kind is not inspect.Parameter.KEYWORD_ONLY
        if by_position and not keywords:
            positional.append(value_code(value, classes))
        else:
            keywords.append((parameter.name, value_code(value, classes)))
    return call(class_name(type(module)), positional, keywords)


def value_code(value: Any, classes: Mapping[nn.Module, str] | None = None) -> Code:
    """A setting as it is written; a module among them as the call that makes it, see `constructor`."""
    if isinstance(value, nn.Module):
        return constructor(value, classes)
    if isinstance(value, tuple | list | torch.Size):
        brackets = "[]" if isinstance(value, list) else "()"
        return sequence([value_code(part) for part in value], brackets)
    return literal(value)


def _same(value: Any, default: Any) -> bool:
    # 1 is not True, and a default of () is whatever is empty.
    return type(value) is type(default) and value == default


def _parameters(kind: type[nn.Module]) -> Iterator[inspect.Parameter]:
    """The arguments of a class; those that it hands on to the class it is made of come behind its own."""
    known: set[str] = set(SKIPPED)
    for base in kind.__mro__:
        if "__init__" not in vars(base):
            continue
        if base is nn.Module:
            return
        parameters = inspect.signature(base.__init__).parameters.values()
        if base is nn.RNN:
            # It takes this one out of whatever it is given.
            yield inspect.Parameter("nonlinearity", inspect.Parameter.KEYWORD_ONLY, default="tanh")
        for parameter in parameters:
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            if parameter.name not in known:
                known.add(parameter.name)
                yield parameter
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return


def _given(module: nn.Module) -> Settings:
    for kind in type(module).__mro__:
        if kind in SETTINGS:
            return SETTINGS.lookup(kind, "")(module)
    return {}


def says(*kinds: type[nn.Module]) -> Callable[[Callable[[Any], Settings]], Callable[[Any], Settings]]:
    """Register what tells the arguments of classes that are no attributes of theirs."""
    return SETTINGS.register(*kinds)


@says(layers.LoopedLSTM, layers.LoopedGRU, layers.LoopedRNN)
def _looped(module: Any) -> Settings:
    return {"dropout": module.input_dropout, **_activations(module)}


def _activations(module: Any) -> Settings:
    """Those of a recurrent layer, ``None`` for what it has by default."""
    return {
        name: part if repr(part) != repr(default) else None
        for name, default in (("activation", nn.Tanh()), ("recurrent_activation", nn.Sigmoid()))
        if (part := getattr(module, name, None)) is not None
    }


@says(layers.ConvLSTM1d, layers.ConvLSTM2d, layers.ConvLSTM3d)
def _conv_lstm(module: Any) -> Settings:
    convolution = module.input_conv
    names = ("in_channels", "kernel_size", "stride", "dilation", "bias")
    settings = {name: _single(getattr(convolution, name)) for name in names}
    return {**settings, **_activations(module)}


@says(layers.Recurrence)
def _recurrence(module: layers.Recurrence) -> Settings:
    return {"state_sizes": [sizes[0] if len(sizes) == 1 else sizes for sizes in module.state_sizes]}


@says(nn.Conv1d, nn.Conv2d, nn.Conv3d)
def _convolution(module: Any) -> Settings:
    return {name: _single(getattr(module, name)) for name in ("kernel_size", "stride", "padding", "dilation")}


@says(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
def _transposed_convolution(module: Any) -> Settings:
    return {**_convolution(module), "output_padding": _single(module.output_padding)}


def _single(value: Any) -> Any:
    """A number for what is the same along all axes."""
    return value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value


@says(layers.Conv1d)
def _own_conv1d(module: layers.Conv1d) -> Settings:
    return {**_convolution(module), "padding": module.keras_padding}


@says(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
def _pool(module: Any) -> Settings:
    names = ("kernel_size", "stride", "padding")
    settings = {name: _single(getattr(module, name)) for name in names}
    # By default a window moves on by its own size.
    return settings | {
        "stride": None if settings["stride"] == settings["kernel_size"] else settings["stride"]
    }


@says(layers.AveragePooling1D, layers.AveragePooling2D, layers.AveragePooling3D)
def _own_average_pool(module: Any) -> Settings:
    return {**_pool(module), "padding": module.keras_padding}


@says(nn.LayerNorm, nn.RMSNorm)
def _layer_norm(module: nn.LayerNorm | nn.RMSNorm) -> Settings:
    shape = list(module.normalized_shape)
    settings: Settings = {"normalized_shape": shape[0] if len(shape) == 1 else shape}
    # A bias without a weight is what torch has no setting for: the weight is taken away afterwards.
    return settings | {"bias": getattr(module, "bias", None) is not None}


@says(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm)
def _affine(module: Any) -> Settings:
    return {"affine": module.weight is not None or module.bias is not None}


@says(layers.PReLU, layers.LearnedAverage)
def _shape(module: layers.PReLU | layers.LearnedAverage) -> Settings:
    return {"shape": tuple(module.weight.shape), "size": _single(tuple(module.weight.shape))}


@says(layers.LayerNormalization)
def _layer_normalization(module: layers.LayerNormalization) -> Settings:
    given = [weight for weight in (module.weight, module.bias) if weight is not None]
    return {
        "shape": tuple(given[0].shape) if given else (),
        "weight": module.weight is not None,
        "bias": module.bias is not None,
    }


@says(layers.Normalization)
def _normalization(module: layers.Normalization) -> Settings:
    return {"shape": tuple(module.mean.shape)}


@says(layers.Attention)
def _attention(module: layers.Attention) -> Settings:
    return {"use_scale": module.scale is not None}


@says(layers.AdditiveAttention)
def _additive_attention(module: layers.AdditiveAttention) -> Settings:
    return {"input_size": None if module.scale is None else module.scale.numel()}


@says(layers.MultiHeadAttention)
def _multi_head_attention(module: layers.MultiHeadAttention) -> Settings:
    sizes = [part.in_features for part in (module.query, module.key, module.value)]
    return {
        "sizes": (*sizes, module.output.out_features),
        "bias": module.query.bias is not None,
    }


@says(nn.Hardtanh)
def _hardtanh(module: nn.Hardtanh) -> Settings:
    # Older names of its limits.
    return {"min_value": None, "max_value": None}
