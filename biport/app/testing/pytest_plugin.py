"""The plugin of pytest, by the entry point ``biport``: the fixture ``biport_same`` and two options.

Every run of pytest imports this file, whether it compares models or not: nothing else is imported before the
fixture is used, and nothing is done before an option is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from biport.compare.report import Report

PROPERTY = "biport"
"""The property of a test, also in JUnit's XML, that says what came out of a comparison."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("biport", "equivalence of models (biport)")
    group.addoption(
        "--biport-inputs",
        metavar="FILE",
        help="An .npz of inputs by name, an .npy for a single one, or texts in a .csv, .tsv, .jsonl or .txt, "
        "that biport_same compares models on where a test gives none; by default they are random.",
    )
    group.addoption(
        "--biport-report",
        metavar="DIR",
        help="A folder for what biport_same finds, also where it is the same: a .txt, a .json and a page "
        "(.html, if jinja2 is installed) for each comparison.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Look at the options; workers of xdist get the paths from here, wherever they run."""
    start = config.invocation_params.dir
    if (inputs := config.option.biport_inputs) is not None:
        config.option.biport_inputs = str(start / inputs)
        if not (start / inputs).is_file():
            raise pytest.UsageError(f"--biport-inputs: {inputs}: no such file")
    if (folder := config.option.biport_report) is not None:
        from biport.errors import BiportError
        from biport.files import check_no_file

        config.option.biport_report = str(start / folder)
        try:
            check_no_file(start / folder)
        except BiportError as error:
            raise pytest.UsageError(f"--biport-report: {error}") from error


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say what the options are, where they are given."""
    given = {"inputs": config.option.biport_inputs, "reports": config.option.biport_report}
    said = [f"{name}: {value}" for name, value in given.items() if value is not None]
    return [f"biport: {', '.join(said)}"] if said else []


@pytest.fixture
def biport_same(request: pytest.FixtureRequest) -> SameModels:
    """`biport.testing.assert_same`, on the file of ``--biport-inputs``, reported to ``--biport-report``."""
    return SameModels(request.node, request.config.option.biport_inputs, request.config.option.biport_report)


class SameModels:
    """What the fixture ``biport_same`` is: call it as `biport.testing.assert_same`.

    Args:
        test: the test that uses it.
        inputs: the file of inputs where the test gives none.
        folder: where reports go.
    """

    def __init__(self, test: pytest.Item, inputs: str | None, folder: str | None) -> None:
        self._test = test
        self._inputs = inputs
        self._folder = folder
        self._count = 0

    def __repr__(self) -> str:
        """What pytest shows of it beside a test that fails."""
        return f"biport_same, on {'random inputs' if self._inputs is None else self._inputs}"

    def __call__(self, *forms: Any, inputs: Any = None, **options: Any) -> Report:
        """Assert that forms of one model compute the same.

        Args:
            forms: two or more.
            inputs: as for `biport.testing.assert_same`.
            options: likewise: ``tolerance``, ``min_agreement``, ``expected`` and all others.

        Raises:
            AssertionError: as `biport.testing.assert_same` does.
            BiportError: likewise; or the report cannot be written.
        """
        __tracebackhide__ = True
        from biport.app.testing.same import compare

        comparison = compare(*forms, inputs=self._inputs if inputs is None else inputs, **options)
        self._count += 1
        self._test.user_properties.append((PROPERTY, comparison.headline))
        if self._folder is not None:
            from biport.app.testing.reports import report_name, write_report

            name = report_name(self._test.nodeid, self._count)
            write_report(Path(self._folder), name, self._test.nodeid, comparison)
        return comparison.checked()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """List what was compared, where that was written down; xdist's workers send it along with the results."""
    folder = config.option.biport_report
    if folder is None:
        return
    said = _said(terminalreporter.stats)
    if not said:
        return
    terminalreporter.write_sep("-", f"biport: reports in {folder}")
    for test, headlines in sorted(said.items()):
        for headline in headlines:
            terminalreporter.write_line(f"{test}: {headline}")


def _said(stats: Mapping[str, Sequence[Any]]) -> dict[str, list[str]]:
    """What came out of the comparisons of each test; of one that ran several times, the last."""
    said = {}
    for report in (report for reports in stats.values() for report in reports):
        if isinstance(report, pytest.TestReport):
            headlines = [str(value) for name, value in report.user_properties if name == PROPERTY]
            said |= {report.nodeid: headlines} if headlines else {}
    return said
