"""What the README and the tour show is run as it stands."""

import csv
import dataclasses
import json
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import testing.frameworks  # noqa: F401  # isort: skip

import keras
import numpy as np
import onnx  # noqa: F401  # a test with pytester forgets what it imported, and onnx cannot be imported twice
import pytest
from typer.testing import CliRunner

import export
import keras_side.mapped
from biport import bundle
from biport.app.bench import command as bench
from biport.app.cli import app
from biport.app.demo import sentiment
from biport.app.matrix import mutate
from biport.app.train import merges
from biport.training import RECIPES, data, recipes
from testing import jobs
from testing.junit import check_document

pytest_plugins = "pytester"

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
TOUR = (ROOT / "docs/tour.md").read_text()


def example() -> str:
    marked = re.search(r"<!-- example -->\n```python\n(.*?)```", README, re.DOTALL)
    assert marked is not None
    return marked[1]


def test_the_example_runs(tmp_path, monkeypatch, capsys, fewer_steps) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(example(), "README.md", "exec"), names)
    assert names["probabilities"].shape == (2, 1)
    printed = capsys.readouterr().out
    assert "verdict: same" in printed
    assert "bilstm_1" in printed


def test_the_example_is_about_twenty_lines() -> None:
    lines = [line for line in example().splitlines() if line.strip()]
    assert 15 <= len(lines) <= 20


def test_the_two_commands_come_first() -> None:
    assert README.startswith("# biport\n\n```\nmake demo\nmake test\n```\n")


def test_the_tour_runs(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    # Keras numbers the layers of a process.
    keras.utils.clear_session()
    blocks = re.findall(r"```python\n(.*?)```", TOUR, re.DOTALL)
    exec(compile("\n".join(blocks), "docs/tour.md", "exec"), {})
    printed = capsys.readouterr().out
    (shown,) = re.findall(r"^# (graph.*(?:\n#   .*)*)", TOUR, re.MULTILINE)
    assert shown.replace("\n# ", "\n") in printed
    assert "verdict: same" in printed


STREAMING = (ROOT / "docs/streaming.md").read_text()


@pytest.mark.sweep
def test_the_page_about_streams_runs(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", STREAMING, re.DOTALL)
    exec(compile("\n".join(blocks), "docs/streaming.md", "exec"), {})
    shown = re.findall(r"^print.*\n# (.*)|^    print.*\n# (.*)", STREAMING, re.MULTILINE)
    assert capsys.readouterr().out.splitlines() == [one or other for one, other in shown]


@pytest.mark.sweep
@pytest.mark.filterwarnings("ignore:Layer '.*' .of type .* was passed an input with a mask:UserWarning")
def test_the_page_about_custom_code_runs(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/custom-code.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile("\n".join(blocks), "docs/custom-code.md", "exec"), {})
    assert "Scan(input_size=5" in capsys.readouterr().out


@pytest.mark.sweep
def test_the_page_about_feature_maps_runs(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    keras.utils.clear_session()
    page = (ROOT / "docs/feature-maps.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(block, "docs/feature-maps.md", "exec"), {})
    printed = capsys.readouterr().out
    for shown in (*re.findall(r"^# (.*)$", block, re.MULTILINE), "verdict: same"):
        assert shown in printed
    (code,) = re.findall(r"```\n(image_1 = .*?)```", page, re.DOTALL)
    assert code.replace("\n", "\n    ").rstrip() in printed


@pytest.mark.sweep
def test_the_page_about_texts_runs(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/texts.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile("\n".join(blocks), "docs/texts.md", "exec"), {})
    printed = capsys.readouterr().out
    for shown in re.findall(r"^# (.*)$", "\n".join(blocks), re.MULTILINE):
        assert shown in printed


@pytest.mark.sweep
def test_the_page_about_ctc_runs(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/ctc.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile("\n".join(blocks), "docs/ctc.md", "exec"), {})
    printed = capsys.readouterr().out
    for shown in re.findall(r"^# (.*)$", "\n".join(blocks), re.MULTILINE):
        assert shown in printed
    Path("labels.txt").write_text("a\nb\nc\nd\ne\n")
    np.save("strokes.npy", np.ones((2, 12, 3), "float32"))
    for line in re.findall(r"^biport (.*)$", page, re.MULTILINE):
        result = CliRunner().invoke(app, shlex.split(line))
        assert result.exit_code == 0, (line, result.output, result.exception)
    assert Path("texts.csv").read_text().startswith("row,text,confidence\n1,")


@pytest.mark.sweep
def test_the_page_about_running_runs(tmp_path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    page = (ROOT / "docs/running.md").read_text()
    shell = f'set -e\nbiport() {{ {shlex.quote(sys.executable)} -m biport "$@"; }}\n'
    for language, block in re.findall(r"```(\w*)\n(.*?)```", page, re.DOTALL):
        if language == "python":
            exec(compile(block, "docs/running.md", "exec"), {})
        else:
            subprocess.run(["bash", "-c", shell + block], check=True)
    assert "['a', 'fine', 'film']" in capfd.readouterr().out
    head = "row,id,stars,label,probability\n1,17,5,"
    for name in ("scores.csv", "piped.csv"):
        assert (tmp_path / name).read_text().startswith(head)
    assert (tmp_path / "scores.jsonl").read_text().count("\n") == 4
    assert "expected the 3 fields of the first row, found 2" in (tmp_path / "bad.jsonl").read_text()
    assert (tmp_path / "translated.tsv").read_text().startswith("a fine film\t")


def test_the_page_about_pictures_runs(tmp_path, monkeypatch, capsys, fewer_steps) -> None:
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    page = (ROOT / "docs/images.md").read_text()
    for language, block in re.findall(r"```(\w*)\n(.*?)```", page, re.DOTALL):
        if language == "python":
            exec(compile(block, "docs/images.md", "exec"), {})
        elif language == "":
            do([line for line in block.splitlines() if line.startswith("biport ")])
    assert "HWC 32 96\n0.png " in capsys.readouterr().out
    lines = (tmp_path / "labels.csv").read_text().splitlines()
    assert lines[0] == "row,file,label,probability"
    assert len(lines) == 11


PYTORCH = (ROOT / "docs/pytorch.md").read_text()


@pytest.mark.filterwarnings("ignore:two biases were added up")
def test_the_page_about_pytorch_runs(tmp_path, monkeypatch, capsys, fewer_steps) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    own, *blocks = re.findall(r"```python\n(.*?)```", PYTORCH, re.DOTALL)
    assert "<!-- tagger.py -->\n```python\n" + own in PYTORCH
    (tmp_path / "tagger.py").write_text(own)
    runpy.run_path("tagger.py", run_name="__main__")
    exec(compile("\n".join(blocks), "docs/pytorch.md", "exec"), {})
    sys.modules.pop("tagger")
    assert "verdict: same" in capsys.readouterr().out


@pytest.mark.sweep
@pytest.mark.filterwarnings("ignore:Layer 'attention'")
def test_the_page_about_extending_runs(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("keras_side.mapped.CLASSES", {})
    monkeypatch.setattr("torch_side.mapped.CLASSES", {})
    page = (ROOT / "docs/extend.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (readers,) = re.findall(r"<!-- readers.py -->\n```python\n(.*?)```", page, re.DOTALL)
    blocks.remove(readers)
    (tmp_path / "readers.py").write_text(readers)
    exec(compile("\n".join(blocks), "docs/extend.md", "exec"), {})
    sys.modules.pop("readers")
    printed = capsys.readouterr().out
    assert "attention.score" in printed
    assert "pool.weights" in printed
    lines = [line for line in page.splitlines() if line.startswith("biport ")]
    assert len(lines) == 2
    for line in lines:
        keras_side.mapped.CLASSES.clear()
        result = CliRunner().invoke(app, shlex.split(line)[1:])
        assert result.exit_code == 0, (line, result.output, result.exception)
        assert "not compared with the code of the class" in result.output


def test_the_page_about_folders_runs(tmp_path, monkeypatch, capsys, fewer_steps) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "model", raising=False)
    page = (ROOT / "docs/torch-folder.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile("\n".join(blocks), "docs/torch-folder.md", "exec"), {})
    monkeypatch.delitem(sys.modules, "model")
    printed = capsys.readouterr().out
    (shown,) = re.findall(r"^#     def __init__.*\n(?:#.*\n)*", page, re.MULTILINE)
    assert "\n".join(line[2:] for line in shown.splitlines()) in printed
    assert "topic: same, error" in printed


@pytest.mark.sweep
@pytest.mark.filterwarnings("ignore:two biases were added up")
def test_the_command_lines_about_pytorch_run(tmp_path, monkeypatch, fewer_steps) -> None:
    monkeypatch.chdir(tmp_path)
    own, *_, program = re.findall(r"```python\n(.*?)```", PYTORCH, re.DOTALL)
    (tmp_path / "tagger.py").write_text(own)
    runpy.run_path("tagger.py", run_name="__main__")
    exec(compile(f"import torch, torch_side\n{program}", "docs/pytorch.md", "exec"), {})
    lines = [line for line in PYTORCH.splitlines() if line.startswith("biport ")]
    assert len(lines) == 6
    for line in lines:
        result = CliRunner().invoke(app, shlex.split(line)[1:])
        assert result.exit_code == 0, (line, result.output, result.exception)


TESTING = (ROOT / "docs/testing.md").read_text()
FIGURE = r"\d[\d.]*(e[-+]\d+)?"


def figureless(lines: Iterable[str]) -> list[str]:
    """Without numbers, which differ from machine to machine, and what is as wide as they are."""
    return [re.sub(r" +", " ", re.sub(FIGURE, "#", line)).rstrip() for line in lines]


@pytest.mark.sweep
def test_the_page_about_tests_runs(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The repository of the page: its tests pass, a model drifts, and they fail as shown."""
    files = dict(re.findall(r"<!-- ([\w.]+) -->\n```\w*\n(.*?)```\n", TESTING, re.DOTALL))
    shown = files.pop("failure")
    for name, content in files.items():
        (pytester.path / name).write_text(content)
    for name in ("port.py", "make_reviews.py"):
        runpy.run_path(name, run_name="__main__")
    lines = dict(re.findall(r"run: python -m (\w+) (.*)", files["models.yml"]))
    check = pytester.run(sys.executable, "-m", "biport", *shlex.split(lines["biport"]))
    check.stdout.fnmatch_lines(["verdict: same*"])
    arguments = ["-p", "no:biport", "-p", "biport.app.testing.pytest_plugin", *shlex.split(lines["pytest"])]
    pytester.runpytest_subprocess(*arguments).assert_outcomes(passed=2)
    assert len([*pytester.path.glob("build/biport/*.txt")]) == 2
    assert (pytester.path / "build/junit.xml").exists()
    runpy.run_path("drift.py", run_name="__main__")
    result = pytester.runpytest_subprocess(*arguments)
    result.assert_outcomes(failed=2)
    failure = [line for line in figureless(result.outlines) if line.startswith("E")]
    wanted = figureless(shown.splitlines())
    # Where the worst number is may be another row elsewhere.
    assert [line.split("#")[0] for line in failure[: len(wanted)]] == [line.split("#")[0] for line in wanted]


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.name)
def test_every_path_that_the_docs_name_is_there(page: Path) -> None:
    """Paths from the root, and links to other pages."""
    text = page.read_text()
    named = re.findall(r"`((?:biport|keras_side|torch_side|export|tests|benchmarks)/[\w/.]+)`", text)
    links = [link for link in re.findall(r"\]\(([^)#:]+)\)", text) if not link.startswith("http")]
    assert [path for path in named if not (ROOT / path).exists()] == []
    assert [link for link in links if not (page.parent / link).exists()] == []


def command_lines() -> list[str]:
    (block,) = re.findall(r"## On the command line\n\n```\n(.*?)```", README, re.DOTALL)
    return [line for line in block.splitlines() if line]


LONG = [
    "bench",
    "matrix",
    "compare-merges",
    "--gradients",
    "seq2seq",
    "curves",
    "translate",
    "tagger",
    "--decoder",
    "run-tagger/model",
    "auto",
    "--int8",
    "info",
    "report.html",
]
"""What is in the sweep alone: it takes longer, goes on with what does, or is run by other quick tests too."""


def small_data(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TRAIN": 320, "TEST": 96, "EPOCHS": 1}.items():
        monkeypatch.setattr(sentiment, name, value)
    monkeypatch.setattr(data, "EVALUATION_ROWS", 20)
    small = {name: dataclasses.replace(one, epochs=2, limit=40) for name, one in RECIPES.items()}
    monkeypatch.setattr(recipes, "RECIPES", small)
    monkeypatch.setattr(recipes, "_RECIPES", tuple(small.values()))
    # Each of them would be two processes of their own, in which nothing of this is smaller.
    monkeypatch.setattr(merges, "MERGES", ("ave",))
    race = bench.run_race
    quick = {"batches": (1, 2), "steps": (5,), "seconds": 0.01}
    monkeypatch.setattr(bench, "run_race", lambda graph, **settings: race(graph, **settings | quick))
    monkeypatch.setattr(mutate, "MISTAKES", mutate.MISTAKES[::5])


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.sweep)], ids=["part", "whole"])
def test_the_command_lines_run_in_their_order(whole: bool, tmp_path, monkeypatch, fewer_steps) -> None:
    """In an empty folder, on no models but those that they make."""
    small_data(monkeypatch)
    monkeypatch.chdir(tmp_path)
    for line in command_lines():
        words = shlex.split(line, comments=True)
        if words[0] != "biport":
            subprocess.run(line, shell=True, check=True)
            continue
        if (not whole and any(part in LONG for part in words)) or (not whole and "run-tagger/model" in words):
            continue
        result = CliRunner().invoke(app, words[1:])
        assert result.exit_code == 0, (line, result.output, result.exception)
        assert result.stdout.strip()
    assert (tmp_path / "scores.csv").read_text().startswith("row,label,probability\n1,")


def job(number: int) -> list[str]:
    (block,) = re.findall(rf"<!-- job {number} -->\n```\n(.*?)```", README, re.DOTALL)
    return block.splitlines()


def do(lines: list[str]) -> None:
    for line in lines:
        words = shlex.split(line)
        if words[0] == "python":
            subprocess.run([sys.executable, *words[1:]], check=True)
            continue
        result = CliRunner().invoke(app, words[1:])
        assert result.exit_code == 0, (line, result.output, result.exception)


@pytest.mark.sweep
def test_a_classifier_of_keras_2_with_its_tokeniser(tmp_path, monkeypatch, fewer_steps) -> None:
    monkeypatch.chdir(tmp_path)
    ids = jobs.old_classifier(tmp_path)
    do(job(1))
    texts = [row["review"] for row in csv.DictReader((tmp_path / "reviews.csv").read_text().splitlines())]
    program = (
        "import json, sys; sys.path.insert(0, 'ported'); import model; "
        "print(json.dumps(model.encode(json.load(sys.stdin)).tolist()))"
    )
    command = [sys.executable, "-I", "-c", program]
    found = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, check=True)
    assert json.loads(found.stdout) == ids.tolist()


@pytest.mark.sweep
def test_a_bilstm_into_production(tmp_path, monkeypatch, fewer_steps) -> None:
    small_data(monkeypatch)
    monkeypatch.chdir(tmp_path)
    jobs.rated_reviews(tmp_path)
    do(["biport demo -o demo/", *job(2)])
    rows = [*csv.DictReader((tmp_path / "scores.csv").read_text().splitlines())]
    assert len(rows) == 60
    assert {row["sentiment"] for row in rows} == {"negative", "positive"}
    assert (tmp_path / "small.onnx").stat().st_size < (tmp_path / "model.onnx").stat().st_size


@pytest.mark.sweep
def test_a_tagger_of_ones_own_and_a_model_of_sequences(tmp_path, monkeypatch, fewer_steps) -> None:
    small_data(monkeypatch)
    monkeypatch.chdir(tmp_path)
    jobs.packed_tagger(tmp_path)
    do(job(3))
    tagged = [json.loads(line) for line in (tmp_path / "tags.jsonl").read_text().splitlines()]
    sentences = (tmp_path / "sentences.tsv").read_text().splitlines()[1:]
    assert [" ".join(token["token"] for token in row["tokens"]) for row in tagged] == [
        line.split("\t")[1] for line in sentences
    ]
    assert len((tmp_path / "written.tsv").read_text().splitlines()) == 120


GATES = (ROOT / "docs/gates.md").read_text()


@pytest.mark.sweep
def test_the_page_about_gates_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The repository of the page passes its gates, and misses them when the file is another model's."""
    monkeypatch.chdir(tmp_path)
    blocks = dict(re.findall(r"<!-- ([\w.]+) -->\n```\w*\n(.*?)```\n", GATES, re.DOTALL))
    (tmp_path / "prepare.py").write_text(blocks["prepare.py"])
    runpy.run_path("prepare.py", run_name="__main__")
    (tmp_path / "build").mkdir()
    lines = re.findall(r"run: (biport .*)", blocks["gates.yml"])
    assert len(lines) == 3
    for line in (*blocks["served"].splitlines(), *lines):
        result = CliRunner().invoke(app, shlex.split(line)[1:])
        assert result.exit_code == 0, (line, result.output, result.exception)
    for name in ("check", "verify", "small"):
        root = check_document((tmp_path / f"build/{name}.xml").read_bytes())
        assert root.attrib["tests"] != "0"
    graph = bundle.read("model")
    weights = {name: -array for name, array in graph["mood"].op.weights().items()}
    other = type(graph["mood"].op).build(graph["mood"].op.settings(), weights)
    nodes = [dataclasses.replace(node, op=other) if node.name == "mood" else node for node in graph.nodes]
    export.write(dataclasses.replace(graph, nodes=tuple(nodes)), "model.onnx", overwrite=True)
    missed = CliRunner().invoke(app, [*shlex.split(lines[1])[1:], "--force"])
    assert missed.exit_code == 1, missed.output
    (said,) = [
        line for line in missed.output.splitlines() if line.startswith("gate: label agreement of model.onnx")
    ]
    shown = blocks["missed"].strip()
    assert re.sub(r"[\d.]+|'.*'|\b(no|yes)\b", "", said) == re.sub(r"[\d.]+|'.*'|\b(no|yes)\b", "", shown)
