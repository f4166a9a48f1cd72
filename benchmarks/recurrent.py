"""One recurrent layer under a classifier, both ways: the fused route against tf2onnx, torch and Keras.

python benchmarks/recurrent.py                       the masked BiLSTM, then all other kinds
python benchmarks/recurrent.py --kinds gru,rnn --masks masked --lowerings auto,fused,loop
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import numpy as np
import tensorflow
import torch  # before tensorflow
from keras import Input, Sequential, layers
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import export
import keras_side
from biport.app.measure import machine, take_turns
from biport.tables import markdown_table

Contestant: TypeAlias = Callable[[np.ndarray], object]

V, E, H = 10_000, 128, 64
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "lstm": ("LSTM", {}),
    "gru": ("GRU", {}),
    "gru-before": ("GRU", {"reset_after": False}),
    "rnn": ("SimpleRNN", {}),
}
TORCH = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
"""torch has no GRU that resets before."""


class ByHand(nn.Module):
    """What a person writes by hand; masked, the rows are packed."""

    def __init__(self, kind: str, masked: bool) -> None:
        super().__init__()
        self.masked = masked
        self.embedding = nn.Embedding(V, E)
        self.recurrent = TORCH[kind](E, H, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * H, 1)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embedding(tokens)
        if self.masked:
            lengths = (tokens != 0).sum(1)
            x = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        _, state = self.recurrent(x)
        last = state[0] if isinstance(state, tuple) else state
        return torch.sigmoid(self.head(torch.cat([last[0], last[1]], dim=-1)))


def keras_model(kind: str, masked: bool) -> Any:
    name, settings = KINDS[kind]
    layer = getattr(layers, name)(H, bias_initializer="random_normal", **settings)
    parts = [
        layers.Embedding(V, E, mask_zero=masked),
        layers.Bidirectional(layer),
        layers.Dense(1, "sigmoid"),
    ]
    return Sequential([Input((None,), dtype="int32"), *parts])


def contestants(
    kind: str, masked: bool, lowerings: Sequence[str], threads: int, folder: Path
) -> dict[str, Contestant]:
    """By name a function from ids to something that a contestant computes of them."""
    model = keras_model(kind, masked)
    graph = keras_side.read(model)
    found: dict[str, Contestant] = {}
    for lowering in lowerings:
        path = folder / f"{lowering}.onnx"
        export.write(graph, path, lowering=lowering, overwrite=True)
        session = export.Session(path, "cpu", threads)
        found[_shown(lowering)] = lambda ids, session=session: session.run([ids])
    export.write_tf2onnx(model, folder / "tf2onnx.onnx", overwrite=True)
    baseline = export.Session(folder / "tf2onnx.onnx", "cpu", threads)
    found["tf2onnx"] = lambda ids: baseline.run([ids])
    if masked:
        # By length, rows of one batch as well.
        corpus = export.Session(folder / f"{lowerings[0]}.onnx", "cpu", threads)
        found["predict"] = lambda ids: list(corpus.predict([row[row != 0] for row in ids]))
    if kind in TORCH:
        module = ByHand(kind, masked).eval()
        found["torch"] = lambda ids: module(torch.from_numpy(ids))
    found["keras"] = lambda ids: model.predict(ids, batch_size=len(ids), verbose=0)
    return found


def _shown(lowering: str) -> str:
    return "biport" if lowering == "auto" else lowering


def padded(rng: np.random.Generator, N: int, T: int, masked: bool) -> np.ndarray:
    """Ids of rows that fill a fifth of T to all of it, the first one all of it."""
    ids = rng.integers(1, V, (N, T)).astype("int32")
    lengths = rng.integers(T // 5, T + 1, (N, 1))
    lengths[0] = T
    return np.where(np.arange(T) < lengths, ids, 0).astype("int32") if masked else ids


def measured(
    runs: Mapping[str, Contestant], ids: np.ndarray, names: Sequence[str], seconds: float
) -> Iterator[str]:
    """Milliseconds of all contestants, and how many times as long as the first they take."""
    turns = {name: lambda run=run: run(ids) for name, run in runs.items()}
    times = take_turns(turns, seconds=seconds)
    yield from (f"{times.median(name):.2f}" if name in runs else "-" for name in names)
    for name in names[1:]:
        yield times.ratios(name, names[0]) if name in runs else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--masks", default="masked,plain")
    parser.add_argument("--lowerings", default="auto", help="of auto, fused, loop; ratios are to the first")
    parser.add_argument("--shapes", default="1x100,8x100,32x300,128x300", help="NxT,NxT,...")
    parser.add_argument("--threads", type=int, default=1, help="of every contestant")
    parser.add_argument("--seconds", type=float, default=8.0, help="for each row")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    tensorflow.config.threading.set_intra_op_parallelism_threads(given.threads)
    tensorflow.config.threading.set_inter_op_parallelism_threads(given.threads)
    lowerings = given.lowerings.split(",")
    names = [*map(_shown, lowerings), "predict", "tf2onnx", "torch", "keras"]
    rng = np.random.default_rng(0)

    print(machine("onnxruntime", "tf2onnx", "torch", "keras", "tensorflow"))
    print(f"V {V}, D {E}, H {H}, both ways, {given.threads} threads; ms, then times as long as {names[0]}\n")
    print(markdown_table([["", *names, *(f"{name} ×" for name in names[1:])]], "<>"), flush=True)
    for kind, masks in itertools.product(given.kinds.split(","), given.masks.split(",")):
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            runs = contestants(kind, masks == "masked", lowerings, given.threads, Path(folder))
            for shape in given.shapes.split(","):
                N, T = map(int, shape.split("x"))
                ids = padded(rng, N, T, masks == "masked")
                row = [f"{kind} {masks} N{N} T{T}", *measured(runs, ids, names, given.seconds)]
                print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
