"""What porting costs and what fusing gains, on one sentiment BiLSTM: medians and ratios from one run."""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import export
import keras_side
import torch_side
from keras_side.models.sentiment import sentiment

V, E, H = 10_000, 128, 64
SHAPES = ((1, 100), (32, 100))
ROUNDS = 40


class Handwritten(nn.Module):
    """What a person would write for the unmasked model."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, E)
        self.lstm = nn.LSTM(E, H, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * H, 1)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        _, (last, _) = self.lstm(self.embedding(tokens))
        return torch.sigmoid(self.head(torch.cat([last[0], last[1]], dim=-1)))


def medians(runs: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Milliseconds a call; the runs take turns, so that a busy machine is busy for all of them."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(ROUNDS + 5):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if turn >= 5:
                times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(found) for name, found in times.items()}


def show(title: str, runs: dict[str, Callable[[], object]]) -> None:
    found = medians(runs)
    (mine, fast), (other, slow) = found.items()
    print(f"{title:<28} {mine} {fast:7.2f} ms   {other} {slow:7.2f} ms   ratio {slow / fast:5.2f}")


def main() -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    written = torch_side.write(keras_side.read(sentiment(V, E, (H,), masked=False)))
    byhand = Handwritten().eval()
    masked = sentiment(V, E, (H,), masked=True)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        export.write(keras_side.read(masked), Path(folder) / "fused.onnx")
        export.write_tf2onnx(masked, Path(folder) / "tf2onnx.onnx")
        fused = export.Session(Path(folder) / "fused.onnx", "cpu", threads=1)
        baseline = export.Session(Path(folder) / "tf2onnx.onnx", "cpu", threads=1)
        for N, T in SHAPES:
            ids = rng.integers(1, V, (N, T)).astype("int32")
            tokens = torch.from_numpy(ids)
            show(
                f"torch, unmasked, N{N} T{T}",
                {"written": lambda x=tokens: written(x), "by hand": lambda x=tokens: byhand(x)},
            )
            padded = np.where(np.arange(T) < rng.integers(T // 5, T + 1, (N, 1)), ids, 0).astype("int32")
            show(
                f"ONNX, masked, N{N} T{T}",
                {"fused": lambda x=padded: fused.run([x]), "tf2onnx": lambda x=padded: baseline.run([x])},
            )


if __name__ == "__main__":
    main()
