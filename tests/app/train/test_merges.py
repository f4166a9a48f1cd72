"""The four merges side by side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from biport import bundle
from biport.app.cli import app
from biport.errors import InputError
from biport.graph import weight_differences
from biport.training import data as training_data
from biport.training.recipes import RECIPES


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_data, "EVALUATION_ROWS", 40)


OPTIONS = ["--data", "reviews", "--recipe", "reviews", "--epochs", "1", "--limit", "64"]


@pytest.mark.sweep
def test_both_frameworks_from_the_same_start_and_nothing_twice(tmp_path: Path) -> None:
    output = tmp_path / "merges"
    command = ["compare-merges", "-o", str(output), *OPTIONS, "--merge", "mul", "--masked"]
    run = CliRunner().invoke
    result = run(app, command)
    assert result.exit_code == 0, result.output
    assert "| mul | keras |" in result.stdout
    rows = json.loads((output / "merges.json").read_text())["rows"]
    assert [(row["merge"], row["framework"]) for row in rows] == [("mul", "keras"), ("mul", "torch")]
    assert rows[0]["loss"] == pytest.approx(rows[1]["loss"], rel=1e-4)
    assert all(0 <= row["accuracy"] <= 1 and row["seconds"] > 0 for row in rows)
    assert (output / "merges.png").read_bytes().startswith(b"\x89PNG")
    first = [bundle.read(output / f"mul-{framework}" / "initial") for framework in ("keras", "torch")]
    assert weight_differences(*first) == []
    settings = json.loads((output / "mul-torch" / "recipe.json").read_text())["recipe"]["settings"]
    assert settings["merge"] == "mul"
    assert settings["masked"] is True
    # Again nothing is trained: it is over at once, with the same table.
    before = (output / "mul-keras" / "history.json").stat().st_mtime_ns
    assert run(app, command).stdout == result.stdout
    assert (output / "mul-keras" / "history.json").stat().st_mtime_ns == before


@pytest.mark.sweep
def test_what_is_refused(tmp_path: Path) -> None:
    run = CliRunner().invoke
    result = run(app, ["compare-merges", "-o", str(tmp_path / "m"), "--merge", "max"])
    assert result.exit_code == 2
    result = run(
        app, ["compare-merges", "-o", str(tmp_path / "m"), "--data", "x.doc", "--framework", "torch"]
    )
    assert result.exit_code == 2
    assert "concat-torch: --data x.doc" in result.stderr
    with pytest.raises(InputError, match="sets embedding_size, units"):
        RECIPES["imdb-sum"].setting({"colour": 1})
    options = ["train", "sentiment", "--framework", "torch", "-o", str(tmp_path / "t"), "--set"]
    assert "NAME=VALUE" in run(app, [*options, "merge"]).stderr
