"""What an op is given and gives: shapes with sizes that vary, and dtypes."""

from __future__ import annotations

from dataclasses import dataclass

Dim = int | str
"""A size, or the letter of one that varies: ``"N"``, ``"T"``."""

FLOATS = ("float32", "float64")
INTEGERS = ("int32", "int64")


@dataclass(frozen=True)
class Tensor:
    """The shape and dtype of a value."""

    shape: tuple[Dim, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.dtype} ({', '.join(str(dim) for dim in self.shape)})"


def fixed_size(dim: Dim) -> int:
    """A size; 1 for one that varies."""
    return dim if isinstance(dim, int) else 1


def same_dim(a: Dim, b: Dim) -> bool:
    """Whether two sizes can be equal: letters can be anything, numbers only themselves.

    Example:
        >>> same_dim("T", 5), same_dim(4, 5)
        (True, False)
    """
    return isinstance(a, str) or isinstance(b, str) or a == b
