"""What a graph says of the pictures that it takes."""

from __future__ import annotations

import dataclasses

from biport.data.images import ImageInput, ImageSettings
from biport.errors import InputError
from biport.graph import Graph
from biport.ops import Rescaling

IMAGE_RANK = 4
"""Axes of a batch of pictures with channels."""
_LARGEST = 1 / 50
"""Scales below this are of numbers that go beyond 1."""


def stated_images(graph: Graph) -> ImageSettings:
    """What the model itself states: one that scales pixels down takes them as they are.

    Example:
        >>> from biport.graph import Node, Value
        >>> pixels = Value("pixels", ("N", 32, 96, 1), "float32")
        >>> scaled = Node("scaled", Rescaling(scale=1 / 255, offset=0.0), ("pixels",))
        >>> stated_images(Graph((pixels,), (scaled,), ("scaled",))).scale
        1.0
    """
    if len(graph.inputs) != 1 or len(graph.inputs[0].shape) != IMAGE_RANK:
        return ImageSettings()
    (value,) = graph.inputs
    users = [node.op for node in graph.nodes if value.name in node.inputs]
    scales = [op.scale for op in users if isinstance(op, Rescaling)]
    if not users or len(scales) < len(users) or not all(_of_pixels(scale) for scale in scales):
        return ImageSettings()
    return ImageSettings(scale=1.0)


def _of_pixels(scale: float | tuple[float, ...]) -> bool:
    return all(abs(one) < _LARGEST for one in (scale if isinstance(scale, tuple) else (scale,)))


def check_images(graph: Graph, settings: ImageSettings) -> None:
    """Refuse what does not go with a model.

    Raises:
        InputError: it takes no pictures, or these differ.
    """
    if len(graph.inputs) != 1:
        raise InputError("pictures are run through models of one input")
    whole = settings if settings.scale is not None else dataclasses.replace(settings, scale=1.0)
    ImageInput.of(graph.inputs[0], whole)
