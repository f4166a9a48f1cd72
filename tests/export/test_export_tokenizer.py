"""The tokeniser in the graph: the ids of `whitespace_ids`, whatever the strings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

import export
from biport import ops
from biport.data import Vocabulary
from biport.data.vocabulary import tokenize
from biport.data.whitespace import whitespace_ids, whitespace_tokens
from biport.errors import InputError, UnsupportedError
from biport.graph import Graph, Node, Value
from export.deploy.tokenizer_check import same_numbers
from testing.onnx_graphs import H, I, bidirectional, chain, lstm

WORDS = Vocabulary(
    ("<pad>", "<unk>", "good", "film", "a", "don't", "日本", "é", "É", "x\u00a0y", "good.", "ß")
)
ODD = [
    *("", " ", "   ", "\t", "\n\n", " \r\n\t "),
    *("good film", "  good   film  ", "good\tfilm\ngood\r\nfilm", "GOOD Film A", "good. Good ."),
    *(
        "<pad> good <unk> <PAD>",
        "never heard",
        "日本 日本語",
        "é É e\u0301 ẞ ß İ",
        "x\u00a0y x\u2003y",
        "DON'T don\u2019t",
    ),
    *("a\x0bfilm a\x0cfilm a\x1cfilm a\u0085film", "\u200bgood", "\U0001f600 good", "a" * 5000, "a " * 400),
]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.fixture
def graph(rng) -> Graph:
    return chain(rng, bidirectional(rng, I, H, sequences=True), lstm(rng, 2 * H, 2))


@pytest.fixture
def pair(graph, tmp_path) -> tuple[export.Session, export.Session]:
    """The model over texts, and over ids."""
    one, two = tmp_path / "texts.onnx", tmp_path / "ids.onnx"
    written = export.write(graph, one, vocabulary=WORDS, embed_tokenizer=True)
    assert written.opset == 20
    export.write(graph, two, vocabulary=WORDS)
    return export.Session(one, device="cpu", threads=1), export.Session(two, device="cpu", threads=1)


def ids_of(texts: list[str]) -> np.ndarray:
    rows = [whitespace_ids(WORDS, text) for text in texts]
    table = np.zeros((len(rows), max(map(len, rows), default=1)), "int32")
    for line, row in zip(table, rows, strict=True):
        line[: len(row)] = row
    return table


def test_the_tokeniser_in_python() -> None:
    assert whitespace_tokens(" Good\t film.\r\n\nÉ\u00a0A ") == ["good", "film.", "É\u00a0a"]
    assert whitespace_ids(WORDS, "GOOD <pad> <unk> film nothing") == [2, 1, 1, 3, 1]
    assert whitespace_ids(WORDS, " \n") == [1]
    # Where it differs from the one for words, as its docstring says.
    assert tokenize("good. É\u00a0a") == ["good", ".", "é", "a"]
    assert whitespace_tokens("good. É\u00a0a") == ["good.", "É\u00a0a"]


def ids_inside(path: Path, texts: list[str]) -> np.ndarray:
    """What the nodes of the tokeniser make of the texts, before the model."""
    import onnxruntime

    model = onnx.load(path)
    # The last node of the tokeniser is the cast to what the model takes.
    last = [node for node in model.graph.node if node.name.startswith("tokenizer/")][-1]
    del model.graph.output[:]
    model.graph.output.append(
        onnx.helper.make_tensor_value_info(last.output[0], onnx.TensorProto.INT32, None)
    )
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"texts": np.array(texts, object)})[0])


def test_ids_of_odd_strings(pair, rng):
    path = pair[0].path
    np.testing.assert_array_equal(ids_inside(path, ODD), ids_of(ODD))
    for text in ODD:
        np.testing.assert_array_equal(ids_inside(path, [text]), ids_of([text]))
    pieces = [*" \t\n\r\x0b\u00a0.,'ÉßA", "good", "film", "日本", "<pad>", "don't"]
    for count in (0, 1, 2, 300):
        texts = ["".join(rng.choice(pieces, rng.integers(0, 20))) for _ in range(count)]
        np.testing.assert_array_equal(ids_inside(path, texts), ids_of(texts))


def test_a_session_over_strings(pair):
    one, two = pair
    assert one.input_values == [Value("texts", ("N",), "str")]
    for output, wanted in zip(one.run([np.array(ODD)]), two.run([ids_of(ODD)]), strict=True):
        np.testing.assert_array_equal(output, wanted)
    rows = [[part[0] for part in one.run([np.array([text])])] for text in ODD]
    for output, wanted in zip(one.predict(ODD, tokens=50, workers=2), rows, strict=True):
        for a, b in zip(output, wanted, strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, atol=1e-6)
    assert [part.shape for part in one.run([np.array([], object)])] == [(0, 1, 2 * H), (0, 2)]
    for array, message in (
        (np.array([1, 2]), "'texts': expected texts, found int"),
        (np.array([["a"]]), r"'texts': expected str \(N\)"),
        (np.array(["a", None], object), "expected texts, found NoneType"),
        (np.array(["\ud800"], object), "surrogates not allowed"),
    ):
        with pytest.raises(InputError, match=message):
            one.run([array])
    with pytest.raises(InputError, match="row 2: the model takes texts, found int"):
        list(one.predict(["a", 1]))


def test_the_check_finds_a_fault(pair, graph, tmp_path):
    one, two = pair
    assert same_numbers(one.path, two.path, WORDS)
    swapped = (*WORDS.tokens[:2], WORDS.tokens[3], WORDS.tokens[2], *WORDS.tokens[4:])
    export.write(graph, tmp_path / "wrong.onnx", vocabulary=Vocabulary(swapped), embed_tokenizer=True)
    assert not same_numbers(tmp_path / "wrong.onnx", two.path, WORDS)


def test_what_does_not_go_into_a_graph(graph, rng, tmp_path):
    path = tmp_path / "m.onnx"
    with pytest.raises(InputError, match="needs a vocabulary"):
        export.write(graph, path, embed_tokenizer=True)
    fixed = Graph((Value("ids", ("N", 6), "int32"),), graph.nodes, graph.outputs)
    unmasked = chain(rng, lstm(rng, I, H), masked=False)
    for model, vocabulary, message in (
        (graph, Vocabulary(("<pad>", "<unk>", "a"), "character"), "split='character' is not supported"),
        (graph, Vocabulary(("<pad>", "<unk>", "<start>", "<end>")), "split='words' is not supported"),
        (unmasked, WORDS, "model='one that sees padding' is not supported"),
        (fixed, WORDS, "T=6 is not supported"),
    ):
        with pytest.raises(UnsupportedError, match=message):
            export.write(model, path, vocabulary=vocabulary, embed_tokenizer=True)
    assert not path.exists()


def test_names_that_are_taken(rng, tmp_path):
    nodes = (
        Node("mask", ops.NotEqual(), ("texts",)),
        Node(
            "tokenizer",
            ops.Embedding(
                num_embeddings=13, embedding_dim=I, weight=rng.normal(size=(13, I)).astype("float32")
            ),
            ("texts",),
        ),
    )
    recurrent = Node("texts_2", lstm(rng, I, H), ("tokenizer",), (), ("mask",))
    graph = Graph((Value("texts", ("N", "T"), "int64"),), (*nodes, recurrent), ("texts_2",))
    export.write(graph, tmp_path / "m.onnx", vocabulary=WORDS, embed_tokenizer=True)
    export.write(graph, tmp_path / "ids.onnx", vocabulary=WORDS)
    assert same_numbers(tmp_path / "m.onnx", tmp_path / "ids.onnx", WORDS)


def test_without_frameworks(pair):
    code = f"""
import sys
from export import Session
results = list(Session({str(pair[0].path)!r}, device="cpu", threads=1).predict(["good film", ""]))
assert len(results) == 2
loaded = {{name.partition(".")[0] for name in sys.modules}}
assert not loaded & {{"keras", "tensorflow", "torch", "onnx", "onnx_ir"}}
"""
    subprocess.run([sys.executable, "-c", code], check=True)
