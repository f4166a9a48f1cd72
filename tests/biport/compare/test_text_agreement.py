"""Texts that forms of a CTC model read, compared."""

import numpy as np

from biport.compare.rows import DataRows
from biport.compare.text_agreement import text_agreement
from biport.text.alphabet import Alphabet

ALPHABET = Alphabet(("a", "b"), 0)


def probabilities(seed: int, rows: int = 6) -> np.ndarray:
    y = np.exp(np.random.default_rng(seed).normal(size=(rows, 5, 3)) * 2)
    return y / y.sum(-1, keepdims=True)


def test_the_same_numbers_read_the_same() -> None:
    exact = {"one": probabilities(0), "two": probabilities(1, 2)}
    given = {case: array.astype("float32") for case, array in exact.items()}
    result = text_agreement("form", "y", ALPHABET, given, exact, 1e-6)
    assert (result.count, result.differing, result.ties, result.unit) == (8, 0, 0, "text")
    assert result.text == ["texts of form, y: 8 of 8 texts as in the source (1)"]


def test_a_step_in_which_the_text_is_the_same_does_not_count() -> None:
    """Two steps of one label, or one: the text is what people see."""
    exact = np.array([[[0.1, 0.8, 0.1], [0.1, 0.8, 0.1], [0.8, 0.1, 0.1]]])
    given = exact.copy()
    given[0, 1] = given[0, 2]
    assert text_agreement("form", "y", ALPHABET, {"": given}, {"": exact}, 1e-6).differing == 0


def test_rows_that_differ_are_named_ties_apart() -> None:
    exact = probabilities(2)
    exact[1, :] = [0.1, 0.2, 0.7]
    exact[4, 0] = [0.0, 0.5 + 1e-7, 0.5 - 1e-7]
    given = exact.copy()
    given[1, 2] = [0.1, 0.7, 0.2]
    given[4, 0] = [0.0, 0.5 - 1e-7, 0.5 + 1e-7]
    rows = DataRows({"input": np.arange(6)}, [*range(1, 7)], None, None, None, None, "x.npz")
    result = text_agreement("form", "y", ALPHABET, {"input": given}, {"input": exact}, 1e-6, rows=rows)
    assert (result.count, result.differing, result.ties) == (6, 1, 1)
    first, tie = result.rows
    assert first.labels == ("'b'", "'bab'")
    assert first.data == {"row": 2}
    assert (first.tie, tie.tie, tie.data) == (False, True, {"row": 5})
    assert "row 2" in first.text


def test_what_is_no_distribution_has_no_text() -> None:
    exact = probabilities(3)
    given = exact.copy()
    given[2, 1, 0] = np.nan
    result = text_agreement("form", "y", ALPHABET, {"": given}, {"": exact}, 1e-6)
    assert (result.differing, result.rows[0].labels[1]) == (1, "no text")
    assert result.to_json()["rows"][0]["shares"][1] is None
    assert text_agreement("form", "y", ALPHABET, None, {"": exact}, 1e-6).count is None
    other = text_agreement("form", "y", ALPHABET, {"": given[:, :2]}, {"": exact}, 1e-6)
    assert other.text == ["texts of form, y: none, it does not run or gives other shapes"]
