"""What an op is given and gives: shapes with sizes that vary, and dtypes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from biport.dims import Dim, bound, sizes

FLOATS = ("float32", "float64")
INTEGERS = ("int32", "int64")
NUMBERS = (*FLOATS, *INTEGERS)
BOOLEANS = ("bool",)
EVERY_DTYPE = (*NUMBERS, *BOOLEANS)


@dataclass(frozen=True, init=False)
class Tensor:
    """The shape and dtype of a value; sizes that vary may be given as text, ``"N"``, ``"T-2"``."""

    shape: tuple[Dim, ...]
    dtype: str

    def __init__(self, shape: Iterable[Dim | str], dtype: str) -> None:
        object.__setattr__(self, "shape", sizes(shape))
        object.__setattr__(self, "dtype", dtype)

    def __str__(self) -> str:
        return f"{self.dtype} ({', '.join(str(dim) for dim in self.shape)})"


@dataclass(frozen=True, init=False)
class Value:
    """A named input of a graph; sizes that vary may be given as text, ``"N"``."""

    name: str
    shape: tuple[Dim, ...]
    dtype: str

    def __init__(self, name: str, shape: Iterable[Dim | str], dtype: str) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "shape", sizes(shape))
        object.__setattr__(self, "dtype", dtype)

    @property
    def tensor(self) -> Tensor:
        """Its shape and dtype."""
        return Tensor(self.shape, self.dtype)

    def at(self, sizes: Mapping[str, Dim]) -> Value:
        """It with numbers, or other sizes, in place of letters."""
        return Value(self.name, bound(self.shape, sizes), self.dtype)


def fixed_size(dim: Dim) -> int:
    """A size; 1 for one that varies."""
    return dim if isinstance(dim, int) else 1


def same_dim(a: Dim, b: Dim) -> bool:
    """Whether two sizes can be equal: letters can be anything, numbers only themselves.

    Example:
        >>> from biport.dims import letter
        >>> same_dim(letter("T"), 5), same_dim(4, 5)
        (True, False)
    """
    return not isinstance(a, int) or not isinstance(b, int) or a == b
