"""What the matrix runs: small models, each with every output and state of one layer setting side by side."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from biport.app.matrix.operations import FAMILIES, WIDTH, Calls
from biport.compare.cases import PATTERNS, random_inputs
from biport.errors import InputError
from biport.graph import Graph, Node, Value
from biport.ops import GRU, LSTM, RNN, Bidirectional, Cell, Recurrent, StackedRNN

I, H = 3, WIDTH
SCALE, CALM = 0.6, 0.15
"""Standard deviations of weights and biases: about what training leaves, and one for gates without a bound,
or a candidate that is an exponential: with a larger one those amplify rounding until nothing can be told."""

OPERATIONS = "operations"
CELLS = ("LSTM", "GRU", "GRU reset before", "RNN", "stacked", OPERATIONS)
"""What the models are of; ``operations`` are tensor operations behind an LSTM."""
MERGES = ("concat", "sum", "mul", "ave", "none")
DIRECTIONS = ("forward", "backward", *MERGES)
"""One direction, or both and how they are merged; of operations it is their family."""

MASKS = ("none", *PATTERNS)
"""``none`` is a layer without a mask, the others are rows of one batch."""

ACTIVATIONS: dict[str, Sequence[tuple[str, str]]] = {
    "quick": [("tanh", "sigmoid")],
    "more": [
        *(("relu", "hard_sigmoid"), ("softsign", "softplus"), ("elu", "sigmoid"), ("tanh", "leaky_relu")),
        *(("linear", "sigmoid"), ("hard_sigmoid", "tanh"), ("gelu", "sigmoid"), ("silu", "hard_sigmoid")),
        *(("tanh", "hard_sigmoid_keras2"), ("selu", "sigmoid"), ("tanh", "softmax")),
        ("exponential", "sigmoid"),
    ],
}
"""Pairs of activation and recurrent activation; those of ``more`` run forward and both ways only."""

DEFAULT = ("tanh", "sigmoid")

ROWS = 3
STEPS = 7


@dataclass(frozen=True)
class Selection:
    """Which part of the product to run; empty means all.

    Args:
        cells: of `CELLS`.
        merges: of `MERGES`; choosing some leaves out layers of one direction, and operations.
        masks: of `MASKS`.
        quick: one activation pair, biases on, `tanh` and `sigmoid`.

    Raises:
        InputError: a name is none of these, or operations alone are to be merged.
    """

    cells: tuple[str, ...] = ()
    merges: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()
    quick: bool = False

    def __post_init__(self) -> None:
        choices = {"cells": CELLS, "merges": MERGES, "masks": MASKS}
        for name, known in choices.items():
            for chosen in getattr(self, name):
                if chosen not in known:
                    raise InputError(
                        f"matrix: {name[:-1]} should be one of {', '.join(known)}; found {chosen!r}"
                    )
        if self.merges and self.cells == (OPERATIONS,):
            raise InputError(f"matrix: {OPERATIONS} have no merge; found {self.merges[0]!r}")


@dataclass(frozen=True)
class Case:
    """One layer of a model: what it gives at its output, and which of the model's outputs those are.

    Args:
        output: ``"sequences"`` or ``"last"``; with ``"zero"`` behind it masked steps are zero. Of an
            operation its name.
        states: ``"none"``, ``"returned"``, or ``"given"``, which returns them too; empty for an operation.
        node: its name in the graph.
        positions: its outputs among the graph's.
    """

    output: str
    states: str
    node: str
    positions: tuple[int, ...]


@dataclass(frozen=True)
class Model:
    """Layers that share all but their outputs and states, side by side over one input.

    Args:
        cell: of `CELLS`.
        direction: of `DIRECTIONS`, or of `FAMILIES`.
        masked: whether there is a mask.
        bias: whether there are biases.
        activations: activation and recurrent activation.
        graph: in float32, with the inputs ``x``, ``mask`` if there is one, and initial states.
        cases: its layers.
    """

    cell: str
    direction: str
    masked: bool
    bias: bool
    activations: tuple[str, str]
    graph: Graph
    cases: tuple[Case, ...]

    @property
    def name(self) -> str:
        """All settings in a few words."""
        mask = "masked" if self.masked else "unmasked"
        if self.cell == OPERATIONS:
            return f"{self.cell} {self.direction}, {mask}"
        bias = "" if self.bias else ", no bias"
        return f"{self.cell} {self.direction}, {mask}, {'/'.join(self.activations)}{bias}"


def models(selection: Selection) -> Iterator[Model]:
    """The models of a selection, seeded by their names."""
    cells = selection.cells or CELLS
    chosen = selection.masks or MASKS
    masks = [masked for masked in (True, False) if any((name != "none") == masked for name in chosen)]
    for cell in cells:
        for direction, masked in itertools.product(_directions(selection, cell), masks):
            if cell == OPERATIONS:
                yield _operations(direction, masked)
            else:
                yield from _layers(selection, cell, direction, masked)


def _directions(selection: Selection, cell: str) -> Iterable[str]:
    if cell == OPERATIONS:
        return () if selection.merges else FAMILIES
    return selection.merges or DIRECTIONS


def _layers(selection: Selection, cell: str, direction: str, masked: bool) -> Iterator[Model]:
    yield _model(cell, direction, masked, True, DEFAULT)
    if selection.quick:
        return
    yield _model(cell, direction, masked, False, DEFAULT)
    if direction in ("forward", "concat") or selection.merges:
        for pair in _pairs(cell):
            yield _model(cell, direction, masked, True, pair)


def _operations(family: str, masked: bool) -> Model:
    rng = np.random.default_rng(zlib.crc32(f"{family} {masked}".encode()))
    layer = _cell(rng, LSTM, I, H, True, **_gated(DEFAULT), return_sequences=True)
    assert isinstance(layer, LSTM)
    calls = Calls(rng, layer, masked)
    FAMILIES[family](calls)
    graph = calls.graph()
    cases = tuple(
        Case(name, "", name, tuple(graph.outputs.index(output) for output in graph[name].outputs))
        for name in calls.shown
    )
    return Model(OPERATIONS, family, masked, True, DEFAULT, graph, cases)


def _pairs(cell: str) -> list[tuple[str, str]]:
    pairs = list(ACTIVATIONS["more"])
    if cell in ("LSTM", "stacked"):
        # The exponential of a sum over all steps leaves the range of floats.
        pairs = [pair for pair in pairs if "exponential" not in pair]
    # A plain recurrence has one activation; each counts once.
    return list({pair[0]: pair for pair in pairs}.values()) if cell == "RNN" else pairs


def _model(cell: str, direction: str, masked: bool, bias: bool, activations: tuple[str, str]) -> Model:
    name = f"{cell} {direction} {masked} {bias} {activations}"
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    one_way = direction in ("forward", "backward")
    layers = list(itertools.product(["sequences", "last"], ("none", "returned", "given")))
    if masked and one_way:
        layers += itertools.product(["sequences zero", "last zero"], ("none", "returned", "given"))
    if not bias or activations != DEFAULT:
        # What states and outputs do has nothing to do with these: it is seen in the other models.
        layers = [("sequences", "none"), ("last", "given")]
    values = [Value("x", ("N", "T", I), "float32")]
    values += [Value("mask", ("N", "T"), "bool")] if masked else []
    nodes: list[Node] = []
    cases: list[Case] = []
    given: tuple[str, ...] = ()
    for output, states in layers:
        op = _layer(rng, cell, direction, bias, activations, output, states)
        if states == "given" and not given:
            sizes = op.state_sizes
            given = tuple(f"state_{number}" for number in range(len(sizes)))
            values += [Value(name, ("N", size), "float32") for name, size in zip(given, sizes, strict=True)]
        node = f"{output.replace(' ', '_')}_{states}"
        inputs = ("x", *(given if states == "given" else ()))
        masks = ("mask" if masked else None, *[None] * (len(inputs) - 1))
        count = op.output_count
        names = (node,) if count == 1 else tuple(f"{node}:{index}" for index in range(count))
        first = sum(len(other.outputs) for other in nodes)
        nodes.append(Node(node, op, inputs, names, masks))
        cases.append(Case(output, states, node, tuple(range(first, first + count))))
    outputs = tuple(name for node in nodes for name in node.outputs)
    return Model(
        cell, direction, masked, bias, activations, Graph(tuple(values), tuple(nodes), outputs), tuple(cases)
    )


def _layer(
    rng: np.random.Generator,
    cell: str,
    direction: str,
    bias: bool,
    activations: tuple[str, str],
    output: str,
    states: str,
) -> Recurrent | Bidirectional:
    scan: dict[str, Any] = {
        "return_sequences": output.startswith("sequences"),
        "return_state": states != "none",
        "zero_output_for_mask": output.endswith("zero"),
    }
    if direction in ("forward", "backward"):
        return _recurrent(rng, cell, bias, activations, reverse=direction == "backward", **scan)
    scan["zero_output_for_mask"] = scan["return_sequences"]
    return Bidirectional(
        forward=_recurrent(rng, cell, bias, activations, **scan),
        backward=_recurrent(rng, cell, bias, activations, reverse=True, **scan),
        merge=None if direction == "none" else direction,
    )


def _recurrent(
    rng: np.random.Generator, cell: str, bias: bool, activations: tuple[str, str], **scan: Any
) -> Recurrent:
    activation, _ = activations
    gated = _gated(activations)
    match cell:
        case "LSTM":
            return _cell(rng, LSTM, I, H, bias, **gated, **scan)
        case "GRU":
            return _cell(rng, GRU, I, H, bias, **gated, **scan)
        case "GRU reset before":
            return _cell(rng, GRU, I, H, bias, reset_after=False, **gated, **scan)
        case "RNN":
            return _cell(rng, RNN, I, H, bias, activation=activation, **scan)
    cells = (
        _cell(rng, LSTM, I, 5, bias, **gated),
        _cell(rng, GRU, 5, 2, bias, **gated),
        _cell(rng, LSTM, 2, H, bias, **gated),
    )
    return StackedRNN(cells=cells, **scan)


def _gated(activations: tuple[str, str]) -> dict[str, str]:
    return dict(zip(("activation", "recurrent_activation"), activations, strict=True))


def _cell(
    rng: np.random.Generator, kind: type[Cell], width: int, size: int, bias: bool, **settings: Any
) -> Cell:
    wild = settings.get("recurrent_activation") in ("leaky_relu", "softplus")
    scale = CALM if wild or settings["activation"] == "exponential" else SCALE

    def gates(*shape: int) -> dict[str, np.ndarray]:
        return {gate: (rng.normal(size=shape) * scale).astype("float32") for gate in kind.gates}

    two = bias and kind is GRU and settings.get("reset_after", True)
    return kind(
        input_size=width,
        hidden_size=size,
        weight_ih=gates(size, width),
        weight_hh=gates(size, size),
        bias_ih=gates(size) if bias else None,
        bias_hh=gates(size) if two else None,
        **settings,
    )


@dataclass(frozen=True)
class MatrixInputs:
    """A batch, and which rows have which mask.

    Args:
        arrays: one for each of the graph's inputs.
        rows: for each pattern its rows.
    """

    arrays: list[np.ndarray]
    rows: dict[str, slice]


def random_batch(model: Model, selection: Selection, seed: int = 0) -> MatrixInputs:
    """Random inputs with `ROWS` rows of every selected pattern; for an unmasked model, of ``"none"``."""
    chosen = [name for name in (selection.masks or MASKS) if (name != "none") == model.masked]
    patterns = [name if model.masked else "full" for name in chosen for _ in range(ROWS)]
    arrays = random_inputs(
        model.graph.inputs, len(patterns), STEPS, np.random.default_rng(seed), patterns=patterns
    )
    rows = {name: slice(ROWS * index, ROWS * (index + 1)) for index, name in enumerate(chosen)}
    return MatrixInputs(arrays, rows)
