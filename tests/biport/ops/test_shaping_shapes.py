"""What shaping operations infer, against numpy; positions and parts that a short sequence does not have."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biport import ops, reference
from biport.analysis.lengths import needed_steps
from biport.dims import Dim, letter
from biport.errors import GraphError, InputError
from biport.graph import Graph, Node, Value
from biport.ops import Tensor
from biport.ops.checks import TooShortError
from biport.ops.shaping import Cut, cut_length, turned

BOUNDS = st.none() | st.integers(-9, 9)
STEPS = st.integers(-4, 4).filter(bool)
CUTS = st.tuples(BOUNDS, BOUNDS, STEPS)
T = letter("T")


@given(CUTS, st.integers(0, 8))
@settings(max_examples=100, deadline=None)
def test_the_length_of_a_cut(cut: Cut, size: int) -> None:
    """Of a number, and of a letter that turns out to be that number."""
    wanted = len(np.arange(size)[slice(*cut)])
    symbolic = cut_length(T, cut)
    assert cut_length(size, cut) == wanted
    assert (symbolic if isinstance(symbolic, int) else symbolic.at({"T": size})) == wanted


@given(st.integers(0, 8), st.integers(0, 8), STEPS, st.integers(0, 8))
@settings(max_examples=60, deadline=None)
def test_bounds_that_vary(start: int, stop: int, step: int, size: int) -> None:
    length = cut_length(T, (letter("A"), letter("B"), step))
    assert not isinstance(length, int)
    assert length.at({"T": size, "A": start, "B": stop}) == len(range(size)[start:stop:step])


@given(CUTS, st.integers(0, 8))
@settings(max_examples=60, deadline=None)
def test_a_cut_of_the_elements_turned_round(cut: Cut, size: int) -> None:
    x = np.arange(size)
    np.testing.assert_array_equal(x[slice(*cut)], x[::-1][slice(*turned(cut))])


def reshaped(shape: tuple[Dim | str, ...]) -> ops.ReshapeTo:
    return ops.ReshapeTo(shape=shape)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "shape, wanted",
    [
        (("N*T", 6), (-1, 6)),
        ((3, "N*T*2"), (3, -1)),
        (("N", "T", 2, 3), ("N", "T", 2, 3)),
        (("T", 6), ("T", 6)),
        (("N*T", "S", 6), ("N*T", "S", 6)),
    ],
    ids=str,
)
def test_the_size_that_can_be_nothing_else(shape, wanted) -> None:
    assert reshaped(shape).with_rest(Tensor(("N", "T", 6), "float32")) == wanted


SHORT = {
    "a position": (ops.Slice(items=((None, None, 1), 3)), 4),
    "a position from the end": (ops.Slice(items=((None, None, 1), -3)), 3),
    "parts and what is left": (ops.Split(sizes=(2, -1, 3), axis=1), 5),
    "an edge": (ops.Pad(widths=((0, 0), (2, 0), (0, 0)), mode="edge"), 1),
    "a mirror": (ops.Pad(widths=((0, 0), (1, 2), (0, 0)), mode="reflect"), 3),
}


@pytest.mark.parametrize("name", SHORT)
def test_how_many_steps_are_needed(name: str) -> None:
    op, least = SHORT[name]
    outputs = tuple(f"y{number}" for number in range(op.output_count))
    graph = Graph((Value("x", ("N", "T", 2), "float32"),), (Node("y", op, ("x",), outputs),), outputs)
    assert {name: least.size for name, least in needed_steps(graph).items()} == {"x": least}
    reference.run(graph, [np.ones((2, least, 2))])
    with pytest.raises(InputError):
        reference.run(graph, [np.ones((2, least - 1, 2))])
    with pytest.raises(TooShortError):
        op.infer([Tensor((2, least - 1, 2), "float32")])


@pytest.mark.parametrize(
    "op, shape",
    [
        (ops.ReshapeTo(shape=(5, 3)), (4, 4)),
        (ops.PermuteDims(axes=(1, 0)), (4, 4, 4)),
        (ops.Squeeze(axes=(1,)), (4, 4)),
        (ops.BroadcastTo(shape=(4,)), (4, 4)),
        (ops.BroadcastTo(shape=(4, 5)), (4, 4)),
        (ops.Tile(repetitions=(2,)), (4, 4)),
        (ops.Pad(widths=((0, 0),)), (4, 4)),
        (ops.Slice(items=(0, 0, 0)), (4, 4)),
        (ops.Split(sizes=(1, 2), axis=1), (4, 4)),
        (ops.Unstack(count=5, axis=1), (4, 4)),
        (ops.Concatenate(axis=2), (4, 4)),
    ],
    ids=str,
)
def test_shapes_that_do_not_suit(op: ops.Op, shape: tuple[int, ...]) -> None:
    with pytest.raises(GraphError):
        op.infer([Tensor(shape, "float32")])


@pytest.mark.parametrize(
    "make",
    [
        lambda: ops.Slice(items=((1, 2, 0),)),
        lambda: ops.Slice(items=("T",)),  # type: ignore[arg-type]
        lambda: ops.Slice(items=(("T+-2", None, 1),)),  # type: ignore[arg-type]
        lambda: ops.ReshapeTo(shape=(2, -1)),
        lambda: ops.PermuteDims(axes=(0, 2)),
        lambda: ops.Pad(widths=((0, -1),)),
        lambda: ops.Pad(widths=((0, 1),), mode="wrap"),
        lambda: ops.Split(sizes=(-1, -1), axis=1),
        lambda: ops.Arange(stop=4, step=0),
        lambda: ops.Full(shape=(2,), value=float("nan")),
    ],
)
def test_settings_that_mean_nothing(make) -> None:
    with pytest.raises(GraphError):
        make()
