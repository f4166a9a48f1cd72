"""A corpus of sentences of mixed length through one masked BiLSTM: `Session.predict` against the usual ways.

``--search`` looks for the window and the tokens a batch that suit this machine; the defaults come from it.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

# Before torch: its threads should not spin while they wait, as onnxruntime's do not.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
import torch
from torch import nn

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import export
import keras_side
import torch_side
from biport.data import pad
from keras_side.models.sentiment import sentiment

V, E, H = 10_000, 64, 64
BATCH = 32
OURS = "Session.predict"


def corpus(count: int, seed: int = 0) -> list[np.ndarray]:
    """Sentences of 3 to 400 words, half of them below 20: lengths are log-normal, as those of texts are."""
    rng = np.random.default_rng(seed)
    lengths = np.clip(np.exp(rng.normal(3.0, 0.9, count)), 3, 400).astype(int)
    return [rng.integers(1, V, length).astype("int32") for length in lengths]


def in_order(rows: list[np.ndarray], run: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """One batch after the other, each padded to its longest row."""
    parts = [run(pad(rows[start : start + BATCH])) for start in range(0, len(rows), BATCH)]
    return np.concatenate(parts)


class Packed(nn.Module):
    """The same model as a person would write it for torch, with packed sequences."""

    def __init__(self, written: nn.Module) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, E)
        self.lstm = nn.LSTM(E, H, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * H, 1)
        state = [tensor for name, tensor in written.state_dict().items() if tensor.ndim]
        own = list(self.state_dict().values())
        for mine, theirs in zip(own, _in_place(own, state), strict=True):
            mine.copy_(theirs)

    def forward(self, rows: list[np.ndarray]) -> torch.Tensor:
        ids = torch.from_numpy(pad(rows))
        lengths = torch.tensor([len(row) for row in rows])
        packed = nn.utils.rnn.pack_padded_sequence(
            self.embedding(ids), lengths, batch_first=True, enforce_sorted=False
        )
        _, (last, _) = self.lstm(packed)
        return torch.sigmoid(self.head(torch.cat([last[0], last[1]], dim=-1)))


def _in_place(own: list[torch.Tensor], found: list[torch.Tensor]) -> list[torch.Tensor]:
    """The written module's tensors in the order of ours: first those of the same shape."""
    left = list(found)
    return [left.pop(next(n for n, tensor in enumerate(left) if tensor.shape == mine.shape)) for mine in own]


def compare(count: int, rounds: int) -> None:
    rows = corpus(count)
    model = sentiment(V, E, (H,), masked=True)
    graph = keras_side.read(model)
    packed = Packed(torch_side.write(graph)).eval()
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        export.write(graph, Path(folder) / "fused.onnx")
        export.write_tf2onnx(model, Path(folder) / "tf2onnx.onnx")
        fused = export.Session(Path(folder) / "fused.onnx", "cpu")
        baseline = export.Session(Path(folder) / "tf2onnx.onnx", "cpu")
        starts = range(0, count, BATCH)
        sides: dict[str, Callable[[], np.ndarray]] = {
            OURS: lambda: np.stack([scores for (scores,) in fused.predict(rows)]),
            "fused, in order": lambda: in_order(rows, lambda ids: fused.run([ids])[0]),
            "tf2onnx, in order": lambda: in_order(rows, lambda ids: baseline.run([ids])[0]),
            "torch, packed": lambda: np.concatenate([packed(rows[s : s + BATCH]).numpy() for s in starts]),
            "the same, one thread": lambda: _on_one_thread(sides["torch, packed"]),
        }
        results = {name: run() for name, run in sides.items()}
        worst = max(float(np.abs(found - results[OURS]).max()) for found in results.values())
        print(f"{count} sentences, {sum(map(len, rows))} tokens, largest difference {worst:.1e}")
        report(sides, rounds)


def _on_one_thread(run: Callable[[], np.ndarray]) -> np.ndarray:
    """Torch's threads wait for one another at every step: on a busy machine one alone is faster."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return run()
    finally:
        torch.set_num_threads(threads)


def report(sides: dict[str, Callable[[], np.ndarray]], rounds: int) -> None:
    """The sides take turns, so that a busy machine is busy for all of them. Medians."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    busy: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            start, used = time.perf_counter(), time.process_time()
            run()
            times[name].append(time.perf_counter() - start)
            busy[name].append(time.process_time() - used)
    for name, found in times.items():
        ratios = [
            statistics.median(other / mine for other, mine in zip(kind[name], kind[OURS], strict=True))
            for kind in (times, busy)
        ]
        print(
            f"{name:<22} {statistics.median(found):7.2f} s   ratio {ratios[0]:5.2f}   of CPU {ratios[1]:5.2f}"
        )


def search(count: int, rounds: int) -> None:
    rows = corpus(count)
    with tempfile.TemporaryDirectory() as folder:
        export.write(keras_side.read(sentiment(V, E, (H,), masked=True)), Path(folder) / "fused.onnx")
        session = export.Session(Path(folder) / "fused.onnx", "cpu")
        many = session.threads
        settings = [
            (window, tokens, workers)
            for workers in sorted({1, many})
            for window in (512, 4096)
            for tokens in (256, 512, 1024, 2048, 4096)
        ]
        times: dict[tuple[int, int, int], list[float]] = {setting: [] for setting in settings}
        for _ in range(rounds):
            for window, tokens, workers in settings:
                start = time.perf_counter()
                for _ in session.predict(rows, window=window, tokens=tokens, workers=workers):
                    pass
                times[window, tokens, workers].append(time.perf_counter() - start)
        for (window, tokens, workers), found in sorted(times.items(), key=lambda item: min(item[1])):
            print(f"window {window:5} tokens {tokens:6} workers {workers} {1000 * min(found):7.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--search", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    (search if chosen.search else compare)(chosen.count, chosen.rounds)


if __name__ == "__main__":
    main()
