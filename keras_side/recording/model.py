"""A live model whose code has to be run, as the configuration of a functional model and its weights."""

from __future__ import annotations

import functools
import json
from collections.abc import Container, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from biport.errors import UnsupportedError
from keras_side.recording.calling import Calling, callings, mapped
from keras_side.recording.custom import has_custom, is_container
from keras_side.recording.recorder import RecordedVariables, Recorder
from keras_side.recording.symbolic import record_layer

Recorded = tuple[Mapping[str, Any], RecordedVariables]
"""The configuration of a functional model, and where its weights are."""


def needs_recording(model: Any) -> bool:
    """Whether what a live model computes is told by running its code alone."""
    return not is_container(model) or has_custom(model)


def record(
    model: Any,
    owner: str,
    instead: Mapping[int, np.ndarray],
    example: Any = None,
    closed: bool = False,
) -> Recorded:
    """Run a live model on symbolic tensors.

    Args:
        model: it.
        owner: how errors call it.
        instead: arrays to be read in place of its variables, by the identity of these.
        example: what it is called with; see `keras_side.recording.calling.callings`.
        closed: record all custom layers from their graphs of TensorFlow.

    Raises:
        InputError: nothing says what it is called with.
        UnsupportedError: it does something that cannot be recorded.
    """
    problems: list[UnsupportedError] = []
    for calling in callings(model, owner, example):
        try:
            recorded = _recorded(model, owner, instead, calling, closed)
            if example is None and not is_container(model) and (ids := _looked_up(recorded[0])):
                recorded = _recorded(model, owner, instead, _with_ids(calling, ids), closed)
        except UnsupportedError as problem:
            problems.append(problem)
        else:
            return recorded
    raise problems[0]


def _recorded(
    model: Any, owner: str, instead: Mapping[int, np.ndarray], calling: Calling, closed: bool
) -> Recorded:
    recorder = Recorder(owner, functools.partial(record_layer, closed=closed), instead)
    inputs = mapped(lambda leaf: recorder.symbolic_input(leaf.name, leaf.shape, leaf.dtype), calling)
    outputs = recorder.record(model, recorder, inputs)
    return json.loads(json.dumps(recorder.model(outputs))), recorder.variables


def _looked_up(data: Mapping[str, Any]) -> set[str]:
    """The inputs that are ids: what is looked up in a table, and at most compared beside that."""
    readers: dict[str, set[str]] = {}
    for entry in data["config"]["layers"]:
        # A parameter is called on an input that it does not read.
        for node in entry["inbound_nodes"] if entry["class_name"] != "Parameter" else ():
            for name in _named_in([node["args"], node["kwargs"]]):
                readers.setdefault(name, set()).add(entry["class_name"])
    inputs = [name for name, *_ in data["config"]["input_layers"]]
    return {name for name in inputs if "Embedding" in readers.get(name, ()) and readers[name] <= TAKE_IDS}


TAKE_IDS = {"Embedding", "NotEqual", "Equal", "Cast"}


def _named_in(item: Any) -> Iterator[str]:
    match item:
        case {"class_name": "__keras_tensor__", "config": {"keras_history": [name, *_]}}:
            yield name
        case dict():
            for one in item.values():
                yield from _named_in(one)
        case list():
            for one in item:
                yield from _named_in(one)


def _with_ids(calling: Calling, ids: Container[str]) -> Calling:
    """The same with inputs that are ids as integers, with any number of steps."""
    return mapped(lambda leaf: replace(leaf, dtype="int32").free if leaf.name in ids else leaf, calling)
