"""The services of docs/service.md under load: requests a second, how long one takes, batched and one by one.

Each service is a process, asked by 1, 8 and 64 clients that keep connections and ask again when answered.
Requests are one text of 3 to 400 words, of lengths as in `corpus.py`. ``--options`` measures settings of one.
"""

import argparse
import asyncio
import contextlib
import http.client
import json
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import export
import keras_side
from biport.data import Vocabulary
from keras_side.models.sentiment import sentiment

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "service.md"
V, E, UNITS = 10_000, 128, (128, 128)
LABELS = ("negative", "positive")
WORDS = Vocabulary(("<pad>", "<unk>", *(f"word{number}" for number in range(V - 2))))
CLIENTS = (1, 8, 64)
TEXTS = 512
BATCHED = r"(MAX_ROWS, MAX_DELAY, MAX_WAITING, WORKERS, THREADS = ).*"
"""The line of a service that says how it batches."""


BATCHING = "64, 0, 1024, 1, 1"
"""What the page says."""
OPTIONS = {
    "as in the page": BATCHING,
    "up to 16 rows": "16, 0, 1024, 1, 1",
    "up to 256 rows": "256, 0, 1024, 1, 1",
    "waiting 2 ms": "64, 0.002, 1024, 1, 1",
    "two workers": "64, 0, 1024, 2, 1",
    "two threads": "64, 0, 1024, 1, 2",
}


def corpus(count: int, seed: int = 0) -> list[str]:
    """Texts of 3 to 400 words, half of them below 20."""
    rng = np.random.default_rng(seed)
    lengths = np.clip(np.exp(rng.normal(3.0, 0.9, count)), 3, 400).astype(int)
    return [" ".join(f"word{number}" for number in rng.integers(0, V - 2, length)) for length in lengths]


@dataclass
class Service:
    """A contestant: what it is called, how it is started, and what was measured by numbers of clients.

    Args:
        name: in the table.
        command: without the port.
        port: where it listens.
        folder: where it runs.
        environment: besides this process's.
        busy: seconds of processors.
        process: its number.
    """

    name: str
    command: Sequence[str]
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=lambda: free_port())
    rates: dict[int, list[float]] = field(default_factory=dict)
    times: dict[int, list[float]] = field(default_factory=dict)
    busy: dict[int, float] = field(default_factory=dict)
    process: int = 0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        server = subprocess.Popen(
            [*self.command, str(self.port)],
            cwd=self.folder,
            env={**os.environ, **self.environment, "PYTHONPATH": paths},
            stdout=subprocess.DEVNULL,
        )
        self.process = server.pid
        try:
            yield
        finally:
            server.terminate()
            server.wait(30)

    def cpu(self) -> float:
        """Seconds of processors that it has used."""
        fields = Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def shown(name: str) -> str:
    """A file of the page."""
    match = re.search(rf"<!-- {re.escape(name)} -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert match is not None, name
    return match[1]


def services(model: Path, folder: Path, batchings: dict[str, str]) -> list[Service]:
    """Both services of the page under each batching, and one that knows none."""
    contestants: list[Service] = []
    for title, name in (("FastAPI", "service.py"), ("standard library", "plain_service.py")):
        for kind, batching in batchings.items():
            code, count = re.subn(BATCHED, rf"\g<1>{batching}", shown(name))
            assert count == 1, name
            place = folder / f"{name}-{len(contestants)}"
            place.mkdir()
            (place / name).write_text(code)
            uvicorn = [sys.executable, "-m", "uvicorn", "service:app", "--no-access-log", "--log-level"]
            command = (
                [*uvicorn, "warning", "--port"]
                if name == "service.py"
                else [sys.executable, name, str(model)]
            )
            contestants.append(Service(f"{title}, {kind}", command, place, {"MODEL": str(model)}))
    plain = [sys.executable, str(Path(__file__).with_name("one_by_one_service.py")), str(model)]
    return [*contestants, Service("standard library, no batcher, no keep-alive", plain, folder)]


def request(text: str) -> bytes:
    body = json.dumps({"texts": [text]}).encode()
    head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Content-Type: application/json\r\n\r\n".encode() + body


def wait_for(port: int, texts: Sequence[str], wanted: Sequence[tuple[str, float]]) -> None:
    """Until a service is there; and that it gives the right answers."""
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            break
        time.sleep(0.1)
    for text, (label, share) in zip(texts, wanted, strict=True):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("POST", "/predict", json.dumps({"texts": [text]}))
        with connection.getresponse() as response:
            (result,) = json.loads(response.read())["results"]
        connection.close()
        assert result["label"] == label
        assert abs(result["probability"] - share) < 1e-5


async def client(port: int, requests: Sequence[bytes], until: float, times: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for content in requests:
        start = time.perf_counter()
        if start > until:
            break
        writer.write(content)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert b" 200 " in head.partition(b"\r\n")[0], head
        length = re.search(rb"content-length: (\d+)", head)
        assert length is not None
        await reader.readexactly(int(length[1]))
        times.append(time.perf_counter() - start)
        if head.startswith(b"http/1.0"):
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()


async def load(port: int, clients: int, texts: Sequence[str], seconds: float, seed: int) -> list[float]:
    """How long each request took, of as many as there were in so many seconds."""
    draw, times = random.Random(seed), []
    pool = [request(text) for text in texts]
    until = time.perf_counter() + seconds
    orders = [draw.choices(pool, k=int(5000 * seconds)) for _ in range(clients)]
    await asyncio.gather(*(client(port, order, until, times) for order in orders))
    return times


def measure(contestants: Sequence[Service], texts: Sequence[str], seconds: float, rounds: int) -> None:
    """The services take turns, so that a busy machine is busy for all of them."""
    for turn in range(rounds):
        for clients in CLIENTS:
            for service in contestants:
                used = service.cpu()
                times = asyncio.run(load(service.port, clients, texts, seconds, turn))
                service.busy[clients] = service.busy.get(clients, 0) + service.cpu() - used
                service.times.setdefault(clients, []).extend(times)
                service.rates.setdefault(clients, []).append(len(times) / seconds)


def table(contestants: Sequence[Service]) -> str:
    """Requests a second; ms in which half and 99 of 100 were answered; and ms of processors that one took."""
    groups = [f"{clients} client{'s' * (clients > 1)}" for clients in CLIENTS]
    lines = ["| | " + " | ".join(groups) + " |", "|---" * (len(groups) + 1) + "|"]
    for service in contestants:
        cells = []
        for clients in CLIENTS:
            middle, last = np.percentile(service.times[clients], [50, 99]) * 1000
            busy = 1000 * service.busy[clients] / len(service.times[clients])
            rate = statistics.median(service.rates[clients])
            cells.append(f"{rate:.0f}/s, {middle:.1f}, {last:.1f}, {busy:.2f} ms")
        lines.append(f"| {service.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def model_alone(model: Path, texts: Sequence[str], size: int) -> float:
    """Ms of a processor for a text, so many at a time."""
    session = export.Session(model, device="cpu", threads=1)
    ids = [WORDS.encode(text) for text in texts]
    start = time.process_time()
    if size == 1:
        for row in ids:
            session.run([np.array([row])])
    else:
        for first in range(0, len(ids), size):
            list(session.predict(ids[first : first + size]))
    return 1000 * (time.process_time() - start) / len(ids)


def write(name: str, figures: str) -> None:
    """Put figures between their marks in the page."""
    page, count = re.subn(
        rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)",
        lambda match: f"{match[1]}{figures}\n{match[2]}",
        PAGE.read_text(),
        flags=re.DOTALL,
    )
    assert count == 1
    PAGE.write_text(page)


def steps(models: dict[str, Path]) -> None:
    """What a call and a step cost besides their rows, in steps of one row: c + T · (a + N), fitted."""
    sizes = [(N, T) for N in (1, 2, 4, 8, 16) for T in (1, 10, 40, 100)]
    for name, path in models.items():
        session = export.Session(path, device="cpu", threads=1)
        times = [quickest(session, np.full((N, T), 2, "int32")) for N, T in sizes]
        columns = np.array([(1, T, N * T) for N, T in sizes])
        # Relative errors, or the largest batches alone would be fitted.
        scale = np.array(times)
        fitted, *_ = np.linalg.lstsq(columns / scale[:, None], np.ones(len(sizes)), rcond=None)
        call, step, row = fitted
        print(f"{name}: {1e6 * row:.2f} us a step of a row; a call {call / row:.0f}, a step {step / row:.1f}")


def quickest(session: export.Session, ids: np.ndarray) -> float:
    times = []
    for _ in range(20):
        start = time.perf_counter()
        session.run([ids])
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--options", action="store_true")
    parser.add_argument("--steps", action="store_true")
    parser.add_argument("--write", action="store_true", help="the figures into docs/service.md")
    chosen = parser.parse_args()
    batchings = {"batched": BATCHING, "one row a time": "1, 0, 1024, 1, 1"}
    if chosen.options:
        batchings = OPTIONS
    texts = corpus(TEXTS)
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder, model = Path(name), Path(name) / "model.onnx"
        graph = keras_side.read(sentiment(V, E, UNITS))
        export.write(graph, model, vocabulary=WORDS, labels=LABELS)
        if chosen.steps:
            export.write(keras_side.read(sentiment(V, 64, (64,))), folder / "small.onnx")
            steps({f"BiLSTM layers of {UNITS}": model, "one of 64": folder / "small.onnx"})
            return
        wanted = list(export.Session(model, device="cpu").classify(texts))
        contestants = services(model, folder, batchings)
        if chosen.options:
            contestants = contestants[: len(OPTIONS)]
        for service in contestants:
            stack.enter_context(service.running())
            wait_for(service.port, texts[:50], wanted[:50])
        measure(contestants, texts, chosen.seconds, chosen.rounds)
        tokens = sum(len(text.split()) for text in texts) / len(texts)
        cores = len(os.sched_getaffinity(0))
        alone = [f"{model_alone(model, texts, size):.2f} ms" for size in (1, 64)]
        figures = (
            f"{tokens:.0f} words a text, {cores} cores; without HTTP a text takes the model {alone[0]} of a "
            f"processor, and {alone[1]} in groups of 64.\n\n{table(contestants)}"
        )
        print(figures)
        if chosen.write:
            name = "options" if chosen.options else "figures"
            write(name, figures)


if __name__ == "__main__":
    main()
