"""What docs/deployment.md shows, executed."""

from __future__ import annotations

import http.client
import importlib.util
import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import export
from biport import ops
from biport.data import Vocabulary
from biport.graph import Graph
from testing.onnx_graphs import H, I, array, chain, lstm

DOCS = Path(__file__).parents[2] / "docs" / "deployment.md"
WORDS = Vocabulary(("<pad>", "<unk>", "good", "film", "not", "!", "bad", "the"))
TEXTS = ["Good film!", "", "not bad"]


def shown(name: str) -> str:
    match = re.search(rf"<!-- {name} -->\n```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert match is not None
    return match[1]


@pytest.fixture(scope="module")
def graph() -> Graph:
    rng = np.random.default_rng(2)
    weights: dict[str, Any] = {"weight": array(rng, 1, H), "bias": array(rng, 1)}
    head = ops.Dense(input_size=H, output_size=1, activation="sigmoid", **weights)
    graph = chain(rng, lstm(rng, I, H), head)
    return Graph(graph.inputs, graph.nodes, ("layer_2",))


@pytest.fixture(scope="module")
def model(graph, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("deployed") / "m.onnx"
    export.write(graph, path, vocabulary=WORDS, labels=("no", "yes"))
    return path


def ask(port: int, content: bytes | None) -> tuple[int, Any]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", content)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def announce(port: int, size: int) -> int:
    """What is answered to a body of ``size`` bytes that does not come."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.putrequest("POST", "/")
    connection.putheader("Content-Length", str(size))
    connection.endheaders()
    with connection.getresponse() as answer:
        status = answer.status
    connection.close()
    return status


def test_the_service(model, tmp_path):
    assert len(shown("service").splitlines()) < 60
    (tmp_path / "service.py").write_text(shown("service"))
    command = [sys.executable, str(tmp_path / "service.py"), str(model), "0"]
    wanted = list(export.Session(model, device="cpu").classify(TEXTS))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline().rpartition(" ")[2])
            assert ask(port, None) == (200, {"device": "cpu", "labels": ["no", "yes"]})
            status, answer = ask(port, json.dumps(TEXTS).encode())
            assert status == 200
            assert [row["label"] for row in answer] == [label for label, _ in wanted]
            np.testing.assert_allclose(
                [row["probability"] for row in answer], [share for _, share in wanted], atol=1e-6
            )
            assert ask(port, b"[]") == (200, [])
            for content, code, message in (
                (b"{", 400, ""),
                (b'"one text"', 400, "a list of up to"),
                (b"[3]", 400, "row 1: should be one row"),
                (b"[" + b"0," * 2000 + b"0]", 400, "a list of up to"),
            ):
                status, answer = ask(port, content)
                assert status == code
                assert message in answer["error"]
            assert announce(port, 2**20 + 1) == 413
        finally:
            process.terminate()


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
def test_ray(model, tmp_path):
    import ray  # type: ignore[import-not-found]

    names: dict[str, Any] = {}
    exec(compile(shown("ray"), str(DOCS), "exec"), names)
    rows = [f"{number},{TEXTS[number % 3]}" for number in range(50)]
    (tmp_path / "in.csv").write_text("\n".join(["id,text", *rows]) + "\n")
    ray.init(num_cpus=4, include_dashboard=False)
    try:
        names["score"](str(model), str(tmp_path / "in.csv"), str(tmp_path / "out"))
        by_id = {row["id"]: row for row in ray.data.read_parquet(str(tmp_path / "out")).take_all()}
    finally:
        ray.shutdown()
    wanted = list(export.Session(model, device="cpu").classify(TEXTS))
    assert sorted(by_id) == list(range(50))
    for number, row in by_id.items():
        label, share = wanted[number % 3]
        assert row["label"] == label
        assert abs(row["probability"] - share) < 1e-6
