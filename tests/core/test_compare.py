import math

import numpy as np
import pytest
from random_graphs import classifier, padded_ids

from biport import reference, verify
from biport.compare.tolerance import (
    Error,
    Verdict,
    float32_floor,
    judge_float32,
    judge_float64,
    label_agreement,
    measure,
)
from biport.errors import InputError


def test_measure_names_the_worst_element() -> None:
    exact = np.zeros((2, 3))
    result = exact.copy()
    result[1, 2] = 0.25
    error = measure({"a": exact, "b": result}, {"a": exact, "b": exact})
    assert error.maximum == 0.25
    assert error.worst == ("b", (1, 2))
    assert 0 < error.percentile <= 0.25


def test_large_outputs_are_measured_relative_to_their_size() -> None:
    assert measure({"a": np.array([[1001.0]])}, {"a": np.array([[1000.0]])}).maximum == pytest.approx(1e-3)


@pytest.mark.parametrize(
    "result, same",
    [
        (np.array([np.nan, 1.0]), True),
        (np.array([1.0, np.nan]), False),
        (np.array([0.0, 1.0]), False),
        (np.array([np.nan, np.inf]), False),
        (np.array([[np.nan, 1.0]]), False),
    ],
)
def test_nan_and_shape_must_be_in_the_same_positions(result: np.ndarray, same: bool) -> None:
    error = measure({"a": result}, {"a": np.array([np.nan, 1.0])})
    assert math.isfinite(error.maximum) == same
    assert bool(error.note) != same


def test_empty_outputs_are_equal() -> None:
    assert measure({"a": np.zeros((0, 3))}, {"a": np.zeros((0, 3))}).maximum == 0


def test_the_float32_policy() -> None:
    floor, rounding = 1e-6, Error(2e-6, 0)
    assert judge_float32(Error(7e-6, 0), rounding, None, floor) == (Verdict.SAME, 8e-6)
    assert judge_float32(Error(9e-6, 0), rounding, None, floor)[0] is Verdict.DIFFERENT
    assert judge_float32(Error(9e-6, 0), rounding, Error(3e-6, 0), floor)[0] is Verdict.SAME
    assert judge_float32(Error(9e-7, 0), Error(0, 0), Error(0, 0), floor)[0] is Verdict.SAME
    # A model that amplifies rounding tenfold: the floor grows with it, however lucky the source was.
    amplifying, lucky = Error(5e-6, 0), Error(1e-7, 0)
    assert judge_float32(Error(9e-6, 0), amplifying, lucky, floor) == (Verdict.SAME, pytest.approx(1e-5))
    assert judge_float32(Error(2e-5, 0), amplifying, lucky, floor)[0] is Verdict.DIFFERENT
    # A chaotic model: rounding alone is visible, so nothing can be said ...
    assert judge_float32(Error(0.5, 0), Error(2e-3, 0), None, floor)[0] is Verdict.ILL_CONDITIONED
    # ... but a source that is off while the reference is not was read wrongly.
    assert judge_float32(Error(0.5, 0), rounding, None, floor)[0] is Verdict.DIFFERENT
    assert judge_float32(Error(math.inf, 0), Error(2e-3, 0), None, floor)[0] is Verdict.DIFFERENT


def test_the_float64_policy() -> None:
    assert judge_float64(Error(1e-13, 0))[0] is Verdict.SAME
    assert judge_float64(Error(1e-11, 0))[0] is Verdict.DIFFERENT
    assert judge_float64(Error(1e-11, 0), reference=Error(2e-6, 0))[0] is Verdict.DIFFERENT
    assert judge_float64(Error(1e-11, 0), reference=Error(2e-3, 0))[0] is Verdict.ILL_CONDITIONED


def test_a_model_that_leaves_the_range_of_float32_is_not_the_same_as_anything() -> None:
    nan = measure({"a": np.array([math.nan])}, {"a": np.ones(1)})
    shape = measure({"a": np.ones(2)}, {"a": np.ones(1)})
    finite = Error(0.5, 0)
    for judge in (
        lambda error: judge_float32(error, nan, None, 1e-6)[0],
        lambda error: judge_float64(error, reference=nan)[0],
    ):
        assert judge(nan) is Verdict.ILL_CONDITIONED
        assert judge(finite) is Verdict.ILL_CONDITIONED
        assert judge(shape) is Verdict.DIFFERENT


def test_the_floor_is_that_of_the_longest_sum() -> None:
    graph = classifier(np.random.default_rng(0), units=(4, 3))  # I + H = 5 + 4, then 8 + 3
    assert float32_floor(graph) == pytest.approx(8 * 2**-23 * math.sqrt(8 + 3))


def test_labels_may_differ_inside_a_tie_only() -> None:
    exact = np.array([[0.5000001], [0.9], [0.2]])
    assert label_agreement(np.array([[0.4999999], [0.9], [0.2]]), exact, 1e-6) == (pytest.approx(2 / 3), 0)
    assert label_agreement(np.array([[0.4], [0.9], [0.2]]), exact, 1e-8) == (pytest.approx(2 / 3), 1)
    many = np.array([[0.2, 0.5, 0.3]])
    assert label_agreement(np.array([[0.5, 0.2, 0.3]]), many, 1e-6) == (0.0, 1)
    assert label_agreement(np.zeros((0, 3)), np.zeros((0, 3)), 1e-6) == (1.0, 0)


class _Faulty:
    """Stands for a runtime that is wrong in a way the test chooses."""

    contract = None
    node_count = 0

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
