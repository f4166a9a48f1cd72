"""An onnxruntime of another environment, under the names that `export.Session` calls."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from runtimes.worker import receive, send

WORKER = Path(__file__).with_name("worker.py")


class EndedError(RuntimeError):
    """The other process is no more: onnxruntime ended it."""


class Remote:
    """A process in which another onnxruntime runs.

    Args:
        python: the interpreter of its environment.
    """

    def __init__(self, python: Path) -> None:
        self.python = python
        self._numbers = itertools.count()
        self._process: Any = None
        self.versions: dict[str, str] = {}
        self._started()

    def _started(self) -> Any:
        if self._process is None or self._process.poll() is not None:
            pipe = subprocess.PIPE
            # Neither this environment's packages nor this checkout's.
            command = [str(self.python), "-I", str(WORKER)]
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
            first = receive(self._process.stdout)
            if first is None:
                raise EndedError(f"{self.python} does not start")
            self.versions = {name: first[0][name] for name in ("onnxruntime", "numpy")}
        return self._process

    def ask(
        self, record: dict[str, Any], arrays: Mapping[str, np.ndarray] | None = None
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What the other process answers."""
        process = self._started()
        try:
            send(process.stdin, record, dict(arrays or {}))
            answer = receive(process.stdout)
        except BrokenPipeError:
            answer = None
        if answer is None:
            raise EndedError(
                f"onnxruntime {self.versions['onnxruntime']} ended its process: {process.wait()}"
            )
        if "error" in answer[0]:
            raise RuntimeError(answer[0]["error"])
        return answer

    def open(self, path: Path) -> RemoteSession:
        """A file, open in the other process."""
        number = next(self._numbers)
        described, _ = self.ask({"task": "open", "session": number, "path": str(path)})
        return RemoteSession(self, number, described)

    def close(self) -> None:
        """End the other process."""
        if self._process is not None:
            self._process.stdin.close()
            self._process.wait(timeout=10)
            self._process.stdout.close()


@dataclass(frozen=True)
class RemoteSession:
    """An ``InferenceSession`` that is open in another process."""

    remote: Remote
    number: int
    described: dict[str, Any]

    def run(self, _: Any, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """All outputs, in order."""
        _, outputs = self.remote.ask({"task": "run", "session": self.number}, feed)
        return [outputs[name] for name in sorted(outputs)]

    def get_inputs(self) -> list[SimpleNamespace]:
        """Name, type and shape of each."""
        return self._values("inputs")

    def get_outputs(self) -> list[SimpleNamespace]:
        """Name, type and shape of each."""
        return self._values("outputs")

    def _values(self, which: str) -> list[SimpleNamespace]:
        return [SimpleNamespace(name=name, type=of, shape=shape) for name, of, shape in self.described[which]]

    def get_modelmeta(self) -> SimpleNamespace:
        """What the file says of itself."""
        return SimpleNamespace(custom_metadata_map=self.described["metadata"])

    def get_providers(self) -> list[str]:
        """The CPU's."""
        return ["CPUExecutionProvider"]
