"""Faults planted on purpose, one at a time: would the matrix notice?

A fault is a small wrong step of the kind converters make, put where one side makes its form of a model: what
the side writes, or reads, is another graph than the one it was handed, or its form mixes up its inputs. The
model's oracle knows nothing of it, so a matrix that reports no difference has missed it.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from biport.app.matrix.cases import Model, Selection, batch, models
from biport.app.matrix.pool import each
from biport.app.matrix.run import SEAMS, SOUND, Arrays, ModelRun, Seam, missing_forms
from biport.compare.tolerance import Verdict
from biport.graph import Graph, Node
from biport.ops import (
    GRU,
    LSTM,
    RNN,
    Bidirectional,
    Cell,
    Concatenate,
    Gates,
    Op,
    Recurrent,
    StackedRNN,
)

FORM = {
    "Keras write": "Keras",
    "Keras read": "torch",
    "torch write": "torch",
    "ONNX write": "ONNX fused",
}
"""The form a fault at each seam shows in: what is read from Keras is what torch is handed."""

OpChange = Callable[[Op], Op]


@dataclass(frozen=True)
class Fault:
    """One wrong step.

    Args:
        name: in a few words.
        seam: what it does to the graph or to the inputs.
    """

    name: str
    seam: Seam

    def planted_at(self, seam: str) -> bool:
        """Whether it can be planted there: what only reads a model is given no inputs."""
        return seam != "Keras read" or self.seam.inputs is SOUND.inputs


@dataclass(frozen=True)
class Finding:
    """What became of one fault at one seam.

    Args:
        fault: its name.
        seam: where it was planted, of `SEAMS`.
        models: in how many of the models it changes anything.
        example: the first layer that was reported as different, by its numbers; empty if none was.
    """

    fault: str
    seam: str
    models: int
    example: str

    @property
    def found(self) -> bool:
        """Whether the matrix reported it at all."""
        return bool(self.example)


def mutate(
    selection: Selection,
    *,
    seed: int = 0,
    jobs: int = 1,
    progress: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> list[Finding]:
    """Plant every fault at every seam that can be run here, and run the models it changes.

    Args:
        selection: which models and masks the matrix may use to find them.
        seed: of the inputs.
        jobs: how many processes share the work.
        progress: called after each fault with how many are done, how many there are, and its name.
    """
    seams = [seam for seam in SEAMS if FORM[seam] not in missing_forms()]
    if "Keras" in missing_forms():
        seams = [seam for seam in seams if not seam.startswith("Keras")]
    todo = [(place, seam) for place, fault in enumerate(FAULTS) for seam in seams if fault.planted_at(seam)]
    findings = []
    for done, finding in enumerate(each(partial(_plant, selection, seed), todo, jobs), start=1):
        progress(done, len(todo), f"{finding.fault} ({finding.seam})")
        findings.append(finding)
    return [finding for finding in findings if finding.models]


@cache
def _models(selection: Selection) -> tuple[Model, ...]:
    """The models faults are looked for in: those of the default activations, and of one other pair."""
    found = models(dataclasses.replace(selection, quick=False))
    pairs = ("tanh", "sigmoid"), ("relu", "hard_sigmoid")
    return tuple(model for model in found if model.bias and model.activations in pairs)


def _plant(selection: Selection, seed: int, planted: tuple[int, str]) -> Finding:
    """Plant the fault of that place in `FAULTS` at that seam."""
    place, seam = planted
    with tempfile.TemporaryDirectory(prefix="biport-matrix-") as folder:
        return _find(FAULTS[place], seam, selection, Path(folder), seed)


def _find(fault: Fault, seam: str, selection: Selection, folder: Path, seed: int) -> Finding:
    count, example = 0, ""
    for model in _models(selection):
        inputs = batch(model, selection, seed)
        if not _changes(fault.seam, model.graph, inputs.inputs):
            continue
        count += 1
        if example:
            continue
        run = ModelRun(model, inputs, folder, seams={seam: fault.seam})
        # Weights compared bit for bit would tell of a writer that its reader does not agree with; a wrong
        # step made alike by both can be told by the numbers alone.
        numbers = (result for result in run.results([FORM[seam]]) if result.level != "L0")
        found = next((result for result in numbers if result.verdict is Verdict.DIFFERENT), None)
        if found is not None:
            example = f"{model.name}: {found.output}, states {found.states}"
    return Finding(fault.name, seam, count, example)


def _changes(seam: Seam, graph: Graph, arrays: Arrays) -> bool:
    given = seam.inputs(graph, arrays)
    moved = any(one.tobytes() != two.tobytes() for one, two in zip(given, arrays, strict=True))
    return moved or seam.graph(graph) != graph


def _each_op(change: OpChange, graph: Graph) -> Graph:
    """The graph with ``change`` made to every recurrent op, those inside of others first."""
    nodes = tuple(dataclasses.replace(node, op=_inside(change, node.op)) for node in graph.nodes)
    return Graph(graph.inputs, nodes, graph.outputs, graph.origin)


def _inside(change: OpChange, op: Op) -> Op:
    if isinstance(op, Bidirectional):
        halves = {"forward": _inside(change, op.forward), "backward": _inside(change, op.backward)}
        op = dataclasses.replace(op, **halves)
    if isinstance(op, StackedRNN):
        op = dataclasses.replace(op, cells=tuple(_inside(change, cell) for cell in op.cells))
    return change(op)


def _each_node(change: Callable[[Node], Iterable[Node]], graph: Graph) -> Graph:
    nodes = tuple(made for node in graph.nodes for made in change(node))
    return Graph(graph.inputs, nodes, graph.outputs, graph.origin)


def of_ops(name: str, change: OpChange) -> Fault:
    """A fault in what ops are."""
    return Fault(name, Seam(graph=partial(_each_op, change)))


def of_nodes(name: str, change: Callable[[Node], Iterable[Node]]) -> Fault:
    """A fault in how nodes are connected."""
    return Fault(name, Seam(graph=partial(_each_node, change)))


def of_inputs(name: str, change: Callable[[str, np.ndarray], np.ndarray]) -> Fault:
    """A fault in what a form is given."""

    def change_all(graph: Graph, arrays: Arrays) -> Arrays:
        return [change(value.name, array) for value, array in zip(graph.inputs, arrays, strict=True)]

    return Fault(name, Seam(inputs=change_all))


WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def _with(op: Cell, **gates: Gates | None) -> Cell:
    return dataclasses.replace(op, **gates)


def _swap(kind: type[Cell], one: str, two: str, names: Sequence[str], op: Op) -> Op:
    """Two gates exchanged in the weights called ``names``."""
    if not isinstance(op, kind):
        return op
    found: dict[str, Any] = {name: getattr(op, name) for name in names if getattr(op, name) is not None}
    return _with(op, **{name: {**gates, one: gates[two], two: gates[one]} for name, gates in found.items()})


def _map(names: Sequence[str], change: Callable[[np.ndarray], np.ndarray], op: Op) -> Op:
    """``change`` made to every gate of the weights called ``names``."""
    if not isinstance(op, Cell):
        return op
    found = {name: getattr(op, name) for name in names if getattr(op, name) is not None}
    changed = {name: {gate: change(array) for gate, array in gates.items()} for name, gates in found.items()}
    return _with(op, **changed)


def _exchange_biases(op: Op) -> Op:
    if not isinstance(op, GRU) or op.bias_hh is None:
        return op
    return _with(op, bias_ih=op.bias_hh, bias_hh=op.bias_ih)


def _set(kind: type[Cell], op: Op, **settings: Any) -> Op:
    return dataclasses.replace(op, **settings) if isinstance(op, kind) else op


def _toggle_reset(op: Op) -> Op:
    if not isinstance(op, GRU):
        return op
    second = op.bias_hh
    if not op.reset_after and op.bias_ih is not None:
        second = {gate: np.zeros_like(array) for gate, array in op.bias_ih.items()}
    return dataclasses.replace(op, reset_after=not op.reset_after, bias_hh=second)


def _invert_update(op: Op) -> Op:
    """``z`` for ``1 - z``: of a sigmoid, the gate with its signs turned."""
    if not isinstance(op, GRU) or op.recurrent_activation != "sigmoid":
        return op
    turned = {}
    for name in WEIGHTS:
        gates = getattr(op, name)
        turned[name] = None if gates is None else {**gates, "z": -gates["z"]}
    return dataclasses.replace(op, **turned)


def _old_slope(op: Op) -> Op:
    """Keras 2's hard_sigmoid in place of Keras 3's."""
    if not isinstance(op, LSTM | GRU) or op.recurrent_activation != "hard_sigmoid":
        return op
    return dataclasses.replace(op, recurrent_activation="hard_sigmoid_keras2")


def _activations_exchanged(op: Op) -> Op:
    if not isinstance(op, LSTM | GRU):
        return op
    return dataclasses.replace(op, activation=op.recurrent_activation, recurrent_activation=op.activation)


def _turn(node: Node) -> list[Node]:
    if not isinstance(node.op, Recurrent):
        return [node]
    return [dataclasses.replace(node, op=dataclasses.replace(node.op, reverse=not node.op.reverse))]


def _halves_exchanged(op: Op) -> Op:
    if not isinstance(op, Bidirectional):
        return op
    return dataclasses.replace(
        op,
        forward=dataclasses.replace(op.backward, reverse=False),
        backward=dataclasses.replace(op.forward, reverse=True),
    )


def _backward_copied(op: Op) -> Op:
    if not isinstance(op, Bidirectional):
        return op
    return dataclasses.replace(op, backward=dataclasses.replace(op.forward, reverse=True))


def _not_turned_back(node: Node) -> list[Node]:
    """The backward half's sequence is merged in the order it was walked."""
    op = node.op
    whole = isinstance(op, Bidirectional) and op.forward.return_sequences and op.merge == "concat"
    if not whole or len(node.outputs) > 1:
        return [node]
    assert isinstance(op, Bidirectional)
    halves = [
        dataclasses.replace(node, name=f"{node.name}_{place}", op=half, outputs=(f"{node.name}_{place}",))
        for place, half in enumerate((op.forward, op.backward))
    ]
    count = len(op.forward.state_sizes)
    if len(node.inputs) > 1:
        x, *states = node.inputs
        parts = [(x, *states[:count]), (x, *states[count:])]
        halves = [
            dataclasses.replace(half, inputs=inputs, masks=node.masks[: len(inputs)])
            for half, inputs in zip(halves, parts, strict=True)
        ]
    joined = Node(node.name, Concatenate(), tuple(half.name for half in halves), node.outputs)
    return [*halves, joined]


def _no_mask(node: Node) -> list[Node]:
    return [dataclasses.replace(node, masks=(None,) * len(node.masks))]


def _toggle_zero(output: str, node: Node) -> list[Node]:
    op = node.op
    if not isinstance(op, Recurrent) or node.masks[0] is None:
        return [node]
    if op.return_sequences != (output == "sequences"):
        return [node]
    changed = dataclasses.replace(op, zero_output_for_mask=not op.zero_output_for_mask)
    return [dataclasses.replace(node, op=changed)]


def _no_states(node: Node) -> list[Node]:
    return [dataclasses.replace(node, inputs=node.inputs[:1], masks=node.masks[:1])]


def _states_turned(node: Node) -> list[Node]:
    """Initial states in the opposite order: h for c, or forward for backward."""
    x, *states = node.inputs
    return [dataclasses.replace(node, inputs=(x, *reversed(states)))] if _one_size(node, states) else [node]


def _one_size(node: Node, states: Sequence[str]) -> bool:
    op = node.op
    sizes = op.state_sizes if isinstance(op, Recurrent | Bidirectional) else ()
    return len(states) > 1 and len(set(sizes)) == 1


def _finals_turned(node: Node) -> list[Node]:
    """Final states in the opposite order."""
    op = node.op
    count = len(op.state_sizes) if isinstance(op, Recurrent | Bidirectional) else 0
    head, states = node.outputs[: len(node.outputs) - count], node.outputs[len(node.outputs) - count :]
    if len(node.outputs) <= count or not _one_size(node, states):
        return [node]
    return [dataclasses.replace(node, outputs=(*head, *reversed(states)))]


def _merged_as(before: str | None, after: str | None, op: Op) -> Op:
    if not isinstance(op, Bidirectional) or op.merge != before:
        return op
    return dataclasses.replace(op, merge=after)


def _outputs_exchanged(node: Node) -> list[Node]:
    """Without a merge, backward first."""
    op = node.op
    if not isinstance(op, Bidirectional) or op.merge is not None:
        return [node]
    one, two, *states = node.outputs
    return [dataclasses.replace(node, outputs=(two, one, *states))]


def _masks_as_lengths(name: str, array: np.ndarray) -> np.ndarray:
    if name != "mask":
        return array
    return np.arange(array.shape[1]) < array.sum(axis=1, keepdims=True)


def _inverted(name: str, array: np.ndarray) -> np.ndarray:
    return ~array if name == "mask" else array


def _mask_moved(name: str, array: np.ndarray) -> np.ndarray:
    return np.roll(array, 1, axis=1) if name == "mask" else array


def _mask_turned(name: str, array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array[:, ::-1]) if name == "mask" else array


def _transposed(name: str, array: np.ndarray) -> np.ndarray:
    """Batch and time exchanged, as far as they are of one size, as a layer without batch_first does."""
    if name != "x":
        return array
    size = min(array.shape[:2])
    square = array.copy()
    square[:size, :size] = array[:size, :size].swapaxes(0, 1)
    return square


def _shifted(name: str, array: np.ndarray) -> np.ndarray:
    return np.roll(array, 1, axis=1) if name == "x" else array


def _pairs(kind: type[Cell]) -> Iterator[tuple[str, str]]:
    for place, one in enumerate(kind.gates):
        for two in kind.gates[place + 1 :]:
            yield one, two


def _gate_faults() -> Iterator[Fault]:
    for kind in (LSTM, GRU):
        for one, two in _pairs(kind):
            name = f"{kind.__name__}: gates {one} and {two} exchanged"
            yield of_ops(name, partial(_swap, kind, one, two, WEIGHTS))
    yield of_ops(
        "LSTM: gates i and f exchanged in the recurrent weights only",
        partial(_swap, LSTM, "i", "f", ["weight_hh"]),
    )
    yield of_ops(
        "GRU: gates z and r exchanged in the biases only",
        partial(_swap, GRU, "z", "r", ["bias_ih", "bias_hh"]),
    )


def _weight_faults() -> Iterator[Fault]:
    yield of_ops("input bias dropped", partial(_map, ["bias_ih"], np.zeros_like))
    yield of_ops("recurrent bias dropped", partial(_map, ["bias_hh"], np.zeros_like))
    yield of_ops("GRU: the two biases exchanged", _exchange_biases)
    yield of_ops("recurrent weights transposed", partial(_map, ["weight_hh"], lambda array: array.T.copy()))
    yield of_ops("recurrent weights dropped", partial(_map, ["weight_hh"], np.zeros_like))
    yield of_ops(
        "units in the opposite order", partial(_map, ["weight_ih"], lambda array: array[::-1].copy())
    )
    yield of_ops(
        "inputs in the opposite order", partial(_map, ["weight_ih"], lambda array: array[:, ::-1].copy())
    )


def _cell_faults() -> Iterator[Fault]:
    yield of_ops("GRU: reset gate on the other side of the product", _toggle_reset)
    yield of_ops("GRU: z and 1 - z exchanged", _invert_update)
    yield of_ops("activation left at tanh", lambda op: _set(Cell, op, activation="tanh"))
    yield of_ops(
        "recurrent activation left at sigmoid",
        lambda op: _set(LSTM, _set(GRU, op, recurrent_activation="sigmoid"), recurrent_activation="sigmoid"),
    )
    yield of_ops("activations exchanged", _activations_exchanged)
    yield of_ops("hard_sigmoid of slope 1/5", _old_slope)
    yield of_ops("RNN: relu for tanh", lambda op: _set(RNN, op, activation="relu"))


def _walk_faults() -> Iterator[Fault]:
    yield of_nodes("walked the other way", _turn)
    yield of_ops("forward and backward exchanged", _halves_exchanged)
    yield of_ops("backward half a copy of the forward half", _backward_copied)
    yield of_nodes("backward half not turned back", _not_turned_back)
    yield of_inputs("batch and time exchanged", _transposed)
    yield of_inputs("time moved by one step", _shifted)


def _mask_faults() -> Iterator[Fault]:
    yield of_nodes("mask ignored", _no_mask)
    yield of_inputs("mask taken for right padding", _masks_as_lengths)
    yield of_inputs("mask inverted", _inverted)
    yield of_inputs("mask moved by one step", _mask_moved)
    yield of_inputs("mask in the opposite order", _mask_turned)
    yield of_nodes("held and zeroed exchanged at masked steps", partial(_toggle_zero, "sequences"))
    yield of_nodes("last step taken by index", partial(_toggle_zero, "last"))


def _state_faults() -> Iterator[Fault]:
    yield of_nodes("initial state dropped", _no_states)
    yield of_nodes("initial states in the opposite order", _states_turned)
    yield of_nodes("final states in the opposite order", _finals_turned)


def _merge_faults() -> Iterator[Fault]:
    for before, after in (("sum", "ave"), ("ave", "sum"), ("mul", "sum"), ("sum", "mul")):
        yield of_ops(f"merged by {after} instead of {before}", partial(_merged_as, before, after))
    yield of_nodes("not merged, backward first", _outputs_exchanged)


FAULTS: tuple[Fault, ...] = (
    *_gate_faults(),
    *_weight_faults(),
    *_cell_faults(),
    *_walk_faults(),
    *_mask_faults(),
    *_state_faults(),
    *_merge_faults(),
)
"""Every fault that is planted."""


def score(findings: Sequence[Finding]) -> tuple[int, int]:
    """How many of the planted faults were found, and how many were planted."""
    return sum(finding.found for finding in findings), len(findings)


def missed(findings: Sequence[Finding]) -> list[Finding]:
    """The faults nobody noticed."""
    return [finding for finding in findings if not finding.found]
