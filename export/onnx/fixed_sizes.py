"""A model for one batch and one length: numbers in place of the letters of its inputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from biport.dims import Dim, letters_in
from biport.errors import Argument, GraphError, InputError, UnsupportedError
from biport.graph import Graph
from biport.inputs import BATCH, batch_axis
from export.onnx.axis_names import distinct_axes


def at_sizes(graph: Graph, batch: int | None, length: int | Mapping[str, int] | None) -> Graph:
    """The graph at these sizes.

    Args:
        graph: the model.
        batch: rows, N.
        length: steps: of every other letter, or of each by its name in the file, ``{"T": 40, "T_2": 30}``.

    Raises:
        InputError: a size is below 1, a letter is none of the model's, or the model is not defined over such
            sizes.
        UnsupportedError: nothing of the kind varies.
    """
    graph = dataclasses.replace(graph, inputs=tuple(distinct_axes(graph.inputs)))
    every = {letter for value in graph.inputs for letter in letters_in(value.shape)}
    rows = {BATCH} & every or _first_axes(graph)
    sizes: dict[str, int] = {}
    if batch is not None:
        if not rows:
            raise UnsupportedError("export to ONNX", "fix_batch", batch, "models whose batch varies")
        sizes |= dict.fromkeys(rows, batch)
    if length is not None:
        sizes |= _lengths(every - rows, length)
    for name, size in sizes.items():
        if size < 1:
            raise InputError(f"{name} should be fixed to 1 or more, found {size}")
    return _bound(graph, sizes)


def at_sizes_of(graph: Graph, shapes: Sequence[Sequence[Dim]]) -> Graph:
    """The graph at the sizes that are numbers in a file of it, and letters in the graph.

    Args:
        graph: the model.
        shapes: of the inputs that the file has, in order.

    Raises:
        InputError: the model is not defined over such sizes.
    """
    inputs = distinct_axes(graph.inputs)
    if [len(shape) for shape in shapes] != [len(value.shape) for value in inputs]:
        return graph
    sizes = {
        str(dim): size
        for value, shape in zip(inputs, shapes, strict=True)
        for dim, size in zip(value.shape, shape, strict=True)
        if isinstance(size, int) and not isinstance(dim, int) and dim.is_letter
    }
    return _bound(dataclasses.replace(graph, inputs=tuple(inputs)), sizes) if sizes else graph


def _bound(graph: Graph, sizes: Mapping[str, int]) -> Graph:
    try:
        return graph.at(sizes)
    except GraphError as error:
        shown = ", ".join(f"{name}={size}" for name, size in sizes.items())
        raise InputError(f"the model is not defined over {shown}: {error}") from error


def _first_axes(graph: Graph) -> set[str]:
    """The letters of batches that are not called N."""
    shapes = (value.shape for value in graph.inputs)
    dims = (shape[axis] for shape in shapes if (axis := batch_axis(shape)) is not None)
    return {str(dim) for dim in dims if not isinstance(dim, int)}


def _lengths(letters: set[str], length: int | Mapping[str, int]) -> dict[str, int]:
    if not letters:
        raise UnsupportedError("export to ONNX", "fix_length", length, "models of a length that varies")
    if isinstance(length, int):
        return dict.fromkeys(letters, length)
    unknown = sorted(set(length) - letters)
    if unknown:
        known = ", ".join(sorted(letters))
        raise InputError(Argument("fix_length", ", ".join(unknown)), f": the model's lengths are {known}")
    return dict(length)
