from __future__ import annotations

import numpy as np
import pytest
import torch

import torch_side
from biport.errors import InputError
from biport.graph import Graph, Node, Value
from testing.torch_graphs import GENERATOR, embedding, error


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

    with pytest.raises(InputError, match=rf"'ids'.*\[0, 7\), found {bad}"):
        torch_side.run(torch_side.write(graph()), [ids])


def test_ids_outside_of_a_table_of_any_module_are_an_input_error():
    with pytest.raises(InputError, match="ids outside of a table: index out of range"):
        torch_side.run(torch.nn.Sequential(torch.nn.Embedding(7, 3)), [np.array([[1, 9]])])


def test_the_table_is_torchs_own_and_read_back_with_keras_flag():
    module = torch_side.write(graph())

    assert type(module.get_submodule("embedding")) is torch.nn.Embedding
    assert torch_side.read(module) == graph()
