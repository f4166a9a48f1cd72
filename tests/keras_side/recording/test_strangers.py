"""Code that nobody wrote for biport: layers, cells, Lambdas and models as tutorials have them.

Each is read live and held against the model over other numbers of rows and steps and under every pattern of
mask; what is written of it in every form is run too.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

import export
import keras_side
import torch_side
from biport import bundle, verify
from biport.app.forms import keras_form
from biport.compare.tolerance import Verdict
from biport.errors import UnsupportedError
from testing.custom_models import IDS, REFUSED, STRANGERS, Stranger
from testing.models import every_mask, randomize

OF_EVERY_DAY = {
    "additive attention, keras.ops",
    "layer-normalised LSTM",
    "subclassed BiLSTM classifier",
    "a number kept on the layer",
}
"""The commonest of each kind; the others are swept."""

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not support masking.*", "ignore:.*using a softmax over axis.*"
)


def listed(strangers: list[Stranger]) -> list[Any]:
    return [
        pytest.param(one, id=one.name, marks=() if one.name in OF_EVERY_DAY else pytest.mark.sweep)
        for one in strangers
    ]


def made(stranger: Stranger) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras', of how they are written
        return randomize(stranger.make())


@pytest.mark.parametrize("stranger", listed(STRANGERS))
def test_it_is_the_same_everywhere(stranger: Stranger, tmp_path: Path, fewer_steps: None) -> None:
    model = made(stranger)
    graph = keras_side.read(model)
    form = keras_form("keras", model, graph)
    # Of other numbers of rows and steps than it was read with.
    other = verify(form, graph, inputs=every_mask(graph, 5, 4, seed=1))
    assert other.verdict is Verdict.SAME, other.table

    module, written = torch_side.write(graph), keras_side.write(graph)
    assert torch_side.read(module) == graph
    assert bundle.read(bundle.write(graph, tmp_path / "bundle")) == graph
    export.write(graph, tmp_path / "model.onnx", vectors=False)
    forms = [module, tmp_path / "model.onnx", keras_side.read(written)]
    # Not so their weights by name: constants of what is recorded are numbered anew when it is read again.
    for report in (
        verify(form, written, *forms, inputs=every_mask(graph), float64=True),
        verify(graph, *forms),
    ):
        assert report.verdict is Verdict.SAME, f"{graph}\n{report.table}"


@pytest.mark.parametrize("stranger", listed(REFUSED))
def test_it_is_refused_by_name(stranger: Stranger) -> None:
    model = made(stranger)
    with pytest.raises(UnsupportedError, match=stranger.refused):
        keras_side.read(model, example=IDS if type(model).__name__ == stranger.refused else None)


def test_there_are_strangers_enough_of_every_kind() -> None:
    names = [one.name for one in (*STRANGERS, *REFUSED)]
    assert len(names) == len(set(names)) > 80
    assert set(names) >= OF_EVERY_DAY
