"""The film reviews from every source: the same arrays as Keras gives, or an error that says what to do."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biport.data import imdb_npz
from biport.data.imdb_npz import read_imdb_npz
from biport.data.imdb_rows import encode_reviews, imdb
from biport.data.reviews import Reviews
from biport.errors import FileError, InputError
from testing.imdb_files import GOOD, equal_rows, lists, make_archive, make_folder, make_npz, npy


def test_ids_are_those_of_keras(tmp_path: Path) -> None:
    (x_train, y_train), (x_test, y_test) = imdb(make_npz(tmp_path / "imdb.npz", GOOD), 20, 4)
    rows = {(*row, label) for row, label in zip(x_train.tolist(), y_train.tolist(), strict=True)}
    # Rank 1 is id 4; 14 + 3 < 20; 22 + 3 and 5000 + 3 are not.
    assert rows == {(1, 4, 17, 2, 1), (0, 0, 1, 12, 0), (6, 6, 6, 2, 0), (0, 0, 0, 1, 1)}
    tested = sorted(zip(x_test.tolist(), y_test.tolist(), strict=True))
    assert tested == [([0, 1, 10, 2], 0), ([1, 7, 5, 4], 1)]


def test_a_folder_and_an_archive_give_the_same_arrays(tmp_path: Path) -> None:
    folder, archive = make_folder(tmp_path / "aclImdb"), make_archive(tmp_path / "aclImdb.tar.gz")
    first = imdb(folder, 8, 6)
    assert equal_rows(first, imdb(archive, 8, 6))
    (x_train, y_train), (x_test, _) = first
    # By count in training: good, so, bad, and then by alphabet br and not.
    assert sorted(zip(x_train.tolist(), y_train.tolist(), strict=True)) == [
        ([0, 0, 0, 0, 1, 4], 1),
        ([0, 0, 0, 1, 2, 4], 0),
        ([0, 0, 1, 2, 2, 4], 1),
        ([0, 0, 1, 6, 5, 6], 0),
        ([5, 4, 5, 2, 4, 7], 1),
    ]
    assert x_train.shape == (5, 6)
    assert x_test.shape == (3, 6)


def test_training_alone_numbers_the_words() -> None:
    reviews = Reviews(["a b", "a"], np.array([0, 1], np.int32), ["c c c a b"], np.array([1], np.int32))
    (x_train, _), (x_test, _) = encode_reviews(reviews, 10, 6)
    assert sorted(x_train.tolist()) == [[0, 0, 0, 0, 1, 4], [0, 0, 0, 1, 4, 5]]
    assert x_test.tolist() == [[1, 2, 2, 2, 4, 5]]


def test_rows_are_shuffled_the_same_way_every_time() -> None:
    texts = [f"word{number}" for number in range(40)]
    labels = np.arange(40, dtype=np.int32)
    (x_train, y_train), _ = encode_reviews(Reviews(texts, labels, ["a"], labels[:1]), 1000, 2)
    assert sorted(y_train.tolist()) == labels.tolist() != y_train.tolist()
    order = np.argsort(y_train)
    again = encode_reviews(Reviews(texts, labels, ["a"], labels[:1]), 1000, 2)
    assert np.array_equal(again[0][1], y_train)
    # A row stays with its label.
    ranks = {text: rank for rank, text in enumerate(sorted(texts), start=4)}
    assert x_train[order, 1].tolist() == [ranks[text] for text in texts]


@pytest.mark.parametrize("setting", [{"num_words": 3}, {"length": 0}])
def test_settings_are_checked_before_anything_is_read(tmp_path: Path, setting: dict[str, int]) -> None:
    with pytest.raises(InputError, match=next(iter(setting))):
        imdb(tmp_path / "nowhere", **setting)


def test_other_sources_are_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"nowhere: cannot be read.*give what you have"):
        imdb(tmp_path / "nowhere")
    path = tmp_path / "file"
    for content in (b"", b"text,label\n", b"\x89HDF"):
        path.write_bytes(content)
        with pytest.raises(
            FileError, match=r"file: expected an \.npz or a \.tar\.gz file.*give what you have"
        ):
            imdb(path)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_files_of_every_numpy_are_read(tmp_path: Path, protocol: int, compression: int) -> None:
    rows = [[1, 300, 70_000], [2]]
    path = make_npz(tmp_path / "a.npz", GOOD | {"x_test": npy(lists(rows), protocol)}, compression)
    assert [row.tolist() for row in read_imdb_npz(path).test_rows] == rows


def test_numpys_own_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "imdb.npz"
    x, y = lists([[1, 2], [3]]), np.array([0, 1], np.uint8)
    np.savez_compressed(path, x_train=x, y_train=y, x_test=lists(map(np.array, x)), y_test=y)
    ranked = read_imdb_npz(str(path))
    assert [row.tolist() for row in ranked.train_rows + ranked.test_rows] == [[1, 2], [3]] * 2
    assert ranked.test_labels.tolist() == [0, 1]
    assert ranked.test_labels.dtype == np.int32


class _Runs:
    def __reduce__(self) -> Any:
        return pytest.fail, ("the pickle was run",)


@pytest.mark.parametrize(
    "members, reason",
    [
        ({"x_train": npy(lists([[1], _Runs()]))}, "x_train: expected lists .* which no array needs"),
        ({"x_test": npy(lists([[1], [2.5]]))}, "x_test: expected lists of whole numbers"),
        ({"x_test": npy(lists([[1], [-1]]))}, "x_test: review 1: expected ranks of words, found -1"),
        ({"x_test": npy(lists([[2**31 - 3], [1]]))}, "x_test: review 0: expected ranks of words"),
        ({"x_test": npy(lists([[1]]))}, "for test, .* found 1 and 2"),
        ({"x_test": npy(lists([])), "y_test": npy(np.zeros(0, int))}, "for test, .* found 0 and 0"),
        (
            {"x_test": npy(np.ones((2, 3), int))},
            r"x_test: expected an array of lists, found int64 of .*\(2, 3\)",
        ),
        ({"y_test": npy(np.array([0, 2]))}, "y_test: label 1: expected 0 or 1, found 2"),
        ({"y_test": npy(np.array([0.0, 1.0]))}, "y_test: expected whole numbers"),
        ({"y_test": npy(np.zeros((2, 1), int))}, r"y_test: expected whole numbers of shape \(N,\)"),
        ({"y_test": npy(lists([0, 1]))}, "y_test: expected whole numbers"),
        ({"y_test": npy(np.array([0, 1]))[:-1]}, "y_test: expected 2 numbers, found 15 bytes"),
        ({"y_test": b"no array"}, "y_test: expected an array in NumPy's format"),
        ({"y_test": b"\x93NUMPY\x01\x00\xff\xff{"}, "y_test: expected an array in NumPy's format"),
        ({"x_test": GOOD["x_test"][:-9]}, "x_test: expected lists .* breaks off"),
        ({"x_test": GOOD["x_test"].replace(b"(2,)", b"(3,)")}, "x_test: expected 3 reviews, found 2"),
        ({"y_test": GOOD["y_test"].replace(b"(2,)", b"(9" + b",)")}, "y_test: expected 9 numbers"),
    ],
)
def test_faulty_arrays_are_named(tmp_path: Path, members: dict[str, bytes], reason: str) -> None:
    path = make_npz(tmp_path / "imdb.npz", GOOD | members)
    with pytest.raises(FileError, match=reason) as caught:
        imdb(path)
    assert str(path) in str(caught.value)


def test_faulty_archives_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_npz(tmp_path / "imdb.npz", {"x_train": GOOD["x_train"]})
    with pytest.raises(FileError, match=r"expected the arrays x_train, .* found x_train\.npy"):
        imdb(path)
    make_npz(path, GOOD, zipfile.ZIP_LZMA)
    with pytest.raises(FileError, match="expected plain or deflated bytes"):
        imdb(path)
    make_npz(path, GOOD)
    content = path.read_bytes()
    for broken in (content[:-30], content[:60], content.replace(content[60:90], bytes(30))):
        path.write_bytes(broken)
        with pytest.raises(FileError, match=r"imdb\.npz"):
            imdb(path)
    make_npz(path, GOOD)
    monkeypatch.setattr(imdb_npz, "MAX_MEMBER_BYTES", 200)
    with pytest.raises(FileError, match="x_train: expected at most 200 bytes"):
        imdb(path)
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(FileError, match="cannot be read"):
            read_imdb_npz(path)
