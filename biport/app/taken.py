"""What a model says of the rows it takes: its inputs, its tokenisers, and what its classes are called."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from biport.analysis.padding import masked_axes
from biport.analysis.rows import where_rows_meet
from biport.graph import Graph, Value
from biport.inputs import id_bounds
from biport.text.alphabet import Alphabet
from biport.text.inputs import from_data
from biport.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Taken:
    """What a model says of the rows it takes.

    Args:
        inputs: name, shape and dtype of each, in order; of texts the dtype is ``"str"``.
        bounds: the inputs that are ids, and how many ids there are.
        tokenizers: by inputs of ids, or of texts, how texts become ids.
        labels: what the classes are called; ``None`` where the model does not say.
        classes: how many there are, by the size of the first output; ``None`` where that varies.
        masked: whether padding behind a row's end changes nothing.
        meets: the node in which the rows of a batch meet, so that it cannot be divided; ``None`` where each
            is computed by itself, as far as the model says.
        alphabet: what the classes of a CTC model are called, where it says so.
    """

    inputs: Sequence[Value]
    bounds: Mapping[str, int] = field(default_factory=dict)
    tokenizers: Mapping[str, Tokenizer] = field(default_factory=dict)
    labels: tuple[str, ...] | None = None
    classes: int | None = None
    masked: bool = False
    meets: str | None = None
    alphabet: Alphabet | None = None

    @property
    def sources(self) -> list[str]:
        """The inputs of which texts are given, each once."""
        if self.tokenizers:
            return list(dict.fromkeys(one.source for one in self.tokenizers.values()))
        return [value.name for value in self.inputs if value.dtype == "str"]


def taken_by(model: Any, *, labels: Sequence[str] | None = None) -> Taken:
    """What a `Graph` or an ``export.Session`` takes.

    Args:
        model: one of these.
        labels: what its classes are called, where it does not say so itself.
    """
    named = None if labels is None else tuple(labels)
    if isinstance(model, Graph):
        return Taken(
            model.inputs,
            id_bounds(model),
            model.tokenizers,
            named,
            class_count([model.tensors[name].shape for name in model.outputs]),
            masked_axes(model) is not None,
            None if (meeting := where_rows_meet(model)) is None else meeting.name,
            model.alphabet,
        )
    # Of a file that makes ids of texts itself they are known, too, and say how long the rows are.
    own = from_data(json.loads(model.metadata.get("biport.tokenizers", "{}")), str(model.path))
    return Taken(
        model.input_values,
        model.id_bounds,
        {**own, **model.tokenizers},
        named or model.labels,
        class_count([value.shape for value in model.output_values]),
        model.masked,
        model.metadata.get("biport.rows_meet"),
        model.alphabet,
    )


def class_count(shapes: Sequence[Sequence[Any]]) -> int | None:
    """How many classes the first of these outputs may have; two of one number."""
    size = shapes[0][-1] if shapes and shapes[0] else None
    if not isinstance(size, int):
        return None
    return 2 if size == 1 else size
