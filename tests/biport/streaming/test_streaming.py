"""Chunks give what one call over all steps gives, or are refused by the name of the layer they matter to."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from biport import ops, reference
from biport.dims import known
from biport.errors import InputError, UnsupportedError
from biport.graph import Graph, Node, Value
from biport.rewrite.states import explicit_states
from biport.streaming import Stream, Streaming, plan_stream, reference_stream
from testing.graphs import bidirectional, cell, dense

N, T, I, H, V = 3, 12, 4, 5, 7
RNG = np.random.default_rng(5)
X = Value("x", ("N", "T", I), "float32")
IDS = Value("ids", ("N", "T"), "int32")


def scan(kind: type[ops.Cell] = ops.LSTM, size: int = I, **settings: Any) -> ops.Cell:
    return cell(RNG, kind, size, H, **settings)


def stack(kinds: Sequence[type[ops.Cell]], sequences: bool, masked: bool, zero: bool = False) -> Graph:
    """Layers over each other, over features or masked ids."""
    value, table = "x", ops.Embedding(num_embeddings=V, embedding_dim=I, weight=normal(V, I))
    nodes = []
    if masked:
        nodes = [Node("mask", ops.NotEqual(), ("ids",)), Node("table", table, ("ids",))]
        value = "table"
    for number, kind in enumerate(kinds):
        below = sequences or number < len(kinds) - 1
        op = scan(kind, H if number else I, return_sequences=below, zero_output_for_mask=zero)
        nodes.append(Node(f"r{number}", op, (value,), masks=("mask" if masked else None,)))
        value = f"r{number}"
    return Graph((IDS if masked else X,), tuple(nodes), (value,))


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype("float32")


def chunks(array: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """An array cut along its steps into chunks of many lengths, of 0 and 1 too."""
    steps = array.shape[1]
    cuts = np.sort([0, 1, 1, *rng.integers(0, steps + 1, 3)])
    return np.split(array, cuts[1:], axis=1)


def whole(graph: Graph, x: np.ndarray) -> list[np.ndarray]:
    """One call over all steps, from zeros."""
    exact = graph.astype("float64")
    zeros = [np.zeros((len(x), known(value.shape[1]))) for value in exact.inputs[1:]]
    return reference.run(exact, [x, *zeros])


def ids_with_holes() -> np.ndarray:
    """Padding at the ends and in between; the last row ends long before the others."""
    ids = RNG.integers(1, V, (N, T)).astype("int32")
    ids[0, [0, 4, 5, 6]] = ids[1, 7:9] = ids[2, 3:] = 0
    return ids


KINDS = ([ops.LSTM], [ops.GRU], [ops.RNN], [ops.LSTM, ops.GRU])


@pytest.mark.parametrize("masked", [False, True], ids=["plain", "masked"])
@pytest.mark.parametrize("kinds", KINDS, ids=lambda kinds: "-".join(kind.__name__ for kind in kinds))
def test_chunks_give_bit_for_bit_what_one_call_gives(kinds: Sequence[type[ops.Cell]], masked: bool) -> None:
    x = ids_with_holes() if masked else RNG.normal(size=(N, T, I))
    for sequences, zero in itertools.product((True, False), (True, False) if masked else (False,)):
        graph = explicit_states(stack(kinds, sequences, masked, zero))
        output, *states = whole(graph, x)
        for seed in range(3):
            with reference_stream(graph) as stream:
                parts = [stream.feed([part])[0] for part in chunks(x, np.random.default_rng(seed))]
                given = np.concatenate(parts, axis=1) if sequences else parts[-1]
                assert np.array_equal(given, output)
                assert all(map(np.array_equal, stream.states.values(), states))
            assert stream.rows is None
            assert not stream.states


def test_a_plan_survives_as_plain_data() -> None:
    graph = explicit_states(stack([ops.LSTM], True, True))
    plan = plan_stream(graph)
    assert plan.mask is not None
    again = Streaming.from_json(json.loads(json.dumps(plan.to_json())), plan.inputs, plan.outputs)
    assert again == plan
    assert plan.states == {"r0.h": "r0.h_next", "r0.c": "r0.c_next"}
    assert (plan.chunked, plan.last, plan.repeating) == (("ids",), (), {"r0": 1})


def test_what_is_of_all_steps_so_far_stays_where_there_are_no_steps() -> None:
    graph = explicit_states(stack([ops.GRU], False, True))
    stream = reference_stream(graph)
    ids = ids_with_holes()
    before = stream.feed([ids])[0]
    assert np.array_equal(stream.feed([ids[:, :0]])[0], before)
    resting = ids.copy()
    resting[1] = 0
    after = stream.feed([resting])[0]
    assert np.array_equal(after[1], before[1])
    assert not np.any(np.all(after[[0, 2]] == before[[0, 2]], axis=1))


def test_rows_start_again_by_themselves() -> None:
    graph = explicit_states(stack([ops.LSTM], False, True))
    ids = ids_with_holes()
    stream, fresh = reference_stream(graph), reference_stream(graph)
    stream.feed([ids])
    stream.reset([0, 2])
    again, first = stream.feed([ids])[0], fresh.feed([ids])[0]
    assert np.array_equal(again[[0, 2]], first[[0, 2]])
    assert not np.allclose(again[1], first[1])
    stream.reset(np.array([True, False, False]))
    assert np.array_equal(stream.feed([np.zeros_like(ids)])[0][1:], again[1:])
    stream.reset([])
    with pytest.raises(InputError, match=r"the stream has 3 rows, found \[3\]"):
        stream.reset([3])
    with pytest.raises(InputError, match="3 rows since its first chunk, found 2; reset"):
        stream.feed([ids[:2]])
    stream.reset()
    with pytest.raises(InputError, match="no rows before its first chunk"):
        stream.reset([0])
    assert np.array_equal(stream.feed([ids[:2]])[0], first[:2])


def test_a_stream_starts_from_given_states() -> None:
    graph = explicit_states(stack([ops.GRU], True, False))
    x, h = RNG.normal(size=(N, T, I)), RNG.normal(size=(N, H))
    expected = reference.run(graph.astype("float64"), [x, h])[0]
    stream = reference_stream(graph, initial={"r0.h": h})
    given = np.concatenate([stream.feed({"x": part})[0] for part in np.split(x, 3, axis=1)], axis=1)
    assert np.array_equal(given, expected)
    with pytest.raises(InputError, match=r"'h' is no state of this model; its states are r0\.h"):
        reference_stream(graph, initial={"h": h})
    with pytest.raises(InputError, match=r"state 'r0\.h': expected float32 .*found \(1, 5\)"):
        Stream(plan_stream(graph), lambda arrays: [], {"r0.h": h[:1]}).feed([x.astype("float32")])
    with pytest.raises(InputError, match="expected"):
        stream.feed([x[0]])


def of_layers(*ops_above: ops.Op, value: Value = X) -> Graph:
    """A chain of layers."""
    nodes = [
        Node(f"n{number}", op, (f"n{number - 1}" if number else value.name,))
        for number, op in enumerate(ops_above)
    ]
    return Graph((value,), tuple(nodes), (nodes[-1].name,))


def self_attention() -> Graph:
    return Graph((X,), (Node("look", ops.Attention(scale=None, score_weight=None), ("x", "x")),), ("look",))


def conv(padding: str) -> ops.Conv1D:
    return ops.Conv1D(
        kernel_size=(3,), input_size=I, output_size=2, padding=padding, weight=normal(2, I, 3), bias=None
    )


def position() -> Graph:
    nodes = (
        Node("count", ops.Arange(stop=X.shape[1], output_dtype="float32"), ()),
        Node("column", ops.ExpandDims(axes=(1,)), ("count",)),
        Node("sum", ops.Elementwise(function="add"), ("x", "column")),
    )
    return Graph((X,), nodes, ("sum",))


def from_one_state(second_given: bool) -> Graph:
    """Two layers that start from one state, of which one alone is given, or both are."""
    op = scan(ops.GRU, return_state=True)
    nodes = tuple(Node(name, op, ("x", "h"), (f"{name}:0", f"{name}:1")) for name in ("a", "b"))
    outputs = ("a:0", "b:0", "a:1", *(("b:1",) if second_given else ()))
    return Graph((X, Value("h", ("N", H), "float32")), nodes, outputs)


def beside_the_last_step() -> Graph:
    nodes = (
        Node("last", scan(ops.GRU, H), ("x",)),
        Node("one", ops.ExpandDims(axes=(1,)), ("last",)),
        Node("sum", ops.Elementwise(function="add"), ("x", "one")),
    )
    return explicit_states(Graph((Value("x", ("N", "T", H), "float32"),), nodes, ("sum",)))


def masked_by_two() -> Graph:
    masks = [Value(f"m{number}", ("N", "T"), "bool") for number in (0, 1)]
    nodes = (
        Node("a", scan(ops.GRU, return_sequences=True), ("x",), masks=("m0",)),
        Node("b", scan(ops.GRU, H), ("a",), masks=("m1",)),
    )
    return explicit_states(Graph((X, *masks), nodes, ("b",)))


def of_two_rules() -> Graph:
    valid = Value("valid", ("N", "T"), "bool")
    nodes = [
        Node(name, scan(ops.GRU, zero_output_for_mask=name == "b"), ("x",), masks=("valid",)) for name in "ab"
    ]
    both = Node("both", ops.Concatenate(), ("a", "b"))
    return explicit_states(Graph((X, valid), (*nodes, both), ("both",)))


def beside_repeated_steps() -> Graph:
    graph = stack([ops.GRU], True, True)
    both = Node("both", ops.Concatenate(), ("table", "r0"))
    return explicit_states(dataclasses.replace(graph, nodes=(*graph.nodes, both), outputs=("both",)))


REFUSED: dict[str, tuple[Callable[[], Graph], str]] = {
    "both directions": (
        lambda: of_layers(bidirectional(RNG, I, H)),
        "'n0' (Bidirectional): direction=",
    ),
    "backwards": (lambda: of_layers(scan(reverse=True)), "'n0' (LSTM): reverse=True"),
    "from zeros": (lambda: of_layers(scan()), "'n0' (LSTM): initial_state='zeros in every chunk'"),
    "convolution": (lambda: of_layers(conv("same")), "'n0' (Conv1D): steps='several at once'"),
    "causal convolution": (lambda: of_layers(conv("causal")), "'n0' (Conv1D): steps='several at once'"),
    "pooling": (lambda: of_layers(ops.GlobalAveragePooling1D()), "'n0' (GlobalAveragePooling1D)"),
    "attention": (self_attention, "'look' (Attention): value='of the steps, which come in chunks'"),
    "softmax of steps": (lambda: of_layers(ops.Softmax(axis=1)), "'n0' (Softmax): axis=1"),
    "turned": (lambda: of_layers(ops.Flip()), "'n0' (Flip)"),
    "positions": (position, "'count' (Arange): sizes='T'"),
    "one state of two layers": (lambda: from_one_state(False), "'b' (GRU): states='not given by a:1"),
    "one state as two": (lambda: from_one_state(True), "'b' (GRU): states='not given by a:1"),
    "steps beside the last": (beside_the_last_step, "'sum' (Elementwise): input='x, beside what"),
    "two masks": (masked_by_two, "'b' (GRU): mask='m1, where the input repeats masked steps'"),
    "two rules for masked steps": (of_two_rules, "'b' (GRU): zero_output_for_mask=True"),
    "beside what repeats": (beside_repeated_steps, "'both' (Concatenate): input='r0, which repeats"),
}


@pytest.mark.parametrize("make, message", REFUSED.values(), ids=REFUSED)
def test_what_chunks_matter_to_is_refused_by_name(make: Callable[[], Graph], message: str) -> None:
    with pytest.raises(UnsupportedError) as refused:
        plan_stream(make())
    assert message in str(refused.value)


def test_layers_of_one_step_at_a_time_need_no_states() -> None:
    graph = of_layers(dense(RNG, I, 2, "relu"), ops.Softmax(axis=-1))
    plan = plan_stream(graph)
    assert (plan.states, plan.chunked, plan.mask) == ({}, ("x",), None)


def test_states_are_told_by_what_they_do_however_they_lie() -> None:
    """As torch has them: of all layers in one array, the steps along the first axis."""
    h = Value("h", (2, "N", H), "float32")
    turn = ops.PermuteDims(axes=(1, 0, 2))
    one, two = (scan(ops.GRU, size, return_sequences=True, return_state=True) for size in (I, H))
    nodes = (
        Node("turned", turn, ("x",)),
        *(Node(f"h{number}", ops.Slice(items=(number,)), ("h",)) for number in (0, 1)),
        Node("one", one, ("turned", "h0"), ("one:0", "one:1")),
        Node("two", two, ("one:0", "h1"), ("two:0", "two:1")),
        Node("after", ops.Stack(axis=0), ("one:1", "two:1")),
        Node("y", turn, ("two:0",)),
    )
    graph = Graph((Value("x", ("T", "N", I), "float32"), h), nodes, ("y", "after"))
    plan = plan_stream(graph)
    assert (plan.states, plan.chunked) == ({"h": "after"}, ("x",))
    x = RNG.normal(size=(T, N, I))
    expected = reference.run(graph.astype("float64"), [x, np.zeros((2, N, H))])
    stream = reference_stream(graph)
    given = np.concatenate([stream.feed([part])[0] for part in np.split(x, [1, 5])])
    assert np.array_equal(given, expected[0])
    assert np.array_equal(stream.states["h"], expected[1])
    stream.reset([1])
    assert not stream.states["h"][:, 1].any()
    assert stream.states["h"][:, [0, 2]].all()
    with pytest.raises(InputError, match="'h' to 'z': should be an input"):
        plan_stream(graph, {"h": "z"})
    with pytest.raises(InputError, match=r"'h' is .* but 'y'"):
        plan_stream(graph, {"h": "y"})
