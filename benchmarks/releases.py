"""Files on this onnxruntime, on two old ones and on onnxruntime-web: the table of `docs/runtimes.md`.

    make test-runtimes                            # installs what it needs
    PYTHONPATH=tests python benchmarks/releases.py

Milliseconds of the fastest of some calls, one thread; the environments take turns, a file each. Beside them
the largest difference between the web's numbers and those of this onnxruntime.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from precision import ids, one_layer, stacked

import export
from biport.app.measure import machine
from biport.graph import Graph
from biport.tables import markdown_table
from export.deploy.precision import write_precision
from runtimes.web import VERSION, answers, outputs_of  # pyright: ignore[reportMissingImports]

ROOT = Path(__file__).parents[1]
OLD = ("1.16.3", "1.20.1")
H = 64
ROWS = (1, 8)
CALLS = 120
TIMED = """
import sys, time
import numpy as np, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
with np.load(sys.argv[2]) as feeds:
    for name in sorted(feeds.files):
        times = []
        for _ in range(int(sys.argv[3])):
            start = time.perf_counter()
            session.run(None, {"ids": feeds[name]})
            times.append(time.perf_counter() - start)
        print(1000 * min(times))
"""
"""Needs onnxruntime and numpy alone, so that every environment runs the same."""


def models() -> dict[str, Graph]:
    """Masked ones of embeddings of 64, 64 units each way."""
    return {
        "BiLSTM": one_layer("lstm", H, True),
        "BiGRU": one_layer("gru", H, True),
        "two BiLSTMs, a label a step": stacked("lstm", H, True),
    }


def written(folder: Path) -> dict[str, Path]:
    """The files, and the first of them in 8 bits."""
    files = {}
    for number, (name, graph) in enumerate(models().items()):
        files[name] = folder / f"{number}.onnx"
        export.write(graph, files[name], vectors=False)
    files["BiLSTM, int8"] = folder / "int8.onnx"
    write_precision(files["BiLSTM"], files["BiLSTM, int8"], "int8")
    return files


def timed(python: Path, file: Path, feeds: Path) -> list[float]:
    """Milliseconds by number of rows."""
    command = [str(python), "-I", "-c", TIMED, str(file), str(feeds), str(CALLS)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return [float(line) for line in found.stdout.split()]


def main() -> None:
    pythons = [Path(sys.executable), *(ROOT / f".venv-onnxruntime-{one}" / "bin" / "python" for one in OLD)]
    batches = {str(N): ids(N) for N in ROWS}
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        feeds = Path(folder) / "feeds.npz"
        np.savez(feeds, allow_pickle=False, **batches)
        for name, file in written(Path(folder)).items():
            times = [timed(python, file, feeds) for python in pythons]
            (web,) = answers([(file, [{"ids": batch} for batch in batches.values()])], Path(folder), CALLS)
            times.insert(1, web["milliseconds"])
            session = export.Session(file, device="cpu", threads=1)
            pairs = [
                (session.run([batch])[0], outputs_of(web, number)[0])
                for number, batch in enumerate(batches.values())
            ]
            off = max(float(np.abs(one - two).max()) for one, two in pairs)
            shown = [f"{times[of][row]:.2f}" for row in range(len(ROWS)) for of in range(len(times))]
            lines.append([name, f"{file.stat().st_size // 1000} kB", *shown, f"{off:.0e}"])
    print(machine("onnxruntime"))
    where = ["here", f"web {VERSION}", *OLD]
    heads = [f"N = {N}: {one}" if not number else one for N in ROWS for number, one in enumerate(where)]
    print(markdown_table([["model", "file", *heads, "web off by"], *lines]))


if __name__ == "__main__":
    main()
