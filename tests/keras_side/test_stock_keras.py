"""What `keras_side.save` writes is opened by Keras itself, or says what it takes."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import keras_side
from biport import ops, reference
from biport.errors import BiportError, InputError, UnsupportedError
from biport.graph import Graph, Node, Value, scan_over
from keras_side.writing.custom_objects import source, with_those_beside
from testing.examples import Example, examples
from testing.graphs import cell, dense, normal
from testing.operations import drawn
from testing.scans import Body

HARD = "hard_sigmoid_keras2"
I, H, T = 3, 2, 4


def gated(dtype: str = "float32") -> Graph:
    """The activation that Keras 3 lacks: in cells, stacks, both directions and layers, under a mask."""
    rng = np.random.default_rng(0)

    def lstm(**settings: Any) -> ops.Cell:
        rules = {"return_sequences": True, "zero_output_for_mask": True}
        return cell(rng, ops.LSTM, I, H, recurrent_activation=HARD, dtype=dtype, **rules, **settings)

    def layer(size: int, width: int) -> ops.Dense:
        weights: dict[str, Any] = {"weight": normal(rng, width, size, dtype=dtype), "bias": None}
        return ops.Dense(input_size=size, output_size=width, activation=HARD, **weights)

    gru = cell(rng, ops.GRU, 4, 3, recurrent_activation=HARD, activation=HARD, dtype=dtype)
    stack = ops.StackedRNN(cells=(gru, cell(rng, ops.RNN, 3, 5, activation=HARD, dtype=dtype)))
    both = ops.Bidirectional(forward=lstm(), backward=lstm(reverse=True))
    nodes = (
        Node("valid", ops.NotEqual(), ("ids",)),
        Node("both", both, ("x",), masks=("valid",)),
        Node("every", ops.TimeDistributed(layer=layer(4, 4)), ("both",)),
        Node("act", ops.Activation(function=HARD), ("every",)),
        Node("dense", layer(4, 5), ("act",)),
        Node("stack", stack, ("act",), masks=("valid",)),
    )
    inputs = Value("x", ("N", T, I), dtype), Value("ids", ("N", T), "int32")
    return Graph(inputs, nodes, ("dense", "stack"))


def shared() -> Graph:
    """What Keras has no layer for."""
    rng = np.random.default_rng(1)
    nodes = (
        Node("bias", ops.Parameter(value=normal(rng, I)), ()),
        Node("moved", ops.Elementwise(function="add"), ("x", "bias")),
        Node("mean", ops.LearnedAverage(weight=normal(rng, I)), ("moved", "x")),
        Node("y", dense(rng, I, H), ("mean",)),
        Node("loop", step(rng), ("mean", "x")),
    )
    return Graph((Value("x", ("N", "T", I), "float32"),), nodes, ("y", "loop"))


def step(rng: np.random.Generator) -> ops.Scan:
    """A cell that is given a sequence at every step."""
    body = Body(rng, memory=("N", "T_3", I))
    both = body("both", ops.Concatenate(), "x", body("pool", ops.GlobalAveragePooling1D(), "memory"), "h")
    h = body.function("tanh", body.dense("wide", both, 2 * I + H, H), name="h_after")
    return scan_over(body.graph({"h": H}, (h, h), I), 1)


def arrays_of(graph: Graph) -> list[np.ndarray]:
    """Every part of the hard sigmoid, and padding on the right, on the left, in between, and alone."""
    x, *ids = drawn(graph, {"N": 5, "T": T})
    for rows in ids:
        rows[:] = [[1] * T, [1, 1, 0, 0], [0, 0, 1, 1], [0, 1, 0, 1], [0] * T]
    return [x * 3, *ids]


@contextlib.contextmanager
def nothing_registered() -> Iterator[None]:
    """Keras as it is where nobody has imported biport."""
    known = keras.saving.get_custom_objects()
    before = dict(known)
    known.clear()
    try:
        yield
    finally:
        known.clear()
        known.update(before)


def config_of(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        return archive.read("config.json").decode()


def check_outputs(model: Any, graph: Graph, atol: float) -> None:
    arrays = arrays_of(graph)
    expected = reference.run(graph, arrays)
    for actual, wanted in zip(keras_side.run(model, arrays, graph), expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=atol)


def test_the_hard_sigmoid_of_keras_2_is_layers_of_keras(tmp_path: Path) -> None:
    graph = gated()
    path = keras_side.save(graph, tmp_path / "m.keras")
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.keras"]
    assert keras_side.custom_objects(path) == []
    assert "biport" not in config_of(path)
    assert "keras_side" not in config_of(path)
    with nothing_registered():
        model: Any = keras.saving.load_model(path)
        check_outputs(model, graph, 1e-6)
    again = keras_side.read(path)
    assert again == graph
    assert keras_side.read(model) == graph


@pytest.mark.sweep
def test_in_float64_it_stays_a_function_of_its_own(tmp_path: Path) -> None:
    """A Sequential model computes in float32."""
    graph = gated("float64")
    path = keras_side.save(graph, tmp_path / "m.keras")
    assert keras_side.custom_objects(path) == [HARD]
    assert keras_side.read(path) == graph
    check_outputs(keras_side.write(graph), graph, 1e-12)


@pytest.mark.parametrize(
    ("scale", "limit", "dtype"), [(0.25, 1.0, "float32"), (0.2, 2.0, "float32"), (0.2, 1.0, "float64")]
)
def test_other_layers_in_its_place_are_refused(scale: float, limit: float, dtype: str) -> None:
    layers = [keras.layers.Rescaling(scale, 0.5, dtype=dtype), keras.layers.ReLU(limit)]
    x = keras.Input((None, I))
    y = keras.layers.LSTM(H, recurrent_activation=keras.Sequential(layers))(x)
    with pytest.raises(BiportError, match="recurrent_activation"):
        keras_side.read(keras.Model(x, y))


def namespace(folder: Path) -> dict[str, Any]:
    """What importing ``custom_objects.py`` gives."""
    values: dict[str, Any] = {}
    # Its classes are registered where Keras has biport's own, which are to be back for the other tests.
    with nothing_registered():
        exec(compile((folder / "custom_objects.py").read_text(), "custom_objects.py", "exec"), values)
    return values


def test_what_keras_lacks_is_written_beside(tmp_path: Path) -> None:
    graph = shared()
    path = keras_side.save(graph, tmp_path / "m.keras")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["custom_objects.py", "m.keras"]
    assert keras_side.custom_objects(path) == ["BodyCell", "LearnedAverage", "Parameter", "Recurrence"]
    text = (tmp_path / "custom_objects.py").read_text()
    assert 'keras.saving.load_model("m.keras", custom_objects=CUSTOM_OBJECTS)' in text
    assert "keras_side" not in text
    with nothing_registered():
        with pytest.raises((TypeError, ValueError), match=r"LearnedAverage|Parameter|Recurrence"):
            keras.saving.load_model(path)
        objects = namespace(tmp_path)["CUSTOM_OBJECTS"]
        model: Any = keras.saving.load_model(path, custom_objects=objects)
        assert not type(model.get_layer("mean")).__module__.startswith("keras_side")
        check_outputs(model, graph, 1e-6)
        model.save(tmp_path / "again.keras")
    assert keras_side.read(tmp_path / "again.keras") == graph


def test_two_files_in_one_folder_share_it(tmp_path: Path) -> None:
    beside = tmp_path / "custom_objects.py"
    assert with_those_beside(["Parameter"], tmp_path / "one.keras") == ["Parameter"]
    beside.write_text(source(["Parameter"], "one.keras"))
    assert with_those_beside([HARD], tmp_path / "two.keras") == [HARD, "Parameter"]
    beside.write_text(source([HARD, "Parameter"], 'two""".keras'))
    assert set(namespace(tmp_path)["CUSTOM_OBJECTS"]) == {"biport>Parameter", f"biport>{HARD}"}


def test_somebody_elses_is_left(tmp_path: Path) -> None:
    (tmp_path / "custom_objects.py").write_text("mine = 1\n")
    with pytest.raises(InputError, match="somebody else's"):
        with_those_beside(["Parameter"], tmp_path / "m.keras")


@pytest.mark.sweep
def test_nothing_is_written_beside_somebody_elses(tmp_path: Path) -> None:
    (tmp_path / "custom_objects.py").write_text("mine = 1\n")
    with pytest.raises(InputError, match="somebody else's"):
        keras_side.save(shared(), tmp_path / "m.keras", overwrite=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["custom_objects.py"]
    assert (tmp_path / "custom_objects.py").read_text() == "mine = 1\n"


def graph_of(example: Example) -> Graph:
    """The op alone."""
    arrays = {f"x{number}": array for number, array in enumerate(example.inputs)}
    masks = {f"m{number}": mask for number, mask in enumerate(example.masks) if mask is not None}
    values = [
        Value(name, ("N", *array.shape[1:]) if array.ndim else (), array.dtype.name)
        for name, array in (arrays | masks).items()
    ]
    names = tuple(f"m{number}" if f"m{number}" in masks else None for number in range(len(arrays)))
    outputs = [f"y:{number}" for number in range(example.op.output_count)]
    node = Node("y", example.op, tuple(arrays), tuple(outputs), names)
    return Graph(tuple(values) or (Value("z", ("N", 2), "float32"),), (node,), node.outputs)


OPENED = """
import json, sys
import keras
failed = {}
for path in sys.argv[1:]:
    try:
        keras.saving.load_model(path)
    except Exception as error:
        failed[path] = str(error)[:200]
assert not [name for name in sys.modules if name.startswith(("biport", "keras_side"))]
print(json.dumps(failed))
"""


@pytest.mark.sweep
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_every_op_opens_where_nothing_is_registered(tmp_path: Path) -> None:
    """In a process that has keras alone."""
    graphs = [graph_of(example) for example in examples()] + [gated(), gated("float64"), shared()]
    rng = np.random.default_rng(2)
    x = Value("x", ("N", "T", I), "float32")
    for name in ops.ACTIVATIONS:
        scans = [cell(rng, kind, I, H, activation=name) for kind in (ops.LSTM, ops.GRU, ops.RNN)]
        graphs += [Graph((x,), (Node("y", op, ("x",)),), ("y",)) for op in scans]
    said: dict[str, list[str]] = {}
    for number, graph in enumerate(graphs):
        folder = tmp_path / str(number)
        folder.mkdir()
        with contextlib.suppress(UnsupportedError):
            path = keras_side.save(graph, folder / "m.keras")
            said[str(path)] = keras_side.custom_objects(path)
            assert (folder / "custom_objects.py").exists() == bool(said[str(path)])
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run(
        [sys.executable, "-c", OPENED, *said],
        cwd=tmp_path,
        env=environment | {"KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
        check=True,
    )
    failed = json.loads(ran.stdout.splitlines()[-1])
    assert {path for path, names in said.items() if names} == failed.keys()
    every = {name for names in said.values() for name in names}
    assert every == {HARD, "BodyCell", "LearnedAverage", "Parameter", "Recurrence", "TensorOperation"}
