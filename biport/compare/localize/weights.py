"""The weights of two models side by side: which of them differ, by their names, the worst first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from biport.compare.localize.alignment import align
from biport.errors import InputError
from biport.graph import Graph
from biport.ops import Cell, Op, same_bits
from biport.tables import text_table

SHOWN = 20
"""Differences that a table lists."""


@dataclass(frozen=True)
class WeightDifference:
    """A weight that is not the same in both models.

    Args:
        name: ``node.path``, as the first model calls it, or the second where it alone has it.
        shape: of the first model's, or of the only one.
        count: how many of its numbers differ; 0 where they cannot be compared one by one.
        largest: the largest absolute difference; infinite where they cannot be compared, or NaN is in one.
        index: of the largest.
        values: there, in the first model and in the second.
        note: what is wrong where it is not a matter of size.
    """

    name: str
    shape: tuple[int, ...]
    count: int = 0
    largest: float = math.inf
    index: tuple[int, ...] = ()
    values: tuple[float, float] | None = None
    note: str = ""


@dataclass(frozen=True)
class WeightReport:
    """What `compare_weights` found.

    Args:
        models: what the two are called.
        compared: the names of all weights, as the first model calls them.
        differences: of these, the worst first.
        tolerance: what was allowed; ``None`` where every bit had to be equal.
        notes: what else somebody should know.
    """

    models: tuple[str, str]
    compared: Sequence[str]
    differences: Sequence[WeightDifference]
    tolerance: float | None = None
    notes: Sequence[str] = ()

    @property
    def ok(self) -> bool:
        """Whether none differs."""
        return not self.differences

    @property
    def headline(self) -> str:
        """How many differ, and which is the worst, as a line."""
        a, b = self.models
        count = len(self.compared)
        wanted = "bit for bit" if self.tolerance is None else f"up to {self.tolerance:g}"
        if self.ok:
            return f"{count} weights of {a} and {b} are equal {wanted}"
        worst = self.differences[0]
        how = worst.note or f"off by {worst.largest:.1e}"
        return (
            f"{len(self.differences)} of {count} weights of {a} and {b} are not equal {wanted}; "
            f"the worst is {worst.name!r}: {how}"
        )

    @property
    def table(self) -> str:
        """The differences as lines of text, the worst first; empty where there is nothing to say."""
        rows = [_cells(difference) for difference in self.differences[:SHOWN]]
        headings = ("weight", "shape", "differing", "largest", "at", *self.models, "note")
        lines = text_table([headings, *rows]) if rows else []
        more = len(self.differences) - SHOWN
        lines += [f"and {more} more"] if more > 0 else []
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    @property
    def text(self) -> str:
        """All of it, as lines."""
        return "\n\n".join(part for part in (self.headline, self.table) if part)


def compare_weights(
    a: Graph, b: Graph, models: tuple[str, str] = ("a", "b"), tolerance: float | None = None
) -> WeightReport:
    """Compare every weight of two models.

    They are compared by name where both have the same names, and otherwise layer by layer, as these come in
    the two models. A bias that one keeps where the other keeps two is compared with their sum. Weights that
    several nodes share count once; a constant counts where both have it.

    Args:
        a: one model.
        b: the other.
        models: what they are called.
        tolerance: the largest absolute difference that is allowed; ``None``: every bit is equal, NaN too.

    Raises:
        InputError: neither has weights, or the tolerance is none.

    Example:
        >>> from biport import ops
        >>> from biport.graph import Node, Value
        >>> def average(share):
        ...     node = Node("y", ops.LearnedAverage(weight=np.float32([share])), ("a", "b"))
        ...     inputs = Value("a", ("N", 1), "float32"), Value("b", ("N", 1), "float32")
        ...     return Graph(inputs, (node,), ("y",))
        >>> print(compare_weights(average(0.5), average(0.25)).headline)
        1 of 1 weights of a and b are not equal bit for bit; the worst is 'y.weight': off by 2.5e-01
        >>> compare_weights(average(0.5), average(0.25), tolerance=0.3).ok
        True
    """
    if tolerance is not None and not (math.isfinite(tolerance) and tolerance >= 0):
        raise InputError(f"tolerance should be a number of 0 or more, found {tolerance!r}")
    names, notes = _counterparts(a, b, models)
    one, two = _named(a, {}), _named(b, names)
    mine, yours = one.with_sums(two), two.with_sums(one)
    for model, named, sums in ((models[0], one, mine), (models[1], two, yours)):
        layers = dict.fromkeys(path.partition(".bias_")[0] for path in named.arrays.keys() - sums.keys())
        notes += [
            f"of the two biases that {model} has of {layer!r}, the sum is compared"
            for layer in sorted(layers)
        ]
    once = (mine.keys() ^ yours.keys()) & (one.constants | two.constants)
    compared = [path for path in mine | yours if path not in once]
    if not compared:
        raise InputError(f"neither {models[0]} nor {models[1]} has weights to compare")
    differences = [
        difference
        for path in compared
        if (difference := _difference(path, mine.get(path), yours.get(path), models, tolerance)) is not None
    ]
    # Stable, so that what is equally bad stays in the order of the model.
    differences.sort(key=lambda difference: -difference.largest)
    return WeightReport(models, compared, differences, tolerance, notes)


@dataclass(frozen=True)
class _Weights:
    """The weights of a model as ``node.path``, shared ones once.

    Args:
        arrays: all of them.
        constants: those that nobody trains.
        second_biases: those that act as one number with the ``bias_ih`` beside them.
    """

    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    constants: set[str] = field(default_factory=set)
    second_biases: set[str] = field(default_factory=set)

    def with_sums(self, other: _Weights) -> dict[str, np.ndarray]:
        """The arrays; two biases where the other model has one in their stead are their sum."""
        arrays = dict(self.arrays)
        for second in self.second_biases - other.arrays.keys():
            first = second.replace("bias_hh.", "bias_ih.")
            if first in arrays and first in other.arrays:
                arrays[first] = arrays[first] + arrays.pop(second)
        return arrays


def _counterparts(a: Graph, b: Graph, models: tuple[str, str]) -> tuple[dict[str, str], list[str]]:
    """What the nodes of ``b`` are called in ``a``, where that is something else, and a note of each."""
    if _named(a, {}).arrays.keys() == _named(b, {}).arrays.keys():
        return {}, []
    aligned = align(b, a).nodes
    taken = {*aligned.values()}
    names, notes = {}, []
    for node in b.nodes:
        twin = aligned.get(node.name)
        alone = f"{models[1]}:{node.name}" if node.name in taken else node.name
        names[node.name] = alone if twin is None else twin
        if twin not in (None, node.name) and node.op.weights():
            notes.append(f"{node.name!r} of {models[1]} is compared with {twin!r} of {models[0]}")
    return names, notes


def _named(graph: Graph, names: Mapping[str, str]) -> _Weights:
    """The weights of a graph, of which some nodes have other names."""
    first = {id(node.op): node for node in reversed(graph.nodes)}
    weights = _Weights()
    for node in graph.nodes:
        if first[id(node.op)] is node:
            name = names.get(node.name, node.name)
            weights.arrays.update({f"{name}.{path}": array for path, array in node.op.weights().items()})
            weights.constants.update(f"{name}.{path}" for path in node.op.constant_weights())
            weights.second_biases.update(f"{name}.{path}" for path in _second_biases(node.op))
    return weights


def _second_biases(op: Op) -> Iterator[str]:
    """The paths of biases that always act as their sum with the first ones."""
    if isinstance(op, Cell) and op.one_bias:
        yield from (path for path in op.weights() if path.startswith("bias_hh."))
    for prefix, part in op.parts().items():
        yield from (f"{prefix}.{path}" for path in _second_biases(part))


def _difference(
    name: str,
    mine: np.ndarray | None,
    yours: np.ndarray | None,
    models: tuple[str, str],
    tolerance: float | None,
) -> WeightDifference | None:
    """How a weight differs, if it does."""
    if mine is None or yours is None:
        model, array = (models[0], mine) if mine is not None else (models[1], yours)
        assert array is not None
        return WeightDifference(name, array.shape, note=f"only in {model}")
    if mine.shape != yours.shape:
        note = f"shape {list(mine.shape)} and {list(yours.shape)}"
        return WeightDifference(name, mine.shape, note=note)
    if same_bits(mine, yours):
        return None
    off = _off(mine, yours)
    largest = float(off.max(initial=0.0))
    if tolerance is not None and largest <= tolerance:
        return None
    dtypes = "" if mine.dtype == yours.dtype else f"{mine.dtype} and {yours.dtype}"
    if largest == 0:
        return WeightDifference(
            name, mine.shape, largest=0.0, note=dtypes or "equal numbers of other bits, such as 0 and -0"
        )
    index = tuple(int(i) for i in np.unravel_index(int(off.argmax()), off.shape))
    values = float(mine[index]), float(yours[index])
    return WeightDifference(name, mine.shape, int(np.count_nonzero(off)), largest, index, values, dtypes)


def _off(mine: np.ndarray, yours: np.ndarray) -> np.ndarray:
    """Absolute differences in float64; infinite where one is NaN or infinite and the other something else."""
    one, two = mine.astype("float64"), yours.astype("float64")
    equal = (one == two) | (np.isnan(one) & np.isnan(two))
    with np.errstate(invalid="ignore", over="ignore"):
        off = np.where(equal, 0.0, np.abs(one - two))
    return np.where(np.isfinite(off), off, np.inf)


def _cells(difference: WeightDifference) -> tuple[str, ...]:
    shape = str(list(difference.shape))
    if difference.values is None:
        return difference.name, shape, "", "", "", "", "", difference.note
    one, two = difference.values
    return (
        difference.name,
        shape,
        f"{difference.count} of {math.prod(difference.shape)}",
        f"{difference.largest:.2e}",
        str(list(difference.index)),
        f"{one:.7g}",
        f"{two:.7g}",
        difference.note,
    )
