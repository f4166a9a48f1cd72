"""What old runtimes are tried on: every op at sizes that vary, empty ones too, and recurrent layers of every
kind under every mask; what each is to give is the oracle's."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from biport import ops, reference
from biport.errors import BiportError
from biport.graph import Graph, Node, Value
from biport.inputs import size_at
from testing import scans
from testing.examples import EXAMPLES, Example, N, T
from testing.feature_maps import FAMILIES, LETTERS, random_graph, residual_network
from testing.graphs import normal
from testing.recurrent_graphs import KINDS, H, I, both_ways, cases_of, cell, graph_of, inputs_of, stack

OF_ONE = (
    *(
        "abs",
        "exp",
        "sqrt",
        "erf",
        "floor",
        "ceil",
        "round",
        "sign",
        "isnan",
        "isinf",
        "isfinite",
        "atan",
        "sin",
    ),
    *("expm1", "log1p", "reciprocal", "square", "tan", "cosh", "asinh", "trunc"),
)
"""Functions of one number."""
SIZES = ((N, T), (1, 1), (0, T), (N, 0), (0, 0))
TIMES_ALLOWED = 64
"""Of float32's epsilon, in proportion to the largest number."""


@dataclass(frozen=True, eq=False)
class Trial:
    """A model, inputs for it, and what it is to give.

    Args:
        name: what it is.
        graph: the model.
        inputs: by case.
        outputs: likewise.
    """

    name: str
    graph: Graph
    inputs: dict[str, Sequence[np.ndarray]]
    outputs: dict[str, Sequence[np.ndarray]]


def trial(name: str, graph: Graph, inputs: Mapping[str, Sequence[np.ndarray]]) -> Trial:
    """A trial of those inputs over which the model is defined."""
    outputs, exact = {}, graph.astype("float64")
    for case, arrays in inputs.items():
        wide = [array.astype("float64") if array.dtype == "float32" else array for array in arrays]
        try:
            with warnings.catch_warnings():
                # Of means of nothing, which are NaN everywhere.
                warnings.simplefilter("ignore", RuntimeWarning)
                outputs[case] = reference.run(exact, wide)
        except (BiportError, ValueError, IndexError):  # numpy's, where a setting says how long a row is
            continue
    return Trial(name, graph, {case: inputs[case] for case in outputs}, outputs)


def every_op() -> Iterator[Trial]:
    """Each of `EXAMPLES`, at sizes that vary where its settings let them."""
    for example in EXAMPLES:
        if example.op.kind in ("ToIds", "Scan"):
            continue
        try:
            graph, letters = _graph(example, varying=True), True
        except BiportError:
            graph, letters = _graph(example, varying=False), False
        rng = np.random.default_rng(3)
        sizes = SIZES if letters else SIZES[:1]
        yield trial(example.label, graph, {str(size): _inputs(example, graph, size, rng) for size in sizes})


def _graph(example: Example, varying: bool) -> Graph:
    values, reads, masks = [], [], []
    # A file has frames of one size alone.
    axes = 2 if _of_frames(example.op) else None
    for at, (array, mask) in enumerate(zip(example.inputs, example.masks, strict=True)):
        reads.append(f"x{at}")
        values.append(Value(f"x{at}", _letters(array.shape, varying, axes), _narrow(array.dtype)))
        masks.append(None if mask is None else f"m{at}")
        if mask is not None:
            values.append(Value(f"m{at}", _letters(mask.shape, varying), "bool"))
    op = example.op.astype("float32")
    count = len(op.infer([value.tensor for value in values if value.name in reads]))
    outputs = tuple(f"y:{at}" for at in range(count))
    return Graph(tuple(values), (Node("y", op, tuple(reads), outputs, tuple(masks)),), outputs)


def _of_frames(op: ops.Op) -> bool:
    return isinstance(op.forward if isinstance(op, ops.Bidirectional) else op, ops.ConvolutionalLSTM)


def _letters(shape: Sequence[int], varying: bool, axes: int | None = None) -> tuple[int | str, ...]:
    """N and T on the first ``axes``, by default whatever axes they are: no other size is one of them."""
    names = {N: "N", T: "T"} if varying else {}
    return (*(names.get(size, size) for size in shape[:axes]), *([] if axes is None else shape[axes:]))


def _narrow(dtype: np.dtype) -> str:
    return "float32" if dtype == "float64" else dtype.name


def _inputs(
    example: Example, graph: Graph, size: tuple[int, int], rng: np.random.Generator
) -> list[np.ndarray]:
    """The example's own numbers, or others of those sizes."""
    given = [part for pair in zip(example.inputs, example.masks, strict=True) for part in pair]
    arrays = []
    for value, array in zip(graph.inputs, (part for part in given if part is not None), strict=True):
        shape = [size_at(dim, dict(zip("NT", size, strict=True))) for dim in value.shape]
        drawn = rng.choice(array.ravel(), shape) if array.size and tuple(shape) != array.shape else array
        arrays.append(drawn.astype(value.dtype))
    return arrays


def recurrent() -> Iterator[Trial]:
    """Layers of every kind in one direction and in both, with and without masks and states, and loops."""
    rng = np.random.default_rng(11)
    for kind in KINDS:
        for masked in (True, False):
            every = cell(rng, kind, I, H, return_sequences=True, return_state=True)
            last = cell(rng, kind, I, H, reverse=True, zero_output_for_mask=True)
            looped = cell(rng, kind, I, H, return_sequences=True, activation="hard_tanh")
            pair = [cell(rng, kind, I, H, 2, return_sequences=True) for _ in range(2)]
            for name, op in {
                "every step": every,
                "last, backward": last,
                "looped": looped,
                "both ways": both_ways(pair[0], pair[1]),
            }.items():
                graph = graph_of(op, masked=masked, states=name == "every step")
                yield trial(f"{kind}, {name}, masked={masked}", graph, dict(cases_of(graph, rng)))
        one, two = (cell(rng, kind, I, H, return_sequences=True, return_state=True) for _ in range(2))
        graph = graph_of(both_ways(one, two), states=True)
        # Enough rows of unequal lengths to run in groups.
        grouped = {mask: inputs_of(graph, rng, mask, 19, 9) for mask in ("right", "holes", "full")}
        yield trial(f"{kind}, in groups of rows", graph, grouped)
    graph = graph_of(stack(rng, ["gru", "lstm", "rnn"], I, return_sequences=True))
    yield trial("a stack", graph, dict(cases_of(graph, rng)))
    for make in (scans.layer_norm_lstm, scans.peephole_lstm, scans.ind_rnn):
        graph = scans.graph_of(make(rng, return_sequences=True))
        yield trial(make.__name__, graph, dict(cases_of(graph, rng)))


def feature_maps() -> Iterator[Trial]:
    """Random ops over one axis to three, a few one behind the other, at sizes that vary and at others."""
    for seed in range(3 * 3 * len(FAMILIES)):
        rng = np.random.default_rng(seed)
        family, axes = [*FAMILIES][seed % len(FAMILIES)], 1 + seed % 3
        graph = random_graph(rng, family, axes, (rng.random(axes) < 0.6).tolist())
        shape = graph.inputs[0].shape
        inputs: dict[str, Sequence[np.ndarray]] = {}
        for rows in (2, 1, 3, 0):
            sizes = {letter: int(rng.integers(0, 11)) for letter in LETTERS} | {"N": rows}
            inputs[str(sizes)] = [normal(rng, *(size_at(dim, sizes) for dim in shape))]
        yield trial(f"{family} {seed}", graph, inputs)
    rng = np.random.default_rng(0)
    images: dict[str, Sequence[np.ndarray]] = {str(W): [normal(rng, 2, 8, W, 3)] for W in (2, 7)}
    yield trial("a network", residual_network(rng), images)


def special_numbers() -> Iterator[Trial]:
    """NaN and infinities through every function of one number, and the extremes of rows that have some."""
    parts = tuple(Value(name, ("N", "T", 9), "float32") for name in ("over", "under"))
    over = np.tile(np.array([0, 1, -1, 0, -0.0, 3, -3, 0.5, 90], "float32"), (2, 3, 1))
    under = np.tile(np.array([0, 0, 0, 1, 1, 1, 1, 1, 1], "float32"), (2, 3, 1))
    made = Node("x", ops.Elementwise(function="divide"), ("over", "under"))
    every: dict[str, ops.Op] = {name: ops.Elementwise(function=name) for name in OF_ONE}
    every |= {name: ops.Activation(function=name) for name in ops.ACTIVATIONS}
    every |= {f"largest, {name}": ops.Reduction(function=name, axes=(2,)) for name in ("max", "min", "sum")}
    for name, op in every.items():
        graph = Graph(parts, (made, Node("y", op, ("x",))), ("y",))
        yield trial(f"special numbers, {name}", graph, {"special": [over, under]})
    whole = Value("x", ("N", "T", 8), "int64")
    for function in ("argmax", "argmin"):
        graph = Graph((whole,), (Node("y", ops.ArgReduction(function=function, axis=1), ("x",)),), ("y",))
        integers = np.random.default_rng(0).integers(-2, 3, (2, 6, 8))
        yield trial(f"{function} of integers", graph, {"ties": [integers]})


def trials() -> Iterator[Trial]:
    """All of them."""
    yield from recurrent()
    yield from every_op()
    yield from feature_maps()
    yield from special_numbers()


def difference(trial: Trial, case: str, outputs: Sequence[np.ndarray]) -> str | None:
    """How what a runtime gives differs from the oracle; ``None`` where it does not."""
    for name, mine, exact in zip(trial.graph.outputs, outputs, trial.outputs[case], strict=True):
        if mine.shape != exact.shape:
            return f"{name}: shape {mine.shape} instead of {exact.shape}"
        if mine.dtype.kind != "f":
            if not np.array_equal(mine, exact):
                return f"{name}: other numbers"
            continue
        finite = np.isfinite(exact) & (np.abs(exact) < np.finfo("float32").max)
        with np.errstate(over="ignore"):
            narrow = exact.astype("float32")
        if not np.array_equal(mine[~finite], narrow[~finite], equal_nan=True):
            return f"{name}: other NaN or infinities"
        scale = max(1.0, float(np.abs(exact[finite]).max(initial=0)))
        error = float(np.abs(mine[finite] - exact[finite]).max(initial=0)) / scale
        if not error <= TIMES_ALLOWED * np.finfo("float32").eps:
            return f"{name}: error {error:.2g}"
    return None
