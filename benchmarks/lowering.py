"""From which batch on a loop is faster than a fused node: the figures behind `export/recurrent/lowering.py`.

    python benchmarks/lowering.py
    python benchmarks/lowering.py --kinds rnn --sizes 64 --batches 1,2,4,8 --threads 2

Prints fused time / loop time by N, T = 100, both ways, the last step only; above 1 the loop is faster.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rows import lengths

import export
from biport import ops
from biport.app.measure import machine, take_turns
from biport.graph import Graph, Node, Value
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


def sessions(graph: Graph, folder: Path, threads: int) -> dict[str, export.Session]:
    found = {}
    for lowering in ("fused", "loop"):
        path = export.write(graph, folder / f"{lowering}.onnx", overwrite=True, lowering=lowering).path
        found[lowering] = export.Session(path, "cpu", threads)
    return found


def gain(runs: dict[str, export.Session], inputs: list[np.ndarray], seconds: float) -> str:
    turns = {name: lambda session=session: session.run(inputs) for name, session in runs.items()}
    return take_turns(turns, seconds=seconds).ratios("fused", "loop")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--sizes", default="16,64,256", help="H")
    parser.add_argument("--batches", default="1,2,4,8,32,128", help="N")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each number")
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    batches = [int(N) for N in given.batches.split(",")]
    print(machine("onnxruntime"))
    print("median of the turns' ratios (ratio of the shortest calls); the rule: N·H from", end=" ")
    print(", ".join(f"{kind.__name__} {number}" for kind, number in LOOP_FROM.items()), "\n")
    print("| fused / loop | " + " | ".join(f"N = {N}" for N in batches) + " |")
    print("| --- " * (len(batches) + 1) + "|", flush=True)
    sizes = map(int, given.sizes.split(","))
    for kind, H, masked in itertools.product(given.kinds.split(","), sizes, (True, False)):
        with tempfile.TemporaryDirectory() as folder:
            runs = sessions(layer(rng, kind, H, masked), Path(folder), given.threads)
            row = [f"{kind} H = {H} {'masked' if masked else 'plain'}"]
            for N in batches:
                x = rng.normal(size=(N, T, H)).astype("float32")
                ids = (np.arange(T) < lengths(rng, N, T)).astype("int32")
                row.append(gain(runs, [x, ids] if masked else [x], given.seconds))
        print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
