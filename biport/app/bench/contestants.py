"""The forms of a model that take part, each a function from inputs to outputs."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from biport.errors import BiportError, InputError
from biport.graph import Graph

Run = Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]

FORMS = ("fused", "int8", "tf2onnx", "torch", "torch packed", "Keras predict", "Keras call")
"""In the order of the table; ratios are to the first that is there."""


@dataclass
class Field:
    """Who takes part, and why others do not.

    Args:
        runs: by name what runs a form.
        missing: by name why a form is not there.
    """

    runs: dict[str, Run] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def enter(self, name: str, make: Callable[[], Run]) -> None:
        """Take a form in, or note why it cannot be had."""
        try:
            self.runs[name] = make()
        except (BiportError, ImportError) as error:
            self.missing[name] = str(error).splitlines()[0]


def gather(graph: Graph, names: Sequence[str], threads: int, folder: Path) -> Field:
    """Make the forms called ``names`` of a model.

    Args:
        graph: the model.
        names: of `FORMS`.
        threads: for one operator, of every form.
        folder: where files are written to.

    Raises:
        InputError: there is no such form.
    """
    unknown = [name for name in names if name not in FORMS]
    if unknown:
        raise InputError(f"{', '.join(unknown)}: no such form; there are {', '.join(FORMS)}")
    found = Field()
    # torch before tensorflow: the other order has been seen to crash.
    makers: Mapping[str, Callable[[], Run]] = _torch(graph, threads) | _onnx(graph, threads, folder)
    keras = _Keras(graph, threads, folder)
    makers = {**makers, **keras.makers()}
    for name in sorted(names, key=lambda name: (not name.startswith("torch"), FORMS.index(name))):
        found.enter(name, makers[name])
    found.runs = {name: found.runs[name] for name in FORMS if name in found.runs}
    return found


def _torch(graph: Graph, threads: int) -> dict[str, Callable[[], Run]]:
    def make(packed: bool) -> Run:
        torch = importlib.import_module("torch")
        side = importlib.import_module("torch_side")
        packing = importlib.import_module("torch_side.layers.walk").packing
        module = side.write(graph)

        def run(arrays: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
            torch.set_num_threads(threads)
            with torch.no_grad(), packing() if packed else contextlib.nullcontext():
                made = module(*(torch.from_numpy(array) for array in arrays))
            return [part.numpy() for part in (made if isinstance(made, tuple | list) else (made,))]

        return run

    return {"torch": lambda: make(False), "torch packed": lambda: make(True)}


def _onnx(graph: Graph, threads: int, folder: Path) -> dict[str, Callable[[], Run]]:
    def fused() -> Run:
        export = importlib.import_module("export")
        path = folder / "fused.onnx"
        if not path.exists():
            export.write(graph, path)
        return export.Session(path, "cpu", threads).run

    def int8() -> Run:
        fused()
        precision = importlib.import_module("export.precision")
        precision.write_precision(folder / "fused.onnx", folder / "int8.onnx", "int8")
        return importlib.import_module("export").Session(folder / "int8.onnx", "cpu", threads).run

    return {"fused": fused, "int8": int8}


class _Keras:
    """Forms that need a live Keras model, which is made once."""

    def __init__(self, graph: Graph, threads: int, folder: Path) -> None:
        self.graph, self.threads, self.folder = graph, threads, folder
        self._live: Any = None

    def makers(self) -> dict[str, Callable[[], Run]]:
        return {"tf2onnx": self.tf2onnx, "Keras predict": self.predict, "Keras call": self.call}

    @property
    def model(self) -> Any:
        """Written anew from the graph, so that a file of an older Keras means what it meant."""
        if self._live is None:
            self._live = importlib.import_module("keras_side").write(self.graph)
            tensorflow = importlib.import_module("tensorflow")
            with contextlib.suppress(RuntimeError):  # Too late where TensorFlow has run already.
                tensorflow.config.threading.set_intra_op_parallelism_threads(self.threads)
                tensorflow.config.threading.set_inter_op_parallelism_threads(self.threads)
        return self._live

    def tf2onnx(self) -> Run:
        export = importlib.import_module("export")
        export.write_tf2onnx(self.model, self.folder / "tf2onnx.onnx")
        return export.Session(self.folder / "tf2onnx.onnx", "cpu", self.threads).run

    def predict(self) -> Run:
        model = self.model

        def run(arrays: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
            made = model.predict(_packed(arrays), batch_size=len(arrays[0]), verbose=0)
            return made if isinstance(made, list) else [made]

        return run

    def call(self) -> Run:
        tensorflow = importlib.import_module("tensorflow")
        model = self.model
        compiled = tensorflow.function(lambda given: model(given, training=False), reduce_retracing=True)

        def run(arrays: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
            made = compiled(
                [tensorflow.constant(array) for array in arrays] if len(arrays) > 1 else arrays[0]
            )
            return [part.numpy() for part in (made if isinstance(made, list | tuple) else [made])]

        return run


def _packed(arrays: Sequence[np.ndarray]) -> Any:
    return list(arrays) if len(arrays) > 1 else arrays[0]
