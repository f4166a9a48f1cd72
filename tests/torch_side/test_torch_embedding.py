from __future__ import annotations

import numpy as np
import pytest
import torch
from build_torch import GENERATOR, embedding, error

import torch_side
from biport.errors import InputError
from biport.graph import Graph, Node, Value
from torch_side import layers
from torch_side.layers.errors import LayerInputError


def graph(V: int = 7, O: int = 3, dtype: str = "int64") -> Graph:
    node = Node("embedding", embedding(V, O, mask_zero=True), ("ids",))
    return Graph((Value("ids", ("N", "T"), dtype),), (node,), ("embedding",))


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize("shape", [(4, 5), (1, 1), (0, 3), (2, 0)])
def test_equals_the_oracle(dtype, shape):
    assert error(graph(dtype=dtype), [GENERATOR(1).integers(0, 7, size=shape)]) == 0


@pytest.mark.parametrize("bad", [-1, 7, 1000])
def test_ids_outside_of_the_table_are_named(bad):
    ids = np.array([[1, 2], [bad, 0]])

    with pytest.raises(LayerInputError, match=rf"\[0, 7\), found .*{bad}"):
        layers.Embedding(7, 3)(torch.from_numpy(ids))
    with pytest.raises(InputError, match=rf"'ids'.*\[0, 7\), found {bad}"):
        torch_side.run(torch_side.write(graph()), [ids])


@pytest.mark.parametrize("ids", [torch.ones(1, 2), torch.ones(0, 2), torch.ones(1, 2, dtype=torch.bool)])
def test_ids_that_are_no_integers_are_refused(ids):
    with pytest.raises(LayerInputError, match="int32 or int64, found"):
        layers.Embedding(7, 3)(ids)


def test_errors_of_another_cause_are_left_alone():
    layer = layers.Embedding(7, 3)
    layer.weight = torch.nn.Parameter(torch.zeros(3))

    with pytest.raises(RuntimeError, match="2-D"):
        layer(torch.zeros(1, 2, dtype=torch.int64))


def test_the_flag_of_keras_is_kept():
    module = torch_side.write(graph())

    assert module.get_submodule("embedding").mask_zero
    assert "mask_zero=True" in repr(module)
    assert torch_side.read(module) == graph()
