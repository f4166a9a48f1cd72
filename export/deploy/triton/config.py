"""``config.pbtxt``: what Triton is told of a model, in the text format of its ``model_config.proto``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from biport.errors import UnsupportedError
from biport.files import atomic_file
from biport.graph import Value

CONFIG, LABELS = "config.pbtxt", "labels.txt"
MAX_BATCH, DELAY = 64, 2000
"""Rows that Triton puts together at most, and microseconds that a request waits for others."""


class Word(str):
    """A name of the format itself, which has no quotation marks around it."""

    __slots__ = ()


TYPES = {"str": "TYPE_STRING", "bool": "TYPE_BOOL", "float16": "TYPE_FP16"} | {
    "float32": "TYPE_FP32",
    "float64": "TYPE_FP64",
    **{f"{sign.lower()}int{bits}": f"TYPE_{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)},
}
"""Triton's names of dtypes (its ``DataType``)."""


@dataclass(frozen=True)
class Step:
    """One model of an ensemble.

    Args:
        model: its name.
        inputs: by the names of its inputs what the ensemble calls them.
        outputs: by the names of its outputs.
    """

    model: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]

    @property
    def message(self) -> dict[str, Any]:
        """It in the format."""
        maps = {"input_map": self.inputs, "output_map": self.outputs}
        named = {field: [_entry(*pair) for pair in names.items()] for field, names in maps.items()}
        return {"model_name": self.model, "model_version": -1, **named}


@dataclass(frozen=True)
class Config:
    """A model of a repository.

    Args:
        name: of the model, which is that of its folder.
        backend: what runs it; ``None`` of an ensemble.
        inputs: name, shape and dtype of each.
        outputs: of each output.
        labelled: the output whose classes `LABELS` names, a line a class; ``None`` for none.
        together: whether requests that are there at one time may become one batch.
        on_cpu: keep it off a GPU.
        steps: the models of an ensemble, in order.
        parameters: of the backend.
        max_batch: rows in a batch at most.
        delay: microseconds that a request waits for others.
    """

    name: str
    backend: str | None
    inputs: Sequence[Value]
    outputs: Sequence[Value]
    labelled: str | None = None
    together: bool = True
    on_cpu: bool = False
    steps: Sequence[Step] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    max_batch: int = MAX_BATCH
    delay: int = DELAY

    @property
    def text(self) -> str:
        """The file's text.

        Raises:
            UnsupportedError: an input or output has no batch axis of its own, or is of a dtype that Triton
                has not.
        """
        runner = {"platform": "ensemble"} if self.backend is None else {"backend": self.backend}
        message: dict[str, Any] = {
            "name": self.name,
            **runner,
            "max_batch_size": self.max_batch,
            "input": [tensor(value) for value in self.inputs],
            "output": [tensor(value, self.labelled) for value in self.outputs],
        }
        if self.backend is None:
            # Its tensors go to the models as they are, which take them apart themselves.
            for one in (*message["input"], *message["output"]):
                one.pop("reshape", None)
            steps = [step.message for step in self.steps]
            return written(message | {"ensemble_scheduling": {"step": steps}})
        message["instance_group"] = [{"count": 1, "kind": Word("KIND_CPU" if self.on_cpu else "KIND_AUTO")}]
        if self.together:
            message["dynamic_batching"] = {"max_queue_delay_microseconds": self.delay}
        if self.parameters:
            pairs = self.parameters.items()
            message["parameters"] = [_entry(key, {"string_value": one}) for key, one in pairs]
        return written(message)


def _entry(key: str, value: Any) -> dict[str, Any]:
    """An entry of a map."""
    return {"key": key, "value": value}


def tensor(value: Value, labelled: str | None = None) -> dict[str, Any]:
    """An input or output, without the batch's axis; raises like `Config.text`."""
    if not value.shape or isinstance(value.shape[0], int) or value.dtype not in TYPES:
        supported = "tensors (N, ...) of numbers or texts"
        raise UnsupportedError("a Triton model", value.name, value.tensor, supported)
    dims = [dim if isinstance(dim, int) else -1 for dim in value.shape[1:]]
    entry: dict[str, Any] = {"name": value.name, "data_type": Word(TYPES[value.dtype]), "dims": dims or [1]}
    if not dims:
        # Triton has no tensor without dimensions: (N,) is declared as (N, 1) and taken apart.
        entry["reshape"] = {"shape": list[int]()}
    return entry | ({"label_filename": LABELS} if value.name == labelled else {})


def written(message: Mapping[str, Any], indent: str = "") -> str:
    """A message in protobuf's text format; of lists of messages each is a field of its own.

    Example:
        >>> print(written({"name": "m", "dims": [3, -1], "input": [{"kind": Word("A")}]}), end="")
        name: "m"
        dims: [ 3, -1 ]
        input {
          kind: A
        }
    """
    lines = []
    for name, value in message.items():
        several = value if isinstance(value, list) and value and isinstance(value[0], Mapping) else [value]
        lines += [_field(name, one, indent) for one in several]
    return "".join(lines)


def _field(name: str, value: Any, indent: str) -> str:
    if isinstance(value, Mapping):
        return f"{indent}{name} {{\n{written(value, f'{indent}  ')}{indent}}}\n"
    if isinstance(value, list):
        return f"{indent}{name}: [ {', '.join(map(str, value))} ]\n"
    return f"{indent}{name}: {value if isinstance(value, Word) else json.dumps(value)}\n"


def write_config(folder: Path, config: Config, labels: Sequence[str] | None) -> None:
    """Write ``config.pbtxt`` of the model in ``folder``, and `LABELS` where an output is labelled."""
    if config.labelled is not None:
        write_text(folder / LABELS, "".join(f"{label}\n" for label in labels or ()))
    write_text(folder / CONFIG, config.text)


def write_text(path: Path, text: str) -> None:
    """Write a file of text."""
    with atomic_file(path) as draft:
        draft.write_text(text, encoding="utf-8")
