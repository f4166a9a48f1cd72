"""What an ONNX file carries besides the model: its tokenisers, its labels, and whether padding counts."""

from __future__ import annotations

import json
from collections.abc import Sequence

from biport.analysis.padding import described, masked_axes
from biport.analysis.text_model import check_labels
from biport.graph import Graph
from biport.text import alphabet
from biport.text.inputs import to_data


def text_metadata(graph: Graph, labels: Sequence[str] | None) -> dict[str, str]:
    """The ``metadata_props`` of all that; raises like `export.write`."""
    properties = {"biport.padding": json.dumps(described(masked_axes(graph)))}
    if graph.tokenizers:
        properties["biport.tokenizers"] = json.dumps(to_data(graph.tokenizers))
    if graph.alphabet is not None:
        properties["biport.alphabet"] = json.dumps(alphabet.to_data(graph.alphabet))
    if labels is not None:
        properties["biport.labels"] = json.dumps(check_labels(graph, labels))
    return properties
