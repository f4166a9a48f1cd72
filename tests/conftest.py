"""Environment of the whole suite; no framework is loaded here, so that the core's tests load none."""

import gc
import itertools
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from biport.compare.cases import CASES
from testing.cover import covering

# Building models takes longer than hypothesis expects of drawing an example.
_PATIENT = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
settings.register_profile("suite", max_examples=9, derandomize=True, **_PATIENT)
settings.register_profile("wide", max_examples=30, derandomize=True, **_PATIENT)
settings.register_profile("thorough", max_examples=400, print_blob=True, **_PATIENT)
settings.load_profile(os.environ.get("BIPORT_HYPOTHESIS", "suite"))


# Frameworks and tests are a million objects that stay to the end. To look for garbage among them takes a
# tenth of the suite's time, so that it waits until they are loaded, leaves them out, and is done more rarely.
gc.disable()


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 20)
    gc.enable()


@pytest.hookimpl(tryfirst=True)  # before marks are selected by
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the mark ``sweep`` to what ``@pytest.mark.cover(n)`` leaves over of a product of settings."""
    functions = [item for item in items if isinstance(item, pytest.Function)]
    for _, group in itertools.groupby(functions, key=lambda item: (item.path, item.originalname, item.cls)):
        product = list(group)
        marker = product[0].get_closest_marker("cover")
        if marker is None:
            continue
        (strength,) = marker.args
        # The settings of a table are the same objects in all of its product.
        cases = [{name: id(value) for name, value in item.callspec.params.items()} for item in product]
        chosen = set(covering(cases, strength))
        for index, item in enumerate(product):
            if index not in chosen:
                item.add_marker(pytest.mark.sweep)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """What frameworks draw by themselves, such as the weights of a new layer, is the same in every run."""
    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(0)
    if (keras := sys.modules.get("keras")) is not None:
        keras.utils.set_random_seed(0)


@pytest.fixture
def fewer_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter cases of every pattern, for tests of something else than numbers that drift."""
    for case, (N, T, patterns) in list(CASES.items()):
        monkeypatch.setitem(CASES, case, (N, min(T, 5), patterns))  # type: ignore[arg-type]
    # Were it as short as the others, it would be one of them again.
    monkeypatch.delitem(CASES, "long")  # type: ignore[arg-type]


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
