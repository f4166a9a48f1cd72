"""The parts of a corpus by actors of Ray Data, each with a session of its own.

Ray moves the numbers of parts, and what is counted of them; rows go from file to file. A part whose actor
dies is begun anew by another: its file is there whole or not at all, and always by the same name.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import export.scale
from biport.errors import Argument, BiportError, InputError
from biport.files import reason
from biport.log import log
from biport.text.tokenizer import Tokenizer
from export.require import require
from export.scale.part import LeftRow, PartResult, Settings, score_part
from export.scale.plan import Part
from export.session import Session

ROOT = Path(export.scale.__file__).parents[2]
"""Where biport is imported from."""
MOST_TRIES = 3
"""How often a part is begun: what ends a process may be one of its rows."""
LOCAL = "local"
REACHABLE = 10
"""Seconds that a cluster has to answer."""
STORE = 100 * 2**20
"""Bytes of Ray's store of objects on this machine, in which there are only numbers of parts."""


@dataclass(frozen=True)
class Actors:
    """Who scores.

    Args:
        count: how many, each on a core or, with ``"cuda"``, a GPU.
        address: of a cluster of Ray; ``None`` for the one that ``RAY_ADDRESS`` names, or else one that is
            started on this machine, and ended.
        device: of their sessions.
    """

    count: int = 2
    address: str | None = None
    device: str = "cpu"


class Scorer:
    """An actor."""

    def __init__(
        self, model: str, folder: str, settings: Settings, device: str, tokenizer: Tokenizer | None = None
    ) -> None:
        self.session = Session(model, device=device, threads=1)
        if tokenizer is not None and tokenizer != self.session.tokenizer:
            self.session.tokenizer = tokenizer
        self.folder = Path(folder)
        self.settings = settings

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Score a part."""
        part = _part(row["part"])
        tries = _begun(self.folder / part.beside("tries"))
        if tries > MOST_TRIES:
            last = part.start + part.rows
            problem = f"{part.source}: rows {part.start + 1} to {last} ended {MOST_TRIES} processes"
            return {"done": _sent(PartResult(part.number, tries=tries, problem=problem))}
        start = time.perf_counter()
        try:
            done = score_part(self.session, part, self.folder, self.settings, workers=1)
        except BiportError as error:
            done = PartResult(part.number, problem=str(error))
        done.tries, done.seconds = tries, time.perf_counter() - start
        return {"done": _sent(done)}


def on_ray(
    session: Session, parts: Sequence[Part], folder: Path, settings: Settings, actors: Actors
) -> Iterator[PartResult]:
    """Score parts, and give what became of each as it is done, in any order.

    Model, input and ``folder`` have to be files that every machine of the cluster sees by these paths, and
    biport has to be installed there.

    Raises:
        MissingDependencyError: ray is not installed.
        InputError: the cluster cannot be reached, or has too few cores.
    """
    # What a session warns of once is heard here, and not of actors.
    next(session.predict_each([""], truncate=True, workers=1), None)
    with _cluster(actors) as data:
        for part in parts:
            (folder / part.beside("tries")).unlink(missing_ok=True)
        sent = [_sent(replace(part, source=part.source.resolve())) for part in parts]
        rows = data.from_items([{"part": one} for one in sent], override_num_blocks=len(parts))
        given = [
            str(session.path.resolve()),
            str(folder.resolve()),
            settings,
            actors.device,
            session.tokenizer,
        ]
        needs = {"num_gpus": 1} if actors.device == "cuda" else {"num_cpus": 1}
        pool = data.ActorPoolStrategy(size=min(actors.count, len(parts)), max_tasks_in_flight_per_actor=2)
        scored = rows.map(Scorer, fn_constructor_args=given, compute=pool, **needs)
        for row in scored.iter_rows():
            done = _done(row["done"])
            (folder / parts[0].beside("tries")).with_name(f"_part-{done.number:05}.tries").unlink(
                missing_ok=True
            )
            if done.tries > 1:
                log("ray", "a worker died; its part was begun anew", part=done.number, tries=done.tries)
            yield done


@contextlib.contextmanager
def _cluster(actors: Actors) -> Iterator[Any]:
    """``ray.data`` on a cluster, quiet; one that was started here is ended."""
    with warnings.catch_warnings():
        # Ray warns of its own future, in names of its own.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"ray\b")
        with _environment(actors.address):
            ray = require("ray", "scoring on Ray", "ray")
            data = require("ray.data", "scoring on Ray", "ray")
            own = not ray.is_initialized()
            if own:
                _start(ray, actors)
        try:
            _check_size(ray, actors)
            with _quiet(data):
                yield data
        finally:
            if own:
                ray.shutdown()


@contextlib.contextmanager
def _environment(address: str | None) -> Iterator[None]:
    """What the processes of a cluster that is started here begin with: no reports, and this biport."""
    own = {
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_BACKEND_LOG_LEVEL": "fatal",
    }
    before = {name: os.environ.get(name) for name in own}
    if _address(address) == LOCAL:
        os.environ.update(own)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _quiet(data: Any) -> Iterator[None]:
    """Keep from standard error what Ray Data says of its work."""
    context, logger = data.DataContext.get_current(), logging.getLogger("ray.data")
    bars, level = context.enable_progress_bars, logger.level
    context.enable_progress_bars = False
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        context.enable_progress_bars = bars
        logger.setLevel(level)


def _address(address: str | None) -> str:
    return address or os.environ.get("RAY_ADDRESS") or LOCAL


def _check_reachable(address: str) -> None:
    """Ray asks for minutes where nobody answers."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), timeout=REACHABLE).close()
    except OSError as error:
        raise InputError(Argument("address", address), f": cannot be reached: {reason(error)}") from error


def _start(ray: Any, actors: Actors) -> None:
    address = _address(actors.address)
    _check_reachable(address)
    more: dict[str, Any] = {}
    if address == LOCAL:
        gpus = actors.count if actors.device == "cuda" else 0
        more = {"num_cpus": actors.count, "num_gpus": gpus, "object_store_memory": STORE}
        more |= {"include_dashboard": False}
    terminate = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **more)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(Argument("address", address), f": cannot be reached: {why}") from error
    finally:
        # Ray puts one of its own there. Threads may not, and neither did it.
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGTERM, terminate)


def _check_size(ray: Any, actors: Actors) -> None:
    """Ray waits without end for what it has not."""
    name = "GPU" if actors.device == "cuda" else "CPU"
    there = int(ray.cluster_resources().get(name, 0))
    if there < actors.count:
        raise InputError(
            Argument("actors", actors.count), f": the cluster has {there} of {name}, one an actor"
        )


def _begun(path: Path) -> int:
    """How often a part was begun, with this time; the file says by whom."""
    with path.open("a+", encoding="utf-8") as file:
        file.write(f"{socket.gethostname()} {os.getpid()}\n")
        file.seek(0)
        return len(file.readlines())


def _sent(value: Part | PartResult) -> str:
    return json.dumps(asdict(value), default=str)


def _part(text: str) -> Part:
    fields = json.loads(text)
    return Part(**fields | {"source": Path(fields["source"])})


def _done(text: str) -> PartResult:
    fields = json.loads(text)
    return PartResult(**fields | {"left_out": [LeftRow(**row) for row in fields["left_out"]]})
