"""What a model accepts: checked in one place, in the same words, on every side.

Frameworks disagree on bad input: an id of -1 is the last row to one, an error to the next, and ends the
process in a third. Whatever runs a model through biport checks its inputs here first.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from biport.dims import known, letters_in
from biport.errors import InputError, UnsupportedError
from biport.graph import Graph, Node, Value, body_of
from biport.ops import (
    INTEGERS,
    Arange,
    BroadcastTo,
    Cast,
    Dim,
    Elementwise,
    Embedding,
    ExpandDims,
    NotEqual,
    Op,
    ReshapeTo,
    Scan,
    Slice,
    Sort,
    Split,
    Take,
    ToIds,
    Unstack,
)


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


def safe_bounds(graph: Graph) -> dict[str, int]:
    """For each graph input that looks rows up: numbers below this are in the tables of all that it does.

    Such a table is an embedding's, or any value that rows are taken of, `ops.Take`, which takes negative
    numbers too.

    Example:
        >>> from biport.ops import Parameter
        >>> table = Node("table", Parameter(value=np.ones((9, 4), "float32")), ())
        >>> rows = Node("rows", Take(axis=0), ("table", "ids"))
        >>> safe_bounds(Graph((Value("ids", ("N", "T"), "int32"),), (table, rows), ("rows",)))
        {'ids': 9}
    """
    sources, tables = id_inputs(graph), _tables(graph)
    for node in graph.nodes:
        if isinstance(node.op, Take) and node.inputs[1] in sources:
            size = graph.tensors[node.inputs[0]].shape[node.op.axis]
            if isinstance(size, int):
                tables.setdefault(sources[node.inputs[1]], set()).add(size)
    return {source: min(rows) for source, rows in tables.items()}


def id_bounds(graph: Graph) -> dict[str, int]:
    """For each graph input whose numbers are ids of embeddings: how many rows these have; ids are below it.

    An input of which parts go different ways, a user here and a score there, has no bound.
    """
    sources = id_inputs(graph)
    parted = {sources[node.inputs[0]] for node in graph.nodes if _takes_parts(node, sources)}
    elsewhere = {
        sources[name]
        for node in graph.nodes
        for name in node.inputs
        if name in sources and not (carries(node.op) or isinstance(node.op, Embedding | NotEqual | ToIds))
    }
    return {
        source: min(rows)
        for source, rows in _tables(graph).items()
        if source not in parted or (len(rows) == 1 and source not in elsewhere)
    }


def row_lengths(graph: Graph) -> dict[str, Dim]:
    """The inputs that say how many steps of each row are valid, ``(N,)``, and how many steps there are.

    They are compared with the numbers of the steps: ``arange(T) < lengths[:, None]`` makes a mask of them.
    """
    makers = {name: node for node in graph.nodes for name in node.outputs}
    sources = {value.name: value.name for value in graph.inputs if len(value.shape) == 1}
    for node in graph.nodes:
        if isinstance(node.op, ExpandDims | Cast | Sort | Take) and node.inputs[0] in sources:
            sources[node.outputs[0]] = sources[node.inputs[0]]
    lengths: dict[str, Dim] = {}
    for node in graph.nodes:
        if isinstance(node.op, Elementwise) and node.op.function in COMPARISONS:
            for one, other in (node.inputs, node.inputs[::-1]):
                maker = makers.get(other)
                while maker is not None and isinstance(maker.op, ExpandDims | Cast | BroadcastTo | ReshapeTo):
                    maker = makers.get(maker.inputs[0])
                if one in sources and maker is not None and isinstance(maker.op, Arange):
                    lengths.setdefault(sources[one], maker.op.infer([])[0].shape[0])
    return lengths


COMPARISONS = ("less", "less_equal", "greater", "greater_equal")

BATCH = "N"
"""The letter of the batch."""


def batch_axis(shape: Sequence[Dim]) -> int | None:
    """On which axis of a model's input, or of what it gives, the rows are; ``None`` of one without axes.

    That is where the letter N is, and otherwise the first one.

    Example:
        >>> batch_axis(("N", "T", 4)), batch_axis((2, "N", 5)), batch_axis(("T", "N", 4)), batch_axis(())
        (0, 1, 1, None)
    """
    if not shape:
        return None
    return next((axis for axis, dim in enumerate(shape) if dim == BATCH), 0)


def time_axis(shape: Sequence[Dim]) -> int | None:
    """On which axis the steps are, where there are any: behind the rows, or a size before them that varies.

    Example:
        >>> time_axis(("N", "T", 4)), time_axis(("T", "N", 4)), time_axis((2, "N", 5)), time_axis(("N",))
        (1, 0, None, None)
    """
    if batch_axis(shape) == 0:
        return 1 if len(shape) > 1 else None
    return None if not shape or isinstance(shape[0], int) else 0


def letter_sizes(values: Sequence[Value], N: int, T: int | Mapping[str, int]) -> dict[str, int]:
    """What each letter of a model's inputs stands for, where the batch is of ``N`` rows.

    A batch that is fixed somewhere is of that size everywhere.

    Args:
        values: the inputs.
        N: rows, where no input says how many.
        T: of every other letter, or of each.

    Example:
        >>> values = [Value("x", ("T", "N", 4), "float32"), Value("state", (2, "N", 5), "float32")]
        >>> letter_sizes(values, 3, 7) == {"T": 7, "N": 3}
        True
    """
    letters = {name for value in values for name in letters_in(value.shape)}
    batches = [value.shape[axis] for value in values if (axis := batch_axis(value.shape)) is not None]
    N = next((dim for dim in batches if isinstance(dim, int)), N)
    rows = {BATCH} if BATCH in letters else {str(dim) for dim in batches}
    return {name: N if name in rows else T if isinstance(T, int) else T[name] for name in letters}


def size_at(dim: Dim, sizes: Mapping[str, int]) -> int:
    """The number that a size is."""
    return known(dim if isinstance(dim, int) else dim.at(sizes))


def _takes_parts(node: Node, sources: Mapping[str, str]) -> bool:
    return isinstance(node.op, Slice | Split | Unstack) and node.inputs[0] in sources


def _tables(graph: Graph) -> dict[str, set[int]]:
    """For each graph input that feeds embeddings: how many rows these have."""
    sources = id_inputs(graph)
    rows: dict[str, set[int]] = {}
    for node in graph.nodes:
        if isinstance(node.op, Embedding) and node.inputs[0] in sources:
            rows.setdefault(sources[node.inputs[0]], set()).add(node.op.num_embeddings)
        if isinstance(node.op, Scan):
            *_, constants = node.op.split(node.inputs)
            inside = _tables(body_of(node.op))
            for value, name in zip(node.op.constant_arguments, constants, strict=True):
                if name in sources and value.name in inside:
                    rows.setdefault(sources[name], set()).update(inside[value.name])
    return rows


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
    if len(values) == 1:
        return arrays
    first = next((value.shape[0] for value in values if value.shape), None)
    batches = {
        value.name: len(array)
        for value, array in zip(values, arrays, strict=True)
        if value.shape and value.shape[0] == first and not isinstance(first, int)
    }
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


def letter_axes(values: Sequence[Value]) -> dict[str, tuple[str, int]]:
    """Where each letter is to be seen while a model runs: the first input that has it, and on which axis.

    Example:
        >>> letter_axes([Value("x", ("N", "T", 4), "float32"), Value("y", ("N", "S"), "int64")])
        {'N': ('x', 0), 'T': ('x', 1), 'S': ('y', 1)}
    """
    axes: dict[str, tuple[str, int]] = {}
    for value in values:
        for axis, dim in enumerate(value.shape):
            if not isinstance(dim, int) and dim.is_letter:
                axes.setdefault(str(dim), (value.name, axis))
    return axes


def check_letters(owner: str, dims: Sequence[Dim], known: Collection[str]) -> None:
    """Refuse sizes that no input tells.

    Args:
        owner: how errors call what needs the sizes.
        dims: the sizes.
        known: the letters of the model's inputs, see `letter_axes`.

    Raises:
        UnsupportedError: a letter is none of them.
    """
    for dim in dims:
        unknown = [] if isinstance(dim, int) else sorted(dim.letters - set(known))
        if unknown:
            supported = f"sizes of the inputs: {', '.join(sorted(known)) or 'none vary'}"
            raise UnsupportedError(owner, "size", f"{dim}, of which no input tells {unknown[0]}", supported)


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
