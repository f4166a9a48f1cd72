"""The gradients of Keras and torch are one, and those of the numpy reference; faults in either are named."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import export
import keras_side
import torch_side
from biport import bundle, ops, verify
from biport.app.cli import app
from biport.compare.cases import random_cases
from biport.compare.finite_differences import Slopes
from biport.compare.report import Report
from biport.compare.tolerance import Verdict
from biport.dims import letter
from biport.errors import InputError
from biport.graph import Graph, Node, Value
from keras_side.layers import LearnedAverage
from keras_side.models.attentive_sentiment import attentive_sentiment as keras_attentive_sentiment
from keras_side.models.seq2seq import seq2seq as keras_seq2seq
from keras_side.models.tagger import tagger as keras_tagger
from testing.graphs import bidirectional, cell, dense, embedding, normal
from testing.models import quiet_model, randomize
from torch_side import layers as torch_layers
from torch_side.models import attentive_sentiment, seq2seq, tagger

T = letter("T")
layers: Any = keras.layers  # Keras annotates fewer types than it takes.


def every_mask(graph: Graph, steps: int = 5) -> list[np.ndarray]:
    """Rows of `random_cases` with every pattern of mask, as one short batch."""
    cases = random_cases(graph)
    rows = [cases[name] for name in ("full", "right", "left", "holes", "all padding")]
    return [np.concatenate([array[:3, :steps] for array in arrays]) for arrays in zip(*rows, strict=True)]


def compared(*forms: Any, graph: Graph | None = None) -> Report:
    """The report over every pattern of mask."""
    graph = keras_side.read(forms[0]) if graph is None else graph
    return verify(*forms, inputs=every_mask(graph), gradients=True)


def check_both(model: Any, module: Any, allowed: float = 1e-10) -> Report:
    """Both have the reference's gradients, and each other's."""
    report = compared(model, module)
    lines = [line for line in report.lines if line.level == "L3"]
    assert [line.form for line in lines] == ["keras"] * 2 + ["torch"] * 3, report.table
    assert report.verdict is Verdict.SAME, report.table
    assert lines[-1].allowed == allowed
    assert "against keras" in lines[-1].error.note
    return report


FAMILIES: dict[str, tuple[Callable[..., Any], Callable[..., Any], dict[str, Any]]] = {
    "sentiment": (
        keras_attentive_sentiment,
        attentive_sentiment,
        {"vocabulary_size": 13, "embedding_size": 5, "units": (4, 3), "attention_units": 6, "classes": 3},
    ),
    "tagger": (
        keras_tagger,
        tagger,
        {"features": 6, "units": 4, "lstm_units": 3, "join": "learned", "tags": 3},
    ),
    "tagger of ids": (
        keras_tagger,
        tagger,
        {"vocabulary_size": 13, "embedding_size": 5, "units": 4, "lstm_units": 3},
    ),
    "seq2seq": (
        keras_seq2seq,
        seq2seq,
        {
            "source_size": 13, "target_size": 11, "embedding_size": 5, "units": (4,), "cell": "gru",
            "attention": "additive",
        },
    ),
}  # fmt: skip


@pytest.mark.sweep
@pytest.mark.parametrize(
    "family",
    [pytest.param(name, marks=pytest.mark.sweep) if "tagger" in name else name for name in FAMILIES],
)
def test_families(family: str) -> None:
    make_keras, make_torch, settings = FAMILIES[family]
    model, twin = randomize(make_keras(**settings)), make_torch(**settings)
    torch_side.load(twin, keras_side.read(model))
    # One head over masked values means something else to Keras in float64.
    double = family != "seq2seq"
    report = check_both(model, twin, 1e-10 if double else 1e-4)
    assert len(report.notes) == (0 if double else 1)
    assert all(
        "keras: gradients in float32, held to 0.0001: node 'attention'" in note for note in report.notes
    )


def recurrent(op: ops.Op, width: int) -> Graph:
    """Masked ids through one recurrent op and a Dense."""
    rng = np.random.default_rng(3)
    nodes = (
        Node("embedding", embedding(rng, 5), ("ids",)),
        Node("mask", ops.NotEqual(), ("ids",)),
        Node("walk", op, ("embedding",), masks=("mask",)),
        Node("head", dense(rng, width, 2), ("walk",)),
    )
    return Graph((Value("ids", ("N", "T"), "int32"),), nodes, ("head",))


CELLS: dict[str, tuple[type[ops.Cell], dict[str, Any]]] = {
    "LSTM": (ops.LSTM, {}),
    "LSTM, two biases": (ops.LSTM, {"biases": 2}),
    "GRU": (ops.GRU, {}),
    "GRU reset before, two biases": (ops.GRU, {"reset_after": False, "biases": 2}),
    # Torch differentiates hard_sigmoid with a 1/6 of float32.
    "GRU reset before, hard_sigmoid": (
        ops.GRU, {"reset_after": False, "recurrent_activation": "hard_sigmoid"}
    ),
    "RNN": (ops.RNN, {"biases": 2}),
    "RNN, no bias": (ops.RNN, {"biases": 0}),
}  # fmt: skip
SWEPT_CELLS = ("LSTM", "GRU reset before, two biases", "RNN")
"""Others have their parts."""


@pytest.mark.parametrize(
    "which", [pytest.param(one, marks=pytest.mark.sweep) if one in SWEPT_CELLS else one for one in CELLS]
)
def test_recurrent_layers_both_ways(which: str) -> None:
    kind, settings = CELLS[which]
    rng = np.random.default_rng(1)
    rule = {"return_sequences": True, "zero_output_for_mask": True}
    one, two = (cell(rng, kind, 5, 4, reverse=reverse, **rule, **settings) for reverse in (False, True))
    graph = recurrent(ops.Bidirectional(forward=one, backward=two), 8)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="two biases were added up")
        model, module = keras_side.write(graph), torch_side.write(graph)
        # The module's own graph is another one where it has two biases.
        orders = [(graph, model, module), *([(module, model)] if settings.get("biases") == 2 else [])]
        for sources in orders:
            report = verify(*sources, inputs=every_mask(graph), gradients=True)
            assert report.verdict is Verdict.SAME, report.table
            *_, line = report.lines
            assert "slopes" not in line.error.note
            assert line.allowed == (1e-6 if "hard" in which else 1e-10)


def small_layers() -> Any:
    """Kinks, statistics, two masked sequences of features, a layer called twice."""
    x = keras.Input((None, 3), name="x")
    masked = layers.Masking(mask_value=0.5)(x)
    y = layers.LSTM(4, return_sequences=True)(masked)
    y = layers.MultiHeadAttention(2, 4)(y, y)
    y = layers.LayerNormalization()(y)
    conv = layers.Conv1D(5, 2, activation="relu", padding="causal")(y)
    conv = layers.BatchNormalization()(conv)
    conv = layers.MaxPooling1D(2)(conv)
    shared = layers.Dense(5, activation="relu")
    twice = shared(shared(conv))
    found = layers.TimeDistributed(layers.PReLU())(twice)
    outputs = [
        layers.GlobalMaxPooling1D()(found),
        layers.Dense(2, activation="softmax")(layers.ReLU()(twice)),
    ]
    return quiet_model(x, outputs)


def test_small_layers_and_float_inputs() -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not support masking.*")
        model = small_layers()
        graph = keras_side.read(model)
        check_both(model, torch_side.write(graph))
        cotangents = [np.ones((15, 5)), np.ones((15, 2, 2))]
        paths = [
            set(side.gradients(form, every_mask(graph), cotangents)[1])
            for side, form in ((keras_side, model), (torch_side, torch_side.write(graph)))
        ]
    # Keras has one bias, torch two that act as their sum.
    assert {path for path in paths[1] if "bias_hh" not in path} == paths[0]
    assert "x" in paths[0]
    # Keras numbers the layers of a process.
    assert [path for path in paths[0] if path.startswith("batch_normalization") and path.endswith(".weight")]
    assert not any("mean" in path or "variance" in path for path in paths[0])


def weighted_average() -> Graph:
    """An LSTM's outputs, averaged by learned scores less what steps at the end lose, in operations."""
    rng = np.random.default_rng(11)
    multiply, add = ops.Elementwise(function="multiply"), ops.Elementwise(function="add")
    nodes = (
        Node("h", cell(rng, ops.LSTM, 3, 4, return_sequences=True), ("x",), masks=("mask",)),
        Node("v", ops.Parameter(value=normal(rng, 4)), ()),
        Node("scores", ops.MatMul(), ("h", "v")),
        Node("steps", ops.Arange(stop=T, output_dtype="float32"), ()),
        Node("tenth", ops.Constant(value=np.array(-0.1, "float32")), ()),
        Node("late", multiply, ("steps", "tenth")),
        Node("lowered", add, ("scores", "late")),
        Node("low", ops.Constant(value=np.array(-1e9, "float32")), ()),
        Node("counted", ops.Where(), ("mask", "lowered", "low")),
        Node("shares", ops.Softmax(axis=1), ("counted",)),
        Node("average", ops.Einsum(equation="nt,nth->nh"), ("shares", "h")),
        Node("gains", ops.Constant(value=np.array([1, -2, 0.5, 3], "float32")), ()),
        Node("gained", multiply, ("average", "gains")),
        Node("size", ops.SizeOf(size=T), ()),
        Node("count", ops.Cast(output_dtype="float32"), ("size",)),
        Node("y", ops.Elementwise(function="divide"), ("gained", "count")),
    )
    inputs = Value("x", ("N", "T", 3), "float32"), Value("mask", ("N", "T"), "bool")
    return Graph(inputs, nodes, ("y",))


def test_operations_that_name_a_dtype_and_constants() -> None:
    graph = weighted_average()
    x, mask = every_mask(graph)
    some = mask.any(axis=1)  # A row of padding is left with rounding of 1e9.
    model, module = keras_side.write(graph), torch_side.write(graph)
    report = verify(model, module, inputs=[x[some], mask[some]], gradients=True)
    assert report.verdict is Verdict.SAME, report.table
    assert [line.form for line in report.lines if line.level == "L3"] == ["keras"] * 2 + ["torch"] * 3
    wide = [x[some].astype("float64"), mask[some]]
    cotangents = Slopes(graph.astype("float64"), wide).cotangents
    _, by_torch = torch_side.gradients(torch_side.write(graph).double(), wide, cotangents)
    # Of constants there are none.
    assert {path.partition(".")[0] for path in by_torch} == {"h", "v", "x"}


def test_what_is_differentiated_is_left_as_it_was() -> None:
    model = randomize(keras_tagger(13, units=3, lstm_units=2))
    graph = keras_side.read(model)
    module: Any = torch_side.write(graph).train()
    module.embedding.weight.requires_grad_(False)
    inputs, cotangents = every_mask(graph), [np.ones((15, 5, 1))]
    found = [
        keras_side.gradients(model, inputs, cotangents),
        torch_side.gradients(module, inputs, cotangents),
    ]
    assert keras_side.read(model) == graph == torch_side.read(module)
    assert module.training
    assert not module.embedding.weight.requires_grad
    assert all(parameter.grad is None for parameter in module.parameters())
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    # Frozen or not, it is differentiated by.
    one, two = (gradients["embedding.weight"] for _, gradients in found)
    np.testing.assert_allclose(one, two, atol=1e-5)
    assert np.abs(one[1:]).max() > 1e-3


def test_a_kink_has_every_gradient_between_its_sides() -> None:
    graph = Graph((Value("x", ("N", 3), "float32"),), (Node("y", ops.ReLU(), ("x",)),), ("y",))
    slopes = Slopes(graph.astype("float64"), [np.zeros((2, 3), "float32")])
    slope, cotangent = slopes["x"], slopes.cotangents[0]
    assert cotangent is not None
    # Relu's gradient at 0 is 0 to the frameworks, and might as well be 1.
    for gradient in (0 * cotangent, 0.5 * cotangent):
        low, high = sorted(slope.sides())
        inside = low - 1e-9 <= (gradient * slope.direction).sum() <= high + 1e-9
        assert (slope.distance(gradient, 1e-9) < 1e-8) is bool(inside)
    assert slope.distance(100 * slope.direction, 1e-9) > 1


class _Scaled(torch.autograd.Function):
    """Hands a tensor on, and a wrong gradient back."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, factor: float) -> torch.Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> Any:
        return slopes[0] * ctx.factor, None


def stack() -> Graph:
    rng = np.random.default_rng(7)
    nodes = (
        Node("embedding", embedding(rng, 5), ("ids",)),
        Node("mask", ops.NotEqual(), ("ids",)),
        Node("bi", bidirectional(rng, 5, 4, "concat", True), ("embedding",), masks=("mask",)),
        Node("other", dense(rng, 8, 8, "tanh"), ("bi",)),
        Node("share", ops.LearnedAverage(weight=normal(rng, 8)), ("bi", "other")),
        Node("head", dense(rng, 8, 2), ("share",)),
    )
    return Graph((Value("ids", ("N", "T"), "int32"),), nodes, ("head",))


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """`stack` in every form, and one batch for it."""
    folder, graph = tmp_path_factory.mktemp("forms"), stack()
    np.savez(folder / "ids.npz", ids=every_mask(graph, 5)[0])
    bundle.write(graph, folder / "bundle")
    keras_side.save(graph, folder / "model.keras")
    export.write(graph, folder / "model.onnx")
    return {path.name: path for path in folder.iterdir()}


def command(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["verify", *map(str, arguments), "--gradients"])


def plant(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """A wrong derivative beside right numbers."""
    one, _, side = fault.partition(" in ")
    if one == "a forget gate":
        weights_of = torch_layers.MaskedLSTM.weights_of

        def scaled(layer: Any, direction: int) -> list[torch.Tensor]:
            weight_ih, weight_hh, *biases = weights_of(layer, direction)
            i, f, g, o = weight_hh.chunk(4)
            return [weight_ih, torch.cat([i, _Scaled.apply(f, 1.001), g, o]), *biases]

        monkeypatch.setattr(torch_layers.MaskedLSTM, "weights_of", scaled)
    elif side == "torch":

        def detached(self: Any, one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                share = torch.sigmoid(self.weight)
            return share * one + (1 - share) * two

        monkeypatch.setattr(torch_layers.LearnedAverage, "forward", detached)
    else:

        def partly(self: Any, inputs: Any) -> Any:
            stopped = keras.ops.stop_gradient(self.weight)
            share: Any = keras.ops.sigmoid(stopped + 0.5 * (self.weight - stopped))
            return share * inputs[0] + (1 - share) * inputs[1]

        # The layer's own code, and nobody else's.
        partly.__module__ = LearnedAverage.__module__
        monkeypatch.setattr(LearnedAverage, "call", partly)


FAULTS = {
    "a forget gate in torch": ("bundle", "weight_hh.f and 1 more"),
    "a share in torch": ("bundle", "share.weight"),
    "a share in keras": ("model.keras", "share.weight"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_found_and_named(
    fault: str, forms: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, fault)
    guilty, weight = FAULTS[fault]
    result = command(forms["model.keras"], forms["bundle"], "--input", forms["ids.npz"], "--json")
    assert result.exit_code == 1, result.output
    data = json.loads(result.stdout)
    assert data["at_fault"] == [guilty]
    lines = [line for line in data["lines"] if line["at_fault"]]
    assert {(line["output"], line["level"]) for line in lines} == {("gradients", "L3")}
    assert f"{weight}, against slopes of the reference" in lines[0]["note"]


def test_command_line(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    nodes = (
        Node("embedding", embedding(rng, 5), ("ids",)),
        Node("mask", ops.NotEqual(), ("ids",)),
        Node("mean", ops.GlobalAveragePooling1D(), ("embedding",), masks=("mask",)),
        Node("head", dense(rng, 5, 1, "sigmoid"), ("mean",)),
    )
    graph = Graph((Value("ids", ("N", "T"), "int32"),), nodes, ("head",))
    model, module = keras_side.save(graph, tmp_path / "model.keras"), bundle.write(graph, tmp_path / "bundle")
    export.write(graph, tmp_path / "model.onnx")
    result = command(model, module, tmp_path / "model.onnx")
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines() if " L3 " in line]
    assert [(row[0], row[1]) for row in rows] == [
        ("model.keras", "loss"), ("model.keras", "gradients"),
        ("bundle", "loss"), ("bundle", "gradients"), ("bundle", "gradients"),
    ]  # fmt: skip
    assert "note: model.onnx: no gradients: an ONNX graph has none" in result.stdout
    # The mean over no steps is NaN, and has no gradient.
    assert "note: gradients without 2 rows of 'all padding', whose outputs are not finite" in result.stdout


def test_two_forms_of_one_framework(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = stack()
    one, two = torch_side.write(graph), torch_side.write(graph)
    assert compared(one, two, graph=graph).verdict is Verdict.SAME
    right = torch_side.Differentiable.__call__

    def slightly_off(self: Any, *arguments: Any) -> Any:
        loss, found = right(self, *arguments)
        factor = 1 + 1e-8 * self.module.meta["faulty"]
        return loss, found | {"head.bias": found["head.bias"] * factor}

    monkeypatch.setattr(torch_side.Differentiable, "__call__", slightly_off)
    one.meta["faulty"], two.meta["faulty"] = False, True
    report = compared(one, two, graph=graph)
    # Too little for slopes to tell who is wrong: the second one is not like the first.
    (line,) = [line for line in report.lines if line.verdict is Verdict.DIFFERENT]
    assert (line.form, line.error.note) == ("torch (2)", "head.bias, against torch")


def test_without_any_gradients_there_is_nothing_to_compare(forms: dict[str, Path]) -> None:
    with pytest.raises(InputError, match=r"no form has gradients.*numpy.*ONNX"):
        verify(stack(), forms["model.onnx"], inputs=every_mask(stack()), gradients=True)
    with pytest.raises(InputError, match="not empty"):
        verify(stack(), torch_side.write(stack()), inputs=[np.ones((0, 3), "int32")], gradients=True)


class Padded(nn.Module):
    """Torch's embedding with a row that is never trained."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 3, padding_idx=0)
        self.head = nn.Linear(3, 2)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """``(N, T)`` to ``(N, T, 2)``."""
        return self.head(self.embedding(ids))


def test_a_row_that_torch_does_not_train_is_a_difference() -> None:
    module = Padded()
    graph = torch_side.read(module)
    again = torch_side.write(graph)
    assert torch_side.read(again) == graph
    forms = module, again, keras_side.write(graph)
    report = verify(*forms, inputs=[np.array([[0, 3, 0], [1, 0, 5]])], gradients=True)
    # The graph keeps the row, and Keras has no such thing.
    assert report.at_fault == ["keras"]
    assert "embedding.weight, against slopes" in report.table


def test_what_keras_leaves_out_in_float64_is_noted() -> None:
    q, v = (keras.Input((None, 3), name=name) for name in "qv")
    masked = layers.Masking()(v)
    model = quiet_model([q, v], layers.Attention(name="attention")([q, masked]))
    graph = keras_side.read(model)
    report = verify(model, torch_side.write(graph), inputs=every_mask(graph), float64=True)
    assert [line.form for line in report.lines if line.level == "L1"] == ["torch"]
    (note,) = report.notes
    assert note.startswith("keras: not run in float64: node 'attention': dtype='float64'")
    assert note in report.table
    assert report.to_json()["notes"] == [note]
