"""What several benchmarks share: one recurrent layer under a classifier in every form."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import numpy as np
import onnxruntime
import tensorflow
import torch
from keras import Input, Sequential, layers, utils
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import export
import keras_side
import torch_side
from biport.app.measure import Timed

Prepare: TypeAlias = Callable[[np.ndarray], Timed]
"""Of ids a call that computes the probabilities of their rows."""

V, D, H = 10_000, 128, 64
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "lstm": ("LSTM", {}),
    "gru": ("GRU", {}),
    "gru-before": ("GRU", {"reset_after": False}),
    "rnn": ("SimpleRNN", {}),
}
TORCH = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
"""torch has no GRU that resets before."""
ALLOWED = 1e-4
"""How far a probability of any form may be from that of the first."""


def use_threads(threads: int) -> None:
    """Of torch and TensorFlow; sessions are told when they are opened."""
    torch.set_num_threads(threads)
    tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
    tensorflow.config.threading.set_inter_op_parallelism_threads(threads)


class ByHand(nn.Module):
    """What a person writes by hand; masked, the rows are packed."""

    def __init__(self, kind: str, masked: bool, embedding_size: int = D) -> None:
        super().__init__()
        self.masked = masked
        self.embedding = nn.Embedding(V, embedding_size)
        self.recurrent = TORCH[kind](embedding_size, H, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * H, 1)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embedding(tokens)
        if self.masked:
            rows = (tokens != 0).sum(1)
            x = pack_padded_sequence(x, rows, batch_first=True, enforce_sorted=False)
        _, state = self.recurrent(x)
        last = state[0] if isinstance(state, tuple) else state
        return torch.sigmoid(self.head(torch.cat([last[0], last[1]], dim=-1)))

    def like(self, written: nn.Module) -> ByHand:
        """With the weights of a written module, in evaluation."""
        given = [tensor for tensor in written.state_dict().values() if tensor.ndim]
        self.load_state_dict(dict(zip(self.state_dict(), given, strict=True)))
        return self.eval()


def keras_model(kind: str, masked: bool) -> Any:
    name, settings = KINDS[kind]
    utils.set_random_seed(0)
    layer = getattr(layers, name)(H, bias_initializer="random_normal", **settings)
    parts = [
        layers.Embedding(V, D, mask_zero=masked),
        layers.Bidirectional(layer),
        layers.Dense(1, "sigmoid"),
    ]
    return Sequential([Input((None,), dtype="int32"), *parts])


def bare(path: Path, threads: int) -> Prepare:
    """onnxruntime as it is over a file of ids, without any check of them."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (tokens,) = (value.name for value in session.get_inputs())
    return lambda ids: lambda: session.run(None, {tokens: ids})


def contestants(
    kind: str, masked: bool, folder: Path, threads: int, lowerings: Sequence[str] = ("auto",)
) -> dict[str, Prepare]:
    """By name, of the same weights; ``run``, ``predict`` and ``bare`` have the file of the first lowering."""
    model = keras_model(kind, masked)
    graph = keras_side.read(model)
    written = torch_side.write(graph).eval()
    found: dict[str, Prepare] = {}
    for lowering in lowerings:
        export.write(graph, folder / f"{lowering}.onnx", lowering=lowering, overwrite=True)
        session = export.Session(folder / f"{lowering}.onnx", "cpu", threads)
        found[_shown(lowering)] = lambda ids, session=session: lambda: session.run([ids])
    first = folder / f"{lowerings[0]}.onnx"
    corpus = export.Session(first, "cpu", threads)

    def predict(ids: np.ndarray) -> Timed:
        rows = [row[row != 0] for row in ids]
        return lambda: [result for (result,) in corpus.predict(rows)]

    found |= {"predict": predict, "bare": bare(first, threads)}
    export.write_tf2onnx(model, folder / "tf2onnx.onnx", overwrite=True)
    baseline = export.Session(folder / "tf2onnx.onnx", "cpu", threads)
    found["tf2onnx"] = lambda ids: lambda: baseline.run([ids])
    found["module"] = lambda ids: lambda: written(torch.from_numpy(ids))
    if kind in TORCH:
        module = ByHand(kind, masked).like(written)
        found["torch"] = lambda ids: lambda: module(torch.from_numpy(ids))
    found["keras"] = lambda ids: lambda: model.predict(ids, batch_size=len(ids), verbose=0)
    return found


def _shown(lowering: str) -> str:
    return "run" if lowering == "auto" else lowering


def prepared(
    contestants: Mapping[str, Prepare], ids: np.ndarray, names: Sequence[str] | None = None
) -> dict[str, Timed]:
    """The calls over some ids, after all of them have given the same probabilities."""
    chosen = contestants if names is None else [name for name in names if name in contestants]
    runs = {name: contestants[name](ids) for name in chosen}
    results = {name: np.asarray(run()).reshape(len(ids)) for name, run in runs.items()}
    first = next(iter(results.values()))
    for name, result in results.items():
        if (off := float(np.abs(result - first).max())) > ALLOWED:
            raise SystemExit(f"{name}: off by {off:.1e}")
    return runs


CONTESTANTS = """
run: Session.run over biport's file; predict: Session.predict over the rows without their padding;
bare: onnxruntime over the same file, nothing checked; tf2onnx: its file; module: the torch module that biport
writes; torch: one that a person writes, packed where it is masked; keras: model.predict.
"""
