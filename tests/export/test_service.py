"""The services of docs/service.md as they stand there: what they answer, whatever comes, and for how long."""

from __future__ import annotations

import ast
import concurrent.futures
import contextlib
import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import export
from biport import ops
from biport.data import Vocabulary
from biport.graph import Graph
from testing.onnx_graphs import H, I, array, chain, lstm

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "service.md").read_text()
SERVICES = ("service.py", "plain_service.py")
WORDS = Vocabulary(("<pad>", "<unk>", "good", "film", "not", "!", "bad", "the"))
LABELS = ("no", "yes")
MAX_BYTES = 2**18


def shown(name: str, **constants: float) -> str:
    """A file of the page, with other limits where a test needs them."""
    match = re.search(rf"<!-- {re.escape(name)} -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert match is not None
    code = match[1]
    for constant, value in constants.items():
        assert re.search(rf"^[A-Z_, ]*\b{constant}\b.* = ", code, re.MULTILINE)
        code = code.replace("\nclass ", f"\n{constant} = {value}\n\n\nclass ", 1)
    return code


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(2)
    weights: dict[str, Any] = {"weight": array(rng, 1, H), "bias": array(rng, 1)}
    head = ops.Dense(input_size=H, output_size=1, activation="sigmoid", **weights)
    graph = chain(rng, lstm(rng, I, H), head)
    path = tmp_path_factory.mktemp("served") / "model.onnx"
    export.write(Graph(graph.inputs, graph.nodes, ("layer_2",)), path, vocabulary=WORDS, labels=LABELS)
    return path


class Truth:
    """Texts, and what `Session.run` says of each by itself."""

    def __init__(self, model: Path) -> None:
        draw = random.Random(0)
        words = [*WORDS.tokens[2:], "unknown", "É", "\N{PILE OF POO}", "\x00", "\u2028"]
        self.texts = ["", " ", *(" ".join(draw.choices(words, k=draw.randrange(1, 40))) for _ in range(40))]
        session = export.Session(model, device="cpu", threads=1)
        self.shares: dict[str, float] = {}
        for text in [*self.texts, "good " * 1999, "good film", "bad film"]:
            ((share,),) = session.run([np.array([WORDS.encode(text) or [0]])])[0]
            self.shares[text] = float(share)

    def check(self, texts: Sequence[str], answer: Any) -> None:
        results = answer["results"]
        assert len(results) == len(texts)
        for text, result in zip(texts, results, strict=True):
            share = self.shares[text]
            assert result["label"] == LABELS[share >= 0.5]
            assert abs(result["probability"] - max(share, 1 - share)) < 1e-6


@pytest.fixture(scope="module")
def truth(model: Path) -> Truth:
    return Truth(model)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextlib.contextmanager
def process(
    name: str, model: Path, folder: Path, **constants: float
) -> Iterator[tuple[subprocess.Popen, int]]:
    """A service as a process, started as the page says."""
    port = free_port()
    (folder / name).write_text(shown(name, **constants))
    if name == "service.py":
        options = ["--port", str(port), "--limit-concurrency", "256", "--timeout-graceful-shutdown", "30"]
        command = [sys.executable, "-m", "uvicorn", "service:app", *options, "--log-level", "warning"]
    else:
        command = [sys.executable, name, str(model), str(port)]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "MODEL": str(model), "PYTHONPATH": paths}
    with (folder / f"{name}.log").open("w") as log:
        started = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        wait_until_ready(port, started)
        yield started, port
    finally:
        started.kill()
        started.wait()


@contextlib.contextmanager
def here(model: Path, monkeypatch: pytest.MonkeyPatch, **constants: float) -> Iterator[int]:
    """The FastAPI service in a thread of this process."""
    import uvicorn

    monkeypatch.setenv("MODEL", str(model))
    module = types.ModuleType("service")
    monkeypatch.setitem(sys.modules, "service", module)
    exec(compile(shown("service.py", **constants), "service.py", "exec"), module.__dict__)
    server = uvicorn.Server(uvicorn.Config(module.app, log_level="warning", lifespan="on"))
    with socket.socket(proto=socket.IPPROTO_TCP) as listening:  # asyncio sends at once on such alone
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=[[listening]])
        thread.start()
        port = listening.getsockname()[1]
        try:
            wait_until_ready(port, None)
            yield port
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


def wait_until_ready(port: int, started: subprocess.Popen | None) -> None:
    for _ in range(1200):
        assert started is None or started.poll() is None
        with contextlib.suppress(OSError, http.client.HTTPException):
            if ask(port, "/ready")[0] == 200:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nothing on port {port}")


def ask(port: int, path: str = "/predict", body: bytes | None = None, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        return ask_again(connection, path, body, **headers)
    finally:
        connection.close()


def ask_again(
    connection: http.client.HTTPConnection, path: str, body: bytes | None, **headers: str
) -> tuple[int, Any]:
    """On a connection that is kept."""
    headers = {"Content-Type": "application/json"} | headers
    connection.request("GET" if body is None else "POST", path, body, headers)
    with connection.getresponse() as answer:
        return answer.status, json.loads(answer.read())


def query(*texts: Any) -> bytes:
    return json.dumps({"texts": texts}).encode()


BAD: list[tuple[bytes, int]] = [
    (b"", 400),
    (b"{", 400),
    (b"\xff\xfe", 400),
    (b'{"texts": ["\xff"]}', 400),
    (b"[" * 50_000, 400),
    (query("lone \ud800"), 400),
    (b"{}", 422),
    (b"7", 422),
    (b'["a text"]', 422),
    (b'{"texts": "a text"}', 422),
    (b'{"texts": {"0": "a text"}}', 422),
    (query("good", 3), 422),
    (query(None), 422),
    (query(*["good"] * 101), 422),
    (query("a" * 10_001), 422),
    (query("good", "a" * MAX_BYTES), 413),
    (b" " * (4 * MAX_BYTES), 413),
]
"""Bodies that are refused, and how."""


def check_contract(port: int, truth: Truth) -> None:
    assert ask(port, "/health") == (200, {"status": "ok"})
    assert ask(port, "/ready") == (200, {"device": "cpu", "labels": list(LABELS), "waiting": 0})
    assert ask(port, "/nowhere") == (404, {"error": "Not Found"})
    assert ask(port, "/nowhere", query()) == (404, {"error": "Not Found"})
    status, answer = ask(port, body=query(*truth.texts))
    assert status == 200
    truth.check(truth.texts, answer)
    assert ask(port, body=query()) == (200, {"results": []})
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        for body, status in BAD:
            answered, answer = ask_again(connection, "/predict", body)
            assert (answered, list(answer)) == (status, ["error"]), body[:80]
            # A request that is refused leaves the connection in order.
            assert ask_again(connection, "/predict", query())[0] == 200


class Client:
    """Somebody who asks this and that, and counts; every good request has to be answered, and rightly."""

    def __init__(self, port: int, truth: Truth, seed: int) -> None:
        self.port, self.truth, self.draw = port, truth, random.Random(seed)
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.good = 0

    def ask(self, times: int) -> int:
        kinds = (self.ask_well, self.ask_badly, self.ask_much, self.hang_up)
        with contextlib.closing(self.connection):
            for kind in self.draw.choices(kinds, [70, 20, 2, 8], k=times):
                kind()
        return self.good

    def ask_well(self) -> None:
        texts = self.draw.choices(self.truth.texts, k=self.draw.choice([1, 1, 1, 3, 20]))
        self._answered(texts)

    def ask_much(self) -> None:
        self._answered(["good " * 1999, *self.truth.texts[:5]])

    def _answered(self, texts: list[str]) -> None:
        status, answer = ask_again(self.connection, "/predict", query(*texts))
        assert status == 200, answer
        self.truth.check(texts, answer)
        self.good += 1

    def ask_badly(self) -> None:
        body, status = self.draw.choice(BAD)
        assert ask_again(self.connection, "/predict", body)[0] == status

    def hang_up(self) -> None:
        """In the middle of the head, of the body, or without hearing the answer."""
        body = query("good film")
        head = f"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        whole = head + body
        sent = self.draw.choice([whole[:20], whole[: len(head) + 5], whole])
        with socket.create_connection(("127.0.0.1", self.port), 30) as connection:
            connection.sendall(sent)


def ask_all(port: int, truth: Truth, clients: int, times: int, seed: int = 0) -> int:
    """How many good requests there were; all of them were answered."""
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        waiting = [
            pool.submit(Client(port, truth, seed * clients + number).ask, times) for number in range(clients)
        ]
        return sum(future.result() for future in waiting)


def test_the_batcher(
    model: Path, truth: Truth, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(model.parent)
    exec(compile(shown("batcher"), "docs/service.md", "exec"), {})
    answers = ast.literal_eval(capsys.readouterr().out)
    results = [{"label": label, "probability": share} for label, share in answers]
    truth.check(["good film", "bad film"], {"results": results})


def test_the_service_on_fastapi(model: Path, truth: Truth, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fastapi")
    with here(model, monkeypatch) as port:
        check_contract(port, truth)
        assert "Query" in str(ask(port, "/openapi.json"))
        assert ask_all(port, truth, clients=4, times=30) > 60


def test_the_service_of_the_standard_library(model: Path, truth: Truth, tmp_path: Path) -> None:
    with process("plain_service.py", model, tmp_path) as (started, port):
        check_contract(port, truth)
        assert ask(port, body=b"{}", **{"Content-Length": "1_0"})[0] == 411
        assert ask_all(port, truth, clients=4, times=30) > 60
        started.send_signal(signal.SIGTERM)
        assert started.wait(30) == 0
    assert (tmp_path / "plain_service.py.log").read_text() == f"listening on port {port}\n"


def status_of(pid: int) -> dict[str, int]:
    """Resident memory in KiB, threads, and open files of a process."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    files = len(os.listdir(f"/proc/{pid}/fd"))
    return {"memory": int(fields["VmRSS"].split()[0]), "threads": int(fields["Threads"]), "files": files}


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.01)
    raise TimeoutError


def settled(pid: int, before: dict[str, int]) -> dict[str, int]:
    """The same once connections that were left are closed."""
    now = status_of(pid)
    for _ in range(300):
        if now["threads"] <= before["threads"] and now["files"] <= before["files"]:
            break
        time.sleep(0.1)
        now = status_of(pid)
    return now


SLOW = b"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\n{"


@pytest.mark.sweep
@pytest.mark.parametrize("name", SERVICES)
def test_ten_thousand_requests(name: str, model: Path, truth: Truth, tmp_path: Path) -> None:
    """No answer is lost or wrong, whatever comes between, and nothing grows."""
    with process(name, model, tmp_path) as (started, port), contextlib.ExitStack() as stack:
        idle = status_of(started.pid)
        good = ask_all(port, truth, clients=8, times=250)
        memory = [settled(started.pid, idle)["memory"]]
        for part in range(1, 5):
            # Beside clients that say a part and no more.
            for content in (SLOW[:20], SLOW):
                slow = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                slow.sendall(content)
            good += ask_all(port, truth, clients=8, times=250, seed=part)
            memory.append(status_of(started.pid)["memory"])
        assert good > 6500
        stack.close()
        after = settled(started.pid, idle)
        print(f"{name}: {good} good of 10000, {memory} KiB, {idle} {after}")
        assert memory[-1] - memory[0] < 6144  # less than a KiB a request
        assert after["threads"] <= idle["threads"]
        assert after["files"] <= idle["files"]
        started.send_signal(signal.SIGTERM)
        assert started.wait(30) in (0, -signal.SIGTERM)
    assert "Traceback" not in (tmp_path / f"{name}.log").read_text()


@pytest.mark.sweep
@pytest.mark.parametrize("name", SERVICES)
def test_what_is_asked_for_is_answered_when_it_ends(name: str, model: Path, tmp_path: Path) -> None:
    with process(name, model, tmp_path, MAX_DELAY=4) as (started, port):
        with concurrent.futures.ThreadPoolExecutor(5) as pool:
            waiting = [pool.submit(ask, port, "/predict", query("good")) for _ in range(5)]
            wait_for(lambda: ask(port, "/ready")[1]["waiting"] == 5)
            started.send_signal(signal.SIGTERM)
            assert [future.result()[0] for future in waiting] == [200] * 5
        assert started.wait(30) in (0, -signal.SIGTERM)
        with pytest.raises(ConnectionRefusedError):
            ask(port, "/health")


@pytest.mark.sweep
@pytest.mark.parametrize("name", SERVICES)
def test_too_much_at_once_is_told_to_come_later(name: str, model: Path, tmp_path: Path) -> None:
    limits = {"MAX_REQUESTS": 2, "MAX_WAITING": 3, "MAX_DELAY": 60, "SECONDS": 3}
    with process(name, model, tmp_path, **limits) as (_, port):
        with concurrent.futures.ThreadPoolExecutor(5) as pool:
            first = pool.submit(ask, port, "/predict", query("good", "film", "bad"))
            wait_for(lambda: ask(port, "/ready")[0] == 503)
            status, answer = ask(port, body=query("good"))
            assert (status, answer["error"]) == (503, "3 rows wait, of 3 that may; try again later")
            status, answer = first.result()
            assert (status, answer["error"]) == (503, "not answered within 3 seconds")
            two = [pool.submit(ask, port, "/predict", query("good")) for _ in range(2)]
            wait_for(lambda: ask(port, "/ready")[1].get("waiting") == 2)
            assert ask(port, body=query("good"))[0] == 429
            assert [future.result()[0] for future in two] == [503, 503]
        with socket.create_connection(("127.0.0.1", port), 20) as slow:
            slow.sendall(SLOW)
            assert slow.recv(20).startswith(b"HTTP/1.1 408 ")
        assert ask(port, body=query()) == (200, {"results": []})
