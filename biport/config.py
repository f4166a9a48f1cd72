"""A layer's configuration, every key of which must be accounted for.

A key nobody looked at may change what a layer computes, so leaving a `Config` block with keys left
over is an error: a new release of a framework cannot be dropped silently.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

from biport.errors import FileError, UnsupportedError

_MISSING = object()


class Config:
    """Read the keys of ``values``; on leaving the block, refuse those not accounted for.

    Args:
        owner: named in every error, such as ``model.keras: layer 'bi' (Bidirectional)``.
        values: the configuration; never changed.

    Raises:
        UnsupportedError: on leaving the block, for the first key that was neither taken, required nor
            ignored.
    """

    def __init__(self, owner: str, values: Mapping[str, Any]) -> None:
        self.owner = owner
        self._left = dict(values)

    def __enter__(self) -> Config:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._left:
            key, value = next(iter(self._left.items()))
            raise UnsupportedError(self.owner, key, value, "models without this setting")

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
            raise FileError(f"{self.owner}: the setting {key!r} should be {wanted}, found {value!r}")
        return value

    def choose(self, key: str, supported: Iterable[Any], default: Any = _MISSING) -> Any:
        """The value of ``key``, which must be one of ``supported``.

        Raises:
            UnsupportedError: it is another one.
            FileError: the key is missing and has no default.
        """
        supported = list(supported)
        value = self.take(key, default=default)
        if not any(
            value is choice or (type(value) is type(choice) and value == choice) for choice in supported
        ):
            raise UnsupportedError(self.owner, key, value, [repr(choice) for choice in supported])
        return value

    def require(self, **wanted: Any) -> None:
        """Refuse unless each key, where present, has exactly the value given here."""
        for key, value in wanted.items():
            self.choose(key, [value], default=value)

    def ignore(self, *keys: str) -> None:
        """Account for keys that change nothing at inference, whatever they say."""
        for key in keys:
            self._left.pop(key, None)
