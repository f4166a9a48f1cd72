"""`biport.testing` outside of pytest's plugin: what passes, and what a failure says."""

import dataclasses
import logging
import unittest
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from _pytest.logging import LogCaptureHandler

import export
import keras_side
import torch_side
from biport import bundle, ops
from biport.app.testing.output import for_test
from biport.errors import FileError, InputError, UnsupportedError
from biport.graph import Graph, Node, Value
from biport.testing import assert_same, assert_weights_equal
from testing.graphs import classifier, normal
from testing.masks import padded_ids


@pytest.fixture
def graph() -> Graph:
    return classifier(np.random.default_rng(2))


def drifted(graph: Graph, name: str, path: str, by: float) -> Graph:
    """One number of one weight is another."""

    def change(op: ops.Op) -> ops.Op:
        if op is not graph[name].op:
            return op
        weights = dict(op.weights())
        weights[path] = weights[path].copy()
        weights[path].flat[0] += by
        return type(op).build(op.settings(), weights)

    return Graph(
        graph.inputs,
        tuple(dataclasses.replace(node, op=change(node.op)) for node in graph.nodes),
        graph.outputs,
    )


def said(*forms: Any, **options: Any) -> str:
    with pytest.raises(AssertionError) as failure:
        assert_same(*forms, **options)
    assert type(failure.value) is AssertionError
    return str(failure.value)


def test_forms_of_every_kind_are_the_same(tmp_path: Path, graph: Graph) -> None:
    export.write(graph, tmp_path / "model.onnx")
    bundle.write(graph, tmp_path / "kept")
    np.savez(tmp_path / "ids.npz", tokens=padded_ids("holes", 2, 5, np.random.default_rng(0)))
    report = assert_same(
        keras_side.write(graph), tmp_path / "kept", str(tmp_path / "model.onnx"), inputs=tmp_path / "ids.npz"
    )
    assert report.ok
    assert report.cases == ["input"]
    assert {line.form for line in report.lines} == {"keras", "kept", "model.onnx"}


def test_a_failure_is_the_table_and_where_the_forms_part(graph: Graph) -> None:
    name = graph.nodes[-1].name
    text = said(graph, drifted(graph, name, "bias", 0.5))
    head, empty, headings, *lines = text.splitlines()
    assert head.startswith("graph (2) differs from graph: off by ")
    assert head.endswith(f"is allowed (L2), first at node {name!r}")
    assert empty == ""
    assert headings.split()[:4] == ["form", "output", "level", "verdict"]
    assert "verdict: different; at fault: graph (2)" in text
    assert f"graph (2): first differs at node {name!r}" in text
    assert "its weights differ (bias)" in text
    assert lines[-1].startswith("inputs: random, seed 0: full, right, left, holes")


def test_a_tolerance_is_how_far_any_number_may_be_off(graph: Graph) -> None:
    scale = np.float32(1000)
    head = graph.nodes[-1]
    wide = ops.Dense.build(
        head.op.settings() | {"activation": "linear"},
        {path: array * scale for path, array in head.op.weights().items()},
    )
    large = Graph(graph.inputs, (*graph.nodes[:-1], dataclasses.replace(head, op=wide)), graph.outputs)
    off = drifted(large, head.name, "bias", 0.25)
    report = assert_same(large, off, tolerance=0.26)
    assert report.to_json()["tolerance"] == 0.26
    line = report.lines[-1]
    assert line.error.maximum == pytest.approx(0.25, rel=1e-3)
    # What is drawn of the errors is in the same units.
    assert line.evidence is not None
    assert max(line.evidence.cases.values()) == line.error.maximum
    text = said(large, off, tolerance=0.24)
    assert "off by 2.5e-01 where 2.4e-01 is allowed" in text
    assert "note: errors at L2 are absolute, and 0.24 is allowed: the tolerance that was given" in text
    text = said(large, large, tolerance=1e-9)
    assert "graph differs from the float64 reference of what biport read from it" in text
    assert "note: rounding to float32 alone is off by" in text
    for wrong in (-1, float("nan"), float("inf")):
        with pytest.raises(InputError, match="tolerance should be"):
            assert_same(large, off, tolerance=wrong)


def test_an_ill_conditioned_model_is_neither_the_same_nor_different() -> None:
    rng = np.random.default_rng(0)
    gate = {"weight_ih": {"h": normal(rng, 16, 2)}, "weight_hh": {"h": normal(rng, 16, 16) * np.float32(2)}}
    op = ops.RNN(input_size=2, hidden_size=16, bias_ih={"h": normal(rng, 16)}, bias_hh=None, **gate)
    graph, other = (
        Graph((Value("x", ("N", "T", 2), "float32"),), (Node("rnn", one, ("x",)),), ("rnn",))
        for one in (op, dataclasses.replace(op, return_sequences=True))
    )
    inputs = [np.random.default_rng(1).normal(size=(3, 70, 2)).astype("float32")]
    text = said(graph, graph, inputs=inputs)
    assert text.startswith(
        "graph (2): neither the same as graph nor different, as far as can be said: the model"
    )
    assert "no form differs" not in text
    assert "one can assert that it stays within what its use can bear" in text
    assert assert_same(graph, graph, inputs=inputs, tolerance=2.5).ok
    # What has another shape is no rounding.
    text = said(graph, other, inputs=inputs)
    assert text.startswith("graph (2) differs from graph: shape (3, 70, 16) instead of (3, 16)")


def test_what_torch_logs_for_its_own_tools_is_not_captured() -> None:
    log, captures = logging.getLogger("torch.__trace"), LogCaptureHandler()
    log.addHandler(captures)
    own = logging.NullHandler()
    log.addHandler(own)
    try:
        assert for_test(lambda: captures not in log.handlers and own in log.handlers)
        with pytest.raises(FileError, match="no such file") as failure:
            assert_same("nothing", "nothing")
        # Of the way to it nothing is left but what pytest leaves out.
        assert {entry.name for entry in failure.traceback[1:]} == {"assert_same", "compare", "for_test"}
        assert captures in log.handlers
    finally:
        log.removeHandler(captures)
        log.removeHandler(own)


def test_nothing_is_said_of_what_is_not_compared(graph: Graph) -> None:
    with pytest.raises(InputError, match="no number to compare"):
        assert_same(graph, graph, inputs=[np.zeros((0, 4), "int64")])
    with pytest.raises(InputError, match="two or more"):
        assert_same(graph)
    with pytest.raises(InputError, match=r"nothing\.npz: no such file"):
        assert_same(graph, graph, inputs="nothing.npz")


@keras.saving.register_keras_serializable("tests")
class Unread(keras.layers.Layer):
    """A layer of somebody's own, which biport does not read."""

    def call(self, x):
        # How many numbers are large, by a list of where they are: TensorFlow has it, no graph has.
        return tf.cos(x) + 0.0 * tf.cast(tf.shape(tf.where(x > 2.0))[0], x.dtype)


@pytest.mark.sweep
def test_models_that_are_not_read_are_compared_and_have_no_weights_by_name() -> None:
    inputs = keras.Input((None, 3))
    hidden = Unread(name="own")(keras.layers.SimpleRNN(4)(inputs))
    model, other = (keras.Model(inputs, keras.layers.Dense(2, name=name)(hidden)) for name in ("a", "b"))
    report = assert_same(model, model)
    assert any("biport does not read the model" in note for note in report.notes)
    text = said(model, other)
    assert text.startswith("keras (2) differs from keras: off by ")
    assert said(model, model, tolerance=1e-12).startswith("keras differs from itself in float64: off by ")
    assert "first at" not in text
    with pytest.raises(UnsupportedError, match="'own'"):
        assert_weights_equal(model, model)


class TestCase(unittest.TestCase):
    """Not of pytest."""

    def test_weights_of_all_kinds(self) -> None:
        graph = classifier(np.random.default_rng(2))
        model, module = keras_side.write(graph), torch_side.write(graph)
        report = assert_weights_equal(model, module)
        assert sorted(assert_weights_equal(graph, model).compared) == sorted(report.compared)
        name = graph.nodes[-1].name
        with pytest.raises(AssertionError, match=f"1 of .* the worst is '{name}.bias': off by 5.0e-01"):
            assert_weights_equal(module, drifted(graph, name, "bias", 0.5))
        assert assert_weights_equal(module, drifted(graph, name, "bias", 0.5), tolerance=0.6).ok


def test_weights_of_files(tmp_path: Path, keras_file: Path, graph: Graph) -> None:
    bundle.write(keras_side.read(keras_file), tmp_path / "kept")
    assert assert_weights_equal(tmp_path / "kept", keras_file).models == ("kept", "model.keras")
    export.write(graph, tmp_path / "model.onnx")
    with pytest.raises(InputError, match="does not read it"):
        assert_weights_equal(graph, tmp_path / "model.onnx")
    with pytest.raises(InputError, match="weights are not read"):
        assert_weights_equal(graph, export.Session(tmp_path / "model.onnx"))
