"""What an ONNX file carries besides the model: tokenisers, labels, pictures, and whether padding counts."""

from __future__ import annotations

import json
from collections.abc import Sequence

from biport.analysis.images import check_images, stated_images
from biport.analysis.padding import described, masked_axes
from biport.analysis.text_model import check_labels
from biport.data.images import PROPERTY, ImageSettings
from biport.graph import Graph
from biport.text import alphabet
from biport.text.inputs import to_data


def text_metadata(
    graph: Graph, labels: Sequence[str] | None, images: ImageSettings | None = None
) -> dict[str, str]:
    """The ``metadata_props`` of all that; raises like `export.write`."""
    properties = {"biport.padding": json.dumps(described(masked_axes(graph)))}
    if graph.tokenizers:
        properties["biport.tokenizers"] = json.dumps(to_data(graph.tokenizers))
    if graph.alphabet is not None:
        properties["biport.alphabet"] = json.dumps(alphabet.to_data(graph.alphabet))
    if labels is not None:
        properties["biport.labels"] = json.dumps(check_labels(graph, labels))
    settings = stated_images(graph) if images is None else images.over(stated_images(graph))
    if images is not None and images.given:
        check_images(graph, settings)
    if settings.given:
        properties[PROPERTY] = json.dumps(settings.to_data())
    return properties
