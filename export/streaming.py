"""What an ONNX file says of how it is fed chunk by chunk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from biport.errors import BiportError, FileError, InputError, UnsupportedError
from biport.graph import Graph, Value
from biport.inputs import time_axis
from biport.streaming import Streaming, plan_stream

STREAM = "biport.stream"
"""The key in a file's ``metadata_props``."""
OFFER = "states={input: output, ...}, the inputs that are states and what they are after the steps"


def stream_metadata(graph: Graph) -> dict[str, str]:
    """What a file of ``graph`` says: how to feed it, or why chunks would make a difference."""
    try:
        data = plan_stream(graph).to_json()
    except UnsupportedError as problem:
        value = problem.value if isinstance(problem.value, bool | int | str | None) else str(problem.value)
        reason = {"owner": problem.owner, "setting": problem.setting, "value": value}
        data = {"refused": reason | {"supported": problem.supported}}
    return {STREAM: json.dumps(data)}


def read_stream(
    path: str,
    metadata: Mapping[str, str],
    inputs: Sequence[Value],
    outputs: Sequence[Value],
    states: Mapping[str, str] | None,
) -> Streaming:
    """How to feed the file at ``path``; see `export.Session.stream`.

    Raises:
        UnsupportedError: chunks would make a difference, or the file does not say.
        InputError: ``states`` names what is none.
        FileError: what the file says is damaged.
    """
    if states is not None:
        return _told(path, inputs, outputs, states)
    if STREAM not in metadata:
        raise UnsupportedError(f"{path}: streaming", "states", None, f"files of export.write, or {OFFER}")
    try:
        data = json.loads(metadata[STREAM])
        if "refused" not in data:
            return Streaming.from_json(data, inputs, outputs)
        problem = _problem(path, data["refused"])
    except (BiportError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise FileError(f"{path}: its biport metadata cannot be read: {error!r}") from error
    raise problem


def _problem(path: str, reason: Mapping[str, Any]) -> UnsupportedError:
    owner, supported = f"{path}: {reason['owner']}", [str(part) for part in reason["supported"]]
    return UnsupportedError(owner, reason["setting"], reason["value"], supported)


def _told(
    path: str, inputs: Sequence[Value], outputs: Sequence[Value], states: Mapping[str, str]
) -> Streaming:
    """As somebody says it is, whatever the layers are."""
    known = {value.name for value in inputs}, {value.name for value in outputs}
    for name, output in states.items():
        if name not in known[0] or output not in known[1]:
            raise InputError(f"{path}: states: {name!r} to {output!r}: should be an input and an output")
    fed = [value for value in inputs if value.name not in states]
    varying = [value for value in fed if not isinstance(_steps(value), int | None)]
    of_steps = {_steps(value) for value in varying}
    last = [
        value.name
        for value in outputs
        if value.name not in states.values() and of_steps.isdisjoint(value.shape)
    ]
    chunked = tuple(value.name for value in varying or fed)
    return Streaming(tuple(inputs), tuple(outputs), dict(states), chunked, tuple(last) if varying else ())


def _steps(value: Value) -> Any:
    axis = time_axis(value.shape)
    return None if axis is None else value.shape[axis]
