"""The race: who takes part, that all compute the same, and what is left behind."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from typer.testing import CliRunner

import keras_side
from biport.app.bench.run import inputs, race
from biport.app.cli import app
from biport.app.measure import take_turns
from biport.errors import InputError
from testing.models import randomize


def model(masked: bool = True) -> keras.Model:
    x = layers.Input((None,), dtype="int32", name="ids")
    y = layers.Bidirectional(layers.LSTM(4))(layers.Embedding(30, 5, mask_zero=masked)(x))
    return randomize(keras.Model(x, layers.Dense(2, activation="softmax")(y)))


@pytest.mark.sweep
def test_all_forms_compute_the_same_and_are_timed(tmp_path: Path) -> None:
    model().save(tmp_path / "model.keras")
    options = ["--batches", "1,3", "--steps", "7", "--seconds", "0.05", "-o", str(tmp_path / "found")]
    run = CliRunner().invoke
    shown = run(app, ["bench", str(tmp_path / "model.keras"), *options, "--json"])
    assert shown.exit_code == 0, shown.output
    data = json.loads(shown.output)
    assert data["forms"] == ["fused", "int8", "tf2onnx", "torch", "Keras predict", "Keras call"]
    assert data["missing"] == {}
    assert [(cell["N"], cell["T"]) for cell in data["cells"]] == [(1, 7), (3, 7)]
    for cell in data["cells"]:
        exact = {name: d for name, d in cell["difference"].items() if name != "int8"}
        assert max(exact.values()) < 1e-6
        assert cell["ratio"]["fused"] == 1
        assert all(len(turns) >= 5 and min(turns) > 0 for turns in cell["turns"].values())
    written = tmp_path / "found"
    assert json.loads((written / "bench.json").read_text()) == data
    assert (written / "bench.png").read_bytes().startswith(b"\x89PNG")
    assert "times as long as fused" in (written / "bench.md").read_text()
    again = run(app, ["bench", str(tmp_path / "model.keras"), *options])
    assert again.exit_code == 2
    assert run(app, ["bench", str(tmp_path / "model.keras"), "--steps", "many"]).exit_code == 2
    assert run(app, ["bench", str(tmp_path / "model.keras"), "--form", "mxnet"]).exit_code == 2


def test_a_form_that_cannot_be_had_is_told() -> None:
    graph = keras_side.read(keras.Sequential([keras.Input((3, 2)), layers.GlobalMaxPooling1D()]))
    found = race(graph, batches=[2], forms=["fused", "int8"], seconds=0.01)
    assert list(found.names) == ["fused"]
    assert found.cells[0].T == 3
    assert "not there: int8" in found.text
    with pytest.raises(InputError, match="above 0"):
        race(graph, batches=[0])


def test_inputs_are_padded_where_the_model_has_masks() -> None:
    (ids,) = inputs(keras_side.read(model()), 6, 20)
    lengths = (ids != 0).sum(axis=1)
    assert lengths[0] == 20
    assert len(set(lengths)) > 2
    assert all(not row[length:].any() for row, length in zip(ids, lengths, strict=True))
    (full,) = inputs(keras_side.read(model(masked=False)), 6, 20)
    assert full.all()


def test_turns() -> None:
    calls: list[str] = []
    times = take_turns(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, seconds=0.01, least=7
    )
    assert len(times.turns["a"]) == len(times.turns["b"]) >= 7
    assert times.ratio("a", "a") == times.best_ratio("b", "b") == 1
    assert np.isclose(times.ratio("a", "b") * times.ratio("b", "a"), 1, rtol=0.5)
