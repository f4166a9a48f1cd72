"""``biport run`` as people type it: texts, files, pipes, and folders of training runs."""

from __future__ import annotations

import csv
import io
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

import export
from biport import bundle, ops
from biport.app import progress
from biport.app.cli import app
from biport.app.progress import ProgressDisplay
from biport.app.stored import read_stored, texts_of
from biport.data import Vocabulary
from biport.data.text_rows import count_rows, read_rows
from biport.graph import Graph, Value
from biport.training import folder as files
from biport.training.recipes import RECIPES
from testing.onnx_graphs import H, I, array, chain, lstm

ROOT = Path(__file__).parents[2]
WORDS = Vocabulary(("<pad>", "<unk>", "good", "film", "not", "!", "bad", "the"))
LABELS = ("no", "yes")


def biport(*arguments: object, stdin: str | bytes | None = None) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def classifier(steps: Any = "T") -> Graph:
    rng = np.random.default_rng(2)
    head = ops.Dense(
        input_size=H, output_size=1, activation="sigmoid", weight=5 * array(rng, 1, H), bias=array(rng, 1)
    )
    graph = chain(rng, lstm(rng, I, H), head)
    return Graph((Value("ids", ("N", steps), "int32"),), graph.nodes, ("layer_2",))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "m.onnx"
    export.write(classifier(), path, vocabulary=WORDS, labels=LABELS)
    return path


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "narrow.onnx"
    export.write(classifier(3), path, vocabulary=WORDS, labels=LABELS)
    return path


def said(model: Path, *texts: str) -> list[tuple[str, str]]:
    session = export.Session(model, device="cpu", threads=1)
    return [(label, f"{share:.4f}") for label, share in session.classify(texts)]


def test_texts_on_the_command_line(model: Path, narrow: Path) -> None:
    texts = ["good film!", "", "the bad"]
    (label, share), *_ = wanted = said(model, *texts)
    assert biport("run", model, texts[0]).stdout == f"{label}  {share}\n"
    lines = [f"{one}  {two}  {text}" for (one, two), text in zip(wanted, texts, strict=True)]
    assert biport("run", model, *texts).stdout.splitlines() == lines
    rows = json.loads(biport("run", model, *texts, "--json").stdout)["rows"]
    assert [(row["row"], row["text"], row["label"], f"{row['probability']:.4f}") for row in rows] == [
        (number, text, *pair) for number, (text, pair) in enumerate(zip(texts, wanted, strict=True), 1)
    ]
    long = "the bad film ! good"
    cut = biport("run", narrow, long, "--truncate")
    assert cut.stdout == f"{'  '.join(*said(narrow, 'the bad film'))}  (2 tokens were cut off)\n"
    refused = biport("run", narrow, "good", long)
    assert refused.exit_code == 2
    assert f"row 2, '{long}': the model takes rows of 3 steps at most, found 5; --truncate" in refused.stderr


def test_what_is_no_text(model: Path, tmp_path: Path) -> None:
    source = tmp_path / "reviews.csv"
    source.write_text("text\ngood\n")
    for arguments, message in (
        ([], "give texts, or a file"),
        (["a", "--input", source], "give texts, or a file"),
        ([source], "is a file, not a text; give it as --input"),
        (["-"], "is standard input, not a text"),
        (["a", "-o", "b.csv"], "--output go with a file of texts"),
        (["a", "--id", "b"], "--output go with a file of texts"),
        (["--input", tmp_path / "x.npz", "--truncate"], "--truncate go with texts"),
        (["--input", "-", "-o", "-"], "give --format: txt, csv, tsv or jsonl"),
        (["--input", source, "-o", "-", "--json"], "take one of them"),
        (["--input", source, "-o", "-", "--resume"], "--resume: goes from a file to a file"),
        (["--input", source, "-o", tmp_path / "o.csv", "--text", "id"], "'id' (--text names another)"),
        (["--input", source, "-o", tmp_path / "o.csv", "--delimiter", ",,"], "one character"),
        (
            ["--input", source, "-o", tmp_path / "o.csv", "--skip-bad", tmp_path / "b.txt"],
            "files that end in",
        ),
        (["--input", source, "-o", tmp_path / "o.csv", "--skip-bad", tmp_path / "o.csv"], "another file"),
    ):
        result = biport("run", model, *arguments)
        assert (result.exit_code, result.stdout[:1]) == (2, "{" if "--json" in arguments else "")
        assert message in " ".join((result.stderr + result.stdout).split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["reviews.csv"]


def test_pipes(model: Path) -> None:
    table = "key;text\n1;good\n2;\n3;\u00e9 film\n"
    result = biport(
        "run", model, "--input", "-", "--format", "csv", "--delimiter", ";", "-o", "-", stdin=table
    )
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [(row["row"], row["key"], row["label"]) for row in rows] == [
        (str(number), str(number), label)
        for number, (label, _) in enumerate(said(model, "good", "", "\u00e9 film"), 1)
    ]
    assert result.stderr.startswith("standard output: 3 rows")
    lines = biport("run", model, "--input", "-", "--format", "txt", "-o", "-", stdin="good\r\n\r\nbad").stdout
    assert [json.loads(line)["row"] for line in lines.splitlines()] == [1, 2, 3]


@pytest.mark.sweep
def test_a_pipe_that_nobody_reads_from_any_more(model: Path) -> None:
    command = shlex.join(
        [sys.executable, "-m", "biport", "run", str(model), "--input", "-", "--format", "txt"]
    )
    line = f"yes good film | head -50000 | {command} -o - | head -1; exit ${{PIPESTATUS[2]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert json.loads(done.stdout)["row"] == 1
    assert done.stderr == "error: standard output: cannot be written: Broken pipe\n"


def test_bad_rows_are_told_of(narrow: Path, tmp_path: Path) -> None:
    source, output, bad = tmp_path / "in.csv", tmp_path / "o.csv", tmp_path / "bad.csv"
    source.write_bytes(b"text,label\ngood,a\n\xff,b\nthe the the the,c\n")
    arguments = ("run", narrow, "--input", source, "-o", output)
    result = biport(*arguments)
    assert result.exit_code == 2
    assert "line 3: expected UTF-8" in result.stderr
    assert "; --skip-bad FILE leaves such rows out" in result.stderr
    result = biport(*arguments, "--skip-bad", bad, "--force")
    assert result.exit_code == 0
    first, second, third = result.stdout.splitlines()
    assert "o.csv: 1 row, 1 of them in" in first
    assert second == "the input's column 'label' is called 'input_label'"
    assert "bad.csv: 2 rows left out, such as" in third
    data = json.loads(biport(*arguments, "--skip-bad", bad, "--truncate", "--force", "--json").stdout)
    assert (data["rows"], data["left_out"], data["cut"]) == (2, 1, 1)
    assert data["renamed"] == {"label": "input_label"}
    source.write_bytes(b"text\n\xff\n")
    assert biport(*arguments, "--skip-bad", bad, "--force").exit_code == 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "one\n\ntwo"),
        ("b.txt", ""),
        ("a.csv", 'id,text\n1,"a\n\n\nb"\n\n\r\n2,""\n'),
        ("b.csv", 'text\n1\n\n\r\n"a\n\nb"\n'),
        ("c.csv", "text\n"),
        ("a.tsv", "id\ttext\n1\ta\n\n2\tb"),
        ("a.jsonl", '{"text": "a\\nb \\""}\n\n{"text": ""}'),
    ],
)
def test_rows_are_counted_in_front(name: str, content: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode())
    assert count_rows(path) == len(list(read_rows(path)))
    assert count_rows("-", "csv") is None


def test_the_line_of_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    shown = io.StringIO()
    with progress.show_progress(quiet=False) as display:
        told = ProgressDisplay(Console(file=shown, width=200), display.bar)
        # 40,000 were there already: they say nothing of the pace.
        for second in range(26):
            now[0] = float(second)
            told.update("reviews.csv", 40_000 + 1_930 * second, 2_000_000 if second > 15 else None, "rows")
    assert shown.getvalue().splitlines() == [
        "reviews.csv: 61,230 rows, 1,930/s",
        "reviews.csv: 82,460 of 2,000,000 rows, 1,930/s, 17 min left",
    ]


def run_folder(folder: Path) -> tuple[Path, Graph]:
    """What a training run leaves, without the training."""
    graph = classifier()
    folder.mkdir()
    bundle.write(graph, folder / files.MODEL)
    WORDS.save(folder / "vocabulary.json")
    recipe = {**RECIPES["reviews"].to_json(), "max_length": 3}
    described = files.describe("torch", recipe, {"labels": list(LABELS)}, graph.digest())
    files.write_description(folder, described)
    return folder, graph


@pytest.mark.parametrize("to", ["bundle", pytest.param("torch", marks=pytest.mark.sweep)])
def test_a_training_run_is_a_model_with_its_texts(to: str, tmp_path: Path) -> None:
    run, graph = run_folder(tmp_path / "run")
    read = read_stored(run)
    assert read.digest() == graph.digest()
    assert read.tokenizers["ids"].encode_batch(["the good film !", ""]).tolist() == [[7, 2, 3], [0, 0, 0]]
    assert texts_of(run) == {"labels": LABELS}
    wanted = biport("run", run, "the good film !").stdout
    assert wanted.startswith(("no  ", "yes  "))
    assert biport("export", run, "-o", tmp_path / "m.onnx", "--no-verify").exit_code == 0
    assert biport("port", run, "--to", to, "-o", tmp_path / "x", "--no-verify").exit_code == 0
    for model in (tmp_path / "m.onnx", tmp_path / "x"):
        assert biport("run", model, "the good film !").stdout == wanted
    assert json.loads((tmp_path / "x" / "labels.json").read_text())
    recipe = json.loads((run / files.RECIPE).read_text())
    (run / files.RECIPE).write_text(json.dumps(recipe | {"data": {"labels": [1]}}))
    assert biport("run", run, "good").exit_code == 2
