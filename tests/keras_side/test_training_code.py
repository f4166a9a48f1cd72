"""Code that acts while a model is trained never stops a port: live, in archives and in HDF5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import testing.frameworks  # noqa: F401  # isort: skip

import keras
import numpy as np
import pytest
from keras import layers

import keras_side
from biport.errors import UnsupportedError
from biport.graph import unported

ops: Any = keras.ops


@keras.saving.register_keras_serializable("training")
class Quarter(keras.initializers.Initializer):
    """A registered class of somebody's own."""

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        return ops.full(shape, 0.25, dtype or "float32")


@keras.saving.register_keras_serializable("training")
def eighth(shape: Any, dtype: Any = None) -> Any:
    """A registered function."""
    return ops.full(shape, 0.125, dtype or "float32")


class Clipped(keras.constraints.Constraint):
    """A class that nobody registered."""

    def __call__(self, w: Any) -> Any:
        return ops.clip(w, -1, 1)


@keras.saving.register_keras_serializable("training")
class Summed(keras.regularizers.Regularizer):
    """A regulariser that is no penalty of Keras'."""

    def __call__(self, x: Any) -> Any:
        return 0.1 * ops.sum(x)

    def get_config(self) -> dict:
        return {}


def total(x: Any) -> Any:
    """A function that nobody registered."""
    return ops.sum(x)


def loss(wanted: Any, given: Any) -> Any:
    """A loss that nobody registered."""
    return ops.mean(ops.abs(wanted - given))


class Metric(keras.metrics.Mean):
    """A metric of somebody's own, with a state."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:  # type: ignore[override]
        return super().update_state(ops.abs(y_true - y_pred))


class Optimizer(keras.optimizers.SGD):
    """An optimiser of somebody's own, with a state."""


def trained() -> keras.Model:
    x = keras.Input((None, 3))
    quarter: Any = Quarter()
    y: Any = layers.LSTM(
        4,
        kernel_initializer=quarter,
        recurrent_constraint=Clipped(),
        bias_regularizer=Summed(),
        kernel_regularizer=total,
        recurrent_dropout=0.3,
        return_sequences=True,
        name="lstm",
    )(x)
    start: Any = eighth
    gru = layers.GRU(3, kernel_initializer=start, activity_regularizer=Summed(), recurrent_dropout=0.1)
    y = layers.Bidirectional(gru, name="bi")(y)
    y = layers.Dense(2, bias_constraint=Clipped(), activity_regularizer=total, name="out")(y)
    model = keras.Model(x, layers.Activation("relu", activity_regularizer=Summed(), name="act")(y))
    model.compile(Optimizer(0.1, momentum=0.5), loss=loss, metrics=[Metric(name="metric")], run_eagerly=True)
    model.train_on_batch(np.ones((2, 4, 3), "float32"), np.ones((2, 2), "float32"))
    return model


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_code_of_training_never_stops_a_port(tmp_path: Path) -> None:
    model = trained()
    graph = keras_side.read(model)
    weights = {array.tobytes() for own in graph.weights().values() for array in own.values()}
    assert np.asarray(model.get_layer("out").kernel).T.tobytes() in weights
    said = unported(graph)
    assert "lstm: recurrent_constraint: Clipped()" in said
    assert "lstm: kernel_regularizer: total" in said
    assert "bi.backward: activity_regularizer: Summed()" in said
    for suffix in (".keras", ".h5"):
        model.save(tmp_path / f"model{suffix}")
        assert keras_side.read(tmp_path / f"model{suffix}").digest() == graph.digest()


def average(x: Any, axis: int = 1) -> Any:
    """A function of a Lambda."""
    return ops.mean(x, axis=axis)


def swish_like(x: Any) -> Any:
    """An activation of somebody's own."""
    return x * ops.sigmoid(x)


class Opaque(layers.Layer):
    """A layer of somebody's own."""

    def __init__(self, units: int = 4, **options: Any) -> None:
        super().__init__(**options)
        self.units = units

    def call(self, x: Any) -> Any:
        return x * 2

    def get_config(self) -> dict:
        return {**super().get_config(), "units": self.units}


class Own(keras.Model):
    """A model whose ``call`` may be anything."""


REFUSED = {
    "lambda": (
        lambda x: layers.Lambda(lambda t, axis: ops.sum(t, axis), (3,), arguments={"axis": 1}, name="it")(x),
        ["'it'", "bytecode, which was not run", "{'axis': 1}", "its output is (3,)"],
    ),
    "function": (lambda x: layers.Lambda(average, (3,), name="it")(x), ["'it'", "a function 'average'"]),
    "class": (lambda x: Opaque(name="it")(x), ["'it'", "Opaque", "units=4"]),
    "activation": (lambda x: layers.Dense(2, swish_like, name="it")(x), ["'it'", "activation='swish_like'"]),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_custom_code_in_a_file_is_told_with_what_is_known_and_what_to_do(case: str, tmp_path: Path) -> None:
    build, words = REFUSED[case]
    x = keras.Input((7, 3))
    model = keras.Model(x, build(x))
    for suffix in (".keras", ".h5"):
        model.save(tmp_path / f"model{suffix}")
        with pytest.raises(UnsupportedError) as refused:
            keras_side.read(tmp_path / f"model{suffix}")
        for word in (*words, "--code layers.py", "--extend readers.py", "biport layers"):
            assert word in str(refused.value), (suffix, word)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_a_model_of_ones_own_class_is_told_what_to_do(tmp_path: Path) -> None:
    x = keras.Input((3,))
    for suffix in (".keras", ".h5"):
        Own(x, layers.Dense(2)(x)).save(tmp_path / f"own{suffix}")
        with pytest.raises(UnsupportedError, match=r"class='Own'.*(?s:.)*--code layers.py"):
            keras_side.read(tmp_path / f"own{suffix}")
