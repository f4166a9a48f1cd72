"""Peak resident memory of every step of a model with a large embedding, over the size of its weights.

    python benchmarks/memory.py       # 3.07 GB of weights: about an hour, 22 GB of disk, 16 GB of memory
    python benchmarks/memory.py --gigabytes 0.4 --only "verify"

The model is an embedding of 6,000,000 x 128 float32 under a masked BiLSTM. Each step runs in a process of its
own, and its peak is what the kernel says of the largest process there was (``ru_maxrss``; pages of a mapped
file count as far as they were touched). Nothing is taken off; beside it is the peak of the same step with a
tiny model, which is the interpreter's and the frameworks' share.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from biport.app.measure import machine
from biport.tables import markdown_table

ROOT = Path(__file__).resolve().parent.parent
O, H = 128, 64
TINY = 100

MAKE = f"""
import sys, numpy as np
from keras_side.models.sentiment import sentiment
model = sentiment(int(sys.argv[2]), {O}, units=({H},))
rng = np.random.default_rng(0)
for variable in model.variables:
    value = rng.random(variable.shape, dtype="float32")
    value -= 0.5
    value *= 0.1
    variable.assign(value)
model.save(sys.argv[1])
"""
MODULE = f"""
import torch

class Classifier(torch.nn.Module):
    def __init__(self, v=ROWS):
        super().__init__()
        self.embedding = torch.nn.Embedding(v, {O}, padding_idx=0, _weight=torch.empty(v, {O}))
        self.bilstm_1 = torch.nn.LSTM({O}, {H}, batch_first=True, bidirectional=True)
        self.classifier = torch.nn.Linear(2 * {H}, 1)

    def forward(self, ids):
        lengths = (ids != 0).sum(1)
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            self.embedding(ids), lengths, batch_first=True, enforce_sorted=False)
        _, (h, _) = self.bilstm_1(packed)
        return torch.sigmoid(self.classifier(torch.cat([h[0], h[1]], 1)))
"""
PLAIN_KERAS = "import sys, keras; keras.saving.load_model(sys.argv[1])"
READ = "import sys, keras_side; keras_side.read(sys.argv[1])"
READ_FOLDER = "import sys, torch_side; torch_side.read_folder(sys.argv[1])"
READ_BUNDLE = "import sys; from biport import bundle; bundle.read(sys.argv[1])"
LOAD = """
import sys
sys.path.insert(0, sys.argv[1])
from model import load
import torch
with torch.no_grad():
    load(sys.argv[1])(torch.ones(2, 5, dtype=torch.int32))
"""
LOAD_STATE = """
import sys
sys.path.insert(0, sys.argv[1])
from model import Model
import torch
from safetensors.torch import load_file
module = Model()
module.load_state_dict(load_file(sys.argv[1] + "/model.safetensors"))
with torch.no_grad():
    module.eval()(torch.ones(2, 5, dtype=torch.int32))
"""
RUN_ONNX = """
import sys, export, numpy as np
export.Session(sys.argv[1], "cpu", threads=1).run([np.ones((2, 5), "int32")])
"""
BARE_ONNX = """
import sys, onnxruntime
onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
"""


@dataclass(frozen=True)
class Step:
    """One process: a script, or a command of biport's; ``{keras}`` and so on are the paths of models."""

    name: str
    arguments: tuple[str, ...]
    script: str | None = None

    def command(self, paths: dict[str, str]) -> list[str]:
        given = [argument.format(**paths) for argument in self.arguments]
        head = ["-m", "biport"] if self.script is None else ["-c", self.script]
        return [sys.executable, *head, *given]


def biport(name: str, *arguments: str) -> Step:
    return Step(name, arguments)


STEPS = (
    Step("read .keras", ("{keras}",), READ),
    biport("inspect .keras", "inspect", "{keras}"),
    biport("port --to torch", "port", "{keras}", "--to", "torch", "-o", "{torch}", "--force"),
    biport(
        "port --to torch --weights pt",
        "port",
        "{keras}",
        "--to",
        "torch",
        "--weights",
        "pt",
        "-o",
        "{pt}",
        "--force",
    ),
    biport("port --to bundle", "port", "{keras}", "--to", "bundle", "-o", "{bundle}", "--force"),
    biport("port --to onnx", "port", "{keras}", "--to", "onnx", "-o", "{onnx}", "--force"),
    biport("export", "export", "{keras}", "-o", "{onnx}", "--force"),
    Step("read torch folder", ("{torch}",), READ_FOLDER),
    Step("read torch folder, .pt", ("{pt}",), READ_FOLDER),
    Step("read bundle", ("{bundle}",), READ_BUNDLE),
    Step("model.py: load(), torch alone", ("{torch}",), LOAD),
    Step("model.py: load() of .pt", ("{pt}",), LOAD),
    Step("Model() and load_state_dict by hand", ("{torch}",), LOAD_STATE),
    biport(
        "port a module and its .safetensors --to onnx",
        *("port", "{module}:Classifier", "--checkpoint", "{torch}/model.safetensors"),
        *("--to", "onnx", "-o", "{other}", "--force"),
    ),
    biport(
        "port a module and its .pt --to bundle",
        *("port", "{module}:Classifier", "--checkpoint", "{pt}/model.pt"),
        *("--to", "bundle", "-o", "{otherbundle}", "--force"),
    ),
    Step("onnxruntime alone", ("{onnx}",), BARE_ONNX),
    Step("export.Session", ("{onnx}",), RUN_ONNX),
    biport("check model.onnx", "check", "{onnx}"),
    biport("check torch folder", "check", "{torch}"),
    biport("check bundle", "check", "{bundle}"),
    biport("verify torch folder, .onnx", "verify", "{torch}", "{onnx}"),
    biport("verify torch folder, bundle", "verify", "{torch}", "{bundle}"),
    *(
        biport(f"verify --without-keras .keras, {name}", "verify", "{keras}", path, "--without-keras")
        for name, path in (("torch folder", "{torch}"), (".onnx", "{onnx}"), ("bundle", "{bundle}"))
    ),
    Step("keras.saving.load_model alone", ("{keras}",), PLAIN_KERAS),
    *(
        biport(f"verify .keras, {name}", "verify", "{keras}", path)
        for name, path in (("torch folder", "{torch}"), (".onnx", "{onnx}"), ("bundle", "{bundle}"))
    ),
)


def peak(command: list[str]) -> tuple[int, float]:
    """Bytes of the largest process of a command, and its seconds."""
    start = time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env=environment)
        _, status, used = os.wait4(process.pid, 0)
        if status:
            said.seek(0)
            raise SystemExit(f"{command} ended with {status}:\n{said.read().decode()[-2000:]}")
    return used.ru_maxrss * 1024, time.perf_counter() - start


def models(folder: Path, rows: int) -> dict[str, str]:
    """The model, and where the others are to lie."""
    names = {"keras": "model.keras", "onnx": "model.onnx", "other": "other.onnx", "module": "classifier.py"}
    names |= {name: name for name in ("torch", "pt", "bundle", "otherbundle")}
    paths = {name: str(folder / file) for name, file in names.items()}
    Path(paths["module"]).write_text(MODULE.replace("ROWS", str(rows)))
    if not Path(paths["keras"]).exists():
        peak([sys.executable, "-c", MAKE, paths["keras"], str(rows)])
    return paths


def measure(folder: Path, rows: int, wanted: re.Pattern[str]) -> list[list[str]]:
    """A line for each step."""
    lines, of_size = [], []
    for name, size in (("tiny", TINY), ("large", rows)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        of_size.append(models(folder / name, size))
    weights = Path(of_size[1]["keras"]).stat().st_size
    for step in STEPS:
        if wanted.search(step.name):
            (tiny, _), (large, seconds) = (peak(step.command(paths)) for paths in of_size)
            lines.append(
                [
                    step.name,
                    f"{large / weights:.2f}",
                    f"{large / 1e9:.2f}",
                    f"{tiny / 1e9:.2f}",
                    f"{seconds:.0f}",
                ]
            )
            print(*lines[-1], sep="  ", file=sys.stderr, flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=3.072, help="of the embedding")
    parser.add_argument("--folder", help="where the models are put, and left; by default they are deleted")
    parser.add_argument("--only", default="", help="a regular expression: only steps whose names it is in")
    given = parser.parse_args()
    rows = int(given.gigabytes * 1e9 / (4 * O))
    with contextlib.ExitStack() as stack:
        folder = Path(given.folder or stack.enter_context(tempfile.TemporaryDirectory()))
        measured = measure(folder, rows, re.compile(given.only))
    print(machine("torch", "onnxruntime", "keras", "tensorflow"))
    print(f"an embedding of {rows:,} x {O} floats, {4 * O * rows / 1e9:.2f} GB, under a masked BiLSTM\n")
    head = ["", "peak / weights", "peak, GB", "with a tiny model, GB", "seconds"]
    print(markdown_table([head, *measured], "<>"))


if __name__ == "__main__":
    main()
