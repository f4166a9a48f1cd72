"""The demos of sequences and tags, on a few rows; and what the model of the first one translates."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from biport.app.cli import app
from biport.app.demo import seq2seq, tagger
from biport.errors import InputError
from biport.training import data


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
