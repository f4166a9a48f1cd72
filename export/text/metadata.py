"""What an ONNX file carries besides the model: its vocabulary, its labels, and whether padding counts."""

from __future__ import annotations

import json
from collections.abc import Sequence

from biport.analysis.padding import described, masked_axes
from biport.analysis.text_model import check_labels, check_vocabulary
from biport.data.vocabulary import Vocabulary
from biport.graph import Graph


def text_metadata(
    graph: Graph, vocabulary: Vocabulary | None, labels: Sequence[str] | None
) -> dict[str, str]:
    """The ``metadata_props`` of all that; raises like `export.write`."""
    properties = {"biport.padding": json.dumps(described(masked_axes(graph)))}
    if vocabulary is not None:
        check_vocabulary(graph, vocabulary)
        properties["biport.vocabulary"] = json.dumps(vocabulary.to_data())
    if labels is not None:
        properties["biport.labels"] = json.dumps(check_labels(graph, labels))
    return properties
