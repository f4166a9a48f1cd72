"""Scoring by actors of Ray Data: the same files as without, also where an actor dies, and every row once."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

import export
from biport import ops
from biport.app.cli import app
from biport.data import Vocabulary
from biport.errors import MissingDependencyError
from biport.graph import Graph
from export.scale import on_ray
from export.scale.on_ray import MOST_TRIES, Actors, Scorer
from export.scale.part import Settings
from export.scale.plan import Part
from export.scale.scoring import score_parquet
from testing.onnx_graphs import H, I, array, chain, lstm

WORDS = Vocabulary(("<pad>", "<unk>", "good", "film", "not", "!", "bad", "the"))
PARTS, ROWS = 12, 800


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> export.Session:
    rng = np.random.default_rng(2)
    weights: dict[str, Any] = {"weight": array(rng, 3, H), "bias": array(rng, 3)}
    head = ops.Dense(input_size=H, output_size=3, activation="softmax", **weights)
    graph = chain(rng, lstm(rng, I, H), head)
    path = tmp_path_factory.mktemp("ray") / "m.onnx"
    labels = ("no", "yes", "so-so")
    graph = Graph(graph.inputs, graph.nodes, ("layer_2",))
    export.write(graph, path, vocabulary=WORDS, labels=labels, vectors=False)
    return export.Session(path, device="cpu", threads=1)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts of 1 to 60 tokens, and one row without."""
    rng = np.random.default_rng(3)
    texts: list[str | None] = [
        " ".join(rng.choice(["good", "film", "not", "bad", "the"], size=rng.integers(1, 60)))
        for _ in range(PARTS * ROWS)
    ]
    texts[4321] = None
    path = tmp_path_factory.mktemp("corpus") / "corpus.parquet"
    table = pyarrow.table({"id": [f"r{number}" for number in range(len(texts))], "text": texts})
    parquet.write_table(table, path, row_group_size=5000)
    return path


@pytest.fixture(scope="module")
def wanted(session: export.Session, source: Path, tmp_path_factory: pytest.TempPathFactory) -> pyarrow.Table:
    folder = tmp_path_factory.mktemp("wanted")
    score_parquet(session, source, folder / "o", part_rows=ROWS, skip_bad=folder / "bad.csv")
    return parquet.read_table(folder / "o")


def kill_in_the_middle(folder: Path, killed: list[int], over: threading.Event) -> None:
    """Kill the first actor that is seen to write a part."""
    while not over.wait(0.002):
        for draft in folder.glob(".part-*.tmp"):
            number = draft.name[len(".part-") :][:5]
            try:
                begun = (folder / f"_part-{number}.tries").read_text().splitlines()
            except OSError:
                continue
            killed.append(int(begun[-1].split()[1]))
            os.kill(killed[0], signal.SIGKILL)
            return


@pytest.mark.sweep
def test_two_actors_and_one_that_is_killed(
    session: export.Session, source: Path, wanted: pyarrow.Table, tmp_path: Path
) -> None:
    killed: list[int] = []
    output, side, over = tmp_path / "o", tmp_path / "bad.jsonl", threading.Event()
    killer = threading.Thread(target=kill_in_the_middle, args=(output, killed, over))
    killer.start()
    try:
        done = score_parquet(session, source, output, part_rows=ROWS, skip_bad=side, actors=Actors(2))
    finally:
        over.set()
        killer.join()
    assert len(killed) == 1
    assert (done.rows, done.parts, done.left_out) == (PARTS * ROWS - 1, PARTS, 1)
    assert done.retries >= 1
    table = parquet.read_table(output)
    assert table.column("row").to_pylist() == [n for n in range(1, PARTS * ROWS + 1) if n != 4322]
    assert table.equals(wanted)
    assert json.loads(side.read_text())["row"] == 4322
    names = {path.name for path in output.iterdir()}
    assert names == {"_run.json", "_part-00005.jsonl", *(f"part-{n:05}.parquet" for n in range(PARTS))}


@pytest.mark.sweep
def test_the_command(session: export.Session, source: Path, wanted: pyarrow.Table, tmp_path: Path) -> None:
    """On a cluster that is there already; what is cut off is taken up by other hands."""
    import ray

    output = tmp_path / "o"
    options = ["--skip-bad", tmp_path / "bad.csv", "--part-rows", ROWS]
    arguments = ["run", session.path, "--input", source, "-o", output, *options, "--json"]

    def run(*more: object) -> Any:
        return CliRunner().invoke(app, [str(one) for one in (*arguments, *more)])

    whole = run()
    assert whole.exit_code == 0, whole.output
    for number in (0, 5, 7):
        (output / f"part-{number:05}.parquet").unlink()
    again = run("--resume", "--ray", "--actors", "1")
    assert again.exit_code == 0, again.output
    data = json.loads(again.stdout)
    assert (data["rows"], data["resumed"], data["actors"]) == (PARTS * ROWS - 1, (PARTS - 3) * ROWS, 1)
    assert parquet.read_table(output).equals(wanted)
    assert not ray.is_initialized()


@pytest.mark.sweep
def test_the_page_runs(
    session: export.Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx").write_bytes(session.path.read_bytes())
    texts = ["good film", "", "bad"] * 100
    table = pyarrow.table({"id": [f"r{number}" for number in range(300)], "text": texts})
    parquet.write_table(table, tmp_path / "corpus.parquet")
    page = (Path(__file__).parents[2] / "docs" / "ray.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile("\n".join(blocks), "docs/ray.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == [
        "300 rows in 3 files",
        "['id', 'label', 'probability'] 300",
        "300 rows, begun anew 0 times",
    ]


def test_a_cluster_that_is_not_there(session: export.Session, source: Path, tmp_path: Path) -> None:
    output = tmp_path / "o"
    arguments = ["run", session.path, "--input", source, "-o", output, "--ray", "--address", "127.0.0.1:1"]
    refused = CliRunner().invoke(app, [str(one) for one in arguments])
    assert refused.exit_code == 2
    assert refused.stderr == "error: --address 127.0.0.1:1: cannot be reached: Connection refused\n"
    assert not output.exists()


def test_a_part_that_ends_every_process_ends_the_run(session: export.Session, tmp_path: Path) -> None:
    """One of its rows may do so: it is not begun for ever."""
    parquet.write_table(pyarrow.table({"text": ["good film"] * 9}), tmp_path / "in.parquet")
    scorer = Scorer(str(session.path), str(tmp_path), Settings(), "cpu")
    part = Part(0, tmp_path / "in.parquet", 3, 4, 3)
    (tmp_path / "_part-00000.tries").write_text("here 1\n" * (MOST_TRIES - 1))
    last = on_ray._done(scorer({"part": on_ray._sent(part)})["done"])
    assert (last.rows, last.tries, last.problem) == (4, MOST_TRIES, None)
    assert parquet.read_table(tmp_path / "part-00000.parquet").column("row").to_pylist() == [4, 5, 6, 7]
    (tmp_path / "part-00000.parquet").unlink()
    over = on_ray._done(scorer({"part": on_ray._sent(part)})["done"])
    assert over.problem == f"{tmp_path / 'in.parquet'}: rows 4 to 7 ended {MOST_TRIES} processes"
    assert not (tmp_path / "part-00000.parquet").exists()


def test_an_actor_has_the_tokeniser_of_the_session(session: export.Session, tmp_path: Path) -> None:
    import pickle

    parquet.write_table(pyarrow.table({"text": ["good film not bad"] * 2}), tmp_path / "in.parquet")
    given = export.Session(session.path, device="cpu", threads=1)
    given.tokenizer = replace(session.tokenizer, length=2)  # type: ignore[type-var]
    sent = pickle.loads(pickle.dumps(given.tokenizer))
    scorer = Scorer(str(session.path), str(tmp_path), Settings(), "cpu", sent)
    scorer({"part": on_ray._sent(Part(0, tmp_path / "in.parquet", 0, 2, 0))})
    (wanted,) = given.classify(["good film not bad"])
    table = parquet.read_table(tmp_path / "part-00000.parquet")
    assert table.column("probability")[0].as_py() == pytest.approx(wanted[1], abs=1e-7)
    (other,) = session.classify(["good film not bad"])
    assert other[1] != pytest.approx(wanted[1], abs=1e-4)


def test_what_an_actor_cannot_read_is_told(session: export.Session, tmp_path: Path) -> None:
    scorer = Scorer(str(session.path), str(tmp_path), Settings(), "cpu")
    absent = Part(0, tmp_path / "absent.parquet", 0, 4, 0)
    done = on_ray._done(scorer({"part": on_ray._sent(absent)})["done"])
    assert done.problem is not None
    assert "absent.parquet: is not a Parquet file" in done.problem


def test_without_ray(session: export.Session, source: Path, tmp_path: Path, monkeypatch: Any) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'ray\[data\]'"):
        score_parquet(session, source, tmp_path / "o", actors=Actors(2))
    assert not (tmp_path / "o").exists()
