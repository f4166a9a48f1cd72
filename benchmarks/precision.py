"""What int8 gains and costs, by method: the figures of `docs/precision.md`.

    python benchmarks/precision.py
    python benchmarks/precision.py --models gru --sizes 64,128,256 --batches 1,2,4,8 --threads 2

Models of random weights over ids, T = 100, padded on the right. By N: float32 time / time of each method,
above 1 the method is faster, of the shortest calls: what both cost where nothing disturbs them. Then come
how many times smaller the file is, and the largest difference of a share.
``tool`` is onnxruntime's own ``quantize_dynamic`` over the same model without loops, one scale a tensor.
"""

from __future__ import annotations

import argparse
import copy
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from lowering import KINDS, random_cell
from rows import lengths, padded

import export
from biport import ops
from biport.app.measure import machine, take_turns
from biport.graph import Graph, Node, Value
from export.deploy.precision import write_precision

T, V, CLASSES = 100, 5000, 5


class Maker:
    """A model being made, node by node, of one seed."""

    def __init__(self, masked: bool) -> None:
        self.rng = np.random.default_rng(0)
        self.mask = "mask" if masked else None
        self.nodes = [Node("mask", ops.NotEqual(), ("ids",))] if masked else []

    def weight(self, *shape: int) -> np.ndarray:
        return self.rng.normal(scale=shape[-1] ** -0.5, size=shape).astype("float32")

    def add(self, name: str, op: ops.Op, read: str, *, mask: bool = False) -> str:
        self.nodes.append(Node(name, op, (read,), masks=(self.mask,) if mask else ()))
        return name

    def embedding(self, size: int) -> str:
        op = ops.Embedding(num_embeddings=V, embedding_dim=size, weight=self.weight(V, size), mask_zero=True)
        return self.add("embedding", op, "ids")

    def cell(self, kind: str, I: int, H: int, **settings: Any) -> ops.Cell:
        return random_cell(self.rng, kind, I, H, **settings)

    def both(self, name: str, kind: str, read: str, I: int, H: int, every: bool) -> str:
        rules = {"return_sequences": every, "zero_output_for_mask": every}
        one, two = (self.cell(kind, I, H, reverse=reverse, **rules) for reverse in (False, True))
        return self.add(name, ops.Bidirectional(forward=one, backward=two, merge="concat"), read, mask=True)

    def graph(self, read: str, width: int) -> Graph:
        op = ops.Dense(
            input_size=width, output_size=CLASSES, activation="softmax",
            weight=self.weight(CLASSES, width), bias=self.weight(CLASSES),
        )  # fmt: skip
        self.add("head", op, read)
        return Graph((Value("ids", ("N", "T"), "int32"),), tuple(self.nodes), ("head",))


def one_layer(kind: str, H: int, masked: bool) -> Graph:
    make = Maker(masked)
    return make.graph(make.both("layer", kind, make.embedding(H), H, H, False), 2 * H)


def stacked(kind: str, H: int, masked: bool) -> Graph:
    """A tagger: two layers both ways, and a label a step."""
    make = Maker(masked)
    one = make.both("one", kind, make.embedding(H), H, H, True)
    return make.graph(make.both("two", kind, one, 2 * H, H, True), 2 * H)


def attentive(H: int) -> Graph:
    """An LSTM, self-attention over it, the largest of all steps."""
    make = Maker(False)
    every = make.add("lstm", make.cell("lstm", H, H, return_sequences=True), make.embedding(H))
    parts = ("query", "key", "value", "output")
    given: dict[str, Any] = {"num_heads": 4, "key_size": H // 4, "value_size": H // 4}
    given |= {f"{part}_weight": make.weight(H, H) for part in parts}
    given |= {f"{part}_bias": make.weight(H) for part in parts}
    op = ops.MultiHeadAttention(**given)
    make.nodes.append(Node("attention", op, (every, every, every)))
    return make.graph(make.add("top", ops.GlobalMaxPooling1D(), "attention"), H)


def convolved(H: int, recurrent: bool) -> Graph:
    make = Maker(False)
    op = ops.Conv1D(
        input_size=H, output_size=H, kernel_size=(5,), padding="same", activation="relu",
        weight=make.weight(H, 5, H).transpose(0, 2, 1).copy(), bias=make.weight(H),
    )  # fmt: skip
    read = make.add("convolution", op, make.embedding(H))
    if not recurrent:
        return make.graph(make.add("top", ops.GlobalMaxPooling1D(), read), H)
    return make.graph(make.both("layer", "lstm", read, H, H, False), 2 * H)


def models(H: int) -> dict[str, Graph]:
    made = {}
    for kind in KINDS:
        made |= {f"{kind}, masked": one_layer(kind, H, True), f"{kind}, unmasked": one_layer(kind, H, False)}
    made |= {f"tagger, {kind}": stacked(kind, H, True) for kind in ("lstm", "gru")}
    made |= {"lstm, attention": attentive(H), "convolution": convolved(H, False)}
    return made | {"convolution, lstm": convolved(H, True)}


def ids(N: int) -> np.ndarray:
    rng = np.random.default_rng(N)
    return padded(rng, lengths(rng, N, T), T, V)


def tool(graph: Graph, folder: Path) -> Path:
    """What onnxruntime's quantizer makes of the model; it fails over branches."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    path = export.write(graph, folder / "fused.onnx", lowering="fused", vectors=False, overwrite=True).path
    model = copy.deepcopy(onnx.load(path))
    del model.graph.value_info[:]
    target = folder / "tool.onnx"
    kinds = ["LSTM", "MatMul", "Gemm", "Gather", "Conv"]
    quantize_dynamic(model, target, op_types_to_quantize=kinds, weight_type=QuantType.QInt8)
    return target


def files(graph: Graph, folder: Path, methods: Sequence[str]) -> dict[str, Path]:
    exact = export.write(graph, folder / "float32.onnx", vectors=False).path
    made = {"float32": exact}
    rows = [[ids(32)] for _ in range(4)]
    for method in methods:
        if method == "tool":
            made[method] = tool(graph, folder)
        elif method == "float16":
            made[method] = write_precision(exact, folder / "float16.onnx", "float16").path
        elif method != "static" or any(node.op.kind == "Conv1D" for node in graph.nodes):
            path = folder / f"{method}.onnx"
            calibration = rows if method == "static" else ()
            made[method] = write_precision(exact, path, "int8", method=method, calibration=calibration).path
    return made


def row(
    graph: Graph, methods: Sequence[str], batches: Sequence[int], threads: int, seconds: float
) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        paths = files(graph, Path(folder), methods)
        sessions = {name: export.Session(path, "cpu", threads) for name, path in paths.items()}
        size = {name: path.stat().st_size for name, path in paths.items()}
        ratios: dict[str, list[str]] = {name: [] for name in sessions}
        far = dict.fromkeys(sessions, 0.0)
        for N in batches:
            inputs = [ids(N)]
            (exact,) = sessions["float32"].run(inputs)
            for name, session in sessions.items():
                far[name] = max(far[name], float(np.abs(session.run(inputs)[0] - exact).max()))
            runs = {
                name: lambda one=session, given=inputs: one.run(given) for name, session in sessions.items()
            }
            times = take_turns(runs, seconds=seconds)
            for name in sessions:
                ratios[name].append(f"{times.best_ratio('float32', name):.2f}")
    cells = []
    for method in methods:
        if method not in sessions:
            cells.append("")
            continue
        smaller = size["float32"] / size[method]
        cells.append(f"{' '.join(ratios[method])}; {smaller:.1f}x; {far[method]:.0e}")
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", default="", help="those whose names begin like one of these, with commas")
    parser.add_argument("--methods", default="weights,dynamic,static,float16,tool")
    parser.add_argument("--sizes", default="128", help="H")
    parser.add_argument("--batches", default="1,8,32,64", help="N")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.5, help="for each N")
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    methods, batches = given.methods.split(","), [int(N) for N in given.batches.split(",")]
    print(machine("onnxruntime"), f"{given.threads} threads for an operator; N = {given.batches}\n")
    print("| model | " + " | ".join(methods) + " |")
    print("| --- " * (len(methods) + 1) + "|", flush=True)
    for H in map(int, given.sizes.split(",")):
        for name, graph in models(H).items():
            if name.startswith(tuple(given.models.split(","))):
                cells = row(graph, methods, batches, given.threads, given.seconds)
                print(f"| {name}, H = {H} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
