"""How much of the machine's matrix product a recurrent layer reaches, padding counted as no work.

    python benchmarks/bound.py
    python benchmarks/bound.py --kinds rnn --lengths short --shapes 128x300

What a layer cannot do without are two products for each valid step and each direction: of the input
``(D,) × (D, G·H)`` and of the state ``(H,) × (H, G·H)``, G being 4 for LSTM, 3 for GRU and 1 for RNN.
Useful work is therefore

    2 directions · Σ lengths · 2 · G·H · (D + H) floating-point operations

and the bound the speed of a product of two square float32 matrices of 1024 on one thread, in onnxruntime or
in NumPy, whichever is faster. Activations, the embedding and the classifier count as nothing.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import torch
from contestants import CONTESTANTS, D, H, V, contestants, prepared, use_threads
from rows import LENGTHS, lengths, padded

import export
from biport import ops
from biport.app.measure import Timed, Times, machine, take_turns
from biport.graph import Graph, Node, Value
from biport.tables import markdown_table

GATES = {"lstm": 4, "gru": 3, "gru-before": 3, "rnn": 1}
NAMES = ("run", "predict", "bare", "module", "torch", "tf2onnx")
SIDE = 1024
PRODUCTS = ("onnxruntime", "NumPy")


def products(folder: Path) -> dict[str, Timed]:
    """One large product in each, the second matrix a weight."""
    x, weight = np.random.default_rng(0).normal(size=(2, SIDE, SIDE)).astype("float32")
    op = ops.Dense(input_size=SIDE, output_size=SIDE, weight=weight, bias=None)
    graph = Graph((Value("x", ("N", SIDE), "float32"),), (Node("y", op, ("x",)),), ("y",))
    export.write(graph, folder / "product.onnx", vectors=False)
    session = export.Session(folder / "product.onnx", "cpu", threads=1)
    return dict(zip(PRODUCTS, (lambda: session.run([x]), lambda: x @ weight.T), strict=True))


def shares(times: Times, work: float) -> Iterator[str]:
    """The bound, then of each contestant milliseconds, GFLOP/s and the share of the bound."""
    bound = max(2 * SIDE**3 / 1e6 / times.median(name) for name in PRODUCTS)
    yield f"{bound:.0f}"
    for name in NAMES:
        if name not in times.turns:
            yield "-"
            continue
        speed = work / 1e6 / times.median(name)
        yield f"{times.median(name):.2f} ({speed:.0f}, {100 * speed / bound:.0f} %)"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=CONTESTANTS, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kinds", default="lstm,gru", help=f"of {', '.join(GATES)}")
    parser.add_argument("--lengths", default=",".join(LENGTHS), help="of the masked rows")
    parser.add_argument("--masks", default="masked,plain")
    parser.add_argument("--shapes", default="1x100,8x100,32x300,128x300", help="NxT,NxT,...")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each row")
    given = parser.parse_args()
    use_threads(1)
    shapes = [tuple(map(int, shape.split("x"))) for shape in given.shapes.split(",")]
    print(machine("onnxruntime", "numpy", "tf2onnx", "torch"))
    print(f"V {V}, D {D}, H {H}, both ways, one thread; ms (GFLOP/s of useful work, share of the bound)\n")
    print(markdown_table([["", "useful steps", "bound, GFLOP/s", *NAMES]], "<>"), flush=True)
    rng = np.random.default_rng(0)
    for kind, masks in itertools.product(given.kinds.split(","), given.masks.split(",")):
        masked = masks == "masked"
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            found, bounds = contestants(kind, masked, Path(folder), threads=1), products(Path(folder))
            for distribution, (N, T) in itertools.product(given.lengths.split(","), shapes):
                # A single row is all of T, and what is not masked has no padding.
                if distribution != "full" and (N == 1 or not masked):
                    continue
                rows = lengths(rng, N, T, distribution)
                runs = prepared(found, padded(rng, rows, T, V), NAMES) | bounds
                work = 2 * rows.sum() * 2 * GATES[kind] * H * (D + H)
                name = f"{kind} {masks} {distribution if masked else ''} N{N} T{T}".replace("  ", " ")
                row = [name, f"{rows.mean() / T:.0%}", *shares(take_turns(runs, seconds=given.seconds), work)]
                print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
