"""A configuration changed at random gives a graph or a typed error, never anything else."""

import json
import random
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

import keras_side
from biport.errors import BiportError
from biport.graph import Graph

VALUES: list[Any] = [
    None, True, 0, -1, 1.5, "x", "", [], {}, [[]], [None], 10**12, "Functional",
    ["a", 0, 0], {"config": {}}, {"class_name": "x"}, {"class_name": "__keras_tensor__", "config": 3},
]  # fmt: skip


def places(data: Any, path: tuple = ()) -> Iterator[tuple]:
    """The paths of everything inside ``data``."""
    if path:
        yield path
    members = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in members:
        yield from places(value, (*path, key))


def changed(text: str, rng: random.Random) -> str:
    """The JSON with one member replaced or removed."""
    data = json.loads(text)
    *path, last = rng.choice(list(places(data)))
    holder = data
    for key in path:
        holder = holder[key]
    if rng.random() < 0.25:
        del holder[last]
    else:
        holder[last] = rng.choice(VALUES)
    return json.dumps(data)


@pytest.mark.parametrize("seed", range(4))
def test_a_changed_configuration(seed: int, keras_file, tmp_path) -> None:
    rng, path, found = random.Random(seed), tmp_path / "changed.keras", set()
    with zipfile.ZipFile(keras_file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for _ in range(150):
        config = changed(parts["config.json"].decode(), rng)
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, config if name == "config.json" else content)
        try:
            found.add(type(keras_side.read(path)))
        except BiportError as error:
            found.add(type(error))
    assert Graph in found
    assert len(found) >= 3
