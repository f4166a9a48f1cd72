"""A corpus of sentences of mixed length through one masked BiLSTM: `Session.predict` against the usual ways.

``--search`` looks for the window and the tokens a batch that suit this machine; the defaults come from it.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

# Before torch: its threads should not spin while they wait, as onnxruntime's do not.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
import torch
from contestants import ByHand, H, V

import export
import keras_side
import torch_side
from biport.app.measure import take_turns
from biport.data import pad
from keras_side.models.sentiment import sentiment

E = 64
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


def compare(count: int, rounds: int) -> None:
    rows = corpus(count)
    model = sentiment(V, E, (H,), masked=True)
    graph = keras_side.read(model)
    packed = ByHand("lstm", True, E).like(torch_side.write(graph))
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        export.write(graph, Path(folder) / "fused.onnx")
        export.write_tf2onnx(model, Path(folder) / "tf2onnx.onnx")
        fused = export.Session(Path(folder) / "fused.onnx", "cpu")
        baseline = export.Session(Path(folder) / "tf2onnx.onnx", "cpu")
        sides: dict[str, Callable[[], np.ndarray]] = {
            OURS: lambda: np.stack([scores for (scores,) in fused.predict(rows)]),
            "fused, in order": lambda: in_order(rows, lambda ids: fused.run([ids])[0]),
            "tf2onnx, in order": lambda: in_order(rows, lambda ids: baseline.run([ids])[0]),
            "torch, packed": lambda: in_order(rows, lambda ids: packed(torch.from_numpy(ids)).numpy()),
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
    """Medians."""
    times = take_turns(sides, seconds=0, least=rounds)
    for name in sides:
        ratios = times.ratio(name, OURS), times.processor_ratio(name, OURS)
        print(f"{name:<22} {times.median(name):7.0f} ms   ratio {ratios[0]:5.2f}   of CPU {ratios[1]:5.2f}")


def search(count: int, rounds: int) -> None:
    rows = corpus(count)
    with tempfile.TemporaryDirectory() as folder:
        export.write(keras_side.read(sentiment(V, E, (H,), masked=True)), Path(folder) / "fused.onnx")
        session = export.Session(Path(folder) / "fused.onnx", "cpu")
        many = session.threads
        runs = {
            f"window {window:5} tokens {tokens:6} workers {workers}": partial(
                lambda **setting: list(session.predict(rows, **setting)),
                window=window,
                tokens=tokens,
                workers=workers,
            )
            for workers in sorted({1, many})
            for window in (512, 4096)
            for tokens in (256, 512, 1024, 2048, 4096)
        }
        shortest = take_turns(runs, seconds=0, least=rounds).shortest
        for name in sorted(runs, key=lambda name: shortest[name]):
            print(f"{name} {shortest[name]:7.0f} ms")


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
