"""The command line, ``biport --help``.

Exit codes: 0 fine, 1 the verdict is "different" or "ill-conditioned", 2 bad usage or input, or a file that
cannot be read or written, 3 unsupported model, 4 a fault of biport itself, 128 and a signal's number:
interrupted. Frameworks are imported by the command that needs them: ``biport --help`` loads none, not even
numpy.
"""

from __future__ import annotations

import signal
import sys
import warnings

import typer

from biport.app.cli import checking, porting, running, training
from biport.app.cli.app import app, print_error

__all__ = ["app", "main"]

COMMANDS = (training, porting, checking, running)
"""Each adds its commands to the app when it is imported."""


def main() -> None:
    """The entry point of the ``biport`` command."""
    # Drafts are taken away on the way out, which a signal would not take.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    warnings.showwarning = lambda message, *_: typer.echo(f"warning: {message}", err=True)
    try:
        app()
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)
    except Exception:
        import traceback

        # An exit code of 1, Python's own, would say that something differs.
        traceback.print_exc()
        if "--json" in sys.argv:
            print_error({"kind": "Fault", "message": traceback.format_exc(limit=0).strip()})
        sys.exit(4)
