"""The objects that a configuration describes, and which of them Keras makes without code of anybody's own."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from keras_side.parts import parts


def objects(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Everything in a configuration that says of what class it is; how a model is trained is left out."""
    of_model = {key: value for key, value in config.items() if key != "compile_config"}
    yield from (item for item in parts(of_model) if "class_name" in item or "module" in item)


def known_to_keras_3(item: Mapping[str, Any]) -> bool:
    """Whether something in a configuration is Keras' own, or registered with it; a Lambda is not."""
    name, module, registered = (item.get(key) for key in ("class_name", "module", "registered_name"))
    if name == "Lambda":
        return False
    if registered is None or str(module).partition(".")[0] == "keras":
        return module is None or str(module).partition(".")[0] == "keras"
    keras = sys.modules.get("keras")
    return keras is not None and keras.saving.get_registered_object(str(registered)) is not None
