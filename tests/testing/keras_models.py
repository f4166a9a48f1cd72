"""Random Keras models, inputs with every pattern of mask, and the two truths they are held against."""

from __future__ import annotations

import contextlib
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

import keras_side
from biport import reference
from biport.graph import Graph

V, E, H, O = 13, 5, 3, 4
T = 7


def token_ids(pad: int = 0, steps: int = T, seed: int = 0) -> np.ndarray:
    """Rows without padding, padded right, left, with holes, all padding, one valid step: ``(6, T)``."""
    rng = np.random.default_rng(seed)
    ids = rng.choice([number for number in range(V) if number != pad], (6, steps)).astype("int32")
    ids[1, steps // 2 :] = pad
    ids[2, : steps // 2] = pad
    ids[3, [0, 2, steps - 2]] = pad
    ids[4] = pad
    ids[5, 1:] = pad
    return ids


def valid_steps(steps: int = T) -> np.ndarray:
    """The same patterns as booleans."""
    return token_ids(steps=steps) != 0


def features(*shape: int, seed: int = 1) -> np.ndarray:
    """Float inputs that float32 holds exactly."""
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@contextlib.contextmanager
def floats(dtype: str) -> Iterator[None]:
    """Build models in ``dtype``."""
    before = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before[0])
        keras.config.set_floatx(before[1])


def randomize(model: keras.Model, seed: int = 0) -> keras.Model:
    """Give every weight, biases too, random numbers that are not zero."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        variable.assign(rng.normal(0, 0.6, tuple(variable.shape)))
    return model


def live_outputs(model: Any, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What Keras itself computes."""
    outputs = model(list(inputs) if len(inputs) > 1 else inputs[0], training=False)
    return [np.array(keras.ops.convert_to_numpy(output)) for output in keras.tree.flatten(outputs)]


def assert_close(
    outputs: Sequence[np.ndarray], exact: Sequence[np.ndarray], dtype: str, names: Sequence[str] = ()
) -> None:
    """Equal up to rounding, NaN in the same places."""
    assert len(outputs) == len(exact)
    usual = 1e-12 if dtype == "float64" else 3e-6
    for position, (one, two) in enumerate(zip(outputs, exact, strict=True)):
        label = names[position] if names else str(position)
        # TensorFlow computes these with constants of float32.
        limit = max(usual, 1e-7) if label in ("gelu", "leaky_relu") else usual
        assert one.shape == two.shape, label
        assert one.dtype.name == dtype, label
        np.testing.assert_allclose(one, two, rtol=limit, atol=limit, equal_nan=True, err_msg=label)


def check_model(
    model: keras.Model, inputs: Sequence[np.ndarray], folder: Path, dtype: str = "float32"
) -> Graph:
    """Live and files give one graph, and the graph computes what Keras does; also of one row alone."""
    graph = keras_side.read(model)
    path = folder / "model.keras"
    model.save(path)
    stored = keras_side.read(path)
    assert stored == graph
    assert stored.digest() == graph.digest()
    assert stored.origin == graph.origin == {"framework": "keras", "version": keras.__version__}
    assert graph.parameter_count() == model.count_params()
    model.save(folder / "model.h5")
    assert keras_side.read(folder / "model.h5") == graph
    wanted = live_outputs(model, inputs)
    for rows in (slice(None), slice(3, 4)):
        exact = reference.run(graph, [array[rows] for array in inputs])
        assert_close([output[rows] for output in wanted], exact, dtype, graph.outputs)
    return graph


def tokens(name: str = "tokens", steps: int | None = None) -> Any:
    return keras.Input((steps,), dtype="int32", name=name)


def embedding(name: str = "embedding", masked: bool = True, size: int = E) -> layers.Embedding:
    return layers.Embedding(V, size, mask_zero=masked, name=name)


def tiny(units: int = H) -> keras.Model:
    """Embedding, LSTM, Dense: the model whose files are damaged."""
    ids = tokens()
    x = layers.LSTM(units, name="lstm")(embedding()(ids))
    return randomize(keras.Model(ids, layers.Dense(2, name="head")(x), name="tiny"))


Members = dict[str, bytes]


def members(path: Path) -> Members:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_members(path: Path, parts: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return path


def edited(source: Path, target: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a model file with ``config.json`` changed."""
    parts = members(source)
    data = json.loads(parts["config.json"])
    change(data)
    return write_members(target, parts | {"config.json": json.dumps(data).encode()})


def layer_config(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The configuration of the layer called ``name`` in a ``config.json``."""
    return next(entry["config"] for entry in data["config"]["layers"] if entry["config"].get("name") == name)
