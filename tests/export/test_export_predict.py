"""`Session.predict`: in order, exact, in constant memory; texts and labels."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import export
from biport import ops
from biport.data import Vocabulary
from biport.errors import FileError, InputError, RowError, UnsupportedError
from biport.graph import Graph, Node, Value
from export.runtime.batching import InputRow, batches, call_cost
from testing.onnx_graphs import H, I, V, array, bidirectional, chain, embedding, exported, lstm

WORDS = Vocabulary(("<pad>", "<unk>", "good", "film", "not", "!", "bad"))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def tagger(rng, masked: bool = True) -> Graph:
    """An output a step and one a row."""
    return chain(
        rng,
        bidirectional(rng, I, H, sequences=True),
        lstm(rng, 2 * H, 2),
        masked=masked,
    )


def corpus(rng: np.random.Generator, zeros: bool = True) -> list[np.ndarray]:
    """Rows of every kind: short, long, of equal lengths, empty, with zeros anywhere."""
    rows = [rng.integers(1, V, length) for length in [*rng.integers(1, 30, 60), 1, 90, 5, 5, 5]]
    for index in range(0, len(rows), 5) if zeros else ():
        rows[index] = np.where(rng.random(len(rows[index])) < 0.4, 0, rows[index])
    return [*rows, np.zeros(4, int), *([np.zeros(0, int)] if zeros else [])]


def one_by_one(session: export.Session, rows: list) -> list[list[np.ndarray]]:
    return [[output[0] for output in session.run([np.asarray(row)[None]])] for row in rows]


def same(results, wanted, tolerance: float = 1e-6) -> None:
    results = list(results)
    assert len(results) == len(wanted)
    for result, exact in zip(results, wanted, strict=True):
        assert [a.shape for a in result] == [a.shape for a in exact]
        for one, two in zip(result, exact, strict=True):
            np.testing.assert_allclose(one, two, atol=tolerance, rtol=0)


@pytest.mark.parametrize("masked", [True, False])
def test_each_row_as_if_it_were_alone(masked, rng, tmp_path):
    session = exported(tagger(rng, masked), tmp_path)
    assert session.masked == masked
    rows = corpus(rng)
    wanted = one_by_one(session, rows)
    for window, tokens, workers in ((1, 1, 1), (7, 40, 2), (1000, 300, 1), (1000, 10**6, 3)):
        same(session.predict(rows, window=window, tokens=tokens, workers=workers), wanted)


def test_masked_rows_share_batches_and_others_do_not(rng, tmp_path):
    for masked, shared in ((True, True), (False, False)):
        session = exported(tagger(rng, masked), tmp_path)
        shapes: list[tuple[int, ...]] = []
        run = session._run

        def noted(opened, inputs, run=run, shapes=shapes):
            shapes.append(inputs[0].shape)
            return run(opened, inputs)

        session._run = noted  # type: ignore[method-assign]
        list(session.predict([[1, 2, 3], [4], [5, 6], [7, 8]], tokens=100))
        assert shapes == ([(4, 3)] if shared else [(1, 3), (2, 2), (1, 1)])


def test_a_row_with_a_zero_is_never_padded() -> None:
    rows = [
        InputRow(1, None, length, pads)
        for length, pads in ((3, True), (4, False), (2, True), (4, False), (5, False))
    ]
    assert batches(rows, 100, math.inf) == [[4], [1, 3], [0, 2]]
    assert batches(rows, 5, math.inf) == [[4], [1], [3], [0], [2]]
    assert batches([], 5, 32) == []


def division(lengths: list[int], call: float) -> list[list[int]]:
    rows = [InputRow(1, None, length, True) for length in lengths]
    return [[lengths[index] for index in batch] for batch in batches(rows, 10_000, call)]


def test_padding_is_no_dearer_than_another_batch() -> None:
    assert division([2, 400, 3, 390, 2, 100], math.inf) == [[400, 390, 100, 3, 2, 2]]
    assert division([2, 400, 3, 390, 2, 100], 32) == [[400, 390], [100], [3, 2, 2]]
    assert division([40, 39, 38, 37, 20, 10, 1], 32) == [[40, 39, 38, 37, 20], [10, 1]]
    assert division([20, *[10] * 5], 32) == [[20, 10, 10, 10], [10, 10]]
    assert call_cost("cuda") == math.inf
    draw = np.random.default_rng(3)
    for size in (2, 8, 64):
        for _ in range(20):
            lengths = np.clip(np.exp(draw.normal(3, 1, size)), 1, 400).astype(int).tolist()
            parts = division(lengths, 32)
            assert sorted(itertools.chain(*parts)) == sorted(lengths)
            cost = sum(32 + part[0] * len(part) for part in parts)
            assert cost <= min(32 * size + sum(lengths), 32 + max(lengths) * size)


def test_padding_that_is_seen_would_change_the_numbers(rng, tmp_path):
    """What the care about unmasked models is for."""
    session = exported(tagger(rng, masked=False), tmp_path)
    alone, padded = session.run([np.array([[1, 2]])]), session.run([np.array([[1, 2, 0, 0]])])
    assert np.abs(alone[1] - padded[1]).max() > 1e-3


def test_memory_does_not_grow_with_the_corpus(rng, tmp_path):
    session = exported(chain(rng, lstm(rng, I, H)), tmp_path)
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield rng.integers(1, V, 3)

    done: list[int] = []
    results = list(itertools.islice(session.predict(endless(), window=50, progress=done.append), 500))
    assert len(results) == 500
    assert taken <= 600
    assert all(array.base is None for (array,) in results)
    assert 500 <= sum(done) <= 600


def test_fixed_lengths(rng, tmp_path):
    for masked in (True, False):
        graph = tagger(rng, masked)
        fixed = Graph((Value("ids", ("N", 6), "int32"),), graph.nodes, graph.outputs)
        session = exported(fixed, tmp_path)
        rows = [[1, 2, 3], [4, 5, 6, 7, 8, 9]]
        if masked:
            padded = session.run([np.array([[1, 2, 3, 0, 0, 0], rows[1]])])
            results = list(session.predict(rows))
            assert [a.shape[0] for a, _ in results] == [3, 6]
            np.testing.assert_allclose(results[0][0], padded[0][0, :3], atol=1e-6)
            with pytest.raises(InputError, match="row 1: the model takes rows of 6 steps at most, found 7"):
                list(session.predict([[1] * 7]))
        else:
            with pytest.raises(InputError, match="row 2: the model takes rows of 6 steps; it sees padding"):
                list(session.predict([rows[1], rows[0]]))


def test_features(rng, tmp_path):
    op = lstm(rng, I, H, return_sequences=True)
    session = exported(
        Graph((Value("x", ("N", "T", I), "float32"),), (Node("y", op, ("x",)),), ("y",)), tmp_path
    )
    rows = [array(rng, length, I) for length in (3, 1, 3, 2)]
    same(session.predict(rows), one_by_one(session, rows))
    with pytest.raises(InputError, match="row 2: should be one row of"):
        list(session.predict([rows[0], rows[0][0]]))


def test_rows_of_two_sizes_that_vary(rng, tmp_path):
    """Characters of words: rows of as many words go together where their words are as long."""
    layer = ops.TimeDistributed(layer=ops.GlobalMaxPooling1D())
    nodes = (
        Node("e", embedding(rng), ("chars",)),
        Node("w", layer, ("e",)),
        Node("y", lstm(rng, I, 2), ("w",)),
    )
    session = exported(Graph((Value("chars", ("N", "T", "C"), "int32"),), nodes, ("y",)), tmp_path)
    rows = [rng.integers(0, V, (words, size)) for words, size in ((2, 3), (2, 5), (4, 3), (2, 3))]
    same(session.predict(rows), one_by_one(session, rows), 0)


def test_what_predict_refuses(rng, tmp_path):
    session = exported(tagger(rng), tmp_path)
    for rows, message in (
        ("a text", "several rows, found one text"),
        (["a text"], "row 1, 'a text': is a text, and the file carries no vocabulary"),
        ([[1], [V]], r"ids should be in \[0, 13\), found 13"),
        ([[1], [1.5]], "expected integer ids"),
        ([[1], 2], "row 2: should be one row of"),
    ):
        with pytest.raises(InputError, match=message):
            list(session.predict(rows))
    for name in ("window", "tokens", "workers"):
        with pytest.raises(InputError, match=f"{name} should be 1 or more"):
            session.predict([], **{name: 0})  # type: ignore[arg-type]
    assert list(session.predict([])) == []
    with pytest.raises(InputError, match="does not say what its classes are called"):
        session.classify([[1]])
    inputs = (Value("a", ("N", I), "float32"), Value("b", ("N", I), "float32"))
    two = exported(Graph(inputs, (Node("y", ops.Add(), ("a", "b")),), ("y",)), tmp_path)
    with pytest.raises(InputError, match="models of one input, this one takes a, b"):
        list(two.predict([[1]]))


def test_a_row_that_is_refused_ends_nothing(rng, tmp_path):
    """Refused before it is run, or when it is: too short for a convolution, in a batch with others."""
    op = ops.Conv1D(
        input_size=I,
        output_size=2,
        kernel_size=(3,),
        padding="valid",
        weight=array(rng, 2, I, 3),
        bias=array(rng, 2),
    )
    session = exported(chain(rng, op, masked=False), tmp_path)
    rows = [[1, 2, 3], [1, 2], [V, 1, 1], [4, 5, 6], [2, 1], [7, 8, 9, 10], [[1]]]
    done: list[int] = []
    results = list(session.predict_each(rows, progress=done.append))
    assert sum(done) == len(rows)
    wanted = {2: "needs", 3: "found 13", 5: "needs", 7: "should be one row"}
    assert {n for n, one in enumerate(results, 1) if one.error is not None} == set(wanted)
    for number, one in enumerate(results, 1):
        if one.error is not None:
            assert one.error.number == number
            assert str(one.error).startswith(f"row {number}: ")
            assert wanted[number] in str(one.error.why)
            assert one.outputs == ()
    good = [0, 3, 5]
    same((results[index].outputs for index in good), one_by_one(session, [rows[index] for index in good]))
    with pytest.raises(RowError, match="row 2: ") as caught:
        list(session.predict(rows))
    assert caught.value.number == 2


@pytest.mark.parametrize("masked", [True, False])
def test_rows_are_cut_where_that_is_asked_for(masked, rng, tmp_path):
    graph = tagger(rng, masked)
    fixed = Graph((Value("ids", ("N", 4), "int32"),), graph.nodes, graph.outputs)
    session = exported(fixed, tmp_path)
    rows = [[1, 2, 3, 4], [1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11]]
    with pytest.raises(RowError, match=r"row 2: .* found 6; truncate=True cuts longer rows"):
        list(session.predict(rows))
    assert [one.cut for one in session.predict_each(rows, truncate=True)] == [0, 2, 1]
    same(session.predict(rows, truncate=True), one_by_one(session, [row[:4] for row in rows]))


def scorer(rng, size: int, activation: str, sequences: bool = False) -> Graph:
    head = ops.Dense(
        input_size=H,
        output_size=size,
        activation=activation,
        weight=array(rng, size, H),
        bias=array(rng, size),
    )
    graph = chain(rng, lstm(rng, I, H, return_sequences=sequences), head)
    return Graph(graph.inputs, graph.nodes, ("layer_2",))


def test_texts_and_labels(rng, tmp_path):
    path, texts = tmp_path / "m.onnx", ["Good film!", "", "not good, not BAD", "what?"]
    ids = [WORDS.encode(text) or [0] for text in texts]
    for size, activation, sequences in ((1, "sigmoid", False), (3, "softmax", False), (3, "softmax", True)):
        labels = ("no", "yes", "so-so")[: max(2, size)]
        graph = scorer(rng, size, activation, sequences)
        export.write(graph, path, vocabulary=WORDS, labels=labels, overwrite=True)
        session = export.Session(path, device="cpu")
        assert (session.tokenizer, session.labels) == (WORDS.tokenizer(), labels)
        wanted = one_by_one(session, ids)
        same(session.predict(texts), wanted)
        for (label, share), (scores,) in zip(session.classify(texts), wanted, strict=True):
            steps = scores if sequences else scores[None]
            shares = np.concatenate([1 - steps, steps], 1) if size == 1 else steps
            names = [labels[index] for index in shares.argmax(1)]
            assert label == (names if sequences else names[0])
            np.testing.assert_allclose(share, shares.max(1) if sequences else shares.max(), atol=1e-6)


def test_vocabularies_and_labels_of_other_models(rng, tmp_path):
    graph, path = scorer(rng, 3, "softmax"), tmp_path / "m.onnx"
    large = Vocabulary(("<pad>", "<unk>", *(f"w{n}" for n in range(V))))
    with pytest.raises(InputError, match="the vocabulary has ids up to 14 and the model ids below 13"):
        export.write(graph, path, vocabulary=large)
    for labels, message in (
        (["a", "b"], "has 3 classes, found 2 labels"),
        (["a", "b", "a"], "should all differ"),
        (["a", "b\n", "c"], "printable"),
        ("abc", "several texts"),
    ):
        with pytest.raises(InputError, match=message):
            export.write(graph, path, labels=labels)
    for size, activation in ((3, "linear"), (3, "sigmoid"), (1, "tanh")):
        with pytest.raises(UnsupportedError, match=f"activation='{activation}' is not supported"):
            export.write(scorer(rng, size, activation), path, labels=["a", "b", "c"][: max(2, size)])
    features = Graph((Value("x", ("N", "T", I), "float32"),), (Node("y", lstm(rng, I, H), ("x",)),), ("y",))
    with pytest.raises(UnsupportedError, match="one input of ids"):
        export.write(features, path, vocabulary=WORDS)
    assert not path.exists()


def test_a_damaged_vocabulary_in_a_file(rng, tmp_path):
    import onnx

    session = exported(tagger(rng), tmp_path)
    model = onnx.load(session.path)
    for key, value in (
        ("biport.vocabulary", '{"format": 1}'),
        ("biport.labels", "7"),
        ("biport.padding", "[]"),
    ):
        onnx.helper.set_model_props(model, {**session.metadata, key: value})
        onnx.save(model, tmp_path / "odd.onnx")
        with pytest.raises(FileError, match=r"odd\.onnx: (not a vocabulary|its biport metadata)"):
            export.Session(tmp_path / "odd.onnx", device="cpu")


def test_a_model_that_is_a_table(rng, tmp_path):
    graph = Graph((Value("ids", ("N", "T"), "int32"),), (Node("y", embedding(rng), ("ids",)),), ("y",))
    session = exported(graph, tmp_path)
    assert session.time_axes == {"y": (1,)}
    rows = corpus(rng)
    same(session.predict(rows), one_by_one(session, rows))
