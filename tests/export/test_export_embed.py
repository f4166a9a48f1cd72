"""Tokenisers in the ONNX graph: the ids of `biport.text.Tokenizer`, whatever the strings, or an error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir
import pytest

import export
from biport import ops, verify
from biport.app.check import check_model
from biport.data import Vocabulary
from biport.errors import InputError, RowError, UnsupportedError
from biport.graph import Graph, Node, Value
from biport.text import Tokenizer
from biport.text.characters import refused
from biport.text.samples import ODD
from biport.text.standardize import PUNCTUATION
from export.text.plan import plan_of

TOKENS = (
    *(
        "good",
        "bad",
        "movie",
        "good movie",
        "\u00e9",
        "\u0130",
        "x\u00a0y",
        "[UNK]",
        "a b c",
        "dont",
        "gooda",
    ),
    *("don't", "'", "!", "!!", "?!", "\u201c", "a", "b", "c"),
)
PIECES = [
    *" \t\n\r\x0b\x0c\x1c\x1f\u00a0\u2003\x85.,'\u2019\u00c9\u00dfA\u00e9\u201c\u201d\u2014_-!?$\u0130\u03a3",
    *("\x00", "\u0301", "\u4e2d", "good", "bad", "movie", "don't", "Don't", "''", "[UNK]", "a b c", "<pad>"),
    *("!!", "x", "GOOD", "\u1100", "\u1161", "\ud55c"),
]
TEXTS = [
    *ODD,
    *(f"go{mark}od" for mark in PUNCTUATION),
    *("Good movie, GOOD\tmovie!", "don't g.o.o.d!!a", " ", "...", "a b c d a b c", "\0good\0", "movie " * 70),
    *(
        "'tis the dogs' 'a' a''b a'''b a'b'c'",
        "don\u2019t \u201cgood\u201d\u2014bad\u2026",
        "caf\u00e9 na\u00efve",
    ),
]
KERAS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'
"""What Keras' Tokenizer filters."""
OF_KERAS: dict[str, Any] = {
    "standardize": "unicode_lower",
    "split": "separator",
    "filters": KERAS,
    "mask_token": None,
    "unknown_id": None,
    "unknown": "drop",
    "first_id": 1,
    "padding": "pre",
    "truncating": "pre",
}
OF_WORDS: dict[str, Any] = {"standardize": "none", "split": "words", "mask_token": None}
OF_MARKS: dict[str, Any] = {"standardize": "none", "split": "words_and_marks"}
SAMPLE: list[dict[str, Any]] = [
    {"ngrams": (2, 1), "length": 5, "padding_id": 13},
    OF_KERAS | {"length": 6},
    OF_WORDS | {"start": 30, "end": 31, "padding": "pre", "truncating": "pre", "max_length": 4},
]
SETTINGS: list[dict[str, Any]] = [
    {},
    {"standardize": "none", "length": 1},
    {"standardize": "lower", "ngrams": (3,)},
    {"standardize": "strip_punctuation", "ngrams": (1, 2)},
    {"padding": "pre"},
    {"length": 6, "padding": "pre", "truncating": "pre"},
    {"length": 3, "truncating": "pre"},
    {"length": 3, "padding": "pre"},
    {"start": 30, "end": 31, "length": 5},
    {"start": 30, "max_length": 2},
    {"end": 31, "max_length": 2, "length": 4},
    {"ids": tuple(range(50, 50 + len(TOKENS)))},
    {"unknown_id": None, "unknown": "drop", "ngrams": (1, 2), "length": 7, "padding": "pre"},
    {"standardize": "none", "split": "separator", "filters": KERAS},
    {"standardize": "none", "split": "separator", "separator": "oo"},
    {"split": "separator", "separator": "-", "filters": "!x\u00e9Q"},
    {"standardize": "lower", "split": "separator", "filters": "ABx"},
    {"standardize": "none", "split": "whitespace", "filters": "\u201c\u2014.", "separator": "\t"},
    {"standardize": "lower", "split": "unicode_whitespace"},
    {"standardize": "lower", "split": "white_space_property"},
    {"standardize": "lower", "split": "whitespace", "added": ("[UNK]", "a b c")},
    OF_KERAS,
    OF_WORDS,
    OF_WORDS | {"normalizers": ("nfkc",)},
    OF_MARKS | {"normalizers": ("nfc", "lower")},
    OF_MARKS | {"normalizers": ("nfd", "lower", "strip_accents"), "added": ("[UNK]", "good movie")},
]


def ids_out(tokenizer: Tokenizer, shape: tuple, dtype: str = "int64", **others: Tokenizer) -> Graph:
    """A model that gives its ids, as floats ``(..., 1)``."""
    K = tokenizer.largest_id + 1
    table = ops.Embedding(num_embeddings=K, embedding_dim=1, weight=np.arange(K, dtype="float32")[:, None])
    inputs = (Value("text", shape, dtype), *(Value(name, ("N", f"T_{name}"), "int64") for name in others))
    nodes = tuple(Node(f"y_{value.name}", table, (value.name,)) for value in inputs)
    outputs = tuple(node.name for node in nodes)
    return Graph(inputs, nodes, outputs, {}, {"text": tokenizer, **others})


def embedded(graph: Graph, path: Path, **options: Any) -> export.Session:
    export.write(graph, path, embed_tokenizer=True, vectors=False, **options)
    return export.Session(path, device="cpu", threads=1)


def texts_of(tokenizer: Tokenizer) -> tuple[list[str], list[str]]:
    """Hostile texts that a file takes, and those that it refuses."""
    rng = np.random.default_rng(0)
    texts = [*TEXTS, *("".join(rng.choice(PIECES, rng.integers(0, 20))) for _ in range(200))]
    characters = plan_of(tokenizer, "text", True).characters
    if characters is None:
        return texts, []
    wrong = [text for text in texts if any(refused(characters, text))]
    return [text for text in texts if text not in wrong], wrong


@pytest.mark.parametrize(
    "settings", [*SAMPLE, *(pytest.param(one, marks=pytest.mark.sweep) for one in SETTINGS)], ids=str
)
def test_ids_of_texts(settings: dict[str, Any], tmp_path: Path) -> None:
    tokenizer = Tokenizer(TOKENS, **settings)
    graph = ids_out(tokenizer, ("N", tokenizer.length or "T"), "int32")
    session = embedded(graph, tmp_path / "m.onnx", refuse_characters=True)
    texts, wrong = texts_of(tokenizer)
    assert len(texts) > 60
    for batch in (texts, [], [""], ["", ""], ["", " \v"], ["good"], texts[20:23]):
        (ids,) = session.run([np.array(batch, object)])
        np.testing.assert_array_equal(ids[..., 0], tokenizer.encode_batch(batch))
    for text in wrong:
        with pytest.raises(InputError, match="no tables for"):
            session.run([np.array(["good", text], object)])


@pytest.mark.parametrize(
    "settings, shape, tokens",
    [
        ({"ngrams": (2, 1), "length": 4}, ("N", 4), [["Good", "movie", "!", ""], ["a", "B", "c", "."]]),
        pytest.param(
            {"standardize": "none", "mask_token": "mask"},
            ("N",),
            ["good", "mask", ""],
            marks=pytest.mark.sweep,
        ),
        pytest.param({"standardize": "none"}, ("N", "T"), [["good", "bad", ""]], marks=pytest.mark.sweep),
    ],
)
def test_ids_of_tokens(settings: dict, shape: tuple, tokens: list, tmp_path: Path) -> None:
    tokenizer = Tokenizer(TOKENS, split="none", **settings)
    session = embedded(ids_out(tokenizer, shape), tmp_path / "m.onnx")
    array = np.array(tokens, object)
    for given in (array, array[:0]):
        (ids,) = session.run([given])
        np.testing.assert_array_equal(ids[..., 0], tokenizer.encode_batch(given))


@pytest.mark.sweep
def test_one_input_of_texts_for_two_of_ids(tmp_path: Path) -> None:
    """And the file proves itself on texts; without the tokenisers in it, it carries them."""
    wide = Tokenizer(("a", "b"), ngrams=(1, 2), source="text", length=9)
    graph = ids_out(Tokenizer(TOKENS, length=8), ("N", 8), again=wide)
    export.write(graph, tmp_path / "texts.onnx", embed_tokenizer=True)
    export.write(graph, tmp_path / "ids.onnx")
    texts, ids = (export.Session(tmp_path / name) for name in ("texts.onnx", "ids.onnx"))
    assert [value.name for value in texts.input_values] == ["text"]
    assert ids.tokenizers == graph.tokenizers
    for one, two in zip(texts.run([TEXTS]), ids.run({"text": TEXTS}), strict=True):
        np.testing.assert_array_equal(one, two)
    assert verify(graph, texts).ok
    other = ids_out(Tokenizer(TOKENS[::-1], length=8), ("N", 8), again=wide)
    assert verify(other, texts).ok is False


def test_a_corpus_of_texts(tmp_path: Path) -> None:
    """Rows of other lengths do not meet where the model sees padding; steps are those of its tokens."""
    graph = ids_out(Tokenizer(TOKENS), ("N", "T"))
    export.write(graph, tmp_path / "ids.onnx", vectors=False)
    session = embedded(graph, tmp_path / "texts.onnx")
    rows = ["good movie", "bad ...", "u v w y z", "..."]
    expected = [[[2.0], [4.0]], [[3.0]], [[1.0]] * 5]
    for predicted in (session.predict(rows[:3]), export.Session(tmp_path / "ids.onnx").predict(rows[:3])):
        assert [steps.tolist() for (steps,) in predicted] == expected


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"split": "character"}, "split='character' is not supported; supported: a split at separators"),
        ({"standardize": "unicode_lower"}, r"standardize='unicode_lower' .*--refuse-characters"),
        ({"normalizers": ("nfc",)}, "normalizers='nfc'"),
        (OF_WORDS, "split='words'"),
        ({"filters": "!", "separator": "_"}, "separator='_'"),
        ({"filters": "!", "split": "separator", "separator": "ab"}, "one of a single character"),
        ({"filters": "!", "split": "none"}, "filters='!'"),
        (OF_WORDS | {"filters": "x"}, "marks and blanks"),
        ({"added": ("good", "good movie")}, "added='good'"),
        ({"added": ("gooda", "a b c")}, "added='gooda'"),
    ],
    ids=str,
)
def test_what_onnx_has_no_operators_for(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        plan_of(Tokenizer(TOKENS, **settings), "text", False)


def test_an_unknown_token_is_an_error_where_it_is_one(tmp_path: Path) -> None:
    tokenizer = Tokenizer(("good", "bad"), unknown_id=None)
    session = embedded(ids_out(tokenizer, ("N", "T")), tmp_path / "m.onnx")
    assert session.run([np.array(["bad good", ""])])[0].tolist() == [[[3.0], [2.0]], [[0.0], [0.0]]]
    with pytest.raises(InputError, match="'ugly' is not in the vocabulary"):
        session.run([np.array(["bad", "good ugly"])])


def test_a_file_that_refuses_characters(tmp_path: Path) -> None:
    """It proves itself on texts that it takes, names what it does not, and says so when it is written."""
    graph = ids_out(Tokenizer(TOKENS, **OF_KERAS), ("N", "T"))
    written = export.write(graph, tmp_path / "m.onnx", embed_tokenizer=True, refuse_characters=True)
    assert any("'text'" in note and "error" in note for note in written.notes)
    session = export.Session(tmp_path / "m.onnx", device="cpu")
    assert verify(graph, session).ok
    assert check_model(tmp_path / "m.onnx").report.ok
    with pytest.raises(InputError, match=r"'\xc9' .*'Caf\xc9'"):
        session.run([["good", "Caf\u00c9"]])
    with pytest.raises(RowError, match="row 2"):
        list(session.predict(["good", "Caf\u00c9"]))


def test_a_file_of_an_earlier_version(tmp_path: Path) -> None:
    """It has a vocabulary's words divided at blanks in it, and says so in other words."""
    words = Tokenizer(
        *(("good", "film"), 2, "lower", "separator"), filters="\t\n\r", mask_token=None, source="texts"
    )
    graph = ids_out(Tokenizer(("good", "film")), ("N", "T"))
    graph = Graph(graph.inputs, graph.nodes, graph.outputs, {}, {"text": words})
    export.write(graph, tmp_path / "m.onnx", embed_tokenizer=True, vectors=False)
    model = onnx_ir.load(tmp_path / "m.onnx")
    for name in ("biport.tokenizers", "biport.unsaid"):
        model.metadata_props.pop(name, None)
    vocabulary = Vocabulary(("<pad>", "<unk>", "good", "film"))
    model.metadata_props["biport.vocabulary"] = json.dumps(vocabulary.to_data())
    model.metadata_props["biport.tokenizer"] = "whitespace"
    onnx_ir.save(model, tmp_path / "old.onnx")
    session = export.Session(tmp_path / "old.onnx", device="cpu")
    assert [row.tolist() for (row,) in session.predict(["Good film!", "a FILM\tgood"])] == [
        *([[2.0], [1.0]], [[1.0], [3.0], [2.0]])
    ]


@pytest.mark.filterwarnings("ignore:.*may see padding")
def test_a_model_that_needs_several_tokens(tmp_path: Path) -> None:
    """It opens, gives what the model of ids gives, and refuses a text of too few."""
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(2, 1, 3)).astype("float32")
    graph = ids_out(Tokenizer(TOKENS, **OF_KERAS), ("N", "T"))
    conv = ops.Conv1D(
        input_size=1,
        output_size=2,
        kernel_size=(3,),
        padding="valid",
        weight=kernel,
        bias=np.ones(2, "float32"),
    )
    nodes = (*graph.nodes, Node("conv", conv, ("y_text",)))
    graph = Graph(graph.inputs, nodes, ("conv",), {}, graph.tokenizers)
    session = embedded(graph, tmp_path / "m.onnx", refuse_characters=True)
    export.write(graph, tmp_path / "ids.onnx", vectors=False)
    ids = graph.tokenizers["text"].encode_batch(["good bad movie a"])
    (wanted,) = export.Session(tmp_path / "ids.onnx", device="cpu").run([ids])
    np.testing.assert_array_equal(session.run([["good bad movie a"]])[0], wanted)
    with pytest.raises(InputError, match="the texts have 1 tokens, and the model needs 3 or more"):
        session.run([["good"]])
