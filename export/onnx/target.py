"""For whom a file is written: the versions of operators and of the format, and an onnxruntime to run it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from biport.errors import Argument, InputError, UnsupportedError

OPSET = 18
"""Of files where nobody asks for another; onnxruntime takes it from 1.14 on."""
OLDEST, NEWEST = 15, 23
"""The opsets there are writers for. Older ones cannot ask for a size by itself (``Shape`` with a start)."""
OWNER = "export to ONNX"


@dataclass(frozen=True)
class Runtime:
    """A release of onnxruntime.

    Args:
        release: its first two numbers.
        opset: the newest it takes without a word.
        ir_version: the newest it takes.
    """

    release: tuple[int, int]
    opset: int
    ir_version: int

    def __str__(self) -> str:
        return f"onnxruntime {self.name}"

    @property
    def name(self) -> str:
        """``"1.16"``."""
        return ".".join(map(str, self.release))


# From 1.15 on asked of the packages themselves, with a model of one node in each version; before that
# https://onnxruntime.ai/docs/reference/compatibility.html says it.
RELEASES: Mapping[tuple[int, int], tuple[int, int]] = {
    (1, 10): (15, 8),
    (1, 11): (16, 8),
    (1, 12): (17, 8),
    (1, 13): (17, 8),
    (1, 14): (18, 8),
    (1, 15): (19, 9),
    (1, 16): (19, 9),
    (1, 17): (20, 9),
    (1, 18): (21, 10),
    (1, 21): (22, 10),
    (1, 23): (23, 11),
    (1, 24): (25, 13),
    (1, 26): (26, 13),
}
"""Opset and IR version from each release on."""


@dataclass(frozen=True)
class Target:
    """What a file is written for.

    Args:
        opset: of its operators, where they need no newer one.
        newest: the one that they may need.
        ir_version: of the format; ``None`` for the oldest that has all of the content.
        runtime: who is to run it, where somebody said.
    """

    opset: int = OPSET
    newest: int = NEWEST
    ir_version: int | None = None
    runtime: Runtime | None = None

    def older_than(self, *release: int) -> bool:
        """Whether the file is for an onnxruntime before ``release``."""
        return self.runtime is not None and self.runtime.release < release


def target_of(opset: int | None = None, ir_version: int | None = None, runtime: str | None = None) -> Target:
    """The target somebody asked for.

    Args:
        opset: of the operators, or the newest up to `OPSET` that the runtime takes.
        ir_version: of the format, or the oldest that has what is in the file.
        runtime: a release of onnxruntime, ``"1.16"`` or ``"1.16.3"``.

    Raises:
        UnsupportedError: the opset or the runtime is one there are no writers for; or the runtime does not
            take the opset or the IR version.
        InputError: the runtime is no release.

    Example:
        >>> target_of(runtime="1.13").opset, target_of(runtime="1.16.3").runtime.ir_version
        (17, 9)
    """
    if opset is not None and not OLDEST <= opset <= NEWEST:
        raise UnsupportedError(OWNER, "opset", opset, f"{OLDEST} to {NEWEST}")
    release = None if runtime is None else _runtime(runtime)
    newest = NEWEST if release is None else min(release.opset, NEWEST)
    if release is not None and opset is not None and opset > newest:
        raise UnsupportedError(OWNER, "opset", opset, f"up to {newest}, the newest of {release}")
    if release is not None and ir_version is not None and ir_version > release.ir_version:
        supported = f"up to {release.ir_version}, the newest of {release}"
        raise UnsupportedError(OWNER, "ir_version", ir_version, supported)
    if opset is not None:
        return Target(opset, opset, ir_version, release)
    return Target(min(OPSET, newest), newest, ir_version, release)


def _runtime(text: str) -> Runtime:
    match = re.fullmatch(r"(\d+)\.(\d+)(\.\d+)?", text)
    if match is None:
        raise InputError(Argument("runtime", text), ": should be a release of onnxruntime, such as 1.16")
    asked = int(match[1]), int(match[2])
    known = [release for release in RELEASES if release <= asked]
    if not known:
        oldest = ".".join(map(str, min(RELEASES)))
        raise UnsupportedError(OWNER, "runtime", text, f"onnxruntime {oldest} and newer")
    return Runtime(asked, *RELEASES[max(known)])
