"""The command line, ``biport --help``.

Exit codes: 0 fine, 1 the verdict is "different" or "ill-conditioned", 2 bad usage or input, or a file that
cannot be read or written, 3 unsupported model, 4 a fault of biport itself, 128 and a signal's number:
interrupted. Frameworks are imported by the command that needs them: ``biport --help`` loads none, not even
numpy.
"""

from __future__ import annotations

import signal
import sys

from biport.app.cli import checking, info, porting, running, training
from biport.app.cli.app import app, print_error
from biport.app.cli.logs import process_listening, tell
from biport.log import log

__all__ = ["app", "main"]

COMMANDS = (training, porting, checking, info, running)
"""Each adds its commands to the app when it is imported."""


def main() -> None:
    """The entry point of the ``biport`` command."""
    # Drafts are taken away on the way out, which a signal would not take.
    signal.signal(signal.SIGTERM, _terminate)
    with process_listening(sys.argv[1:]):
        try:
            app()
        except KeyboardInterrupt:
            tell("interrupted", "interrupted", exit_code=130)
            sys.exit(130)
        except Exception as error:
            import traceback

            # An exit code of 1, Python's own, would say that something differs.
            fault = traceback.format_exception_only(error)[-1].strip()
            whole = traceback.format_exc()
            tell(whole, fault, exit_code=4, kind="Fault", traceback=whole)
            if "--json" in sys.argv:
                print_error({"kind": "Fault", "message": fault})
            sys.exit(4)


def _terminate(number: int, _: object) -> None:
    log("command", "terminated", exit_code=128 + number)
    sys.exit(128 + number)
