"""Dtype policies: half precision is read with the weights as they are, quantisation is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import testing.frameworks  # noqa: F401  # isort: skip

import keras
import numpy as np
import pytest
from keras import layers, ops

import biport
import keras_side
import torch_side
from biport.errors import SettingsError, UnsupportedError
from biport.graph import weight_differences
from keras_side.policies import coarse_in
from testing.keras_models import randomize

MIXED = ("mixed_float16", "mixed_bfloat16")
PURE = ("float16", "bfloat16")
SLOW = pytest.mark.sweep
POLICIES = [MIXED[0], *(pytest.param(policy, marks=SLOW) for policy in (MIXED[1], PURE[0])), PURE[1]]


def tagger(policy: Any) -> keras.Model:
    """A masked model with a layer of every kind that has weights of its own, and operations between."""
    ids = keras.Input((None,), dtype="int32", name="ids")
    options: dict[str, Any] = {"dtype": policy}
    x = layers.Embedding(9, 4, mask_zero=True, **options)(ids)
    lstm = layers.LSTM(3, recurrent_initializer="glorot_uniform", return_sequences=True, **options)
    x = layers.Bidirectional(lstm, **options)(x)
    x = layers.LayerNormalization(**options)(x)
    y: Any = x * 0.5
    x = keras.ops.cast(y, y.dtype) + 0.25  # type: ignore[operator]
    x = layers.TimeDistributed(layers.Dense(2, "tanh", **options), **options)(x)
    x = layers.GlobalAveragePooling1D(**options)(x)
    return randomize(keras.Model(ids, layers.Activation("softmax", dtype="float32")(x), name="tagger"))


def weights_of(model: keras.Model) -> list[np.ndarray]:
    return [np.asarray(keras.ops.convert_to_numpy(variable)) for variable in model.weights]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_live_and_files_give_the_same_weights_bit_for_bit(policy: str, tmp_path: Path) -> None:
    model = tagger(policy)
    graph = keras_side.read(model)
    own = next(array for array in weights_of(model) if array.shape == (9, 4))
    table = graph["embedding" if "embedding" in {n.name for n in graph.nodes} else graph.nodes[0].name].op
    np.testing.assert_array_equal(next(iter(table.weights().values())), own.astype("float32"))
    assert own.dtype.name == (policy if policy in PURE else "float32")
    assert graph.origin["precision"] == policy.removeprefix("mixed_")
    assert policy.removeprefix("mixed_") in graph.origin["notes"]
    for suffix in (".keras", ".h5"):
        path = tmp_path / f"model{suffix}"
        model.save(path)
        assert keras_side.read(path).digest() == graph.digest()
        assert any("compute in float32" in note for note in keras_side.inspect(path).notes)


@SLOW
@pytest.mark.parametrize("policy", [MIXED[0], PURE[1]])
def test_what_half_precision_costs_the_source_is_said_and_nobody_is_judged_by_it(
    policy: str, fewer_steps: None
) -> None:
    model = tagger(policy)
    graph = keras_side.read(model)
    report = biport.verify(model, torch_side.write(graph))
    assert report.ok, report.table
    errors = {line.form: (line.error.maximum, line.allowed) for line in report.lines}
    assert errors["keras in float32"][0] < 2e-6
    assert 1e-5 < errors["keras"][0] <= errors["keras"][1] < 0.5
    assert errors["torch"][1] < 1e-4
    dtype = policy.removeprefix("mixed_")
    assert any(f"keras computes in {dtype}, which costs it" in note for note in report.notes)
    wrong = torch_side.write(graph)
    list(wrong.parameters())[-1].data += 1e-3
    assert biport.verify(model, wrong).at_fault == ["torch"]


@SLOW
def test_a_source_that_is_wrong_by_more_than_half_precision_is_found(fewer_steps: None) -> None:
    model = tagger("mixed_float16")
    graph = keras_side.read(model)
    model.set_weights([array * 1.5 for array in model.get_weights()])
    assert "keras" in biport.verify(graph, model).at_fault


@SLOW
def test_constants_of_normalisation_and_maps_of_policies() -> None:
    policies = {"out": keras.DTypePolicy("float32")}
    half = keras.dtype_policies.DTypePolicyMap(keras.DTypePolicy("mixed_float16"), policies)
    x = keras.Input((None, 3))
    y = layers.Rescaling(0.5, offset=0.25, dtype="mixed_float16")(x)
    scaled = layers.Normalization(mean=[0.5, 1.0, 2.0], variance=[1.0, 4.0, 2.0], dtype="float16")(y)
    model = keras.Model(x, layers.Dense(2, dtype=half, name="out")(scaled))
    graph = keras_side.read(randomize(model))
    assert graph.origin["precision"] == "float16"
    report = biport.verify(model, torch_side.write(graph))
    assert report.ok, report.table


@pytest.mark.parametrize("mode", ["int8", pytest.param("float8", marks=SLOW)])
def test_quantisation_is_refused_by_name(mode: str, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2, name="it")])
    model.get_layer("it").quantize(mode)
    model.save(tmp_path / "model.keras")
    for source in (model, tmp_path / "model.keras"):
        with pytest.raises(UnsupportedError, match=rf"'it'.*dtype='{mode}'.*before quantize\(\)"):
            keras_side.read(source)


def test_lora_is_refused_by_name(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2, name="it")])
    model.layers[0].enable_lora(1)
    model.save(tmp_path / "model.keras")
    for source in (model, tmp_path / "model.keras"):
        with pytest.raises(UnsupportedError, match=r"'it'.*lora_rank=1.*without enable_lora"):
            keras_side.read(source)


def test_a_model_of_half_precision_is_not_filled_unasked() -> None:
    inside = keras.Sequential([keras.Input((3,)), layers.Dense(2, name="it")])
    graph = keras_side.read(randomize(inside))
    target = keras.Sequential([keras.Input((3,)), layers.Dense(2, name="it", dtype="mixed_bfloat16")])
    with pytest.raises(SettingsError, match="'it': dtype is 'mixed_bfloat16', the graph's 'float32'"):
        keras_side.load(target, graph)
    keras_side.load(target, graph, settings="ignore")
    assert not weight_differences(keras_side.read(target), graph)
    keras_side.load(target, keras_side.read(target))


def test_policies_of_other_keras_versions_are_known_by_their_names() -> None:
    said = {"class_name": "Policy", "config": {"name": "mixed_float16"}}
    layer = {"config": {"name": "dense", "dtype": said}}
    cast = {"module": "keras.src.ops.core", "config": {"name": "cast", "dtype": "bfloat16"}}
    assert coarse_in({"layers": [layer, cast]}) == ["float16"]


def test_what_half_precision_costs_a_small_model() -> None:
    x = keras.Input((3,), name="x")
    y = layers.Dense(2, "tanh", dtype="mixed_float16")(layers.Lambda(ops.square, dtype="mixed_float16")(x))
    model = randomize(keras.Model(x, y))
    graph = keras_side.read(model)
    report = biport.verify(model, graph, inputs=[np.random.default_rng(0).normal(size=(4, 3)).astype("f4")])
    assert report.ok, report.table
    errors = {line.form: line.error.maximum for line in report.lines}
    assert errors["keras in float32"] < 1e-6 < 1e-5 < errors["keras"]
    assert model.layers[-1].compute_dtype == "float16"


def test_a_source_whose_numbers_leave_half_precision_is_neither_same_nor_different() -> None:
    x = keras.Input((3,), name="x")
    model = keras.Model(x, layers.Rescaling(1e6, dtype="mixed_float16")(x))
    report = biport.verify(model, keras_side.read(model), inputs=[np.ones((2, 3), "float32")])
    assert [str(line.verdict) for line in report.lines] == ["same", "ill-conditioned", "same"], report.table
    assert any("makes NaN or infinity of its numbers" in note for note in report.notes)
