"""The command line, ``biport --help``.

Exit codes: 0 fine, 1 the verdict is "different" or "ill-conditioned", 2 bad usage or input, 3 unsupported
model, 128 and a signal's number: training was asked to stop. Frameworks are imported by the command that
needs them: ``biport --help`` loads none, not even numpy.
"""

from __future__ import annotations

import sys

import typer

from biport.app.cli import checking, porting, running, training
from biport.app.cli.app import app

__all__ = ["app", "main"]

COMMANDS = (training, porting, checking, running)
"""Each adds its commands to the app when it is imported."""


def main() -> None:
    """The entry point of the ``biport`` command."""
    try:
        app()
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)
