"""Which Keras wrote a file: what its words mean depends on it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Release:
    """The Keras that wrote a file.

    Args:
        version: as the file says it, such as ``"2.2.4-tf"``; ``"1"`` where an HDF5 file says nothing, which
            is what Keras itself takes it for (keras/engine/saving.py of 2.2.4,
            ``load_weights_from_hdf5_group``).
        backend: ``"tensorflow"``, ``"theano"``, ...; ``None`` where the file does not say.
    """

    version: str
    backend: str | None = None

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """The version as numbers; ``(3,)`` where it says none."""
        match = re.match(r"\d{1,4}(\.\d{1,4})*", self.version)
        return tuple(int(part) for part in match[0].split(".")) if match else (3,)

    @cached_property
    def generation(self) -> int:
        """1, 2 or 3: the dialect of the configuration."""
        return min(max(self.numbers[0], 1), 3)

    @property
    def standalone(self) -> bool:
        """Whether this is the package of its own that Keras was up to 2.3, with its own loop over time."""
        return self.generation < 3 and self.numbers < (2, 4) and not self.version.endswith("-tf")

    def before(self, *numbers: int) -> bool:
        """Whether the version is an earlier one than this."""
        return self.numbers < numbers
