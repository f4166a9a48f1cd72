"""``custom_objects.py``: what a ``.keras`` file has that Keras itself lacks, as code for keras alone."""

from __future__ import annotations

import inspect
import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from biport.errors import InputError
from keras_side import registered

NAME = "custom_objects.py"
OF_BIPORT = ("TensorOperation",)
"""What computes with the ops of biport, and needs it to be installed."""

HEAD = '''"""What {model} has beside the layers of Keras itself; written by biport.

    import keras
    from custom_objects import CUSTOM_OBJECTS

    model = keras.saving.load_model("{model}", custom_objects=CUSTOM_OBJECTS)
"""

from __future__ import annotations

'''
START = HEAD.partition("{model}")[0]

IMPORTS = {
    "reduce": "from functools import reduce",
    "Sequence": "from collections.abc import Sequence",
    "Any": "from typing import Any",
}
"""In the order in which they stand in a file."""


def custom_objects(path: Path) -> list[str]:
    """The names of what a ``.keras`` file has that Keras itself lacks; nothing where stock Keras opens it."""
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
    used = set(_registered(config))
    return [name for name in [*registered.NAMES.values(), *registered.LAYERS.values()] if name in used]


def _registered(item: Any) -> Iterator[str]:
    """The names of what is registered by biport, wherever it stands in a configuration."""
    known = registered.NAMES | registered.LAYERS
    match item:
        case {"registered_name": str(name)} if name in known:
            yield known[name]
        case {"class_name": "function", "config": str(name)} if name in known:
            yield known[name]
    for part in item.values() if isinstance(item, dict) else item if isinstance(item, list) else ():
        yield from _registered(part)


def with_those_beside(names: Sequence[str], target: Path) -> list[str]:
    """``names``, and those of the ``custom_objects.py`` that is there for another file of the same folder.

    Raises:
        InputError: it is not biport's, and has to stay.
    """
    path = target.with_name(NAME)
    if not path.exists():
        return list(names)
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    if not text.startswith(START):
        raise InputError(f"{path}: is somebody else's; write {target.name} into a folder of its own")
    known = [*registered.NAMES.values(), *registered.LAYERS.values()]
    return [name for name in known if name in names or f'"{registered.PACKAGE}>{name}":' in text]


def source(names: Sequence[str], model: str) -> str:
    """The text of ``custom_objects.py``.

    Args:
        names: see `custom_objects`.
        model: the name of the file that it is for.
    """
    import keras_side.layers as own

    parts, imports = [], ["import keras"]
    for name in names:
        if name in OF_BIPORT:
            imports.append(f"from keras_side.layers import {name}  # of the package biport")
            continue
        text = inspect.getsource(getattr(own, name, None) or getattr(registered, name))
        text = text.replace("(PACKAGE)", f'("{registered.PACKAGE}")').replace("    import keras\n\n", "")
        if not text.startswith("@"):
            text = f'@keras.saving.register_keras_serializable("{registered.PACKAGE}")\n{text}'
        parts.append(text)
    used = [line for name, line in IMPORTS.items() if re.search(rf"\b{name}\b", "".join(parts))]
    entries = "".join(f'    "{registered.PACKAGE}>{name}": {name},\n' for name in names)
    # A file may be called anything.
    plain = model if re.fullmatch(r"[\w. -]+", model) else "model.keras"
    head = HEAD.format(model=plain) + "".join(f"{line}\n" for line in sorted(used)) + "\n" * bool(used)
    return "\n\n".join([head + "\n".join(imports) + "\n", *parts, f"CUSTOM_OBJECTS = {{\n{entries}}}\n"])
