"""What a test leaves behind of its comparisons: files that a person, or another program, looks at."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from biport.files import write_files

if TYPE_CHECKING:
    from biport.app.testing.same import Comparison

MAX_NAME = 120
"""Characters of a file's name that a test's is kept in."""


def write_report(folder: Path, name: str, test: str, comparison: Comparison) -> Path:
    """Write one comparison into ``folder``, which is made where it is missing: all files of it, or none.

    Args:
        folder: where.
        name: what the files are called, without their endings.
        test: which test it was.
        comparison: what came out.

    Returns:
        The one for people.

    Raises:
        FileError: it cannot be written.
    """
    data = {"test": test, "inputs": comparison.inputs, "source": comparison.source}
    document = json.dumps(data | comparison.report.to_json(), indent=1, allow_nan=False)
    writers = {
        f"{name}.json": lambda path: path.write_text(f"{document}\n", encoding="utf-8"),
        f"{name}.txt": lambda path: path.write_text(f"{test}\n{comparison.text}\n", encoding="utf-8"),
    }
    return write_files(folder, writers)[-1]


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
