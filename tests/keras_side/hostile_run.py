"""Reads hostile files, each in a process of its own that a group's process forks, and measures it.

A file is made in one fork and read in another, so that what is measured is the reading, and a crash, an
endless loop or too much memory ends that fork and nothing else.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SECONDS = 20
"""After which a reading is ended."""
MEMORY = 2**31
"""Of address space, beyond which a reading is given none."""


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    Args:
        ending: the error's class, ``"Graph"``, or what ended the process.
        message: of the error.
        is_typed: whether it is an error of biport's own.
        names_file: whether the message names the file.
        digest: of the graph.
        seconds: of the processor, so that a busy machine does not count; what waits is ended after `SECONDS`.
        megabytes: the peak of the memory that is really used.
        left: what was written beside the file.
    """

    name: str
    container: str
    reads: str | None
    ending: str = ""
    message: str = ""
    is_typed: bool = False
    names_file: bool = False
    digest: str = ""
    seconds: float = 0.0
    megabytes: float = 0.0
    left: tuple[str, ...] = ()


def forked(work: Callable[[], Any]) -> tuple[Any, int, float]:
    """What ``work`` gives in a fork, how that ended, and its peak of memory in MB."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        code = 1
        try:
            answer = json.dumps(work()).encode()
            with os.fdopen(write, "wb") as pipe:
                pipe.write(answer)
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        answer = pipe.read()
    _, status, usage = os.wait4(child, 0)
    return json.loads(answer) if answer else None, status, usage.ru_maxrss / 1024


def reading(path: Path, config: Path | None) -> dict[str, Any]:
    """Read a file, in a process that is about to end."""
    import keras_side
    from biport.errors import BiportError

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Of processor time, so that a busy machine is no fault; and an end to what waits.
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.alarm(10 * SECONDS)
    outcome: dict[str, Any] = {}
    start = time.process_time()
    try:
        graph = keras_side.read(path) if config is None else keras_side.read(path, config)
        outcome = {"ending": "Graph", "seconds": time.process_time() - start, "digest": graph.digest()}
    except BaseException as error:
        text = str(error)
        outcome = {
            "ending": type(error).__name__,
            "seconds": time.process_time() - start,
            "message": text if isinstance(error, BiportError) else repr(error)[:500],
            "is_typed": isinstance(error, BiportError),
            "names_file": path.name[:200] in text,
        }
    return outcome


def run(hostile: Any, folder: Path) -> Outcome:
    """Make one file and read it."""
    common = {"name": hostile.name, "container": hostile.container, "reads": hostile.reads}
    folder.mkdir()
    source, _, _ = forked(lambda: [None if part is None else str(part) for part in hostile.make(folder)])
    if source is None:
        return Outcome(**common, ending="could not be made")
    path, config = (None if part is None else Path(part) for part in source)
    assert path is not None
    before = set(folder.parent.rglob("*"))
    outcome, status, megabytes = forked(lambda: reading(path, config))
    if outcome is None:
        outcome = {"ending": f"ended by signal {os.WTERMSIG(status)}", "seconds": float(SECONDS)}
    left = tuple(str(item) for item in set(folder.parent.rglob("*")) - before)
    shutil.rmtree(folder)
    return Outcome(**common, **outcome, megabytes=megabytes, left=left)


def main(*groups: str, every: int = 1) -> None:
    """Print what became of the files of some groups, of every so many a line."""
    sys.path[:0] = [str(ROOT), str(HERE)]
    import hostile_files

    import keras_side

    with tempfile.TemporaryDirectory() as folder:
        keras_side.read(hostile_files.whole(Path(folder), hostile_files.ARCHIVE)[0])
        files = [hostile for group in groups for hostile in hostile_files.FILES[group][::every]]
        for number, hostile in enumerate(files):
            outcome = run(hostile, Path(folder) / str(number))
            print(json.dumps(asdict(outcome)), flush=True)


def outcomes(*groups: str, every: int = 1) -> list[Outcome]:
    """What became of the files of some groups, of every so many, in a process of their own."""
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, str(every), *groups]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return [Outcome(**json.loads(line)) for line in done.stdout.splitlines()]


if __name__ == "__main__":
    main(*sys.argv[2:], every=int(sys.argv[1]))
