"""JUnit's XML: of the structure that GitHub, GitLab and Jenkins read, whatever the names in it."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from biport.app.junit import Case, Suite, check_junit, gate_case, junit, write_junit
from biport.compare.gate import Gate
from biport.errors import InputError
from testing.junit import check_document

NASTY = "a<b>&\"'\x00\x1b[31m\ud800 \U0001f600\nnew"
SUITES = [
    Suite(
        NASTY,
        [
            Case("one", message="0.5, at least 0.4", seconds=0.25),
            Case(NASTY, "failure", NASTY, f"{NASTY}\n]]>", owner=NASTY),
            Case("three", "error", "not measured"),
            Case("four", "skipped", "says nothing"),
        ],
        {"data": NASTY},
        seconds=1.5,
    ),
    Suite("none", []),
]


def test_the_document_is_one_that_others_read() -> None:
    root = check_document(junit("biport verify", SUITES))
    assert {name: root.attrib[name] for name in ("tests", "failures", "errors", "skipped", "time")} == {
        "tests": "4",
        "failures": "1",
        "errors": "1",
        "skipped": "1",
        "time": "1.500",
    }
    failure = next(root.iter("failure"))
    # What XML cannot hold is written out; a line break in an attribute is kept by its number.
    assert failure.attrib["message"] == "a<b>&\"'\\u0000\\u001b[31m\\ud800 \U0001f600\nnew"
    assert (failure.text or "").endswith("]]>")
    assert next(root.iter("system-out")).text == "0.5, at least 0.4"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda root: root[0].set("failures", "7"), "failures"),
        (lambda root: root[0].remove(root[0][0]) or root[0][0].append(ElementTree.Element("b")), "b"),
        (lambda root: root.append(ElementTree.Element("testcase")), "testcase"),
        (lambda root: root[0][1].attrib.pop("classname"), "classname"),
    ],
)
def test_another_structure_is_no_document(change, words: str) -> None:
    root = ElementTree.fromstring(junit("biport verify", SUITES))
    change(root)
    with pytest.raises(AssertionError, match=words):
        check_document(ElementTree.tostring(root))


def test_a_gate_is_a_case() -> None:
    kept = gate_case(Gate("accuracy", "a.onnx", 0.9, 0.9))
    missed = gate_case(Gate("accuracy", "a.onnx", 0.89, 0.9))
    unknown = gate_case(Gate("accuracy", "a.onnx", None, 0.9))
    assert [case.outcome for case in (kept, missed, unknown)] == ["passed", "failure", "error"]
    assert missed.message == "accuracy of a.onnx: 0.89, at least 0.9 is asked for: missed"
    assert not Gate("accuracy", "a.onnx", float("nan"), 0.0).ok


def test_a_file_is_written_whole_and_over_nothing_unasked(tmp_path: Path) -> None:
    path = tmp_path / "results.xml"
    write_junit(None, "biport", SUITES)
    write_junit(path, "biport", SUITES)
    check_document(path.read_bytes())
    check_junit(path, True)
    for wrong, words in (
        (path, "exists already"),
        (tmp_path / "results.txt", r"ends in \.xml"),
        (tmp_path / "no" / "results.xml", "does not exist"),
    ):
        with pytest.raises(InputError, match=words):
            check_junit(wrong, False)
    assert [one.name for one in tmp_path.iterdir()] == ["results.xml"]
