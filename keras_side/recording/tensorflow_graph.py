"""Stand-in until the route is there."""

from __future__ import annotations

from typing import Any

from biport.errors import UnsupportedError


def record_tensorflow(
    recorder: Any, path: str, layer: Any, arguments: Any, options: Any, known: Any, paths: Any
) -> Any:
    raise UnsupportedError(f"{recorder.owner}: layer {path!r}", "call", "TensorFlow", "keras.ops")
