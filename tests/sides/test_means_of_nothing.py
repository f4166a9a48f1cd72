"""Behind a mean over no steps everything is NaN, in every form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import export
import keras_side
import torch_side
from biport import reference, verify
from biport.analysis.undefined import may_be_nan
from biport.app.export import export_model
from biport.compare.cases import random_cases
from testing.models import randomize

IDS = np.array([[1, 2, 0, 3], [0, 0, 0, 0], [3, 4, 5, 0]], "int32")
Layers = Callable[[Any, Any], Any]
BEHIND: dict[str, Layers] = {
    "LSTM": lambda mean, ids: layers.LSTM(3)(layers.RepeatVector(4)(mean)),
    "GRU of relu": lambda mean, ids: layers.GRU(3, activation="relu")(layers.RepeatVector(4)(mean)),
    "SimpleRNN of two directions": lambda mean, ids: layers.Bidirectional(
        layers.SimpleRNN(3, return_sequences=True)
    )(layers.RepeatVector(4)(mean)),
    "stack": lambda mean, ids: layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)])(
        layers.RepeatVector(4)(mean)
    ),
    "initial state": lambda mean, ids: layers.GRU(6)(
        layers.Embedding(9, 4, mask_zero=True)(ids), initial_state=mean
    ),
    "Dense of relu": lambda mean, ids: layers.Dense(1)(layers.Dense(40, activation="relu")(mean)),
    "convolution": lambda mean, ids: layers.Conv1D(3, 2, activation="relu")(layers.RepeatVector(4)(mean)),
    "one of several steps": lambda mean, ids: layers.GlobalMaxPooling1D()(
        layers.Concatenate(axis=1)([layers.Reshape((1, 6))(mean), layers.Embedding(9, 6)(ids)])
    ),
}


@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND)
def test_what_is_nan_in_keras_is_nan_everywhere(behind: Layers, tmp_path: Path) -> None:
    ids = layers.Input((4,), dtype="int32")
    mean = layers.GlobalAveragePooling1D()(layers.Embedding(9, 6, mask_zero=True)(ids))
    model = randomize(keras.Model(ids, behind(mean, ids)))
    wanted = np.asarray(model(IDS))
    assert np.isnan(wanted[1]).all()
    assert np.isfinite(wanted[[0, 2]]).all()
    graph = keras_side.read(model)
    assert graph.outputs[0] in may_be_nan(graph)
    for lowering in ("auto", "fused"):
        written = export.write(graph, tmp_path / "model.onnx", overwrite=True, lowering=lowering)
        (given,) = export.Session(tmp_path / "model.onnx", device="cpu").run([IDS])
        np.testing.assert_allclose(given, wanted, atol=2e-6)
        assert any("NaN" in note for note in written.notes) == ("Scan" in written.nodes)
    np.testing.assert_allclose(torch_side.run(torch_side.write(graph), [IDS])[0], wanted, atol=2e-6)
    np.testing.assert_allclose(reference.run(graph, [IDS])[0], wanted, atol=2e-6)


def of_a_mean() -> keras.Model:
    ids = layers.Input((None,), dtype="int32")
    mean = layers.GlobalAveragePooling1D()(layers.Embedding(9, 6, mask_zero=True)(ids))
    return randomize(keras.Model(ids, layers.Dense(2)(mean)))


@pytest.mark.sweep
def test_the_trial_of_an_export_has_rows_of_padding_alone(tmp_path: Path) -> None:
    """And whatever compares forms has, too."""
    graph = keras_side.read(of_a_mean())
    assert np.isnan(reference.run(graph, random_cases(graph)["all padding"])[0]).any()
    for precision in ("float16", "int8"):
        made = export_model(graph, tmp_path / f"{precision}.onnx", precision=precision)
        assert made.cost is not None
        assert made.cost.difference < 0.1
        assert 0.8 * made.cost.labels < made.cost.equal <= made.cost.labels < 224
        assert made.cost.undefined == 0


@pytest.mark.sweep
def test_so_has_that_of_the_other_route(tmp_path: Path) -> None:
    model = of_a_mean()
    graph = keras_side.read(model)
    assert export_model(model, tmp_path / "traced.onnx", route="tf2onnx").verified
    assert verify(model, torch_side.write(graph), tmp_path / "traced.onnx").ok


def test_where_no_mean_is_over_nothing() -> None:
    """A mean that every row has steps for, and what only stands beside one that has not."""
    ids = layers.Input((4,), dtype="int32")
    embedded = layers.Embedding(9, 6, mask_zero=True)(ids)
    beside = layers.LSTM(3)(embedded)
    plain = layers.GlobalAveragePooling1D()(layers.Embedding(9, 6)(ids))
    mean = layers.GlobalAveragePooling1D()(embedded)
    graph = keras_side.read(keras.Model(ids, [beside, plain, layers.Dense(2)(mean)]))
    assert [name in may_be_nan(graph) for name in graph.outputs] == [False, False, True]
