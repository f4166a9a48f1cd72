"""Rows of the film reviews: the same arrays as Keras' own functions give."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biport.data.imdb_rows import Rows, imdb
from biport.data.padding import pad
from testing.imdb_files import GOOD, equal_rows, lists, make_npz, npy


@given(st.lists(st.lists(st.integers(1, 2**31 - 1), max_size=9), min_size=1), st.integers(1, 7))
def test_rows_are_padded_and_cut_as_keras_does(rows: list[list[int]], length: int) -> None:
    import keras

    assert np.array_equal(pad(rows, length, "left", "left"), keras.utils.pad_sequences(rows, length))
    if max(map(len, rows)):
        assert np.array_equal(pad(rows, None, "left", "left"), keras.utils.pad_sequences(rows))


@pytest.fixture
def keras_gets(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Let Keras' loader get a file that is there, where it would download one."""
    import keras.src.datasets.imdb as loader

    def gets(path: Path) -> None:
        def get_file(*_: Any, **__: Any) -> str:
            return str(path)

        monkeypatch.setattr(loader, "get_file", get_file)

    return gets


def _by_keras(num_words: int, length: int) -> tuple[Rows, Rows]:
    import keras

    def arrays(part: Any) -> Rows:
        rows, labels = part
        return keras.utils.pad_sequences(rows, length), labels.astype(np.int32)

    train, test = keras.datasets.imdb.load_data(num_words=num_words)
    return arrays(train), arrays(test)


@pytest.mark.parametrize("num_words, length", [(5000, 300), (20, 4), (4, 2), (100_000, 3)])
def test_keras_and_its_file_give_the_same_arrays(
    tmp_path: Path, keras_gets: Callable[[Path], None], num_words: int, length: int
) -> None:
    rng = np.random.default_rng(0)
    rows = [rng.integers(1, 30, size=rng.integers(0, 9)).tolist() for _ in range(50)]
    members = GOOD | {"x_train": npy(lists(rows)), "y_train": npy(rng.integers(0, 2, size=50))}
    path = make_npz(tmp_path / "imdb.npz", members)
    keras_gets(path)
    loaded = _by_keras(num_words, length)
    assert equal_rows(imdb(path, num_words, length), loaded)
    assert loaded[0][0].shape == (50, length)
    assert loaded[1][0].shape == (2, length)
    assert loaded[0][0].max() < max(num_words, 33)
