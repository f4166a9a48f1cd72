"""What messages offer, and how many of them there are."""

from __future__ import annotations

import pytest

from biport.errors import UnsupportedError, UnsupportedModelError, joined, most_alike, raise_unsupported

MANY = [f"Layer{number}" for number in range(100)]


def test_a_few_are_all_offered_and_of_many_those_most_alike() -> None:
    assert most_alike("x", ["a", "b"]) == ["a", "b"]
    assert most_alike("MaxPool1D", [*MANY, "MaxPool1D", "GlobalMaxPool1D"])[0] == "GlobalMaxPool1D"
    assert "Conv1d" not in most_alike("Conv2d", [*MANY, "Conv1d"])
    assert len(most_alike("x", MANY)) == 4
    assert most_alike({"class_name": "LeakyReLU", "config": {}}, [*map(repr, MANY), "'leaky_relu'"])[0] == (
        "'leaky_relu'"
    )


def test_what_is_refused_is_not_offered() -> None:
    assert "Layer7" not in most_alike("Layer7", MANY)
    assert most_alike("relu", ["'relu'", "'tanh'"]) == ["'tanh'"]
    # Of another type, it is the one thing to say.
    assert most_alike("1", [1]) == ["1"]


def test_a_message_stays_short() -> None:
    error = UnsupportedError("m: layer 'x'", "class", "Layer7", MANY)
    assert str(error).endswith(", and 95 others.")
    assert len(str(error)) < 120
    assert error.reasons()[0]["supported"] == error.supported
    assert len(error.supported) == 4


def test_reasons_are_told_once_and_layers_of_one_reason_together() -> None:
    problems = [UnsupportedError(f"m: layer {name!r}", "rate", 2, "1") for name in "abca"]
    problems.append(UnsupportedError("m: layer 'a'", "size", 3, "4"))
    error = joined("m", problems)
    assert isinstance(error, UnsupportedModelError)
    assert str(error).splitlines() == [
        "m: 4 things are not supported:",
        "  - m: layer 'a', layer 'b', layer 'c': rate=2 is not supported; supported: 1.",
        "  - m: layer 'a': size=3 is not supported; supported: 4.",
    ]
    assert joined("m", problems[:1]) is problems[0]
    with pytest.raises(UnsupportedModelError):
        raise_unsupported("m", [error, problems[0]])
    raise_unsupported("m", [])
