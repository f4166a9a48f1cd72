from __future__ import annotations

import copy
import dataclasses
import io
from collections.abc import Iterable

import numpy as np
import pytest
import torch

import biport.reference
import torch_side
from biport import ops
from biport.errors import InputError, UnsupportedError
from biport.graph import Graph, Node, Value
from testing.torch_graphs import GENERATOR, bidirectional, dense, embedding, error, lstm
from torch_side.names import attribute_path
from torch_side.registry import WRITERS

IDS = Value("ids", ("N", "T"), "int64")


def model(**names: str) -> Graph:
    """Embedding, mask, two stacked layers, a head; ``names`` rename nodes."""
    nodes = (
        Node("embedding", embedding(9, 4, mask_zero=True), ("ids",)),
        Node("not_equal", ops.NotEqual(), ("ids",)),
        Node("drop", ops.SpatialDropout1D(rate=0.3), ("embedding",)),
        Node("first", bidirectional(4, 3), ("drop",), masks=("not_equal",)),
        Node("second", lstm(6, 5, seed=8, bias="two"), ("first",), masks=("not_equal",)),
        Node("head", dense(5, 2, "sigmoid"), ("second",)),
    )
    return renamed(Graph((IDS,), nodes, ("head",)), names)


def renamed(graph: Graph, names: dict[str, str]) -> Graph:
    def new(many: Iterable[str]) -> tuple[str, ...]:
        return tuple(names.get(name, name) for name in many)

    nodes = []
    for node in graph.nodes:
        masks = tuple(mask and names.get(mask, mask) for mask in node.masks)
        nodes.append(
            Node(names.get(node.name, node.name), node.op, new(node.inputs), new(node.outputs), masks)
        )
    inputs = [dataclasses.replace(value, name=names.get(value.name, value.name)) for value in graph.inputs]
    return Graph(tuple(inputs), tuple(nodes), new(graph.outputs))


def ids(N: int = 5, T: int = 6) -> np.ndarray:
    rows = GENERATOR(2).integers(0, 9, size=(N, T))
    rows[N // 2] = 0
    return rows


def test_the_source_is_what_a_person_would_write():
    module = torch_side.write(model())

    assert [line.strip() for line in module.code.strip().splitlines()] == [
        "def forward(self, ids):",
        "embedding = self.embedding(ids)",
        "not_equal = ids != 0",
        "embedding_1 = embedding.transpose(1, 2)",
        "drop = self.drop(embedding_1)",
        "drop_1 = drop.transpose(1, 2)",
        "first = self.first(drop_1, mask = not_equal)",
        "getitem = first[0]",
        "second = self.second(getitem, mask = not_equal)",
        "getitem_1 = second[1]",
        "getitem_2 = getitem_1[0]",
        "getitem_3 = getitem_2[0]",
        "head = self.head(getitem_3)",
        "sigmoid = torch.sigmoid(head)",
        "return sigmoid",
    ]


def test_it_is_in_eval_mode_trainable_and_made_of_torch_layers():
    module = torch_side.write(model())

    assert not any(part.training for part in module.modules())
    frozen = [name for name, parameter in module.named_parameters() if not parameter.requires_grad]
    assert frozen == ["first.bias_hh_l0", "first.bias_hh_l0_reverse"]
    assert all(p.requires_grad for p in torch_side.write(model(), biases="two").parameters())
    assert isinstance(module.get_submodule("first"), torch.nn.LSTM)
    assert isinstance(module.get_submodule("embedding"), torch.nn.Embedding)
    assert isinstance(module.get_submodule("head"), torch.nn.Linear)
    assert module.input_values == (IDS,)
    assert module.output_names == ("head",)


@pytest.mark.parametrize("N, T", [(5, 6), (2, 1), (1, 200), (0, 3)])
def test_any_batch_and_any_length(N, T):
    assert error(model(), [ids(N, T) if N else np.zeros((N, T), int)]) <= 1e-12


@pytest.mark.parametrize("N", [4, 0])
def test_no_steps_are_refused_where_there_are_recurrent_layers(N):
    with pytest.raises(InputError, match=r"input 'ids': .* \(T = 0\); it needs 1 or more"):
        error(model(), [np.zeros((N, 0), int)])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_dtype_is_the_graphs(dtype):
    graph = model().astype(dtype)

    module = torch_side.write(graph)

    assert {str(parameter.dtype) for parameter in module.parameters()} == {f"torch.{dtype}"}
    assert torch_side.run(module, [ids()])[0].dtype.name == dtype
    assert error(graph, [ids()]) <= (1e-12 if dtype == "float64" else 1e-6)


def test_a_module_changed_to_another_dtype_is_read_in_that_dtype():
    graph = Graph((Value("x", ("N", 3), "float64"),), (Node("head", dense(3, 2), ("x",)),), ("head",))

    assert torch_side.read(torch_side.write(graph).float()) == graph.astype("float32")


def test_weights_are_copies():
    graph = model()
    before = graph.digest()
    module = torch_side.write(graph)

    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()

    assert graph.digest() == before


def test_writing_leaves_the_random_state_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    torch_side.write(model())

    assert torch.equal(torch.rand(1), expected)


def test_state_dict_survives_a_file_and_the_module_a_copy():
    module, other = torch_side.write(model()), torch_side.write(model())
    buffer = io.BytesIO()
    torch.save(module.state_dict(), buffer)
    buffer.seek(0)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()

    other.load_state_dict(torch.load(buffer, weights_only=True))

    assert torch_side.read(other) == model()
    copied = copy.deepcopy(module)
    assert copied.input_values == module.input_values
    assert torch_side.read(copied) == model()
    with torch.no_grad():
        next(copied.parameters()).zero_()
    assert torch_side.read(module) == model()


def test_training_switches_dropout_on_and_a_step_changes_the_weights():
    torch.manual_seed(0)
    module = torch_side.write(model()).train()
    batch = torch.from_numpy(ids())
    assert not torch.equal(module(batch), module(batch))

    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    module(batch).sum().backward()
    optimizer.step()

    changed = torch_side.read(module)
    assert changed != model()
    output = torch_side.run(module, [ids()])[0]
    assert np.abs(output - biport.reference.run(changed, [ids()])[0]).max() <= 1e-12


NASTY = [
    "train", "forward", "training", "parameters", "code", "meta", "input_values", "T", "class", "None",
    "print", "torch", "self", "block.first", "a.b.c", "0", "0.1", "with space", "layer/inner",
    'x"); import os; ("', "é", "_modules", "getitem", "sigmoid", "..", "ids_1", "embedding_1",
]  # fmt: skip


@pytest.mark.parametrize("name", NASTY)
def test_any_name_is_taken_and_read_back(name):
    """By a node of each kind, over all names."""
    at = NASTY.index(name)
    nodes = "embedding", "not_equal", "first", "head", "ids"
    names = {node: NASTY[(at + number) % len(NASTY)] for number, node in enumerate(nodes)}
    graph = renamed(model(), names)

    module = torch_side.write(graph)

    assert torch_side.read(module) == graph
    assert error(graph, [ids()]) <= 1e-12
    assert torch_side.load(module, graph).filled == tuple(graph.weights())


@pytest.mark.parametrize(
    "names",
    [
        {"embedding": "a", "first": "a.b", "second": "a.b.c", "head": "a_b"},
        {"embedding": "head.weight", "first": "head.lstm", "second": "x.y", "drop": "x"},
        {"embedding": "train", "first": "train_", "second": "train__"},
        {"embedding": "p q", "first": "p-q", "second": "p_q"},
    ],
)
def test_names_that_meet_in_torch_stay_apart(names):
    graph = renamed(model(), names)

    module = torch_side.write(graph)

    assert torch_side.read(module) == graph
    assert error(graph, [ids()]) <= 1e-12
    assert len(module.state_dict()) == len(torch_side.write(model()).state_dict())


def test_plain_names_are_paths_as_they_are():
    assert attribute_path("bilstm_1", []) == "bilstm_1"
    assert attribute_path("encoder.bilstm", []) == "encoder.bilstm"
    assert attribute_path("forward", []) == "forward_"
    assert attribute_path("encoder.forward", []) == "encoder.forward_"


def test_nodes_that_share_an_op_share_a_submodule():
    shared, pool = embedding(9, 4), ops.GlobalMaxPooling1D()
    nodes = (
        Node("one", shared, ("a",)),
        Node("two", shared, ("b",)),
        Node("max_1", pool, ("one",)),
        Node("max_2", pool, ("two",)),
        Node("cat", ops.Concatenate(), ("max_1", "max_2")),
    )
    graph = Graph(tuple(dataclasses.replace(IDS, name=name) for name in "ab"), nodes, ("cat",))

    module = torch_side.write(graph)
    back = torch_side.read(module)

    assert list(module.state_dict()) == ["one.weight"]
    assert back == graph
    assert back.digest() == graph.digest()
    assert back["one"].op is back["two"].op
    assert error(graph, [ids(), ids()[:, ::-1]]) == 0


def test_several_outputs_are_a_tuple_and_one_is_a_tensor():
    graph = model()
    several = Graph(graph.inputs, graph.nodes, ("head", "first", "ids", "not_equal", "head"))

    assert isinstance(torch_side.write(graph)(torch.from_numpy(ids())), torch.Tensor)
    assert isinstance(torch_side.write(several)(torch.from_numpy(ids())), tuple)
    assert error(several, [ids()]) <= 1e-12
    assert torch_side.read(torch_side.write(several)) == several


def test_an_op_nobody_writes_is_named_with_all_the_others(monkeypatch):
    monkeypatch.delitem(WRITERS._functions, ops.Bidirectional)
    bad = ops.Bidirectional(forward=lstm(4, 3), backward=lstm(4, 2, reverse=True))
    graph = model()
    nodes = (*graph.nodes, Node("bad", bad, ("drop",)), Node("worse", bad, ("drop",)))

    with pytest.raises(UnsupportedError) as caught:
        torch_side.write(Graph(graph.inputs, nodes, ("head", "bad")))

    assert [reason["owner"] for reason in caught.value.reasons()] == [
        f"node {name!r}" for name in ("first", "bad", "worse")
    ]


def test_run_checks_the_inputs_and_leaves_the_mode_alone():
    module = torch_side.write(model()).train()
    module.get_submodule("head").eval()

    one, two = (torch_side.run(module, [ids()])[0] for _ in range(2))

    np.testing.assert_array_equal(one, two)
    assert module.training
    assert not module.get_submodule("head").training
    for bad, message in (
        ([], "takes 1 inputs"),
        ([ids().astype(float)], "integer ids"),
        ([ids()[0]], "found shape"),
        ([ids() - 1], "found -1"),
        ([ids() + 1], "found 9"),
    ):
        with pytest.raises(ValueError, match=message):
            torch_side.run(module, bad)
    read_only = ids()
    read_only.flags.writeable = False
    np.testing.assert_array_equal(torch_side.run(module, [read_only])[0], one)
