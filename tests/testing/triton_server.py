"""A real Triton server, of PyPI's ``nvidia-pytriton``, in an environment of its own under ``build/``."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ENVIRONMENT = Path(__file__).parents[2] / "build" / "triton"
PACKAGES = (f"onnxruntime=={version('onnxruntime')}", "numpy<2")
"""The server's backend for Python is built for NumPy 1: under NumPy 2 its outputs have no bytes."""
SERVER = "nvidia-pytriton==0.7.0"
INSTALL, START, STOP = 300, 60, 20
"""Seconds."""
TYPES = {"bool": "BOOL", "int32": "INT32", "int64": "INT64", "float32": "FP32", "object": "BYTES"}


class RefusedError(Exception):
    """What the server answered in place of numbers."""


@dataclass(frozen=True)
class Server:
    """A server that answers on 127.0.0.1.

    Args:
        port: of HTTP.
        log: what it has printed so far.
    """

    port: int
    log: Path

    def ask(self, path: str, content: Any = None) -> Any:
        """The answer to a request for ``path``, which is JSON or nothing; raises `RefusedError`."""
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/v2/{path}", data)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                raise RefusedError(json.loads(error.read())["error"]) from error

    def infer(self, model: str, inputs: Mapping[str, np.ndarray], **classes: int) -> dict[str, np.ndarray]:
        """The outputs of a model; of those named in ``classes`` the labels of so many best ones."""
        given = [
            {
                "name": name,
                "shape": list(array.shape),
                "datatype": TYPES[str(array.dtype)],
                "data": array.ravel().tolist(),
            }
            for name, array in inputs.items()
        ]
        content: dict[str, Any] = {"inputs": given}
        if classes:
            wanted = [{"name": key, "parameters": {"classification": size}} for key, size in classes.items()]
            content["outputs"] = wanted
        answer = self.ask(f"models/{model}/infer", content)
        return {one["name"]: np.array(one["data"]).reshape(one["shape"]) for one in answer["outputs"]}


def installed() -> Path:
    """The Python of an environment with the server in it; a test that cannot have one is skipped."""
    ENVIRONMENT.mkdir(parents=True, exist_ok=True)
    python, ready = ENVIRONMENT / "env" / "bin" / "python", ENVIRONMENT / "ready"
    with (ENVIRONMENT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists() or ready.read_text() != f"{PACKAGES} {SERVER}":
            shutil.rmtree(ENVIRONMENT / "env", ignore_errors=True)
            _run(sys.executable, "-m", "venv", str(ENVIRONMENT / "env"))
            _run(str(python), "-m", "pip", "install", "--quiet", *PACKAGES)
            # What else it asks for is for its own client.
            _run(str(python), "-m", "pip", "install", "--quiet", "--no-deps", SERVER)
            ready.write_text(f"{PACKAGES} {SERVER}")
        _complete(python)
    _check_libraries(python)
    return python


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL)
    if done.returncode:
        pytest.skip(f"{SERVER} cannot be installed: {done.stderr.strip()[-300:]}")


def _folder(python: Path) -> Path:
    release = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return python.parents[1] / "lib" / release / "site-packages" / "pytriton" / "tritonserver"


def _complete(python: Path) -> None:
    """Give the server the stub of this Python, and a backend for ONNX."""
    server, release = _folder(python), f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = server / "python_backend_stubs" / release / "triton_python_backend_stub"
    if not stub.exists():
        pytest.skip(f"{SERVER} has no backend for Python {release}")
    if not (server / "backends" / "python" / stub.name).exists():
        # Not while a server runs it.
        shutil.copy(stub, server / "backends" / "python")
    (server / "backends" / "onnxruntime").mkdir(exist_ok=True)
    own = Path(__file__).with_name("triton_onnxruntime.py")
    shutil.copy(own, server / "backends" / "onnxruntime" / "model.py")
    for program in (server / "bin" / "tritonserver", server / "backends" / "python" / stub.name):
        program.chmod(0o755)


def _check_libraries(python: Path) -> None:
    server = _folder(python)
    for program in ("bin/tritonserver", "backends/python/triton_python_backend_stub"):
        listed = subprocess.run(["ldd", str(server / program)], capture_output=True, text=True)
        missing = [
            line.strip() for line in (listed.stdout + listed.stderr).splitlines() if "not found" in line
        ]
        if missing or listed.returncode:
            pytest.skip(f"the Triton server cannot run here: {missing or listed.stderr.strip()}")


@contextmanager
def serving(repository: Path, folder: Path) -> Iterator[Server]:
    """A server of the models in ``repository``, stopped at the end; ``folder`` is where its log goes."""
    python = installed()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        str(_folder(python) / "bin" / "tritonserver"),
        f"--model-repository={repository}",
        f"--backend-directory={_folder(python) / 'backends'}",
        *("--http-address=127.0.0.1", f"--http-port={port}", "--allow-grpc=false", "--allow-metrics=false"),
        *("--strict-model-config=true", "--exit-on-error=true", "--exit-timeout-secs=5"),
    ]
    hidden = ("PYTHONPATH", "LD_LIBRARY_PATH")
    env = {name: value for name, value in os.environ.items() if name not in hidden}
    env["PATH"] = f"{python.parent}:{env['PATH']}"
    log = folder / "triton.log"
    with (
        log.open("w") as sink,
        subprocess.Popen(
            command, stdout=sink, stderr=subprocess.STDOUT, env=env, start_new_session=True
        ) as process,
    ):
        server = Server(port, log)
        try:
            _wait(process, server)
            yield server
        finally:
            _stop(process)


def _wait(process: subprocess.Popen[bytes], server: Server) -> None:
    end = time.monotonic() + START
    while time.monotonic() < end and process.poll() is None:
        try:
            server.ask("health/ready")
        except (OSError, RefusedError):
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"the server did not start:\n{_tail(server.log)}")


def _tail(log: Path, lines: int = 40) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)


def batches(log: Path, model: str) -> Sequence[tuple[int, int]]:
    """How many requests, and how many rows, each batch of a model of ours had."""
    mark = f"{model}: a batch of "
    lines = [
        line.removeprefix(mark).split() for line in log.read_text().splitlines() if line.startswith(mark)
    ]
    return [(int(line[0]), int(line[2])) for line in lines]
