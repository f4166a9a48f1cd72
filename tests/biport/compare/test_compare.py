import math

import numpy as np
import pytest

from biport.compare.report import Line, Report
from biport.compare.tolerance import (
    Error,
    Verdict,
    float32_floor,
    judge_absolute,
    judge_float32,
    judge_float64,
    label_agreement,
    measure,
)
from testing.graphs import classifier


def test_measure_names_the_worst_element() -> None:
    exact = np.zeros((2, 3))
    result = exact.copy()
    result[1, 2] = 0.25
    error = measure({"a": exact, "b": result}, {"a": exact, "b": exact})
    assert error.maximum == 0.25
    assert error.worst == ("b", (1, 2))
    assert 0 < error.percentile <= 0.25


def test_large_outputs_are_measured_relative_to_their_size() -> None:
    numbers = {"a": np.array([[1001.0]])}, {"a": np.array([[1000.0]])}
    assert measure(*numbers).maximum == pytest.approx(1e-3)
    assert measure(*numbers, absolute=True).maximum == 1


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


def test_what_somebody_allows_is_allowed_and_no_more() -> None:
    well, ill = Error(1e-7, 0), Error(2e-3, 0)
    assert judge_absolute(Error(0.25, 0), 0.25, well) is Verdict.SAME
    assert judge_absolute(Error(0.2501, 0), 0.25, well) is Verdict.DIFFERENT
    assert judge_absolute(Error(0.2501, 0), 0.25, ill) is Verdict.ILL_CONDITIONED
    assert judge_absolute(Error(0.25, 0), 0.25, ill) is Verdict.SAME
    assert judge_absolute(Error(math.inf, math.inf, note="another shape"), 9.0, ill) is Verdict.DIFFERENT


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


def test_the_figure_of_a_report_is_that_of_what_differs() -> None:
    def line(level: str, verdict: Verdict, maximum: float, allowed: float) -> Line:
        return Line("torch", "y", level, verdict, Error(maximum, maximum), allowed)

    same = line("L2", Verdict.SAME, 9e-7, 1e-6), line("L1", Verdict.SAME, 1e-16, 1e-12)
    assert Report(same).figure == "largest error 9.0e-07, allowed 1.0e-06"
    differs = line("L3", Verdict.DIFFERENT, 2e-6, 1e-6)
    assert Report([*same, differs]).figure == "largest error 2.0e-06, allowed 1.0e-06"
    none = line("L2", Verdict.DIFFERENT, math.inf, 1e-6)
    assert Report([*same, differs, none]).figure == "largest error inf, allowed 1.0e-06"
    assert Report([]).figure == "no number to compare"
