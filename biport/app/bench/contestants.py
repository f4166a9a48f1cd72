"""The forms of a model that take part, each a function from inputs to outputs."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from biport.app.forms import Form, Run, keras_form, onnx_form, torch_form
from biport.errors import BiportError, InputError
from biport.graph import Graph

FORMS = ("fused", "int8", "tf2onnx", "torch", "Keras predict", "Keras call")
"""In the order of the table; ratios are to the first that is there."""


@dataclass
class Contestants:
    """Who takes part, and why others do not.

    Args:
        forms: by name.
        missing: by name why a form is not there.
    """

    forms: dict[str, Form] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def gather(graph: Graph, names: Sequence[str], threads: int, folder: Path) -> Contestants:
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
    contestants = Contestants()
    makers = _Makers(graph, threads, folder).by_name()
    # torch before tensorflow: the other order has been seen to crash.
    for name in sorted(names, key=lambda name: (not name.startswith("torch"), FORMS.index(name))):
        try:
            contestants.forms[name] = makers[name]()
        except (BiportError, ImportError) as error:
            contestants.missing[name] = str(error).splitlines()[0]
    contestants.forms = {name: contestants.forms[name] for name in FORMS if name in contestants.forms}
    return contestants


class _Makers:
    """Each form of one model; the live Keras model and the fused file are made once."""

    def __init__(self, graph: Graph, threads: int, folder: Path) -> None:
        self.graph, self.threads, self.folder = graph, threads, folder
        self._live: Any = None

    def by_name(self) -> dict[str, Callable[[], Form]]:
        """What makes each of `FORMS`."""
        makers = (self.fused, self.int8, self.tf2onnx, self.torch, self.predict, self.call)
        return dict(zip(FORMS, makers, strict=True))

    def fused(self) -> Form:
        import export

        path = self.folder / "fused.onnx"
        if not path.exists():
            export.write(self.graph, path, vectors=False)
        return self._opened("fused", path)

    def int8(self) -> Form:
        from export.deploy.precision import write_precision

        self.fused()
        write_precision(self.folder / "fused.onnx", self.folder / "int8.onnx", "int8")
        return self._opened("int8", self.folder / "int8.onnx")

    def tf2onnx(self) -> Form:
        import export

        export.write_tf2onnx(self._model(), self.folder / "tf2onnx.onnx")
        return self._opened("tf2onnx", self.folder / "tf2onnx.onnx")

    def _opened(self, name: str, path: Path) -> Form:
        import export

        return onnx_form(name, export.Session(path, "cpu", self.threads))

    def torch(self) -> Form:
        import torch

        import torch_side

        module = torch_side.write(self.graph)

        def run(arrays: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
            torch.set_num_threads(self.threads)
            with torch.no_grad():
                outputs = module(*(torch.from_numpy(array) for array in arrays))
            return [part.numpy() for part in (outputs if isinstance(outputs, tuple | list) else (outputs,))]

        form = torch_form("torch", module, self.graph)
        # The bare call, as a user's own program makes it: inputs are not looked at first.
        return dataclasses.replace(form, run=run)

    def _model(self) -> Any:
        """Written anew from the graph, so that a file of an older Keras means what it meant."""
        if self._live is None:
            import keras_side

            self._live = keras_side.write(self.graph)
            import tensorflow

            with contextlib.suppress(RuntimeError):  # Too late where TensorFlow has run already.
                tensorflow.config.threading.set_intra_op_parallelism_threads(self.threads)
                tensorflow.config.threading.set_inter_op_parallelism_threads(self.threads)
        return self._live

    def _keras(self, name: str, run: Run) -> Form:
        return dataclasses.replace(keras_form(name, self._model(), self.graph), run=run)

    def predict(self) -> Form:
        model = self._model()

        def run(arrays: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
            inputs: Any = list(arrays) if len(arrays) > 1 else arrays[0]
            outputs = model.predict(inputs, batch_size=len(arrays[0]), verbose=0)
            return outputs if isinstance(outputs, list) else [outputs]

        return self._keras("Keras predict", run)

    def call(self) -> Form:
        import tensorflow

        model = self._model()
        compiled = tensorflow.function(lambda given: model(given, training=False), reduce_retracing=True)

        def run(arrays: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
            tensors = [tensorflow.constant(array) for array in arrays]
            outputs = compiled(tensors if len(tensors) > 1 else tensors[0])
            return [part.numpy() for part in (outputs if isinstance(outputs, list | tuple) else [outputs])]

        return self._keras("Keras call", run)
