"""The page of a report: what is on it, that names stay text, how it is written."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import biport
from biport import bundle, ops, reference
from biport.app.cli import app
from biport.app.forms import Form
from biport.app.report_page.charts import ErrorScale, error_scale
from biport.app.report_page.write import to_html, write_html
from biport.compare.report import Line, Report
from biport.compare.tolerance import Error, Verdict
from biport.errors import InputError, MissingDependencyError
from biport.graph import Graph, Node, Value
from testing.graphs import classifier, dense, embedding, lstm

VOID = {"meta", "rect", "line", "polyline", "circle"}
Arrays = Sequence[np.ndarray]


class Page(HTMLParser):
    """A page whose elements are all closed, by name: their attributes; tables as rows of text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in VOID:
            return
        self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)
        if {"td", "th"} & {*self.open}:
            self.tables[-1][-1][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def tagger() -> Graph:
    rng = np.random.default_rng(4)
    return Graph(
        (Value("ids", ("N", "T"), "int32"),),
        (
            Node("embedding", embedding(rng, 4), ("ids",)),
            Node("mask", ops.NotEqual(), ("ids",)),
            Node("lstm", lstm(rng, 4, 3, return_sequences=True), ("embedding",), masks=("mask",)),
            Node("tags", dense(rng, 3, 2), ("lstm",)),
        ),
        ("tags", "lstm"),
    )


def with_holes_wrong(graph: Graph) -> Form:
    """As if gaps in a row were at its end."""

    def run(arrays: Arrays) -> Arrays:
        (ids,) = arrays
        moved = np.zeros_like(ids)
        for row, own in zip(moved, ids, strict=True):
            steps = np.flatnonzero(own)
            gap = len(steps) and steps[-1] - steps[0] >= len(steps)
            row[...] = np.pad(own[own != 0], (0, (own == 0).sum())) if gap else own
        return reference.run(graph, [moved], "float32")

    return Form("naive.onnx", run)


def test_a_form_that_is_wrong_under_holes() -> None:
    graph = tagger()
    report = biport.verify(graph, with_holes_wrong(graph), trace="auto", seed=5)
    page = Page(to_html(report))
    assert "naive.onnx does not compute what the oracle computes" in "".join(page.text)
    lines, errors = (
        page.tables[0],
        next(table for table in page.tables if table[0][-1] == "rows whose mask is"),
    )
    assert [row[:4] for row in lines] == [
        ["form", "output", "level", "verdict"],
        ["graph", "tags", "L2", "same"],
        ["graph", "lstm", "L2", "same"],
        ["naive.onnx", "tags", "L2", "different"],
        ["naive.onnx", "lstm", "L2", "different"],
    ]
    head, row = errors[1], errors[4]
    assert head[3:] == [*report.cases, "full", "right", "left", "holes", "all padding"]
    wrong = [name for name, cell in zip(head[3:], row[3:], strict=True) if cell != "–" and float(cell) > 1e-4]
    # The rows of the case "all padding" have holes in turn.
    assert wrong == ["holes", "all padding", "holes"]
    assert report.trace is not None
    assert all(finding.text in "".join(page.text) for finding in report.trace)
    assert "valid" in [row[1] for table in page.tables if table[0][:2] == ["step", "mask"] for row in table]
    assert "seed 5" in "".join(page.text)
    made_with = dict(row[:2] for row in page.tables[-1])
    assert made_with["biport"] == biport.__version__
    assert made_with["numpy"] == np.__version__


def test_a_page_needs_nothing_and_everybody_can_read_it() -> None:
    graph = tagger()
    text = to_html(biport.verify(graph, with_holes_wrong(graph)))
    page = Page(text)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "a", "base", "form"}
    assert not any(
        name in attributes for _, attributes in page.elements for name in ("src", "href", "srcset")
    )
    assert "url(" not in text
    assert "@import" not in text
    ids = Counter(attributes["id"] for _, attributes in page.elements if "id" in attributes)
    assert set(ids.values()) <= {1}
    referred = {
        attributes["aria-labelledby"] for _, attributes in page.elements if "aria-labelledby" in attributes
    }
    assert referred <= {*ids}
    assert all(svg.get("aria-label") or svg.get("aria-hidden") for svg in page.all("svg"))
    assert all(head.get("scope") in ("col", "row", "colgroup") for head in page.all("th"))
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("h1")) == 1
    # Both forms are drawn for both outputs: a histogram and a course along the steps; and the worst row.
    drawn = [svg["aria-label"] or "" for svg in page.all("svg") if svg.get("role") == "img"]
    kinds = Counter(label.partition(" of ")[0].partition(" at ")[0] for label in drawn)
    assert kinds["histogram"] == kinds["the largest error"] == 4
    assert sum(label.startswith("what the oracle and the form give") for label in drawn) == 1


HOSTILE = "</title><script>alert(1)</script>\"'&\u202egnp.exe\x00{{ 7*7 }}"


def test_names_are_text_whatever_they_are() -> None:
    """Of forms, nodes, inputs and messages: all that a model or its runtime may choose."""
    rng = np.random.default_rng(0)
    nodes = [Node(HOSTILE, dense(rng, 3, 2), (f"x{HOSTILE}",)) for _ in range(2)]
    inputs = (Value(f"x{HOSTILE}", ("N", 3), "float32"),)
    graph, wrong = (Graph(inputs, (node,), (HOSTILE,)) for node in nodes)

    def fail(arrays: Arrays) -> Arrays:
        raise RuntimeError(HOSTILE)

    # A name that no encoding knows.
    run = Form(f"1{HOSTILE}\ud800", lambda arrays: reference.run(wrong, arrays, "float32"), wrong)
    report = biport.verify(graph, run, Form(f"2{HOSTILE}", fail), trace="auto")
    assert report.at_fault == [run.name, f"2{HOSTILE}"]
    text = to_html(report)
    assert text.encode()
    page = Page(text)
    assert not {tag for tag, _ in page.elements} & {"script", "img"}
    assert page.all("title")[0] == {}
    assert "\u202e" not in text
    assert "\\u202egnp.exe\\u0000{{ 7*7 }}" in "".join(page.text)
    assert "<script>alert(1)</script>" in "".join(page.text)
    form, output, *_ = page.tables[0][2]
    shown = HOSTILE.replace("\u202e", "\\u202e").replace("\x00", "\\u0000")
    assert (form, output) == (f"1{shown}\\ud800", shown)


def lines_of(verdict: Verdict, outputs: int) -> list[Line]:
    return [
        Line("torch", f"head_{number}", "L2", verdict, Error(1e-7 * number, 0.0), 1e-6)
        for number in range(outputs)
    ]


def test_many_outputs_and_none() -> None:
    """Without evidence, as somebody's own report has none; of many lines the worst come first."""
    page = Page(to_html(Report(lines_of(Verdict.SAME, 30))))
    assert [row[1] for row in page.tables[0][1:3]] == ["head_29", "head_28"]
    assert [len(table) for table in page.tables[:2]] == [25, 7]
    assert "Neither proven nor refuted" in "".join(
        Page(to_html(Report(lines_of(Verdict.ILL_CONDITIONED, 1)))).text
    )
    assert "no number to compare" in "".join(Page(to_html(Report([]))).text)


def test_the_inputs_of_somebody_are_not_on_the_page(tmp_path: Path) -> None:
    graph = classifier(np.random.default_rng(2))
    report = biport.verify(graph, graph, inputs=[np.array([[9, 3, 0], [7, 0, 8]], "int32")])
    page = Page(write_html(report, tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "They were given." in "".join(page.text)
    assert ["input", "ids: int32 (2, 3)"] in [row for table in page.tables for row in table]
    assert (report.trace, biport.verify(graph, graph, trace="auto").trace) == (None, None)


def test_the_axis_of_errors() -> None:
    scale = error_scale([0.0, 3e-9, 2e-5, np.inf])
    assert scale == ErrorScale(-9, -4, True)
    parts = [scale(error) for error in (0.0, 1e-12, 1e-9, 1e-6, 1e-4, 10.0, np.inf, np.nan)]
    assert parts == sorted(parts)
    assert 0 < parts[0] < parts[1] == parts[2]
    assert parts[4] == parts[5] < parts[6] < 1
    assert [text for _, text in sorted(scale.ticks(6))] == ["0", "1e-8", "1e-7", "1e-6", "1e-5", "NaN"]


def biport_command(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_writes_the_page_and_still_says_different(tmp_path: Path) -> None:
    graph, other = (classifier(np.random.default_rng(seed)) for seed in (2, 3))
    one, two, page = (tmp_path / name for name in ("one", "two", "report.html"))
    bundle.write(graph, one)
    bundle.write(other, two)
    ran = biport_command("verify", one, two, "-o", page, "--json")
    assert ran.exit_code == 1, ran.output
    data = json.loads(ran.stdout)
    assert data["output"] == str(page)
    # Where they part is looked for without being asked for.
    assert data["trace"][0]["form"] == "two"
    assert "first differs at node" in page.read_text()
    old = page.read_bytes()
    refused = biport_command("verify", one, two, "-o", page)
    assert refused.exit_code == 2
    assert "exists already; use --force to replace it" in refused.stderr
    assert page.read_bytes() == old
    again = biport_command("verify", one, one, "-o", page, "--force")
    assert again.exit_code == 0, again.output
    assert f"written: {page}" in again.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "report.html", "two"]


def test_what_cannot_be_written_is_told_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = biport_command("verify", tmp_path, tmp_path, "-o", tmp_path / "report.pdf")
    assert refused.exit_code == 2
    assert "which ends in .html" in refused.stderr
    with pytest.raises(InputError, match="does not exist"):
        write_html(Report([]), tmp_path / "no" / "report.html")
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingDependencyError, match="pip install jinja2"):
        write_html(Report([]), tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []
