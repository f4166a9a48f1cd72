"""What a file has no code for, or has code for that is never run: what is known of it, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from biport.errors import UnsupportedError, UnsupportedModelError, shown

WAYS = (
    "Three ways on: hand over the code, keras_side.read(path, code=layers) or --code layers.py; say what it "
    "is in known ops, keras_side.reads_class or --extend readers.py (docs/extend.md); or build the model of "
    "the layers that 'biport layers' lists."
)
KERAS_FUNCTIONS = (
    *("celu", "glu", "hard_shrink", "hard_silu", "hard_swish", "hard_tanh", "log_sigmoid", "log_softmax"),
    *("soft_shrink", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "tanh_shrink", "threshold"),
)
"""Activations of Keras 3.15, beside those that are read."""
TRAINED_OR_NAMED = ("name", "trainable", "dtype", "autocast", "batch_input_shape", "build_input_shape")
MAX_SETTINGS = 5


class CodeNeededError(UnsupportedError):
    """A reason that goes away where somebody gives the code of a model, or says what it is in known ops."""


def foreign_class(owner: str, data: Mapping[str, Any]) -> CodeNeededError:
    """Why a layer of a class of somebody's own is not read, and what is known of it."""
    config = data["config"]
    owner = f"{owner}: layer {config.get('name', '?')!r} ({data['class_name']})"
    registered, module = str(data.get("registered_name") or ""), str(data.get("module") or "keras")
    own = registered if ">" in registered else f"{module}.{data['class_name']}"
    return CodeNeededError(owner, "class", own, "; ".join(["the layers of Keras itself", *known(data)]))


def known(data: Mapping[str, Any]) -> Iterator[str]:
    """What a configuration says of a layer of somebody's own."""
    settings = {
        key: value
        for key, value in data["config"].items()
        if key not in TRAINED_OR_NAMED and isinstance(value, bool | int | float | str)
    }
    facts = [f"{key}={shown(value)[:40]}" for key, value in list(settings.items())[:MAX_SETTINGS]]
    match data.get("build_config"):
        case {"input_shape": [*shape]}:
            facts.append(f"built for {shown(tuple(shape))}")
    if facts:
        yield f"known of it: {', '.join(facts)}"


def lambda_layer(owner: str, config: Mapping[str, Any], instead: str) -> CodeNeededError:
    """Why a Lambda is not read, and what is known of it."""
    return CodeNeededError(owner, "class", "Lambda", f"{instead}; {', '.join(_known_of_lambda(config))}")


def _known_of_lambda(config: Mapping[str, Any]) -> Iterator[str]:
    match config.get("function"):
        case {"class_name": "function", "config": str(name)}:
            yield f"it calls a function {name!r}"
        case str(name) if config.get("function_type") != "lambda":
            yield f"it calls a function {name!r}"
        case _:
            name = config.get("name", "?")
            yield f"its function is bytecode, which was not run: code has one called {name} of its input"
    if arguments := config.get("arguments"):
        yield f"its arguments are {shown(arguments)[:120]}"
    if isinstance(shape := config.get("output_shape"), list | tuple):
        yield f"its output is {shown(tuple(shape))}"


def advise_code(problem: UnsupportedError) -> None:
    """Say what to do, where code is all that is missing for a layer or a function."""
    problems = problem.problems if isinstance(problem, UnsupportedModelError) else [problem]
    if any(isinstance(one, CodeNeededError) or _names_function(one) for one in problems):
        problem.advise(WAYS)


def _names_function(problem: UnsupportedError) -> bool:
    """Whether an activation is a function that Keras does not have, or a cell one of somebody's own."""
    if problem.setting == "Keras cell":
        return True
    if problem.setting not in ("activation", "recurrent_activation"):
        return False
    match problem.value:
        case {"class_name": "function", "config": str(name)} | str(name):
            return name not in KERAS_FUNCTIONS
    return False
