"""A cold process from start to end: `biport inspect`, `port` and `export` of a model of 10 MB.

python benchmarks/cold.py
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from biport.app.measure import machine
from biport.tables import markdown_table

ROUNDS = 7
FRAMEWORKS = ("keras", "tensorflow", "torch", "tf2onnx")
WATCHED = """
import sys
from biport.app.cli import app
try:
    app(sys.argv[1:])
finally:
    loaded = [name for name in {names} if name in sys.modules]
    print("loaded:", ", ".join(loaded) or "no framework", file=sys.stderr)
"""


def write_model(path: Path) -> None:
    """In a process of its own, so that this one stays without Keras."""
    script = (
        "import sys; from keras_side.models.sentiment import sentiment; "
        "sentiment(15000, 128, units=(128, 64)).save(sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True, stderr=subprocess.DEVNULL)


def timed(arguments: list[str]) -> tuple[float, float, str]:
    """Seconds on the clock, seconds of processor time, and which frameworks were loaded."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    command = [sys.executable, "-c", WATCHED.format(names=FRAMEWORKS), *arguments]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if found.returncode:
        raise SystemExit(f"{arguments[0]} failed: {found.stderr}")
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, spent, found.stderr.rpartition("loaded: ")[2].strip()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.keras"
        write_model(model)
        onnx, ported = Path(folder) / "model.onnx", Path(folder) / "ported"
        port = ["port", str(model), "--force", "--no-verify"]
        cases = {
            "--version": ["--version"],
            "inspect": ["inspect", str(model)],
            "port --to torch": [*port, "--to", "torch", "-o", str(ported)],
            "port --to onnx": [*port, "--to", "onnx", "-o", str(onnx)],
            "export --no-verify": ["export", str(model), "-o", str(onnx), "--force", "--no-verify"],
            "export": ["export", str(model), "-o", str(onnx), "--force"],
        }
        rows = []
        for name, arguments in cases.items():
            found = [timed(arguments) for _ in range(ROUNDS)]
            wall, spent = (statistics.median(part) for part in ([f[0] for f in found], [f[1] for f in found]))
            shortest = min(f[0] for f in found)
            rows.append([name, f"{wall:.2f}", f"{shortest:.2f}", f"{spent:.2f}", found[0][2]])
        print(machine("onnx-ir", "onnxruntime"))
        print(f"a file of {model.stat().st_size / 1e6:.1f} MB, {ROUNDS} processes each\n")
        print(markdown_table([["", "seconds, median", "shortest", "of processor", "loaded"], *rows], "<>"))


if __name__ == "__main__":
    main()
