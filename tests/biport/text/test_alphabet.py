"""What the classes of a CTC model are called: read, checked against the model, and stored with it."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biport import bundle, ops
from biport.analysis.text_model import with_alphabet
from biport.errors import FileError, GraphError, InputError, UnsupportedError
from biport.graph import Graph, Node, Value
from biport.rewrite.simplify import simplify
from biport.text import Tokenizer, alphabet
from biport.text.alphabet import Alphabet, blank_of, read_characters


def graph(*layers: ops.Op, shape: tuple[Any, ...] = ("N", "T", 3)) -> Graph:
    names = ["x", *(f"layer_{number}" for number in range(len(layers)))]
    nodes = [Node(name, op, (before,)) for before, name, op in zip(names, names[1:], layers, strict=False)]
    return Graph((Value("x", shape, "float32"),), tuple(nodes), (names[-1],))


def dense(activation: str = "linear") -> ops.Dense:
    weight = np.eye(3, dtype="float32")
    return ops.Dense(input_size=3, output_size=3, activation=activation, weight=weight, bias=None)


@pytest.mark.parametrize("blank", [0, 1, 3])
def test_texts_are_spelled_around_the_blank(blank: int) -> None:
    given = Alphabet(("a", "[UNK]", "c"), blank)
    assert given.size == 4
    assert given.spell([label for label in (3, 2, 1, 0) if label != blank]) == "c[UNK]a"


@pytest.mark.parametrize(
    ("content", "name", "wanted"),
    [
        ("a\n \nb\r\n\t\n", "c.txt", ("a", " ", "b", "\t")),
        ("\ufeffé\n[UNK]", "c.txt", ("é", "[UNK]")),
        ('["[UNK]", "a", "\\n"]', "c.json", ("[UNK]", "a", "\n")),
    ],
)
def test_files_of_characters(content: str, name: str, wanted: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8", newline="")
    assert read_characters(path) == read_characters(str(path)) == wanted


def test_characters_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"a": 1}')
    (tmp_path / "d.txt").write_bytes(b"\xff")
    for path, why in (("c.json", "a list of texts"), ("d.txt", "cannot be read"), ("e.txt", "no such file")):
        with pytest.raises(FileError, match=why):
            read_characters(str(tmp_path / path))
    with pytest.raises(InputError, match="none empty"):
        Alphabet(("a", ""), 0)
    with pytest.raises(InputError, match="one of 2 classes"):
        Alphabet(("a",), 2)
    for given in ("middle", "-1", "1.0"):
        with pytest.raises(InputError, match="last, first, or the number"):
            blank_of(given, "ab")


@pytest.mark.parametrize(
    ("layers", "scores"),
    [
        ([dense()], "logits"),
        ([dense("softmax")], "probabilities"),
        ([ops.TimeDistributed(layer=dense("log_softmax"))], "log_probabilities"),
        ([dense(), ops.Softmax(axis=2)], "probabilities"),
        ([dense(), ops.LogSoftmax(axis=2), ops.PermuteDims(axes=(1, 0, 2))], "log_probabilities"),
        ([dense("softmax"), ops.Dropout(rate=0.5), ops.PermuteDims(axes=(1, 0, 2))], "probabilities"),
    ],
)
def test_what_its_numbers_are_is_seen_from_the_model(layers: list[ops.Op], scores: str) -> None:
    given = with_alphabet(graph(*layers), "ab", 2)
    assert given.alphabet == Alphabet(("a", "b"), 2, scores)  # type: ignore[arg-type]
    assert given == graph(*layers)


@pytest.mark.parametrize(
    ("layers", "shape", "error", "why"),
    [
        ([dense("relu")], ("N", "T", 3), UnsupportedError, "activation='relu'"),
        ([ops.Softmax(axis=1)], ("N", "T", 3), UnsupportedError, "Softmax"),
        ([dense("softmax"), ops.PermuteDims(axes=(0, 2, 1))], ("N", 3, 3), UnsupportedError, "PermuteDims"),
        ([dense("softmax")], ("N", 3), UnsupportedError, r"a sequence of CTC, \(N, T, C\)"),
        ([dense("softmax")], ("N", 4, "T", 3), UnsupportedError, "a sequence of CTC"),
    ],
)
def test_outputs_that_are_no_sequences_of_ctc_are_refused(layers, shape, error, why) -> None:
    with pytest.raises(error, match=why):
        with_alphabet(graph(*layers, shape=shape), "ab", 0)


def test_the_count_is_checked_wherever_there_is_a_graph() -> None:
    given = graph(dense("softmax"))
    with pytest.raises(InputError, match=r"3 classes, one of them the blank: .* should be 2, found 3, 'abc'"):
        with_alphabet(given, "abc", 0)
    with pytest.raises(GraphError, match="the labels of 4 classes"):
        dataclasses.replace(given, alphabet=Alphabet(("a", "b", "c"), 0))
    assert with_alphabet(graph(dense("relu")), "ab", 0, "logits").alphabet == Alphabet(
        ("a", "b"), 0, "logits"
    )


def test_it_travels_in_bundles_and_through_what_is_done_to_a_graph(tmp_path: Path) -> None:
    given = with_alphabet(graph(dense("softmax")), ["é", "[UNK]"], 0)
    assert simplify(given).alphabet == given.astype("float64").alphabet == given.at({"T": 4}).alphabet
    assert simplify(given).alphabet == given.alphabet
    folder = bundle.write(given, tmp_path / "model")
    assert bundle.read(folder).alphabet == given.alphabet
    bundle.write(given, folder, overwrite=True)
    for data in (
        {"characters": ["a"], "blank": 0},
        {"characters": ["a"], "blank": 7, "scores": "logits"},
        [],
    ):
        (folder / bundle.ALPHABET).write_text(json.dumps(data))
        with pytest.raises(FileError, match=r"model.*(describe the labels|one of 2 classes)"):
            bundle.read(folder)
    (folder / bundle.ALPHABET).write_text(json.dumps(alphabet.to_data(Alphabet(("a",), 0))))
    with pytest.raises(FileError, match="the labels of 2 classes"):
        bundle.read(folder)


def test_a_tokeniser_stays_where_the_step_of_a_scan_is_said_by_layers() -> None:
    from biport.graph import scan_over

    step = Graph(
        (Value("x", ("N", 2), "float32"), Value("total", ("N", 2), "float32")),
        (Node("sum", ops.Add(), ("x", "total")),),
        ("sum", "sum"),
    )
    table = ops.Embedding(num_embeddings=3, embedding_dim=2, weight=np.ones((3, 2), "float32"))
    nodes = (Node("v", table, ("ids",)), Node("y", scan_over(step, 1, return_sequences=True), ("v",)))
    tokenizers = {"ids": Tokenizer(("good",))}
    given = Graph((Value("ids", ("N", "T"), "int32"),), nodes, ("y",), tokenizers=tokenizers)
    assert simplify(given).tokenizers == tokenizers
