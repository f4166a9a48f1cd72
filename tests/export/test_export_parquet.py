"""A corpus in Parquet: the same rows, columns and numbers as other files give, in parts that are whole."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

import export
from biport import bundle, ops
from biport.app.cli import app
from biport.data import Vocabulary
from biport.errors import FileError, InputError, MissingDependencyError
from biport.graph import Graph
from export.scale import part as part_module
from export.scale.plan import plan, sources
from export.scale.scoring import RECORD, score_parquet
from testing.onnx_graphs import H, I, array, chain, lstm

WORDS = Vocabulary(("<pad>", "<unk>", "good", "film", "not", "!", "bad", "the"))
TEXTS = ["Good film!", "", 'not "good",\nnot BAD', "the the the the bad film", "what?"]
COUNT = 103


def biport(*arguments: object) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def scorer(classes: int = 3, sequences: bool = False) -> Graph:
    rng = np.random.default_rng(2)
    weights: dict[str, Any] = {"weight": array(rng, classes, H), "bias": array(rng, classes)}
    activation = "softmax" if classes > 1 else "sigmoid"
    head = ops.Dense(input_size=H, output_size=classes, activation=activation, **weights)
    graph = chain(rng, lstm(rng, I, H, return_sequences=sequences), head)
    return Graph(graph.inputs, graph.nodes, ("layer_2",))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("parquet") / "m.onnx"
    export.write(scorer(), path, vocabulary=WORDS, labels=("no", "yes", "so-so"), vectors=False)
    return path


@pytest.fixture(scope="module")
def session(model: Path) -> export.Session:
    return export.Session(model, device="cpu", threads=1)


def corpus(count: int = COUNT) -> pyarrow.Table:
    columns = {
        "id": [f"r{number}" for number in range(COUNT)],
        "text": [TEXTS[number % len(TEXTS)] for number in range(COUNT)],
        "label": [number % 2 for number in range(COUNT)],
        "when": pyarrow.array(np.arange(COUNT), "timestamp[ns]"),
    }
    return pyarrow.table(columns).slice(0, count)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two files in a folder, of several row groups, and what is no data."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    table = corpus()
    parquet.write_table(table.slice(0, 60), folder / "a.parquet", row_group_size=25)
    parquet.write_table(table.slice(60), folder / "b.parquet")
    (folder / "_metadata.parquet").write_bytes(b"none")
    return folder


def test_the_rows_and_numbers_of_other_files(session: export.Session, source: Path, tmp_path: Path) -> None:
    done = score_parquet(session, source, tmp_path / "o", part_rows=17)
    assert (done.rows, done.parts, done.resumed, done.left_out) == (COUNT, 7, 0, 0)
    assert done.renamed == {"label": "input_label"}
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == [
        RECORD,
        *(f"part-{number:05}.parquet" for number in range(7)),
    ]
    rows = [parquet.ParquetFile(path).metadata.num_rows for path in sorted((tmp_path / "o").glob("part*"))]
    assert rows == [17, 17, 17, 9, 17, 17, 9]
    table = parquet.read_table(tmp_path / "o")
    given = corpus()
    with (tmp_path / "in.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        table_given = given.drop("when")
        writer.writerow(table_given.column_names)
        writer.writerows(zip(*(column.to_pylist() for column in table_given.columns), strict=True))
    result = biport("run", session.path, "--input", tmp_path / "in.csv", "-o", tmp_path / "o.csv")
    assert result.exit_code == 0, result.output
    with (tmp_path / "o.csv").open(newline="") as file:
        wanted = list(csv.reader(file))
    assert table.drop("when").column_names == wanted[0]
    assert table.column_names == ["row", "id", "input_label", "when", "label", "probability"]
    for row, line in zip(table.drop("when").to_pylist(), wanted[1:], strict=True):
        assert [str(row[name]) for name in ("row", "id", "input_label", "label")] == line[:4]
        assert np.float32(row["probability"]) == np.float32(line[4])
    assert table.schema.field("probability").type == pyarrow.float32()
    assert table.column("when").equals(given.column("when"))


def test_what_is_cut_off_is_taken_up_again(
    session: export.Session, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / "whole"
    score_parquet(session, source, whole, part_rows=20)
    original, begun = part_module._scored, []

    def failing(layout: Any, batch: Any, first: int, *more: Any) -> Any:
        begun.append(first)
        if len(begun) == 4:
            raise KeyboardInterrupt
        return original(layout, batch, first, *more)

    output = tmp_path / "o"
    with monkeypatch.context() as patched:
        patched.setattr(part_module, "_scored", failing)
        with pytest.raises(KeyboardInterrupt):
            score_parquet(session, source, output, part_rows=20)
    assert sorted(path.name for path in output.glob("*.parquet")) == [
        f"part-{number:05}.parquet" for number in range(3)
    ]
    before = [path.stat().st_mtime_ns for path in sorted(output.glob("part*"))]
    with pytest.raises(InputError, match="exists already"):
        score_parquet(session, source, output)
    with pytest.raises(InputError, match="another column"):
        score_parquet(session, source, output, resume=True, column="id")
    with pytest.raises(InputError, match="another part_rows"):
        score_parquet(session, source, output, resume=True, part_rows=7)
    done = score_parquet(session, source, output, resume=True)
    assert (done.rows, done.resumed) == (COUNT, 60)
    assert [path.stat().st_mtime_ns for path in sorted(output.glob("part*"))][:3] == before
    assert parquet.read_table(output).equals(parquet.read_table(whole))
    again = score_parquet(session, source, output, resume=True)
    assert (again.rows, again.resumed) == (COUNT, COUNT)
    parquet.write_table(corpus(9), source / "c.parquet")
    with pytest.raises(InputError, match="another input"):
        score_parquet(session, source, output, resume=True)
    assert score_parquet(session, source, output, overwrite=True).rows == COUNT + 9
    (output / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match=r"thesis.txt', which no run has left"):
        score_parquet(session, source, output, overwrite=True)


def test_rows_that_are_left_out(session: export.Session, tmp_path: Path) -> None:
    source, output, side = tmp_path / "in.parquet", tmp_path / "o", tmp_path / "bad.csv"
    texts = [None if number in (3, 17) else "good film" for number in range(30)]
    parquet.write_table(pyarrow.table({"text": texts, "id": list(range(30))}), source)
    with pytest.raises(
        InputError, match=r"row 4.*expected a text, found null; skip_bad='FILE' leaves such rows"
    ):
        score_parquet(session, source, output, part_rows=10)
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"]
    done = score_parquet(session, source, output, part_rows=10, skip_bad=side, id="id")
    assert (done.rows, done.left_out) == (28, 2)
    with side.open(newline="") as file:
        last = [*csv.DictReader(file)][1]
    assert last == {"row": "18", "where": "in.parquet", "text": "", "reason": "expected a text, found null"}
    table = parquet.read_table(output)
    assert table.column("id").to_pylist() == [number for number in range(30) if number not in (3, 17)]
    (output / "part-00001.parquet").unlink()
    again = score_parquet(session, source, output, resume=True, skip_bad=side, id="id")
    assert (again.rows, again.resumed, again.left_out) == (28, 19, 2)
    assert parquet.read_table(output).equals(table)
    assert len(side.read_text().splitlines()) == 3


def test_a_tokeniser_that_is_given(model: Path, source: Path, tmp_path: Path) -> None:
    """It makes other numbers, and is part of what a run is known again by."""
    output = tmp_path / "o"
    WORDS.save(tmp_path / "words.json")
    arguments = ["run", model, "--input", source, "-o", output]
    more = ["--vocabulary", tmp_path / "words.json", "--maxlen", 2, "--padding", "pre"]
    assert biport(*arguments, *more).exit_code == 0
    cut = parquet.read_table(output)
    again = biport(*arguments, "--resume")
    assert again.exit_code == 2
    assert "another tokenizer" in again.stderr
    assert biport(*arguments, "--force").exit_code == 0
    assert parquet.read_table(output).column("probability") != cut.column("probability")


def test_texts_that_are_none_and_pages_that_are_damaged(session: export.Session, tmp_path: Path) -> None:
    source, side = tmp_path / "in.parquet", tmp_path / "bad.jsonl"
    given = pyarrow.array([b"good film", b"\xff\xfe", b""]).view(pyarrow.string())
    parquet.write_table(pyarrow.table({"text": given}), source)
    done = score_parquet(session, source, tmp_path / "o", skip_bad=side)
    assert (done.rows, done.left_out) == (2, 1)
    assert json.loads(side.read_text())["reason"] == "expected a text, found bytes that are not in UTF-8"
    assert parquet.read_table(tmp_path / "o").column("row").to_pylist() == [1, 3]
    texts = pyarrow.array([f"good {number}" for number in range(3000)])
    parquet.write_table(pyarrow.table({"text": texts}), source, use_dictionary=False)
    content = bytearray(source.read_bytes())
    content[40:4000] = bytes(3960)
    source.write_bytes(content)
    with pytest.raises(FileError, match=r"in\.parquet: cannot be read: "):
        score_parquet(session, source, tmp_path / "damaged")
    assert not (tmp_path / "damaged").exists()
    names = pyarrow.schema([("text", pyarrow.string()), ("a", pyarrow.int8()), ("a", pyarrow.int8())])
    twice = pyarrow.Table.from_arrays([pyarrow.array(["x"]), *[pyarrow.array([1], "int8")] * 2], schema=names)
    parquet.write_table(twice, source)
    with pytest.raises(FileError, match="has 2 columns 'a'"):
        score_parquet(session, source, tmp_path / "damaged")


def test_categories_are_texts(session: export.Session, tmp_path: Path) -> None:
    texts = ["good film", "bad", None, "good film"]
    for name, kind in {"a": pyarrow.string(), "b": pyarrow.large_string()}.items():
        column = pyarrow.array(texts, kind).dictionary_encode()
        parquet.write_table(pyarrow.table({"text": column}), tmp_path / f"{name}.parquet")
        side = tmp_path / f"{name}.csv"
        score_parquet(session, tmp_path / f"{name}.parquet", tmp_path / name, skip_bad=side)
        table = parquet.read_table(tmp_path / name)
        assert table.column("row").to_pylist() == [1, 2, 4]
        assert table.column("label")[2].as_py() == next(session.classify(["good film"]))[0]


def test_models_of_other_outputs(tmp_path: Path) -> None:
    parquet.write_table(corpus(7), tmp_path / "in.parquet")
    export.write(scorer(1), tmp_path / "one.onnx", vocabulary=WORDS, vectors=False)
    one = export.Session(tmp_path / "one.onnx", device="cpu", threads=1)
    score_parquet(one, tmp_path / "in.parquet", tmp_path / "one", id="id")
    table = parquet.read_table(tmp_path / "one")
    assert table.column_names == ["id", "label", "when", "layer_2"]
    wanted = [scores.item() for (scores,) in one.predict(corpus(7).column("text").to_pylist())]
    assert table.column("layer_2").to_pylist() == wanted
    tagger = {"vocabulary": WORDS, "labels": ("a", "b", "c"), "vectors": False}
    export.write(scorer(3, sequences=True), tmp_path / "tags.onnx", **tagger)
    tags = export.Session(tmp_path / "tags.onnx", device="cpu", threads=1)
    score_parquet(tags, tmp_path / "in.parquet", tmp_path / "tags")
    first = parquet.read_table(tmp_path / "tags").to_pylist()[0]
    assert first["tokens"] == ["good", "film", "!"]
    assert len(first["labels"]) == len(first["probabilities"]) == 3


def test_an_empty_corpus_has_columns(session: export.Session, tmp_path: Path) -> None:
    parquet.write_table(corpus(0), tmp_path / "in.parquet")
    assert score_parquet(session, tmp_path / "in.parquet", tmp_path / "o").rows == 0
    assert "probability" in parquet.read_table(tmp_path / "o").column_names


def test_what_is_no_corpus(session: export.Session, source: Path, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 not")
    (tmp_path / "file").touch()
    parquet.write_table(pyarrow.table({"text": [1]}), tmp_path / "numbers.parquet")
    parquet.write_table(corpus(4).drop("when"), source / "c.parquet")
    for given, error, message in (
        ("none", InputError, "no folder that has one"),
        ("absent.parquet", InputError, "no folder that has one"),
        ("bad.parquet", FileError, "not a Parquet file"),
        ("numbers.parquet", FileError, "'text' of texts, found int64"),
        ("corpus", FileError, "other columns than"),
    ):
        with pytest.raises(error, match=message):
            score_parquet(session, tmp_path / given, tmp_path / "o")
        assert not (tmp_path / "o").exists()
    (source / "c.parquet").unlink()
    with pytest.raises(FileError, match="expected a column 'said'"):
        score_parquet(session, source, tmp_path / "o", column="said")
    with pytest.raises(InputError, match="exists already"):
        score_parquet(session, source, tmp_path / "file")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingDependencyError, match="pip install pyarrow"):
        score_parquet(session, source, tmp_path / "o")


def test_parts_hold_every_row_once(tmp_path: Path) -> None:
    for name, rows in (("a", 5), ("b", 0), ("c", 12)):
        parquet.write_table(corpus(rows), tmp_path / f"{name}.parquet", row_group_size=4)
    files = sources(tmp_path)
    for size in (1, 3, 4, 5, 100):
        parts = plan(files, size)
        rows = [part.before + offset for part in parts for offset in range(part.rows)]
        assert rows == [*range(17)]
        for one in parts:
            with parquet.ParquetFile(one.source) as opened:
                batches = [*part_module._batches(opened, one)]
            whole = parquet.read_table(one.source).column("id").to_pylist()
            read = [id for _, batch in batches for id in batch.column("id").to_pylist()]
            assert read == whole[one.start : one.start + one.rows]


def test_the_command(model: Path, source: Path, tmp_path: Path) -> None:
    output = tmp_path / "o"
    result = biport("run", model, "--input", source, "-o", output, "--part-rows", 40)
    assert result.exit_code == 0, result.output
    assert f"{output}: {COUNT} rows in 4 files, {COUNT} of them in" in result.stdout
    again = biport("run", model, "--input", source, "-o", output, "--resume", "--json")
    data = json.loads(again.stdout)
    assert (data["rows"], data["resumed"], data["parts"], data["actors"]) == (COUNT, COUNT, 4, None)
    bundle.write(scorer(), tmp_path / "b", vocabulary=WORDS, labels=("no", "yes", "so-so"))
    assert biport("run", tmp_path / "b", "--input", source, "-o", tmp_path / "p").exit_code == 0
    assert parquet.read_table(tmp_path / "p").equals(parquet.read_table(output))
    for arguments, message in (
        (("--input", source), "needs an --output, a folder"),
        (("--input", source, "-o", output), "exists already; use --force"),
        (("--input", source, "-o", tmp_path / "x", "--actors", 2), "--actors 2: goes with --ray"),
        (("--input", tmp_path / "x.csv", "--ray"), "--ray: goes with a corpus in .parquet"),
        (("a text", "--part-rows", 3), "--part-rows 3: goes with a corpus in .parquet"),
        (("--input", source, "--format", "csv"), "--format and --delimiter go with other files"),
    ):
        result = biport("run", model, *arguments)
        assert result.exit_code == 2
        assert message in result.stderr
