"""What an ONNX file carries besides the model: its vocabulary, its labels, and whether padding counts."""

from __future__ import annotations

import json
from collections.abc import Sequence

from biport.analysis.padding import described, masked_axes
from biport.analysis.text_model import check_labels, check_vocabulary
from biport.data.vocabulary import Vocabulary
from biport.graph import Graph
from biport.text.inputs import check_one, to_data


def text_metadata(
    graph: Graph, vocabulary: Vocabulary | None, labels: Sequence[str] | None
) -> dict[str, str]:
    """The ``metadata_props`` of all that; raises like `export.write`."""
    properties = {"biport.padding": json.dumps(described(masked_axes(graph)))}
    check_one(graph.tokenizers, vocabulary)
    if graph.tokenizers:
        properties["biport.tokenizers"] = json.dumps(to_data(graph.tokenizers))
    if vocabulary is not None:
        check_vocabulary(graph, vocabulary)
        properties["biport.vocabulary"] = json.dumps(vocabulary.to_data())
    if labels is not None:
        properties["biport.labels"] = json.dumps(check_labels(graph, labels))
    return properties
