"""Where Keras keeps its file of the IMDB reviews, and how it is downloaded."""

from __future__ import annotations

import importlib.util
import runpy
import subprocess
from pathlib import Path

import pytest

from biport.app.train.imdb import _keras_home, imdb_file
from biport.errors import FileError, InputError, MissingDependencyError
from biport.training.data import load_data
from biport.training.recipes import find_recipe


def test_the_file_that_keras_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There already, got by a process of its own, or not to be had."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    path = tmp_path / "datasets" / "imdb.npz"
    calls: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        if len(calls) == 1:
            return subprocess.CompletedProcess(command, 1, "", "Traceback\nException: no route to host")
        path.parent.mkdir()
        path.touch()
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(FileError, match=r"no route to host.*give what you have as source"):
        imdb_file()
    assert imdb_file() == imdb_file() == path
    assert len(calls) == 2
    assert "imdb.load_data()" in calls[0][-1]


@pytest.mark.parametrize("given", ["", "elsewhere", None])
def test_keras_says_where(given: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines of Keras itself that say where its files are."""
    import keras.src.backend.config as config

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_HOME", raising=False)
    if given is not None:
        monkeypatch.setenv("KERAS_HOME", given)
    for folder in (home := _keras_home(), home / "datasets"):
        folder.mkdir(exist_ok=True)
    (home / "datasets" / "imdb.npz").touch()
    assert Path(runpy.run_path(str(config.__file__))["keras_home"]()) == home
    assert imdb_file() == home / "datasets" / "imdb.npz"


def test_without_keras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="'keras', which downloads IMDB"):
        imdb_file()


def test_data_need_it() -> None:
    with pytest.raises(InputError, match=r"data='imdb' stands for Keras' imdb\.npz"):
        load_data(find_recipe("sentiment", "imdb-sum", None))
