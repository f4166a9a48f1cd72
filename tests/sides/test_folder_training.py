"""A folder of plain PyTorch trains on as Keras would: a hundred steps of SGD in float64, side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import keras_side
import torch_side
from biport.graph import weights_by_path
from testing.keras_models import floats, randomize
from testing.models import every_mask

import keras  # isort: skip
from keras import layers  # isort: skip

STEPS, RATE = 100, 0.05


@pytest.mark.sweep
@pytest.mark.parametrize("masked", [False, True], ids=["unmasked", "masked"])
@pytest.mark.parametrize(
    "layer", [layers.LSTM, layers.GRU, layers.SimpleRNN], ids=lambda layer: layer.__name__
)
def test_a_folder_trains_as_keras_does(layer: type, masked: bool, tmp_path: Path) -> None:
    with floats("float64"):
        ids = keras.Input((None,), dtype="int32", name="ids")
        x = layers.Embedding(11, 4, mask_zero=masked)(ids)
        x = layers.Bidirectional(layer(3, return_sequences=True))(x)
        x = layer(3)(x)
        model = randomize(keras.Model(ids, layers.Dense(2)(x)))
        model.compile(keras.optimizers.SGD(RATE), "mean_squared_error")
        graph = keras_side.read(model)
        module = torch_side.load_folder(torch_side.write_folder(graph, tmp_path / "m")).train()
        optimizer = torch.optim.SGD([one for one in module.parameters() if one.requires_grad], RATE)
        (rows,) = every_mask(graph, 6, 5)
        wanted = np.random.default_rng(0).normal(size=(6, 2))
        for _ in range(STEPS):
            expected = model.train_on_batch(rows, wanted)
            optimizer.zero_grad()
            loss = (module(torch.tensor(rows)) - torch.tensor(wanted)).square().mean()
            loss.backward()
            optimizer.step()
            assert loss.item() == pytest.approx(float(expected), rel=1e-11)
        from safetensors.torch import save_file

        save_file(module.state_dict(), tmp_path / "m" / "model.safetensors")
        ours, theirs = (
            weights_by_path(one) for one in (torch_side.read_folder(tmp_path / "m"), keras_side.read(model))
        )
        assert ours.keys() == theirs.keys()
        for path, array in theirs.items():
            np.testing.assert_allclose(ours[path], array, atol=1e-12, err_msg=path)
