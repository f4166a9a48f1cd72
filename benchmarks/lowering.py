"""What a recurrent layer becomes: the figures behind `export/recurrent/lowering.py`.

    python benchmarks/lowering.py
    python benchmarks/lowering.py --kinds rnn --sizes 64 --batches 1,2,4,8 --threads 2
    python benchmarks/lowering.py --groups 4,8,16,32 --batches 32,128

Prints fused time / loop time by N, T = 100, both ways; above 1 the loop is faster. With ``--groups``: the
time of all rows together / that of groups of so many rows, by how lengths are distributed; above 1 groups are
faster.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from rows import LENGTHS, lengths

import export
from biport import ops
from biport.app.measure import machine, take_turns
from biport.graph import Graph, Node, Value
from export.recurrent import lowering
from export.recurrent.lowering import LOOP_FROM

T = 100
KINDS: dict[str, tuple[type[ops.Cell], dict[str, Any]]] = {
    "lstm": (ops.LSTM, {}),
    "gru": (ops.GRU, {"reset_after": True}),
    "gru-before": (ops.GRU, {"reset_after": False}),
    "rnn": (ops.RNN, {}),
}


def random_cell(rng: np.random.Generator, kind: str, I: int, H: int, **settings: Any) -> ops.Cell:
    cls, own = KINDS[kind]

    def gates(*shape: int) -> dict[str, np.ndarray]:
        scale = shape[-1] ** -0.5
        return {gate: rng.normal(scale=scale, size=shape).astype("float32") for gate in cls.gates}

    biases = {"bias_ih": gates(H), "bias_hh": gates(H) if own.get("reset_after") else None}
    weights = {"weight_ih": gates(H, I), "weight_hh": gates(H, H)}
    return cls(input_size=I, hidden_size=H, **weights, **biases, **own, **settings)


def layer(rng: np.random.Generator, kind: str, H: int, masked: bool) -> Graph:
    """One layer both ways over features; its mask comes from ids."""
    directions = [random_cell(rng, kind, H, H, reverse=reverse) for reverse in (False, True)]
    op = ops.Bidirectional(forward=directions[0], backward=directions[1], merge="concat")
    inputs = [Value("x", ("N", "T", H), "float32")] + [Value("ids", ("N", "T"), "int32")] * masked
    nodes = [Node("mask", ops.NotEqual(), ("ids",))] * masked
    nodes.append(Node("y", op, ("x",), masks=("mask",) if masked else ()))
    return Graph(tuple(inputs), tuple(nodes), ("y",))


def session(graph: Graph, path: Path, threads: int, loop_from: int | None, group: int) -> export.Session:
    """A file whose loops begin at N·H of ``loop_from``, if not by the rule, with groups of ``group`` rows."""
    forced = {} if loop_from is None else dict.fromkeys(LOOP_FROM, (loop_from, loop_from))
    with patch.dict(LOOP_FROM, forced), patch.object(lowering, "GROUP", (group, group)):
        export.write(graph, path, overwrite=True, vectors=False)
    return export.Session(path, "cpu", threads)


def gains(runs: dict[str, export.Session], inputs: list[np.ndarray], seconds: float) -> list[str]:
    """How many times as long the first takes as each of the others."""
    turns = {name: lambda session=session: session.run(inputs) for name, session in runs.items()}
    first, *others = runs
    times = take_turns(turns, seconds=seconds)
    return [times.ratios(first, other) for other in others]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--sizes", default="16,64,256", help="H")
    parser.add_argument("--batches", default="1,2,4,8,32,128", help="N")
    parser.add_argument("--groups", default="", help="rows a group")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each number")
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    batches = [int(N) for N in given.batches.split(",")]
    groups = [int(size) for size in given.groups.split(",") if size]
    print(machine("onnxruntime"))
    print(
        "median of the turns' ratios (ratio of the shortest calls); the rule: N·H, plain and masked, from",
        end=" ",
    )
    print(", ".join(f"{kind.__name__} {numbers}" for kind, numbers in LOOP_FROM.items()), "\n")
    columns = [f"N = {N} {kind}, {size}" for N in batches for kind in LENGTHS for size in groups]
    columns = columns or [f"N = {N}" for N in batches]
    print(f"| {'together / in groups' if groups else 'fused / loop'} | " + " | ".join(columns) + " |")
    print("| --- " * (len(columns) + 1) + "|", flush=True)
    sizes = map(int, given.sizes.split(","))
    for kind, H, masked in itertools.product(
        given.kinds.split(","), sizes, (True,) if groups else (True, False)
    ):
        graph = layer(rng, kind, H, masked)
        with tempfile.TemporaryDirectory() as folder:
            path, never = Path(folder) / "model.onnx", 10**9
            if groups:
                ways = {"together": (None, never)} | {f"{size}": (None, size) for size in groups}
            else:
                ways = {"fused": (never, never), "loop": (1, never)}
            runs = {name: session(graph, path, given.threads, *way) for name, way in ways.items()}
            row = [f"{kind} H = {H} {'masked' if masked else 'plain'}"]
            for N, kind_of_rows in itertools.product(batches, LENGTHS if groups else ("uniform",)):
                x = rng.normal(size=(N, T, H)).astype("float32")
                ids = (np.arange(T) < lengths(rng, N, T, kind_of_rows)).astype("int32")
                row += gains(runs, [x, ids] if masked else [x], given.seconds)
        print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
