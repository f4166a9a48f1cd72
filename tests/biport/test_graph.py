import dataclasses

import numpy as np
import pytest

from biport import ops
from biport.errors import GraphError, WeightError
from biport.graph import Graph, Node, Value, weight_differences
from testing.graphs import bidirectional, classifier, dense, embedding, lstm, normal

IDS = Value("ids", ("N", "T"), "int32")


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def test_golden_text() -> None:
    text = str(classifier(rng(), merge=None, units=(4, 3)))
    assert text == (
        "graph(ids: int32 (N, T)) -> head\n"
        "  embedding              : float32 (N, T, 5)                    = "
        "Embedding(num_embeddings=11, embedding_dim=5, mask_zero)(ids)\n"
        "  mask                   : bool (N, T)                          = NotEqual()(ids)\n"
        "  bilstm_1:0, bilstm_1:1 : float32 (N, T, 4); float32 (N, T, 4) = "
        "Bidirectional(LSTM(input_size=5, hidden_size=4, return_sequences, zero_output_for_mask), merge=None)"
        "(embedding | mask)\n"
        "  concatenate_1          : float32 (N, T, 8)                    = "
        "Concatenate()(bilstm_1:0, bilstm_1:1)\n"
        "  bilstm_2:0, bilstm_2:1 : float32 (N, 3); float32 (N, 3)       = "
        "Bidirectional(LSTM(input_size=8, hidden_size=3), merge=None)(concatenate_1 | mask)\n"
        "  concatenate_2          : float32 (N, 6)                       = "
        "Concatenate()(bilstm_2:0, bilstm_2:1)\n"
        "  head                   : float32 (N, 3)                       = "
        "Dense(input_size=6, output_size=3, activation=softmax)(concatenate_2)"
    )


def test_equality_and_digest_see_every_bit() -> None:
    one, two = classifier(rng()), classifier(rng())
    assert one == two
    assert one.digest() == two.digest()
    op = two["head"].op
    assert isinstance(op, ops.Dense)
    assert op.bias is not None
    bias = op.bias.copy()
    bias[1] = np.nextafter(bias[1], np.float32(9))
    nodes = [
        dataclasses.replace(node, op=dataclasses.replace(op, bias=bias)) if node.name == "head" else node
        for node in two.nodes
    ]
    other = Graph(two.inputs, tuple(nodes), two.outputs)
    assert one != other
    assert one.digest() != other.digest()
    assert weight_differences(one, other) == ["head.bias"]


def test_minus_zero_is_not_zero() -> None:
    a = ops.Dense(input_size=1, output_size=1, weight=np.array([[0.0]]), bias=None)
    b = ops.Dense(input_size=1, output_size=1, weight=np.array([[-0.0]]), bias=None)
    assert a != b


def test_float64_and_back_is_the_same_graph() -> None:
    graph = classifier(rng(), units=(4, 3), biases=2)
    double = graph.astype("float64")
    assert double.tensors["head"].dtype == "float64"
    assert double != graph
    assert double.astype("float32") == graph


def test_shared_ops_stay_shared() -> None:
    op = lstm(rng(), 3, 3, return_sequences=True)
    nodes = Node("a", op, ("x",)), Node("b", op, ("a",))
    graph = Graph((Value("x", ("N", "T", 3), "float32"),), nodes, ("b",)).astype("float64")
    assert graph.nodes[0].op is graph.nodes[1].op
    assert graph.parameter_count() == 4 * 3 * (3 + 3 + 1)


def _graph(*nodes: Node, outputs: tuple[str, ...] = ("y",), inputs: tuple[Value, ...] = (IDS,)) -> Graph:
    return Graph(inputs, nodes, outputs)


FAULTS = {
    "name twice": (
        lambda: _graph(Node("y", ops.NotEqual(), ("ids",)), Node("y", ops.NotEqual(), ("ids",), ("z",))),
        "node 'y': the name is used twice",
    ),
    "value twice": (lambda: _graph(Node("y", ops.NotEqual(), ("ids",), ("ids",))), "'ids' is made twice"),
    "used before made": (lambda: _graph(Node("y", ops.NotEqual(), ("later",))), "'later' is used before"),
    "unknown output": (lambda: _graph(outputs=("y",)), "'y' is used before"),
    "no output": (lambda: _graph(outputs=()), "no outputs"),
    "one mask to join": (
        lambda: _graph(Node("mask", ops.NotEqual(), ("ids",)), Node("y", ops.LogicalAnd(), ("mask",))),
        "LogicalAnd takes two or more inputs, found 1",
    ),
    "ids to join": (
        lambda: _graph(Node("y", ops.LogicalAnd(), ("ids", "ids"))),
        "LogicalAnd takes bool, found int32",
    ),
    "wrong dtype": (
        lambda: _graph(Node("y", dense(rng(), 3, 2), ("ids",))),
        "Dense takes float32, found int32",
    ),
    "wrong width": (
        lambda: _graph(Node("e", embedding(rng(), 4), ("ids",)), Node("y", dense(rng(), 3, 2), ("e",))),
        "last dimension of 3",
    ),
    "wrong rank": (
        lambda: _graph(Node("y", lstm(rng(), 3, 2), ("x",)), inputs=(Value("x", ("N", 3), "float32"),)),
        "takes 3 dimensions",
    ),
    "mixed precision": (
        lambda: _graph(
            Node("e", embedding(rng(), 3), ("ids",)), Node("y", dense(rng(), 3, 2).astype("float64"), ("e",))
        ),
        "takes float64, found float32",
    ),
    "too many inputs": (lambda: _graph(Node("y", ops.NotEqual(), ("ids", "ids"))), "takes 1 input, found 2"),
    "too many outputs": (
        lambda: _graph(Node("y", ops.NotEqual(), ("ids",), ("y", "z"))),
        "gives 1 outputs, 2",
    ),
    "mask of no mask": (
        lambda: _graph(
            Node("e", embedding(rng(), 3), ("ids",)), Node("y", lstm(rng(), 3, 2), ("e",), masks=("e",))
        ),
        "mask 'e' should be bool",
    ),
    "mask nobody takes": (
        lambda: _graph(
            Node("m", ops.NotEqual(), ("ids",)), Node("y", ops.NotEqual(), ("ids",), masks=("m",))
        ),
        "takes no mask",
    ),
    "concatenated along no axis": (
        lambda: _graph(Node("y", ops.Concatenate(axis=2), ("ids", "ids"))),
        "there is no axis 2",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_graph_that_does_not_go_together_is_refused(fault: str) -> None:
    build, message = FAULTS[fault]
    with pytest.raises(GraphError, match=message):
        build()


def test_ops_check_their_weights() -> None:
    good = normal(rng(), 2, 3)
    with pytest.raises(WeightError, match=r"weight should have shape \(2, 3\), found \(3, 2\)"):
        ops.Dense(input_size=3, output_size=2, weight=good.T, bias=None)
    with pytest.raises(WeightError, match="bias should be float32, found float64"):
        ops.Dense(input_size=3, output_size=2, weight=good, bias=np.zeros(2))
    for bad in (np.nan, np.inf):
        broken = good.copy()
        broken[1, 2] = bad
        with pytest.raises(WeightError, match="weight holds NaN or infinite numbers"):
            ops.Dense(input_size=3, output_size=2, weight=broken, bias=None)
    with pytest.raises(GraphError, match="hidden_size should be a positive integer, found 0"):
        dataclasses.replace(lstm(rng(), 2, 3), hidden_size=0)
    with pytest.raises(WeightError, match="weight_ih should have the gates"):
        dataclasses.replace(lstm(rng(), 2, 3), weight_ih={"i": good})


def test_a_bidirectional_op_checks_its_directions() -> None:
    op = bidirectional(rng(), 3, 4)
    with pytest.raises(GraphError, match="forward must not be reversed"):
        ops.Bidirectional(forward=op.backward, backward=op.forward)
    with pytest.raises(GraphError, match="one hidden_size"):
        ops.Bidirectional(forward=op.forward, backward=lstm(rng(), 3, 5, reverse=True), merge="sum")
    with pytest.raises(GraphError, match="merge should be one of"):
        dataclasses.replace(op, merge="max")
    with pytest.raises(GraphError, match="zero_output_for_mask must be equal"):
        ops.Bidirectional(
            forward=lstm(rng(), 3, 4, return_sequences=True),
            backward=lstm(rng(), 3, 4, return_sequences=True, reverse=True),
        )


@pytest.mark.parametrize(
    "op", [node.op for node in classifier(rng(), units=(4, 3), merge="ave").nodes], ids=str
)
def test_build_is_the_inverse_of_settings_and_weights(op: ops.Op) -> None:
    assert type(op).build(op.settings(), op.weights()) == op
    with pytest.raises(GraphError, match="unknown settings"):
        type(op).build(op.settings() | {"surprise": 1}, op.weights())
    with pytest.raises(WeightError, match="left over"):
        type(op).build(op.settings(), op.weights() | {"surprise": np.zeros(1)})


def test_shared_weights_are_compared_once_under_their_first_name() -> None:
    op = dense(rng(), 3, 3)
    x = Value("x", ("N", 3), "float32")
    one, two = (
        Graph((x,), (Node("a", op, ("x",)), Node(again, op, ("a",))), (again,)) for again in ("b", "c")
    )
    assert weight_differences(one, two) == []
    apart = Graph((x,), (Node("a", op, ("x",)), Node("b", dataclasses.replace(op), ("a",))), ("b",))
    assert weight_differences(one, apart) == ["b.bias", "b.weight"]
