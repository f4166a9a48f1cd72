"""Constants, parameters, counts and sizes: every form against the reference, saved, trained, read."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import biport
import export
import keras_side
import torch_side
from biport import bundle, ops, reference
from biport.dims import length, letter, sizes
from biport.errors import FileError, SettingsError
from biport.graph import Graph, Node, Value, trained, weight_differences
from keras_side.require import register
from testing.graphs import dense, embedding, lstm, normal
from testing.masks import VOCABULARY
from testing.operations import check_forms, drawn, forms, side_by_side

INPUTS = (Value("x", ("N", "T", 4), "float32"), Value("y", ("N", "T_2"), "int64"))
N, T, T_2 = letter("N"), letter("T"), letter("T_2")
SIZES = ("T+1", "T-2", "N*T", "(T+1)//2", "max(T, T_2)", "T_2-T+N", "min(T, 3)*2", "T+-5", "(T+-5)//2")


def sources() -> Iterator[ops.Op]:
    rng = np.random.default_rng(0)
    yield ops.Constant(value=normal(rng, 3, 2))
    yield ops.Constant(value=np.array([0.1, -0.0, np.inf], "float32"))
    yield ops.Constant(value=np.array([[1, -2], [2**40, 0]]))
    yield ops.Constant(value=np.array([7, -7], "int32"))
    yield ops.Constant(value=np.array([True, False]))
    yield ops.Constant(value=np.zeros((0, 2), "float32"))
    yield ops.Constant(value=np.array(0.3, "float32"))
    yield ops.Parameter(value=normal(rng, 2, 3))
    yield ops.Parameter(value=normal(rng, 2), trainable=False)
    yield ops.Arange(stop=4, output_dtype="int32")
    yield ops.Arange(start=5, stop=-2, step=-3, output_dtype="float32")
    yield ops.Arange(stop=T)
    yield ops.Arange(start=3, stop=T, step=2)
    yield ops.Arange(start=T, stop=T_2, step=-1, output_dtype="float32")
    yield ops.Full(shape=(2, 3), value=0.1)
    yield ops.Full(shape=(), value=-2, output_dtype="int64")
    yield ops.Full(shape=(N, T, 2))
    yield ops.Full(shape=(length(T_2 - 1), 1), value=1, output_dtype="bool")
    yield ops.Full(shape=(T,), value=float("inf"))
    yield from (ops.SizeOf(size=size) for size in sizes(SIZES))
    yield ops.SizeOf(size=7, output_dtype="int32")


@pytest.fixture(scope="module")
def everything() -> Graph:
    """All of them, what they give the outputs."""
    return side_by_side(INPUTS, [(op, ()) for op in sources()])


def test_every_form(everything: Graph, tmp_path: Path) -> None:
    several = ((3, 5, 2), (1, 1, 1), (2, 2, 7), (0, 3, 2), (2, 0, 0))
    cases = [drawn(everything, {"N": n, "T": t, "T_2": s}) for n, t, s in several]
    check_forms(everything, cases, forms(everything, tmp_path))


def test_they_are_read_as_they_were_written(everything: Graph, tmp_path: Path) -> None:
    """Keras leaves nothing out and adds nothing, live, in a file and loaded again; neither does torch."""
    model = keras_side.write(everything)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    ops_of = {node.name: node.op for node in everything.nodes}
    # A size that does not vary is read as the number it is.
    ops_of[everything.nodes[-1].name] = ops.Constant(value=np.array(7, "int32"))
    for read in (keras_side.read(model), keras_side.read(tmp_path / "m.keras"), keras_side.read(loaded)):
        assert {node.name: node.op for node in read.nodes} == ops_of
        assert all(not node.inputs for node in read.nodes)
    module = torch_side.write(everything)
    for one in (module, copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch_side.read(one) == everything
    assert torch_side.read(module.double()) == everything.astype("float64")


def test_a_bundle_keeps_them(everything: Graph, tmp_path: Path) -> None:
    bundle.write(everything, tmp_path / "bundle")
    again = bundle.read(tmp_path / "bundle")
    assert again == everything
    assert again.digest() == everything.digest()
    assert {path.rpartition(".")[2] for path in trained(everything)} == {"value"}
    assert len(trained(everything)) == 2
    assert everything.parameter_count() == 6 + 2
    assert weight_differences(everything, again) == []


def test_a_constant_is_part_of_the_digest() -> None:
    one, two = (side_by_side(INPUTS, [(ops.Constant(value=np.array([number, 2])), ())]) for number in (1, 3))
    assert one != two
    assert one.digest() != two.digest()
    assert len(weight_differences(one, two)) == 1


def masked(seed: int, offset: float = 0.5) -> Graph:
    """Constants and parameters on the way through a masked LSTM."""
    rng = np.random.default_rng(seed)
    constants = np.random.default_rng(7)
    times, plus = ops.Elementwise(function="multiply"), ops.Elementwise(function="add")
    nodes = (
        Node("embedding", embedding(rng, 4), ("ids",)),
        Node("mask", ops.NotEqual(), ("ids",)),
        Node("h", lstm(rng, 4, 3, return_sequences=True), ("embedding",), masks=("mask",)),
        Node("offset", ops.Constant(value=np.array(offset, "float32")), ()),
        Node("scaled", times, ("h", "offset")),
        Node("w", ops.Parameter(value=normal(rng, 3)), ()),
        Node("shifted", plus, ("scaled", "w")),
        Node("frozen", ops.Parameter(value=normal(rng, 1, 3), trainable=False), ()),
        Node("held", times, ("frozen", "shifted")),
        Node("gains", ops.Constant(value=normal(constants, 3)), ()),
        Node("gained", times, ("held", "gains")),
        Node("last", ops.Slice(items=((None, None, 1), -1)), ("gained",)),
        Node("y", dense(rng, 3, 2), ("last",)),
    )
    return Graph((Value("ids", ("N", "T"), "int32"),), nodes, ("y",))


def ids() -> np.ndarray:
    drawn_ids = np.random.default_rng(0).integers(1, VOCABULARY, (3, 4)).astype("int32")
    drawn_ids[0, 1] = drawn_ids[1, 2:] = 0
    return drawn_ids


@pytest.mark.sweep
def test_gradients() -> None:
    graph = masked(0).astype("float64")
    cotangents = [np.random.default_rng(1).normal(size=(3, 2))]
    one, by_torch = torch_side.gradients(torch_side.write(graph), [ids()], cotangents)
    two, by_keras = keras_side.gradients(keras_side.write(graph), [ids()], cotangents)
    assert one == pytest.approx(two, abs=1e-12)
    assert {"w.value", "frozen.value"} <= by_torch.keys() & by_keras.keys()
    assert not {"gains.value", "offset.value"} & (by_torch.keys() | by_keras.keys())
    for path in by_keras:
        np.testing.assert_allclose(by_torch[path], by_keras[path], rtol=0, atol=1e-12, err_msg=path)
    slope = reference_slope(graph, cotangents[0])
    np.testing.assert_allclose(by_torch["w.value"], slope, rtol=0, atol=1e-7)


def reference_slope(graph: Graph, cotangent: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """How the loss changes with ``w``, measured on the reference."""
    w, slope = graph["w"].op, []
    assert isinstance(w, ops.Parameter)
    for change in np.eye(3) * step:
        ends = []
        for moved in (w.value + change, w.value - change):
            nodes = (
                dataclasses.replace(n, op=ops.Parameter(value=moved)) if n.op is w else n for n in graph.nodes
            )
            (y,) = reference.run(Graph(graph.inputs, tuple(nodes), graph.outputs), [ids()])
            ends.append(float((y * cotangent).sum()))
        slope.append((ends[0] - ends[1]) / (2 * step))
    return np.array(slope)


def test_a_keras_rewrite_trains(tmp_path: Path) -> None:
    """What is trainable changes, what is frozen or a constant does not, in a file that was loaded again."""
    graph = masked(0)
    model: Any = keras.saving.load_model(keras_side.save(graph, tmp_path / "m.keras"))
    assert [weight.path for weight in model.non_trainable_weights] == ["frozen/value"]
    model.compile("sgd", "mse")
    model.fit(ids(), np.ones((3, 2), "float32"), epochs=1, verbose=0)
    trained_graph = keras_side.read(model)
    changed = weight_differences(keras_side.read(tmp_path / "m.keras"), trained_graph)
    assert "w.value" in changed
    assert {"frozen.value", "gains.value"}.isdisjoint(changed)
    module = torch_side.write(graph)
    assert {name for name, part in module.named_parameters() if not part.requires_grad} == {
        "frozen",
        "h.bias_hh_l0",
    }
    assert dict(module.named_buffers()).keys() == {"gains"}
    model.save(tmp_path / "again.keras")
    assert keras_side.read(tmp_path / "again.keras") == trained_graph


@pytest.mark.sweep
def test_forms_of_one_model_agree(tmp_path: Path) -> None:
    graph = masked(0)
    module = torch_side.write(graph)
    keras_side.save(graph, tmp_path / "m.keras")
    export.write(graph, tmp_path / "m.onnx")
    report = biport.verify(tmp_path / "m.keras", module, tmp_path / "m.onnx", trace=True)
    assert report.ok, report.table
    assert "getitem = h[0]\n    scaled = getitem * 0.5" in module.code


@pytest.mark.parametrize("form", [torch_side, keras_side], ids=["torch", "keras"])
def test_weights_go_into_a_model_with_the_same_constants(form) -> None:
    target = form.write(masked(1))
    report = form.load(target, masked(0))
    assert set(report.filled) == {"embedding", "h", "w", "frozen", "y"}
    assert weight_differences(form.read(target), masked(0)) == weight_differences(
        form.read(form.write(masked(0))), masked(0)
    )
    rng = np.random.default_rng(0)
    others = dataclasses.replace(
        masked(1),
        nodes=tuple(
            dataclasses.replace(node, op=ops.Constant(value=normal(rng, 3))) if node.name == "gains" else node
            for node in masked(1).nodes
        ),
    )
    with pytest.raises(SettingsError, match="layer 'gains': value is"):
        form.load(form.write(others), masked(0))


def test_sizes_in_a_model_inside_are_those_of_what_it_is_given() -> None:
    register()
    graph = Graph(INPUTS[:1], (Node("n", ops.SizeOf(size=T), ()),), ("n",))
    inner = keras_side.write(graph)
    x: Any = keras.Input((None, 4), name="x")
    for given, steps in ((x, T), (keras.layers.Dense(4)(x), T), (x[:, 1:], length(T - 1))):
        assert keras_side.read(keras.Model(x, inner(given))).nodes[-1].op == ops.SizeOf(size=steps)


def test_two_inputs_of_one_letter(tmp_path: Path) -> None:
    """The first to have a letter says what it is, and a letter of another input stays that input's."""
    inputs = (
        Value("a", ("N", "T"), "float32"),
        Value("b", ("N", "T"), "float32"),
        Value("c", ("N", "T_2"), "float32"),
    )
    graph = side_by_side(inputs, [(ops.SizeOf(size=T_2), ()), (ops.Arange(stop=T), ())])
    arrays = [np.zeros((2, steps), "float32") for steps in (3, 3, 5)]
    check_forms(graph, [arrays], forms(graph, tmp_path))


HOSTILE = {
    "kind": ("LSTM", "kind should be one of"),
    "takes": (-1, "takes and letters"),
    "letters": ({"T": [9, 1]}, "reads more tensors"),
    "arrays": ({"value": {"dtype": "float32", "shape": [9], "data": "AAAA"}}, "does not describe a model"),
    "settings": ({"stop": 3, "unknown": 1}, "unknown settings"),
}


@pytest.mark.parametrize("key", HOSTILE)
def test_a_file_that_says_something_else(key: str, tmp_path: Path) -> None:
    import json
    import zipfile

    value, message = HOSTILE[key]
    op = ops.Constant(value=np.array([1, 2], "float32")) if key == "arrays" else ops.Arange(stop=T)
    keras_side.save(Graph(INPUTS[:1], (Node("n", op, ()),), ("n",)), tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as source, zipfile.ZipFile(tmp_path / "bad.keras", "w") as bad:
        for name in source.namelist():
            data = source.read(name)
            if name == "config.json":
                config = json.loads(data)
                config["config"]["layers"][-1]["config"][key] = value
                data = json.dumps(config).encode()
            bad.writestr(name, data)
    with pytest.raises(FileError, match=message):
        keras_side.read(tmp_path / "bad.keras")
