"""The app, and what becomes of a command: its result, or its failure as one message and an exit code."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn, TextIO

import typer
from typer.core import TyperCommand, TyperGroup

from biport.app.cli.logs import LogJson, Verbose, asked, listening, tell, with_log_options
from biport.app.cli.names import check_packages, spelled
from biport.app.cli.quiet import quiet_tensorflow
from biport.app.log_style import style
from biport.errors import BiportError, FileError, InputError, UnsupportedError
from biport.extras import missing_module
from biport.files import reason
from biport.log import log
from biport.version import __version__

EXIT_CODES = (
    "0 fine; 1 something differs; 2 bad usage or input, or a file cannot be read or written; 3 the model is "
    "not supported; 4 a fault of biport itself; 130 interrupted"
)
UsageError: type[Any] = typer.BadParameter.__bases__[0]
"""Of typer's parser, which may be a package of its own or part of typer."""


@dataclass(frozen=True)
class Result:
    """What a command gives back, for a program and for a person.

    Args:
        data: with ``--json``, the document on standard output.
        text: without it, what stands there; ``None`` where the command has written there itself.
        exit_code: of `EXIT_CODES`.
    """

    data: dict[str, Any]
    text: str | None
    exit_code: int = 0


_standard_output: ContextVar[Any] = ContextVar("standard output")


class InterruptedCommandError(BiportError):
    """Somebody pressed Ctrl-C."""

    exit_code = 130


class OutputError(FileError):
    """Standard output takes nothing."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"standard output: cannot be written: {reason(error)}")


class Command(TyperCommand):
    """A command that returns a `Result`: nothing else reaches standard output, whoever prints."""

    def invoke(self, ctx: Any) -> NoReturn:
        """Run it, and print what it gives."""
        start = time.perf_counter()
        try:
            _standard_output.set(sys.stdout)
            with contextlib.redirect_stdout(sys.stderr):
                result: Result = super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise InterruptedCommandError("interrupted") from error
        seconds = time.perf_counter() - start
        log("command", f"{ctx.info_name} is done", exit_code=result.exit_code, seconds=seconds)
        if ctx.params.get("as_json"):
            print_out(json.dumps(result.data, indent=1, allow_nan=False))
        elif result.text is not None:
            print_out(result.text)
        raise typer.Exit(result.exit_code)


class Commands(TyperGroup):
    """All commands; the one way from a failure to a message and an exit code."""

    def main(self, args: Sequence[str] | None = None, *more: Any, **options: Any) -> NoReturn:
        """Run the command that ``args`` name, and end with its exit code."""
        given = (sys.argv[1:] if args is None else list(args)) or ["--help"]
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(listening(asked(given)))
                check_packages()
                code = super().main(given, *more, **options | {"standalone_mode": False})
                flush()
            except (Exception, SystemExit) as error:
                failure = _failure(error)
                if failure is None:
                    raise
                self._fail(failure, given)
        sys.exit(code or 0)

    def _fail(self, error: BiportError, given: Sequence[str]) -> NoReturn:
        command = next((self.commands[word] for word in given if word in self.commands), None)
        message = error.told(spelled(command))
        own = given[: given.index("--")] if "--" in given else given
        as_json = "--json" in own and not isinstance(error, OutputError)
        data: dict[str, Any] = {"kind": type(error).__name__, "message": message}
        if isinstance(error, UnsupportedError):
            data["reasons"] = error.reasons()
        if as_json:
            print_error(data)
        if style().json or not as_json:
            text = message if error.exit_code == 130 else f"error: {message}"
            more = {name: value for name, value in data.items() if name != "message"}
            tell(text, message, exit_code=error.exit_code, **more)
        sys.exit(error.exit_code)


def _failure(error: BaseException) -> BiportError | None:
    """What is told of an exception; ``None`` where it is not for here."""
    if isinstance(error, BiportError):
        return error
    if isinstance(error, UsageError):
        ctx = error.ctx  # type: ignore[attr-defined]
        more = f"; {ctx.command_path} --help says more" if ctx is not None else ""
        return InputError(_usage_message(error) + more)
    if isinstance(error, ModuleNotFoundError):
        return missing_module(error.name or str(error))
    if isinstance(error, SystemExit) and isinstance(error.__context__, OSError):
        # What typer makes of a pipe that nobody reads from any more.
        return OutputError(error.__context__)
    return FileError(reason(error)) if isinstance(error, OSError) else None


def _usage_message(error: Any) -> str:
    """What typer's parser says, in a line that names what was given."""
    message = re.sub(r"\s*\n\s*", " ", error.format_message().rstrip("."))
    # A newer typer has another package look at values, which says so and leaves out what it was given.
    message = message.replace(": Value error, ", ": ", 1)
    cause = error.__cause__
    values = [repr(each["input"]) for each in cause.errors()] if hasattr(cause, "errors") else []
    return "; found ".join([message, *(value for value in values if value not in message)])


def print_out(text: str) -> None:
    """Print to standard output.

    Raises:
        OutputError: it cannot be written to.
    """
    try:
        typer.echo(text)
    except OSError as error:
        _close_out(error)
    flush()


@contextlib.contextmanager
def standard_output() -> Iterator[TextIO]:
    """Standard output for what a command writes there as it goes, in UTF-8 whatever the terminal is.

    Raises:
        OutputError: it cannot be written to.
    """
    out = _standard_output.get()
    stream = io.TextIOWrapper(out.buffer, "utf-8", newline="")
    try:
        yield stream
        stream.flush()
    except FileError as error:
        # Of whoever writes rows, and says of what it writes to.
        if isinstance(error.__cause__, BrokenPipeError):
            _close_out(error.__cause__, out)
        raise
    except OSError as error:
        _close_out(error, out)
    finally:
        with contextlib.suppress(OSError):
            stream.detach()


def print_error(data: dict[str, Any]) -> None:
    """Print what a program is told of a failure; a person, where no program reads it."""
    try:
        print_out(json.dumps({"error": data}, indent=1))
    except OutputError:
        tell(f"error: {data['message']}", data["message"])


def flush() -> None:
    """Have standard output take what was printed; raises like `print_out`."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        _close_out(error)


def _close_out(error: OSError, out: Any = None) -> NoReturn:
    # What is left in the buffer would fail once more when the process ends.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), (out or sys.stdout).fileno())
    raise OutputError(error) from error


app = typer.Typer(
    name="biport",
    cls=Commands,
    help="Port recurrent models between Keras, PyTorch and ONNX, and prove that they compute the same thing.",
    epilog=f"Exit codes: {EXIT_CODES}.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def command(
    panel: str, *examples: str, name: str | None = None
) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Add a command to the app, with examples below its help."""
    lines = ["Examples:", *examples, f"Exit codes: {EXIT_CODES}."]
    add = app.command(name, cls=Command, rich_help_panel=panel, epilog="\n\n".join(lines))

    def decorate(function: Callable[..., Result]) -> Callable[..., Result]:
        add(with_log_options(function))
        return function

    return decorate


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    log_json: LogJson = False,
    verbose: Verbose = False,
) -> None:
    quiet_tensorflow()
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    # For the programs of others that import Keras themselves; see `keras_side.require`.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def import_torch_first() -> None:
    """Importing torch after tensorflow has been seen to crash."""
    with contextlib.suppress(ImportError):
        import torch  # noqa: F401
