"""A model that proves itself: what it gives of the check vectors that travel with it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biport import bundle, reference
from biport.app.junit import Case, Suite, report_suites
from biport.compare.check_vectors import MAX_BYTES, CheckVectors, make_vectors
from biport.compare.report import Report
from biport.errors import BiportError, FileError, printable
from biport.file_kind import FileKind, file_kind, foreign
from biport.weight_files import mapped_weights

CHECK, MODULE = "check.npz", "model.py"
"""What is in the folder of a PyTorch module."""
WANTED = "a model with check vectors (an .onnx file, the folder of a PyTorch module, or a bundle)"


@dataclass(frozen=True)
class Checked:
    """One model and what became of it.

    Args:
        path: the file or folder.
        vectors: what it was run on.
        report: a line for each output.
    """

    path: Path
    vectors: CheckVectors
    report: Report

    @property
    def text(self) -> str:
        """The report for a person."""
        cases = ", ".join(self.vectors.cases)
        head = f"{self.path}: check vectors of biport {self.vectors.version}: {cases}"
        return "\n".join(printable(line) for line in (head, *self.report.table.splitlines()))

    def to_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "path": str(self.path),
            "written_by": self.vectors.version,
            "precision": self.vectors.precision,
            **self.report.to_json(),
        }


def check_model(path: Path, device: str = "cpu") -> Checked:
    """Run a model on its check vectors.

    For an ``.onnx`` file nothing but onnxruntime and numpy is needed. The ``model.py`` in the folder of a
    PyTorch module is imported and run. A bundle, whose digest says whether it was changed, has no vectors:
    they are made of it, and the module is run that is written of it.

    Args:
        path: the file or folder.
        device: that onnxruntime runs on, see `export.Session`.

    Raises:
        FileError: it is none of these, is damaged, or carries no check vectors.
        InputError: the ``model.py`` cannot be imported, or has no ``load``.
        BiportError: what opening it raises.
    """
    if path.is_dir():
        if bundle.is_bundle(path):
            vectors, run, notes = _bundle(path)
        elif (path / CHECK).exists() and (path / MODULE).exists():
            vectors, run, notes = _folder(path)
        else:
            raise foreign(path, WANTED)
    elif path.is_file() and file_kind(path) in (FileKind.ONNX, FileKind.UNKNOWN):
        vectors, run, notes = _onnx(path, device)
    else:
        raise foreign(path, WANTED)
    report = vectors.judge(run, path.name)
    return Checked(path, vectors, dataclasses.replace(report, notes=notes))


def check_models(paths: Sequence[Path], device: str = "cpu") -> list[Checked | tuple[Path, BiportError]]:
    """`check_model` for each; an error is that of one model, and the others are checked all the same."""
    checked: list[Checked | tuple[Path, BiportError]] = []
    for path in paths:
        try:
            checked.append(check_model(path, device))
        except BiportError as error:
            checked.append((path, error))
    return checked


def checked_suites(checked: Sequence[Checked | tuple[Path, BiportError]]) -> list[Suite]:
    """A suite of each model, for a file in JUnit's format; an error where one could not be checked."""
    suites = []
    for one in checked:
        if isinstance(one, Checked):
            suites += report_suites(one.report, str(one.path))
        else:
            path, error = one
            suites.append(Suite(str(path), [Case("check vectors", "error", str(error))]))
    return suites


Opened = tuple[CheckVectors, Callable[[list[np.ndarray]], Sequence[np.ndarray]], list[str]]
"""The vectors, the model, and notes."""


def _onnx(path: Path, device: str) -> Opened:
    import export
    from export.check_vectors import read_vectors

    session = export.Session(path, device)
    vectors = read_vectors(path, session.metadata)
    if vectors is None:
        advice = "export the model once more, or compare it with what it was made from: biport verify"
        raise FileError(f"{path}: carries no check vectors; {advice}")
    names = [value.name for value in session.input_values], session.output_names
    if names != ([*vectors.inputs], [*vectors.outputs]):
        raise FileError(f"{path}: its check vectors are of other inputs or outputs than its own")
    return vectors, session.run, _notes(vectors)


def _folder(path: Path) -> Opened:
    import torch_side

    with (path / CHECK).open("rb") as file:
        vectors = CheckVectors.from_bytes(file.read(MAX_BYTES + 1), str(path / CHECK))
    module = torch_side.load_folder(path)
    return vectors, functools.partial(torch_side.run, module), _notes(vectors)


def _bundle(path: Path) -> Opened:
    with mapped_weights():
        graph = bundle.read(path)
    vectors = make_vectors(graph)
    note = "a bundle carries no check vectors; they were made of it, and what was run is"
    try:
        import torch_side
    except ModuleNotFoundError:
        in_float32 = functools.partial(reference.run, graph, dtype="float32")
        return vectors, in_float32, [f"{note} the reference in float32, for want of torch"]
    module = torch_side.write(graph, copied=False)
    return vectors, functools.partial(torch_side.run, module), [f"{note} the module that is written of it"]


def _notes(vectors: CheckVectors) -> list[str]:
    if vectors.precision == "float32":
        return []
    return [
        f"{vectors.precision}: allowed is four times the error that the file had where it was written; "
        "how exact it should be, nobody has said"
    ]
