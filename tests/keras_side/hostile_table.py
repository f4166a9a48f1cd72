"""Writes ``docs/hostile-files.md``: every hostile file, what ends it, and how much time and memory that took.

``python tests/keras_side/hostile_table.py`` from the root of the repository.
"""

from __future__ import annotations

import re
import textwrap

import hostile_files
from hostile_run import ROOT, Outcome, outcomes

HEAD = """# Hostile files

Whatever a `.keras` or `.h5` file holds, or the JSON beside one: `keras_side.read` gives a graph or
raises a `biport.errors.BiportError` that names the file, within five seconds of a processor and one
gigabyte. Nothing in a file is executed, nothing is written, no other file is opened, and no character
of it reaches the terminal that could move its cursor. Where work cannot be bounded, what a model may be
is: {bounds}. HDF5 is read in Python (`keras_side/file/hdf5_format.py`), because libhdf5 1.14.6 crashes over
some damaged files and never comes back from others. Beyond that, time and memory follow the size of the
file: a gigabyte of weights takes a gigabyte and more, and so does a file with holes that says it is
that long.

`tests/keras_side/hostile_files.py` writes the files, `tests/keras_side/test_keras_hostile.py` holds
each to that promise, and `python tests/keras_side/hostile_table.py` measures this table: {count} files,
each read in a process of its own, of which Python and numpy are {base:.0f} MB. The most were
{seconds:.1f} s and {megabytes:.0f} MB. "Reads the good numbers" means that the graph is the one of the
file before it was spoilt.

"""
COLUMNS = "| what is wrong | container | what ends it | s | MB |\n|---|---|---|---|---|\n"
BOUNDS = (
    "8 MB of configuration, 50,000 layers, calls and arguments, models 32 deep, names of 10,000 characters, "
    "lists of members of 1 MB, a million parts of an HDF5 file, and 100 reasons told at once"
)


def row(outcome: Outcome) -> str:
    """One line of the table."""
    ending = f"{outcome.ending}: {shortened(outcome.message)}"
    if outcome.ending == "Graph":
        ending = "reads the good numbers" if outcome.reads == "good" else "is read"
    cells = (outcome.name, outcome.container, ending)
    told = " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells)
    return f"| {told} | {outcome.seconds:.2f} | {outcome.megabytes:.0f} |"


def shortened(message: str) -> str:
    """A message without the folders of this machine, and not too long for a table."""
    text = re.sub(r"/tmp/\S*/", "", " ".join(message.split()))
    text = re.sub(r"^(hostile\.\w+: )\1*", "", text)
    return text if len(text) <= 120 else f"{text[:117]}..."


def main() -> None:
    """Measure and write."""
    by_group = {group: outcomes(group) for group in hostile_files.FILES}
    every = [outcome for group in by_group.values() for outcome in group]
    text = HEAD.format(
        bounds=BOUNDS,
        count=len(every),
        base=min(outcome.megabytes for outcome in every),
        seconds=max(outcome.seconds for outcome in every),
        megabytes=max(outcome.megabytes for outcome in every),
    )
    text = "\n\n".join(textwrap.fill(part, 104, break_on_hyphens=False) for part in text.split("\n\n"))
    for group, rows in by_group.items():
        text += (
            f"## {group.capitalize()}\n\n{COLUMNS}" + "".join(f"{row(outcome)}\n" for outcome in rows) + "\n"
        )
    (ROOT / "docs" / "hostile-files.md").write_text(text.rstrip() + "\n")


if __name__ == "__main__":
    main()
