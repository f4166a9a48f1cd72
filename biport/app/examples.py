"""Example inputs as one types them: ``ids=int64[N,T]``, letters for sizes that vary."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from biport.errors import Argument, InputError
from biport.graph import Value

DTYPES = ("float32", "float64", "int32", "int64", "bool")
TOKEN = re.compile(r"\s*(?:(?P<word>[A-Za-z_]\w*)|(?P<shape>\[[^\[\]]*\])|(?P<mark>[=,()]))")
SIZE = re.compile(r"[A-Za-z]\w*|\d+")

Described = Value | tuple[Any, ...]
"""An input, or several in a tuple."""


def parse_examples(texts: Sequence[str]) -> dict[str, Described]:
    """Descriptions of inputs, by their names.

    Args:
        texts: each one description or several with commas between: ``name=dtype[sizes]``, or of a tuple
            ``state=(float32[1,N,64], float32[1,N,64])``.

    Raises:
        InputError: a text is none.

    Example:
        >>> parse_examples(["ids=int64[N,T], lengths=int64[N]"])["lengths"].tensor
        Tensor(shape=(Size('N'),), dtype='int64')
    """
    inputs: dict[str, Described] = {}
    for text in texts:
        reader = _Reader(text)
        for name, described in reader.inputs():
            if name in inputs:
                raise reader.error(f"{name} is described twice")
            inputs[name] = described
    return inputs


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = self._split()

    def error(self, why: str) -> InputError:
        """What is wrong, and how it should look."""
        return InputError(
            Argument("example", self.text), f": {why}; should be like ids=int64[N,T] or x=float32[N,T,40]"
        )

    def _split(self) -> list[str]:
        tokens, position, text = [], 0, self.text.rstrip()
        while position < len(text):
            match = TOKEN.match(text, position)
            if match is None:
                raise self.error(f"{text[position:].strip()[:20]!r} is not understood")
            tokens.append(match[match.lastgroup or 0])
            position = match.end()
        return [*tokens, ""]

    def _next(self, wanted: str = "") -> str:
        token = self._tokens.pop(0)
        if wanted and token != wanted:
            raise self.error(f"{wanted!r} is missing")
        return token

    def inputs(self) -> list[tuple[str, Described]]:
        """Names and what they are."""
        inputs = []
        while True:
            name = self._next()
            if not name.isidentifier():
                raise self.error("a name is missing")
            self._next("=")
            inputs.append((name, self._described(name)))
            token = self._tokens.pop(0) if self._tokens else ""
            if not token:
                return inputs
            if token != ",":
                raise self.error(f"{token!r} is not understood")

    def _described(self, name: str) -> Described:
        token = self._next()
        if token != "(":
            return self._value(name, token)
        parts = []
        while self._tokens[0] != ")":
            parts.append(self._described(f"{name}_{len(parts)}"))
            if self._tokens[0] != ")":
                self._next(",")
        self._next(")")
        return tuple(parts)

    def _value(self, name: str, dtype: str) -> Value:
        if dtype not in DTYPES:
            raise self.error(f"{dtype!r} is none of {', '.join(DTYPES)}")
        shape = self._next()
        if not shape.startswith("["):
            raise self.error(f"the sizes of {name} are missing")
        sizes = [size.strip() for size in shape[1:-1].split(",")] if shape[1:-1].strip() else []
        if not all(SIZE.fullmatch(size) for size in sizes):
            raise self.error(f"{shape} are no sizes")
        return Value(name, [int(size) if size.isdecimal() else size for size in sizes], dtype)
