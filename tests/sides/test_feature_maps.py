"""Published models with feature maps in front of recurrence: read from everywhere, the same in every form."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import export
import keras_side
import torch_side
from biport import reference, verify
from biport.app.forms import Form, folder_form, open_form, torch_form
from biport.compare.tolerance import Verdict
from biport.errors import InputError
from biport.graph import Graph
from biport.ops import INTEGERS
from testing.image_models import IMAGE_MODELS, KERAS_3, built
from testing.torch_modules import CASES, images
from testing.torch_modules.cases import EXAMPLE, OTHERS
from testing.torch_modules.measure import tensors

FEW = ("captcha",)
"""What `make test` reads; the others are swept."""
FEW_MODULES: tuple[str, ...] = ()
SIZES = ((3, 9), (2, 14))
"""N, and what every size is that varies."""
MODULES = [name for name in CASES if hasattr(images, name.partition("_")[0])]


def chosen(names: Sequence[str], few: Sequence[str]) -> list[Any]:
    return [pytest.param(name, marks=() if name in few else pytest.mark.sweep) for name in names]


def inputs_of(graph: Graph, N: int, size: int) -> list[np.ndarray]:
    """Images, films or sounds of which each row has its own brightness, and ids."""
    rng = np.random.default_rng(3)
    arrays = []
    for value in graph.inputs:
        shape = (N, *(dim if isinstance(dim, int) else size for dim in value.shape[1:]))
        if value.dtype in INTEGERS:
            arrays.append(rng.integers(1, 11, shape).astype(value.dtype))
        else:
            brightness = rng.normal(size=(N, *(1 for _ in shape[1:])))
            arrays.append((rng.normal(size=shape) + brightness).astype(value.dtype))
    return arrays


def forms_of(graph: Graph, folder: Path) -> list[Form]:
    """Everything that is written of a graph, the plain PyTorch as it stands in its folder."""
    module = torch_side.write(graph)
    code = torch_side.write_folder(graph, folder / "torch")
    saved = keras_side.save(graph, folder / "rewritten.keras")
    export.write(graph, folder / "model.onnx")
    return [open_form(module), folder_form(code, graph), open_form(saved), open_form(folder / "model.onnx")]


def check_same(*forms: Any, inputs: Sequence[np.ndarray]) -> None:
    report = verify(*forms, inputs=inputs, float64=True)
    assert report.verdict is Verdict.SAME, report.table


@pytest.mark.parametrize("name", chosen([*IMAGE_MODELS], FEW))
def test_a_model_of_keras(name: str, tmp_path: Path) -> None:
    model = built(name, keras)
    graph = keras_side.read(model)
    for suffix in ("keras", "h5"):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*HDF5.*")
            model.save(tmp_path / f"model.{suffix}")
        assert keras_side.read(tmp_path / f"model.{suffix}") == graph
    assert torch_side.read(torch_side.write(graph)) == graph
    forms = [open_form(model), *forms_of(graph, tmp_path)]
    for N, size in SIZES:
        check_same(*forms, inputs=inputs_of(graph, N, size))


@pytest.mark.parametrize("name", chosen([name for name in IMAGE_MODELS if name not in KERAS_3], FEW))
def test_a_model_of_keras_2(name: str, tmp_path: Path) -> None:
    """Its file means what Keras 2 computed."""
    tf_keras = pytest.importorskip("tf_keras")
    model = built(name, tf_keras)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You are saving your model as an HDF5 file")
        model.save(tmp_path / "model.h5")
    graph = keras_side.read(tmp_path / "model.h5")
    assert str(graph.origin["version"]).startswith("2.")
    for N, size in SIZES:
        arrays = inputs_of(graph, N, size)
        live = model.predict(arrays if len(arrays) > 1 else arrays[0], verbose=0)
        (exact,) = reference.run(graph, arrays, "float64")
        np.testing.assert_allclose(live, exact, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore:two biases were added up:UserWarning")
@pytest.mark.filterwarnings("ignore:FramesInALoop. axis 1 of x_3d is fixed at 5:UserWarning")
@pytest.mark.parametrize("name", chosen(MODULES, FEW_MODULES))
def test_a_module_of_torch(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    module, example = case.build(), case.call(EXAMPLE)
    graph = torch_side.read(module, example)
    forms = [torch_form("module", module, graph, example), *forms_of(graph, tmp_path)]
    for sizes in OTHERS:
        check_same(*forms, inputs=[tensor.numpy() for tensor in tensors(case, sizes)])


def test_rows_that_are_no_image_of_the_model(tmp_path: Path) -> None:
    """No side of an image is a length that could be padded or cut."""
    export.write(keras_side.read(built("captcha", keras)), tmp_path / "model.onnx", vectors=False)
    session = export.Session(tmp_path / "model.onnx", "cpu")
    for shape in ((12, 20, 1), (20, 12, 3), (2, 2, 1)):
        with pytest.raises(InputError, match=r"should be one row of float32 \(N, 20, 12, 1\), found shape"):
            list(session.predict([np.zeros(shape, "float32")]))


@pytest.mark.sweep
def test_what_tensorflow_has_no_kernel_of_float64_for_is_no_difference() -> None:
    layers: Any = keras.layers
    film = keras.Input((4, 6, 5, 2))
    steps = layers.Reshape((2, -1))(layers.MaxPooling3D(2)(film))
    model = keras.Model(film, layers.LSTM(3)(steps))
    report = verify(model, torch_side.write(keras_side.read(model)), float64=True)
    assert report.verdict is Verdict.SAME
    assert any("MaxPooling3D: dtype='float64'" in note for note in report.notes)
