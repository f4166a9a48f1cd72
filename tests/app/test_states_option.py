"""``--states``: what becomes of the states of a stateful Keras model, on every command that reads one."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from typer.testing import CliRunner

import export
from biport import bundle
from biport.app.cli import app
from biport.testing import assert_same, assert_weights_equal
from testing.models import randomize


def biport(*arguments: object) -> str:
    """Run a command that has to go well; what it prints."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def stateful(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of a stateful model, of 2 rows."""
    path = tmp_path_factory.mktemp("states") / "m.keras"
    layer = layers.GRU(4, stateful=True, return_sequences=True, name="gru")
    randomize(keras.Sequential([keras.Input(batch_shape=(2, None, 3), name="x"), layer])).save(path)
    return path


def test_states_become_inputs_and_outputs_or_zeros(stateful: Path, tmp_path: Path) -> None:
    assert "input gru.h: float32 (N, 4)" in biport("inspect", stateful, "--states", "explicit")
    biport("port", stateful, "--to", "bundle", "-o", tmp_path / "b", "--states", "explicit")
    assert bundle.read(tmp_path / "b").outputs == ("gru", "gru.h_next")
    notes = "note: the states of stateful layers are inputs and outputs"
    exported = biport(
        "export", stateful, "-o", tmp_path / "m.onnx", "--route", "auto", "--states", "explicit"
    )
    assert notes in exported
    inputs = {"x": np.ones((3, 5, 3), "float32"), "gru.h": np.full((3, 4), 0.3, "float32")}
    np.savez(tmp_path / "x.npz", **inputs)
    forms = stateful, tmp_path / "b", tmp_path / "m.onnx"
    said = biport("verify", *forms, "--states", "explicit", "--input", tmp_path / "x.npz", "--json")
    assert json.loads(said)["ok"]
    assert_same(*forms, inputs=inputs, states="explicit")
    assert_weights_equal(stateful, tmp_path / "b")
    session = export.Session(tmp_path / "m.onnx", device="cpu")
    x = np.random.default_rng(0).normal(size=(3, 6, 3)).astype("float32")
    whole = session.run([x, np.zeros((3, 4), "float32")])[0]
    with session.stream() as stream:
        assert np.array_equal(
            np.concatenate([stream.feed([part])[0] for part in np.split(x, 3, 1)], 1), whole
        )
    zero = biport("export", stateful, "-o", tmp_path / "zero.onnx", "--states", "zero", "--no-verify")
    assert "as if each call started from zeros" in zero
    assert len(export.Session(tmp_path / "zero.onnx", device="cpu").input_values) == 1


def test_every_command_that_takes_a_configuration_takes_it() -> None:
    from biport.app.cli.app import app as commands

    functions = [command.callback for command in commands.registered_commands if command.callback is not None]
    options = [inspect.signature(function).parameters for function in functions]
    of_keras = [names for names in options if "config" in names]
    assert len(of_keras) > 4
    assert all("states" in names for names in of_keras)
