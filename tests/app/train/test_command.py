"""``biport train`` and ``biport curves``: what a run leaves, how it goes on, what it refuses."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import torch_side.train
from biport import bundle
from biport.app.cli import app
from biport.training import RECIPES
from biport.training import data as training_data

SMALL = "--limit", 40, "--epochs", 3, "--batch-size", 8


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_data, "EVALUATION_ROWS", 20)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads wait for each other longer than models of this size compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def biport(*arguments: object) -> Any:
    """Run a command; any traceback but a clean exit fails the test."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def train(output: Path, *more: object, task: str = "tagger", framework: str = "torch") -> Any:
    return biport("train", task, "--framework", framework, "-o", output, *SMALL, *more)


def history(output: Path) -> dict[str, Any]:
    return json.loads((output / "history.json").read_text())


def names(output: Path) -> set[str]:
    return {entry.name for entry in output.iterdir()}


@pytest.mark.sweep
def test_both_frameworks_follow_one_recipe(tmp_path: Path) -> None:
    double = "--dtype", "float64"
    first = train(tmp_path / "torch", *double, "--json")
    assert first.exit_code == 0, first.output
    second = train(tmp_path / "keras", *double, "--init", tmp_path / "torch" / "initial", framework="keras")
    assert second.exit_code == 0, second.output
    assert second.stderr.count("validation loss") == 3
    assert "test loss" in second.stdout

    one, two = history(tmp_path / "torch"), history(tmp_path / "keras")
    assert one["best"] == two["best"]
    assert len(one["epochs"]) == len(one["seconds"]) == 3
    for mine, yours in zip(one["epochs"] + [one["test"]], two["epochs"] + [two["test"]], strict=True):
        assert mine.keys() == yours.keys()
        for key, value in mine.items():
            assert abs(value - yours[key]) < 1e-10, key
    assert one["epochs"][0]["loss"] > one["epochs"][2]["loss"]
    graphs = [bundle.read(tmp_path / side / "model") for side in ("torch", "keras")]
    for name, arrays in graphs[0].weights().items():
        for path, array in arrays.items():
            np.testing.assert_allclose(array, graphs[1].weights()[name][path], rtol=0, atol=1e-10)
    assert (
        bundle.read(tmp_path / "keras" / "initial").digest()
        == json.loads((tmp_path / "keras" / "recipe.json").read_text())["initial"]
    )

    left = {"recipe.json", "initial", "model", "history.json", "last.safetensors", "curves.png"}
    assert names(tmp_path / "torch") == left
    assert names(tmp_path / "keras") == {*left, "model.keras"}
    data = json.loads(first.stdout)
    assert data["finished"]
    assert data["recipe"]["name"] == "tags"
    assert data["epochs"] == one["epochs"]

    # What Keras has saved starts a run in torch.
    again = train(
        tmp_path / "again", *double, "--init", tmp_path / "keras" / "model.keras", "--learning-rate", 1e-12
    )
    assert again.exit_code == 0, again.output
    assert abs(history(tmp_path / "again")["test"]["loss"] - two["test"]["loss"]) < 1e-6

    picture = tmp_path / "both.png"
    drawn = biport("curves", tmp_path / "torch", tmp_path / "keras", "-o", picture)
    assert drawn.exit_code == 0, drawn.output
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert biport("curves", tmp_path / "torch", "-o", picture).exit_code == 2
    assert biport("curves", tmp_path / "torch", "-o", tmp_path / "both.doc").exit_code == 2
    assert biport("curves", tmp_path, "-o", picture, "--force").exit_code == 2


@pytest.mark.sweep
def test_a_run_that_is_asked_to_stop_goes_on_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Reviews, with dropout: the random masks go on as well.
    recipe = "--recipe", "reviews"
    for name, value in {"dropout": 0.5, "units": [3]}.items():
        monkeypatch.setitem(RECIPES["reviews"].settings, name, value)  # type: ignore[arg-type]
    assert train(tmp_path / "whole", *recipe, task="sentiment").exit_code == 0

    step = torch_side.train.Trainer.step
    calls = [0]

    def stopping(self: Any, batch: Any, rate: float) -> Any:
        calls[0] += 1
        if calls[0] == 4:
            signal.raise_signal(signal.SIGTERM)
        return step(self, batch, rate)

    monkeypatch.setattr(torch_side.train.Trainer, "step", stopping)
    output = tmp_path / "pieces"
    result = train(output, *recipe, task="sentiment")
    codes = []
    while result.exit_code:
        codes.append(result.exit_code)
        assert "--resume goes on from there" in result.stdout
        assert ("model" in names(output)) == ("history.json" in names(output))
        assert "best.safetensors" not in names(output)
        calls[0] = 0
        result = train(output, *recipe, "--resume", task="sentiment")
    assert codes == [143] * 3
    assert calls[0] == 3
    one, two = history(tmp_path / "whole"), history(output)
    assert one["epochs"] == two["epochs"]
    assert one["test"] == two["test"]
    for name in ("model/model.safetensors", "initial/model.safetensors", "vocabulary.json", "recipe.json"):
        assert (output / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()

    other = train(output, *recipe, "--resume", "--learning-rate", 0.5, "--seed", 1, task="sentiment")
    assert other.exit_code == 2
    assert "recipe.learning_rate: 0.007 there, 0.5 now; recipe.seed: 0 there, 1 now; " in other.stderr
    assert "data.digest" in other.stderr
    before = (output / "last.safetensors").read_bytes()
    assert train(output, *recipe, "--resume", task="sentiment").exit_code == 0
    assert (output / "last.safetensors").read_bytes() == before


@pytest.mark.sweep
def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    output, short = tmp_path / "run", ("--epochs", 1)
    assert "no training run" in train(output, "--resume").stderr
    assert not output.exists()
    assert train(output, *short).exit_code == 0
    refused = train(output)
    assert refused.exit_code == 2
    assert "use --force to replace the run, --resume to go on" in refused.stderr
    (output / "notes.txt").write_text("mine")
    assert "holds notes.txt; give an empty folder" in train(output, "--force").stderr
    (output / "notes.txt").unlink()
    assert train(output, *short, "--force", "--seed", 3).exit_code == 0
    assert train(tmp_path / "no" / "run").exit_code == 2
    assert train(tmp_path / "new", "--init", tmp_path / "missing.keras").exit_code == 2
    assert not (tmp_path / "new").exists()


def test_refusals(tmp_path: Path) -> None:
    output = tmp_path / "run"
    for more, words in {
        ("--recipe", "dates"): "--recipe dates: for tagger there are",
        ("--data", "no"): "--data no: for tagger give tags or steps",
        ("--learning-rate", 0): "--learning-rate 0.0",
    }.items():
        result = train(output, *more)
        assert result.exit_code == 2
        assert words in result.stderr
    # In float64 Keras weighs padding otherwise under this mask: nothing is compared that differs.
    result = train(output, "--dtype", "float64", task="seq2seq", framework="keras")
    assert result.exit_code == 3
    assert "float64" in result.stderr
    assert "sentiment give reviews" in train(output, "--data", "x.txt", task="sentiment").stderr
    assert not output.exists()


@pytest.mark.parametrize(
    "framework, other", [pytest.param("keras", "torch", marks=pytest.mark.sweep), ("torch", "tensorflow")]
)
@pytest.mark.sweep
def test_a_run_loads_its_own_framework_only(framework: str, other: str, tmp_path: Path) -> None:
    code = f"""
import sys
from biport.app.cli import app
from biport.training import RECIPES
from biport.training import data
data.EVALUATION_ROWS = 5
arguments = "train tagger --framework {framework} --limit 8 --epochs 1".split()
try:
    app([*arguments, "-o", {str(tmp_path / "run")!r}])
except SystemExit as end:
    assert not end.code, end.code
assert "{framework}" in sys.modules
assert "{other}" not in sys.modules, "both"
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert (tmp_path / "run" / "history.json").is_file()
