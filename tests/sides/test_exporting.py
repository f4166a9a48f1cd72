"""Exports by either route, tried before they are kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from typer.testing import CliRunner

import export
import keras_side
from biport import bundle
from biport.app.cli import app
from biport.app.export import export_model
from biport.errors import DifferentError, InputError, UnsupportedError
from testing.models import randomize


def readable() -> keras.Model:
    x = layers.Input((None,), dtype="int32", name="ids")
    y = layers.GRU(3)(layers.Embedding(11, 4, mask_zero=True)(x))
    return randomize(keras.Model(x, layers.Dense(2, activation="softmax")(y)))


def unreadable() -> keras.Model:
    """`Rescaling` is Keras', and biport has no such op."""
    x = layers.Input((None,), dtype="int32", name="ids")
    y = layers.Rescaling(0.5, 0.1)(layers.Embedding(11, 4, mask_zero=True)(x))
    return randomize(keras.Model(x, layers.Bidirectional(layers.LSTM(3))(y)))


def agrees(path: Path, model: keras.Model) -> None:
    ids = np.random.default_rng(0).integers(0, 11, (5, 8)).astype("int32")
    np.testing.assert_allclose(export.Session(path).run([ids])[0], np.asarray(model(ids)), atol=1e-6)


def test_every_source_and_route(tmp_path: Path) -> None:
    model = readable()
    model.save(tmp_path / "model.keras")
    graph = keras_side.read(model)
    bundle.write(graph, tmp_path / "bundle")
    sources = {"live": model, "file": tmp_path / "model.keras", "graph": graph, "bundle": tmp_path / "bundle"}
    for name, source in sources.items():
        for route in ("fused", "tf2onnx", "auto"):
            made = export_model(source, tmp_path / f"{name}-{route}.onnx", route=route)
            assert made.written.route == ("tf2onnx" if route == "tf2onnx" else "fused")
            assert made.verified == "against the oracle"
            assert made.written.nodes["GRU"] == 1
            agrees(made.written.path, model)


def test_auto_says_why_it_takes_the_other_way(tmp_path: Path) -> None:
    model = unreadable()
    model.save(tmp_path / "model.keras")
    for source in (model, tmp_path / "model.keras"):
        with pytest.raises(UnsupportedError, match="Rescaling"):
            export_model(source, tmp_path / "no.onnx")
        made = export_model(source, tmp_path / "yes.onnx", route="auto", overwrite=True)
        assert made.verified == "against Keras in float64"
        assert made.written.nodes["LSTM"] == 1
        assert "Loop" not in made.written.nodes
        assert any("Rescaling" in note for note in made.notes)
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
    again = run(app, ["export", source, "-o", output, "--route", "auto"])
    assert again.exit_code == 2
    assert run(app, ["export", source, "-o", output, "--route", "best", "--force"]).exit_code == 2
    options = ["--route", "tf2onnx", "--force", "--no-verify", "--json"]
    data = json.loads(run(app, ["export", source, "-o", output, *options]).output)
    assert data["route"] == "tf2onnx"
    assert data["verified"] is None


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
    cost = json.loads(found.output)["cost"]
    old, new = cost["bytes"]
    assert new == output.stat().st_size < 0.7 * old
    assert cost["labels"] == 64 + 64 + 64 + 8
    assert 0.9 < cost["equal"] / cost["labels"] <= 1
    assert 0 < cost["difference"] < 0.2
    assert "labels as before" in run(app, ["export", source, "-o", str(output), option, "--force"]).output
    assert run(app, ["export", source, "-o", str(output), "--int8", "--fp16", "--force"]).exit_code == 2
    ids = np.random.default_rng(0).integers(0, 50, (4, 7)).astype("int32")
    session = export.Session(output)
    assert session.metadata["biport.precision"] == {"--int8": "int8", "--fp16": "float16"}[option]
    np.testing.assert_allclose(session.run([ids])[0], np.asarray(model(ids)), atol=0.2)
    assert session.run([ids[:0]])[0].shape == (0, 3)


def test_old_files_without_a_graph_take_no_route(tmp_path: Path) -> None:
    """Keras 3 would load some of them, with other numbers, and nothing would tell."""
    from keras_side.file.model_file import ModelFile

    tf_keras = pytest.importorskip("tf_keras")
    x = tf_keras.layers.Input((None,), dtype="int32")
    y = tf_keras.layers.Rescaling(0.5, 0.1)(tf_keras.layers.Embedding(11, 4, mask_zero=True)(x))
    tf_keras.Model(x, tf_keras.layers.LSTM(3)(y)).save(tmp_path / "old.keras")
    with ModelFile(tmp_path / "old.keras") as file:
        assert file.origin.generation == 2
    with pytest.raises(UnsupportedError, match="files of Keras 3"):
        export_model(tmp_path / "old.keras", tmp_path / "no.onnx", route="auto")
    with pytest.raises(InputError, match="should be one of"):
        export_model(tmp_path / "old.keras", tmp_path / "no.onnx", route="best")
