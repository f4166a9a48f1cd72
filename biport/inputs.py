"""What a model accepts: checked in one place, in the same words, on every side.

Frameworks disagree on bad input: an id of -1 is the last row to one, an error to the next, and ends the
process in a third. Whatever runs a model through biport checks its inputs here first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from biport.errors import InputError
from biport.graph import Graph, Value
from biport.ops import INTEGERS, Embedding, Op, ToIds


def carries(op: Op) -> bool:
    """Whether ids that are put in come out."""
    return op.identity or op.moves


def id_inputs(graph: Graph) -> dict[str, str]:
    """The values that have the numbers of a model input, in any shape, or as `ToIds`, and that input."""
    sources = {value.name: value.name for value in graph.inputs}
    for node in graph.nodes:
        if (isinstance(node.op, ToIds) or carries(node.op)) and node.inputs[0] in sources:
            sources |= dict.fromkeys(node.outputs, sources[node.inputs[0]])
    return sources


def id_bounds(graph: Graph) -> dict[str, int]:
    """For each graph input that feeds an embedding: the number of its rows, V; ids are below it."""
    sources = id_inputs(graph)
    bounds: dict[str, int] = {}
    for node in graph.nodes:
        if isinstance(node.op, Embedding) and node.inputs[0] in sources:
            source = sources[node.inputs[0]]
            bounds[source] = min(node.op.num_embeddings, bounds.get(source, node.op.num_embeddings))
    return bounds


Inputs = Sequence[np.ndarray] | Mapping[str, np.ndarray]
"""One array for each input, in order or by name."""


def in_order(names: Sequence[str], inputs: Inputs) -> list[np.ndarray]:
    """The arrays in the order of the model's inputs.

    Raises:
        InputError: a single array in place of a list, or other names than the model's.

    Example:
        >>> in_order(["ids", "mask"], {"mask": np.array([True]), "ids": np.array([7])})
        [array([7]), array([ True])]
    """
    if isinstance(inputs, np.ndarray):
        raise InputError("the inputs should be a list or a mapping of arrays, found one array")
    if not isinstance(inputs, Mapping):
        return list(inputs)
    if sorted(inputs) != sorted(names):
        raise InputError(f"the model takes the inputs {', '.join(names)}; found {', '.join(inputs)}")
    return [inputs[name] for name in names]


def check_inputs(graph: Graph, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The inputs as arrays of the dtypes the graph declares.

    Raises:
        InputError: the number of inputs, a rank, a fixed size or a dtype is not what the graph takes, the
            batch sizes differ, an id is outside of ``[0, V)``, or a number is not finite. The message names
            the input.
    """
    return check_arrays(graph.inputs, id_bounds(graph), inputs)


def check_arrays(
    values: Sequence[Value], bounds: Mapping[str, int], inputs: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Like `check_inputs`, for a model of which only the inputs' descriptions are at hand."""
    if len(inputs) != len(values):
        names = ", ".join(value.name for value in values)
        raise InputError(f"the model takes {len(values)} inputs ({names}), found {len(inputs)}")
    arrays = [
        _checked(value, bounds.get(value.name), np.asarray(array))
        for value, array in zip(values, inputs, strict=True)
    ]
    batches = {value.name: len(array) for value, array in zip(values, arrays, strict=True) if array.ndim}
    if len(set(batches.values())) > 1:
        raise InputError(f"the inputs have different batch sizes: {batches}")
    return arrays


def letters(values: Sequence[Value], arrays: Sequence[np.ndarray]) -> dict[str, int]:
    """What each letter stands for; one that stands for two sizes is left out."""
    sizes: dict[str, set[int]] = {}
    for value, array in zip(values, arrays, strict=True):
        for dim, size in zip(value.shape, array.shape, strict=True):
            if not isinstance(dim, int) and dim.is_letter:
                sizes.setdefault(str(dim), set()).add(size)
    return {name: given.pop() for name, given in sizes.items() if len(given) == 1}


def _checked(value: Value, bound: int | None, array: np.ndarray) -> np.ndarray:
    owner = f"input {value.name!r}"
    if array.ndim != len(value.shape):
        raise InputError(f"{owner}: expected {value.tensor}, found shape {array.shape}")
    for wanted, size in zip(value.shape, array.shape, strict=True):
        if isinstance(wanted, int) and wanted != size:
            raise InputError(f"{owner}: expected {value.tensor}, found shape {array.shape}")
    if value.dtype == "str":
        return _texts(owner, array)
    if value.dtype in INTEGERS:
        _check_ids(owner, value.dtype, bound, array)
    elif array.dtype.kind not in "fiub":
        raise InputError(f"{owner}: expected numbers ({value.dtype}), found {array.dtype}")
    elif value.dtype != "bool" and not np.isfinite(array).all():
        raise InputError(f"{owner}: holds NaN or infinite numbers")
    elif value.dtype == "bool" and array.dtype.kind != "b":
        raise InputError(f"{owner}: expected bool, found {array.dtype}")
    elif bound is not None:
        if not np.array_equal(array, np.trunc(array)):
            raise InputError(f"{owner}: expected ids, whole numbers in [0, {bound}), found others")
        _check_ids(owner, "int64", bound, array.astype("int64"))
    return array.astype(value.dtype, copy=False)


def _texts(owner: str, array: np.ndarray) -> np.ndarray:
    texts = array.astype(object)
    wrong = [type(text).__name__ for text in texts.ravel() if not isinstance(text, str)]
    if wrong:
        raise InputError(f"{owner}: expected texts, found {wrong[0]}")
    return texts


def _check_ids(owner: str, dtype: str, bound: int | None, array: np.ndarray) -> None:
    if array.dtype.kind not in "iu":
        raise InputError(f"{owner}: expected integer ids ({dtype}), found {array.dtype}")
    limit = np.iinfo(dtype).max if bound is None else bound - 1
    if array.size == 0:
        return
    low, high = int(array.min()), int(array.max())
    if bound is not None and low < 0:
        raise InputError(f"{owner}: ids should be in [0, {bound}), found {low}")
    if high > limit:
        wanted = f"ids should be in [0, {bound})" if bound is not None else f"integers should fit {dtype}"
        raise InputError(f"{owner}: {wanted}, found {high}")
