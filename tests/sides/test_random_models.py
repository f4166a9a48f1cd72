"""Keras models put together at random are the same everywhere.

Embeddings with and without masks, stacks of recurrent layers with every setting, sequences joined along
features and along time, pooling, nested models, layers called twice.
"""

import random
import warnings

import numpy as np
import pytest
import torch

import export
import keras_side
import torch_side
from biport import verify
from biport.compare import Verdict
from biport.errors import UnsupportedError

ROWS = 9


def recurrent(layers, rng: random.Random, sequences: bool):
    """A layer of any setting, LSTM or Bidirectional."""
    units, settings = rng.randint(1, 4), {"return_sequences": sequences, "use_bias": rng.random() < 0.8}
    if rng.random() < 0.4:
        settings |= {"go_backwards": rng.random() < 0.4, "zero_output_for_mask": rng.random() < 0.4}
        return layers.LSTM(units, **settings)
    merge = rng.choice(["concat", "sum", "mul", "ave", None])
    return layers.Bidirectional(layers.LSTM(units, **settings), merge_mode=merge)


def sequence_step(keras, rng: random.Random, x):
    """One more layer on ``(N, T, I)``, which stays a sequence."""
    layers = keras.layers
    match rng.choice(
        ["recurrent"] * 4 + ["dense", "dropout", "spatial", "twice", "nested", "features", "time"]
    ):
        case "dense":
            return layers.Dense(rng.randint(2, 5), activation=rng.choice(["tanh", "relu", "softmax"]))(x)
        case "dropout":
            return layers.Dropout(0.3)(x)
        case "spatial":
            return layers.SpatialDropout1D(0.3)(x)
        case "twice":
            layer = layers.LSTM(x.shape[-1], return_sequences=True)
            return layer(layer(x))
        case "nested":
            inner = keras.Input((None, x.shape[-1]))
            made = layers.LSTM(rng.randint(1, 4), return_sequences=True)(inner)
            return keras.Model(inner, layers.Dense(3)(made))(x)
        case "features":
            return layers.Concatenate()([x, layers.LSTM(2, return_sequences=True)(x)])
        case "time":
            return layers.Concatenate(axis=1)([x, layers.Dense(x.shape[-1])(x)])
    made = recurrent(layers, rng, True)(x)
    return layers.Concatenate()(made) if isinstance(made, list | tuple) else made


def random_model(seed: int):
    """A functional model of one or two inputs and one or two outputs, its weights drawn anew."""
    import keras

    layers, rng = keras.layers, random.Random(seed)
    inputs, sequences = [], []
    for number in range(rng.choice([1, 1, 2])):
        ids = keras.Input((None,), dtype=rng.choice(["int32", "int64", "float32"]), name=f"ids_{number}")
        inputs.append(ids)
        sequences.append(layers.Embedding(ROWS, rng.randint(1, 4), mask_zero=rng.random() < 0.7)(ids))
    outputs = []
    for x in sequences:
        for _ in range(rng.randint(0, 3)):
            x = sequence_step(keras, rng, x)
        match rng.choice(["recurrent", "recurrent", "max", "average", "sequence"]):
            case "max":
                x = layers.GlobalMaxPooling1D()(x)
            case "average":
                x = layers.GlobalAveragePooling1D()(x)
            case "recurrent":
                x = recurrent(layers, rng, False)(x)
        outputs.append(layers.Concatenate()(x) if isinstance(x, list | tuple) else x)
    if len(outputs) == 2 and all(len(x.shape) == 2 for x in outputs):
        outputs = [layers.Concatenate()(outputs)]
    outputs = [layers.Dense(2, activation=rng.choice(["sigmoid", "linear"]))(x) for x in outputs]
    model = keras.Model(inputs, outputs)
    numbers = np.random.default_rng(seed)
    model.set_weights([(numbers.normal(size=a.shape) * 0.6).astype("float32") for a in model.get_weights()])
    return model


def check(seed: int, folder, tf2onnx: bool = False) -> bool:
    """Whether the model was ported; a refusal must be a typed one."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not support masking.*")
        model = random_model(seed)
    model.save(folder / "model.keras")
    try:
        graph = keras_side.read(model)
    except UnsupportedError:
        return False
    assert keras_side.read(folder / "model.keras") == graph
    module = torch_side.write(graph)
    assert torch_side.read(module) == graph
    export.write(graph, folder / "fused.onnx", overwrite=True)
    sources = [model, module, keras_side.write(graph), folder / "fused.onnx"]
    if tf2onnx:
        export.write_tf2onnx(model, folder / "tf2onnx.onnx", overwrite=True)
        sources.append(folder / "tf2onnx.onnx")
    report = verify(*sources, seed=seed, float64=True)
    assert report.verdict is Verdict.SAME, f"seed {seed}\n{graph}\n{report.table}"
    assert not any(report.weights.values())
    return True


@pytest.mark.parametrize("first", range(0, 24, 6))
def test_random_models_are_the_same_everywhere(first: int, tmp_path) -> None:
    torch.manual_seed(0)
    ported = [check(seed, tmp_path, tf2onnx=seed % 6 == 0) for seed in range(first, first + 6)]
    assert sum(ported) >= 3
