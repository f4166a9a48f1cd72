"""A layer's configuration, every key of which must be accounted for.

A key nobody looked at may change what a layer computes, so leaving a `Config` block with keys left
over is an error: a new release of a framework cannot be dropped silently. All that is wrong with the
settings is told at once, on leaving the block.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from types import TracebackType
from typing import Any

from biport.errors import MAX_REASONS, FileError, UnsupportedError, raise_unsupported, shown

_MISSING = object()


class Config:
    """Read the keys of ``values``; on leaving the block, refuse what is not supported among them.

    Args:
        owner: named in every error, such as ``model.keras: layer 'bi' (Bidirectional)``.
        values: the configuration; never changed.

    Raises:
        UnsupportedError: on leaving the block, with every setting that was refused, and every key that was
            neither taken, required nor ignored.
    """

    def __init__(self, owner: str, values: Mapping[str, Any]) -> None:
        self.owner = owner
        self._left = dict(values)
        self._problems: list[UnsupportedError] = []

    def __enter__(self) -> Config:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, UnsupportedError):
            return
        for key, value in islice(self._left.items(), MAX_REASONS) if error is None else ():
            self.refuse(key, value, "models without this setting")
        if self._problems:
            raise_unsupported(self.owner, [*self._problems, *([error] if error is not None else [])])

    def refuse(self, key: str, value: Any, supported: Iterable[Any] | str) -> None:
        """Note that a setting is not supported; leaving the block raises it, with all the others."""
        self._problems.append(UnsupportedError(self.owner, key, value, supported))

    def take(self, key: str, kind: type | tuple[type, ...] = object, default: Any = _MISSING) -> Any:
        """The value of ``key``, which must be of type ``kind``.

        Raises:
            FileError: the key is missing and has no default, or its value has another type.
        """
        value = self._left.pop(key, default)
        if value is _MISSING:
            raise FileError(f"{self.owner}: the setting {key!r} is missing")
        kinds = kind if isinstance(kind, tuple) else (kind,)
        # bool is an int to Python, but a size of True is a malformed file.
        if not isinstance(value, kinds) or (isinstance(value, bool) and not {bool, object} & set(kinds)):
            wanted = " or ".join(item.__name__ for item in kinds)
            raise FileError(f"{self.owner}: the setting {key!r} should be {wanted}, found {shown(value)}")
        return value

    def choose(self, key: str, supported: Iterable[Any], default: Any = _MISSING) -> Any:
        """The value of ``key``, which must be one of ``supported``; another one is refused, see `refuse`.

        Raises:
            FileError: the key is missing and has no default.
        """
        supported = list(supported)
        value = self.take(key, default=default)
        if not any(
            value is choice or (type(value) is type(choice) and value == choice) for choice in supported
        ):
            self.refuse(key, value, [repr(choice) for choice in supported])
            return supported[0]
        return value

    def require(self, **wanted: Any) -> None:
        """Refuse unless each key, where present, has exactly the value given here."""
        for key, value in wanted.items():
            self.choose(key, [value], default=value)

    def ignore(self, *keys: str) -> None:
        """Account for keys that change nothing at inference, whatever they say."""
        for key in keys:
            self._left.pop(key, None)
