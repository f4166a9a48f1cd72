"""Texts of a CTC model: the same of all forms, in Python and on the command line."""

from __future__ import annotations

import csv
import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from typer.testing import CliRunner

import export
import torch_side
from biport import bundle, ops, reference
from biport.analysis.text_model import with_alphabet
from biport.app.cli import app
from biport.app.verify import verify
from biport.decoding.ctc import transcribe
from biport.errors import FileError, InputError, UnsupportedError
from biport.graph import Graph, Node, Value
from biport.text.alphabet import Alphabet
from testing.onnx_graphs import H, I, array, lstm

CHARACTERS = ("[UNK]", "a", "é")
X = np.random.default_rng(5).normal(size=(5, 6, I)).astype("float32") * 3


def biport(*arguments: object) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def reader(time_major: bool = False) -> Graph:
    """Steps of 4 classes; as torch has sequences where they are on the first axis."""
    rng = np.random.default_rng(3)
    head = ops.Dense(
        input_size=H, output_size=4, activation="softmax", weight=6 * array(rng, 4, H), bias=array(rng, 4)
    )
    nodes = [Node("lstm", lstm(rng, I, H, return_sequences=True), ("x",)), Node("y", head, ("lstm",))]
    if time_major:
        nodes.append(Node("turned", ops.PermuteDims(axes=(1, 0, 2)), ("y",)))
    return Graph((Value("x", ("N", 6, I), "float32"),), tuple(nodes), nodes[-1].outputs)


def wanted(graph: Graph, alphabet: Alphabet, time_major: bool = False) -> list[str]:
    (y,) = reference.run(graph, [X])
    texts = [one.text for one in transcribe(alphabet, np.moveaxis(y, int(time_major), 0))]
    assert len(set(texts)) > 3
    return texts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model as a bundle without labels, and rows that it takes."""
    path = tmp_path_factory.mktemp("ctc")
    bundle.write(reader(), path / "bare")
    np.save(path / "x.npy", X)
    return path


@pytest.mark.parametrize("time_major", [pytest.param(False, marks=pytest.mark.sweep), True])
def test_all_forms_read_the_same_texts(time_major: bool, tmp_path: Path) -> None:
    graph = with_alphabet(reader(time_major), CHARACTERS, 1)
    assert graph.alphabet is not None
    texts = wanted(graph, graph.alphabet, time_major)
    torch_side.write_folder(graph, tmp_path / "ported")
    assert torch_side.read_folder(tmp_path / "ported").alphabet == graph.alphabet
    module = runpy.run_path(str(tmp_path / "ported/model.py"))
    y = torch_side.load_folder(tmp_path / "ported")(torch.tensor(X))
    assert module["decode"](y.transpose(0, 1) if time_major else y, tmp_path / "ported") == texts
    told = ".transpose(0, 1)" if time_major else ""
    assert f"`decode(model(x){told})`" in (tmp_path / "ported/README.md").read_text()
    export.write(graph, tmp_path / "m.onnx")
    session = export.Session(tmp_path / "m.onnx", device="cpu", threads=1)
    assert session.alphabet == graph.alphabet
    assert [one.text for one in session.decode(session.run([X]))] == texts
    every = [*session.transcribe(X)]
    assert [one.text for one in every] == texts
    assert [one.text for one in session.transcribe(X, width=20)] == [
        one.text for one in transcribe(graph.alphabet, np.stack([y for (y,) in session.predict(X)]), width=20)
    ]
    assert all(0 < one.confidence < 1 for one in every)
    report = verify(tmp_path / "ported", tmp_path / "m.onnx", inputs=[X])
    same = "5 of 5 texts as in the source (1)"
    heads = [line.text[0] for line in report.agreement]
    assert heads == [f"texts of {name}, {graph.outputs[0]}: {same}" for name in ("ported", "m.onnx")]


def test_labels_are_given_on_the_command_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text(json.dumps(CHARACTERS))
    labels = "--characters", tmp_path / "labels.json"
    told = biport("export", folder / "bare", "-o", tmp_path / "m.onnx", *labels)
    assert "3 characters, '[UNK]aé', the blank is 3" in told.output
    texts = wanted(reader(), Alphabet(CHARACTERS, 3))
    biport("run", tmp_path / "m.onnx", "--input", folder / "x.npy", "-o", tmp_path / "texts.csv")
    with (tmp_path / "texts.csv").open(encoding="utf-8", newline="") as file:
        rows = [*csv.DictReader(file)]
    assert [row["text"] for row in rows] == texts
    assert [*rows[0]] == ["row", "text", "confidence"]
    biport("run", tmp_path / "m.onnx", "--input", folder / "x.npy", "-o", tmp_path / "texts.jsonl")
    first = json.loads((tmp_path / "texts.jsonl").read_text().splitlines()[0])
    assert [*first] == ["row", "text", "confidence", "outputs"]
    shown = json.loads(biport("run", tmp_path / "m.onnx", "--input", folder / "x.npy", "--json").output)
    assert [one["text"] for one in shown["texts"]] == texts
    # Others than the file has, and those of a folder that has none.
    options = ("--input", folder / "x.npy", "--characters", "abc", "--ctc", "first", "--json")
    others = wanted(reader(), Alphabet(("a", "b", "c"), 0))
    for model in (tmp_path / "m.onnx", folder / "bare"):
        shown = json.loads(biport("run", model, *options).output)
        assert [one["text"] for one in shown["texts"]] == others


def test_texts_are_read_by_a_beam_where_that_is_asked_for(folder: Path, tmp_path: Path) -> None:
    graph = with_alphabet(reader(), "abc", 3)
    export.write(graph, tmp_path / "m.onnx", vectors=False)
    assert graph.alphabet is not None
    (y,) = reference.run(graph, [X])
    exact = transcribe(graph.alphabet, y, width=20)
    assert exact != transcribe(graph.alphabet, y)
    for model, options in ((tmp_path / "m.onnx", ()), (folder / "bare", ("--characters", "abc"))):
        arguments = ("run", model, *options, "--input", folder / "x.npy", "--beam-width", "20")
        shown = json.loads(biport(*arguments, "--json").output)["texts"]
        assert [one["text"] for one in shown] == [one.text for one in exact]
        assert [one["confidence"] for one in shown] == pytest.approx([one.confidence for one in exact], 1e-4)
        written = biport(*arguments, "-o", tmp_path / "texts.jsonl", "--force")
        assert written.exit_code == 0, written.output
        rows = map(json.loads, (tmp_path / "texts.jsonl").read_text().splitlines())
        assert [row["text"] for row in rows] == [one.text for one in exact]


@pytest.mark.parametrize(
    ("width", "why"),
    [
        ("0", "--beam-width"),
        ("1001", "--beam-width"),
        ("many", "'many'"),
        ("2", "--beam-width 2: goes with a CTC model"),
    ],
)
def test_a_width_that_is_none_is_refused(width: str, why: str, folder: Path) -> None:
    refused = biport("run", folder / "bare", "--input", folder / "x.npy", "--beam-width", width)
    assert refused.exit_code == 2
    assert why in " ".join(refused.output.split())


def test_labels_are_given_to_verify_where_no_file_says_them(folder: Path, tmp_path: Path) -> None:
    export.write(reader(), tmp_path / "m.onnx", vectors=False)
    models = "verify", folder / "bare", tmp_path / "m.onnx", "--input", folder / "x.npy"
    assert "texts of" not in biport(*models).output
    told = biport(*models, "--characters", "abc")
    assert "texts of m.onnx, y: 5 of 5 texts as in the source (1)" in told.output


@pytest.mark.sweep
def test_a_keras_file_has_no_room_for_labels_and_torch_has(folder: Path, tmp_path: Path) -> None:
    options = ("--characters", "abc", "--ctc", "2")
    biport("port", folder / "bare", "--to", "torch", "-o", tmp_path / "ported", *options)
    assert torch_side.read_folder(tmp_path / "ported").alphabet == Alphabet(("a", "b", "c"), 2)
    told = biport("port", tmp_path / "ported", "--to", "keras", "-o", tmp_path / "m.keras")
    assert "a Keras file has no room for what its classes are called: 3 characters" in told.output
    biport("port", tmp_path / "ported", "--to", "onnx", "-o", tmp_path / "m.onnx")
    assert export.Session(tmp_path / "m.onnx").alphabet == Alphabet(("a", "b", "c"), 2)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--characters", "ab"], "should be 3, found 2, 'ab'"),
        (["--ctc", "last"], "--ctc last: goes with --characters"),
        (["--characters", "abc", "--ctc", "4"], "one of 4 classes"),
        (["--characters", "abc", "--route", "tf2onnx"], "of the fused route alone"),
        (["--characters", "labels.txt"], "labels.txt: there is no such file"),
    ],
)
def test_what_is_wrong_is_said(options: list[str], why: str, folder: Path, tmp_path: Path) -> None:
    result = biport("export", folder / "bare", "-o", tmp_path / "m.onnx", *options)
    assert result.exit_code != 0
    assert why in " ".join(result.output.split())
    assert not (tmp_path / "m.onnx").exists()


def test_a_file_of_others_needs_to_be_told_what_its_numbers_are(folder: Path, tmp_path: Path) -> None:
    export.write(reader(), tmp_path / "m.onnx", vectors=False)
    session = export.Session(tmp_path / "m.onnx", device="cpu", threads=1)
    with pytest.raises(InputError, match="does not say what its classes are called"):
        session.transcribe(X)
    with pytest.raises(InputError, match="should be 3, found 1"):
        session.alphabet = Alphabet(("a",), 0)
    arguments = ("run", tmp_path / "m.onnx", "--input", folder / "x.npy", "--characters", "abc")
    assert "does not say what the numbers of its output are" in " ".join(biport(*arguments).output.split())
    assert biport(*arguments, "--scores", "probabilities").exit_code == 0
    logits = biport(*arguments, "--scores", "log_probabilities")
    assert "are no log probabilities" in " ".join(logits.output.split())


def test_labels_of_another_model_in_a_file_are_refused(tmp_path: Path) -> None:
    export.write(with_alphabet(reader(), "abc", 3), tmp_path / "m.onnx", vectors=False)
    model = onnx.load(tmp_path / "m.onnx")
    (entry,) = (one for one in model.metadata_props if one.key == "biport.alphabet")
    for value, why in (
        ('{"characters": ["a"], "blank": 0, "scores": "logits"}', "of another model: .*should be 3, found 1"),
        ('{"characters": [1, 2, 3], "blank": 0, "scores": "logits"}', "labels are texts"),
        ("[]", "should describe the labels of a CTC model"),
        ("{", "cannot be read"),
    ):
        entry.value = value
        onnx.save(model, tmp_path / "m.onnx")
        with pytest.raises(FileError, match=why):
            export.Session(tmp_path / "m.onnx", device="cpu", threads=1)
    with pytest.raises(InputError, match="scores of 3 classes, and there are labels of 2"):
        transcribe(Alphabet(("a",), 0), np.full((1, 1, 3), 1 / 3))


def test_a_session_of_no_sequence_takes_no_alphabet(tmp_path: Path) -> None:
    graph = Graph(
        (Value("x", ("N", 3), "float32"),), (Node("y", ops.Activation(function="softmax"), ("x",)),), ("y",)
    )
    export.write(graph, tmp_path / "m.onnx", vectors=False)
    session = export.Session(tmp_path / "m.onnx", device="cpu", threads=1)
    with pytest.raises(UnsupportedError, match="a sequence of CTC"):
        session.alphabet = Alphabet(("a", "b"), 0)
