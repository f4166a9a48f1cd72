"""Modules as people write them, read from torch and written for every form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch

import keras_side
import torch_side
from biport.graph import Graph
from testing.torch_modules import CASES
from testing.torch_modules.cases import EXAMPLE
from testing.torch_modules.measure import (
    Outcome,
    call_live,
    compare,
    difference_of,
    measure,
    read,
    tensors,
    write,
)

pytestmark = pytest.mark.filterwarnings("ignore:two biases were added up:UserWarning")

SAMPLE = ("PackedSentiment", "IntentSlots", "BahdanauDecoder", "ResetHidden", "KeptHidden")
"""What `make test` reads: packed rows in time order, named arguments, attention, state on itself."""
NOT_IN_KERAS = ("CharLSTMTagger",)
"""Where a number of features is said in terms of rows, which Keras cannot know."""
TRAINED = ("SentimentLSTM", "NerLSTM", "StockLSTM", "CNNLSTM", "TeacherForced", "StackedResidual")


def graph_of(name: str) -> Graph:
    _, graph = read(CASES[name])
    assert isinstance(graph, Graph), graph
    return graph


def read_as_said(case: Any) -> tuple[torch.nn.Module, Graph | None]:
    """The module and its graph; no graph where the case says that it is refused, and it is."""
    module, graph = read(case)
    if case.refused is None:
        assert isinstance(graph, Graph), graph
        return module, graph
    assert isinstance(graph, Outcome)
    assert graph.kind == "refused"
    assert case.refused in graph.detail
    return module, None


@pytest.mark.parametrize("name", SAMPLE)
def test_a_sample(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    _, graph = read_as_said(case)
    if graph is None:
        return
    outcome = compare(case, write("onnx", graph, tmp_path))
    assert outcome.kind == "exact", outcome


@pytest.mark.sweep
@pytest.mark.parametrize("name", CASES)
def test_every_module(name: str) -> None:
    case = CASES[name]
    module, graph = read_as_said(case)
    if graph is None:
        return
    others = {form: outcome for form, outcome in measure(case, graph).items() if outcome.kind != "exact"}
    if name in NOT_IN_KERAS:
        assert others.pop("keras").kind == "refused"
    assert others == {}
    check_names(module, graph)
    keras.backend.clear_session()


def check_names(module: torch.nn.Module, graph: Graph) -> None:
    """Parts keep their names where the graph is written."""
    written = list(torch_side.write(graph).state_dict())
    shared: dict[torch.Tensor, list[str]] = {}
    for path, parameter in module.named_parameters(remove_duplicate=False):
        # The projections of several heads are one layer's.
        owner = path.rpartition(".")[0].removesuffix(".out_proj")
        shared.setdefault(parameter, []).append(owner)
    for owners in shared.values():
        assert any(key.startswith(f"{owner}.") or not owner for owner in owners for key in written), owners


@pytest.mark.sweep
@pytest.mark.parametrize("name", TRAINED)
def test_the_keras_model_trains_and_is_saved(name: str, tmp_path: Path) -> None:
    case, graph = CASES[name], graph_of(name)
    model = keras_side.write(graph)
    arrays = [x.numpy() for x in tensors(case, EXAMPLE)]
    wanted = call_live(case.build(), case.call(EXAMPLE))
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss="mse")
    targets = [np.zeros_like(y) for y in wanted]
    before = [weight.numpy().copy() for weight in model.trainable_variables]
    given, wished = (parts if len(parts) > 1 else parts[0] for parts in (arrays, targets))
    model.train_on_batch(given, wished)
    after = [weight.numpy() for weight in model.trainable_variables]
    assert all(np.isfinite(weight).all() for weight in after)
    assert any(not np.array_equal(one, two) for one, two in zip(before, after, strict=True))
    trained = keras_side.run(model, arrays, graph)
    model.save(tmp_path / "model.keras")
    again: Any = keras.models.load_model(tmp_path / "model.keras")
    assert difference_of(keras_side.run(again, arrays, graph), trained) == pytest.approx(0, abs=1e-6)
    assert difference_of(trained, wanted) != pytest.approx(0, abs=1e-6)
