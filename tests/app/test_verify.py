"""A verification names the form at fault, and fails on what it cannot compare."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import export
import keras_side
from biport import reference, verify
from biport.app.forms import Form
from biport.app.taken import taken_by
from biport.errors import InputError
from testing.graphs import classifier
from testing.masks import padded_ids


class _Faulty:
    """Stands for a runtime that is wrong in a way the test chooses."""

    contract = None
    input_values = ()

    def __init__(self, graph, change) -> None:
        self.graph, self.change = graph, change

    def run(self, arrays):
        return self.change(reference.run(self.graph, arrays, "float32"))


_Faulty.__name__ = "Session"


def test_the_faulty_form_is_named() -> None:
    graph = classifier(np.random.default_rng(2))
    good, bad = _Faulty(graph, lambda outputs: outputs), _Faulty(graph, lambda outputs: [outputs[0] + 1e-3])
    report = verify(graph, good, bad)
    assert not report.ok
    assert report.at_fault == ["onnx (2)"]
    assert "verdict: different; at fault: onnx (2)" in report.table
    line = next(line for line in report.lines if line.form == "onnx (2)")
    assert line.error.maximum == pytest.approx(1e-3, rel=1e-2)
    assert line.error.worst[0] in report.cases
    data = report.to_json()
    assert data["verdict"] == "different"
    assert verify(graph, good).ok


def test_a_form_that_fails_to_run_is_a_finding() -> None:
    graph = classifier(np.random.default_rng(2))

    def fail(outputs):
        raise RuntimeError("kernel lost")

    report = verify(graph, _Faulty(graph, fail), _Faulty(graph, lambda outputs: outputs * 2))
    assert report.at_fault == ["onnx", "onnx (2)"]
    assert "RuntimeError: kernel lost" in report.table
    assert "2 outputs instead of 1" in report.table
    assert report.to_json()["lines"][1]["maximum"] is None


def test_verify_needs_two_forms_and_a_graph() -> None:
    graph = classifier(np.random.default_rng(2))
    with pytest.raises(InputError, match="two or more"):
        verify(graph)
    run = _Faulty(graph, lambda outputs: outputs)
    with pytest.raises(InputError, match="needs a form to read"):
        verify(run, run)
    with pytest.raises(InputError, match="cannot verify a dict"):
        verify(graph, {})
    with pytest.raises(InputError, match="ids should be"):
        verify(graph, run, inputs=[padded_ids("full", 2, 3, np.random.default_rng(0)) + 50])


def test_a_form_that_differs_is_traced_whatever_it_holds() -> None:
    """Sizes in a list, tokenisers in a mapping: none of it need be hashable."""
    graph = classifier(np.random.default_rng(2))
    other = Form(
        "other",
        lambda arrays: [reference.run(graph, arrays, "float32")[0] + 1e-3],
        taken=taken_by(graph),
        shapes=[value.shape for value in graph.inputs],
    )
    report = verify(graph, other, trace=True)
    assert report.trace is not None
    assert [finding.form for finding in report.trace] == ["other"]


def test_a_keras_file_without_keras(tmp_path: Path) -> None:
    """What is read of it stands for it, a note says so, and nothing is imported that takes seconds."""
    graph = classifier(np.random.default_rng(2))
    keras_side.write(graph).save(tmp_path / "model.keras")
    export.write(graph, tmp_path / "model.onnx")
    program = """
import atexit, sys
from biport.app.cli import main
sys.argv = ["biport", "verify", "model.keras", "model.onnx", "--without-keras"]
atexit.register(lambda: print("imported:", {"keras", "tensorflow", "torch"} & sys.modules.keys()))
main()
"""
    command = [sys.executable, "-c", program]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "imported: set()" in ran.stdout
    assert "model.keras (read in numpy, without Keras)" in ran.stdout
    assert "note: model.keras (read in numpy, without Keras): Keras did not run" in ran.stdout
    weights = {"weight": graph.nodes[-1].op.weights()["weight"] * np.float32(1.01)}
    last = graph.nodes[-1]
    other = dataclasses.replace(last, op=dataclasses.replace(last.op, **weights))
    report = verify(
        tmp_path / "model.keras",
        dataclasses.replace(graph, nodes=(*graph.nodes[:-1], other)),
        without_keras=True,
    )
    assert report.at_fault == ["graph"]
