"""Random recurrent ops, graphs and inputs for the export tests; no two sizes equal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import export
from biport import ops, reference
from biport.compare.tolerance import Error, Verdict, float32_floor, judge_float32, measure
from biport.dims import bound
from biport.graph import Graph, Node, Value
from testing import graphs
from testing.masks import MASKS, valid_steps

I, H = 5, 3
KINDS: dict[str, tuple[type[ops.Cell], dict[str, Any]]] = {
    "lstm": (ops.LSTM, {}),
    "gru": (ops.GRU, {"reset_after": True}),
    "gru_before": (ops.GRU, {"reset_after": False}),
    "rnn": (ops.RNN, {}),
}
EMPTY = ((0, 7), (4, 0), (0, 0))
SMALL = ((1, 1), (1, 7), (4, 1))


def cell(
    rng: np.random.Generator, kind: str, width: int, size: int, biases: int = 1, **settings: Any
) -> ops.Cell:
    """A cell with ``biases`` biases; one whose second bias acts alone has none or two."""
    cls, fixed = KINDS[kind]
    return graphs.cell(rng, cls, width, size, biases=biases, **fixed, **settings)


def stack(rng: np.random.Generator, kinds: Sequence[str], width: int, **settings: Any) -> ops.StackedRNN:
    """Cells of sizes 3, 4, ... on top of each other."""
    sizes = [width, *range(H, H + len(kinds))]
    cells = [cell(rng, kind, sizes[number], sizes[number + 1]) for number, kind in enumerate(kinds)]
    return ops.StackedRNN(cells=tuple(cells), **settings)


def both_ways(one: ops.Recurrent, two: ops.Recurrent, merge: str | None = "concat") -> ops.Bidirectional:
    """Two directions, the second made to run backward, both with the rules Keras forces."""
    rules = {"zero_output_for_mask": one.return_sequences}

    def one_way(op: ops.Recurrent, reverse: bool) -> ops.Recurrent:
        settings = op.settings() | rules | {"reverse": reverse}
        settings |= {"return_sequences": one.return_sequences, "return_state": one.return_state}
        return type(op).build(settings, op.weights())

    return ops.Bidirectional(forward=one_way(one, False), backward=one_way(two, True), merge=merge)


def graph_of(op: Any, *, masked: bool = True, states: bool = False, N: int | str = "N", T: int | str = "T"):
    """``x`` and ``valid`` through ``op``, with initial states as inputs if wanted; all outputs."""
    sizes = op.state_sizes if states else ()
    inputs = [Value("x", (N, T, I), "float32")]
    inputs += [Value("ids", (N, T), "int32")] if masked else []
    inputs += [Value(f"s{number}", (N, size), "float32") for number, size in enumerate(sizes)]
    outputs = tuple(f"y:{number}" for number in range(op.output_count)) if op.output_count > 1 else ("y",)
    reads = ("x", *(f"s{number}" for number in range(len(sizes))))
    masks = ("mask" if masked else None, *(None for _ in sizes))
    nodes = [Node("mask", ops.NotEqual(), ("ids",))] if masked else []
    return Graph(tuple(inputs), (*nodes, Node("y", op, reads, outputs, masks)), outputs)


def inputs_of(graph: Graph, rng: np.random.Generator, kind: str, N: int = 6, T: int = 7) -> list[np.ndarray]:
    """Random inputs under one kind of mask."""
    sizes = {"N": N, "T": T}
    arrays = []
    for value in graph.inputs:
        shape = bound(value.shape, sizes)
        if value.dtype == "int32":
            arrays.append(valid_steps(kind, shape[0], shape[1], rng).astype("int32"))
        else:
            arrays.append(rng.normal(size=shape).astype("float32"))
    return arrays


def cases_of(graph: Graph, rng: np.random.Generator) -> dict[str, list[np.ndarray]]:
    """Every pattern of mask, if there is one, and every size, none included."""
    masked = any(value.dtype == "int32" for value in graph.inputs)
    cases = {kind: inputs_of(graph, rng, kind) for kind in (MASKS if masked else ("full",))}
    cases |= {f"{size}": inputs_of(graph, rng, "holes", *size) for size in (*SMALL, *EMPTY)}
    return cases | {"long": inputs_of(graph, rng, "right", 2, 60)}


def mixed(cases: dict[str, list[np.ndarray]]) -> dict[str, list[np.ndarray]]:
    """The cases with the rows of every mask in one batch; what is nothing but padding is also alone."""
    rows = zip(*(cases[kind] for kind in MASKS if kind in cases), strict=True)
    others = {case: arrays for case, arrays in cases.items() if case not in MASKS or case == "all padding"}
    return {"mixed": [np.concatenate(arrays) for arrays in rows]} | others


def verdicts(graph: Graph, path: Path, cases: dict[str, list[np.ndarray]]) -> dict[str, tuple]:
    """For each output the verdict of level L2, and the error it rests on."""
    session = export.Session(path, device="cpu", threads=1)
    oracle = reference.run_cases(graph, cases)
    rounded = reference.run_cases(graph, cases, "float32")
    outputs = {case: session.run(arrays) for case, arrays in cases.items()}

    def errors(results: dict[str, list[np.ndarray]], index: int) -> Error:
        return measure({k: v[index] for k, v in results.items()}, {k: v[index] for k, v in oracle.items()})

    verdict_of = {}
    for index, name in enumerate(graph.outputs):
        error = errors(outputs, index)
        verdict, _ = judge_float32(error, errors(rounded, index), None, float32_floor(graph))
        verdict_of[name] = verdict, error
    return verdict_of


def counts(path: Path) -> Counter[str]:
    """How many recurrent nodes and loops of each kind there are."""
    nodes = onnx.load(path).graph.node
    return Counter(node.op_type for node in nodes if node.op_type in ("LSTM", "GRU", "RNN", "Scan", "Loop"))


def check(
    op: Any,
    folder: Path,
    rng: np.random.Generator,
    nodes: dict[str, int],
    *,
    leave_out: Sequence[str] = (),
    **how: Any,
) -> None:
    """The op written with exactly these recurrent nodes, the same as the oracle in all cases."""
    graph = graph_of(op, **how)
    path = folder / "model.onnx"
    report = export.write(graph, path, overwrite=True, lowering="fused", vectors=False)
    assert counts(path) == nodes
    assert len(report.notes) == nodes.get("Scan", 0), report.notes
    cases = {case: arrays for case, arrays in mixed(cases_of(graph, rng)).items() if case not in leave_out}
    verdict_of = verdicts(graph, path, cases)
    assert all(verdict is Verdict.SAME for verdict, _ in verdict_of.values()), verdict_of
