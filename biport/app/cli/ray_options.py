"""The options of a corpus in Parquet: in parts, and by the actors of Ray."""

from __future__ import annotations

from typing import Annotated

import typer

SCALE = "Parquet"
"""The group of these options in the help."""

OnRay = Annotated[
    bool,
    typer.Option("--ray", help="Have actors of Ray Data score a corpus in Parquet.", rich_help_panel=SCALE),
]
ActorCount = Annotated[
    int | None,
    typer.Option(
        "--actors",
        min=1,
        help="How many actors, each on a core or, with --device cuda, a GPU; by default 2.",
        rich_help_panel=SCALE,
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="Of a cluster of Ray, where RAY_ADDRESS does not say it; by default one is started here.",
        metavar="ADDRESS",
        rich_help_panel=SCALE,
    ),
]
PartRows = Annotated[
    int | None,
    typer.Option(
        "--part-rows",
        min=1,
        help="The rows of a file of results in Parquet; by default 10,000, or fewer so that all actors work.",
        rich_help_panel=SCALE,
    ),
]
