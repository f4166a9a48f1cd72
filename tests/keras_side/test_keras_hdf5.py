"""The reader of HDF5 against h5py, which has the format from libhdf5."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from biport.errors import FileError
from keras_side.file.hdf5_reader import Dataset, Group, Hdf5


def fill(file: h5py.File, members: int) -> None:
    """Groups of many members and of none, arrays of every kind that is read, and attributes."""
    rng = np.random.default_rng(0)
    for number in range(members):
        group = file.create_group(f"group {number}/é" + "x" * number)
        for index, dtype in enumerate(("<f4", ">f4", "<f8", ">f8")):
            shape = ((), (3,), (2, 1, 4), (0, 2))[(number + index) % 4]
            group[f"array{index}"] = rng.normal(size=shape).astype(dtype)
        group.attrs["fixed"] = [b"a", b"longer", "é".encode()]
        group.attrs["variable"] = np.array(["é" * 200, "", f"text {number}"], object)
    for number in range(3):
        file.attrs[f"one{number}"] = "x" * 10 ** (2 * number)
    file.attrs["bytes"] = np.bytes_(b"padded")
    file.attrs["none"] = []
    file.attrs["numbers"] = np.arange(5)


def texts(value: Any) -> list[str]:
    return [item.decode() if isinstance(item, bytes) else str(item) for item in np.atleast_1d(value)]


def members_below(file: h5py.Group, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in file.items():
        yield f"{path}{name}", item
        if isinstance(item, h5py.Group):
            yield from members_below(item, f"{path}{name}/")


NEWER: list[dict[str, Any]] = [{"libver": "latest"}, {"libver": ("v108", "v110")}, {"track_order": True}]


@pytest.mark.parametrize(
    "members, options",
    [(members, {}) for members in (1, 7, 300)]
    + [(7, options) for options in NEWER]
    + [(40, {"libver": "latest"})],
)
@pytest.mark.parametrize("from_bytes", [False, True])
@pytest.mark.cover(1)
def test_everything_is_read_as_h5py_reads_it(
    options: dict[str, Any], members: int, from_bytes: bool, tmp_path: Path
) -> None:
    path = tmp_path / "file.h5"
    with h5py.File(path, "w", **options) as file:
        fill(file, members)
    mine = Hdf5(path.read_bytes() if from_bytes else path, "file.h5")
    with h5py.File(path) as file:
        count = 0
        for where, item in members_below(file):
            own = mine.member(mine.root, where)
            if isinstance(item, h5py.Group):
                assert isinstance(own, Group)
                assert sorted(own) == sorted(item)
                for name in item.attrs:
                    assert mine.texts(own, name) == texts(item.attrs[name])
            else:
                assert isinstance(own, Dataset)
                array = mine.array(own, where)
                assert array.dtype == item.dtype.newbyteorder("=")
                np.testing.assert_array_equal(array, item[()])
                count += item.size
        for name in ("one0", "one1", "one2", "bytes"):
            assert mine.text(mine.root, name) == texts(file.attrs[name])[0]
    assert mine.count(mine.root) == count
    assert mine.texts(mine.root, "none") == []
    assert mine.text(mine.root, "absent") is None
    assert mine.member(mine.root, "nowhere/at/all") is None
    with pytest.raises(FileError, match="should be text"):
        mine.texts(mine.root, "numbers")
    mine.close()


@pytest.mark.parametrize("count", [8, 9, 60, 3000])
def test_a_name_outside_ascii_among_many(count: int, tmp_path: Path) -> None:
    """HDF5 keeps such a group in a heap and a tree, of one block each and of many."""
    path = tmp_path / "file.h5"
    names = [f"gr\u00f6\u00dfe_{number}" + "x" * (number % 40) for number in range(count)]
    with h5py.File(path, "w") as file:
        group = file.create_group("model_weights")
        for name in names:
            group.create_group(name)
    mine = Hdf5(path, "file.h5")
    own = mine.group(mine.root, "model_weights")
    assert own is not None
    assert sorted(own) == sorted(names)
    assert all(mine.group(own, name) is not None for name in names[:10])
    mine.close()


def test_damage_of_a_large_group_is_told(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        for number in range(40):
            file.create_group(f"gr\u00f6\u00dfe_{number}")
    data = path.read_bytes()
    starts = [data.index(mark) for mark in (b"FRHP", b"BTHD", b"BTLF", b"FHDB")]
    rng = np.random.default_rng(0)
    messages: list[str] = []
    for _ in range(400):
        damaged = bytearray(data)
        damaged[rng.choice(starts) + rng.integers(150)] = rng.integers(256)
        try:
            list(Hdf5(bytes(damaged), "file.h5").root)
        except FileError as error:
            messages.append(str(error))
    assert len(messages) > 50
    assert all("file.h5" in message for message in messages)


def test_what_nobody_reads_is_told(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file["layers/a"] = file["layers/b/c"] = np.ones(3)
        file["layers/seed"] = np.arange(2)
    mine = Hdf5(path, "file.h5")
    mine.array(mine.member(mine.root, "layers/a"), "a")
    assert mine.left_over(mine.root, ("layers", "absent")) == ["b/c"]
    mine.close()
