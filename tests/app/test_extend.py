"""``--extend``: a file of the user's own is run, and says what a class is."""

from __future__ import annotations

import json
from pathlib import Path

import testing.frameworks  # noqa: F401  # isort: skip

import keras
import pytest
from keras import layers
from typer.testing import CliRunner

from biport.app.cli import app

READERS = """
import keras_side

@keras_side.reads_class("Doubled")
def doubled(layer):
    return layer.input * 2.0
"""


class Doubled(layers.Layer):
    """Of whose code nothing is run."""

    def call(self, x: object) -> object:
        return x * 2  # type: ignore[operator]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("keras_side.mapped.CLASSES", {})
    x = keras.Input((None, 3))
    keras.Model(x, layers.LSTM(2)(Doubled(name="twice")(x))).save("model.keras")
    Path("own_readers.py").write_text(READERS)
    return tmp_path


def test_a_file_says_what_a_class_is(folder: Path) -> None:
    run = CliRunner()
    refused = run.invoke(app, ["inspect", "model.keras"])
    assert "--extend readers.py" in refused.output
    read = run.invoke(app, ["inspect", "model.keras", "--extend", "own_readers.py", "--json"])
    assert read.exit_code == 0, read.output
    data = json.loads(read.stdout)
    assert data["portable"]
    assert any("own_readers.py, line" in note and "not compared" in note for note in data["notes"])
    exported = run.invoke(app, ["export", "model.keras", "-o", "m.onnx", "--extend", "own_readers.py"])
    assert exported.exit_code == 0, exported.output
    assert "not compared with the code of the class" in exported.output


def test_a_file_that_is_not_there_or_fails(folder: Path) -> None:
    (folder / "broken.py").write_text("import keras_side\nkeras_side.reads_class('Lambda')\n")
    for name, words in (("nowhere.py", "no such file"), ("broken.py", "told of which layer")):
        result = CliRunner().invoke(app, ["inspect", "model.keras", "--extend", name])
        assert result.exit_code == 2
        assert words in result.output
