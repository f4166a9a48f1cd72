"""The main claim: Keras, torch and both ONNX routes compute what the float64 oracle computes.

5 merge modes, masked or not, one or two layers: every two of these together, each over padding on the right,
on the left, in holes, rows of nothing but padding, one step, and a long batch.
"""

import numpy as np
import pytest
import torch

import export
import keras_side
import torch_side
from biport import ops, verify
from biport.compare.cases import random_cases
from biport.compare.tolerance import Verdict
from biport.graph import Graph, Node, Value
from keras_side.models.sentiment import sentiment
from testing.graphs import MERGES, cell, embedding
from testing.models import check_same, every_mask

UNITS = {"one layer": (4,), "two layers": (4, 3)}


def build(merge: str | None, masked: bool, units: tuple[int, ...], classes: int):
    """A Keras classifier with weights of the scale training leaves and biases that are not zero."""
    model = sentiment(13, 5, units, merge, classes=classes, masked=masked)
    rng = np.random.default_rng(9)
    model.set_weights([(rng.normal(size=a.shape) * 0.6).astype("float32") for a in model.get_weights()])
    return model


PAIRS = [
    (merge, masked, layers)
    for number, merge in enumerate(MERGES)
    for masked, layers in zip((True, False), list(UNITS)[:: 1 if number % 2 == 0 else -1], strict=True)
]
"""Every merge with and without masks, and over one layer and two; so is either with the other."""


@pytest.mark.sweep
@pytest.mark.parametrize(("merge", "masked", "layers"), PAIRS)
def test_all_forms_are_the_same(merge: str | None, masked: bool, layers: str, tmp_path) -> None:
    classes = 3 if merge in ("concat", "mul") else 1
    model = build(merge, masked, UNITS[layers], classes)
    graph = keras_side.read(model)
    module = torch_side.write(graph)
    export.write(graph, tmp_path / "fused.onnx")
    export.write_tf2onnx(model, tmp_path / "tf2onnx.onnx")

    sources = model, module, tmp_path / "fused.onnx", tmp_path / "tf2onnx.onnx"
    report = verify(*sources, float64=True)

    assert report.verdict is Verdict.SAME, report.table
    assert {line.form for line in report.lines} == {"keras", "torch", "fused.onnx", "tf2onnx.onnx"}
    assert [line.form for line in report.lines if line.level == "L1"] == ["keras", "torch"]
    assert set(report.cases) >= {"right", "left", "holes", "all padding"}
    assert report.weights["torch"] == []
    assert report.maximum < 1e-6


@pytest.mark.parametrize(("merge", "masked", "layers"), [PAIRS[number] for number in (1, 2, 4, 7, 8)])
def test_over_fewer_steps_all_of_them_are_the_same(
    merge: str | None, masked: bool, layers: str, tmp_path
) -> None:
    """Every merge, without tf2onnx."""
    model = build(merge, masked, UNITS[layers], 3 if merge in ("concat", "mul") else 1)
    graph = keras_side.read(model)
    export.write(graph, tmp_path / "fused.onnx")
    report = check_same(graph, [model], [torch_side.write(graph), tmp_path / "fused.onnx"])
    assert report.maximum < 1e-6


def test_no_cell_drifts_over_many_steps(tmp_path) -> None:
    rng = np.random.default_rng(6)
    nodes = [Node("embedding", embedding(rng, 5), ("ids",)), Node("mask", ops.NotEqual(), ("ids",))]
    for name, kind in {"gru": ops.GRU, "rnn": ops.RNN, "lstm": ops.LSTM}.items():
        op = cell(rng, kind, 5, 5, return_sequences=True)
        nodes.append(Node(name, op, (nodes[-1].name if name != "gru" else "embedding",), masks=("mask",)))
    graph = Graph((Value("ids", ("N", "T"), "int32"),), tuple(nodes), ("gru", "rnn", "lstm"))
    export.write(graph, tmp_path / "fused.onnx")
    report = verify(graph, torch_side.write(graph), tmp_path / "fused.onnx", float64=True)
    assert report.verdict is Verdict.SAME, report.table
    assert max(ids.shape[1] for (ids,) in random_cases(graph).values()) >= 70


@pytest.mark.sweep
def test_weights_travel_round_bit_for_bit(tmp_path) -> None:
    from torch_side.models.sentiment import sentiment as torch_sentiment

    model = build("sum", True, (4, 3), 3)
    graph = keras_side.read(model)
    twin = torch_sentiment(13, 5, (4, 3), "sum", classes=3, masked=True)
    filled = torch_side.load(twin, graph)
    assert set(filled.filled) == {"embedding", "bilstm_1", "bilstm_2", "classifier"}

    again = sentiment(13, 5, (4, 3), "sum", classes=3, masked=True)
    report = keras_side.load(again, torch_side.read(twin))
    assert report.summed == ()
    for one, two in zip(model.get_weights(), again.get_weights(), strict=True):
        assert one.tobytes() == two.tobytes()
    assert verify(model, twin, again, inputs=every_mask(graph)).ok


def test_a_second_bias_is_added_up_and_reported() -> None:
    from torch_side.models.sentiment import sentiment as torch_sentiment

    torch.manual_seed(0)
    twin = torch_sentiment(13, 5, (4,), "ave", classes=1, masked=True)
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            if "bias_hh" in name:
                parameter.normal_()
    graph = torch_side.read(twin)
    model = sentiment(13, 5, (4,), "ave")
    assert keras_side.load(model, graph).summed == ("bilstm_1",)
    assert verify(twin, model, inputs=every_mask(graph)).ok
    with pytest.warns(UserWarning, match=r"two biases were added up for Keras in: bilstm_1"):
        keras_side.write(graph)


FAULTS = {
    "gates rotated": "bilstm_1.weight_ih_l0",
    "backward bias rotated": "bilstm_1.bias_ih_l0_reverse",
    "words shifted": "embedding.weight",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_and_its_side_named(fault: str) -> None:
    model = build("concat", True, (4, 3), 3)
    module = torch_side.write(keras_side.read(model))
    with torch.no_grad():
        parameter = dict(module.named_parameters())[FAULTS[fault]]
        parameter.copy_(parameter.roll(parameter.shape[0] // 4, 0))
    report = verify(model, module, inputs=every_mask(keras_side.read(model)))
    assert report.verdict is Verdict.DIFFERENT
    assert report.at_fault == ["torch"]
    assert report.weights["torch"] != []
