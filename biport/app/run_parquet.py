"""``biport run`` over a corpus in Parquet: here, or by actors of Ray."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from biport.app.progress import show_progress
from biport.app.run import opened, scored_code, scored_data
from biport.app.stored import is_stored
from biport.app.texts import TextOptions
from biport.errors import Argument, InputError

ACTORS = 2
SUFFIX = ".parquet"


@dataclass(frozen=True)
class Scale:
    """How a corpus in Parquet is divided.

    Args:
        ray: whether actors of Ray score it.
        actors: how many.
        address: of a cluster.
        part_rows: the rows of a file of results.
    """

    ray: bool = False
    actors: int | None = None
    address: str | None = None
    part_rows: int | None = None

    def check(self) -> None:
        """Refuse what goes with Ray alone.

        Raises:
            InputError: naming it.
        """
        for name in ("actors", "address"):
            if not self.ray and getattr(self, name) is not None:
                raise InputError(Argument(name, getattr(self, name)), ": goes with ", Argument("ray", True))


@dataclass(frozen=True)
class ParquetCorpus:
    """What is run, and where to.

    Args:
        source: a ``.parquet`` file, or a folder of some.
        output: a folder.
        settings: others of ``export.scale.scoring.score_parquet``.
    """

    source: Path
    output: Path | None
    settings: dict[str, Any] = field(default_factory=dict)


def is_parquet(source: Path) -> bool:
    """Whether an input is a corpus in Parquet.

    Example:
        >>> is_parquet(Path("corpus.parquet")), is_parquet(Path("corpus.csv"))
        (True, False)
    """
    return source.suffix == SUFFIX or (source.is_dir() and any(source.glob(f"*{SUFFIX}")))


def check_no_parquet(scale: Scale) -> None:
    """Refuse options of Parquet beside another input.

    Raises:
        InputError: naming the option.
    """
    for name in ("ray", "actors", "address", "part_rows"):
        value = getattr(scale, name)
        if value not in (None, False):
            raise InputError(Argument(name, value), f": goes with a corpus in {SUFFIX}")


def run_parquet(
    model: Path, corpus: ParquetCorpus, scale: Scale, device: str, quiet: bool, texts: TextOptions
) -> tuple[dict[str, Any], str, int]:
    """Run ``model`` over a corpus; what to say, as data and as text, and the exit code.

    Raises:
        InputError: there is no output; or as ``export.scale.scoring.score_parquet``.
    """
    from export.scale.on_ray import Actors
    from export.scale.scoring import score_parquet

    scale.check()
    if corpus.output is None:
        raise InputError("a corpus in Parquet needs an ", Argument("output"), ", a folder")
    actors = None
    if scale.ray:
        count = ACTORS if scale.actors is None else scale.actors
        actors = Actors(count, scale.address, "cpu" if device == "auto" else device)
        if is_stored(model) and (scale.address or os.environ.get("RAY_ADDRESS")):
            raise InputError(f"{model}: on a cluster the model is an .onnx file that every machine sees")
    # Here it is looked at alone; actors have sessions of their own.
    with opened(model, "cpu" if scale.ray else device, texts) as session, show_progress(quiet) as display:

        def show(done: int, total: int) -> None:
            display.update(corpus.source.name, done, total, "rows")

        more = {"actors": actors, "part_rows": scale.part_rows, "progress": show, **corpus.settings}
        scored = score_parquet(session, corpus.source, corpus.output, **more)
    return _told(model, corpus, actors, scored)


def _told(model: Path, corpus: ParquetCorpus, actors: Any, scored: Any) -> tuple[dict[str, Any], str, int]:
    side = corpus.settings.get("skip_bad")
    data = scored_data(model, scored.output, side, scored) | {
        "parts": scored.parts,
        "actors": None if actors is None else actors.count,
        "retries": scored.retries,
    }
    new = scored.rows - scored.resumed
    told = f"{scored.output}: {scored.rows:,} rows in {scored.parts:,} files, {new:,} of them in "
    there = f", {scored.resumed:,} were there already" if scored.resumed else ""
    lines = [f"{told}{scored.seconds:.1f} s{there}"]
    if scored.retries:
        lines.append(f"workers died, and what they were at was begun anew {scored.retries} times")
    if scored.cut:
        lines.append(f"{scored.cut:,} rows were longer than the model takes, and cut")
    lines += [f"the input's column {name!r} is called {here!r}" for name, here in scored.renamed.items()]
    if side is not None:
        why = "" if scored.problem is None else f"; the first: {scored.problem}"
        lines.append(f"{side}: {scored.left_out:,} rows were left out{why}")
    return data, "\n".join(lines), scored_code(scored)
