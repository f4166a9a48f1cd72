from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import biport.reference
import torch_side
from biport.ops import MERGE_MODES
from testing.cover import covering
from testing.torch_graphs import GENERATOR, worst
from torch_side.models import sentiment

IDS = GENERATOR(1).integers(1, 30, size=(5, 7))
IDS[1, :3] = IDS[2, 4:] = IDS[3] = IDS[4, ::2] = 0


PRODUCT = list(itertools.product(MERGE_MODES, (True, False), ((4,), (4, 3), (2, 5, 3)), (1, 3)))
SAMPLE = ("concat", True, (4, 3), 1)
PAIRS = [PRODUCT[index] for index in covering([dict(enumerate(one)) for one in PRODUCT], 2)]


@pytest.mark.parametrize(
    "merge, masked, units, classes",
    [SAMPLE, *(pytest.param(*one, marks=pytest.mark.sweep) for one in PAIRS if one != SAMPLE)],
)
def test_every_variant_is_read_written_and_filled(merge, masked, units, classes):
    settings = {"embedding_size": 6, "units": units, "merge": merge, "classes": classes, "masked": masked}
    torch.manual_seed(4)
    model = sentiment(30, **settings)

    graph = torch_side.read(model.double())
    written, other = torch_side.write(graph), sentiment(30, **settings).double()
    torch_side.load(other, graph)

    expected = biport.reference.run(graph, [IDS])
    assert expected[0].shape == (5, classes)
    for module in (model, written, other):
        assert worst(torch_side.run(module, [IDS]), expected) <= 1e-12
    assert all(torch.equal(one, two) for one, two in zip(model.parameters(), other.parameters(), strict=True))
    assert torch_side.read(written) == graph


def test_names_are_those_of_the_keras_twin():
    graph = torch_side.read(sentiment(30, 6, (4, 3), merge=None))

    assert [node.name for node in graph.nodes if node.name != "not_equal"] == [
        "embedding", "spatial_dropout", "bilstm_1", "merged_1", "bilstm_2", "merged_2", "dropout",
        "classifier",
    ]  # fmt: skip
    assert graph.inputs[0].name == "tokens"
    assert {node.masks for node in graph.nodes if node.name.startswith("bilstm")} == {("not_equal",)}


def test_the_same_seed_gives_the_same_weights_as_documented():
    torch.manual_seed(1)
    one = sentiment(30, 6, (4,))
    torch.manual_seed(1)
    two = sentiment(30, 6, (4,))

    assert torch_side.read(one) == torch_side.read(two)
    assert one.embedding.weight.abs().max() <= 0.05
    weights = torch_side.read(one)["bilstm_1"].op.weights()
    np.testing.assert_array_equal(weights["forward.bias_ih.f"], np.ones(4))
    assert not weights["forward.bias_ih.i"].any()
    recurrent = one.get_parameter("bilstm_1.weight_hh_l0")
    torch.testing.assert_close(recurrent.T @ recurrent, torch.eye(4))


def test_it_learns():
    torch.manual_seed(0)
    model = sentiment(30, 6, (5,), dropout=0.0)
    ids = torch.from_numpy(GENERATOR(2).integers(0, 30, size=(64, 8)))
    labels = (ids == 7).any(dim=1, keepdim=True).float()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    losses = []
    for _ in range(40):
        loss = torch.nn.functional.binary_cross_entropy(model(ids), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    assert losses[-1] < 0.2 * losses[0]
