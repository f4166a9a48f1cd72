"""What tensor operations say of their outputs' shapes and dtypes is what the reference makes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biport import reference
from biport.dims import numbers
from biport.graph import Graph
from biport.rewrite.simplify import simplify
from testing.operation_graphs import inputs_of, operation_graphs

SIZES = ((2, 4, 3), (3, 1, 5), (0, 2, 1))


@given(operation_graphs(), st.integers(0, 2**16))
@settings(max_examples=25)
def test_shapes_and_dtypes_are_those_of_the_arrays(graph: Graph, seed: int) -> None:
    check(graph, seed)


@pytest.mark.sweep
@given(operation_graphs(most=16), st.integers(0, 2**16))
@settings(max_examples=1500)
def test_shapes_and_dtypes_of_many(graph: Graph, seed: int) -> None:
    check(graph, seed)


def check(graph: Graph, seed: int) -> None:
    small = simplify(graph)
    for N, T, U in SIZES:
        arrays = inputs_of(graph, N, T, U, seed)
        values = reference.trace(graph, arrays, "float32")
        for name, tensor in graph.tensors.items():
            shape = tuple(
                dim if isinstance(dim, int) else dim.at({"N": N, "T": T, "U": U}) for dim in tensor.shape
            )
            assert values[name].shape == numbers(shape), f"{name} of {graph}"
            assert values[name].dtype.name == tensor.dtype, f"{name} of {graph}"
        results = reference.run(graph, arrays)
        for wanted, given_ in zip(results, reference.run(small, arrays), strict=True):
            np.testing.assert_allclose(given_, wanted, rtol=1e-12, atol=1e-12, err_msg=f"{graph}\n{small}")
