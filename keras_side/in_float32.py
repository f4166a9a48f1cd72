"""A Keras model of half precision computing in float32 for a while."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from keras_side.policies import COARSE
from keras_side.recording.put_back import put_back

if TYPE_CHECKING:
    import keras


@contextlib.contextmanager
def in_float32(model: keras.Model) -> Iterator[None]:
    """Have a live model compute in float32 with the very numbers of its weights, whatever its policies say.

    What it gives meanwhile and what it gives otherwise differ by what half precision costs it. Afterwards the
    model is what it was.

    Args:
        model: live; one without half precision stays as it is.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, dtype="mixed_float16")])
        >>> with in_float32(model):
        ...     model.layers[0].compute_dtype
        'float32'
        >>> model.layers[0].compute_dtype
        'float16'
    """
    with put_back(model), _casts_to_float32(model):
        for layer in (model, *model._flatten_layers(include_self=False)):
            if layer.compute_dtype in COARSE:
                own: Any = vars(layer)
                own["_dtype_policy"] = _float32(layer.variable_dtype)
                _renew_statistics(layer)
        yield


def _float32(variable_dtype: str) -> Any:
    """A policy that computes in float32 with variables of any dtype, which are cast when they are read."""
    policy = sys.modules["keras"].DTypePolicy("float32")
    policy._variable_dtype = variable_dtype
    return policy


def _renew_statistics(layer: Any) -> None:
    """Have a Normalization take its statistics anew, of which it keeps copies that were rounded."""
    if type(layer) is sys.modules["keras"].layers.Normalization and layer.built:
        if layer.input_mean is None:
            layer.finalize_state()
        else:
            layer.build(layer._build_input_shape)


@contextlib.contextmanager
def _casts_to_float32(model: Any) -> Iterator[None]:
    """Have operations between layers that cast to half precision cast to float32."""
    models = (model, *model._flatten_layers(include_self=False))
    operations = [one for inner in models for one in getattr(inner, "operations", ())]
    casts = [
        one
        for one in operations
        if not hasattr(one, "dtype_policy") and getattr(one, "dtype", None) in COARSE
    ]
    before = [one.dtype for one in casts]
    for one in casts:
        one.dtype = "float32"
    try:
        yield
    finally:
        for one, dtype in zip(casts, before, strict=True):
            one.dtype = dtype
