"""How much of this machine's matrix product a recurrent layer reaches, at N = 32, H = 256, on one thread.

    python benchmarks/peak.py

The products a layer cannot do without are held against what onnxruntime's and NumPy's MatMul make of the same
shapes: all inputs at once ``(T·N, I) × (I, G·H)``, then T times the states of one step ``(N, H) × (H, G·H)``.
A layer can be no faster than the two together let it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import onnx_ir as ir
from lowering import KINDS, layer, sessions

import export
from biport.app.measure import Timed, Times, machine, take_turns
from biport.tables import markdown_table
from export.onnx.target import OPSET
from export.onnx.versions import NEWEST_IR

N, T, H = 32, 100, 256


def product(folder: Path, rows: int, columns: int) -> export.Session:
    """``(rows, H) × (H, columns)`` in onnxruntime, the second a weight."""
    weight = np.random.default_rng(0).normal(size=(H, columns)).astype("float32")
    tensor = ir.tensor(weight, name="w")
    w = ir.Value(name="w", shape=ir.Shape(weight.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
    x, y = (
        ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape((rows, width)))
        for name, width in (("x", H), ("y", columns))
    )
    nodes = [ir.node("MatMul", [x, w], outputs=[y])]
    graph = ir.Graph([x], [y], nodes=nodes, initializers=[w], opset_imports={"": OPSET}, name="product")
    path = folder / f"{rows}-{columns}.onnx"
    ir.save(ir.Model(graph, ir_version=NEWEST_IR), path)
    return export.Session(path, "cpu", threads=1)


def contestants(kind: str, columns: int, folder: Path) -> dict[str, Timed]:
    """The layer in both lowerings, and its two products in onnxruntime and in NumPy."""
    rng = np.random.default_rng(0)
    x, w = (rng.normal(size=shape).astype("float32") for shape in ((T * N, H), (H, columns)))
    h, steps = x[:N].copy(), x.reshape(N, T, H)
    recurrences = sessions(layer(rng, kind, H, masked=False), folder, threads=1)
    inputs, state = product(folder, T * N, columns), product(folder, N, columns)
    runs: dict[str, Timed] = {name: lambda s=s: s.run([steps]) for name, s in recurrences.items()}
    runs |= {"ort inputs": lambda: inputs.run([x]), "ort state": lambda: state.run([h])}
    return runs | {"numpy inputs": lambda: x @ w, "numpy state": lambda: h @ w}


def row(kind: str, lowering: str, columns: int, times: Times) -> list[str]:
    def least(name: str) -> float:
        return times.shortest[name]

    work = 2 * 2 * 2 * T * N * H * columns / 1e6  # both ways, input and state; 2 for each multiply-add
    bounds = [2 * (least(f"{by} inputs") + T * least(f"{by} state")) for by in ("ort", "numpy")]
    bounds.append(4 * least("ort inputs"))
    took = least(lowering)
    shares = [f"{100 * bound / took:.0f} %" for bound in bounds]
    return [f"{kind} {lowering}", f"{took:.1f}", f"{work / took:.0f}", *shares]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0, help="for each kind")
    given = parser.parse_args()
    rows = []
    for kind in ("lstm", "gru", "rnn"):
        columns = len(KINDS[kind][0].gates) * H
        with tempfile.TemporaryDirectory() as folder:
            times = take_turns(contestants(kind, columns, Path(folder)), seconds=given.seconds)
        rows += [row(kind, lowering, columns, times) for lowering in ("fused", "loop")]
    print(machine("onnxruntime", "numpy"))
    print(f"N {N}, T {T}, I = H {H}, both ways, one thread; the shortest calls\n")
    head = ["", "ms", "GFLOP/s", "of onnxruntime's products", "of NumPy's", "of one large product"]
    print(markdown_table([head, *rows], "<>"))


if __name__ == "__main__":
    main()
