"""Files in onnxruntime-web, as a browser runs them, under node: against the oracle, under every mask."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import export
from biport import ops
from biport.graph import Graph, Node, Value
from export.deploy.precision import write_precision
from runtimes.cases import difference, trial
from runtimes.web import VERSION, answers, node, outputs_of
from testing.graphs import bidirectional, dense
from testing.masks import MASKS
from testing.onnx_graphs import chain, embedding, padded_ids
from testing.recurrent_graphs import H, I, both_ways, cases_of, cell, graph_of

PAGE = (Path(__file__).parents[2] / "docs" / "runtimes.md").read_text()
pytestmark = pytest.mark.sweep


def bilstm(rng: np.random.Generator) -> Graph:
    """A masked BiLSTM that says something of each step and of each row."""
    return chain(rng, bidirectional(rng, I, H, return_sequences=True), ops.GlobalAveragePooling1D())


def test_the_example_of_the_page(tmp_path: Path) -> None:
    """It is what stands there that runs, on rows of every pattern of padding."""
    (script,) = re.findall(r"```js\n(.*?)```", PAGE, re.DOTALL)
    assert len([line for line in script.splitlines() if line.strip()]) <= 20
    rng = np.random.default_rng(1)
    graph, path = bilstm(rng), tmp_path / "model.onnx"
    export.write(graph, path, vectors=False)
    for pattern in MASKS:
        ids = padded_ids(rng, pattern)
        printed = node(script, str(path), json.dumps(ids.tolist()))
        answer = {"outputs": [[json.loads(line) for line in printed.splitlines()]]}
        wanted = trial(pattern, graph, {"web": [ids]})
        assert difference(wanted, "web", outputs_of(answer, 0)) is None, pattern


def with_attention(rng: np.random.Generator) -> Graph:
    """A masked BiLSTM whose steps look at each other."""
    nodes = (
        Node("mask", ops.NotEqual(), ("ids",)),
        Node("table", embedding(rng), ("ids",)),
        Node("bi", bidirectional(rng, I, H, return_sequences=True), ("table",), masks=("mask",)),
        Node("seen", ops.Attention(scale=None, score_weight=None), ("bi", "bi"), masks=("mask", "mask")),
        Node("y", dense(rng, 2 * H, 2, "softmax"), ("seen",)),
    )
    return Graph((Value("ids", ("N", "T"), "int32"),), nodes, ("y",))


def test_every_mask(tmp_path: Path) -> None:
    """A BiLSTM, a BiGRU with a loop beside its fused node, a loop and attention, at every size."""
    rng = np.random.default_rng(5)
    graphs = {}
    for kind in ("lstm", "gru", "rnn"):
        one, two = (cell(rng, kind, I, H, 2, return_sequences=True) for _ in range(2))
        graphs[kind] = graph_of(both_ways(one, two))
    graphs["loop"] = graph_of(cell(rng, "lstm", I, H, return_sequences=True, activation="gelu"))
    trials = [trial(name, graph, dict(cases_of(graph, rng))) for name, graph in graphs.items()]
    seen = with_attention(rng)
    batches = {pattern: [padded_ids(rng, pattern)] for pattern in MASKS}
    trials.append(trial("attention", seen, dict(batches)))
    jobs = []
    for number, one in enumerate(trials):
        path = tmp_path / f"{number}.onnx"
        export.write(one.graph, path, vectors=False)
        names = [value.name for value in one.graph.inputs]
        jobs.append((path, [dict(zip(names, one.inputs[case], strict=True)) for case in one.outputs]))
    given = answers(jobs, tmp_path)
    assert given[0]["version"] == VERSION
    for one, answer in zip(trials, given, strict=True):
        for batch, case in enumerate(one.outputs):
            assert difference(one, case, outputs_of(answer, batch)) is None, (one.name, case)


def test_int8(tmp_path: Path) -> None:
    """As near the float32 file as onnxruntime itself is."""
    rng = np.random.default_rng(7)
    graph = chain(rng, bidirectional(rng, I, H, return_sequences=True))
    export.write(graph, tmp_path / "a.onnx")
    write_precision(tmp_path / "a.onnx", tmp_path / "b.onnx", "int8")
    batches = [{"ids": padded_ids(rng, pattern)} for pattern in MASKS]
    exact, smaller = answers([(tmp_path / "a.onnx", batches), (tmp_path / "b.onnx", batches)], tmp_path)
    native = export.Session(tmp_path / "b.onnx", device="cpu")
    for number, batch in enumerate(batches):
        (one,), (two,) = outputs_of(exact, number), outputs_of(smaller, number)
        assert np.abs(one - two).max() < 0.05
        assert np.abs(native.run(batch)[0] - two).max() < 0.02
