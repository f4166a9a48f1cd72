"""Files and folders appear whole or not at all, and for everyone whom the umask lets in."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from biport.errors import FileError, InputError
from biport.files import (
    atomic_file,
    atomic_folder,
    check_folder_name,
    is_draft,
    new_folder,
    write_files,
)
from biport.weight_files import save_tensors


@pytest.fixture(params=[0o022, 0o077, 0o002])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_file_gets_the_permissions_of_the_umask(umask: int, tmp_path: Path) -> None:
    for name in ("weights.safetensors", "arrays.npz"):
        with atomic_file(tmp_path / name) as draft:
            # safetensors writes through a temporary file, which keeps out everyone but its owner.
            save_file({"w": np.ones(3)}, draft) if draft.suffix != ".npz" else np.savez(draft, w=np.ones(3))
        assert mode(tmp_path / name) == 0o666 & ~umask
    assert sorted(path.name for path in tmp_path.iterdir()) == ["arrays.npz", "weights.safetensors"]


def test_so_does_all_that_is_in_a_folder(umask: int, tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "model") as draft:
        save_file({"w": np.ones(3)}, draft / "w.safetensors")
        (draft / "inner").mkdir()
        save_file({"w": np.ones(3)}, draft / "inner" / "w.safetensors")
    assert mode(tmp_path / "model") == mode(tmp_path / "model" / "inner") == 0o777 & ~umask
    assert {mode(path) for path in tmp_path.rglob("*.safetensors")} == {0o666 & ~umask}


def fail_on_the_way(writer: AbstractContextManager[Path], inside: Callable[[Path], Path]) -> None:
    with writer as draft:
        inside(draft).write_text("new")
        raise ZeroDivisionError


@pytest.mark.parametrize("there", [False, True])
def test_what_fails_leaves_things_as_they_were(there: bool, tmp_path: Path) -> None:
    file, folder = tmp_path / "file", tmp_path / "folder"
    if there:
        file.write_text("old")
        folder.mkdir()
        (folder / "old").touch()
    with pytest.raises(ZeroDivisionError):
        fail_on_the_way(atomic_file(file), lambda draft: draft)
    with pytest.raises(ZeroDivisionError):
        fail_on_the_way(atomic_folder(folder), lambda draft: draft / "new")
    assert sorted(path.name for path in tmp_path.rglob("*")) == (["file", "folder", "old"] if there else [])
    assert not there or file.read_text() == "old"


def test_what_is_written_beside_a_file_moves_along(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "model.onnx") as draft:
        draft.write_text("model")
        draft.with_name("model.onnx.data").write_text("weights")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "model.onnx.data"]


def test_a_folder_replaces_all_of_the_old_one(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with atomic_folder(tmp_path / "model") as draft:
            (draft / name).touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "two"]


def test_what_a_killed_process_leaves_is_known() -> None:
    assert is_draft(".model.keras.0f.tmp", "model.keras")
    assert not is_draft(".model.keras.0f.tmp", "other")
    assert not is_draft("model.keras", "model.keras")


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def write_with(writer: AbstractContextManager[Path]) -> None:
    with writer:
        full()


def test_what_cannot_be_written_names_the_target_and_not_the_draft(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"/file: cannot be written: No space left on device$"):
        write_with(atomic_file(tmp_path / "file"))
    with pytest.raises(FileError, match=r"/model: cannot be written: No space left on device$"):
        write_with(atomic_folder(tmp_path / "model"))
    with (
        pytest.raises(FileError, match=r"/model/part\.json: cannot be written: No space"),
        atomic_folder(tmp_path / "model") as draft,
    ):
        write_with(atomic_file(draft / "part.json"))
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileError, match="/folder: cannot be written: Is a directory"):
        write_files(tmp_path, {"folder": Path.touch})
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_tensors_that_cannot_be_written(tmp_path: Path) -> None:
    """safetensors has an error of its own for what the system refuses."""
    with pytest.raises(OSError, match="No such file or directory"):
        save_tensors(tmp_path / "missing" / "w.safetensors", {"w": np.ones(3)})


def test_files_that_belong_together_appear_together(tmp_path: Path) -> None:
    writers: dict[str, Callable[[Path], object]] = {"one": Path.touch, "two": full}
    with pytest.raises(FileError, match="two: cannot be written"):
        write_files(tmp_path / "a" / "b", writers)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").touch()
    with pytest.raises(FileError, match="two"):
        write_files(tmp_path, writers)
    assert write_files(tmp_path, {"one": Path.touch}) == [tmp_path / "one"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "one"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(FileError, match="cannot be made: Not a directory"),
        new_folder(tmp_path / "file" / "a"),
    ):
        pass


@pytest.mark.parametrize("name", ["m.pt", "m.KERAS", "m.tar.gz", "file", "missing/m"])
def test_names_of_no_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="folder"):
        check_folder_name(tmp_path / name)


def test_names_of_folders(tmp_path: Path) -> None:
    (tmp_path / "old.h5").mkdir()
    for name in ("model", "model-1.5", "old.h5"):
        check_folder_name(tmp_path / name)
