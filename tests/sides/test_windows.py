"""Convolution and pooling over windows of time: every padding, every length, and what is too short."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnxruntime
import pytest
import torch
from keras import layers
from torch import nn

import export
import keras_side
import torch_side
from biport import ops, reference, verify
from biport.analysis.lengths import needed_steps
from biport.compare.tolerance import Verdict
from biport.errors import GraphError, InputError, UnsupportedError
from biport.graph import Graph, Node, Value
from keras_side.require import register
from keras_side.shared.activations import write_activation
from testing.graphs import lstm
from testing.models import check_everywhere, check_same, quiet_model

pytestmark = pytest.mark.filterwarnings("ignore:.*does not support masking")

I = 4
CONVOLUTIONS = [
    {"kernel_size": 4, "padding": "same", "strides": 3},
    {"kernel_size": 3, "padding": "same", "dilation_rate": 2},
    {"kernel_size": 2, "padding": "causal", "dilation_rate": 3},
    {"kernel_size": 3, "strides": 2, "use_bias": False},
    {"kernel_size": 3, "groups": 2, "padding": "same"},
]
MORE_CONVOLUTIONS = [
    {"kernel_size": 3},
    {"kernel_size": 1, "padding": "same"},
    {"kernel_size": 2, "padding": "same"},
    {"kernel_size": 2, "padding": "same", "strides": 5},
    {"kernel_size": 3, "padding": "causal"},
    {"kernel_size": 3, "padding": "causal", "strides": 2},
    {"kernel_size": 2, "dilation_rate": 4},
    {"kernel_size": 2, "groups": 4, "strides": 2},
]


def every_length(graph: Graph, module, path: Path, lengths, size: int = I) -> None:
    """Torch and ONNX over each of ``lengths``, against the oracle."""
    session = export.Session(path)
    for steps in lengths:
        x = np.random.default_rng(steps).normal(size=(2, steps, size)).astype("float32")
        (wanted,) = reference.run(graph, [x])
        np.testing.assert_allclose(session.run([x])[0], wanted, atol=2e-5)
        np.testing.assert_allclose(torch_side.run(module, [x])[0], wanted, atol=2e-5)
        assert session.run([x[:0]])[0].shape == (0, *wanted.shape[1:])


@pytest.mark.parametrize(
    "settings",
    [*CONVOLUTIONS, *(pytest.param(one, marks=pytest.mark.sweep) for one in MORE_CONVOLUTIONS)],
    ids=str,
)
def test_convolution(settings: dict, tmp_path: Path) -> None:
    x = keras.Input((None, I), name="x")
    model = quiet_model(x, layers.Conv1D(8, activation="tanh", **settings)(x))
    graph = check_everywhere(model, tmp_path)
    least = needed_steps(graph)["x"].size
    every_length(graph, torch_side.write(graph), tmp_path / "fused.onnx", range(least, least + 8))
    short = np.zeros((2, least - 1, I), "float32")
    with pytest.raises(InputError):
        reference.run(graph, [short])
    for run in (
        export.Session(tmp_path / "fused.onnx").run,
        partial(torch_side.run, torch_side.write(graph)),
    ):
        with pytest.raises(InputError, match=f"needs {least} or more"):
            run([short])


@pytest.mark.parametrize(
    "activation",
    [
        *("softmax", "hard_sigmoid_keras2"),
        *(
            pytest.param(n, marks=pytest.mark.sweep)
            for n in ("linear", "gelu", "hard_sigmoid", "log_softmax")
        ),
    ],
)
def test_activations(activation: str, tmp_path: Path) -> None:
    register()
    x = keras.Input((7, I), name="x")
    made = layers.Conv1D(3, 2, activation=write_activation(activation))(x)
    check_everywhere(quiet_model(x, made), tmp_path)


@pytest.mark.cover(1)
@pytest.mark.parametrize(("size", "strides"), [(2, None), (3, 1), (3, 2), (2, 5), (1, 1), (5, 3)])
@pytest.mark.parametrize(
    "pooling", [*itertools.product(("MaxPooling1D", "AveragePooling1D"), ("valid", "same"))]
)
def test_pooling(pooling: tuple[str, str], size: int, strides: int | None, tmp_path: Path) -> None:
    kind, padding = pooling
    x = keras.Input((None, I), name="x")
    model = quiet_model(x, getattr(layers, kind)(size, strides, padding)(x))
    graph = check_everywhere(model, tmp_path)
    least = needed_steps(graph)["x"].size
    assert least == (size if padding == "valid" else 1)
    every_length(graph, torch_side.write(graph), tmp_path / "fused.onnx", range(least, least + 8))


@pytest.mark.parametrize("kind", ["GlobalMaxPooling1D", "GlobalAveragePooling1D"])
def test_global_pooling_keeps_the_dimension(kind: str, tmp_path: Path) -> None:
    ids = keras.Input((None,), dtype="int32", name="ids")
    x = layers.Bidirectional(layers.LSTM(2, return_sequences=True))(
        layers.Embedding(9, 3, mask_zero=True)(ids)
    )
    made = getattr(layers, kind)(keepdims=True)(x)
    graph = check_everywhere(quiet_model(ids, [made, layers.Add()([x, made])]), tmp_path)
    assert graph.tensors[graph.outputs[0]].shape == ("N", 1, 4)


def test_a_whole_model_and_the_end_of_the_mask(tmp_path: Path) -> None:
    ids = keras.Input((None,), dtype="int32", name="ids")
    x = layers.Embedding(9, I, mask_zero=True)(ids)
    x = layers.Conv1D(6, 3, activation="relu")(x)
    x = layers.BatchNormalization()(x)
    x = layers.MaxPooling1D(2)(x)
    x = layers.Conv1D(5, 2, padding="causal")(x)
    x = layers.LSTM(3, return_sequences=True)(x)
    x = layers.AveragePooling1D(2, padding="same")(x)
    model = quiet_model(ids, [x, layers.Dense(2)(layers.GlobalMaxPooling1D()(x))])
    graph = check_everywhere(model, tmp_path, tf2onnx=True)
    assert all(mask is None for node in graph.nodes for mask in node.masks)
    assert {name: least.size for name, least in needed_steps(graph).items()} == {"ids": 4}
    session = export.Session(tmp_path / "fused.onnx")
    for found, wanted in zip(
        session.run([np.zeros((0, 9), "int32")]),
        reference.run(graph, [np.zeros((0, 9), "int32")]),
        strict=True,
    ):
        assert found.shape == wanted.shape
    for shape in ((2, 3), (0, 3), (2, 0)):
        with pytest.raises(InputError, match="needs 4 or more"):
            session.run([np.zeros(shape, "int32")])


TOO_SHORT = [
    (
        ops.Conv1D(
            input_size=I, output_size=2, kernel_size=(3,), weight=np.ones((2, I, 3), "float32"), bias=None
        ),
        3,
    ),
    *(
        (kind(pool_size=(3,), strides=(strides,)), 3)
        for strides in (1, 2, 5)
        for kind in (ops.MaxPooling1D, ops.AveragePooling1D)
    ),
    (ops.MaxPooling1D(pool_size=(3,), strides=(2,), padding="same"), 1),
    (ops.GlobalMaxPooling1D(keepdims=True), 1),
]


@pytest.mark.cover(1)
@pytest.mark.parametrize("behind", [False, True], ids=["alone", "before an LSTM"])
@pytest.mark.parametrize(("op", "least"), TOO_SHORT, ids=lambda value: repr(value)[:60])
def test_what_is_too_short_is_refused_by_every_form(
    op: ops.Op, least: int, behind: bool, tmp_path: Path
) -> None:
    """Also by the bare file, over which onnxruntime by itself gives the numbers of windows that hang over."""
    nodes = [Node("y", op, ("x",))]
    width = 2 if isinstance(op, ops.Conv1D) else I
    nodes += [Node("z", lstm(np.random.default_rng(0), width, 3), ("y",))] if behind else []
    graph = Graph((Value("x", ("N", "T", I), "float32"),), tuple(nodes), (nodes[-1].name,))
    export.write(graph, tmp_path / "model.onnx")
    bare = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    session, module = export.Session(tmp_path / "model.onnx"), torch_side.write(graph)
    for steps in range(least):
        x = np.ones((2, steps, I), "float32")
        with pytest.raises(InputError, match=rf"node 'y' .*(found {steps}|over {steps} steps)"):
            reference.run(graph, [x])
        for run in (session.run, partial(torch_side.run, module)):
            with pytest.raises(InputError, match=rf"not defined over {steps} .*needs {least} or more"):
                run([x])
        with pytest.raises(Exception, match="ONNXRuntimeError"):
            bare.run(None, {"x": x})
    for rows in (2, 0):
        x = np.ones((rows, least, I), "float32")
        (exact,) = reference.run(graph, [x])
        for (given,) in (session.run([x]), torch_side.run(module, [x]), bare.run(None, {"x": x})):
            np.testing.assert_allclose(np.asarray(given), exact, atol=1e-6)


def test_keras_refuses_what_is_too_short() -> None:
    x = keras.Input((None, I))
    model = keras.Model(x, layers.AveragePooling1D(3)(x))
    with pytest.raises(ValueError, match="Negative dimension size"):
        model.predict(np.ones((2, 2, I), "float32"), verbose="0")


def test_planted_faults_are_found() -> None:
    x = keras.Input((None, I), name="x")
    model = quiet_model(x, layers.Conv1D(4, 4, padding="same")(x))
    graph = keras_side.read(model)
    (node,) = graph.nodes
    assert isinstance(node.op, ops.Conv1D)
    for fault in (
        {"weight": node.op.weight[:, :, ::-1].copy()},
        {"weight": node.op.weight.swapaxes(0, 1).copy()},
        {"padding": "causal"},
    ):
        wrong = dataclasses.replace(node, op=dataclasses.replace(node.op, **fault))
        report = verify(model, torch_side.write(Graph(graph.inputs, (wrong,), graph.outputs)))
        assert report.verdict is Verdict.DIFFERENT
    pooled = keras.Model(x, layers.AveragePooling1D(3, 1, "same")(x))
    counted = nn.Sequential(_Turn(), nn.AvgPool1d(3, 1, padding=1), _Turn())
    data = np.ones((1, 5, I), "float32")
    (read,) = torch_side.run(
        torch_side.write(torch_side.read(counted, [Value("input", ("N", "T", I), "float32")])), [data]
    )
    np.testing.assert_allclose(read, counted(torch.from_numpy(data)).numpy(), atol=1e-6)
    assert np.asarray(pooled(data))[0, 0, 0] == 1
    assert counted(torch.from_numpy(data))[0, 0, 0] != 1


class _Turn(nn.Module):
    def forward(self, x):
        return x.transpose(1, 2)


class Plain(nn.Module):
    """A convolutional front as a person writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(I, 6, 3, padding=1)
        self.norm = nn.BatchNorm1d(6)
        self.pool = nn.MaxPool1d(2)
        self.second = nn.Conv1d(6, 5, 2, dilation=2)
        self.average = nn.AvgPool1d(3, stride=1)
        self.act = nn.ReLU()
        self.lstm = nn.LSTM(5, 3, batch_first=True)

    def forward(self, x):
        """Over ``(N, T, I)``."""
        x = self.pool(self.norm(torch.relu(self.first(x.transpose(1, 2)))))
        x = self.average(self.act(self.second(x))).permute(0, 2, 1)
        return self.lstm(x)[0]


def test_torch_idioms_are_read(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Plain().eval()
    nn.init.zeros_(module.lstm.get_parameter("bias_hh_l0"))
    graph = torch_side.read(module, [Value("x", ("N", "T", I), "float32")])
    assert [node.op.settings().get("activation") for node in graph.nodes][:1] == ["relu"]
    export.write(graph, tmp_path / "model.onnx")
    check_same(graph, [keras_side.write(graph)], [torch_side.write(graph), tmp_path / "model.onnx"])
    x = torch.randn(2, 20, I)
    torch.testing.assert_close(module(x), torch_side.write(graph)(x))


def test_windows_of_torch_alone_are_read() -> None:
    class Fronts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fronts = nn.ModuleList(
                [
                    nn.Conv1d(I, 2, 3, padding=2),
                    nn.Conv1d(I, 2, 3, padding=1, padding_mode="circular"),
                    nn.MaxPool1d(2, ceil_mode=True),
                    nn.AvgPool1d(2, padding=1),
                ]
            )

        def forward(self, x):
            return [front(x.transpose(1, 2)).transpose(1, 2) for front in self.fronts]

    module = Fronts()
    graph = torch_side.read(module, Value("x", ("N", "T", I), "float32"))
    written = torch_side.write(graph)
    for steps in (6, 7):
        x = torch.randn(2, steps, I)
        for one, two in zip(module(x), written(x), strict=True):
            torch.testing.assert_close(one, two)


def test_torch_refusals() -> None:
    module = nn.Sequential(_Turn(), nn.MaxPool1d(2, dilation=2), _Turn())
    with pytest.raises(UnsupportedError, match="dilation"):
        torch_side.read(module, [Value("input", ("N", "T", I), "float32")])


CHANNELS_FIRST: list[Callable[..., Any]] = [
    partial(layers.GlobalAveragePooling1D),
    partial(layers.GlobalMaxPooling1D, keepdims=True),
    partial(layers.AveragePooling1D, 3, strides=2, padding="same"),
    partial(layers.Conv1D, 6, 3, padding="causal", groups=2, dilation_rate=2, activation="softmax"),
    partial(layers.ZeroPadding1D, (1, 2)),
]
MORE_CHANNELS_FIRST: list[Callable[..., Any]] = [
    partial(layers.GlobalAveragePooling1D, keepdims=True),
    partial(layers.GlobalMaxPooling1D),
    partial(layers.MaxPooling1D, 2),
    partial(layers.Conv1D, 4, 2, activation="tanh"),
    partial(layers.Conv1D, 4, 3, padding="same", strides=2, use_bias=False),
]


@pytest.mark.parametrize(
    "make",
    [*CHANNELS_FIRST, *(pytest.param(make, marks=pytest.mark.sweep) for make in MORE_CHANNELS_FIRST)],
    ids=lambda make: make.func.__name__,
)
def test_channels_first(make: Callable[..., Any], tmp_path: Path) -> None:
    layer = make(data_format="channels_first", name="layer")
    x = keras.Input((I, None if "Global" in type(layer).__name__ else 7), name="x")
    graph = check_everywhere(quiet_model(x, layer(x)), tmp_path)
    assert {type(node.op) for node in graph.nodes} >= {ops.Permute}
    # The weights are found under the layer's name.
    assert graph["layer"].op.kind == type(layer).__name__


def test_channels_first_under_a_mask() -> None:
    """Keras lays the mask of the steps over the features, and so ends where there are more of these."""
    ids = keras.Input((4,), dtype="int32")
    x = layers.Embedding(9, 6, mask_zero=True)(ids)
    with pytest.raises(UnsupportedError, match="channels_first"):
        keras_side.read(keras.Model(ids, layers.GlobalAveragePooling1D("channels_first")(x)))
    largest = keras_side.read(keras.Model(ids, layers.GlobalMaxPooling1D("channels_first")(x)))
    assert not any(largest.nodes[-1].masks)


def test_a_bias_that_keras_adds_along_the_steps_is_refused() -> None:
    """Of channels_first, with as many steps as filters: Keras takes it for one of the last axis."""
    x = keras.Input((3, 6))
    for filters, refused in ((4, True), (5, False)):
        made = layers.Conv1D(filters, 3, data_format="channels_first")(x)
        with pytest.raises(UnsupportedError, match="as many steps as filters") if refused else nullcontext():
            keras_side.read(keras.Model(x, made))


def test_an_image_that_is_too_low_is_told_so_with_the_axis_and_the_layer(tmp_path: Path) -> None:
    """Three rows of pixels are one behind the convolution, where the pool needs two."""
    weight = np.ones((2, 1, 3, 3), "float32")
    conv = ops.Conv2D(input_size=1, output_size=2, kernel_size=(3, 3), weight=weight, bias=None)
    pool = ops.MaxPooling2D(pool_size=(2, 2), strides=(2, 2))
    nodes = Node("conv", conv, ("x",)), Node("pool", pool, ("conv",))
    graph = Graph((Value("x", ("N", "T", "W", 1), "float32"),), nodes, ("pool",))
    export.write(graph, tmp_path / "model.onnx")
    session, module = export.Session(tmp_path / "model.onnx"), torch_side.write(graph)
    for shape, axis, name in (((2, 3, 9, 1), 1, "height"), ((2, 9, 3, 1), 2, "width")):
        x = np.ones(shape, "float32")
        message = (
            f"input 'x': the model is not defined over 3 elements along axis {axis} of shape {shape}; "
            f"it needs 4 or more, for the {name} of node 'pool' (MaxPooling2D)"
        )
        for run in (session.run, partial(torch_side.run, module)):
            with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
                run([x])
        with pytest.raises(InputError, match=rf"^node 'pool' .*needs a {name} of 2 or more, found 1$"):
            reference.run(graph, [x])
    with pytest.raises(GraphError, match=r"^node 'conv': Conv2D needs a height of 3 or more, found 2$"):
        graph.at({"T": 2})
