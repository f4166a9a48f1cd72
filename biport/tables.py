"""Text tables, for a terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def text_table(rows: Sequence[Sequence[str]], align: str = "") -> list[str]:
    """Cells under each other, two spaces between columns, one line a row.

    Args:
        rows: of equal length.
        align: ``<`` or ``>`` for each column; columns it does not reach take its last, by default ``<``.

    Example:
        >>> text_table([["form", "ms"], ["torch", "1.25"]], "<>")
        ['form     ms', 'torch  1.25']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = _sides(align, len(widths))
    return [
        "  ".join(f"{cell:{side}{w}}" for cell, side, w in zip(row, sides, widths, strict=True)).rstrip()
        for row in rows
    ]


def markdown_table(rows: Sequence[Sequence[object]], align: str = "") -> str:
    """The same as a Markdown table; the first row is its head.

    Example:
        >>> print(markdown_table([["form", "ms"], ["torch", 1.25]], "<>"))
        | form | ms |
        |---|---:|
        | torch | 1.25 |
    """
    head, *others = rows
    rule = "".join("|---:" if side == ">" else "|---" for side in _sides(align, len(head)))
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (head, *others)]
    return "\n".join([lines[0], f"{rule}|", *lines[1:]])


def _sides(align: str, columns: int) -> str:
    return (align or "<").ljust(columns, (align or "<")[-1])[:columns]
