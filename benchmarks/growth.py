"""How the time of a masked BiLSTM classifier grows with N, T and H, and the exponents that fit it.

    python benchmarks/growth.py
    python benchmarks/growth.py --kind gru --threads 2

One of N, T and H doubles while the others stay; an exponent of 1 is growth in proportion. All points of a
line take turns, so that the exponent does not rest on when the machine was busy.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from lowering import KINDS, layer

import export
from biport.app.measure import Timed, machine, take_turns
from biport.tables import markdown_table

BASE = {"N": 8, "T": 64, "H": 64}
VALUES = {
    "N": (1, 2, 4, 8, 16, 32, 64, 128),
    "T": (16, 32, 64, 128, 256, 512),
    "H": (16, 32, 64, 128, 256, 512),
}


def session(kind: str, H: int, folder: Path, threads: int) -> export.Session:
    graph = layer(np.random.default_rng(H), kind, H, masked=True)
    return export.Session(export.write(graph, folder / f"{H}.onnx", overwrite=True).path, "cpu", threads)


def inputs(sizes: dict[str, int]) -> list[np.ndarray]:
    """Rows of which every second one is half padding."""
    rng = np.random.default_rng(1)
    N, T, H = sizes["N"], sizes["T"], sizes["H"]
    lengths = np.where(np.arange(N)[:, None] % 2, T // 2, T)
    ids = (np.arange(T) < lengths).astype("int32")
    return [rng.normal(size=(N, T, H)).astype("float32"), ids]


def run(opened: export.Session, sizes: dict[str, int]) -> Timed:
    given = inputs(sizes)
    return lambda: opened.run(given)


def exponent(sizes: list[int], times: list[float]) -> float:
    """The slope of the line through the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kind", default="lstm", choices=KINDS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=12.0, help="for each line")
    given = parser.parse_args()
    print(machine("onnxruntime"))
    print(f"{given.kind}, masked, both ways, I = H, {given.threads} threads; otherwise {BASE}\n")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for letter, values in VALUES.items():
            points = [BASE | {letter: value} for value in values]
            runs = {
                str(sizes[letter]): run(session(given.kind, sizes["H"], Path(folder), given.threads), sizes)
                for sizes in points
            }
            times = take_turns(runs, seconds=given.seconds)
            took = [times.median(str(value)) for value in values]
            shown = ", ".join(f"{value}: {ms:.2f}" for value, ms in zip(values, took, strict=True))
            whole = exponent(list(values), took)
            upper = exponent(list(values[-3:]), took[-3:])
            rows.append([letter, shown, f"{whole:.2f}", f"{upper:.2f}"])
    print(markdown_table([["grows", "ms", "exponent", "of the last three"], *rows], "<>"))


if __name__ == "__main__":
    main()
