"""A label for each token that the tokeniser really gave the model, and none for padding."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import export
from biport import ops, reference
from biport.data import Vocabulary
from biport.graph import Graph, Value
from biport.text import Tokenizer
from export.corpus.scoring import score
from export.corpus.tags import tags
from testing.onnx_graphs import H, I, array, bidirectional, chain

WORDS = Vocabulary(("<pad>", "<unk>", "good", "film", "not", "!", "bad", "the"))
LABELS = ("O", "LOC", "PER")
TEXTS = ["Good film!", "", "the GOOD, the bad, the film", "what?", " not\u00a0bad "]


def tagger(masked: bool = True, steps: Any = "T") -> Graph:
    rng = np.random.default_rng(5)
    weights: dict[str, Any] = {"weight": 3 * array(rng, 3, 2 * H), "bias": array(rng, 3)}
    head = ops.Dense(input_size=2 * H, output_size=3, activation="softmax", **weights)
    graph = chain(rng, bidirectional(rng, I, H, sequences=True), head, masked=masked)
    return Graph((Value("ids", ("N", steps), "int32"),), graph.nodes, ("layer_2",))


def wanted(graph: Graph, rows: list[list[int]]) -> list[list[str]]:
    """The label of each step of each row, by the oracle, run by itself."""
    every = [reference.run(graph, [np.array([row], "int32")])[0][0] for row in rows]
    return [[LABELS[step.argmax()] for step in row] for row in every]


def tagged(session: export.Session, texts: list[str], **options: Any) -> list[list[tuple[str | None, str]]]:
    results = session.predict_each(texts, **options)
    return [
        [(one.token, one.label) for one in tags(session, text, result)]
        for text, result in zip(texts, results, strict=True)
    ]


def opened(graph: Graph, folder: Path, **options: Any) -> export.Session:
    export.write(graph, folder / "m.onnx", labels=LABELS, overwrite=True, **options)
    return export.Session(folder / "m.onnx", device="cpu", threads=1)


@pytest.mark.filterwarnings("ignore:.*may see padding")
@pytest.mark.parametrize("masked", [True, False])
def test_every_token_has_the_label_of_its_step(masked: bool, tmp_path: Path) -> None:
    graph = tagger(masked)
    session = opened(graph, tmp_path, vocabulary=WORDS)
    tokens = [WORDS.split(text) for text in TEXTS]
    labels = wanted(graph, [WORDS.encode(text) or [0] for text in TEXTS])
    labels[1] = []
    assert tagged(session, TEXTS) == [[*zip(*pair, strict=True)] for pair in zip(tokens, labels, strict=True)]
    assert len({label for row in labels for label in row}) == 3


def test_of_fixed_length_what_is_cut_has_none_and_neither_has_padding(tmp_path: Path) -> None:
    graph = tagger(masked=True, steps=4)
    session = opened(graph, tmp_path, vocabulary=WORDS)
    ids = [(WORDS.encode(text) + [0] * 4)[:4] for text in TEXTS]
    rows = [WORDS.split(text)[:4] for text in TEXTS]
    labels = wanted(graph, ids)
    assert tagged(session, TEXTS, truncate=True) == [
        [*zip(row, of, strict=False)] for row, of in zip(rows, labels, strict=True)
    ]


def test_the_end_that_a_tokeniser_cuts_is_the_one_that_is_cut(tmp_path: Path) -> None:
    graph = tagger(masked=True, steps=4)
    session = opened(graph, tmp_path, vocabulary=WORDS)
    session.tokenizer = dataclasses.replace(WORDS.tokenizer(), truncating="pre")
    text = "good film the bad ! not"
    (labels,) = wanted(graph, [[7, 6, 5, 4]])
    assert tagged(session, [text], truncate=True) == [[*zip(("the", "bad", "!", "not"), labels, strict=True)]]
    assert [row.cut for row in session.predict_each([text], truncate=True)] == [2]
    assert session.steps(text) == text.split()


@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize("unknown", ["error", "drop"])
def test_tokens_are_those_of_the_models_own_tokeniser(padding: Any, unknown: Any, tmp_path: Path) -> None:
    tokenizer = Tokenizer(
        WORDS.tokens[2:],
        length=5,
        padding=padding,
        truncating=padding,
        unknown_id=None if unknown == "drop" else 1,
        unknown=unknown,
    )
    graph = dataclasses.replace(tagger(masked=False, steps=5), tokenizers={"ids": tokenizer})
    session = opened(graph, tmp_path)
    every = tagged(session, TEXTS)
    for text, row in zip(TEXTS, every, strict=True):
        tokens = [
            token for token in tokenizer.split_text(text) if unknown == "error" or token in tokenizer.tokens
        ]
        assert [token for token, _ in row] == (tokens[-5:] if padding == "pre" else tokens[:5])
        (labels,) = wanted(graph, [tokenizer.encode(text)])
        shown = labels[5 - len(row) :] if padding == "pre" else labels[: len(row)]
        assert [label for _, label in row] == shown


def test_a_file_that_makes_tokens_itself(tmp_path: Path) -> None:
    graph = tagger()
    how = {"embed_tokenizer": True, "refuse_characters": True}
    session = opened(graph, tmp_path, vocabulary=WORDS, **how)
    assert tagged(session, ["good  film\tthe", ""]) == [
        [*zip(("good", "film", "the"), wanted(graph, [[2, 3, 7]])[0], strict=True)],
        [],
    ]


@pytest.mark.filterwarnings("ignore:.*may see padding")
def test_steps_that_are_no_tokens_have_labels_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    cut: dict[str, Any] = {"weight": array(rng, H, I, 3), "bias": array(rng, H)}
    head: dict[str, Any] = {"weight": array(rng, 3, H), "bias": array(rng, 3)}
    graph = chain(
        rng,
        ops.Conv1D(input_size=I, output_size=H, kernel_size=(3,), padding="valid", **cut),
        ops.Dense(input_size=H, output_size=3, activation="softmax", **head),
        masked=False,
    )
    graph = Graph(graph.inputs, graph.nodes, ("layer_2",))
    session = opened(graph, tmp_path, vocabulary=WORDS)
    (labels,) = wanted(graph, [[2, 3, 4, 5]])
    assert tagged(session, ["good film not !"]) == [[(None, label) for label in labels]]


def test_tags_in_files(tmp_path: Path) -> None:
    session = opened(tagger(), tmp_path, vocabulary=WORDS)
    source = tmp_path / "in.txt"
    source.write_text("".join(f"{text}\n" for text in TEXTS))
    for name in ("o.jsonl", "o.csv"):
        score(session, source, tmp_path / name)
    lines = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    every = tagged(session, TEXTS)
    assert [[(one["token"], one["label"]) for one in row["tokens"]] for row in lines] == every
    assert all(row["outputs"]["layer_2"] for row in lines)
    with (tmp_path / "o.csv").open(newline="") as file:
        table = [{name: json.loads(value) for name, value in row.items()} for row in csv.DictReader(file)]
    assert [[*zip(row["tokens"], row["labels"], strict=True)] for row in table] == every
    for row, line in zip(table, lines, strict=True):
        assert row["probabilities"] == [one["probability"] for one in line["tokens"]]
