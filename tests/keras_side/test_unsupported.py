"""What a refused layer is called, and what is offered in its place."""

from __future__ import annotations

import inspect

import keras
import pytest

from keras_side.registry import READERS
from keras_side.shared.tokenizers import TOKENIZERS
from keras_side.unsupported import CUSTOM, substitute, unsupported_class


def test_a_layer_of_keras_is_never_called_somebodys_code() -> None:
    packages = [keras.layers, pytest.importorskip("tf_keras").layers]
    for package in packages:
        for name, kind in inspect.getmembers(package, inspect.isclass):
            if issubclass(kind, package.Layer) and name not in (*READERS, *TOKENIZERS, "Lambda"):
                assert CUSTOM not in substitute(name), name


def test_what_is_offered_is_short_and_never_what_is_refused() -> None:
    for name in ("CenterCrop", "AdaptiveMaxPooling1D", "EinsumDense", "MyLSTM", "Hashing", "RandomFlip"):
        message = str(unsupported_class("layer 'x'", name, {}))
        offered = message.partition("supported; supported:")[2]
        assert name not in offered.replace(",", " ").split(), message
        assert len(message) < 300, message
    assert "Conv1D" not in str(unsupported_class("layer 'x'", "CenterCrop", {}))
    assert "MaxPooling1D" in str(unsupported_class("layer 'x'", "AdaptiveMaxPooling1D", {}))
    assert CUSTOM in str(unsupported_class("layer 'x'", "MyLSTM", {}))
