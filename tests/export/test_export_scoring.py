"""Scoring a corpus from file to file: rows in order, and a run that is cut off goes on without a seam."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import export
from biport import bundle, ops
from biport.app.cli import app
from biport.data import Vocabulary
from biport.errors import FileError, InputError
from biport.graph import Graph
from export.corpus.scoring import score
from testing.onnx_graphs import H, I, array, chain, lstm

WORDS = Vocabulary(("<pad>", "<unk>", "good", "film", "not", "!", "bad", "the"))
TEXTS = ["Good film!", "", 'not "good",\nnot BAD', "the the the the bad film", "what?"]
LABELS = ("no", "yes, and yes", "so-so")


def biport(*arguments: object):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def graph() -> Graph:
    rng = np.random.default_rng(2)
    weights: dict[str, Any] = {"weight": array(rng, 3, H), "bias": array(rng, 3)}
    head = ops.Dense(input_size=H, output_size=3, activation="softmax", **weights)
    graph = chain(rng, lstm(rng, I, H), head)
    return Graph(graph.inputs, graph.nodes, ("layer_2",))


@pytest.fixture(scope="module")
def model(graph, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("scoring") / "m.onnx"
    export.write(graph, path, vocabulary=WORDS, labels=LABELS)
    return path


@pytest.fixture(scope="module")
def session(model) -> export.Session:
    return export.Session(model, device="cpu", threads=1)


@pytest.fixture
def source(tmp_path) -> Path:
    path = tmp_path / "reviews.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("id", "review"), *((n, text) for n, text in enumerate(TEXTS))])
    return path


def test_every_format_says_the_same(session, source, tmp_path):
    wanted = [scores for (scores,) in session.predict(TEXTS)]
    names = list(session.classify(TEXTS))
    for suffix in ("csv", "jsonl", "npz"):
        done = score(session, source, tmp_path / f"o.{suffix}")
        assert (done.rows, done.resumed) == (5, 0)
    np.testing.assert_array_equal(np.load(tmp_path / "o.npz")["layer_2"], np.stack(wanted))
    rows = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert [row["row"] for row in rows] == [1, 2, 3, 4, 5]
    assert [row["label"] for row in rows] == [label for label, _ in names]
    outputs = np.array([row["outputs"]["layer_2"] for row in rows], "float32")
    np.testing.assert_array_equal(outputs, np.stack(wanted))
    with (tmp_path / "o.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["label"] for row in table] == [label for label, _ in names]
    assert [np.float32(row["probability"]) for row in table] == [np.float32(share) for _, share in names]
    assert not list(tmp_path.glob("*.parts*"))


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "npz"])
def test_cut_off_anywhere_and_taken_up_again(suffix, session, source, tmp_path):
    whole = tmp_path / f"whole.{suffix}"
    score(session, source, whole)
    wanted = np.load(whole)["layer_2"] if suffix == "npz" else whole.read_bytes()
    path = tmp_path / f"o.{suffix}"
    score(session, source, path)
    size = 5 * 3 * 4 if suffix == "npz" else len(wanted)
    for cut in sorted({0, 1, size // 3, size // 2, size - 1, size}):
        if suffix == "npz":
            parts = path.with_name(f"{path.name}.parts")
            parts.mkdir()
            (parts / "0.bin").write_bytes(wanted.tobytes()[:cut])
            path.unlink()
        else:
            path.write_bytes(wanted[:cut])
        done = score(session, source, path, resume=True)
        assert done.rows == 5
        results = np.load(path)["layer_2"] if suffix == "npz" else path.read_bytes()
        np.testing.assert_array_equal(results, wanted)
    assert score(session, source, path, resume=True).resumed == 5


def test_an_input_that_has_grown(session, source, tmp_path):
    for suffix in ("csv", "npz"):
        path, grown = tmp_path / f"o.{suffix}", tmp_path / f"grown.{suffix}.csv"
        grown.write_text(source.read_text())
        score(session, grown, path)
        with grown.open("a") as file:
            file.write("9,the film\n")
        done = score(session, grown, path, resume=True)
        assert (done.rows, done.resumed) == (6, 5)
    assert len(np.load(path)["layer_2"]) == 6


def test_a_run_that_is_not_the_same(session, model, graph, source, tmp_path):
    path = tmp_path / "o.csv"
    score(session, source, path)
    with pytest.raises(InputError, match="exists already"):
        score(session, source, path)
    other = tmp_path / "other.onnx"
    export.write(graph, other, vocabulary=WORDS, labels=("a", "b", "c"))
    with pytest.raises(InputError, match="rows of another model"):
        score(export.Session(other, device="cpu"), source, path, resume=True)
    changed = tmp_path / "changed.csv"
    changed.write_text(source.read_text().replace("film", "thing"))
    with pytest.raises(InputError, match="rows of another input"):
        score(session, changed, path, resume=True)
    with pytest.raises(InputError, match="rows of another column"):
        score(session, source, path, resume=True, column="review")
    path.write_text("something else\nhere\n")
    with pytest.raises(FileError, match="does not begin as results of this model do"):
        score(session, source, path, resume=True)
    path.with_name("o.csv.run").unlink()
    with pytest.raises(InputError, match="cannot be taken up again without"):
        score(session, source, path, resume=True)
    assert score(session, source, path, overwrite=True).rows == 5
    with pytest.raises(InputError, match="is the input"):
        score(session, source, source)
    with pytest.raises(InputError, match=r"end in \.csv, \.jsonl, \.npz"):
        score(session, source, tmp_path / "o.parquet")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".npz"])
def test_what_fails_before_its_first_row_leaves_everything_as_it_was(
    suffix, session, source, tmp_path, monkeypatch
):
    folder, bad = tmp_path / "results", tmp_path / "bad.csv"
    folder.mkdir()
    output = folder / f"scores{suffix}"
    bad.write_text("colour\nred\n")
    with pytest.raises(FileError, match="text"):
        score(session, bad, output)
    assert list(folder.iterdir()) == []

    opened = Path.open

    def full(self, mode="r", *more, **options):
        if mode.startswith("a"):
            raise OSError(28, "No space left on device")
        return opened(self, mode, *more, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", full)
        with pytest.raises(FileError, match=f"scores{suffix}: cannot be written: No space left"):
            score(session, source, output)
    assert list(folder.iterdir()) == []

    score(session, source, output)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(FileError, match="text"):
        score(session, bad, output, overwrite=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_steps_do_not_fit_into_one_array(tmp_path, source):
    rng = np.random.default_rng(1)
    graph = chain(rng, lstm(rng, I, H, return_sequences=True))
    export.write(graph, tmp_path / "m.onnx", vocabulary=WORDS)
    session = export.Session(tmp_path / "m.onnx", device="cpu")
    with pytest.raises(InputError, match=r"differ in shape; write \.jsonl"):
        score(session, source, tmp_path / "o.npz")
    assert not (tmp_path / "o.npz.run").exists()
    score(session, source, tmp_path / "o.csv")
    with (tmp_path / "o.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [np.shape(json.loads(row["layer_1"])) for row in rows] == [(3, 3), (1, 3), (7, 3), (6, 3), (2, 3)]


@pytest.mark.sweep
def test_killed_in_the_middle(model, tmp_path):
    """A process that is killed, and a second one that goes on: as if there had been one."""
    source, path = tmp_path / "many.txt", tmp_path / "o.csv"
    rng = np.random.default_rng(0)
    words = np.array(WORDS.tokens[2:])[rng.integers(0, 6, (40000, 8))]
    source.write_text("".join(" ".join(row[: n % 9]) + "\n" for n, row in enumerate(words)))
    script = "import sys; from biport.app.cli import app; app(sys.argv[1:])"
    arguments = ["run", str(model), "--input", str(source), "-o", str(path)]
    command = [sys.executable, "-c", script, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(600):
        if path.exists() and path.stat().st_size > 20000:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = path.read_bytes().count(b"\n") - 1
    assert 0 < there < 40000
    result = biport("run", model, "--input", source, "-o", path, "--resume", "--json")
    assert json.loads(result.stdout)["resumed"] == there
    whole = tmp_path / "whole.csv"
    biport("run", model, "--input", source, "-o", whole)
    assert path.read_bytes() == whole.read_bytes()
    assert os.path.getsize(whole) > 10**6


def test_the_command(model, graph, source, tmp_path):
    result = biport("run", model, "--input", source, "-o", tmp_path / "o.csv", "--text", "review")
    assert result.exit_code == 0, result.output
    assert "o.csv: 5 rows, 5 of them in" in result.stdout
    assert (
        "5 were there already"
        in biport(
            *("run", model, "--input", source, "-o", tmp_path / "o.csv", "--text", "review", "--resume")
        ).stdout
    )
    for arguments, message in (
        (("--input", source), "a corpus needs an --output"),
        (("--input", source, "-o", tmp_path / "o.csv"), "exists already"),
        (("--input", tmp_path / "x.npz", "--resume"), "--resume and --text go with texts"),
    ):
        result = biport("run", model, *arguments)
        assert result.exit_code == 2
        assert message in result.stderr
    bundle.write(graph, tmp_path / "b", vocabulary=WORDS, labels=LABELS)
    assert biport("export", tmp_path / "b", "-o", tmp_path / "b.onnx").exit_code == 0
    opened = export.Session(tmp_path / "b.onnx", device="cpu")
    assert (opened.tokenizer, opened.labels) == (WORDS.tokenizer(), LABELS)
    WORDS.save(tmp_path / "words.json")
    arguments = ("--vocabulary", tmp_path / "words.json", "--labels", "x, y,z", "--embed-tokenizer")
    result = biport("export", tmp_path / "b", "-o", tmp_path / "t.onnx", *arguments)
    assert result.exit_code == 0, result.output
    opened = export.Session(tmp_path / "t.onnx", device="cpu")
    assert (opened.labels, opened.input_values[0].dtype) == (("x", "y", "z"), "str")
    assert bundle.read(tmp_path / "b") == graph
    (tmp_path / "b" / "tokenizers.json").write_text("[]")
    assert biport("export", tmp_path / "b", "-o", tmp_path / "c.onnx").exit_code == 2
