"""Check vectors in an ONNX file: in its metadata, or beside it where they are large.

Nothing here needs more than numpy: a file that carries them is checked where it runs.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from biport.compare.check_vectors import MAX_BYTES, CheckVectors
from biport.errors import FileError

KEY, DIGEST_KEY = "biport.check", "biport.check_sha256"
"""``metadata_props``: the vectors in base 64, or the SHA-256 of the file beside that holds them."""
SUFFIX = ".check.npz"
MAX_INSIDE = 192 * 2**10
"""Bytes that go into the file itself, where they are a third more."""


def check_path(path: Path) -> Path:
    """Where the check vectors of ``path`` lie that are too large for it."""
    return path.with_name(path.name + SUFFIX)


@dataclass(frozen=True)
class Carried:
    """Check vectors on their way into a file.

    Args:
        properties: what goes into its metadata.
        beside: what goes into the file at `check_path`; ``None`` where there is no need of one.
    """

    properties: Mapping[str, str]
    beside: bytes | None = None

    def write_beside(self, path: Path) -> None:
        """Write the file beside the model at ``path``, if there is to be one."""
        if self.beside is not None:
            check_path(path).write_bytes(self.beside)


def carried(vectors: CheckVectors | None, max_inside: int = MAX_INSIDE) -> Carried:
    """How a file carries check vectors, or none.

    Raises:
        UnsupportedError: they are too large.
    """
    if vectors is None:
        return Carried({})
    data = vectors.to_bytes()
    if len(data) > max_inside:
        return Carried({DIGEST_KEY: hashlib.sha256(data).hexdigest()}, data)
    return Carried({KEY: base64.b64encode(data).decode()})


def read_vectors(path: Path, metadata: Mapping[str, str]) -> CheckVectors | None:
    """The check vectors of the ONNX file at ``path``, or ``None`` where it has none.

    Args:
        path: the file; only what lies beside it is read.
        metadata: its ``metadata_props``.

    Raises:
        FileError: they are damaged, missing, or those of another file.
    """
    if KEY in metadata:
        text, owner = metadata[KEY], f"{path}: check vectors"
        if len(text) > 2 * MAX_BYTES:
            raise FileError(f"{owner}: has {len(text)} characters of base 64")
        try:
            data = base64.b64decode(text, validate=True)
        except ValueError as error:
            raise FileError(f"{owner}: are not in base 64 ({error})") from error
        return CheckVectors.from_bytes(data, owner)
    if DIGEST_KEY not in metadata:
        return None
    beside = check_path(path)
    try:
        with beside.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise FileError(f"{path}: its check vectors, {beside}, cannot be read ({error.strerror})") from error
    if hashlib.sha256(data).hexdigest() != metadata[DIGEST_KEY]:
        raise FileError(f"{beside}: are not the check vectors that {path.name} was written with")
    return CheckVectors.from_bytes(data, str(beside))
