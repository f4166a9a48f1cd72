"""The demos of sequences, tags and captchas, on a few rows; and what their models then give."""

from __future__ import annotations

import csv
import dataclasses
import functools
import json
from pathlib import Path

import testing.frameworks  # noqa: F401  # isort: skip

import keras
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from biport.app.cli import app
from biport.app.demo import folder, ocr, seq2seq, tagger
from biport.app.demo.readings import RIGHT, WRONG, draw_readings
from biport.data import load_captchas
from biport.errors import InputError
from biport.training import data
from keras_side.models import crnn as family


def few_rows(monkeypatch: pytest.MonkeyPatch, rows: int, oracle_rows: int = 1) -> None:
    monkeypatch.setattr(data, "EVALUATION_ROWS", rows)
    monkeypatch.setattr(seq2seq, "EVALUATION_ROWS", rows)
    monkeypatch.setattr(seq2seq, "ORACLE_ROWS", oracle_rows)


@pytest.mark.sweep
@pytest.mark.parametrize(("limit", "rows", "oracle_rows"), [(128, 20, 5)])
def test_sequences(
    limit: int, rows: int, oracle_rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_rows(monkeypatch, rows, oracle_rows)
    result = seq2seq.run_demo(tmp_path / "demo", epochs=1, seed=1, force=False, quiet=True, limit=limit)
    assert result.ok
    assert [(row.form, row.search) for row in result.rows] == [
        *(
            (form, search)
            for form in ("Keras", "PyTorch", "onnxruntime")
            for search in ("greedy", "beam of 4")
        ),
        ("oracle (float64)", "greedy"),
    ]
    assert [row.agreement.rows for row in result.rows] == [*[rows] * 6, oracle_rows]
    assert result.examples[-3][:2] == ("", "")
    assert "all forms write the same" in result.text
    report = json.loads((tmp_path / "demo" / "report.json").read_text())
    assert report["ok"] is True
    assert {path.name for path in (tmp_path / "demo").iterdir()} == set(seq2seq.OWN_FILES)
    with pytest.raises(InputError, match="force=True"):
        seq2seq.run_demo(tmp_path / "demo", epochs=1, seed=1, force=False, quiet=True)

    run = CliRunner().invoke
    texts = ["3rd of March, 2021", "", "5 x \u00e9"]
    (tmp_path / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
    folder = str(tmp_path / "demo" / "run")
    lines: set[str] = set()
    for form in ("onnx", "torch", "keras", "numpy"):
        given = texts if form != "numpy" else ["--input", str(tmp_path / "texts.txt")]
        found = run(app, ["translate", folder, *given, "--form", form, "--max-length", "12"])
        assert found.exit_code == 0, found.output
        lines.add(found.stdout)
    assert len(lines) == 1
    (tmp_path / "pairs.tsv").write_text(f"{texts[0]}\t2021-03-03\n{texts[2]}\tnothing\tsomebody\n")
    pairs = run(app, ["translate", folder, "--input", str(tmp_path / "pairs.tsv"), "--max-length", "12"])
    first, _, last = lines.pop().splitlines()
    assert pairs.stdout.splitlines() == [first, last]
    assert pairs.stderr.startswith("2 texts, 1 with unknown tokens")
    found = run(app, ["translate", folder, *texts, "--json", "--width", "2", "--max-length", "5"])
    translated = json.loads(found.stdout)["rows"]
    assert [row["source"] for row in translated] == texts
    assert translated[1]["text"] == ""
    assert translated[2]["unknown"][-1] == "\u00e9"
    for wrong in (
        [folder],
        [folder, "a", "--form", "mxnet"],
        [folder, "a", "--input", "x"],
        [folder, "--input", str(tmp_path / "texts.txt"), "--text", "column"],
        [folder, "--input", str(tmp_path / "texts.doc")],
        [str(tmp_path), "a"],
    ):
        assert run(app, ["translate", *wrong]).exit_code == 2


@pytest.mark.sweep
def test_tags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few_rows(monkeypatch, 20)
    monkeypatch.setattr(tagger, "JOINS", ("attention",))
    result = tagger.run_demo(tmp_path / "demo", epochs=1, seed=1, force=False, quiet=True, limit=64)
    assert result.ok
    assert [row.join for row in result.rows] == [join for join in tagger.JOINS for _ in range(4)]
    assert all(row.agreement > 0.99 and row.error < 1e-5 for row in result.rows)
    assert "attention same" in result.text
    found = {path.name for path in (tmp_path / "demo").iterdir()}
    assert found == {"attention-run", "attention.onnx", "report.json"} <= set(tagger.OWN_FILES)


FORMS = ["oracle (numpy float64)", "Keras", "PyTorch", "ONNX", "Keras again"]


def test_captchas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a model that has learnt next to nothing: every form of it gives the same texts all the same."""
    for module, name, number in (
        (ocr, "TRAIN", 2),
        (ocr, "TEST", 2),
        (folder, "WARMING", 0),
        (folder, "REPEATS", 1),
    ):
        monkeypatch.setattr(module, name, number)
    # Few steps for the LSTM, and none traced: that would take longer than all else.
    small = functools.partial(family.crnn, filters=(2, 3, 2), features=4, units=3)
    monkeypatch.setattr(family, "crnn", small)
    compiled = functools.partialmethod(keras.Model.compile, run_eagerly=True)
    monkeypatch.setattr(keras.Model, "compile", compiled)
    result = ocr.run_demo(tmp_path / "demo", epochs=1, seed=1, force=False, quiet=True)
    assert result.ok
    assert [row.form for row in result.rows] == FORMS
    assert "the captchas as PNG files, through onnxruntime: read alike" in result.text
    assert json.loads((tmp_path / "demo" / "report.json").read_text())["ok"] is True
    assert {path.name for path in (tmp_path / "demo").iterdir()} == set(ocr.OWN_FILES)
    worse = [*result.rows[:-1], dataclasses.replace(result.rows[-1], others=1)]
    assert not dataclasses.replace(result, rows=worse).ok
    assert not dataclasses.replace(result, from_files=1).ok
    with pytest.raises(InputError, match="force=True"):
        ocr.run_demo(tmp_path / "demo", epochs=1, seed=1, force=False, quiet=True)


@pytest.mark.sweep
def test_captchas_are_read(tmp_path: Path) -> None:
    """With two thirds of the epochs, of a seed of its own."""
    run = CliRunner().invoke
    found = run(app, ["demo", "ocr", "-o", str(tmp_path / "demo"), "--seed", "3", "--epochs", "8", "--json"])
    assert found.exit_code == 0, found.output
    rows = json.loads(found.stdout)["rows"]
    assert [row["others"] for row in rows] == [0] * 5
    assert all(row["right"] >= 0.85 for row in rows)
    # The files that it leaves are what other commands take.
    demo, texts = tmp_path / "demo", tmp_path / "texts.csv"
    again = run(app, ["run", str(demo / "ocr-torch"), "--input", str(demo / "images"), "-o", str(texts)])
    assert again.exit_code == 0, again.output
    read = [list(csv.DictReader(path.read_text().splitlines())) for path in (texts, demo / "texts.csv")]
    assert [[row["file"], row["text"]] for row in read[0]] == [[row["file"], row["text"]] for row in read[1]]


def test_readings_are_drawn(tmp_path: Path) -> None:
    captchas = load_captchas(3, 0)
    draw_readings(tmp_path / "r.png", captchas, [captchas.texts[0], "", captchas.texts[2]])
    pixels = np.asarray(Image.open(tmp_path / "r.png"))
    height, width, _ = pixels.shape
    assert np.array_equal(pixels[16:112:3, 16:304:3, 0], captchas.images[0, ..., 0])
    quarters = {
        (line, column): pixels[line * height // 2 :, column * width // 2 :][112 : height // 2, : width // 2]
        for line in (0, 1)
        for column in (0, 1)
    }
    for where, colour in {(0, 0): RIGHT, (0, 1): WRONG, (1, 0): RIGHT}.items():
        rgb = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
        assert (quarters[where] == rgb).all(axis=-1).sum() > 20
    assert (quarters[1, 1] == 255).all()
