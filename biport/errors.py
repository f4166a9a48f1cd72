"""Every error biport raises on purpose.

BiportError
├── InputError               data or arguments a model or a command cannot take      exit 2
├── FileError                a file that is missing, truncated, foreign or hostile   exit 2
├── WeightError              weights missing, left over, misshapen or not finite     exit 2
├── GraphError               a graph that does not hold together                     exit 2
├── MissingDependencyError   an optional package this task needs is not installed    exit 2
└── UnsupportedError         a model biport does not port: one layer, one setting    exit 3
    └── UnsupportedModelError  all such reasons of one model at once                 exit 3
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar


class BiportError(Exception):
    """Root of the tree; `exit_code` is what the command line ends with."""

    exit_code: ClassVar[int] = 2


class InputError(BiportError, ValueError):
    """Data or arguments that a model or a command cannot take."""


class FileError(BiportError, ValueError):
    """A file that is missing, truncated, foreign or hostile; the message names it."""


class WeightError(BiportError, ValueError):
    """Weights that are missing, left over, of the wrong shape, or not finite."""


class GraphError(BiportError, ValueError):
    """A graph that does not hold together."""


class MissingDependencyError(BiportError, ImportError):
    """An optional package this task needs is not installed."""


class UnsupportedError(BiportError):
    """One reason why a model cannot be ported.

    Args:
        owner: where it is, such as ``model.keras: layer 'bi' (Bidirectional)``.
        setting: the setting at fault, or ``None`` when the class itself is.
        value: what the setting is.
        supported: what it could be instead.
    """

    exit_code: ClassVar[int] = 3

    def __init__(
        self, owner: str, setting: str | None = None, value: Any = None, supported: Iterable[Any] | str = ()
    ) -> None:
        self.owner = owner
        self.setting = setting
        self.value = value
        self.supported = [supported] if isinstance(supported, str) else list(supported)
        self.layer: str | None = None
        self.class_name: str | None = None
        super().__init__(self._sentence())

    def of_layer(self, name: str, class_name: str) -> None:
        """Say which layer of the model this is about, where nothing closer to it has said so."""
        if self.layer is None:
            self.layer, self.class_name = name, class_name

    def _sentence(self) -> str:
        what = f"{self.owner}: not supported"
        if self.setting is not None:
            what = f"{self.owner}: {self.setting}={self.value!r} is not supported"
        if not self.supported:
            return what + "."
        return f"{what}; supported: {', '.join(str(item) for item in self.supported)}."

    def reasons(self) -> list[dict[str, Any]]:
        """The reason as data, for ``--json``."""
        return [
            {
                "owner": self.owner,
                "layer": self.layer,
                "class": self.class_name,
                "setting": self.setting,
                "value": repr(self.value) if self.setting is not None else None,
                "supported": [str(item) for item in self.supported],
            }
        ]


class UnsupportedModelError(UnsupportedError):
    """All the reasons why one model cannot be ported, found in one reading."""

    def __init__(self, owner: str, problems: Sequence[UnsupportedError]) -> None:
        self.problems = list(problems)
        super().__init__(owner)

    def of_layer(self, name: str, class_name: str) -> None:
        """Say it of every reason."""
        for problem in self.problems:
            problem.of_layer(name, class_name)

    def _sentence(self) -> str:
        if len(self.problems) == 1:
            return str(self.problems[0])
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        return f"{self.owner}: {len(self.problems)} things are not supported:\n{lines}"

    def reasons(self) -> list[dict[str, Any]]:
        """Every reason as data, in the order of the layers."""
        return [reason for problem in self.problems for reason in problem.reasons()]


def raise_unsupported(owner: str, problems: Sequence[UnsupportedError]) -> None:
    """Raise one `UnsupportedModelError` for all ``problems``; do nothing when there are none."""
    flat: list[UnsupportedError] = []
    for problem in problems:
        flat += problem.problems if isinstance(problem, UnsupportedModelError) else [problem]
    if flat:
        raise UnsupportedModelError(owner, flat)
