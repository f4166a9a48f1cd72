"""Layers that make one value of many: what they compute under masks, and what becomes of the masks."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pytest
import torch
from keras import layers

import export
import keras_side
import torch_side
from biport import ops, reference, verify
from biport.compare.tolerance import Verdict
from biport.errors import GraphError, UnsupportedError, WeightError
from biport.graph import Graph, Node, Value
from keras_side.layers import LearnedAverage
from keras_side.load_file import load_file
from testing.models import check_everywhere, every_mask, quiet_model

ELEMENTWISE = ("Add", "Average", "Maximum", "Minimum", "Multiply")
TWO: list[tuple[bool, ...]] = [(True, True), (True, False), (False, True), (False, False)]
THREE: list[tuple[bool, ...]] = [(True, True, True), (True, False, True), (False, True, True)]
E = 3


def ids(count: int = 2) -> list:
    return [keras.Input((5,), dtype="int32", name=f"ids_{i}") for i in range(count)]


def embedded(inputs, masked, size: int = E, name: str = "embedding") -> list:
    return [
        layers.Embedding(9, size, mask_zero=mask, name=f"{name}_{i}")(x)
        for i, (x, mask) in enumerate(zip(inputs, masked, strict=True))
    ]


def turns(masks: list[tuple[bool, ...]]) -> list:
    """How far to turn the masks against the kinds: all turns together pair all with all."""
    return [0, *(pytest.param(turn, marks=pytest.mark.sweep) for turn in range(1, len(masks)))]


def merged_in_turn(kinds: Sequence[str], masks: list[tuple[bool, ...]], turn: int, folder: Path) -> Graph:
    """One model in which each kind merges values of which some are masked; an RNN behind shows its mask."""
    inputs = ids(len(masks[0]))
    tables = [embedded(inputs, (masked,) * len(inputs), name=f"{masked}") for masked in (False, True)]
    outputs, wanted = [], {}
    for number, kind in enumerate(kinds):
        masked = masks[(number + turn) % len(masks)]
        values = [tables[mask][i] for i, mask in enumerate(masked)]
        made = getattr(layers, kind)(name=f"merged_{number}")(values)
        outputs += [made, layers.SimpleRNN(2, name=f"behind_{number}")(made)]
        wanted[f"behind_{number}"] = all(masked)
    graph = check_everywhere(quiet_model(inputs, outputs), folder)
    assert {name: graph[name].masks[0] is not None for name in wanted} == wanted
    return graph


@pytest.mark.parametrize("turn", turns(TWO))
def test_two_inputs(turn: int, tmp_path: Path) -> None:
    merged_in_turn([*ELEMENTWISE, "Subtract"], TWO, turn, tmp_path)


@pytest.mark.parametrize(
    "kind",
    [
        "Multiply",
        *(pytest.param(kind, marks=pytest.mark.sweep) for kind in ("Subtract", *ELEMENTWISE[:-1])),
    ],
)
def test_two_masked_inputs_by_tf2onnx(kind: str, tmp_path: Path) -> None:
    inputs = ids()
    made = getattr(layers, kind)(name="merged")(embedded(inputs, (True, True)))
    check_everywhere(quiet_model(inputs, [made, layers.LSTM(2)(made)]), tmp_path, tf2onnx=True)


@pytest.mark.parametrize("turn", turns(THREE))
def test_three_inputs(turn: int, tmp_path: Path) -> None:
    merged_in_turn(ELEMENTWISE, THREE, turn, tmp_path)


@pytest.mark.parametrize(
    "kind",
    [
        "Multiply",
        *(
            pytest.param(kind, marks=pytest.mark.sweep)
            for kind in ("Subtract", "Add", "Average", "Maximum", "Minimum")
        ),
    ],
)
def test_between_recurrent_layers_of_any_length(kind: str, tmp_path: Path) -> None:
    x = keras.Input((None,), dtype="int32", name="ids")
    table = layers.Embedding(9, E, mask_zero=True)(x)
    one = layers.LSTM(4, return_sequences=True)(table)
    two = layers.Bidirectional(layers.LSTM(4, return_sequences=True), merge_mode="sum")(table)
    made = getattr(layers, kind)(name="merged")([one, two])
    model = quiet_model(x, layers.LSTM(2)(layers.Dense(3, activation="tanh")(made)))
    graph = check_everywhere(model, tmp_path)
    session = export.Session(tmp_path / "fused.onnx")
    for shape in ((0, 4), (3, 0), (0, 0)):
        empty = np.zeros(shape, "int32")
        np.testing.assert_allclose(session.run([empty])[0], reference.run(graph, [empty])[0], atol=1e-6)


def test_sizes_of_one_are_stretched(tmp_path: Path) -> None:
    inputs = [keras.Input(shape, name=f"x_{i}") for i, shape in enumerate([(None, 1), (1, E)])]
    kinds = ("Add", "Multiply", "Maximum", "Average", "Subtract")
    model = quiet_model(inputs, [getattr(layers, kind)(name=kind.lower())(inputs) for kind in kinds])
    graph = check_everywhere(model, tmp_path)
    assert {graph.tensors[name].shape for name in graph.outputs} == {("N", "T", E)}


def test_sizes_of_one_under_masks(tmp_path: Path) -> None:
    long, one = keras.Input((None,), dtype="int32", name="long"), keras.Input((1,), dtype="int32", name="one")
    a, b = embedded([long, one], (True, True))
    outputs = []
    for kind in ("Multiply", "Maximum", "Add"):
        made = getattr(layers, kind)(name=kind.lower())([a, b])
        outputs += [made, layers.LSTM(2)(made)]
    check_everywhere(quiet_model([long, one], outputs), tmp_path)


DOTS: list[tuple] = [
    ((4, E), (5, E), 2),
    ((4, E), (5, E), -1),
    ((4, E), (4, 2), (1, 1)),
    ((E,), (5, E), (1, 2)),
    ((4, E), (E,), (2, 1)),
    ((E,), (E,), 1),
    ((2, 4, E), (5, E), (3, 2)),
    ((None, E), (None, E), (2, 2)),
]


def test_dot(tmp_path: Path) -> None:
    inputs, outputs = [], []
    for one, two, axes in DOTS:
        pair = [keras.Input(shape, name=f"x_{len(inputs) + i}") for i, shape in enumerate((one, two))]
        outputs += [layers.Dot(axes=axes, normalize=normalize)(pair) for normalize in (True, False)]
        inputs += pair
    graph = check_everywhere(quiet_model(inputs, outputs), tmp_path)
    empty = [np.zeros((0, *(n or 4 for n in x.shape[1:])), "float32") for x in inputs]
    found = export.Session(tmp_path / "fused.onnx").run(empty)
    assert [x.shape for x in found] == [x.shape for x in reference.run(graph, empty)]


def test_dot_of_vectors_without_length_and_the_end_of_masks(tmp_path: Path) -> None:
    inputs = ids()
    made = layers.Dot(axes=1, normalize=True, name="dot")(embedded(inputs, (True, True)))
    graph = check_everywhere(quiet_model(inputs, [made, layers.LSTM(2, name="behind")(made)]), tmp_path)
    assert graph["behind"].masks == (None,)
    x = [keras.Input((E,), name=name) for name in "ab"]
    model = keras.Model(x, layers.Dot(axes=1, normalize=True)(x))
    module, zero = torch_side.write(keras_side.read(model)), np.zeros((2, E), "float32")
    assert verify(model, module, inputs=[zero, zero + 1], float64=True).ok


@pytest.mark.parametrize(
    "masked",
    [
        (True, False),
        (False, False, True),
        *(pytest.param(one, marks=pytest.mark.sweep) for one in ((False, True), (False, False))),
    ],
)
def test_concatenate_along_time(masked, tmp_path: Path) -> None:
    inputs = [keras.Input((None,), dtype="int32", name=f"ids_{i}") for i in range(len(masked))]
    joined = layers.Concatenate(axis=1, name="joined")(embedded(inputs, masked))
    outputs = [layers.LSTM(2, return_sequences=True)(joined), layers.GlobalAveragePooling1D()(joined)]
    graph = check_everywhere(quiet_model(inputs, outputs), tmp_path)
    assert any(isinstance(node.op, ops.OnesLike) for node in graph.nodes) == any(masked)


def test_concatenate_along_time_of_the_same_value_twice(tmp_path: Path) -> None:
    inputs = [keras.Input((None,), dtype="int32", name=f"ids_{i}") for i in range(3)]
    a, b, c = embedded(inputs, (True, False, False))
    outputs = [
        layers.LSTM(2)(layers.Concatenate(axis=1, name="one")([a, b])),
        layers.LSTM(2)(layers.Concatenate(axis=-2, name="two")([a, c, b])),
    ]
    check_everywhere(quiet_model(inputs, outputs), tmp_path)


def test_a_product_without_its_masks_is_found() -> None:
    inputs = ids()
    for kind in ("Multiply", "Maximum", "Minimum"):
        model = quiet_model(inputs, getattr(layers, kind)(name="merged")(embedded(inputs, (True, True))))
        graph = keras_side.read(model)
        faulty = Graph(
            graph.inputs,
            tuple(
                Node(node.name, node.op, node.inputs, node.outputs) if node.name == "merged" else node
                for node in graph.nodes
            ),
            graph.outputs,
        )
        report = verify(model, torch_side.write(faulty))
        assert report.verdict is Verdict.DIFFERENT
        # Without masks it is an operation in Keras, which does not see those that hang on its inputs.
        written = verify(faulty, keras_side.write(faulty))
        assert written.verdict is Verdict.SAME, written.table


@pytest.mark.parametrize("join", [ops.LogicalAnd(), ops.LogicalOr()])
def test_a_product_under_three_masks_joined(join: ops.Op, tmp_path: Path) -> None:
    """Keras joins them two at a time, and its product sees what its inputs carry."""
    inputs = ids()
    tables = embedded(inputs, (False, False))
    steps = [
        layers.LSTM(E, return_sequences=True, name=f"steps_{i}")(x, mask=keras.ops.not_equal(inputs[0], i))
        for i, x in enumerate(tables)
    ]
    graph = keras_side.read(quiet_model(inputs, layers.Multiply(name="merged")(steps)))
    masks = [Node(f"mask_{i}", ops.NotEqual(value=i), ("ids_0",)) for i in range(3)]
    joined = Node("joined", join, ("mask_0", "mask_1", "mask_2"))
    nodes = [node for node in graph.nodes if node.op.kind != "NotEqual"]
    nodes = [
        Node(node.name, node.op, node.inputs, node.outputs, tuple("joined" for _ in node.masks))
        if node.name.startswith(("steps", "merged"))
        else node
        for node in nodes
    ]
    joined_graph = Graph(graph.inputs, (*masks, joined, *nodes), graph.outputs)
    export.write(joined_graph, tmp_path / "model.onnx")
    forms = keras_side.write(joined_graph), torch_side.write(joined_graph), tmp_path / "model.onnx"
    assert verify(joined_graph, *forms, inputs=every_mask(joined_graph), float64=True).ok


def test_inputs_that_do_not_go_together_are_refused() -> None:
    three, two = Value("a", ("N", "T", E), "float32"), Value("b", ("N", E), "float32")
    for op in (ops.Add(), ops.Maximum(), ops.Subtract()):
        with pytest.raises(GraphError, match="do not go together"):
            Graph((three, two), (Node("y", op, ("a", "b")),), ("y",))
    with pytest.raises(GraphError, match="takes 2 inputs"):
        Graph((three,), (Node("y", ops.Subtract(), ("a", "a", "a")),), ("y",))
    with pytest.raises(GraphError, match="axis 0 is the batch"):
        Graph((two,), (Node("y", ops.Dot(axes=(0, 1)), ("b", "b")),), ("y",))
    x = keras.Input((None, E))
    with pytest.raises(UnsupportedError, match="two or more"):
        keras_side.read(keras.Model(x, layers.Add()([x])))
    wide = keras.Input((E,))
    with pytest.raises(GraphError, match="do not go together"):
        keras_side.read(keras.Model([x, wide], layers.Add()([x, wide])))


class Idioms(torch.nn.Module):
    """Merges as a person writes them."""

    def forward(self, a, b):
        """All of them."""
        total = a + b + a
        mean = (a + b) / 2
        largest = torch.maximum(a, b).minimum(total)
        twice = mean + mean
        return total, mean, a * b * total, largest, a - b, torch.add(a, b), twice, torch.bmm(a, b.mul(a))


def test_torch_idioms_are_read() -> None:
    values = [Value(name, ("N", 3, 3), "float32") for name in "ab"]
    module = Idioms()
    graph = torch_side.read(module, values)
    kinds = {node.op.kind for node in graph.nodes}
    assert kinds >= {"Add", "Multiply", "Maximum", "Minimum", "Subtract"}
    assert verify(module_with(module, graph), graph_form(graph)).ok


def module_with(module, graph):
    written = torch_side.write(graph)
    a, b = (torch.randn(2, 3, 3) for _ in range(2))
    for one, two in zip(module(a, b), written(a, b), strict=True):
        assert torch.equal(one, two)
    return written


def graph_form(graph):
    return keras_side.write(graph)


def test_torch_arithmetic_with_numbers_is_read() -> None:
    class Scaled(torch.nn.Module):
        def forward(self, a):
            return a * 2 - 1 / (3 + a * a)

    graph = torch_side.read(Scaled(), [Value("a", ("N", E), "float32")])
    a = torch.randn(4, E)
    torch.testing.assert_close(torch_side.write(graph)(a), Scaled()(a))


def test_learned_averages(tmp_path: Path) -> None:
    """Of masked and of unmasked sequences, and of rows; one share, and one for each unit."""
    inputs = [keras.Input((None,), dtype="int32", name=name) for name in "abc"]
    a, b, c = embedded(inputs, (True, True, False))
    both = LearnedAverage(name="both")([a, b])
    one = LearnedAverage(per_unit=True, name="one")([a, c])
    ends = [layers.GlobalAveragePooling1D(name=f"end_{i}")(x) for i, x in enumerate((both, one))]
    model = quiet_model(inputs, [both, one, *ends, LearnedAverage(per_unit=True, name="rows")(ends)])
    graph = check_everywhere(model, tmp_path)
    shapes = [graph[name].op.weights()["weight"].shape for name in ("both", "one", "rows")]
    assert shapes == [(), (E,), (E,)]
    assert [graph[f"end_{i}"].masks[0] is None for i in range(2)] == [False, True]
    assert keras_side.read(load_file(tmp_path / "model.keras")) == graph
    session = export.Session(tmp_path / "fused.onnx", device="cpu")
    for shape in ((0, 4), (3, 0), (0, 0)):
        empty = [np.zeros(shape, "int32")] * 3
        with np.errstate(invalid="ignore"):
            wanted = reference.run(graph, empty)
        for exact, found in zip(wanted, session.run(empty), strict=True):
            np.testing.assert_allclose(found, exact, atol=1e-6)


def test_a_learned_average_of_the_halves_of_a_layer(tmp_path: Path) -> None:
    x = keras.Input((4,), dtype="int32", name="ids")
    (table,) = embedded([x], (True,))
    halves = layers.Bidirectional(
        layers.GRU(4, return_sequences=True),
        merge_mode=None,  # pyright: ignore[reportArgumentType]
    )(table)
    check_everywhere(quiet_model(x, LearnedAverage(per_unit=True)(halves)), tmp_path)


@pytest.mark.parametrize("fault", ["exchanged", "negated"])
def test_a_fault_of_a_learned_average_is_found(fault: str, tmp_path: Path) -> None:
    values = tuple(Value(name, ("N", E), "float32") for name in "ab")
    weight = np.array([0.4, -1.2, 2.0], "float32")
    right, wrong = (
        Graph(values, (Node("y", ops.LearnedAverage(weight=array), names),), ("y",))
        for array, names in [
            (weight, ("a", "b")),
            (weight, ("b", "a")) if fault == "exchanged" else (weight[::-1].copy(), ("a", "b")),
        ]
    )
    export.write(wrong, tmp_path / "wrong.onnx")
    report = verify(right, torch_side.write(wrong), keras_side.write(wrong), tmp_path / "wrong.onnx")
    assert len(report.at_fault) == 3


def test_a_learned_average_takes_two_inputs_of_one_shape() -> None:
    op = ops.LearnedAverage(weight=np.ones(E, "float32"))
    wide, long, row = (ops.Tensor(shape, "float32") for shape in [("N", 4, E), ("N", 5, E), ("N", E)])
    for inputs in ([wide], [wide, long], [wide, row], [ops.Tensor(("N", 2), "float32")] * 2):
        with pytest.raises(GraphError):
            op.infer(inputs)
    with pytest.raises(WeightError):
        ops.LearnedAverage(weight=np.ones((2, E), "float32"))


def test_no_other_layer_of_somebody_s_own_is_read_under_its_name(tmp_path: Path) -> None:
    """Not another class of that name, nor of another package, nor one never registered."""
    x = [keras.Input((E,), name=name) for name in "ab"]
    path = tmp_path / "model.keras"
    keras.Model(x, LearnedAverage(name="mine")(x)).save(path)
    keras_side.read(path)
    for change in (
        {"registered_name": "other>LearnedAverage"},
        {"registered_name": "biport>Average"},
        {"registered_name": None},
        {"registered_name": None, "module": "keras.layers"},
        {"class_name": "Average"},
    ):
        changed = tmp_path / "changed.keras"
        rewrite(path, changed, change)
        with pytest.raises(UnsupportedError, match="'mine'"):
            keras_side.read(changed)


def test_a_live_layer_of_somebody_s_own_is_not_read_under_its_name() -> None:
    registered = keras.saving.register_keras_serializable("biport", "LearnedAverage")

    class Other(LearnedAverage):
        """Computes what it likes."""

    registered(Other)
    try:
        x = [keras.Input((E,), name=name) for name in "ab"]
        with pytest.raises(UnsupportedError, match="'mine'"):
            keras_side.read(keras.Model(x, Other(name="mine")(x)))
    finally:
        registered(LearnedAverage)


def rewrite(path: Path, changed: Path, change: dict) -> None:
    """A copy of a file with another description of the layer ``mine``."""
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(changed, "w") as copy:
        for name in archive.namelist():
            data = archive.read(name)
            if name == "config.json":
                config = json.loads(data)
                for entry in config["config"]["layers"]:
                    if entry["config"]["name"] == "mine":
                        entry |= change
                data = json.dumps(config).encode()
            copy.writestr(name, data)
