"""Sequence-to-sequence by the command line: a decoder that is tried before it is kept, and what it writes."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from biport import bundle, ops
from biport.app import decoder
from biport.app.cli import app
from biport.data import Vocabulary
from biport.decoding import Translator, reference_stepper, split
from biport.graph import Graph, Node, Value
from biport.text import Tokenizer
from biport.training import folder as files
from biport.training.recipes import RECIPES
from testing.graphs import embedding
from testing.onnx_graphs import H, I, array, lstm

READ = Vocabulary(("<pad>", "<unk>", *"abcdefg"))
WRITTEN = Vocabulary(("<pad>", "<unk>", "<start>", "<end>", *"vwxyz"))
TEXTS = ["a b c", "", "g ? f", "a b c d e", "d"]


def biport(*arguments: object, stdin: str | None = None) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def model(seed: int = 25) -> Graph:
    """An encoder's states begin a decoder."""
    rng = np.random.default_rng(seed)
    head = ops.Dense(
        input_size=H, output_size=9, activation="softmax", weight=20 * array(rng, 9, H), bias=array(rng, 9)
    )
    nodes = (
        Node("from", embedding(rng, I, 9, masked=False), ("source",)),
        Node("to", embedding(rng, I, 9, masked=False), ("target",)),
        Node("encoder", lstm(rng, I, H, return_state=True), ("from",), ("encoder", "h", "c")),
        Node("decoder", lstm(rng, I, H, return_sequences=True), ("to", "h", "c")),
        Node("y", head, ("decoder",)),
    )
    return Graph(tuple(Value(name, ("N", name[0]), "int32") for name in ("source", "target")), nodes, ("y",))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a training run leaves, without the training; its rows are cut to four tokens."""
    folder, graph = tmp_path_factory.mktemp("decoder") / "run", model()
    folder.mkdir()
    bundle.write(graph, folder / files.MODEL)
    READ.save(folder / "source_vocabulary.json")
    WRITTEN.save(folder / "target_vocabulary.json")
    recipe = {**RECIPES["dates"].to_json(), "max_length": 4}
    files.write_description(folder, files.describe("torch", recipe, {"labels": []}, graph.digest()))
    return folder


@pytest.fixture(scope="module")
def written(run: Path) -> Path:
    folder = run.with_name("decoder")
    result = biport("export", run, "--decoder", "-o", folder)
    assert result.exit_code == 0, result.output
    assert "written greedily beside the oracle: 12 of 12 rows equal, scores at most" in result.stdout
    return folder


def wanted(texts: list[str], longest: int = 6) -> list[str]:
    translate = Translator(reference_stepper(split(model())), READ, WRITTEN, max_length=longest, max_source=4)
    return [one.text for one in translate(texts)]


def test_a_decoder_writes_what_the_model_does(run: Path, written: Path, tmp_path: Path) -> None:
    lines = wanted(TEXTS)
    assert len(set(lines)) > 3
    for folder in (run, written):
        result = biport("translate", folder, *TEXTS, "--max-length", 6)
        assert result.stdout.split("\n") == [*lines, ""]
        assert result.stderr.startswith("5 texts, 1 with unknown tokens")
        assert "1 of a source that was cut" in result.stderr
    (tmp_path / "in.tsv").write_text("".join(f"{text}\tx\n" for text in TEXTS if text))
    result = biport(
        "translate", written, "--input", tmp_path / "in.tsv", "-o", tmp_path / "o.tsv", "--max-length", 6
    )
    assert "o.tsv: 4 translations" in result.stdout
    pairs = [(text, line) for text, line in zip(TEXTS, lines, strict=True) if text]
    assert (tmp_path / "o.tsv").read_text() == "".join(f"{text}\t{line}\n" for text, line in pairs)
    with (tmp_path / "in.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("id", "text", "score"), *((n, text, "s") for n, text in enumerate(TEXTS))]
        )
    result = biport(
        "translate", written, "--input", tmp_path / "in.csv", "-o", tmp_path / "o.csv", "--max-length", 6
    )
    with (tmp_path / "o.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], row["source"], row["translation"]) for row in rows] == [
        (str(n), *pair) for n, pair in enumerate(zip(TEXTS, lines, strict=True))
    ]
    assert {row["input_score"] for row in rows} == {"s"}
    assert rows[2]["unknown"] == '["?"]'
    result = biport(
        "translate", written, "--input", "-", "--format", "txt", "--max-length", 6, stdin="d\na b c\n"
    )
    assert result.stdout.splitlines() == [lines[4], lines[0]]


def test_what_differs_is_not_kept(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sabotaged: Callable[[Any], Any] = lambda _: reference_stepper(split(model(4)))  # noqa: E731
    with monkeypatch.context() as patched:
        patched.setattr(decoder, "reference_stepper", sabotaged)
        result = biport("export", run, "--decoder", "-o", tmp_path / "d")
    assert result.exit_code == 1
    assert "d was not kept: it differs from the model" in result.stderr
    # Of the same tokens the scores count.
    graph = model()
    parts = split(graph)
    head = parts.step["y"].op
    assert isinstance(head, ops.Dense)
    assert head.bias is not None
    op = dataclasses.replace(head, bias=head.bias * np.float32(1.01))
    nodes = tuple(dataclasses.replace(node, op=op) if node.name == "y" else node for node in parts.step.nodes)
    near = dataclasses.replace(parts, step=dataclasses.replace(parts.step, nodes=nodes))
    with monkeypatch.context() as patched:
        patched.setattr(decoder, "reference_stepper", lambda _: reference_stepper(near))
        result = biport("export", run, "--decoder", "-o", tmp_path / "d")
    assert result.exit_code == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.sweep
def test_a_model_and_vocabularies_of_ones_own(tmp_path: Path) -> None:
    """Keras' tokenisers, whose targets begin and end with words of their own."""
    graph = model()
    bundle.write(graph, tmp_path / "model")
    result = biport("export", tmp_path / "model", "--decoder", "-o", tmp_path / "bare")
    assert result.exit_code == 0, result.output
    assert "note: no source_vocabulary.json and target_vocabulary.json travel with it" in result.stdout
    sources, targets = ("a b c d e f g", "startseq v w x y z endseq")
    for name, text in (("source", sources), ("target", targets)):
        known = {word: number for number, word in enumerate(text.split(), 1)}
        config = {"word_index": json.dumps(known), "num_words": None, "filters": ".", "lower": True}
        config |= {"split": " ", "char_level": False, "oov_token": None, "document_count": 1}
        for key in ("word_counts", "word_docs", "index_docs", "index_word"):
            config[key] = "{}"
        config["word_counts"] = json.dumps(dict.fromkeys(known, 1))
        config["index_word"] = json.dumps({number: word for word, number in known.items()})
        (tmp_path / f"{name}.json").write_text(json.dumps({"class_name": "Tokenizer", "config": config}))
    both = [f"--source-vocabulary {tmp_path}/source.json", f"--target-vocabulary {tmp_path}/target.json"]
    arguments = " ".join(both).split()
    source = Tokenizer(tuple("abcdefg"), first_id=1, standardize="lower", unknown_id=None, unknown="drop")
    target = Tokenizer(("startseq", *"vwxyz", "endseq"), first_id=1, start=1, end=7)
    translate = Translator(reference_stepper(split(graph)), source, target, max_length=6)
    lines = [one.text for one in translate(TEXTS)]
    assert len(set(lines)) > 3
    result = biport("translate", tmp_path / "bare", *TEXTS, *arguments, "--max-length", 6)
    assert result.stdout.split("\n") == [*lines, ""], result.output
    result = biport("export", tmp_path / "model", "--decoder", "-o", tmp_path / "whole", *arguments)
    assert result.exit_code == 0, result.output
    assert biport("translate", tmp_path / "whole", *TEXTS, "--max-length", 6).stdout.split("\n") == [
        *lines,
        "",
    ]
    for more, message in (
        ([tmp_path / "bare", "a"], "no vocabularies travel with it; give --source-vocabulary FILE"),
        ([tmp_path / "bare", "a", *arguments[:2]], "give both vocabularies, also --target-vocabulary FILE"),
        ([tmp_path / "bare", "a", *arguments, "--end", "q"], "--end q: is not in the target's vocabulary"),
        ([tmp_path / "bare", "a", "--start", "q"], "are of a target's vocabulary"),
        ([tmp_path / "whole", "a", "--form", "torch"], "is in ONNX"),
        ([tmp_path, "a"], "expected a decoder, or a training run of seq2seq, found a folder of other"),
        ([tmp_path / "none", "a"], "found nothing"),
        ([tmp_path / "whole"], "give texts, or a file"),
        ([tmp_path / "whole", "a", "--text", "x"], "of a file of texts alone"),
        ([tmp_path / "whole", "a", "-o", tmp_path / "o.doc"], "files that end in .tsv"),
        ([tmp_path / "whole", "a", "-o", tmp_path / "source.json"], "files that end in .tsv"),
    ):
        result = biport("translate", *more)
        assert (result.exit_code, message in " ".join(result.stderr.split())) == (2, True), result.output
    for more, code in (
        ([tmp_path / "model", "-o", tmp_path / "d", "--start", "x"], 2),
        ([tmp_path / "model", "--decoder"], 2),
        ([tmp_path / "model", "--decoder", "-o", tmp_path / "d.onnx"], 2),
        ([tmp_path / "model", "--decoder", "-o", tmp_path / "d", "--int8"], 2),
        ([tmp_path / "model", "--decoder", "-o", tmp_path / "bare"], 2),
        ([tmp_path / "model", "--decoder", "-o", tmp_path / "bare", "--force"], 0),
    ):
        assert biport("export", *more).exit_code == code
