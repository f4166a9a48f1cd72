"""Dense, dropout, concatenation, masks and pooling."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import biport.reference
import torch_side
from biport import ops
from biport.errors import InputError
from biport.graph import Graph, Node, Value
from biport.ops import ACTIVATIONS
from testing.torch_graphs import GENERATOR, MASKS, dense, error, mask, one
from torch_side import layers
from torch_side.layers.errors import LayerInputError


def x(*shape: int) -> np.ndarray:
    return GENERATOR(3).normal(scale=3, size=shape)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", [("N",), ("N", "T"), ("N", "T", 3)])
def test_dense_equals_the_oracle_over_any_number_of_dimensions(shape, activation, bias):
    value = Value("x", (*shape, 4), "float64")
    graph = Graph((value,), (Node("dense", dense(4, 5, activation, bias=bias), ("x",)),), ("dense",))
    sizes = {"N": 2, "T": 6}

    scale = 0.1 if activation == "exponential" else 1
    assert error(graph, [scale * x(*(sizes.get(str(dim), 3) for dim in shape), 4)]) <= 1e-12
    module = torch_side.write(graph)
    assert torch_side.read(module) == graph
    assert set(module.state_dict()) == {"dense.weight", *(["dense.bias"] if bias else [])}


@pytest.mark.parametrize("activation", sorted({*ACTIVATIONS} - {"exponential"}))
def test_dense_takes_large_numbers(activation):
    graph = Graph(
        (Value("x", ("N", 3), "float64"),), (Node("dense", dense(3, 2, activation), ("x",)),), ("dense",)
    )

    assert error(graph, [x(4, 3) * 1000]) <= 1e-9


@pytest.mark.parametrize("op", [ops.Dropout(rate=0.4), ops.SpatialDropout1D(rate=0.4)])
def test_dropout_is_nothing_at_inference_and_something_in_training(op):
    module = torch_side.write(one(op, 40, False))
    ones = torch.ones(3, 5, 40, dtype=torch.float64)

    assert torch.equal(module(ones), ones)
    trained = module.train()(ones)
    assert set(trained.unique().tolist()) == {0.0, 1 / 0.6}
    assert torch.equal(trained, trained[:, :1].expand_as(ones)) == isinstance(op, ops.SpatialDropout1D)
    assert torch_side.read(module)["layer"].op == op


@pytest.mark.parametrize("axis", [-1, 2, 1, -2])
def test_concatenate_equals_the_oracle(axis):
    on_time = axis in (1, -2)
    a, b = (
        Value("a", ("N", "T", 2), "float64"),
        Value("b", ("N", "S" if on_time else "T", 2 if on_time else 3), "float64"),
    )
    graph = Graph((a, b), (Node("joined", ops.Concatenate(axis=axis), ("a", "b")),), ("joined",))

    assert error(graph, [x(4, 5, 2), x(4, 7, 2) if on_time else x(4, 5, 3)]) == 0
    assert torch_side.read(torch_side.write(graph)) == graph


@pytest.mark.parametrize("join", [ops.LogicalAnd(), ops.LogicalOr()])
def test_masks_are_made_and_joined(join):
    ids = GENERATOR(4).integers(-2, 3, size=(4, 6))
    names = ("zero", "one", "minus")
    nodes = [
        Node(name, ops.NotEqual(value=value), ("ids",)) for name, value in zip(names, (0, 1, -2), strict=True)
    ]
    nodes += [Node("joined", join, names), Node("two", join, ("joined", "zero"))]
    graph = Graph((Value("ids", ("N", "T"), "int32"),), tuple(nodes), ("joined", "two", *names))

    module = torch_side.write(graph)

    for mine, yours in zip(torch_side.run(module, [ids]), biport.reference.run(graph, [ids]), strict=True):
        assert mine.dtype == bool
        np.testing.assert_array_equal(mine, yours)
    assert torch_side.read(module) == graph


@pytest.mark.parametrize("pattern", MASKS)
def test_average_equals_the_oracle_nan_included(pattern):
    valid = mask(pattern, 5, 6)
    graph = one(ops.GlobalAveragePooling1D(), 3, valid is not None)

    assert error(graph, [x(5, 6, 3)] + ([] if valid is None else [valid])) <= 1e-12
    assert torch_side.read(torch_side.write(graph)) == graph


def test_average_reads_nothing_under_the_mask_and_is_nan_over_nothing():
    layer = layers.GlobalAveragePooling1D()
    valid = torch.tensor([[True, False, True], [False, False, False]])
    values = torch.tensor([[[1.0], [float("nan")], [3.0]]]).expand(2, 3, 1)

    assert layer(values, valid)[0].item() == 2
    assert layer(values, valid)[1].isnan()
    assert layer(torch.zeros(2, 0, 3)).isnan().all()
    with pytest.raises(LayerInputError, match="mask"):
        layer(values, valid[:, :2])


def test_maximum_equals_the_oracle_and_is_refused_over_nothing():
    graph = one(ops.GlobalMaxPooling1D(), 3, False)
    module = torch_side.write(graph)

    assert error(graph, [x(4, 5, 3)]) == 0
    assert error(graph, [x(0, 5, 3)]) == 0
    assert torch_side.read(module) == graph
    with pytest.raises(InputError, match="T = 0"):
        torch_side.run(module, [x(2, 0, 3)])
