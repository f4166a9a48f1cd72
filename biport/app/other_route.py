"""Whether the route by way of tf2onnx may write what biport does not read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from biport.app.stored import is_stored
from biport.errors import BiportError, UnsupportedError
from biport.graph import Graph

NEVER = (
    "Discretization",
    "HashedCrossing",
    "Hashing",
    "IntegerLookup",
    "StringLookup",
    "TextVectorization",
)
"""Layers of Keras that look up or hash, which tf2onnx has no operators for."""


MAY_WRITE = "may write it, by way of tf2onnx"


def advise(problem: UnsupportedError, source: Any, *advice: object) -> None:
    """Add to a refusal that the other route may write the model, where that is so.

    Args:
        problem: why biport does not read it.
        source: the model, or its path.
        advice: what to do, in the words of whoever asked.
    """
    if _may_write(problem, source):
        problem.advise(*advice)


def keeps_states(problem: UnsupportedError) -> bool:
    """Whether a model is not read for a state that it keeps from call to call, which no route forgets."""
    return any(reason["setting"] == "stateful" for reason in problem.reasons())


def _may_write(problem: UnsupportedError, source: Any) -> bool:
    if isinstance(source, Graph) or any(_is_lost(reason) for reason in problem.reasons()):
        return False
    if not isinstance(source, str | Path):
        return bool(getattr(source, "inputs", None))
    if is_stored(Path(source)):
        return False
    from keras_side.load_file import refuse_unloadable

    try:
        refuse_unloadable(source)
    except BiportError:
        return False
    return True


def _is_lost(reason: dict[str, Any]) -> bool:
    """Whether a reason not to read a layer is one for tf2onnx too."""
    names = {str(reason["value"]).strip("'"), str(reason["class"])}
    return reason["setting"] == "stateful" or bool(names & set(NEVER))
