"""Exports by either route, tried before they are kept."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from typer.testing import CliRunner

import biport
import export
import keras_side
import torch_side
from biport import bundle, ops, verify
from biport.app.check import check_model
from biport.app.cli import app
from biport.app.export import export_model
from biport.errors import DifferentError, InputError, UnsupportedError
from biport.graph import Graph, Node, Value
from testing import graphs
from testing.models import randomize

NOISE = (None, 1, 1)


def unread(**options: Any) -> Any:
    """A layer with a setting that biport does not read."""
    return layers.Dropout(0.5, noise_shape=NOISE, **options)


def readable() -> keras.Model:
    x = layers.Input((None,), dtype="int32", name="ids")
    y = layers.GRU(3)(layers.Embedding(11, 4, mask_zero=True)(x))
    return randomize(keras.Model(x, layers.Dense(2, activation="softmax")(y)))


def unreadable() -> keras.Model:
    """One layer of it has a setting that biport does not read."""
    x = layers.Input((None,), dtype="int32", name="ids")
    y = unread()(layers.Embedding(11, 4, mask_zero=True)(x))
    return randomize(keras.Model(x, layers.Bidirectional(layers.LSTM(3), name="both")(y)))


def agrees(path: Path, model: keras.Model) -> None:
    ids = np.random.default_rng(0).integers(0, 11, (5, 8)).astype("int32")
    np.testing.assert_allclose(export.Session(path).run([ids])[0], np.asarray(model(ids)), atol=1e-6)


def test_every_source_and_route(tmp_path: Path) -> None:
    model = readable()
    model.save(tmp_path / "model.keras")
    graph = keras_side.read(model)
    bundle.write(graph, tmp_path / "bundle")
    sources = {"live": model, "file": tmp_path / "model.keras", "graph": graph, "bundle": tmp_path / "bundle"}
    routes = {
        "live": ("fused", "tf2onnx"), "file": ("tf2onnx", "auto"), "graph": ("auto",), "bundle": ("fused",)
    }  # fmt: skip
    for name, source in sources.items():
        for route in routes[name]:
            made = export_model(source, tmp_path / f"{name}-{route}.onnx", route=route)
            assert made.written.route == ("tf2onnx" if route == "tf2onnx" else "fused")
            assert made.verified == "against the oracle"
            # Over groups of rows, and over all of them.
            assert made.written.nodes["GRU"] == 2
            agrees(made.written.path, model)
            assert check_model(made.written.path).report.ok


@pytest.mark.sweep
def test_auto_says_why_it_takes_the_other_way(tmp_path: Path) -> None:
    model = unreadable()
    model.save(tmp_path / "model.keras")
    for source in (model, tmp_path / "model.keras"):
        with pytest.raises(UnsupportedError, match="noise_shape"):
            export_model(source, tmp_path / "no.onnx")
        made = export_model(source, tmp_path / "yes.onnx", route="auto", overwrite=True)
        assert made.verified == "against Keras in float64"
        # Over groups of rows, and over all of them.
        assert (made.written.nodes["LSTM"], made.written.nodes["Loop"]) == (2, 1)
        assert any("noise_shape" in note for note in made.notes)
        # That of the layer which gives it, although it was put there in place of another node.
        assert export.Session(tmp_path / "yes.onnx").output_names == ["both"]
        agrees(tmp_path / "yes.onnx", model)
    assert not (tmp_path / "no.onnx").exists()


@pytest.mark.parametrize("source", [readable, unreadable])
def test_a_file_that_differs_is_not_kept(
    source: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = source()
    real = export.Session.run

    def shifted(self: Any, inputs: Any) -> list[np.ndarray]:
        return [output + np.float32(1e-3) for output in real(self, inputs)]

    monkeypatch.setattr(export.Session, "run", shifted)
    (tmp_path / "model.onnx").write_text("what was there")
    with pytest.raises(DifferentError, match="was not kept"):
        export_model(model, tmp_path / "model.onnx", route="auto", overwrite=True)
    assert (tmp_path / "model.onnx").read_text() == "what was there"
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert export_model(model, tmp_path / "other.onnx", route="auto", verify=False).verified == ""


def test_the_command(tmp_path: Path) -> None:
    unreadable().save(tmp_path / "model.keras")
    source, output = str(tmp_path / "model.keras"), str(tmp_path / "model.onnx")
    run = CliRunner().invoke
    assert run(app, ["export", source, "-o", output]).exit_code == 3
    found = run(app, ["export", source, "-o", output, "--route", "auto"])
    assert found.exit_code == 0, found.output
    assert "verified against Keras in float64: largest error" in found.output
    assert "by way of tf2onnx" in found.output
    assert "noise_shape" in found.output
    assert run(app, ["check", output]).exit_code == 0
    again = run(app, ["export", source, "-o", output, "--route", "auto"])
    assert again.exit_code == 2
    assert run(app, ["export", source, "-o", output, "--route", "best", "--force"]).exit_code == 2
    options = ["--route", "tf2onnx", "--force", "--no-verify", "--json"]
    data = json.loads(run(app, ["export", source, "-o", output, *options]).output)
    assert data["route"] == "tf2onnx"
    assert data["verified"] is None
    (line,) = json.loads(run(app, ["check", output, "--json"]).output)["models"][0]["lines"]
    assert 0 < line["maximum"] <= line["allowed"] < 1e-4


@pytest.mark.sweep
@pytest.mark.parametrize("option", ["--int8", "--fp16"])
def test_smaller_numbers_and_what_they_cost(option: str, tmp_path: Path) -> None:
    model = keras.Sequential([
        keras.Input((None,), dtype="int32"),
        layers.Embedding(50, 16, mask_zero=True),
        layers.Bidirectional(layers.LSTM(24)),
        layers.Dense(3, activation="softmax"),
    ])  # fmt: skip
    randomize(model).save(tmp_path / "model.keras")
    source, output = str(tmp_path / "model.keras"), tmp_path / "small.onnx"
    run = CliRunner().invoke
    found = run(app, ["export", source, "-o", str(output), option, "--json"])
    assert found.exit_code == 0, found.output
    data = json.loads(found.output)
    # What was verified is the file that is not kept.
    assert data["verified"] is data["trial"] is None
    assert data["float32"]["verdict"] == "same"
    assert 0 < data["float32"]["error"] <= data["float32"]["allowed"]
    cost = data["cost"]
    old, new = cost["bytes"]
    assert new == output.stat().st_size < 0.7 * old
    assert cost["labels"] == 64 + 64 + 64 + 32
    assert 0.9 < cost["equal"] / cost["labels"] <= 1
    assert 0 < cost["difference"] < 0.2
    text = run(app, ["export", source, "-o", str(output), option, "--force"]).output
    assert "labels as before" in text
    assert "no limits were given" in text
    assert [line for line in text.splitlines() if "verified" in line and "not kept" not in line] == []
    assert run(app, ["export", source, "-o", str(output), "--int8", "--fp16", "--force"]).exit_code == 2
    ids = np.random.default_rng(0).integers(0, 50, (4, 7)).astype("int32")
    assert run(app, ["check", str(output)]).exit_code == 0
    session = export.Session(output)
    assert session.metadata["biport.precision"] == {"--int8": "int8", "--fp16": "float16"}[option]
    np.testing.assert_allclose(session.run([ids])[0], np.asarray(model(ids)), atol=0.2)
    assert session.run([ids[:0]])[0].shape == (0, 3)


@pytest.mark.parametrize("shape", [("N",), ("N", 3, 2), ("N", 3, 2, 2), (4, "T"), (4, 3)], ids=str)
def test_ids_of_any_rank_and_of_a_fixed_batch(shape: tuple[Any, ...], tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    ids, x = Value("ids", shape, "int32"), Value("x", (shape[0], "T", 5), "float32")
    nodes = [Node("table", graphs.embedding(rng, 6), ("ids",))]
    if "T" in shape:
        nodes.append(Node("one", graphs.lstm(rng, 6, 4), ("table",)))
    else:
        nodes.append(Node("one", ops.Flatten() if len(shape) > 1 else ops.Identity(), ("table",)))
    nodes += [Node("two", graphs.lstm(rng, 5, 3), ("x",)), Node("y", ops.Concatenate(), ("one", "two"))]
    graph = Graph((ids, x), tuple(nodes), ("y",))
    made = export_model(graph, tmp_path / "exact.onnx")
    assert made.verified == "against the oracle"
    if shape == (4, "T"):
        made = export_model(graph, tmp_path / "narrow.onnx", precision="float16")
        assert made.cost is not None
        assert made.cost.difference < 0.01
    report = verify(graph, torch_side.write(graph), tmp_path / "exact.onnx", float64=True, trace=True)
    assert report.ok, report.table


def old_model(tf_keras: Any, recurrent: bool = False) -> Any:
    x = tf_keras.layers.Input((None,), dtype="int32")
    y = tf_keras.layers.Dropout(0.5, noise_shape=NOISE)(tf_keras.layers.Embedding(11, 4, mask_zero=True)(x))
    last = tf_keras.layers.LSTM(3) if recurrent else tf_keras.layers.GlobalAveragePooling1D()
    model = tf_keras.Model(x, last(y))
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.5, weight.shape) for weight in model.get_weights()])
    return model


@pytest.mark.sweep
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_file_of_keras_2_goes_by_tf_keras(suffix: str, tmp_path: Path) -> None:
    """Keras 3 would load some of them, with other numbers."""
    tf_keras = pytest.importorskip("tf_keras")
    model = old_model(tf_keras, recurrent=suffix == ".h5")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tf_keras' own, of the old format
        model.save(tmp_path / f"old{suffix}")
    path = tmp_path / f"old{suffix}"
    exported = export_model(path, tmp_path / "new.onnx", route="auto", verify=suffix == ".h5")
    assert exported.verified == ("against Keras in float64" if suffix == ".h5" else "")
    assert (
        json.loads(export.Session(tmp_path / "new.onnx").metadata["biport.origin"])["framework"] == "tf_keras"
    )
    agrees(tmp_path / "new.onnx", model)
    with pytest.raises(InputError, match="should be one of"):
        export_model(path, tmp_path / "no.onnx", route="best")


def test_code_in_a_file_of_keras_2_is_not_run(tmp_path: Path) -> None:
    """``tf_keras`` runs the code of a Lambda in HDF5, and any function of TensorFlow that is named there."""
    tf_keras = pytest.importorskip("tf_keras")
    import tensorflow as tf

    x = tf_keras.layers.Input((3, 4))
    steps = tf_keras.layers.LSTM(3, return_sequences=True)(x)
    outputs = {"Lambda": tf_keras.layers.Lambda(lambda t: t * 2)(steps), "TFOpLambda": tf.math.cumprod(steps)}
    for name, output in outputs.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tf_keras.Model(x, output).save(tmp_path / "code.h5")
        with pytest.raises(UnsupportedError, match=f"class='{name}' is not supported.*no code of a file"):
            export_model(tmp_path / "code.h5", tmp_path / "no.onnx", route="auto")
        with pytest.raises(UnsupportedError) as refused:
            export_model(tmp_path / "code.h5", tmp_path / "no.onnx")
        assert "may write it" not in refused.value.advice


def test_files_that_no_keras_here_loads_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each says what is missing, and none that the other route may write it."""
    tf_keras = pytest.importorskip("tf_keras")
    x = layers.Input((3, 4))
    model = keras.Model(x, unread()(x))
    model.save_weights(tmp_path / "alone.weights.h5")
    (tmp_path / "alone.json").write_text(model.to_json())
    keras.Model(x, Unregistered(name="own")(x)).save(tmp_path / "own.keras")
    old_model(tf_keras).save(tmp_path / "old.keras")
    monkeypatch.setattr("keras_side.load_file._tf_keras", lambda: None)
    for name, config, reason in (
        ("alone.weights.h5", tmp_path / "alone.json", "weights alone"),
        ("own.keras", None, "layer 'own' .*class='Unregistered'"),
        ("old.keras", None, "where tf_keras is installed"),
    ):
        with pytest.raises(UnsupportedError, match=reason):
            export_model(tmp_path / name, tmp_path / "no.onnx", route="auto", config=config)
        with pytest.raises(UnsupportedError) as refused:
            export_model(tmp_path / name, tmp_path / "no.onnx", config=config)
        assert "may write it" not in refused.value.advice


class Unregistered(layers.Layer):
    """A class that Keras does not know when it loads a file."""

    def call(self, x: Any) -> Any:
        return x * 2


def chaotic(layer: Any) -> keras.Model:
    """An RNN whose recurrence amplifies rounding until every digit is another one."""
    x = layers.Input((40, 3), name="x")
    model = keras.Model(x, layers.SimpleRNN(16)(layer(x)))
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(0, 2, weight.shape) for weight in model.get_weights()])
    return model


@pytest.mark.parametrize(
    ("layer", "options"),
    [
        (unread(), ()),
        (layers.Activation("tanh"), ("--json",)),
        pytest.param(layers.Activation("tanh"), (), marks=pytest.mark.sweep),
        pytest.param(unread(), ("--json",), marks=pytest.mark.sweep),
    ],
)
def test_a_file_that_cannot_be_judged_is_kept_and_said_to_be_so(
    layer: Any, options: tuple[str, ...], tmp_path: Path
) -> None:
    chaotic(layer).save(tmp_path / "model.keras")
    source, output = str(tmp_path / "model.keras"), str(tmp_path / "model.onnx")
    ran = CliRunner().invoke(app, ["export", source, "-o", output, "--route", "auto", *options])
    assert ran.exit_code == 0, ran.output
    assert (tmp_path / "model.onnx").is_file()
    if not options:
        assert "neither verified nor refuted" in ran.output
        assert "ill-conditioned" in ran.output
        return
    data = json.loads(ran.output)
    assert data["verified"] is None
    assert data["trial"]["verdict"] == "ill-conditioned"
    assert data["trial"]["error"] > 1e-5


def unread_models() -> dict[str, keras.Model]:
    """What the trial has to feed with care; of each `unread` is what biport does not read."""
    fixed = layers.Input(batch_shape=(3, 5, 4), name="x")
    short = layers.Input((None, 4), name="x")
    floats = layers.Input((None,), name="x")
    frames = layers.Input((None, 4, 1), name="x")
    ids, features = layers.Input((None,), dtype="int32", name="z"), layers.Input((2,), name="a")
    embedded = layers.LSTM(3)(unread()(layers.Embedding(11, 4)(ids)))
    return {
        "a fixed batch": keras.Model(fixed, layers.Dense(3)(unread()(fixed))),
        "no fewer than 12 steps": keras.Model(short, unread()(layers.Conv1D(2, 12)(short))),
        "ids that are floats": keras.Model(
            floats, layers.Dense(3)(unread()(layers.Embedding(11, 4)(floats)))
        ),
        "layers over each of unknown steps": keras.Model(
            frames, layers.Dense(3)(layers.TimeDistributed(layers.Flatten())(unread()(frames)))
        ),
        "names outside ASCII": keras.Model(
            fixed, layers.Dense(3, name="größe 1")(unread(name="ä")(fixed)), name="模型"
        ),
        "inputs by name": keras.Model(
            {"z": ids, "a": features}, {"y": layers.Concatenate()([embedded, features]), "e": embedded}
        ),
    }


@pytest.mark.parametrize(
    "name",
    # That of names outside ASCII has a fixed batch too.
    [
        pytest.param(one, marks=pytest.mark.sweep) if one == "a fixed batch" else one
        for one in unread_models()
    ],
)
def test_what_biport_does_not_read_is_judged_by_keras_in_float64(name: str, tmp_path: Path) -> None:
    model = randomize(unread_models()[name])
    exported = export_model(model, tmp_path / "model.onnx", route="auto")
    assert exported.verified == "against Keras in float64"
    assert exported.trial is not None
    assert 0 < exported.trial.error <= exported.trial.allowed < 1e-5
    report = biport.verify(model, tmp_path / "model.onnx")
    assert report.ok, report.table
    assert "the oracle is keras itself in float64" in report.table
    with pytest.raises(InputError, match="need a form that biport reads"):
        biport.verify(model, tmp_path / "model.onnx", trace=True)


def test_verify_finds_the_file_at_fault_where_there_is_no_graph(tmp_path: Path) -> None:
    model = randomize(unread_models()["a fixed batch"])
    export_model(model, tmp_path / "model.onnx", route="auto", verify=False)
    weights = model.get_weights()
    weights[0][0, 0] += 1e-4
    model.set_weights(weights)
    report = biport.verify(model, tmp_path / "model.onnx")
    assert report.at_fault == ["model.onnx"]


@pytest.mark.parametrize("verified", ["--verify", "--no-verify"])
def test_no_route_forgets_a_state(verified: str, tmp_path: Path) -> None:
    x = layers.Input(batch_shape=(1, None, 2))
    keras.Model(x, layers.Bidirectional(layers.GRU(2, stateful=True), name="both")(x)).save(
        tmp_path / "s.keras"
    )
    for route in ("fused", "tf2onnx", "auto"):
        command = [
            "export",
            str(tmp_path / "s.keras"),
            "-o",
            str(tmp_path / "s.onnx"),
            "--route",
            route,
            verified,
        ]
        ran = CliRunner().invoke(app, command)
        assert ran.exit_code == 3, ran.output
        assert "stateful=True is not supported" in ran.output
        assert "both" in ran.output
        assert "--route auto" not in ran.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.keras"]


def test_refusals_say_where_the_other_route_may_write_the_model(tmp_path: Path) -> None:
    model = unreadable()
    model.save(tmp_path / "model.keras")
    source, output = str(tmp_path / "model.keras"), str(tmp_path / "model.onnx")
    run = CliRunner().invoke
    for command in (
        ["export", source, "-o", output],
        ["port", source, "--to", "onnx", "-o", output],
        ["inspect", source],
    ):
        assert "--route auto may write it" in run(app, command).output, command
    assert "--route" not in run(app, ["port", source, "--to", "torch", "-o", str(tmp_path / "b")]).output
    assert "--route auto" in json.loads(run(app, ["inspect", source, "--json"]).output)["advice"]
    with pytest.raises(UnsupportedError, match="route='auto' may write it"):
        export_model(model, output)
    x = layers.Input((4,), dtype="int64")
    hashed = keras.Model(x, layers.LSTM(3)(layers.Embedding(5, 3)(layers.Hashing(5)(x))))
    with pytest.raises(UnsupportedError) as refused:
        export_model(hashed, output)
    assert not refused.value.advice
