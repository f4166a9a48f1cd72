"""What stands in a row of results beside them: what names the row, and the other columns of the input."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from biport.data.text_rows import TextRow, different
from biport.errors import Argument, InputError

ROW = "row"
"""What the numbers of rows are called."""
PREFIX = "input_"
"""In front of a column of the input that is called as one of the results."""


class Columns:
    """The columns of results.

    Args:
        id: the column of the input that names its rows; ``None`` for their numbers.
        own: what the results are called.
        first: the first row of the input; ``None`` where there is none.
        fixed: whether all rows have the columns of the first.

    Raises:
        InputError: the input has no such column.
    """

    def __init__(self, id: str | None, own: Sequence[str], first: TextRow | None, fixed: bool) -> None:
        self._id = id
        self.id = ROW if id is None else id
        """What the names of rows are called."""
        self.own = different([self.id, *own])[1:]
        """What the results are called here."""
        self.others: dict[str, str] = {} if first is None else self._named(first.fields)
        """The other columns, and what they are called here."""
        self._fixed = fixed
        if first is not None:
            self.check(first)

    @property
    def renamed(self) -> dict[str, str]:
        """Those of the other columns that are called otherwise here."""
        return {name: here for name, here in self.others.items() if name != here}

    def check(self, row: TextRow) -> None:
        """Refuse a row that has not what every row needs.

        Raises:
            InputError: saying what.
        """
        if self._id is not None and self._id not in row.fields:
            known = ", ".join(map(repr, row.fields)) or "none"
            raise InputError(Argument("id", self._id), f": is no column beside the text; those are {known}")
        more = [name for name in row.fields if name not in self.others and name != self._id]
        if self._fixed and more:
            raise InputError(f"has a key {more[0]!r} that the first row has not; a .jsonl takes any")

    def identity(self, row: TextRow) -> Any:
        """What names a row."""
        return row.number if self._id is None else row.fields[self._id]

    def beside(self, row: TextRow) -> dict[str, Any]:
        """The other columns of a row: those of the first one where they are fixed, else its own."""
        if self._fixed:
            return {here: row.fields.get(name) for name, here in self.others.items()}
        return {here: row.fields[name] for name, here in self._named(row.fields).items()}

    def _named(self, fields: Mapping[str, Any]) -> dict[str, str]:
        taken = {self.id, *self.own}
        return {name: _free(name, taken, fields) for name in fields if name != self._id}


def _free(name: str, taken: Collection[str], others: Collection[str]) -> str:
    here = name
    while here in taken or (here != name and here in others):
        here = PREFIX + here
    return here
