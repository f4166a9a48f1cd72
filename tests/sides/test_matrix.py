"""The matrix finds nothing in sound code, finds what is planted, and says so in every way it has."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from biport import ops, reference
from biport.app.cli import app
from biport.app.matrix import mutate, report
from biport.app.matrix.cases import CELLS, DIRECTIONS, MASKS, Selection, models, random_batch
from biport.app.matrix.files import write_outcome
from biport.app.matrix.operations import FAMILIES
from biport.app.matrix.run import Outcome, Result, run_matrix
from biport.compare.mistakes import MISTAKES
from biport.compare.mistakes.layers import LAYER_MISTAKES
from biport.compare.mistakes.operations import OPERATION_MISTAKES
from biport.compare.tolerance import Verdict, measure
from biport.errors import InputError
from biport.graph import Graph
from export.onnx.fused_node import FUSED
from testing.junit import check_document
from torch_side.shared.recurrent import KINDS

SMALL = Selection(cells=("GRU",), merges=("concat",), masks=("none", "left", "holes"), quick=True)


@pytest.fixture(
    scope="module", params=["RNN", *(pytest.param(c, marks=pytest.mark.sweep) for c in ("GRU", "LSTM"))]
)
def outcome(request: pytest.FixtureRequest) -> Outcome:
    """Of all layers of a cell; of the RNN, which is no sweep, of the two masked ones without biases."""
    if request.param != "RNN":
        return run_matrix(dataclasses.replace(SMALL, cells=(request.param,)))
    few = Selection(cells=("RNN",), merges=("concat",), masks=("left", "holes"))
    small = next(model for model in models(few) if not model.bias)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("biport.app.matrix.run.models", lambda selection: [small])
        return run_matrix(few)


@pytest.fixture
def wrong_order(monkeypatch):
    """torch's GRU written with z and r exchanged."""
    kind = KINDS.lookup(ops.GRU, "test")
    monkeypatch.setitem(KINDS._functions, ops.GRU, dataclasses.replace(kind, order="zrh"))


def test_the_product_is_whole() -> None:
    every = list(models(Selection()))
    assert {model.cell for model in every} == {*CELLS}
    assert {model.direction for model in every} == {*DIRECTIONS, *FAMILIES}
    assert {(model.masked, model.bias) for model in every} == {
        (a, b) for a in (True, False) for b in (True, False)
    }
    assert len({model.name for model in every}) == len(every)
    plain = next(model for model in every if model.masked and model.direction == "backward")
    assert {(case.output, case.states) for case in plain.cases} == {
        (output, states)
        for output in ("sequences", "last", "sequences zero", "last zero")
        for states in ("none", "returned", "given")
    }
    activations = {name for model in every for name in model.activations}
    assert activations >= {*FUSED, "softplus", "gelu", "silu", "selu"} - {"celu", "sparse_sigmoid"}


def test_every_pattern_of_mask_is_what_it_is_called() -> None:
    model = next(iter(models(Selection(cells=("LSTM",)))))
    inputs = random_batch(model, Selection())
    mask = inputs.arrays[1]
    assert list(inputs.rows) == [name for name in MASKS if name != "none"]
    assert mask[inputs.rows["full"]].all()
    assert not mask[inputs.rows["all padding"]].any()
    right, left, holes = (mask[inputs.rows[name]] for name in ("right", "left", "holes"))
    assert (np.diff(right.astype(int), axis=1) <= 0).all()
    assert (np.diff(left.astype(int), axis=1) >= 0).all()
    for rows in (right, left):
        assert ((rows.sum(axis=1) > 0) & (rows.sum(axis=1) < rows.shape[1])).all()
    assert all((np.diff(row.astype(int)) > 0).any() and (np.diff(row.astype(int)) < 0).any() for row in holes)


def test_sound_code_is_the_same_in_every_form(outcome: Outcome) -> None:
    assert outcome.ok
    assert outcome.differences == outcome.ill_conditioned == []
    assert not outcome.missing
    levels = {(result.form, result.level) for result in outcome.results}
    assert levels == {
        *(("Keras read", "L0"), ("torch read", "L0"), ("Keras", "L1"), ("torch", "L1")),
        *((form, "L2") for form in ("Keras", "torch", "ONNX fused", "ONNX tf2onnx")),
    }
    measured = [result.maximum for result in outcome.results if result.level == "L2"]
    assert 0 < max(measured) < 1e-6
    masked = {"left", "holes"}
    cell = outcome.results[0].cell
    seen = {name for result in outcome.results for name in result.errors}
    assert seen == (masked if cell == "RNN" else masked | {"none"})


def test_a_wrong_gate_order_is_reported_with_its_side(wrong_order) -> None:
    found = run_matrix(SMALL, forms=["torch", "ONNX fused"])
    assert not found.ok
    assert {result.form for result in found.differences} == {"torch"}
    lines = report.worst_lines(found, most=2)
    assert lines[0].startswith("GRU concat, masked, tanh/sigmoid: sequences, states none, torch L2: error ")
    assert lines[-1].startswith("... and ")


def test_a_form_that_fails_differs(monkeypatch) -> None:
    def broken(*args: Any, **options: Any) -> None:
        raise ValueError("out of order\nand more")

    monkeypatch.setattr("export.write", broken, raising=False)
    found = run_matrix(SMALL, forms=["ONNX fused"])
    assert {result.verdict for result in found.results if result.form == "ONNX fused"} == {Verdict.DIFFERENT}
    assert found.differences[0].note == "ValueError: out of order"
    json.dumps(report.to_json(found), allow_nan=False)


def test_nothing_compared_is_not_the_same() -> None:
    assert not Outcome([], {}, 0.0, 0).ok


@pytest.mark.parametrize(
    "wrong",
    [{"cells": ("LSTMs",)}, {"merges": ("max",)}, {"masks": ("middle",)}],
    ids=["cell", "merge", "mask"],
)
def test_an_unknown_choice_is_refused(wrong: Any) -> None:
    with pytest.raises(InputError, match=r"matrix: .* should be one of"):
        Selection(**wrong)
    with pytest.raises(InputError, match="operations have no merge; found 'sum'"):
        Selection(cells=("operations",), merges=("sum",))
    with pytest.raises(InputError, match="form should be one of Keras"):
        run_matrix(SMALL, forms=["keras"])


def test_junit_counts_what_there_is(outcome: Outcome) -> None:
    bad = dataclasses.replace(outcome.results[3], verdict=Verdict.DIFFERENT, note="planted")
    chaotic = dataclasses.replace(outcome.results[4], verdict=Verdict.ILL_CONDITIONED)
    changed = [*outcome.results[:3], bad, chaotic, *outcome.results[5:]]
    missing = {"ONNX fused": "onnxruntime"}
    root = check_document(report.to_junit(dataclasses.replace(outcome, results=changed, missing=missing)))
    suites = root.findall("testsuite")
    assert sum(int(suite.attrib["tests"]) for suite in suites) == len(outcome.results) + 1
    assert len(root.findall(".//testcase")) == len(outcome.results) + 1
    assert [node.attrib["message"] for node in root.iter("failure")] == ["planted"]
    assert len(list(root.iter("skipped"))) == 2


def test_the_page_stands_by_itself(outcome: Outcome) -> None:
    sound = next(result for result in outcome.results if result.level == "L2")
    worst = dataclasses.replace(
        sound, verdict=Verdict.DIFFERENT, errors={"left": math.inf}, note="<broken> & gone"
    )
    page = report.to_html(dataclasses.replace(outcome, results=[*outcome.results, worst]))
    assert "<script" not in page
    assert "http" not in page.replace("<!doctype html>", "")
    assert "&lt;broken&gt; &amp; gone" in page
    assert 'class="e bad"' in page
    assert 'class="e h0"' in page
    assert page.count("<details") == len({(result.cell, result.direction) for result in outcome.results})


def run_cli(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["matrix", *arguments])


FEW = ("--cell", "RNN", "--merge", "sum", "--mask", "holes", "--form", "torch", "--quick")


def test_the_command_prints_and_writes(tmp_path) -> None:
    folder = tmp_path / "found"
    done = run_cli(*FEW, "-o", str(folder), "--junit", str(tmp_path / "results.xml"))
    assert done.exit_code == 0, done.output
    assert check_document((tmp_path / "results.xml").read_bytes()).attrib["tests"] == "24"
    assert "verdict: same" in done.output
    assert "1 models, 24 comparisons" in done.output
    assert {path.name for path in folder.iterdir()} == {"matrix.json", "matrix.xml", "matrix.html"}
    assert json.loads((folder / "matrix.json").read_text())["verdict"] == "same"
    again = run_cli(*FEW, "-o", str(folder))
    assert again.exit_code == 2
    assert run_cli(*FEW, "-o", str(folder), "--force").exit_code == 0


def test_the_command_ends_with_1_on_a_difference(wrong_order) -> None:
    done = run_cli(
        "--cell", "GRU", "--merge", "sum", "--mask", "full", "--form", "torch", "--quick", "--json"
    )
    assert done.exit_code == 1
    found = json.loads(done.output)
    assert found["verdict"] == "different"
    assert {entry["form"] for entry in found["results"] if entry["verdict"] == "different"} == {"torch"}


@pytest.mark.parametrize("wrong", [("--cell", "lstm"), ("--form", "jax"), ("--mask", "x")])
def test_the_command_refuses_what_it_does_not_know(wrong: tuple[str, str]) -> None:
    done = run_cli(*wrong)
    assert done.exit_code == 2
    assert "should be one of" in done.output


@pytest.mark.sweep
def test_several_processes_find_the_same() -> None:
    selection = "Selection(cells=('RNN',), merges=('sum', 'mul'), masks=('left',), quick=True)"
    script = (
        "from biport.app.matrix import Selection, run_matrix\n"
        "if __name__ == '__main__':\n"
        f"    print(list(run_matrix({selection}, forms=['torch'], jobs=2).results))\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, check=True, capture_output=True, timeout=300, text=True)
    one = run_matrix(eval(selection), forms=["torch"], jobs=1)
    assert one.ok
    assert done.stdout == f"{list(one.results)}\n"


def test_there_are_mistakes_enough_of_every_kind() -> None:
    names = [mistake.name for mistake in MISTAKES]
    assert len(names) == len(set(names)) >= 50


OPERATIONS = Selection(cells=("operations",), masks=("left",), quick=True)


def test_every_mistake_in_operations_changes_what_one_of_them_gives() -> None:
    several = []
    every_mask = dataclasses.replace(OPERATIONS, masks=())
    for model in models(every_mask):
        arrays = random_batch(model, every_mask).arrays
        several.append((model.graph, arrays, reference.run(model.graph, arrays)))
    for mistake in OPERATION_MISTAKES:
        wrong = [(mistake.graph(graph), graph, arrays, right) for graph, arrays, right in several]
        assert any(_differs(*one) for one in wrong if one[0] is not one[1]), mistake.name


def _differs(changed: Graph, right_graph: Graph, arrays: Any, right: Any) -> bool:
    try:
        outputs = reference.run(changed, arrays)
    except InputError:
        return True  # An index that is now one of a shorter axis.
    return any(measure({"": one}, {"": two}).maximum > 1e-3 for one, two in zip(outputs, right, strict=True))


def test_an_operation_that_is_wrong_is_named() -> None:
    (model,) = (one for one in models(OPERATIONS) if one.direction == "reduction")
    mistake = next(one for one in OPERATION_MISTAKES if one.name == "it is sum instead of mean")
    changed = mistake.graph(model.graph)
    assert {one.name for one, two in zip(changed.nodes, model.graph.nodes, strict=True) if one != two} == {
        "mean"
    }


@pytest.mark.sweep
def test_every_planted_mistake_in_operations_is_detected(monkeypatch) -> None:
    monkeypatch.setattr(mutate, "MISTAKES", OPERATION_MISTAKES)
    detections = mutate.plant_mistakes(OPERATIONS)
    detected, planted = mutate.score(detections)
    assert detected == planted == 4 * len(OPERATION_MISTAKES), report.detections_summary(detections)


@pytest.mark.sweep
@pytest.mark.parametrize("family", FAMILIES)
def test_operations_are_the_same_in_every_form(family: str, monkeypatch) -> None:
    (model,) = (one for one in models(OPERATIONS) if one.direction == family)
    monkeypatch.setattr("biport.app.matrix.run.models", lambda selection: [model])
    outcome = run_matrix(OPERATIONS)
    assert outcome.ok, report.worst_lines(outcome)
    assert not outcome.ill_conditioned
    page = report.to_html(outcome)
    assert f"operations {family}" in page
    assert "states" not in page


@pytest.mark.sweep
def test_planted_mistakes_are_detected(monkeypatch) -> None:
    monkeypatch.setattr(mutate, "MISTAKES", MISTAKES[::4])
    detections = mutate.plant_mistakes(Selection(cells=("GRU",), merges=("none",), masks=("left",)))
    detected, planted = mutate.score(detections)
    assert detected == planted > 20, report.detections_summary(detections)
    seams = ["Keras write", "Keras read", "torch write", "ONNX write"]
    assert "mutation score: " in report.detections_summary(detections)
    assert report.detections_table(detections)[0] == ["fault", *seams]
    assert {detection.seam for detection in detections} == {*seams}


def test_a_mistake_that_nobody_notices_is_told() -> None:
    missed = mutate.Detection("gates are painted red", "torch write", 3, "")
    assert not missed.detected
    assert report.detections_summary([missed]).splitlines() == [
        "MISSED: gates are painted red (torch write)",
        "mutation score: 0 of 1 (1 faults, planted at each side)",
    ]


@pytest.mark.sweep
def test_a_matrix_that_sees_nothing_scores_nothing(monkeypatch) -> None:
    monkeypatch.setattr("biport.app.matrix.run.judge_float32", lambda error, *rest: (Verdict.SAME, 1.0))
    monkeypatch.setattr("biport.app.matrix.run.judge_float64", lambda error, *rest: (Verdict.SAME, 1.0))
    few = Selection(cells=("RNN",), merges=("sum",), masks=("left",), quick=True)
    monkeypatch.setattr(mutate, "MISTAKES", LAYER_MISTAKES[-7:-5])
    detections = mutate.plant_mistakes(few)
    assert detections
    assert mutate.score(detections)[0] == 0


def test_results_are_plain(outcome: Outcome) -> None:
    data = json.loads(json.dumps(report.to_json(outcome), allow_nan=False))
    assert data["comparisons"] == len(data["results"]) == len(outcome.results)
    assert data["versions"]["torch"]
    assert isinstance(outcome.results[0], Result)


def test_without_jinja2_there_is_no_page_and_a_line_says_so(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    empty = Outcome([], {}, 0.0, 0)
    *_, last = write_outcome(empty, tmp_path / "matrix")
    assert last.startswith("no matrix.html: 'jinja2' is not installed: pip install jinja2, or")
    assert {path.name for path in (tmp_path / "matrix").iterdir()} == {"matrix.json", "matrix.xml"}
