"""What a test leaves behind of its comparisons: files that a person, or another program, looks at."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from biport.errors import MissingDependencyError
from biport.files import write_files

if TYPE_CHECKING:
    from biport.app.testing.same import Comparison

MAX_NAME = 120
"""Characters of a file's name that a test's is kept in."""


def write_report(folder: Path, name: str, test: str, comparison: Comparison) -> None:
    """Write one comparison into ``folder``, which is made where it is missing: all files of it, or none.

    Args:
        folder: where.
        name: what the files are called, without their endings.
        test: which test it was.
        comparison: what came out.

    Raises:
        FileError: it cannot be written.
    """
    data = {"test": test, "inputs": comparison.inputs, "source": comparison.source}
    document = json.dumps(data | comparison.report.to_json(), indent=1, allow_nan=False)
    writers: dict[str, Callable[[Path], object]] = {
        f"{name}.json": lambda path: path.write_text(f"{document}\n", encoding="utf-8"),
        f"{name}.txt": lambda path: path.write_text(f"{test}\n{comparison.text}\n", encoding="utf-8"),
    }
    page = _page(comparison)
    if page is not None:
        writers[f"{name}.html"] = lambda path: path.write_text(page, encoding="utf-8")
    write_files(folder, writers)


def _page(comparison: Comparison) -> str | None:
    """The page of the report, where what draws it is installed."""
    from biport.app.report_page.write import to_html

    try:
        return to_html(comparison.report)
    except MissingDependencyError:
        return None


def report_name(test: str, number: int) -> str:
    """What the files of a test's comparison are called: no two tests have one name, on no file system.

    Args:
        test: as pytest names it.
        number: of the comparison in the test, from 1.

    Example:
        >>> report_name("tests/test_port.py::test_lstm", 1), report_name("test_port.py::test_lstm[a/b]", 2)
        ('tests.test_port.py.test_lstm', 'test_port.py.test_lstm[a_b]-83bf0ac9-2')
    """
    file, separator, rest = test.partition("::")
    wanted = file.replace("/", ".") + separator.replace("::", ".") + rest.replace("::", ".")
    name = re.sub(r"[^A-Za-z0-9_.\[\]=+-]", "_", wanted)[:MAX_NAME].lstrip(".")
    if name != wanted:
        name += f"-{hashlib.sha256(test.encode()).hexdigest()[:8]}"
    return name if number == 1 else f"{name}-{number}"
