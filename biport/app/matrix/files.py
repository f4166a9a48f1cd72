"""What the matrix found, as files in a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from biport.app.matrix import report
from biport.app.matrix.mutate import Detection
from biport.app.matrix.run import Outcome
from biport.errors import MissingDependencyError
from biport.files import check_folder_name, check_target, write_files

JSON, JUNIT, HTML, FAULTS = "matrix.json", "matrix.xml", "matrix.html", "faults.json"


def check_output(folder: Path, overwrite: bool) -> None:
    """Refuse a folder that is there already, before hours are spent on what goes into it.

    Raises:
        InputError: it is there and not to be replaced, is a file, or its own folder is missing.
    """
    check_folder_name(folder)
    check_target(folder, overwrite, "the files in it")


def write_outcome(outcome: Outcome, folder: Path) -> list[str]:
    """Write ``matrix.json``, ``matrix.xml`` (JUnit) and ``matrix.html``: all of them appear, or none.

    Returns:
        A line for each of them: that it is written, or that what makes it is not installed.
    """
    contents = {
        JSON: json.dumps(report.to_json(outcome), indent=1).encode(),
        JUNIT: report.to_junit(outcome),
    }
    try:
        contents[HTML] = report.to_html(outcome).encode()
    except MissingDependencyError as error:
        return [*_write(folder, contents), f"no {HTML}: {error}"]
    return _write(folder, contents)


def write_detections(detections: list[Detection], folder: Path) -> list[str]:
    """Write ``faults.json``; a line that says so."""
    return _write(folder, {FAULTS: json.dumps(report.detections_json(detections), indent=1).encode()})


def _write(folder: Path, contents: Mapping[str, bytes]) -> list[str]:
    writers = {
        name: lambda path, content=content: path.write_bytes(content) for name, content in contents.items()
    }
    return [f"written: {path}" for path in write_files(folder, writers)]
