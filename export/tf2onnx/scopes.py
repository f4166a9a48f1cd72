"""Which layer of a model a TensorFlow operator belongs to, for errors.

Names of layers do not tell: TensorFlow numbers the scopes it has seen before, and ``lstm_1`` may be either
the layer of that name or the layer ``lstm`` once more. So a model that cannot be converted is traced once
more, each layer in a scope that nobody else has.
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from typing import Any

from export.tf2onnx.calls import Call, replaced_calls

SCOPE = "biport_layer_"


class Scopes:
    """The layers of a model, each with a scope of its own.

    Args:
        model: a live Keras model.
    """

    def __init__(self, model: Any) -> None:
        self._layers = [part for part in called_parts(model) if part is not model]
        self._failed: Any = None

    def entered(self) -> AbstractContextManager[None]:
        """Within, every call of a layer is in its scope."""
        calls = [(layer, self._scoped(number, layer)) for number, layer in enumerate(self._layers)]
        return replaced_calls(calls)

    def _scoped(self, number: int, layer: Any) -> Call:
        import tensorflow as tf

        inner = layer.call

        def call(*args: Any, **options: Any) -> Any:
            with tf.name_scope(f"{SCOPE}{number}"):
                try:
                    return inner(*args, **options)
                except Exception:
                    self._failed = self._failed or layer
                    raise

        return call

    def layer(self, text: str) -> Any:
        """The innermost layer whose scope is in a text, else that whose call failed, or ``None``."""
        numbers = re.findall(rf"{SCOPE}(\d+)", text)
        return self._layers[int(numbers[-1])] if numbers else self._failed


def called_parts(model: Any) -> list[Any]:
    """All that is called, operations too: ``keras.ops.argmax`` of an output is no layer of Keras."""
    called: dict[int, Any] = {}
    for layer in model._flatten_layers():
        called |= {id(part): part for part in (layer, *getattr(layer, "operations", ()))}
    return list(called.values())
