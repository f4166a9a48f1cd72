"""Environment of the whole suite."""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from pathlib import Path

import numpy as np
import pytest

# Importing torch after tensorflow has been seen to crash.
import torch

torch.set_num_threads(2)


@pytest.fixture(scope="session")
def keras_model():
    """A trained-scale masked sentiment model of two BiLSTM layers."""
    from keras_side.models.sentiment import sentiment

    model = sentiment(23, embedding_size=5, units=(4, 3), classes=1)
    rng = np.random.default_rng(0)
    model.set_weights(
        [(rng.normal(size=array.shape) * 0.6).astype("float32") for array in model.get_weights()]
    )
    return model


@pytest.fixture(scope="session")
def keras_file(keras_model, tmp_path_factory) -> Path:
    """`keras_model` saved by Keras."""
    path = tmp_path_factory.mktemp("keras") / "model.keras"
    keras_model.save(path)
    return path
