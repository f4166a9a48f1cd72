import pytest

from biport.config import Config
from biport.errors import FileError, UnsupportedError

OWNER = "m.keras: layer 'bi' (LSTM)"


def test_a_key_nobody_looked_at_is_refused_by_name() -> None:
    with (
        pytest.raises(UnsupportedError, match=r"m\.keras: layer 'bi' \(LSTM\): brand_new=3 is not supported"),
        Config(OWNER, {"units": 3, "brand_new": 3}) as config,
    ):
        config.take("units", int)


def test_taken_required_and_ignored_keys_are_accounted_for() -> None:
    with Config(OWNER, {"units": 3, "stateful": False, "seed": 1}) as config:
        assert config.take("units", int) == 3
        assert config.take("absent", int, default=7) == 7
        config.require(stateful=False, also_absent=True)
        config.ignore("seed", "never_there")


def test_a_required_value_is_exact() -> None:
    with (
        pytest.raises(UnsupportedError, match="stateful=True is not supported; supported: False"),
        Config(OWNER, {"stateful": True}) as config,
    ):
        config.require(stateful=False)
    with pytest.raises(UnsupportedError, match="rate=0 is not"), Config(OWNER, {"rate": 0}) as config:
        config.require(rate=False)


def test_choices_are_listed() -> None:
    with (
        pytest.raises(
            UnsupportedError, match="merge='max' is not supported; supported: 'sum', None"
        ) as caught,
        Config(OWNER, {"merge": "max"}) as config,
    ):
        config.choose("merge", ["sum", None])
    assert caught.value.exit_code == 3
    assert caught.value.reasons()[0]["setting"] == "merge"


def test_all_that_is_wrong_is_told_at_once() -> None:
    def read() -> None:
        with Config(OWNER, {"merge": "max", "stateful": True, "brand_new": 3, "units": 3}) as config:
            assert config.choose("merge", ["sum", None]) == "sum"
            config.require(stateful=False)
            assert config.take("units", int) == 3

    with pytest.raises(UnsupportedError) as caught:
        read()
    assert [reason["setting"] for reason in caught.value.reasons()] == ["merge", "stateful", "brand_new"]


def test_a_setting_refused_before_an_error_is_told_with_it() -> None:
    def read() -> None:
        with Config(OWNER, {"stateful": True, "left": 1}) as config:
            config.require(stateful=False)
            raise UnsupportedError(OWNER, "cell", "mine", "cells of Keras")

    with pytest.raises(UnsupportedError) as caught:
        read()
    assert [reason["setting"] for reason in caught.value.reasons()] == ["stateful", "cell"]


@pytest.mark.parametrize("value", ["3", True, None, 3.0])
def test_a_value_of_another_type_is_a_malformed_file(value: object) -> None:
    with pytest.raises(FileError, match="'units' should be int"):
        Config(OWNER, {"units": value}).take("units", int)


def test_a_missing_key_is_named() -> None:
    with pytest.raises(FileError, match="'units' is missing"):
        Config(OWNER, {}).take("units", int)


def test_the_first_error_is_not_hidden_by_leftover_keys() -> None:
    with pytest.raises(ZeroDivisionError), Config(OWNER, {"left": 1}):
        _ = 1 // 0
