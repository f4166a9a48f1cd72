"""Curves of runs are compared epoch by epoch; what is further off than was allowed ends with 1."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from biport.app.cli import app
from biport.training import folder as files
from biport.training.progress import Epoch
from testing.junit import check_document


def run_folder(path: Path, losses: list[float], accuracy: float = 0.5) -> Path:
    """A run of which nothing is there but its history."""
    path.mkdir()
    files.write_description(path, files.describe("torch", {"name": "tags"}, {}, ""))
    epochs = [Epoch(number, 0.1, loss, accuracy, loss / 2, accuracy) for number, loss in enumerate(losses, 1)]
    files.write_history(
        path, {"epochs": [vars(epoch) for epoch in epochs], "best": 1, "test": None, "seconds": []}
    )
    return path


def curves(*arguments: Any) -> Any:
    return CliRunner().invoke(app, ["curves", *map(str, arguments)])


def test_runs_are_compared_with_the_first(tmp_path: Path) -> None:
    one = run_folder(tmp_path / "one", [0.7, 0.5, 0.4])
    two = run_folder(tmp_path / "two", [0.7, 0.53, 0.4])
    results = tmp_path / "curves.xml"
    kept = curves(one, two, "--max-difference", 0.031, "--junit", results, "--json")
    assert kept.exit_code == 0, kept.output
    data = json.loads(kept.stdout)
    assert data["output"] is None
    assert {gate["metric"] for gate in data["gates"]} == {
        "loss",
        "accuracy",
        "validation_loss",
        "validation_accuracy",
    }
    loss = data["gates"][0]
    assert loss["figure"] == pytest.approx(0.03)
    assert (loss["limit"], loss["epoch"], loss["ok"], len(loss["differences"])) == (0.031, 2, True, 3)
    assert check_document(results.read_bytes()).attrib["tests"] == "4"
    missed = curves(one, two, "--max-difference", 0.029, "--metric", "loss", "--junit", results, "--force")
    assert missed.exit_code == 1
    assert (
        "difference in loss of two: 0.03, at most 0.029 is asked for (from one, in epoch 2): missed"
        in missed.stdout
    )
    assert check_document(results.read_bytes()).attrib["failures"] == "1"
    assert curves(one, two, "--max-difference", 0.029, "--metric", "accuracy").exit_code == 0


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    one, short = run_folder(tmp_path / "one", [0.7, 0.5]), run_folder(tmp_path / "short", [0.7])
    lost = run_folder(tmp_path / "lost", [0.7, float("nan")])
    for arguments, words in (
        ((one, short, "--max-difference", 1), "short has 1 epochs and one 2"),
        ((one, "--max-difference", 1), "--max-difference: goes with two runs or more"),
        ((one, one, "--max-difference", 1), "is given twice"),
        ((one, short), "curves are drawn, --output, or compared, --max-difference; neither is said"),
        ((one, short, "-o", tmp_path / "c.png", "--metric", "loss"), "--metric: goes with --max-difference"),
        ((one, short, "--max-difference", -1), "--max-difference -1.0: should be a number of 0 or more"),
        ((one, lost, "--max-difference", 1, "--junit", tmp_path / "c.txt"), "ends in .xml"),
    ):
        refused = curves(*arguments)
        assert refused.exit_code == 2, refused.output
        assert words in refused.stderr
    # Where both lost their numbers, nothing is the same.
    again = run_folder(tmp_path / "again", [0.7, float("nan")])
    both = curves(lost, again, "--max-difference", 1, "--metric", "loss", "--json")
    assert both.exit_code == 1, both.output
    assert json.loads(both.stdout)["gates"][0]["figure"] is None
