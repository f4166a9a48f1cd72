"""``biport info``: what is installed and what works here."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from biport.app.cli.app import Result, command
from biport.app.cli.options import Json

GIVEN = dict(os.environ)
"""The environment as it was when the program started; commands set what is not."""
PANEL = "Looking, comparing, measuring"


@command(PANEL, "biport info", "biport info --try --json")
def info(
    try_imports: Annotated[
        bool, typer.Option("--try", help="Also import every framework, each in a process of its own.")
    ] = False,
    as_json: Json = False,
) -> Result:
    """Show versions, providers and threads, and what works here: what to say with a question or a fault."""
    from biport.app.info import gather

    here = gather(try_imports, GIVEN)
    return Result(here.to_json(), here.text)
