"""Scoring a corpus from file to file: rows in order, and a run that is cut off goes on without a seam."""

from __future__ import annotations

import csv
import io
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
from biport.graph import Graph, Value
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
    with pytest.raises(FileError, match="does not begin as results of this model and this input do"):
        score(session, source, path, resume=True)
    path.with_name("o.csv.run").unlink()
    with pytest.raises(InputError, match="cannot be taken up again without"):
        score(session, source, path, resume=True)
    assert score(session, source, path, overwrite=True).rows == 5
    with pytest.raises(InputError, match="is the input"):
        score(session, source, source)
    with pytest.raises(InputError, match=r"end in \.csv, \.tsv, \.jsonl, \.npz"):
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


def rows_of(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    if path.suffix == ".npz":
        arrays = np.load(path)
        return [dict(zip(arrays, row, strict=True)) for row in zip(*arrays.values(), strict=True)]
    with path.open(newline="") as file:
        return [*csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",")]


KEPT = [("é, 1", 'a "b"', "x\r\ny"), ("", "  ", "z\n\n"), ("é, 3", "\t|", "-")]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "npz"])
def test_the_other_columns_stay_with_their_rows(suffix, session, tmp_path):
    source, output = tmp_path / "in.tsv", tmp_path / f"o.{suffix}"
    with source.open("w", newline="") as file:
        head = ("key", "label", "text", "row", "input_label", "label")
        rows = [
            (key, one, text, two, "same", "L") for (key, one, two), text in zip(KEPT, TEXTS, strict=False)
        ]
        csv.writer(file, delimiter="\t").writerows([head, *rows])
    # Both ways of ending a line are one in a field.
    other = [two.replace("\r\n", "\n") for _, _, two in KEPT]
    done = score(session, source, output)
    called = "input_input_label" if suffix != "npz" else "label"
    assert done.renamed == ({"row": "input_row"} | ({} if suffix == "npz" else {"label": called}))
    read = rows_of(output)
    assert [int(row["row"]) for row in read] == [1, 2, 3]
    assert [row["key"] for row in read] == [key for key, _, _ in KEPT]
    assert [row[called] for row in read] == [one for _, one, _ in KEPT]
    assert [row["input_row"] for row in read] == other
    assert {(row["input_label"], row["label_2"]) for row in read} == {("same", "L")}
    if suffix != "npz":
        assert [row["label"] for row in read] == [label for label, _ in session.classify(TEXTS[:3])]
    score(session, source, output, overwrite=True, id="key")
    read = rows_of(output)
    assert [row["key"] for row in read] == [key for key, _, _ in KEPT]
    assert [row["row"] for row in read] == other
    with pytest.raises(InputError, match="id='text': is no column beside the text; those are 'key', 'label'"):
        score(session, source, output, overwrite=True, id="text")
    assert len(rows_of(output)) == 3


def test_keys_of_json_stay_as_they_are(session, tmp_path):
    source = tmp_path / "in.jsonl"
    objects = [
        {"n": 1.5, "text": "good", "outputs": None},
        {"text": "bad", "tags": ["ü", {"a": True}], "n": 7},
    ]
    source.write_text("".join(json.dumps(one) + "\n" for one in objects) + '{"n": NaN, "text": ""}')
    score(session, source, tmp_path / "o.jsonl")
    read = rows_of(tmp_path / "o.jsonl")
    assert [(row["n"], row.get("tags"), row.get("input_outputs", 0)) for row in read] == [
        (1.5, None, None),
        (7, ["ü", {"a": True}], 0),
        (None, None, 0),
    ]
    with pytest.raises(
        InputError, match=r"in\.jsonl: line 2: row 2, 'bad': has a key 'tags' that the first row"
    ):
        score(session, source, tmp_path / "o.csv")
    score(session, source, tmp_path / "o.csv", overwrite=True, skip_bad=tmp_path / "bad.csv")
    assert [(row["row"], row["n"], row["outputs"]) for row in rows_of(tmp_path / "o.csv")] == [
        ("1", "1.5", ""),
        ("3", "", ""),
    ]


def test_an_empty_line_of_one_column_does_not_shift_the_rest(session, tmp_path):
    source = tmp_path / "in.csv"
    source.write_text("text\n" + "".join(f"{text}\n" for text in ("good", "", "bad", "", "the film")))
    score(session, source, tmp_path / "o.csv")
    read = rows_of(tmp_path / "o.csv")
    wanted = session.classify(["good", "", "bad", "", "the film"])
    assert [(row["row"], row["label"]) for row in read] == [
        (str(number), label) for number, (label, _) in enumerate(wanted, 1)
    ]


@pytest.fixture(scope="module")
def narrow(graph, tmp_path_factory) -> export.Session:
    """It takes four tokens at most."""
    path = tmp_path_factory.mktemp("narrow") / "m.onnx"
    ids = (Value("ids", ("N", 4), "int32"),)
    export.write(Graph(ids, graph.nodes, graph.outputs), path, vocabulary=WORDS, labels=LABELS)
    return export.Session(path, device="cpu", threads=1)


MIXED = b'id,text,n\n1,good,a\n2,\xff,b\n3,the the the the the,"c\nc"\n4,"bad",d\n5\n6,not,f\n7,a b c d e,g\n'


@pytest.mark.parametrize(("suffix", "side"), [("csv", "jsonl"), ("jsonl", "csv"), ("npz", "tsv")])
def test_bad_rows_go_to_a_side_file_and_the_rest_goes_on(suffix, side, narrow, tmp_path):
    source, output, bad = tmp_path / "in.csv", tmp_path / f"o.{suffix}", tmp_path / f"bad.{side}"
    source.write_bytes(MIXED)
    with pytest.raises(InputError, match=r"line 3: expected UTF-8 .*; skip_bad='FILE' leaves such rows out"):
        score(narrow, source, output)
    # The row in front of it is there, and the rest follows.
    done = score(narrow, source, output, skip_bad=bad, resume=True)
    assert (done.rows, done.resumed, done.left_out) == (3, 1, 4)
    assert [int(row["row"]) for row in rows_of(output)] == [1, 4, 6]
    wanted = {
        "2": ("2,\\xff,b", "expected UTF-8"),
        "3": ("the the the the the", "4 steps at most, found 5"),
        "5": ("5", "expected the 3 fields"),
        "7": ("a b c d e", "found 5"),
    }
    left = rows_of(bad)
    assert {str(row["row"]): row["text"] for row in left} == {key: text for key, (text, _) in wanted.items()}
    assert all(wanted[str(row["row"])][1] in row["reason"] for row in left)
    assert [row["where"] for row in left][1] == f"{source}: line 4"
    done = score(narrow, source, output, overwrite=True, truncate=True, skip_bad=bad)
    assert (done.rows, done.left_out, done.cut) == (5, 2, 2)
    refused: tuple[tuple[dict[str, Any], str], ...] = (
        ({"skip_bad": None}, r"rows were left out of it; skip_bad='bad\."),
        ({"skip_bad": tmp_path / "other.csv"}, "rows were left out of it"),
        ({"skip_bad": bad, "id": "id"}, "rows of another id"),
    )
    for options, message in refused:
        with pytest.raises(InputError, match=message):
            score(narrow, source, output, resume=True, **options)
    bad.unlink()
    with pytest.raises(InputError, match="is missing"):
        score(narrow, source, output, resume=True, skip_bad=bad)


@pytest.mark.parametrize(("suffix", "side"), [("csv", "csv"), ("jsonl", "tsv"), ("npz", "jsonl")])
def test_cut_off_anywhere_with_bad_rows(suffix, side, narrow, tmp_path):
    """The side file is never behind the results: it is cut where they are, or anywhere behind."""
    source, output, bad = tmp_path / "in.csv", tmp_path / f"o.{suffix}", tmp_path / f"bad.{side}"
    source.write_bytes(MIXED)
    score(narrow, source, output, skip_bad=bad)
    whole, left = output.read_bytes(), bad.read_bytes()
    head = 0 if side == "jsonl" else 1
    ends = [0, *(end + 1 for end in range(len(left)) if left[end : end + 1] == b"\n")]
    # Of the rows 1, 4 and 6, and of those left out, 2, 3, 5 and 7: how many there are in front of each.
    in_front = {0: 0, 1: 0, 2: 2, 3: 3}
    for rows, needed in in_front.items():
        for cut in {ends[needed + head], ends[needed + head] + 3, len(left)}:
            output.unlink(missing_ok=True)
            if suffix == "npz":
                parts = output.with_name(f"{output.name}.parts")
                parts.mkdir()
                arrays = np.load(io.BytesIO(whole))
                (parts / "0.bin").write_bytes(arrays["row"][:rows].tobytes() + b"\1")
                (parts / "1.bin").write_bytes(arrays["layer_2"][: rows + 1].tobytes())
                texts = [*zip(arrays["id"].tolist(), arrays["n"].tolist(), strict=True)][:rows]
                (parts / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in texts) + '["')
            else:
                lines = [0, *(end + 1 for end in range(len(whole)) if whole[end : end + 1] == b"\n")]
                output.write_bytes(whole[: lines[rows + (suffix == "csv")] + 2])
            bad.write_bytes(left[:cut])
            done = score(narrow, source, output, skip_bad=bad, resume=True)
            assert (done.rows, done.left_out) == (3, 4)
            assert bad.read_bytes() == left
            if suffix != "npz":
                assert output.read_bytes() == whole
            else:
                again = np.load(output)
                assert all(
                    np.array_equal(again[name], value) for name, value in np.load(io.BytesIO(whole)).items()
                )


def test_results_with_line_breaks_in_quotes_are_cut_off_behind_a_row(session, tmp_path):
    source, output = tmp_path / "in.csv", tmp_path / "o.csv"
    notes = ['a\n"b\n', "\n\n\n", 'plain "quoted', "\n"]
    with source.open("w", newline="") as file:
        csv.writer(file).writerows([("note", "text"), *((note, "good film") for note in notes)])
    score(session, source, output)
    whole = output.read_bytes()
    for cut in range(0, len(whole), 11):
        output.write_bytes(whole[:cut])
        assert score(session, source, output, resume=True).rows == 4
        assert output.read_bytes() == whole


def test_nothing_but_bad_rows(narrow, tmp_path):
    source, bad = tmp_path / "in.csv", tmp_path / "bad.csv"
    source.write_bytes(b"text\n\xff\na b c d e\n")
    for suffix in ("csv", "npz"):
        done = score(narrow, source, tmp_path / f"o.{suffix}", skip_bad=bad, overwrite=True)
        assert (done.rows, done.left_out) == (0, 2)
        assert "line 2: expected UTF-8" in str(done.problem)
        assert rows_of(tmp_path / f"o.{suffix}") == []
    # A quote that eats the rows behind it is no fault of one.
    source.write_text('text\n"a\nb\n"c"\nd\n')
    with pytest.raises(FileError, match=r"line 2: .* up to line 4"):
        score(narrow, source, tmp_path / "o.csv", skip_bad=bad, overwrite=True)


def test_a_stream_of_records(session, source):
    stream = io.StringIO()
    score(session, source, Path("out.tsv"), stream=stream, id="id")
    table = list(csv.DictReader(io.StringIO(stream.getvalue()), delimiter="\t"))
    assert [(row["id"], row["label"]) for row in table] == [
        (str(n), label) for n, (label, _) in enumerate(session.classify(TEXTS))
    ]

    class Closed(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(FileError, match="standard output: cannot be written: Broken pipe"):
        score(session, source, Path("out.tsv"), stream=Closed())
    with pytest.raises(InputError, match="resume=True: goes from a file to a file"):
        score(session, source, Path("out.tsv"), stream=stream, resume=True)


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
@pytest.mark.parametrize("suffix", ["csv", "npz"])
def test_killed_in_the_middle(suffix, narrow, tmp_path):
    """A process that is killed, and a second one that goes on: as if there had been one."""
    source, path, bad = tmp_path / "many.csv", tmp_path / f"o.{suffix}", tmp_path / "bad.csv"
    rng = np.random.default_rng(0)
    words = np.array(WORDS.tokens[2:])[rng.integers(0, 6, (40000, 8))]
    with source.open("wb") as file:
        file.write(b"id,text\n")
        for n, row in enumerate(words):
            text = " ".join(row[: n % 5 + (n % 97 == 0)]).encode()
            file.write(b"\xff\n" if n % 331 == 7 else f'"{n}\n",'.encode() + text + b"\n")
    arguments = ["run", narrow.path, "--input", source, "--skip-bad", bad, "-o", path]
    script = "import sys; from biport.app.cli import app; app(sys.argv[1:])"
    command = [sys.executable, "-c", script, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    growing = path if suffix == "csv" else tmp_path / "o.npz.parts" / "1.bin"
    for _ in range(3000):
        if growing.exists() and growing.stat().st_size > 20000:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    result = biport(*arguments, "--resume", "--json")
    assert 0 < json.loads(result.stdout)["resumed"] < 39000
    whole, left = tmp_path / f"whole.{suffix}", tmp_path / "left.csv"
    biport("run", narrow.path, "--input", source, "--skip-bad", left, "-o", whole)
    assert bad.read_bytes() == left.read_bytes()
    assert bad.read_bytes().count(b"\n") > 150
    if suffix == "csv":
        assert path.read_bytes() == whole.read_bytes()
        assert os.path.getsize(whole) > 10**6
    else:
        one, two = np.load(path), np.load(whole)
        assert [*one] == [*two] == ["row", "layer_2", "id"]
        assert all(np.array_equal(one[name], two[name]) for name in one)


@pytest.mark.sweep
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
        (("--input", tmp_path / "x.npz", "--resume"), "--resume and --truncate go with texts"),
    ):
        result = biport("run", model, *arguments)
        assert result.exit_code == 2
        assert message in result.stderr
    bundle.write(graph, tmp_path / "b", vocabulary=WORDS, labels=LABELS)
    assert biport("export", tmp_path / "b", "-o", tmp_path / "b.onnx").exit_code == 0
    opened = export.Session(tmp_path / "b.onnx", device="cpu")
    assert (opened.tokenizer, opened.labels) == (WORDS.tokenizer(), LABELS)
    WORDS.save(tmp_path / "words.json")
    arguments = (
        "--vocabulary",
        tmp_path / "words.json",
        "--labels",
        "x, y,z",
        "--embed-tokenizer",
        "--refuse-characters",
    )
    result = biport("export", tmp_path / "b", "-o", tmp_path / "t.onnx", *arguments)
    assert result.exit_code == 0, result.output
    opened = export.Session(tmp_path / "t.onnx", device="cpu")
    assert (opened.labels, opened.input_values[0].dtype) == (("x", "y", "z"), "str")
    assert bundle.read(tmp_path / "b") == graph
    (tmp_path / "b" / "tokenizers.json").write_text("[]")
    assert biport("export", tmp_path / "b", "-o", tmp_path / "c.onnx").exit_code == 2
