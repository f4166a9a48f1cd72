"""What a classifier that `biport train sentiment` has trained makes of its rows for testing, in every form.

python benchmarks/imdb_ports.py RUN [RUN ...]
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import numpy as np
import torch  # noqa: F401  before tensorflow

import export
import keras_side
import torch_side
from biport import bundle
from biport.app.train.imdb import imdb_file
from biport.compare.tolerance import label_agreement
from biport.tables import markdown_table
from biport.training import folder as files
from biport.training.data import load_data
from biport.training.recipe import Recipe

ROWS = 1000


def predicted(run: Callable[[list[np.ndarray]], list[np.ndarray]], tokens: np.ndarray) -> np.ndarray:
    """A thousand rows at a time."""
    parts = [run([tokens[start : start + ROWS]])[0] for start in range(0, len(tokens), ROWS)]
    return np.concatenate(parts)


def measure(run: Path, folder: Path) -> list[list[str]]:
    graph = bundle.read(run / files.MODEL)
    recipe = Recipe.from_json(files.read_description(run)["recipe"])
    data = load_data(recipe, imdb_file() if recipe.data == "imdb" else None)
    tokens, truth = (np.asarray(column) for column in data.test)
    model, module = keras_side.write(graph), torch_side.write(graph)
    export.write(graph, folder / "model.onnx", overwrite=True)
    session = export.Session(folder / "model.onnx", "cpu")
    forms = {
        "Keras": lambda arrays: keras_side.run(model, arrays, graph),
        "torch": lambda arrays: torch_side.run(module, arrays),
        "ONNX": session.run,
    }
    rows, first = [], None
    for name, form in forms.items():
        found = predicted(form, tokens)
        first = found if first is None else first
        same, _ = label_agreement(found, first, 0.0)
        right = float(((found[:, 0] > 0.5) == truth).mean())
        difference = float(np.abs(found - first).max())
        rows.append([run.name, name, f"{len(found):,}", f"{right:.2%}", f"{same:.4%}", f"{difference:.1e}"])
    return rows


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for run in sys.argv[1:] for row in measure(Path(run), Path(folder))]
    head = ["run", "form", "reviews", "accuracy", "labels as Keras'", "largest difference"]
    print(markdown_table([head, *rows], "<>"))


if __name__ == "__main__":
    main()
