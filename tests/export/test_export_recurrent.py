"""Every recurrent op in ONNX against the oracle: in every direction, under every mask, at every size."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import export
from biport import ops, reference
from biport.compare.tolerance import Verdict
from biport.graph import Graph, Node, Value
from export.onnx import fused_node
from export.onnx.step_layout import StepLayout
from export.recurrent import scan
from export.recurrent.body import Body
from testing.cover import covering
from testing.recurrent_graphs import (
    KINDS,
    H,
    I,
    both_ways,
    cases_of,
    cell,
    check,
    counts,
    graph_of,
    inputs_of,
    stack,
    verdicts,
)

NODES = {"lstm": "LSTM", "gru": "GRU", "gru_before": "GRU", "rnn": "RNN"}
LOOPED: dict[str, Any] = {"activation": "hard_tanh"}
SEQUENCES = pytest.mark.parametrize("sequences", [False, True], ids=["last", "sequences"])
STATE = pytest.mark.parametrize("state", [False, True], ids=["", "state"])
REVERSE = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
CARRY = pytest.mark.parametrize("carry", [False, True], ids=["zeros", "carry"])


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def settings_of(sequences: bool, state: bool, **more: bool) -> dict[str, bool]:
    carry = {"zero_output_for_mask": not more.pop("carry")} if "carry" in more else {}
    return {"return_sequences": sequences, "return_state": state, **carry, **more}


@pytest.mark.cover(2)
@STATE
@CARRY
@SEQUENCES
@REVERSE
@pytest.mark.parametrize("looped", [False, True], ids=["fused", "scan"])
@pytest.mark.parametrize("kind", KINDS)
def test_one_direction(kind, looped, reverse, sequences, carry, state, rng, tmp_path):
    settings = settings_of(sequences, state, carry=carry, reverse=reverse)
    op = cell(rng, kind, I, H, **settings, **(LOOPED if looped else {}))
    for masked, states in itertools.product((True, False), repeat=2):
        check(op, tmp_path, rng, {"Scan" if looped else NODES[kind]: 1}, masked=masked, states=states)


@pytest.mark.parametrize("looped", [False, True], ids=["fused", "scan"])
@pytest.mark.parametrize("kind", KINDS)
def test_200_steps(kind, looped, rng, tmp_path):
    """What errs a little at every step has gone far by the end."""
    op = cell(rng, kind, I, H, return_sequences=True, **(LOOPED if looped else {}))
    graph = graph_of(op)
    export.write(graph, tmp_path / "model.onnx", lowering="fused", vectors=False)
    verdict_of = verdicts(graph, tmp_path / "model.onnx", {"long": inputs_of(graph, rng, "holes", 3, 200)})
    assert [verdict for verdict, _ in verdict_of.values()] == [Verdict.SAME]


@pytest.mark.cover(2)
@STATE
@SEQUENCES
@pytest.mark.parametrize("looped", [False, True], ids=["fused", "scan"])
@pytest.mark.parametrize("merge", ops.MERGE_MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_two_directions(kind, merge, looped, sequences, state, rng, tmp_path):
    settings = settings_of(sequences, state)
    pair = [cell(rng, kind, I, H, **settings, **(LOOPED if looped else {})) for _ in range(2)]
    nodes = {"Scan": 2} if looped else {NODES[kind]: 1}
    for masked, states in itertools.product((True, False), repeat=2):
        check(both_ways(pair[0], pair[1], merge), tmp_path, rng, nodes, masked=masked, states=states)


@pytest.mark.cover(2)
@STATE
@SEQUENCES
@pytest.mark.parametrize("merge", ["concat", None])
@pytest.mark.parametrize(
    ("one", "two", "nodes"),
    [
        (("lstm", H, {}), ("gru", H, {}), {"LSTM": 1, "GRU": 1}),
        (("gru", H, {}), ("gru_before", H, {}), {"GRU": 2}),
        (("rnn", H, {}), ("rnn", 4, {}), {"RNN": 2}),
        (("lstm", H, {}), ("lstm", H, {"activation": "softsign"}), {"LSTM": 2}),
        (("lstm", H, LOOPED), ("rnn", 1, {}), {"Scan": 1, "RNN": 1}),
    ],
    ids=lambda given: "".join(map(str, given[:2])) if isinstance(given, tuple) else None,
)
def test_directions_that_differ_take_a_node_each(one, two, nodes, merge, sequences, state, rng, tmp_path):
    settings = settings_of(sequences, state)
    pair = [cell(rng, kind, I, size, **settings, **more) for kind, size, more in (one, two)]
    for masked, states in itertools.product((True, False), repeat=2):
        check(both_ways(pair[0], pair[1], merge), tmp_path, rng, nodes, masked=masked, states=states)


@pytest.mark.cover(2)
@STATE
@CARRY
@SEQUENCES
@REVERSE
def test_stacks(reverse, sequences, carry, state, rng, tmp_path):
    settings = settings_of(sequences, state, carry=carry, reverse=reverse)
    op = stack(rng, ["gru", "lstm", "rnn"], I, **settings)
    for masked, states in itertools.product((True, False), repeat=2):
        check(op, tmp_path, rng, {"GRU": 1, "LSTM": 1, "RNN": 1}, masked=masked, states=states)


@pytest.mark.cover(1)
@pytest.mark.parametrize("merge", ["concat", "ave", None])
@STATE
@SEQUENCES
def test_stacks_in_both_directions(sequences, state, merge, rng, tmp_path):
    settings = settings_of(sequences, state)
    one, two = (stack(rng, ["lstm", "lstm"], I, **settings) for _ in range(2))
    op = both_ways(one, two, merge)
    for masked, states in itertools.product((True, False), repeat=2):
        check(op, tmp_path, rng, {"LSTM": 4}, masked=masked, states=states)


def test_a_stack_stays_in_step_form(rng, tmp_path):
    looped = cell(rng, "gru", H, 4, activation="gelu")
    cells = cell(rng, "lstm", I, H), looped, cell(rng, "rnn", 4, 2)
    op = ops.StackedRNN(cells=cells, reverse=True, return_sequences=True)
    check(op, tmp_path, rng, {"LSTM": 1, "Scan": 1, "RNN": 1})
    kinds = [node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node]
    assert (kinds.count("Gather"), kinds.count("ScatterElements")) == (2, 1)


@pytest.mark.cover(2)
@pytest.mark.parametrize("looped", [False, True], ids=["fused", "scan"])
@pytest.mark.parametrize("biases", [0, 1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_biases(kind, biases, looped, rng, tmp_path):
    more = LOOPED if looped else {}
    pair = [cell(rng, kind, I, H, biases, **more), cell(rng, kind, I, H, (biases + 2) % 3, **more)]
    check(pair[0], tmp_path, rng, {"Scan" if looped else NODES[kind]: 1})
    check(both_ways(pair[0], pair[1]), tmp_path, rng, {"Scan": 2} if looped else {NODES[kind]: 1})


def tame(op: ops.Cell) -> ops.Cell:
    """The op with weights so small that over a few steps no activation makes it grow much."""
    return type(op).build(op.settings(), {path: array / 15 for path, array in op.weights().items()})


SETTINGS = [(kind, setting) for kind in KINDS for setting in ("activation", "recurrent_activation")][:-1]


@pytest.mark.cover(1)
@pytest.mark.parametrize("name", ops.ACTIVATIONS)
@pytest.mark.parametrize(("kind", "setting"), SETTINGS)
def test_every_activation_in_every_position(kind, setting, name, rng, tmp_path):
    settings: dict[str, Any] = {"activation": "softsign"} if name in fused_node.FUSED else {}
    settings |= {setting: name, "return_state": True}
    op = tame(cell(rng, kind, I, H, **settings))
    is_fused = name in fused_node.FUSED
    check(op, tmp_path, rng, {NODES[kind] if is_fused else "Scan": 1}, states=True, leave_out=["long"])
    pair = op, tame(cell(rng, kind, I, H, **settings))
    nodes = {NODES[kind]: 1} if is_fused else {"Scan": 2}
    check(both_ways(pair[0], pair[1]), tmp_path, rng, nodes, leave_out=["long"])


def test_only_softplus_is_fused_by_onnx_and_not_here(rng, tmp_path):
    assert "softplus" in ops.ACTIVATIONS
    assert "softplus" not in fused_node.FUSED
    op = cell(rng, "rnn", I, H, activation="softplus")
    graph = graph_of(op, masked=False)
    export.write(graph, tmp_path / "model.onnx")
    # Where a fused softplus overflows.
    cases = {"large": [np.full((2, 1, I), 100, "float32") * np.sign(op.weight_ih["h"][0])]}
    assert verdicts(graph, tmp_path / "model.onnx", cases)["y"][0] is Verdict.SAME


@pytest.mark.parametrize("looped", [False, True], ids=["fused", "scan"])
@pytest.mark.parametrize("kind", KINDS)
def test_sizes_of_one(kind, looped, rng, tmp_path):
    op = cell(rng, kind, I, 1, return_state=True, **(LOOPED if looped else {}))
    check(op, tmp_path, rng, {"Scan" if looped else NODES[kind]: 1}, states=True)


@pytest.mark.cover(2)
@pytest.mark.parametrize("masked", [True, False], ids=["masked", ""])
@pytest.mark.parametrize("T", ["T", 6, 1])
@pytest.mark.parametrize("N", ["N", 4])
@pytest.mark.parametrize("looped", [False, True], ids=["fused", "scan"])
@pytest.mark.parametrize("kind", KINDS)
def test_fixed_sizes(kind, looped, N, T, masked, rng, tmp_path):
    op = cell(rng, kind, I, H, return_state=True, return_sequences=True, **(LOOPED if looped else {}))
    graph = graph_of(op, masked=masked, states=True, N=N, T=T)
    export.write(graph, tmp_path / "model.onnx")
    masks = ("holes", "empty row", "all padding") if masked else ("full",)
    cases = {mask: inputs_of(graph, rng, mask, 4, 6) for mask in masks}
    verdict_of = verdicts(graph, tmp_path / "model.onnx", cases)
    assert all(verdict is Verdict.SAME for verdict, _ in verdict_of.values()), verdict_of


@pytest.mark.parametrize("looped", [False, True], ids=["fused", "scan"])
def test_states_of_one_layer_begin_the_next(looped, rng, tmp_path):
    """An encoder and a decoder, of different lengths and masks."""
    more = LOOPED if looped else {}
    encoder = cell(rng, "lstm", I, 4, return_state=True, **more)
    decoder = cell(rng, "lstm", H, 4, return_sequences=True, **more)
    nodes = (
        Node("mask", ops.NotEqual(), ("ids",)),
        Node("encoder", encoder, ("x",), ("encoder:0", "h", "c"), ("mask",)),
        Node("decoder", decoder, ("y", "h", "c")),
    )
    inputs = (
        Value("x", ("N", "T", I), "float32"),
        Value("ids", ("N", "T"), "int32"),
        Value("y", ("N", "T", H), "float32"),
    )
    graph = Graph(inputs, nodes, ("decoder", "c"))
    export.write(graph, tmp_path / "model.onnx", lowering="fused")
    assert counts(tmp_path / "model.onnx") == ({"Scan": 2} if looped else {"LSTM": 2})
    cases = cases_of(graph, rng)
    for case, (x, ids, y) in list(cases.items()):
        cases[f"{case}, other length"] = [x, ids, np.concatenate([y, y[:, :3]], axis=1)]
        cases[f"{case}, nothing to decode"] = [x, ids, y[:, :0]]
    verdict_of = verdicts(graph, tmp_path / "model.onnx", cases)
    assert all(verdict is Verdict.SAME for verdict, _ in verdict_of.values()), verdict_of


def test_layers_hand_over_step_form(rng, tmp_path):
    kinds = ["gru", "rnn", "lstm"]
    layers = [cell(rng, kind, I, I, return_sequences=kind != "lstm") for kind in kinds]
    layers[1] = cell(rng, "rnn", I, I, return_sequences=True, activation="gelu")
    names = ["x", *kinds]
    nodes = [Node(name, op, (x,), masks=("mask",)) for name, op, x in zip(kinds, layers, names, strict=False)]
    inputs = (Value("x", ("N", "T", I), "float32"), Value("ids", ("N", "T"), "int32"))
    graph = Graph(inputs, (Node("mask", ops.NotEqual(), ("ids",)), *nodes), ("lstm",))
    report = export.write(graph, tmp_path / "model.onnx", lowering="fused")
    assert counts(tmp_path / "model.onnx") == {"GRU": 1, "Scan": 1, "LSTM": 1}
    assert report.nodes["Gather"] == 1
    assert verdicts(graph, tmp_path / "model.onnx", cases_of(graph, rng))["lstm"][0] is Verdict.SAME


def test_notes_name_the_layer_and_why(rng, tmp_path):
    op = both_ways(cell(rng, "gru", I, H, activation="gelu"), cell(rng, "rnn", I, H, activation="softplus"))
    report = export.write(graph_of(op), tmp_path / "model.onnx")
    assert report.notes == [
        "node 'y': activation gelu is not fused by ONNX; written as a Scan",
        "node 'y': onnxruntime overflows in a fused softplus; written as a Scan",
    ]
    assert report.as_dict()["notes"] == report.notes
    assert export.write(graph_of(cell(rng, "rnn", I, H)), tmp_path / "other.onnx").notes == []


@pytest.mark.parametrize(
    ("kind", "settings", "wanted"),
    [
        ("lstm", {}, []),
        ("gru", {}, ["linear_before_reset"]),
        ("gru_before", {}, []),
        ("rnn", {}, []),
        ("rnn", {"activation": "relu"}, ["activations"]),
        (
            "lstm",
            {"recurrent_activation": "hard_sigmoid"},
            ["activation_alpha", "activation_beta", "activations"],
        ),
        (
            "gru",
            {"recurrent_activation": "hard_sigmoid_keras2"},
            ["activation_alpha", "activation_beta", "activations", "linear_before_reset"],
        ),
        ("gru_before", {"activation": "elu"}, ["activation_alpha", "activations"]),
    ],
)
def test_attributes_are_left_out_where_they_are_defaults(kind, settings, wanted, rng, tmp_path):
    export.write(graph_of(cell(rng, kind, I, H, **settings)), tmp_path / "model.onnx", lowering="fused")
    (node,) = [node for node in onnx.load(tmp_path / "model.onnx").graph.node if node.op_type == NODES[kind]]
    attributes = {attribute.name for attribute in node.attribute}
    assert attributes == {"direction", "hidden_size", *wanted}


@pytest.mark.parametrize("contract", [None, "right-padded"])
@pytest.mark.parametrize("sequences", [False, True], ids=["last", "sequences"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_row_is_run_over_no_steps(kind, sequences, contract, rng, tmp_path):
    """A length of 0 is not in the standard; onnxruntime's RNN reads before its buffer there up to 1.25."""
    op = cell(rng, kind, I, H, return_sequences=sequences, return_state=True)
    graph = graph_of(both_ways(op, op), states=True)
    export.write(graph, tmp_path / "model.onnx", lowering="fused", contract=contract)
    model = onnx.load(tmp_path / "model.onnx")
    (node,) = [node for node in model.graph.node if node.op_type == NODES[kind]]
    lengths = onnx.helper.make_tensor_value_info(node.input[4], onnx.TensorProto.INT32, ["N"])
    model.graph.output.append(lengths)
    onnx.save(model, tmp_path / "lengths.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "lengths.onnx", providers=["CPUExecutionProvider"])
    for arrays in (inputs_of(graph, rng, "right"), inputs_of(graph, rng, "full", N=4, T=1)):
        arrays[1][1:3] = 0
        *outputs, steps = session.run(None, dict(zip((v.name for v in graph.inputs), arrays, strict=True)))
        assert np.asarray(steps).tolist() == np.maximum((arrays[1] != 0).sum(axis=1), 1).tolist()
        # Whatever the node gives for such a row, nobody reads it.
        for given, exact in zip(outputs, reference.run(graph, arrays), strict=True):
            np.testing.assert_allclose(np.asarray(given), exact, atol=1e-6)


CHILD = """
import sys
import numpy as np
import export
for path in sys.argv[1:]:
    session = export.Session(path, device="cpu", threads=1)
    for N, T in ((0, 7), (4, 0), (0, 0)):
        sizes = {"N": N, "T": T, "T_2": T}
        shapes = [[sizes.get(str(dim), dim) for dim in value.shape] for value in session.input_values]
        feed = [np.ones(shape, v.dtype) for shape, v in zip(shapes, session.input_values)]
        y, *states = session.run(feed)
        print(y.any(), all((state == 1).all() for state in states))
"""


def test_empty_inputs_in_a_process_of_its_own(rng, tmp_path):
    flags = True, False
    cases = list(itertools.product(KINDS, flags, flags, flags, flags))
    paths = []
    for index in covering([dict(enumerate(case)) for case in cases], 3):
        kind, looped, masked, sequences, both = cases[index]
        more = LOOPED if looped else {}
        op = cell(rng, kind, I, H, return_state=True, return_sequences=sequences, **more)
        paths.append(str(tmp_path / f"{len(paths)}.onnx"))
        layer = both_ways(op, op) if both else op
        export.write(graph_of(layer, masked=masked, states=True), paths[-1], vectors=False)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *paths], capture_output=True, text=True, timeout=120, cwd=root
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["False True"] * (3 * len(paths))


def differs(op: ops.Op, folder: Path, rng: np.random.Generator, **how: bool) -> set[str]:
    """The kinds of inputs over which the written op is not the oracle's."""
    graph = graph_of(op, **how)
    export.write(graph, folder / "model.onnx", overwrite=True)
    cases = cases_of(graph, rng)
    wrong = set()
    for case, arrays in cases.items():
        verdict_of = verdicts(graph, folder / "model.onnx", {case: arrays})
        wrong |= {case} if any(verdict is Verdict.DIFFERENT for verdict, _ in verdict_of.values()) else set()
    return wrong


class TestPlantedFaults:
    """Each is found, and only where it matters."""

    @pytest.mark.parametrize("order", ["rzh", "hrz"])
    @pytest.mark.parametrize("kind", ["gru", "gru_before"])
    def test_a_wrong_gate_order(self, kind, order, rng, tmp_path, monkeypatch):
        monkeypatch.setitem(fused_node.ORDERS, ops.GRU, order)
        assert "full" in differs(cell(rng, kind, I, H), tmp_path, rng)

    def test_reset_on_the_wrong_side(self, rng, tmp_path, monkeypatch):
        monkeypatch.setattr(fused_node, "_attributes", lambda cells: {})
        assert "full" in differs(cell(rng, "gru", I, H), tmp_path, rng)

    def test_alphas_of_other_activations(self, rng, tmp_path, monkeypatch):
        monkeypatch.setitem(fused_node.FUSED, "hard_sigmoid", ("HardSigmoid", 0.2, 0.5))
        op = cell(rng, "lstm", I, H, recurrent_activation="hard_sigmoid", activation="elu")
        assert "full" in differs(op, tmp_path, rng)

    @pytest.mark.parametrize("kind", KINDS)
    def test_states_of_rows_without_steps(self, kind, rng, tmp_path, monkeypatch):
        monkeypatch.setattr(StepLayout, "_idle", None)
        op = cell(rng, kind, I, H, return_state=True)
        wrong = differs(op, tmp_path, rng, states=True)
        assert {"empty row", "all padding", "(4, 0)"} <= wrong
        assert not wrong & {"full", "right", "left"}

    def test_outputs_of_rows_without_steps_in_a_scan(self, rng, tmp_path, monkeypatch):
        monkeypatch.setattr(StepLayout, "_idle", None)
        op = cell(rng, "gru", I, H, **LOOPED)
        wrong = differs(op, tmp_path, rng, states=True)
        assert {"empty row", "all padding", "(4, 0)"} <= wrong
        assert not wrong & {"full", "right", "left"}

    @pytest.mark.parametrize("reverse", [False, True])
    def test_a_scan_that_goes_on_behind_the_end(self, reverse, rng, tmp_path, monkeypatch):
        monkeypatch.setattr(StepLayout, "valid", lambda layout, scope: None)
        wrong = differs(cell(rng, "rnn", I, H, reverse=reverse, **LOOPED), tmp_path, rng)
        assert {"right", "left", "holes"} <= wrong
        assert "full" not in wrong

    def test_a_scan_of_the_wrong_direction(self, rng, tmp_path, monkeypatch):
        real = scan.looped
        monkeypatch.setattr(
            "export.recurrent.body.looped", lambda s, step, reverse, *a: real(s, step, not reverse, *a)
        )
        wrong = differs(cell(rng, "rnn", I, H, **LOOPED), tmp_path, rng)
        assert "full" in wrong
        assert "(1, 1)" not in wrong

    def test_swapped_states(self, rng, tmp_path, monkeypatch):
        real = Body.written
        monkeypatch.setattr(Body, "written", lambda body, step, states: real(body, step, states[::-1]))
        assert "full" in differs(cell(rng, "lstm", I, H, **LOOPED), tmp_path, rng, states=True)
