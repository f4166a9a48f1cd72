"""Gates of a verification: labels, expected numbers, on whose data; on models of every kind of output."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from typer.testing import CliRunner

from biport import bundle, ops, reference, verify
from biport.analysis.text_model import with_tokenizer
from biport.app.cli import app
from biport.app.forms import Form
from biport.app.report_page.write import to_html
from biport.app.taken import taken_by
from biport.app.user_data import Examples, read_examples
from biport.compare.report import Report
from biport.data import Vocabulary
from biport.errors import BiportError, InputError
from biport.graph import Graph, Node, Value
from biport.testing import assert_same
from testing.graphs import bidirectional, dense, embedding
from testing.junit import check_document

WORDS = ("good", "bad", "film", "very", "the", "so", "long")
VOCABULARY = Vocabulary(("<pad>", "<unk>", *WORDS))
RNG = np.random.default_rng(5)
TEXTS = [" ".join(RNG.choice([*WORDS, "dull"], RNG.integers(1, 12))) for _ in range(40)] + [""]


def model(
    *heads: tuple[str, str, int],
    masked: bool = True,
    stepwise: bool = False,
    seed: int = 0,
    flat: bool = False,
) -> Graph:
    """Ids through a BiLSTM to outputs of these names, activations and sizes."""
    rng = np.random.default_rng(seed)
    mask = "mask" if masked else None
    nodes = [Node("embedding", embedding(rng, 5, masked=masked), ("ids",))]
    nodes += [Node("mask", ops.NotEqual(), ("ids",))] if masked else []
    nodes.append(
        Node("bilstm", bidirectional(rng, 5, 4, None, stepwise), ("embedding",), ("a", "b"), (mask,))
    )
    nodes.append(Node("joined", ops.Concatenate(), ("a", "b")))
    outputs = []
    for name, activation, size in heads:
        nodes.append(Node(name, dense(rng, 8, size, activation), ("joined",)))
        outputs.append(name)
        if flat:
            nodes.append(Node(f"{name}.flat", ops.Squeeze(axes=(2 if stepwise else 1,)), (name,)))
            outputs[-1] = f"{name}.flat"
    return Graph((Value("ids", ("N", "T"), "int32"),), tuple(nodes), tuple(outputs))


def changed(graph: Graph, change: Callable[[list[np.ndarray], np.ndarray], Sequence[np.ndarray]]) -> Form:
    """A form that gives what the graph gives, but for a change, which is told of the ids."""

    def run(arrays: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        return change([*reference.run(graph, arrays, "float32")], np.asarray(arrays[0]))

    return Form("other", run)


def csv_file(folder: Path, **columns: Sequence[Any]) -> Path:
    path = folder / "reviews.csv"
    rows = [",".join(["review", *columns])]
    rows += [",".join(map(str, row)) for row in zip(TEXTS, *columns.values(), strict=True)]
    path.write_text("\n".join(rows) + "\n")
    return path


def examples(graph: Graph, folder: Path, labels: tuple[str, ...] | None = None, **columns: Any) -> Examples:
    taken = taken_by(with_tokenizer(graph, VOCABULARY), labels=labels)
    file = csv_file(folder, **columns)
    return read_examples(file, taken, text="review", label=next(iter(columns), None))


def exact(graph: Graph, output: int = 0) -> np.ndarray:
    """What each text gives by itself, in float64."""
    rows = [reference.run(graph, [np.array([VOCABULARY.encode(text) or [0]])])[output] for text in TEXTS]
    return np.concatenate(rows)


def one_of(report: Report, form: str = "other", output: str | None = None) -> Any:
    (found,) = [one for one in report.agreement if one.form == form and output in (None, one.output)]
    return found


@pytest.mark.parametrize("masked", [True, pytest.param(False, marks=pytest.mark.sweep)])
def test_the_rows_that_differ_are_those_of_the_file(masked: bool, tmp_path: Path) -> None:
    graph, retrained = (
        model(("topic", "softmax", 3), masked=masked),
        model(("topic", "softmax", 3), masked=masked, seed=1),
    )
    names = ("film", "book", "play")
    data = examples(graph, tmp_path, names)
    report = verify(
        graph,
        Form("other", lambda arrays: reference.run(retrained, arrays, "float32")),
        inputs=data,
        tolerance=1.0,
        min_agreement=0.999,
    )
    right, wrong = exact(graph), exact(retrained)
    differ = [row for row in range(len(TEXTS)) if right[row].argmax() != wrong[row].argmax()]
    assert 0 < len(differ) < len(TEXTS)
    other = one_of(report)
    assert (other.count, other.differing, other.ties, other.unit) == (41, len(differ), 0, "row")
    assert other.share == (41 - len(differ)) / 41
    assert [row.data["row"] for row in other.rows] == [row + 1 for row in differ]
    first, row = other.rows[0], differ[0]
    assert first.data["text"] == TEXTS[row]
    assert first.labels == (names[right[row].argmax()], names[wrong[row].argmax()])
    assert first.shares == pytest.approx((right[row].max(), wrong[row].max()), abs=1e-6)
    # The numbers are within what was allowed, and the labels are not.
    assert str(report.verdict) == "same"
    assert not report.ok
    assert [gate.subject for gate in report.missed] == ["other"]
    assert (
        f"other: {other.share:.6g}, at least 0.999 is asked for ({len(differ)} of 41 rows differ, first row"
        in report.table
    )
    assert report.to_json()["labels"][1]["rows"][0]["text"] == TEXTS[row]
    assert f"measured on 41 rows of {tmp_path / 'reviews.csv'} (texts in review; sha256 " in report.table
    page = to_html(report)
    assert "1 of 2 gates missed" in page
    assert "at least 0.999" in page
    # The page is for other people: it has no texts.
    assert max(TEXTS, key=len) not in page
    assert not any(row.data["text"] in page for row in other.rows if len(row.data["text"].split()) > 2)
    assert verify(graph, graph, inputs=data, min_agreement=1).ok


@pytest.mark.sweep
def test_the_worst_number_is_in_a_row_of_the_file(tmp_path: Path) -> None:
    graph = model(("y", "sigmoid", 1))
    data = examples(graph, tmp_path)
    row = max(range(len(TEXTS)), key=lambda row: len(TEXTS[row]))
    ids = VOCABULARY.encode(TEXTS[row])

    def one_row(outputs: list[np.ndarray], given: np.ndarray) -> list[np.ndarray]:
        hit = [[*line[line != 0]] == ids for line in given]
        return [np.where(np.array(hit)[:, None], outputs[0] + 0.01, outputs[0])]

    report = verify(graph, changed(graph, one_row), inputs=data)
    line = next(line for line in report.lines if line.form == "other")
    assert line.error.worst == (f"row {row + 1}", (0,))


def test_steps_that_are_padding_have_no_label(tmp_path: Path) -> None:
    """Neither where the model's mask says so, nor, without one, where the tokeniser padded."""
    graph = model(("tags", "softmax", 3), stepwise=True)

    def rolled(outputs: list[np.ndarray], ids: np.ndarray) -> list[np.ndarray]:
        return [np.where((ids == 0)[..., None], np.roll(outputs[0], 1, -1), outputs[0])]

    def flipped(outputs: list[np.ndarray], ids: np.ndarray) -> list[np.ndarray]:
        return [np.where((ids == 3)[..., None], np.roll(outputs[0], 1, -1), outputs[0])]

    data = examples(graph, tmp_path)
    counts = [len(VOCABULARY.encode(text)) for text in TEXTS]
    padding = one_of(verify(graph, changed(graph, rolled), inputs=data))
    assert (padding.count, padding.differing, padding.unit) == (sum(counts), 0, "step")
    words = one_of(verify(graph, changed(graph, flipped), inputs=data))
    bad = [
        (row, step)
        for row, text in enumerate(TEXTS)
        for step, id in enumerate(VOCABULARY.encode(text))
        if id == 3
    ]
    assert words.differing == len(bad)
    assert [(one.data["row"] - 1, one.step) for one in words.rows] == bad
    # Random inputs have every pattern of mask.
    assert one_of(verify(graph, changed(graph, rolled), min_agreement=1.0, tolerance=1.0)).share == 1.0
    with pytest.raises(InputError, match="has one label a row, and no output of the model does: 'tags'"):
        verify(
            graph, graph, inputs=examples(graph, tmp_path, ("a", "b", "c"), tag=[*"abc"] * 13 + ["a", "b"])
        )


def test_each_output_that_has_labels_is_compared(tmp_path: Path) -> None:
    graph = model(
        ("topic", "softmax", 3), ("price", "linear", 2), ("marks", "sigmoid", 3), ("mood", "sigmoid", 1)
    )

    def change(outputs: list[np.ndarray], ids: np.ndarray) -> list[np.ndarray]:
        topic, price, marks, mood = outputs
        return [topic, price, np.where([0, 0, 1], 1 - marks, marks), 1 - mood]

    report = verify(
        graph, changed(graph, change), inputs=examples(graph, tmp_path), tolerance=1.0, min_agreement=0.5
    )
    assert [one.output for one in report.agreement if one.form == "other"] == ["topic", "marks", "mood"]
    assert one_of(report, output="topic").share == 1.0
    assert one_of(report, output="marks").differing == len(TEXTS)
    assert one_of(report, output="mood").differing == len(TEXTS)
    assert "other, mood" in [gate.subject for gate in report.missed]
    # A row has several of these labels, or none.
    given = exact(graph, 2)[0] > 0.5
    wanted = [
        "+".join(str(mark) for mark in np.flatnonzero(one)) or "none" for one in (given, given ^ [0, 0, 1])
    ]
    assert [*one_of(report, output="marks").rows[0].labels] == wanted


@pytest.mark.sweep
@pytest.mark.parametrize(("flat", "stepwise"), [(True, False), (True, True), (False, True)])
def test_one_sigmoid_in_any_shape(flat: bool, stepwise: bool, tmp_path: Path) -> None:
    graph = model(("y", "sigmoid", 1), flat=flat, stepwise=stepwise)
    report = verify(
        graph, changed(graph, lambda outputs, _: [1 - outputs[0]]), inputs=examples(graph, tmp_path)
    )
    other = one_of(report)
    assert other.count == (sum(len(VOCABULARY.encode(text)) for text in TEXTS) if stepwise else len(TEXTS))
    assert other.differing == other.count
    assert one_of(report, "graph").differing == 0


def test_numbers_that_are_no_shares_have_no_labels(tmp_path: Path) -> None:
    price, logits = model(("price", "linear", 1)), model(("topic", "linear", 3))
    for graph, words in (
        (price, r"min_agreement is a share of labels, and no output has any: 'price' is linear: numbers"),
        (model(("y", "softmax", 1)), "'y' is a softmax over one class"),
        (logits, "'topic' is linear.*labels that they are logits"),
    ):
        with pytest.raises(InputError, match=words):
            verify(graph, graph, min_agreement=0.9)
    data = examples(logits, tmp_path, ("a", "b", "c"))
    other = changed(logits, lambda outputs, _: [outputs[0] * 3])
    assert one_of(verify(logits, other, inputs=data, min_agreement=1, tolerance=1e3)).share == 1.0
    assert verify(price, price, inputs=examples(price, tmp_path)).agreement == []
    with pytest.raises(InputError, match=r"min_agreement=1\.5: should be a number from 0 to 1"):
        verify(price, price, min_agreement=1.5)


def test_a_tie_is_no_difference_and_is_counted(tmp_path: Path) -> None:
    """Two classes with the same weights: whatever rounding does, neither is more."""
    rng = np.random.default_rng(0)
    op = dense(rng, 8, 2, "softmax")
    even = ops.Dense(
        input_size=8,
        output_size=2,
        activation="softmax",
        weight=np.repeat(np.asarray(op.weight)[:1], 2, 0),
        bias=np.zeros(2, "float32"),
    )
    graph = model(("y", "softmax", 2))
    nodes = (*graph.nodes[:-1], Node("y", even, ("joined",)))
    graph = Graph(graph.inputs, nodes, graph.outputs)
    nudged = changed(graph, lambda outputs, _: [outputs[0] + np.array([-1e-7, 1e-7], "float32")])
    other = one_of(verify(graph, nudged, inputs=examples(graph, tmp_path), min_agreement=1.0))
    assert (other.share, other.differing, other.ties) == (1.0, 0, len(TEXTS))
    assert "41 of them ties that rounding turned over" in other.text[0]


def test_accuracy_is_that_of_the_labels_of_the_file(tmp_path: Path) -> None:
    graph = model(("y", "sigmoid", 1))
    shares = exact(graph)[:, 0]
    cut = float(np.median(shares))
    graph = _shifted(graph, cut)
    right = ["yes" if share > 0.5 else "no" for share in exact(graph)[:, 0]]
    labels = [("no" if one == "yes" else "yes") if row < 4 else one for row, one in enumerate(right)]
    report = verify(graph, graph, inputs=examples(graph, tmp_path, ("no", "yes"), mood=labels))
    assert [one.accuracy for one in report.agreement] == [37 / 41] * 2
    assert f"accuracy {37 / 41:.6g}" in report.table
    assert report.to_json()["labels"][0]["accuracy"] == 37 / 41


def _shifted(graph: Graph, share: float) -> Graph:
    """One sigmoid whose share ``share`` becomes one half."""
    *nodes, last = graph.nodes
    assert isinstance(last.op, ops.Dense)
    bias = np.asarray(last.op.bias) - np.log(share / (1 - share)).astype("float32")
    op = ops.Dense(input_size=8, output_size=1, activation="sigmoid", weight=last.op.weight, bias=bias)
    return Graph(graph.inputs, (*nodes, Node(last.name, op, last.inputs)), graph.outputs)


def test_a_form_that_does_not_run_misses_its_gates(tmp_path: Path) -> None:
    graph = model(("y", "sigmoid", 1))

    def fail(outputs: list[np.ndarray], ids: np.ndarray) -> list[np.ndarray]:
        raise RuntimeError("kernel lost")

    data = examples(graph, tmp_path)
    report = verify(graph, changed(graph, fail), inputs=data, min_agreement=0.5, expected=[exact(graph)])
    assert [(gate.name, gate.figure) for gate in report.missed] == [
        ("label agreement", None),
        ("expected numbers", None),
    ]
    assert "not measured, at least 0.5 is asked for (it does not run" in report.table


def test_a_form_of_texts_is_given_the_texts(tmp_path: Path) -> None:
    """Beside forms of ids, and a difference of its own ids is said to be one perhaps."""
    graph = model(("y", "sigmoid", 1))

    def run(arrays: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        # Short, and without what the vocabulary knows.
        ids = VOCABULARY.encode_batch([text.replace("dull", "bad") for text in arrays[0]])
        return reference.run(graph, [ids], "float32")

    report = verify(
        graph, Form("strings", run, takes_texts=True), inputs=examples(graph, tmp_path), trace=True
    )
    differ = next(line for line in report.lines if line.form == "strings")
    assert str(differ.verdict) == "different"
    assert "dull" in TEXTS[int(differ.error.worst[0].removeprefix("row ")) - 1]
    assert "strings: given texts; the other forms, and the oracle, their ids" in report.table
    assert report.trace is not None
    assert "it makes ids of the texts itself" in report.trace[0].text
    np.save(tmp_path / "ids.npy", VOCABULARY.encode_batch(TEXTS))
    with pytest.raises(InputError, match=r"strings: takes texts, and .*ids\.npy holds their ids"):
        verify(graph, Form("strings", run, takes_texts=True), inputs=tmp_path / "ids.npy")


def test_numbers_of_a_pipeline(tmp_path: Path) -> None:
    graph = model(("topic", "softmax", 3), ("price", "linear", 1))
    topic, price = exact(graph), exact(graph, 1)
    data = examples(graph, tmp_path)

    def run(expected: Any, **options: Any) -> Report:
        return verify(graph, graph, inputs=data, expected=expected, **options)

    assert run([topic, price]).ok
    # float16 on disk is not float32's rounding, and may be what a use can bear.
    assert not run({"topic": topic.astype("float16")}).ok
    assert run({"topic": topic.astype("float16")}, tolerance=1e-3).ok
    assert run({"price": price[:, 0]}).ok
    for expected, hint in (
        ({"topic": topic[::-1]}, "the same numbers with their rows in another order"),
        ({"topic": topic[:, [2, 0, 1]]}, r"their columns in another order: \[2, 0, 1\]"),
        ({"topic": np.log(topic)}, "they are logits, of which the model gives the shares"),
        ({"price": price + 1}, "worst in row"),
    ):
        report = run(expected)
        assert len(report.missed) == 2, report.table
        with pytest.raises(AssertionError, match=hint):
            assert_same(graph, graph, inputs=data, expected=expected)
    holed = topic.copy()
    holed[4] = np.nan
    for expected, words in (
        ({"topic": topic[:-1]}, "expected 41 rows of the output 'topic', as the data have, found 40"),
        (
            {"topic": topic[:, :2]},
            r"expected numbers of shape \(41, 3\) of the output 'topic', found \(41, 2\)",
        ),
        ({"topics": topic}, "the model has the outputs topic, price; found topics"),
        ([topic], "holds 1 arrays without names, and the model has the outputs topic, price"),
        ({"topic": holed}, "row 5 of 'topic' is NaN"),
        ({"topic": topic.astype(str)}, "expected numbers of the output 'topic', found <U"),
    ):
        with pytest.raises(InputError, match=words):
            run(expected)
    with pytest.raises(InputError, match="expected: numbers of which rows"):
        verify(graph, graph, expected=[topic, price])


@pytest.mark.sweep
def test_numbers_of_a_pipeline_with_steps(tmp_path: Path) -> None:
    """Rows of other lengths, padded by the pipeline as it likes; the other label's shares."""
    graph = model(("tags", "softmax", 3), masked=False, stepwise=True)
    data = examples(graph, tmp_path)
    longest = max(len(text.split()) for text in TEXTS)
    expected = np.full((len(TEXTS), longest + 3, 3), 7.0)
    for row, text in enumerate(TEXTS):
        (tags,) = reference.run(graph, [np.array([VOCABULARY.encode(text) or [0]])])
        expected[row, : tags.shape[1]] = tags[0]
    assert verify(graph, graph, inputs=data, expected=expected).ok
    with pytest.raises(
        InputError, match=r"expected numbers of shape \(\d+, 3\) of the output 'tags', found \(3, 3\)"
    ):
        verify(graph, graph, inputs=data, expected=expected[:, :3])
    mood = model(("mood", "sigmoid", 1))
    report = verify(mood, mood, inputs=examples(mood, tmp_path), expected=1 - exact(mood))
    assert "they are the shares of the other label, 1 - x" in report.table


@pytest.mark.sweep
def test_files_of_expected_numbers(tmp_path: Path) -> None:
    graph = model(("topic", "softmax", 3))
    data, topic = examples(graph, tmp_path), exact(graph)
    np.savez(tmp_path / "named.npz", topic=topic)
    np.save(tmp_path / "one.npy", topic)
    tables = {
        "classes.csv": ["no,yes,maybe", *(",".join(map(repr, row)) for row in topic.tolist())],
        "cells.tsv": ["id\ttopic", *(f"{row}\t{json.dumps(one)}" for row, one in enumerate(topic.tolist()))],
    }
    for name, lines in tables.items():
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    for name in ("named.npz", "one.npy", *tables):
        assert verify(graph, graph, inputs=data, expected=tmp_path / name).ok, name
    for content, words in (
        ("a,b\n1,2\n", "expected a column of numbers for an output"),
        ("topic\ngood\n", "row 2: expected a number, found 'good'"),
        ("topic,x\n1\n", "row 2: expected 2 fields, found 1"),
        ("", "expected numbers, found nothing"),
    ):
        (tmp_path / "bad.csv").write_text(content)
        with pytest.raises(BiportError, match=words):
            verify(graph, graph, inputs=data, expected=tmp_path / "bad.csv")


def test_the_command_says_figure_and_limit_and_ends_with_1(tmp_path: Path) -> None:
    graph = _shifted(model(("y", "sigmoid", 1)), 0.5)
    other = model(("y", "sigmoid", 1), seed=1)
    texts: Any = {"vocabulary": VOCABULARY, "labels": ("no", "yes")}
    bundle.write(graph, tmp_path / "model", **texts)
    bundle.write(other, tmp_path / "other", **texts)
    file = csv_file(tmp_path, mood=["yes", *["no"] * 40])
    np.save(tmp_path / "expected.npy", exact(graph))
    results = tmp_path / "results.xml"

    def run(*arguments: Any) -> Any:
        given = ["verify", tmp_path / "model", *arguments, "--input", file, "--text", "review"]
        return CliRunner().invoke(app, [*map(str, given)])

    limits = ("--tolerance", 1e-6, "--min-agreement", 0.999, "--expected", tmp_path / "expected.npy")
    kept = run(tmp_path / "model", *limits, "--label", "mood", "--json", "--junit", results)
    assert kept.exit_code == 0, kept.output
    data = json.loads(kept.stdout)
    assert data["ok"] is True
    assert [gate["limit"] for gate in data["gates"]] == [0.999, 0.999, 1e-6, 1e-6]
    assert data["data"]["rows"] == 41
    assert check_document(results.read_bytes()).attrib["failures"] == "0"
    again = run(tmp_path / "model", "--junit", results)
    assert again.exit_code == 2
    assert "exists already; use --force" in again.stderr
    missed = run(tmp_path / "other", *limits, "--junit", results, "--force")
    assert missed.exit_code == 1, missed.output
    assert "at least 0.999 is asked for" in missed.stdout
    assert "at most 1e-06 is asked for" in missed.stdout
    root = check_document(results.read_bytes())
    failed = [case.attrib["name"] for case in root.iter("testcase") if case.find("failure") is not None]
    assert {"expected numbers", "y L2"} <= {*failed}
    refused = run(tmp_path / "model", "--label", "stars")
    assert refused.exit_code == 2
    assert "expected a column 'stars' (labels), found 'mood'" in refused.stderr
    assert isinstance(root, ElementTree.Element)
