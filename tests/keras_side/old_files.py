"""The files that real, old versions of Keras wrote, and what biport makes of them.

``python tests/keras_side/old_files.py`` prints the table of docs/model-files.md.
"""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import keras_side
from biport import reference
from biport.errors import UnsupportedError
from biport.graph import Graph

FILES = Path(__file__).parents[1] / "old_keras" / "files"
FEATURE_MAPS = FILES.with_name("feature_maps")
VERSIONS = sorted(path.name.removesuffix(".tar.xz") for path in FILES.glob("*.tar.xz"))

ALLOWED = 3e-6
"""Float32 predictions against the float64 reference, of sizes around 1."""


@dataclass(frozen=True)
class OldFile:
    """A model file and what its Keras predicted.

    Args:
        path: of the file.
        config: the configuration beside a file of weights alone.
        predictions: the ``.npz`` with inputs and predictions; ``None`` where that Keras made none.
    """

    path: Path
    config: Path | None
    predictions: Path | None

    @property
    def name(self) -> str:
        """The model's name, without the endings of its files."""
        return _model(self.path)

    def read(self, states: str | None = None) -> Graph:
        """The graph."""
        return keras_side.read(self.path, self.config, states=states)

    def arrays(self, kind: str) -> list[np.ndarray]:
        """``"input"`` or ``"output"`` arrays, in order."""
        assert self.predictions is not None
        with np.load(self.predictions) as stored:
            return [stored[f"{kind}_{i}"] for i in range(sum(key.startswith(kind) for key in stored))]

    def inputs(self, graph: Graph) -> list[np.ndarray]:
        """The inputs with the dtypes of the graph, which takes ids as integers."""
        return [x.astype(v.dtype) for x, v in zip(self.arrays("input"), graph.inputs, strict=True)]


def _model(path: Path) -> str:
    name = path.name.partition(".")[0]
    return name.removesuffix("_weights").removesuffix("_hdf5")


def unpack(version: str, folder: Path, files: Path = FILES) -> Iterator[OldFile]:
    """The files of one version of Keras, unpacked into ``folder``."""
    with tarfile.open(files / f"{version}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    for path in sorted((folder / version).iterdir()):
        if path.suffix not in (".h5", ".keras"):
            continue
        alone = path.name.endswith((".weights.h5", "_weights.h5"))
        predictions = path.parent / f"{_model(path)}.npz"
        yield OldFile(
            path,
            path.parent / f"{_model(path)}.json" if alone else None,
            predictions if predictions.exists() else None,
        )


def largest_error(file: OldFile, states: str | None = None) -> float:
    """How far the float64 reference of what was read is from what that Keras predicted."""
    graph = file.read(states).astype("float64")
    outputs = reference.run(graph, file.inputs(graph))
    pairs = zip(outputs, file.arrays("output"), strict=True)
    return max(float(np.abs(one - two).max()) for one, two in pairs)


def table() -> str:
    """One row a version: how many files were exact, how many refused, and the largest error."""
    lines = ["| written by | files | exact | largest error | refused |", "|---|---|---|---|---|"]
    for version in VERSIONS:
        exact, refused, worst = 0, [], 0.0
        with tempfile.TemporaryDirectory() as folder:
            files = [file for file in unpack(version, Path(folder)) if file.predictions or _must_fail(file)]
            for file in files:
                try:
                    error = largest_error(file)
                except UnsupportedError:
                    refused.append(file.name)
                else:
                    worst, exact = max(worst, error), exact + (error <= ALLOWED)
        names = ", ".join(dict.fromkeys(refused))
        lines.append(f"| {version} | {len(files)} | {exact} | {worst:.1e} | {len(refused)}: {names} |")
    return "\n".join(lines)


def _must_fail(file: OldFile) -> bool:
    return file.name in ("custom", "lambda")


if __name__ == "__main__":
    print(table())
