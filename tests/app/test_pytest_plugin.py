"""The plugin of pytest, in runs of its own."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

# What a run inside of this process is first to import, it takes along when it ends.
import biport.app.report_page.write
import biport.testing  # noqa: F401
from biport import bundle
from biport.app.testing.reports import report_name
from testing.graphs import classifier
from testing.masks import padded_ids

pytest_plugins = "pytester"

PLUGIN = ("-p", "no:biport", "-p", "biport.app.testing.pytest_plugin", "-p", "no:cacheprovider")
"""By its name, whether it is installed or not, and once."""

TESTS = """
import pytest
from biport import bundle
from biport.testing import assert_same

@pytest.fixture
def model():
    return bundle.read("model")

def test_port(biport_same, model):
    assert biport_same(model, model).ok
    assert biport_same(model, model, tolerance=1).ok

@pytest.mark.parametrize("name", ["a/b"])
def test_drift(biport_same, model, name):
    biport_same(model, bundle.read("drifted"))

def test_plain():
    pass

def test_absent(biport_same, model):
    biport_same(model, "absent.onnx")
"""


@pytest.fixture
def repository(pytester: pytest.Pytester) -> pytest.Pytester:
    rng = np.random.default_rng(2)
    for name in ("model", "drifted"):
        bundle.write(classifier(rng), pytester.path / name)
    np.savez(pytester.path / "ids.npz", tokens=padded_ids("left", 2, 6, rng))
    pytester.makepyfile(test_port=TESTS)
    return pytester


def test_a_run_without_options_writes_nothing(repository: pytest.Pytester) -> None:
    before = {*repository.path.iterdir()}
    result = repository.runpytest_inprocess(*PLUGIN)
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(
        [
            ">       biport_same(model, bundle.read(?drifted?))",
            "E       AssertionError: graph (2) differs from graph: off by *, first at node *",
            "E       form *output *level *verdict *",
            "E       verdict: different; at fault: graph (2)*",
            "E       graph (2): first differs at node *",
            "E       inputs: random, seed 0: full, *",
            "*test_port.py:*: AssertionError",
            ">       biport_same(model, ?absent.onnx?)",
            "E       biport.errors.FileError: absent.onnx: no such file or folder",
        ]
    )
    output = result.stdout.str()
    # Of the traceback there is the test alone, and no object is shown in place of what it is.
    assert all(name not in output for name in ("same.py", "verify.py", "forms.py"))
    assert "object at 0x" not in output
    assert "biport:" not in output
    assert {path.name for path in {*repository.path.iterdir()} - before} <= {"__pycache__"}


def test_reports_and_inputs(repository: pytest.Pytester) -> None:
    arguments = ("--biport-inputs", "ids.npz", "--biport-report", "build/found", "--junitxml", "junit.xml")
    result = repository.runpytest_inprocess(*PLUGIN, *arguments)
    result.assert_outcomes(passed=2, failed=2)
    folder = repository.path / "build/found"
    result.stdout.fnmatch_lines(
        [
            f"biport: inputs: {repository.path / 'ids.npz'}, reports: {folder}",
            f"*- biport: reports in {folder} -*",
            "test_port.py::test_drift[[]a/b[]]: graph (2) differs from graph: *",
            "test_port.py::test_port: graph (2): the same as graph; largest error *",
            "test_port.py::test_port: graph (2): the same as graph; largest error *, allowed 1.0e+00",
        ]
    )
    drift = report_name("test_port.py::test_drift[a/b]", 1)
    names = {"test_port.py.test_port", "test_port.py.test_port-2", drift}
    assert {path.name for path in folder.iterdir()} == {
        f"{name}{end}" for name in names for end in (".txt", ".json", ".html")
    }
    data = json.loads((folder / f"{drift}.json").read_text())
    assert (data["test"], data["ok"], data["source"]) == ("test_port.py::test_drift[a/b]", False, "graph")
    assert data["inputs"].startswith(f"2 rows of {repository.path / 'ids.npz'} (sha256 ")
    assert data["cases"] == ["input"]
    text = (folder / f"{drift}.txt").read_text()
    assert text.startswith("test_port.py::test_drift[a/b]\ngraph (2) differs from graph: off by ")
    assert "first differs at node" in text
    properties = ElementTree.parse(repository.path / "junit.xml").iter("property")
    assert [one.attrib["value"].split(":")[0] for one in properties if one.attrib["name"] == "biport"] == [
        *["graph (2)"] * 2,
        "graph (2) differs from graph",
    ]


@pytest.mark.parametrize(
    "option, value, message",
    [
        ("--biport-inputs", "nothing.npz", "--biport-inputs: nothing.npz: no such file"),
        ("--biport-report", "page.html", "what is written is a folder, not a .html file"),
        ("--biport-report", "test_port.py", "is not a folder"),
    ],
)
def test_an_option_that_cannot_be_is_told_at_once(
    repository: pytest.Pytester, option: str, value: str, message: str
) -> None:
    result = repository.runpytest_inprocess(*PLUGIN, option, value)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *{message}"])


@pytest.mark.sweep
def test_workers_of_xdist_report_as_one_run_does(repository: pytest.Pytester) -> None:
    arguments = ("-n", "2", "--biport-inputs", "ids.npz", "--biport-report", "found")
    result = repository.runpytest_subprocess(*PLUGIN, *arguments)
    result.assert_outcomes(passed=2, failed=2)
    assert len([*(repository.path / "found").glob("*.txt")]) == 3
    result.stdout.fnmatch_lines(
        [
            "test_port.py::test_drift[[]a/b[]]: graph (2) differs from graph: *",
            "test_port.py::test_port: graph (2): the same as graph; *",
        ]
    )


def test_the_names_of_reports_are_files_anywhere() -> None:
    tests = [
        "a/test_b.py::T::test_c",
        "a/test_b.py::test_c[x/y]",
        "a/test_b.py::test_c[x_y]",
        "../t.py::" + "é" * 300,
    ]
    names = [report_name(test, number) for test in tests for number in (1, 2)]
    assert names[:2] == ["a.test_b.py.T.test_c", "a.test_b.py.T.test_c-2"]
    assert len({*names}) == len(names)
    assert all(len(name) < 150 and Path(name).name == name and name.isascii() for name in names)
