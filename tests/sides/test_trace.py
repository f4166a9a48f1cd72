"""Faults planted in every form are located: node, direction, step, unit, gates; sound forms are left alone.

Where a fault begins is worked out a second time here, by scanning the oracle with and without it.
"""

import copy
import dataclasses
import json
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from typer.testing import CliRunner

import export
import keras_side
import torch_side
from biport import ops, reference, verify
from biport.app.cli import app
from biport.app.forms import Form, open_form
from biport.compare.cases import random_cases
from biport.compare.localize import Oracle, Traced, locate
from biport.compare.localize.alignment import align
from biport.compare.localize.oracle import State
from biport.compare.mistakes.operations import OPERATION_MISTAKES
from biport.dims import letter
from biport.graph import Graph, Node, Value
from testing.graphs import bidirectional, classifier, dense, embedding, lstm, normal

N, T = letter("N"), letter("T")


def stack(merge="concat", sequences=False, seed=0) -> Graph:
    """Masked ids through two BiLSTM layers and a Dense."""
    rng = np.random.default_rng(seed)
    width = 8 if merge == "concat" else 4
    nodes = (
        Node("embedding", embedding(rng, 5), ("ids",)),
        Node("mask", ops.NotEqual(), ("ids",)),
        Node("bi_1", bidirectional(rng, 5, 4, merge, True), ("embedding",), masks=("mask",)),
        Node("bi_2", bidirectional(rng, width, 3, merge, sequences), ("bi_1",), masks=("mask",)),
        Node("head", dense(rng, 6 if merge == "concat" else 3, 2), ("bi_2",)),
    )
    return Graph((Value("ids", ("N", "T"), "int32"),), nodes, ("head",))


def single(**settings) -> Graph:
    """Masked ids through one LSTM and a Dense."""
    rng = np.random.default_rng(1)
    nodes = (
        Node("embedding", embedding(rng, 5), ("ids",)),
        Node("mask", ops.NotEqual(), ("ids",)),
        Node("lstm", lstm(rng, 5, 4, **settings), ("embedding",), masks=("mask",)),
        Node("head", dense(rng, 4, 2), ("lstm",)),
    )
    return Graph((Value("ids", ("N", "T"), "int32"),), nodes, ("head",))


def with_op(graph: Graph, name: str, op: ops.Op) -> Graph:
    nodes = [dataclasses.replace(node, op=op) if node.name == name else node for node in graph.nodes]
    return Graph(graph.inputs, tuple(nodes), graph.outputs)


def op_of(graph: Graph, name: str) -> Any:
    return graph[name].op


def exchanged(op, direction: str, one: str, two: str):
    """Two gates of one direction exchanged."""
    cell = getattr(op, direction)
    other = {one: two, two: one}
    changed = {
        name: {gate: getattr(cell, name)[other.get(gate, gate)] for gate in cell.gates}
        for name in ("weight_ih", "weight_hh", "bias_ih")
    }
    return dataclasses.replace(op, **{direction: dataclasses.replace(cell, **changed)})


def written(form: str, graph: Graph, folder) -> Any:
    """``graph`` as a form."""
    match form:
        case "keras":
            return keras_side.write(graph)
        case "torch":
            return torch_side.write(graph)
        case "onnx":
            return export.write(graph, folder / "model.onnx", overwrite=True).path
    return graph


MERGED = ("concat", "sum", "mul")
FORMS = ("keras", "torch", "onnx", "graph")


def only(graph: Graph, faulty) -> Any:
    """The one finding of a verification of ``graph`` against a faulty form, and its text."""
    report = verify(graph, faulty, trace=True)
    assert report.trace is not None
    (finding,) = report.trace
    assert finding.text in report.table
    assert json.loads(json.dumps(report.to_json(), allow_nan=False))["trace"][0]["node"] == finding.node
    return finding


def first_by_hand(graph: Graph, wrong: Any, name: str, direction: str) -> tuple:
    """The fewest valid steps after which a direction of node ``name`` goes wrong, over all cases and rows."""
    exact, node = Oracle(graph, random_cases(graph)), graph[name]
    best = None
    for number, (case, values) in enumerate(exact.exact.items()):
        x, mask = values[node.inputs[0]], values[str(node.masks[0])]
        right, other = (getattr(op.astype("float64"), direction) for op in (node.op, wrong))
        both = []
        for op in (right, other):
            op = dataclasses.replace(op, return_sequences=True)
            (y,) = reference.REFERENCES.lookup(type(op), "")(op, [x], [mask])
            both.append(y[:, ::-1] if op.reverse else y)
        off = np.abs(both[0] - both[1]).max(axis=-1) > (exact.allowed(name) or 0)
        N, T = off.shape
        for n in range(N):
            count = 0
            for t in reversed(range(T)) if direction == "backward" else range(T):
                count += mask[n, t]
                if off[n, t]:
                    best = min(best or (99,), (count, number, n, t, case))
                    break
    assert best is not None
    return best


@pytest.mark.parametrize(
    "form, sequences, merge",
    [
        ("keras", True, "sum"),
        ("torch", False, "concat"),
        ("onnx", True, "mul"),
        pytest.param("keras", False, "concat", marks=pytest.mark.sweep),
        *(
            pytest.param(form, seq, merge, marks=pytest.mark.sweep)
            for form in ("torch", "onnx")
            for seq in (False, True)
            for merge in MERGED
            if (seq, merge) not in ((False, "concat"), (True, "mul"))
        ),
    ],
)
def test_gates_exchanged_in_one_direction_of_the_second_layer(form, sequences, merge, tmp_path) -> None:
    graph = stack(merge, sequences)
    wrong = exchanged(op_of(graph, "bi_2"), "backward", "i", "f")
    finding = only(graph, written(form, with_op(graph, "bi_2", wrong), tmp_path))
    count, _, row, step, case = first_by_hand(graph, wrong, "bi_2", "backward")
    position = finding.position
    assert (finding.node, finding.kind, finding.suspects) == ("bi_2", "Bidirectional", [])
    assert (position.direction, position.case, position.row, position.step) == ("backward", case, row, step)
    assert (position.scanned, position.padded) == (count, False)
    assert position.unit in position.units
    assert set(position.units) <= {0, 1, 2}
    assert {path: sorted(gates) for path, gates in finding.cause.weights.items()} == {
        f"backward.{name}": ["f", "i"] for name in ("weight_ih", "weight_hh", "bias_ih")
    }
    assert finding.cause.explained
    assert "backward direction, step" in finding.text
    assert "its weights differ in gates f, i" in finding.text


def test_weights_edited_in_live_forms_are_located_without_their_graphs_help(tmp_path) -> None:
    graph = stack(sequences=True)
    model: Any = keras_side.write(graph)
    layer = model.get_layer("bi_2").backward_layer.cell
    kernel = layer.recurrent_kernel.numpy()
    kernel[:, 6:9] += 0.25  # gate c, the third of Keras
    layer.recurrent_kernel.assign(kernel)

    module: Any = torch_side.write(graph)
    with torch.no_grad():
        module.bi_2.weight_hh_l0_reverse[6:9] += 0.25  # gate g, the third of torch

    path = export.write(graph, tmp_path / "model.onnx").path
    file = ir.load(path)
    node: Any = next(node for node in file.graph.all_nodes() if node.name == "bi_2/LSTM")
    recurrent = node.inputs[2].const_value.numpy().copy()
    recurrent[1, 9:12] += 0.25  # gate c, the fourth of ONNX
    node.inputs[2].const_value = ir.tensor(recurrent, name=node.inputs[2].name)
    ir.save(file, path)

    findings: Any = verify(graph, model, module, path, trace=True).trace
    assert [finding.form for finding in findings] == ["keras", "torch", "model.onnx"]
    for finding in findings:
        assert finding.node == "bi_2"
        assert finding.position is not None
        assert finding.position.direction == "backward"
        assert finding.position.scanned == 2  # at the first step there is no state yet
        assert finding.cause.weights == {"backward.weight_hh": ["c"]}
        assert not finding.worked_out
    assert len({finding.position.step for finding in findings}) == 1
    assert len({finding.position.units for finding in findings}) == 1


@pytest.mark.parametrize("form", FORMS)
def test_a_bias_of_a_dense(form, tmp_path) -> None:
    graph = single()
    op = op_of(graph, "head")
    bias = op.bias.copy()
    bias[1] += 0.01
    finding = only(graph, written(form, with_op(graph, "head", dataclasses.replace(op, bias=bias)), tmp_path))
    assert finding.node == "head"
    assert (finding.position.unit, finding.position.units, finding.position.step) == (1, (1,), None)
    assert (finding.position.case, finding.position.row) == ("full", 0)
    assert finding.position.value - finding.position.exact == pytest.approx(0.01, abs=1e-5)
    assert finding.cause.weights == {"bias": []}


@pytest.mark.parametrize("form", FORMS)
def test_a_wrong_merge(form, tmp_path) -> None:
    graph = stack("ave", True)
    wrong = with_op(graph, "bi_1", dataclasses.replace(op_of(graph, "bi_1"), merge="sum"))
    finding = only(graph, written(form, wrong, tmp_path))
    assert (finding.node, finding.position.step, finding.position.direction) == ("bi_1", 0, "")
    assert (finding.position.case, finding.position.row) == ("full", 0)
    if form == "onnx":
        assert finding.cause.variants == ["it merges by 'sum' instead of 'ave'"]
        assert any("Add" in said for said in finding.cause.settings)
    else:
        assert finding.cause.settings == ["its merge is 'sum' instead of 'ave'"]


@pytest.mark.parametrize("form", FORMS)
def test_a_mask_ignored(form, tmp_path) -> None:
    graph = stack(sequences=True)
    nodes = [dataclasses.replace(node, masks=()) if node.name == "bi_1" else node for node in graph.nodes]
    finding = only(graph, written(form, Graph(graph.inputs, tuple(nodes), graph.outputs), tmp_path))
    assert finding.node == "bi_1"
    # Padding on the right is what the backward direction scans first, with zeros until then.
    assert finding.position.padded
    assert finding.position.scanned == 0
    assert finding.position.case not in ("full", "one step")
    assert finding.cause.variants == ["its mask is ignored"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("reverse", (pytest.param(False, marks=pytest.mark.sweep), True))
def test_a_fault_at_padded_steps_only(form, reverse, tmp_path) -> None:
    graph = single(return_sequences=True, reverse=reverse)
    wrong = dataclasses.replace(op_of(graph, "lstm"), zero_output_for_mask=True)
    finding = only(graph, written(form, with_op(graph, "lstm", wrong), tmp_path))
    assert (finding.node, finding.position.padded, finding.position.scanned) == ("lstm", True, 1)
    assert finding.position.value == 0
    ids = random_cases(graph)[finding.position.case][0][finding.position.row]
    assert ids[finding.position.step] == 0
    if form == "onnx":
        (variant,) = finding.cause.variants
        assert variant == "it gives zeros at padded steps instead of the previous output"
    else:
        assert finding.cause.settings == ["its zero_output_for_mask is True instead of False"]


@pytest.mark.parametrize("form", FORMS)
def test_a_wrong_activation(form, tmp_path) -> None:
    graph = single(return_sequences=True)
    wrong = dataclasses.replace(op_of(graph, "lstm"), activation="softsign")
    finding = only(graph, written(form, with_op(graph, "lstm", wrong), tmp_path))
    assert (finding.node, finding.position.step, finding.position.scanned) == ("lstm", 0, 1)
    said = " ".join((*finding.cause.settings, *finding.cause.variants))
    assert "softsign" in said.lower()


def test_a_layer_in_the_middle_is_not_at_fault_for_the_one_before() -> None:
    graph = stack(sequences=True)
    table = op_of(graph, "embedding")
    weight = table.weight.copy()
    weight[[3, 4]] = weight[[4, 3]]
    module = torch_side.write(with_op(graph, "embedding", dataclasses.replace(table, weight=weight)))
    finding = only(graph, module)
    assert (finding.node, finding.cause.weights) == ("embedding", {"weight": []})
    position = finding.position
    assert random_cases(graph)[position.case][0][position.row, position.step] in (3, 4)


def foreign(graph: Graph, wrong: Graph, hide=()) -> Form:
    """A form of which nothing but values is known."""

    def trace(cases, _):
        values = {case: reference.trace(wrong, arrays, "float32") for case, arrays in cases.items()}
        for found in values.values():
            for name in hide:
                del found[name]
        return Traced(values)

    return Form("foreign", lambda arrays: reference.run(wrong, arrays, "float32"), None, trace=trace)


def located(graph: Graph, form: Form) -> Any:
    cases = random_cases(graph)
    outputs = {case: form.run(arrays) for case, arrays in cases.items()}
    return locate(Oracle(graph, cases), cases, {form: outputs})[0]


def test_exchanged_gates_are_recognised_by_what_they_give() -> None:
    graph = stack(sequences=True)
    wrong = exchanged(op_of(graph, "bi_2"), "backward", "i", "f")
    finding = located(graph, foreign(graph, with_op(graph, "bi_2", wrong)))
    assert finding.cause.variants == ["gates i and f are exchanged in its backward direction"]
    assert finding.position.direction == "backward"


@pytest.mark.parametrize("gate", ("i", "o", "c"))
@pytest.mark.parametrize("direction", ("forward", "backward"))
@pytest.mark.sweep
def test_a_gate_that_could_explain_it_is_among_those_named(gate, direction) -> None:
    graph = stack(sequences=True)
    op, rng = op_of(graph, "bi_2"), np.random.default_rng(2)
    cell = getattr(op, direction)
    weight = {**cell.weight_ih, gate: normal(rng, *cell.weight_ih[gate].shape)}
    wrong = dataclasses.replace(op, **{direction: dataclasses.replace(cell, weight_ih=weight)})
    finding = located(graph, foreign(graph, with_op(graph, "bi_2", wrong)))
    assert finding.position.direction == direction
    assert finding.cause.variants == []
    assert gate in finding.cause.gates
    assert "f" not in finding.cause.gates  # there is no state yet for it to act on


def test_no_single_gate_explains_noise() -> None:
    graph = stack(sequences=True)
    op, rng = op_of(graph, "bi_2"), np.random.default_rng(2)
    cell = op.forward
    weight = {gate: normal(rng, *array.shape) * 3 for gate, array in cell.weight_ih.items()}
    wrong = dataclasses.replace(op, forward=dataclasses.replace(cell, weight_ih=weight))
    finding = located(graph, foreign(graph, with_op(graph, "bi_2", wrong)))
    assert finding.cause.gates == []
    assert "explained by no single gate" in finding.text


def test_what_cannot_be_seen_is_named_as_a_suspect() -> None:
    graph = stack(sequences=True)
    wrong = with_op(graph, "bi_1", exchanged(op_of(graph, "bi_1"), "forward", "c", "o"))
    finding = located(graph, foreign(graph, wrong, hide=["embedding", "bi_1"]))
    assert (finding.suspects, finding.node) == (["embedding", "bi_1"], "bi_2")
    assert "one of 'embedding', 'bi_1', 'bi_2'" in finding.text


def test_rounding_amplified_is_no_layers_fault() -> None:
    graph = stack(sequences=True)
    steep = dataclasses.replace(
        op_of(graph, "head"), weight=op_of(graph, "head").weight * np.array(1e4, "float32")
    )
    graph = with_op(graph, "head", steep)
    wrong = op_of(graph, "bi_2")
    bias = {gate: array + np.float32(1e-6) for gate, array in wrong.forward.bias_ih.items()}
    wrong = dataclasses.replace(wrong, forward=dataclasses.replace(wrong.forward, bias_ih=bias))
    finding = located(graph, foreign(graph, with_op(graph, "bi_2", wrong)))
    if finding.node == "head":
        assert finding.cause.own
        assert "amplifies rounding" in finding.text


def test_layers_inside_of_an_nn_lstm_are_told_by_their_weights() -> None:
    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = torch.nn.LSTM(3, 4, num_layers=2, batch_first=True, bidirectional=True)
            self.head = torch.nn.Linear(8, 2)

        def forward(self, x):
            output, _ = self.lstm(x)
            return self.head(output)

    torch.manual_seed(0)
    sound = Plain()
    faulty: Any = copy.deepcopy(sound)
    with torch.no_grad():
        faulty.lstm.weight_ih_l0_reverse[4:8] *= -1
    report = verify(sound, faulty, trace=True)
    assert report.trace is not None
    (finding,) = report.trace
    assert finding.node == "lstm.l1"
    assert finding.suspects == ["lstm.l0"]
    assert finding.causes["lstm.l0"].weights == {"backward.weight_ih": ["f"]}
    assert "'lstm.l0': its weights differ in gate f" in finding.text


def test_of_a_tf2onnx_file_only_the_outputs_are_seen(tmp_path) -> None:
    graph = single()
    wrong = dataclasses.replace(op_of(graph, "lstm"), activation="softsign")
    model = keras_side.write(with_op(graph, "lstm", wrong))
    path = export.write_tf2onnx(model, tmp_path / "model.onnx").path
    finding = only(graph, path)
    assert finding.node == "head"
    assert finding.suspects == ["embedding", "mask", "lstm"]
    assert "only its final outputs can be seen" in finding.text


def test_a_form_that_fails_is_said_to() -> None:
    def broken(arrays):
        raise RuntimeError("no kernel for this")

    graph = stack()
    cases, oracle = random_cases(graph), Oracle(graph, random_cases(graph))
    (finding,) = locate(oracle, cases, {Form("broken", broken): "RuntimeError: no kernel for this"})
    assert finding.text == "broken: cannot be run: RuntimeError: no kernel for this"
    outputs = {case: reference.run(stack(seed=1), arrays) for case, arrays in cases.items()}
    (finding,) = locate(oracle, cases, {Form("broken", broken, trace=lambda *_: broken(())): outputs})
    assert finding.text == "broken: cannot be traced: RuntimeError: no kernel for this"


def everything() -> list[Graph]:
    rng = np.random.default_rng(3)
    return [
        stack("concat"),
        stack("mul", True),
        single(reverse=True, return_sequences=True),
        single(reverse=True),
        classifier(rng, None, units=(4, 3)),
        classifier(rng, "ave", masked=False, units=(1, 2)),
    ]


GRAPHS = [
    graph if number in (0, 2) else pytest.param(graph, marks=pytest.mark.sweep)
    for number, graph in enumerate(everything())
]
"""One of two directions and one of one are enough but for a sweep."""


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: str(len(graph.nodes)))
def test_sound_forms_are_left_alone_and_every_value_seen_is_right(graph, tmp_path) -> None:
    forms = {form: written(form, graph, tmp_path) for form in FORMS}
    report = verify(graph, *forms.values(), trace=True)
    assert report.ok
    assert report.trace == []
    assert report.table.endswith("no form differs from the oracle")
    cases = random_cases(graph)
    oracle = Oracle(graph, cases)
    for name, form in forms.items():
        assert_traced(oracle, cases, name, form, graph)


def assert_traced(oracle, cases, name: str, form, graph: Graph) -> None:
    opened = open_form(form)
    assert opened.trace is not None
    traced = opened.trace(cases, graph)
    # What Keras reads back calls its masks after the layers that made them.
    names = align(opened.graph, graph).values if opened.graph else {}
    values = {
        case: {names.get(name, name): array for name, array in found.items()}
        for case, found in traced.values.items()
    }
    seen = set.intersection(*(set(found) for found in values.values()))
    assert seen >= {output for node in graph.nodes for output in node.outputs}, name
    assert not traced.remarks
    for value in seen & oracle.exact["full"].keys():
        by_case = {}
        for case, found in values.items():
            exact, array = oracle.exact[case][value], found[value]
            if value in traced.valid.get(case, {}):
                array = np.where(traced.valid[case][value][..., None], array, exact)
            by_case[case] = array
        assert oracle.state(value, by_case) is State.AGREES, (name, value)


@pytest.mark.filterwarnings("ignore:.*does not support masking:UserWarning")
@pytest.mark.sweep
def test_keras_models_inside_models_and_layers_called_twice_are_traced() -> None:
    import keras

    layers = keras.layers
    inner_input = keras.Input((None, 3))
    shared = layers.LSTM(3, return_sequences=True, name="shared")
    inner = keras.Model(inner_input, layers.Dense(3, name="inside")(shared(inner_input)), name="inner")
    ids = keras.Input((None,), dtype="int32", name="ids")
    x = layers.Embedding(9, 3, mask_zero=True, name="embedding")(ids)
    twice = layers.LSTM(3, return_sequences=True, name="twice")
    x = twice(inner(twice(x)))
    x = layers.Concatenate(name="joined")([x, inner(x)])
    model = keras.Model(ids, layers.Bidirectional(layers.LSTM(2), name="last")(x))
    rng = np.random.default_rng(4)
    model.set_weights([normal(rng, *array.shape) for array in model.get_weights()])
    graph = keras_side.read(model)
    assert {"twice@1", "inner.shared", "inner@1.inside"} <= {node.name for node in graph.nodes}
    cases = random_cases(graph)
    traced = keras_side.trace(model, cases, graph)
    oracle = Oracle(graph, cases)
    for node in graph.nodes:
        if node.op.kind in ("NotEqual", "LogicalOr"):
            continue
        found = {case: values[node.outputs[0]] for case, values in traced.values.items()}
        assert oracle.state(node.outputs[0], found) is State.AGREES, node.name
    assert "call" not in vars(shared)

    with_fault = keras.models.clone_model(model)
    with_fault.set_weights(model.get_weights())
    dense_layer = with_fault.get_layer("inner").get_layer("inside")
    dense_layer.bias.assign(dense_layer.bias + 0.1)
    finding = only(graph, with_fault)
    assert (finding.node, finding.cause.weights) == ("inner.inside", {"bias": []})


def test_on_the_command_line(tmp_path) -> None:
    graph = stack()
    wrong = with_op(graph, "bi_2", exchanged(op_of(graph, "bi_2"), "backward", "i", "f"))
    good, bad = tmp_path / "good.onnx", tmp_path / "bad.onnx"
    export.write(graph, good)
    export.write(wrong, bad)
    from biport import bundle

    bundle.write(graph, tmp_path / "bundle")
    arguments = ["verify", str(tmp_path / "bundle"), str(good), "--trace"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert done.output.rstrip().endswith("no form differs from the oracle")
    done = CliRunner().invoke(app, [*arguments, str(bad), "--json"])
    assert done.exit_code == 1
    (finding,) = json.loads(done.output)["trace"]
    assert (finding["form"], finding["node"], finding["position"]["direction"]) == (
        "bad.onnx",
        "bi_2",
        "backward",
    )
    assert sorted(finding["cause"]["weights"]["backward.weight_hh"]) == ["f", "i"]


def recurrent_kinds():
    """A Keras model of every recurrent kind, with states handed on and a cell that is a Scan in ONNX."""
    import keras

    layers, rng = keras.layers, np.random.default_rng(5)
    ids = keras.Input((None,), dtype="int32", name="ids")
    x = layers.Embedding(9, 3, mask_zero=True, name="embedding")(ids)
    x = layers.Bidirectional(layers.GRU(4, return_sequences=True), merge_mode="ave", name="gru")(x)
    scan = {"reset_after": False, "recurrent_activation": "hard_silu", "return_sequences": True}
    x = layers.GRU(3, **scan, name="scan")(x)
    x = layers.SimpleRNN(5, return_sequences=True, go_backwards=True, name="rnn")(x)
    x, *states = layers.LSTM(2, return_sequences=True, return_state=True, name="first")(x)
    x = layers.LSTM(2, return_sequences=True, name="second")(x, initial_state=states)
    cells = [layers.LSTMCell(3), layers.GRUCell(2)]
    x = layers.Bidirectional(layers.RNN(cells), name="stacked")(x)
    model = keras.Model(ids, layers.Dense(2, name="head")(x))
    model.set_weights([normal(rng, *array.shape) for array in model.get_weights()])
    return model


@pytest.mark.sweep
def test_every_recurrent_kind_is_traced_and_its_faults_located(tmp_path) -> None:
    model = recurrent_kinds()
    graph = keras_side.read(model)
    cases = random_cases(graph)
    oracle = Oracle(graph, cases)
    path = tmp_path / "model.onnx"
    forms = {"torch": torch_side.write(graph), "onnx": export.write(graph, path).path}
    for name, form in ({"keras": model} | forms).items():
        assert_traced(oracle, cases, name, form, graph)
    faults = {
        "gru": ("backward", "backward.weight_hh.r"),
        "scan": ("", "weight_ih.z"),
        "rnn": ("", "bias_ih.h"),
        "second": ("", "weight_hh.o"),
        "stacked": ("backward", "backward.cells.1.weight_ih.r"),
    }
    for node, (direction, weight) in faults.items():
        op = op_of(graph, node)
        weights = dict(op.weights())
        weights[weight] = weights[weight] + np.array(0.2, "float32")
        wrong = with_op(graph, node, type(op).build(op.settings(), weights))
        for form in ("torch", "onnx"):
            finding = only(graph, written(form, wrong, tmp_path))
            assert (finding.node, finding.position.direction) == (node, direction)
            if (node, form) == ("scan", "onnx"):
                assert finding.cause.settings == ["the initialiser scan/x_z/weight differs"]
            else:
                path, _, gate = weight.rpartition(".")
                assert finding.cause.weights == {path: [gate]}
                assert finding.cause.explained


def pooled() -> Graph:
    """An LSTM's steps, moved and summed up, over how many there are; and the last one of all but one."""
    rng = np.random.default_rng(5)
    nodes = (
        Node("lstm", lstm(rng, 3, 4, return_sequences=True), ("x",), masks=("mask",)),
        Node("shift", ops.Constant(value=np.array([0.5, -1.5, 2.0, 1.0], "float32")), ()),
        Node("moved", ops.Elementwise(function="subtract"), ("lstm", "shift")),
        Node("total", ops.Reduction(function="sum", axes=(1,)), ("moved",)),
        Node("size", ops.SizeOf(size=T), ()),
        Node("count", ops.Cast(output_dtype="float32"), ("size",)),
        Node("average", ops.Elementwise(function="divide"), ("total", "count")),
        Node("flat", ops.ReshapeTo(shape=(N * T, 4)), ("moved",)),
        Node("inner", ops.Slice(items=((None, None, 1), (None, -1, 1))), ("moved",)),
    )
    inputs = Value("x", ("N", "T", 3), "float32"), Value("mask", ("N", "T"), "bool")
    return Graph(inputs, nodes, ("average", "flat", "inner"))


@pytest.mark.cover(1)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "node, name",
    [
        ("shift", "its number is another"),
        ("moved", "its operands are exchanged"),
        ("total", "it is mean instead of sum"),
        ("size", "it is one less"),
        ("flat", "it reads in column order"),
        ("inner", "it begins one later"),
    ],
)
def test_a_fault_in_an_operation(form, node, name, tmp_path) -> None:
    graph = pooled()
    if node == "shift":
        value = np.array([0.5, 1.5, 2.0, 1.0], "float32")
        faulty = with_op(graph, "shift", ops.Constant(value=value))
    else:
        (mistake,) = (one for one in OPERATION_MISTAKES if one.name == name)
        before = next(index for index, one in enumerate(graph.nodes) if one.name == node)
        # In this node alone, of all that could have it.
        alone = mistake.graph(Graph(graph.inputs, graph.nodes[: before + 1], graph[node].outputs))
        changed = [one for one in alone.nodes if one.name.startswith(node)]
        nodes = (*graph.nodes[:before], *changed, *graph.nodes[before + 1 :])
        faulty = Graph(graph.inputs, nodes, graph.outputs)
    finding = only(graph, written(form, faulty, tmp_path))
    assert finding.node == node, finding.text
    assert not finding.suspects, finding.text
    assert "output_dtype" not in finding.text
    # A constant of a file is seen by its numbers.
    assert finding.cause.text or (form, node) == ("onnx", "shift"), finding.text
    # The one thing that is otherwise, and what that makes of it.
    if form != "onnx" and node != "shift" and finding.cause.variants:
        assert name in finding.cause.variants
