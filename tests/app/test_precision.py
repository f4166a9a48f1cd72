"""Smaller numbers measured on rows of the user's: which way is taken, and what limits refuse."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from typer.testing import CliRunner

import export
from biport import bundle, ops
from biport.app import measure, precision
from biport.app.cli import app
from biport.app.cost import Cost, Measured, Small, costs
from biport.app.export import export_model
from biport.app.precision import LimitError, Limits, Smaller, choice
from biport.compare.gate import missed
from biport.compare.rows import DataRows
from biport.data.vocabulary import Vocabulary
from biport.errors import InputError
from biport.graph import Graph, Node, Value
from testing.graphs import VOCABULARY, classifier, dense, normal

WORDS = Vocabulary(("<pad>", "<unk>", *(f"word{number}" for number in range(VOCABULARY - 2))))
COST = Cost(
    precision="int8",
    method="weights",
    on="2 rows of reviews.csv",
    bytes=(4000, 1000),
    batch=(32, 100),
    milliseconds=(2.0, 1.6),
    ratio=1.25,
    shortest=1.25,
    labels=200,
    equal=198,
    accuracy=(0.9, 0.895),
    difference=0.01,
    undefined=0,
    parts={"embedding": (3000, 800), "lstm": (1000, 200)},
)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are taken, and say nothing."""
    monkeypatch.setattr(precision, "SECONDS", 0.0)
    monkeypatch.setattr(measure, "BLOCK", 0.1)


@pytest.fixture
def folder(tmp_path: Path, quick: None, fewer_steps: None) -> Path:
    bundle.write(classifier(np.random.default_rng(0), classes=2), tmp_path / "b")
    WORDS.save(tmp_path / "vocabulary.json")
    rng = np.random.default_rng(1)
    rows = [f'"{" ".join(rng.choice(WORDS.tokens[2:], rng.integers(1, 9)))}"' for _ in range(40)]
    labels = [("yes", "no")[number % 2] for number in range(40)]
    lines = [f"{row},{label}\n" for row, label in zip(rows, labels, strict=True)]
    (tmp_path / "reviews.csv").write_text("review,stars\n" + "".join(lines))
    return tmp_path


def run(folder: Path, *options: object) -> Any:
    given = ["export", folder / "b", "-o", folder / "small.onnx", "--vocabulary", folder / "vocabulary.json"]
    result = CliRunner().invoke(app, [*map(str, given), "--labels", "no,yes", *map(str, options)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_limits_are_kept_or_missed() -> None:
    limits = Limits(max_accuracy_drop=0.005, min_speedup=1.2, min_agreement=0.99)
    cost = dataclasses.replace(COST, accuracy=(0.75, 0.75 - 2**-8))
    assert [gate.name for gate in limits.gates(cost)] == ["accuracy drop", "speed-up", "label agreement"]
    assert not missed(limits.gates(cost))
    for change in ({"accuracy": (0.9, 0.85)}, {"ratio": 1.19}, {"equal": 197}):
        assert len(missed(limits.gates(dataclasses.replace(cost, **change)))) == 1
    # Better than before is no drop.
    assert not missed(Limits(max_accuracy_drop=0).gates(dataclasses.replace(COST, accuracy=(0.8, 0.9))))
    assert Limits().gates(COST) == []
    with pytest.raises(InputError, match="labelled rows"):
        Limits(max_accuracy_drop=0.1).gates(dataclasses.replace(COST, accuracy=None))
    with pytest.raises(InputError, match="the model gives none"):
        Limits(min_agreement=0.1).gates(dataclasses.replace(COST, labels=0, equal=0))
    with pytest.raises(InputError, match="min_speedup"):
        Limits(min_speedup=float("nan"))


@pytest.mark.parametrize(
    "ratios, kept, chosen",
    [
        ((1.0, 1.05), (0, 1), 0),
        ((1.0, 1.2), (0, 1), 1),
        ((1.0, 1.2, 1.25), (0, 1, 2), 1),
        ((1.0, 1.05, 1.12), (0, 1, 2), 2),
        ((1.0, 2.0, 3.0), (0, 1), 1),
        ((1.0, 0.5), (1,), 1),
    ],
)
def test_what_rounds_more_has_to_be_faster(ratios: Any, kept: Any, chosen: int) -> None:
    assert choice([dataclasses.replace(COST, shortest=ratio) for ratio in ratios], kept) == chosen


def test_what_a_person_reads() -> None:
    lines = COST.lines()
    assert lines == [
        "int8 (weights): 1,000 bytes, 4.00 times smaller; 1.6 ms for 32 rows of up to 100 steps, "
        "1.25 times as fast as float32 (2 ms)",
        "on 2 rows of reviews.csv: 198 of 200 labels as before (99.00 %), accuracy 0.9000 became 0.8950, "
        "outputs differ by up to 0.01",
        "bytes of weights: embedding 3,000 to 800, lstm 1,000 to 200",
    ]
    bare = dataclasses.replace(COST, method=None, labels=0, equal=0, accuracy=None, undefined=3, parts={})
    assert "outputs are no labels" in bare.lines()[1]
    assert "3 numbers where the model has NaN" in bare.lines()[-1]
    assert "busy" in dataclasses.replace(COST, shortest=0.9).lines()[2]


class Fixed:
    """A session that gives what it was made with."""

    def __init__(self, path: Path, results: list[np.ndarray]) -> None:
        self.path = path
        self.results = results

    def run(self, arrays: Any) -> list[np.ndarray]:
        return [self.results[int(arrays[0][0, 0])]]


def test_labels_accuracy_and_what_is_nan(tmp_path: Path, quick: None) -> None:
    """In the order of the rows, which batches do not keep."""
    (tmp_path / "f").write_bytes(bytes(10))
    one = [np.array([[0.9, 0.1], [np.nan, np.nan]], "float32"), np.array([[0.4, 0.6]], "float32")]
    two = [np.array([[0.4, 0.6], [np.nan, np.nan]], "float32"), np.array([[0.3, 0.7]], "float32")]
    rows = DataRows({"a": np.array([2, 0]), "b": np.array([1])}, [1, 2, 3], labels=np.array([1, 1, 0]))
    cases = {"a": [np.array([[0, 0], [0, 0]])], "b": [np.array([[1, 1]])]}
    measured = Measured(cases, ["a", "b"], "3 rows", rows, "softmax")
    exact, small = Fixed(tmp_path / "f", one), Fixed(tmp_path / "f", two)
    (cost,) = costs(exact, {"x": 8}, [Small(small, "int8", "weights", {"x": 2})], measured, 0.0)
    assert (cost.labels, cost.equal, cost.undefined, cost.batch) == (2, 1, 0, (2, 2))
    assert cost.accuracy == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert cost.difference == pytest.approx(0.5)
    assert cost.parts == {"x": (8, 2)}


def test_measured_on_rows_of_ones_own(folder: Path) -> None:
    own = ["--int8", "--input", folder / "reviews.csv", "--text", "review", "--label", "stars"]
    figures = ["--batch-size", 8, "--json", "--junit", folder / "gates.xml"]
    refused = run(folder, *own, *figures, "--min-speedup", 1000, "--min-agreement", 0.5)
    assert refused.exit_code == 1
    data = json.loads(refused.stdout)
    assert {cost["method"] for cost in data["tried"]} == {"weights", "dynamic"}
    assert not data["kept"]
    assert {(gate["gate"], gate["ok"]) for gate in data["gates"]} == {
        ("speed-up", False),
        ("label agreement", True),
    }
    assert not (folder / "small.onnx").exists()
    (suite,) = ElementTree.parse(folder / "gates.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("4", "2")

    limits = ["--min-speedup", 0.0001, "--max-accuracy-drop", 1, "--min-agreement", 0.5, "--force"]
    kept = run(folder, *own, *figures, *limits)
    assert kept.exit_code == 0, kept.output
    data = json.loads(kept.stdout)
    cost = data["cost"]
    assert cost["labels"] == 40
    assert cost["batch"][0] == 8
    assert "40 rows of" in cost["on"]
    assert all(0 <= share <= 1 for share in cost["accuracy"])
    assert cost["accuracy_drop"] == pytest.approx(cost["accuracy"][0] - cost["accuracy"][1])
    assert [gate["ok"] for gate in data["gates"]] == [True] * 3
    assert cost["bytes"][1] == (folder / "small.onnx").stat().st_size
    session = export.Session(folder / "small.onnx", device="cpu")
    assert session.labels == ("no", "yes")
    assert list(session.tokenizers) == ["ids"]
    assert session.metadata["biport.int8"] == cost["method"]


@pytest.mark.parametrize("labelled", [True, pytest.param(False, marks=pytest.mark.sweep)])
@pytest.mark.parametrize(
    "option",
    [
        pytest.param(["--embed-tokenizer", "--refuse-characters"], marks=pytest.mark.sweep),
        ["--contract", "right-padded"],
    ],
    ids=lambda x: x[0],
)
def test_files_of_texts_and_of_a_contract(option: list[str], labelled: bool, folder: Path) -> None:
    more = ["--input", folder / "reviews.csv", "--label", "stars"] if labelled else []
    result = run(folder, "--int8", "--int8-method", "weights", *option, *more, "--json")
    assert result.exit_code == 0, result.output
    cost = json.loads(result.stdout)["cost"]
    assert (cost["method"], cost["accuracy"] is None) == ("weights", not labelled)
    assert cost["equal"] > 0.8 * cost["labels"] > 0
    session = export.Session(folder / "small.onnx", device="cpu")
    assert (session.contract == "right-padded") == ("--contract" in option)


def test_convolutions_are_calibrated_with_rows(tmp_path: Path, quick: None) -> None:
    rng = np.random.default_rng(3)
    op = ops.Conv1D(
        input_size=24, output_size=64, kernel_size=(3,), activation="relu",
        weight=normal(rng, 64, 24, 3), bias=normal(rng, 64),
    )  # fmt: skip
    nodes = (Node("conv", op, ("x",)), Node("top", ops.GlobalMaxPooling1D(), ("conv",)))
    nodes += (Node("y", dense(rng, 64, 3, "softmax"), ("top",)),)
    graph = Graph((Value("x", ("N", "T", 24), "float32"),), nodes, ("y",))
    np.savez(tmp_path / "rows.npz", x=rng.normal(size=(40, 9, 24)).astype("float32"))
    how = Smaller("int8", inputs=tmp_path / "rows.npz", batch_size=16)
    made = export_model(graph, tmp_path / "small.onnx", precision=how)
    assert made.smaller is not None
    assert [cost.method for cost in made.smaller.tried] == ["weights", "static"]
    assert "times as fast as float32" in made.smaller.why
    how = dataclasses.replace(how, method="static", limits=Limits(min_speedup=1000))
    with pytest.raises(LimitError, match=r"no.onnx was not kept: speed-up of int8 \(static\)"):
        export_model(graph, tmp_path / "no.onnx", precision=how)
    assert not (tmp_path / "no.onnx").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        (["--min-speedup", 2], "of --int8 and --fp16 alone"),
        (["--int8-method", "weights"], "of --int8 and --fp16 alone"),
        (["--fp16", "--int8-method", "weights"], "--int8"),
        (["--int8", "--text", "review"], "--input"),
        (["--int8", "--int8-method", "static"], "--input"),
        (["--int8", "--max-accuracy-drop", 2], "from -1 to 1"),
    ],
)
def test_options_that_do_not_go_together(folder: Path, options: list[Any], message: str) -> None:
    result = run(folder, *options)
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr
