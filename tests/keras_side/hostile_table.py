"""A table of every hostile file: what ends it, and how much time and memory that took.

``python tests/keras_side/hostile_table.py`` prints it; ``docs/hostile-files.md`` is the promise.
"Reads the good numbers" means that the graph is the one of the file before it was spoilt.
"""

from __future__ import annotations

import re

import hostile_files
from hostile_run import Outcome, outcomes

COLUMNS = "| what is wrong | container | what ends it | s | MB |\n|---|---|---|---|---|"


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
    """Measure and print."""
    for group in hostile_files.FILES:
        print(f"\n## {group.capitalize()}\n\n{COLUMNS}")
        for outcome in outcomes(group):
            print(row(outcome), flush=True)


if __name__ == "__main__":
    main()
