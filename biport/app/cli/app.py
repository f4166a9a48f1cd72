"""What all commands share: the app, common options, results, errors."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from biport.errors import BiportError, MissingDependencyError, UnsupportedError
from biport.version import __version__

app = typer.Typer(
    name="biport",
    help="Port recurrent models between Keras, PyTorch and ONNX, and prove that they compute the same thing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", help="The model.to_json() that goes with an .h5 file of weights alone.", metavar="JSON"
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace the output if it is there already.")]


def say(as_json: bool, data: dict[str, Any], text: str) -> None:
    """Print a result for a person, or for a program."""
    typer.echo(json.dumps(data, indent=1, allow_nan=False) if as_json else text)


def report_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Turn biport's errors into one line on stderr, or a JSON document, and an exit code."""

    @wraps(command)
    def run(*args: Any, **options: Any) -> None:
        try:
            command(*args, **options)
        except BiportError as error:
            _fail(error, options.get("as_json", False))
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            missing = MissingDependencyError(f"{package!r} is not installed: pip install 'biport[all]'")
            _fail(missing, options.get("as_json", False))

    return run


def _fail(error: BiportError, as_json: bool) -> None:
    if as_json:
        data: dict[str, Any] = {"kind": type(error).__name__, "message": str(error)}
        if isinstance(error, UnsupportedError):
            data["reasons"] = error.reasons()
        typer.echo(json.dumps({"error": data}, indent=1))
    else:
        typer.echo(f"error: {error}", err=True)
    raise typer.Exit(error.exit_code)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")


def import_torch_first() -> None:
    """Importing torch after tensorflow has been seen to crash."""
    with contextlib.suppress(ImportError):
        import torch  # noqa: F401
