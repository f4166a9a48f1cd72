"""What an ONNX file carries besides the model: its vocabulary, its labels, and whether padding counts."""

from __future__ import annotations

import json
from collections.abc import Sequence

from biport.data.vocabulary import Vocabulary
from biport.errors import InputError, UnsupportedError
from biport.graph import Graph
from biport.inputs import id_bounds
from biport.right_padding import described, masked_axes
from export.labels import check_labels


def text_metadata(
    graph: Graph, vocabulary: Vocabulary | None, labels: Sequence[str] | None
) -> dict[str, str]:
    """The ``metadata_props`` of all that; raises like `export.write`."""
    found = {"biport.padding": json.dumps(described(masked_axes(graph)))}
    if vocabulary is not None:
        check_vocabulary(graph, vocabulary)
        found["biport.vocabulary"] = json.dumps(vocabulary.to_data())
    if labels is not None:
        found["biport.labels"] = json.dumps(check_labels(graph, labels))
    return found


def check_vocabulary(graph: Graph, vocabulary: Vocabulary) -> None:
    """Refuse a vocabulary that does not go with the graph.

    Raises:
        InputError: it has more tokens than the model has ids.
        UnsupportedError: the model takes something else than one array of ids.
    """
    bounds = id_bounds(graph)
    taken = [f"{value.name} {value.tensor}" for value in graph.inputs]
    if len(graph.inputs) != 1 or not bounds or len(graph.inputs[0].shape) != 2:
        raise UnsupportedError("vocabulary", "inputs", taken, "one input of ids (N, T)")
    (known,) = bounds.values()
    if len(vocabulary) > known:
        raise InputError(
            f"the vocabulary has {len(vocabulary)} tokens and the model ids below {known}: it is of another"
        )
