"""Batch and layer normalisation, along every axis, under masks, and trained in torch."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch
from torch import nn

import export
import keras_side
import torch_side
from biport import ops, reference, verify
from biport.compare.tolerance import Verdict
from biport.errors import GraphError, UnsupportedError, WeightError
from biport.graph import Graph, Node, Value
from testing.models import check_everywhere, every_mask, quiet_model

layers: Any = keras.layers  # Keras annotates fewer types than it takes.

AFFINE = [(True, True), (True, False), (False, True), (False, False)]


def affine(shape: tuple, kind: Callable[..., Any], folder: Path) -> Graph:
    """One model in which the input is normalized with and without a scale and a center."""
    x = keras.Input(shape, name="x")
    graph = check_everywhere(quiet_model(x, [kind(scale=a, center=b)(x) for a, b in AFFINE]), folder)
    empty = np.zeros((0, *(size or 0 for size in shape)), "float32")
    shapes = {output.shape for output in export.Session(folder / "fused.onnx").run([empty])}
    assert shapes == {empty.shape}
    return graph


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        *(((None, 3), -1), ((4, 3), 1), ((4, 2, 3), -2)),
        *(pytest.param(*one, marks=pytest.mark.sweep) for one in (((3,), -1), ((3,), 1), ((4, 3), 2))),
    ],
)
def test_batch_normalization(shape, axis: int, tmp_path: Path) -> None:
    kind = functools.partial(layers.BatchNormalization, axis=axis, epsilon=0.01, momentum=0.9)
    graph = affine(shape, kind, tmp_path)
    assert {node.op.settings()["momentum"] for node in graph.nodes if node.op.weights()} == {0.9}


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        *(((None, 3), -1), ((4, 3), 1), ((4, 2, 3), [-2, -3])),
        *(pytest.param(*one, marks=pytest.mark.sweep) for one in (((3,), -1), ((4, 3), [1, 2]))),
    ],
)
def test_layer_normalization(shape, axis, tmp_path: Path) -> None:
    affine(shape, functools.partial(layers.LayerNormalization, axis=axis), tmp_path)


def test_what_is_far_from_zero_is_normalized_as_exactly(tmp_path: Path) -> None:
    x = keras.Input((3,), name="x")
    graph = keras_side.read(quiet_model(x, layers.LayerNormalization()(x)))
    export.write(graph, tmp_path / "model.onnx")
    far = np.random.default_rng(0).normal(size=(200, 3)).astype("float32") + np.float32(1)
    (exact,) = reference.run(graph, [far], "float64")
    (found,) = export.Session(tmp_path / "model.onnx").run([far])
    np.testing.assert_allclose(found, exact, atol=6e-7)


@pytest.mark.parametrize(
    ("shape", "axis"), [((3,), -1), ((None, 3), -1), ((None, 3), 1), ((4, 3), [2, 1]), ((4, 2, 3), [-2, -3])]
)
def test_unit_normalization(shape, axis, tmp_path: Path) -> None:
    x = keras.Input(shape, name="x")
    graph = check_everywhere(quiet_model(x, layers.UnitNormalization(axis=axis)(x)), tmp_path)
    session = export.Session(tmp_path / "fused.onnx")
    empty = np.zeros((0, *(size or 0 for size in shape)), "float32")
    assert session.run([empty])[0].shape == empty.shape
    # A row of zeros has no length to divide by, and one that is shorter than 1e-12 stays so.
    zeros = np.zeros((2, *(size or 4 for size in shape)), "float32")
    zeros[1].flat[0] = 1e-14
    forms = {
        "reference": reference.run(graph, [zeros], "float32"),
        "torch": torch_side.run(torch_side.write(graph), [zeros]),
        "ONNX": session.run([zeros]),
    }
    for name, (made,) in forms.items():
        np.testing.assert_allclose(made, zeros * 1e12, rtol=1e-6, err_msg=name)


def test_a_normalization_of_another_norm_is_read() -> None:
    class Scaled(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.normalize(x, p=1.0, dim=-1)

    graph = torch_side.read(Scaled(), Value("x", ("N", "T", 3), "float32"))
    x = torch.randn(2, 5, 3)
    torch.testing.assert_close(torch_side.write(graph)(x), Scaled()(x))


@pytest.mark.sweep
def test_masks_go_through_and_steps_stay(tmp_path: Path) -> None:
    ids = keras.Input((None,), dtype="int32", name="ids")
    x = layers.Embedding(9, 3, mask_zero=True)(ids)
    for norm in (layers.BatchNormalization(), layers.LayerNormalization(), layers.UnitNormalization()):
        x = norm(x)
    x = layers.LSTM(4, return_sequences=True)(x)
    model = quiet_model(ids, [x, layers.LSTM(2)(layers.BatchNormalization(axis=2)(x))])
    graph = check_everywhere(model, tmp_path, tf2onnx=True)
    lstms = [node for node in graph.nodes if isinstance(node.op, ops.LSTM)]
    assert all(node.masks[0] is not None for node in lstms)


def test_a_wrong_statistic_is_found() -> None:
    x = keras.Input((None, 3), name="x")
    model = quiet_model(x, layers.BatchNormalization()(x))
    graph = keras_side.read(model)
    (node,) = graph.nodes
    assert isinstance(node.op, ops.BatchNormalization)
    for fault in (
        {"mean": np.roll(node.op.mean, 1)},
        {"variance": np.roll(node.op.variance, 1)},
        {"weight": np.roll(node.op.mean, 1)},
        {"epsilon": 0.01},
    ):
        wrong = dataclasses.replace(node, op=dataclasses.replace(node.op, **fault))
        report = verify(model, torch_side.write(Graph(graph.inputs, (wrong,), graph.outputs)))
        assert report.verdict is Verdict.DIFFERENT


def test_it_trains_in_torch_as_in_keras() -> None:
    x = keras.Input((None, 3), name="x")
    model = quiet_model(x, layers.BatchNormalization(momentum=0.8)(x))
    module = torch_side.write(keras_side.read(model)).train()
    batch = np.random.default_rng(1).normal(size=(50, 40, 3)).astype("float32")
    trained = np.asarray(model(batch, training=True))
    mine = module(torch.from_numpy(batch)).detach().numpy()
    np.testing.assert_allclose(mine, trained, atol=1e-5)
    again = torch_side.read(module).nodes[0].op
    assert isinstance(again, ops.BatchNormalization)
    # Torch's running variance is the unbiased one: a factor of 2000 / 1999.
    np.testing.assert_allclose(again.mean, model.get_weights()[2], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(again.variance, model.get_weights()[3], rtol=1e-3)


class Plain(nn.Module):
    """Normalisation as a person writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 4)
        self.other = nn.Linear(3, 4)
        self.over_batch = nn.BatchNorm1d(4)
        self.features = nn.LayerNorm(4)
        self.flat = nn.BatchNorm1d(4, affine=False)

    def forward(self, x):
        """Over ``(N, T, 3)``."""
        turned = self.over_batch(self.linear(x).transpose(1, 2))
        return self.features(turned.permute(0, 2, 1)), self.flat(self.other(x).mean(dim=1))


def test_torch_idioms_and_loading() -> None:
    module = Plain().eval()
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
    graph = torch_side.read(module, [Value("x", ("N", "T", 3), "float32")])
    written = torch_side.write(graph)
    assert verify(written, keras_side.write(graph), inputs=every_mask(graph), float64=True).ok
    x = torch.randn(2, 5, 3)
    again = Plain().eval()
    torch_side.load(again, graph)
    for one, two, three in zip(module(x), written(x), again(x), strict=True):
        torch.testing.assert_close(one, two)
        assert torch.equal(one, three)


def test_refusals() -> None:
    x = keras.Input((4, 3), name="x")
    with pytest.raises(UnsupportedError, match="renorm"):
        keras_side.read(keras.Model(x, layers.BatchNormalization(renorm=True)(x)))
    with pytest.raises(UnsupportedError, match="axis"):
        keras_side.read(
            keras.Model(
                x,
                layers.LayerNormalization(axis=[-1, 1])(x),
            )
        )
    bad = nn.BatchNorm1d(3, track_running_stats=False)
    with pytest.raises(UnsupportedError, match="track_running_stats"):
        torch_side.read(nn.Sequential(bad), [Value("input", ("N", 3), "float32")])
    ones = np.ones(2, "float32")
    with pytest.raises(WeightError, match="negative"):
        ops.BatchNormalization(size=2, weight=None, bias=None, mean=ones, variance=-ones)


EMPTY = ((0, 0), (2, 0), (0, 3))
"""N and T where one of them is nothing."""


def check_nothing(graph: Graph, folder: Path) -> None:
    """Without rows or without steps every form gives what the reference gives."""
    session, module = export.Session(folder / "fused.onnx"), torch_side.write(graph)
    (value,) = graph.inputs
    for rows, steps in EMPTY:
        letters = iter([rows, *[steps] * 9])
        x = np.ones([dim if isinstance(dim, int) else next(letters) for dim in value.shape], value.dtype)
        exact = reference.run(graph, [x])
        for made in (session.run([x]), torch_side.run(module, [x])):
            for one, two in zip(exact, made, strict=True):
                assert one.shape == two.shape


@pytest.mark.parametrize(
    ("shape", "axis"), [((3,), -1), ((None, 3), [-1]), ((4, 3), [1, 2]), ((4, 1, 3), [-1, -2])]
)
def test_rms_normalization(shape, axis, tmp_path: Path) -> None:
    x = keras.Input(shape, name="x")
    graph = check_everywhere(
        quiet_model(x, layers.RMSNormalization(axis=axis, epsilon=0.01)(x)), tmp_path, back=True
    )
    check_nothing(graph, tmp_path)


def test_these_layers_in_hdf5(tmp_path: Path) -> None:
    """One behind another, and in a model inside, where weights that are not trained come last."""
    rng = np.random.default_rng(0)
    normal = layers.Normalization(axis=(1, 2))
    normal.adapt(rng.normal(size=(9, 4, 6)))
    inside = keras.Input((4, 6))
    y = layers.GroupNormalization(2, axis=1)(layers.RMSNormalization(axis=[1, 2])(normal(inside)))
    inner = keras.Model(inside, layers.Dense(6)(y), name="inner")
    x = keras.Input((4, 6), name="x")
    z = layers.GroupNormalization(3, scale=False)(layers.Rescaling(0.3, [1, 2, 3, 4, 5, 6])(inner(x)))
    model = keras.Model(x, layers.RMSNormalization()(z))
    for weight in model.trainable_weights:
        weight.assign(rng.normal(size=weight.shape))
    model.save(tmp_path / "model.h5")
    graph = keras_side.read(model)
    assert keras_side.read(tmp_path / "model.h5") == graph
    arrays = [rng.normal(size=(3, 4, 6)).astype("float32")]
    np.testing.assert_allclose(model(arrays[0]), reference.run(graph, arrays)[0], rtol=0, atol=1e-5)


def test_rms_normalization_is_another_than_rms_scaling() -> None:
    op = ops.RMSNormalization(weight=np.array([1, 2, 3], "float32"), epsilon=0.1)
    other = ops.LayerNormalization(rms_scaling=True, weight=op.weight, bias=None, epsilon=0.1)
    x = [np.random.default_rng(1).normal(size=(4, 3)) + 2]
    assert np.abs(one(op, x) - one(other, x)).max() > 0.1


def one(op: ops.Op, arrays: list[np.ndarray]) -> np.ndarray:
    """What the op makes of floats."""
    inputs = tuple(Value(f"x{i}", ("N", *array.shape[1:]), "float32") for i, array in enumerate(arrays))
    return reference.run(Graph(inputs, (Node("y", op, tuple(v.name for v in inputs)),), ("y",)), arrays)[0]


@pytest.mark.cover(1)
@pytest.mark.parametrize(("scale", "center"), AFFINE)
@pytest.mark.parametrize(
    ("shape", "axis", "groups"),
    [((6,), -1, 2), ((None, 6), -1, 3), ((None, 6), 2, 2), ((4, 3), 1, 2), ((2, 4, 3), -2, 2)],
)
def test_group_normalization(shape, axis: int, groups: int, scale, center, tmp_path: Path) -> None:
    x = keras.Input(shape, name="x")
    layer = layers.GroupNormalization(groups, axis=axis, scale=scale, center=center, epsilon=0.01)
    check_nothing(check_everywhere(quiet_model(x, layer(x)), tmp_path), tmp_path)


def test_group_normalization_of_each_feature(tmp_path: Path) -> None:
    x = keras.Input((None, 3), name="x")
    graph = check_everywhere(quiet_model(x, layers.GroupNormalization(-1)(x)), tmp_path)
    assert graph.nodes[0].op.settings()["groups"] == 3
    check_nothing(graph, tmp_path)


def adapted(shape: Sequence[int | None], axis: Any, invert: bool, dtype: str = "float32") -> keras.Model:
    """A model of one Normalization with statistics of random numbers; those of one variance are too small."""
    rng = np.random.default_rng(3)
    layer = layers.Normalization(axis=axis, invert=invert, dtype=dtype)
    data = rng.normal(size=(20, *(size or 5 for size in shape))) * 2 + 1
    data[..., 0] = 1 + 1e-9 * rng.normal(size=data.shape[:-1])
    layer.adapt(data.astype(dtype))
    x = keras.Input(shape, name="x", dtype=dtype)
    return keras.Model(x, layer(x))


@pytest.mark.cover(1)
@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize(
    ("shape", "axis"), [((3,), -1), ((None, 3), (2,)), ((4, 3), (1, 2)), ((4, 2, 3), (-3, -1)), ((3,), None)]
)
def test_normalization_adapted(shape, axis, invert: bool, tmp_path: Path) -> None:
    model = adapted(shape, axis, invert)
    graph = check_everywhere(model, tmp_path)
    check_nothing(graph, tmp_path)
    model.save(tmp_path / "model.h5")
    assert keras_side.read(tmp_path / "model.h5") == graph


@pytest.mark.parametrize(
    ("shape", "axis", "given"),
    [
        ((3,), -1, ([0.1, 0.2, 0.3], [0.0, 1e-20, 2.0])),
        ((None, 3), -1, (0.3, 2.0)),
        ((4, 3), (1, 2), ([0.1, 0.2, 0.3], [1.0, 2.0, 3.0])),
        ((4, 3), (2, 1), ([[0.1], [0.2], [0.3], [0.4]], [[1.0], [2.0], [3.0], [0.1]])),
        ((4, 3), None, (np.float32(0.1), np.float32(0.7))),
    ],
)
def test_normalization_given(shape, axis, given, tmp_path: Path) -> None:
    x = keras.Input(shape, name="x")
    layer = layers.Normalization(axis=axis, mean=given[0], variance=given[1])
    graph = check_everywhere(keras.Model(x, layer(x)), tmp_path)
    check_nothing(graph, tmp_path)


@pytest.mark.parametrize("adapt", [False, True])
def test_normalization_in_float64(adapt: bool, tmp_path: Path) -> None:
    """Of numbers given as Python's Keras makes float32 first."""
    model = adapted((4, 3), -1, False, "float64")
    if not adapt:
        x = keras.Input((4, 3), dtype="float64")
        given = {"mean": [0.1, 0.2, 0.3], "variance": [0.7, 1e-30, 0.6]}
        model = keras.Model(x, layers.Normalization(dtype="float64", **given)(x))
    graph = keras_side.read(model)
    model.save(tmp_path / "model.keras")
    assert keras_side.read(tmp_path / "model.keras") == graph
    x = np.random.default_rng(0).normal(size=(5, 4, 3))
    (exact,) = reference.run(graph, [x])
    np.testing.assert_allclose(model(x), exact, rtol=1e-14)
    np.testing.assert_allclose(keras_side.write(graph)(x), exact, rtol=1e-14)
    np.testing.assert_allclose(torch_side.run(torch_side.write(graph), [x])[0], exact, rtol=1e-14)


def test_statistics_behind_the_back_of_a_normalization_are_refused() -> None:
    model = adapted((3,), -1, False)
    layer: Any = model.layers[-1]
    layer.set_weights([np.array([1, 2, 3], "float32"), np.array([1, 2, 3], "float32"), np.asarray(0)])
    with pytest.raises(UnsupportedError, match="finalize_state"):
        keras_side.read(model)
    layer.finalize_state()
    assert keras_side.read(model).nodes[0].op.weights()["mean"].tolist() == [1, 2, 3]
    x = keras.Input((3,), dtype="float64")
    given: Any = {"mean": np.array([0.1, 0.2, 0.3]), "variance": np.ones(3)}
    with pytest.raises(UnsupportedError, match="lists"):
        keras_side.read(keras.Model(x, layers.Normalization(dtype="float64", **given)(x)))
    with pytest.raises(UnsupportedError, match="scale"):
        keras_side.read(keras.Model(x, layers.Rescaling(np.array(0.7), dtype="float64")(x)))


@pytest.mark.parametrize(
    ("scale", "offset"), [(0.1, 0.3), ([0.1, 0.2, 0.3], -1.0), (2, [0.1, 0.2, 0.3]), (np.float32(0.3), 0)]
)
def test_rescaling(scale, offset, tmp_path: Path) -> None:
    x = keras.Input((None, 3), name="x")
    y = layers.Rescaling(scale, offset)(x)
    check_nothing(check_everywhere(keras.Model(x, y), tmp_path), tmp_path)


@pytest.mark.parametrize("scale", [0.1, [0.1, 0.2, 0.3], np.array([0.1, 0.2, 0.3])])
def test_rescaling_in_float64(scale, tmp_path: Path) -> None:
    x = keras.Input((None, 3), dtype="float64", name="x")
    model = keras.Model(x, layers.Rescaling(scale, 0.3, dtype="float64")(x))
    graph = keras_side.read(model).astype("float64")
    model.save(tmp_path / "model.keras")
    assert keras_side.read(tmp_path / "model.keras").nodes[0].op == graph.nodes[0].op
    arrays = [np.random.default_rng(0).normal(size=(5, 4, 3))]
    (exact,) = reference.run(graph, arrays)
    for form in (model, keras_side.write(graph)):
        np.testing.assert_allclose(form(arrays[0]), exact, rtol=0, atol=1e-15)
    np.testing.assert_allclose(torch_side.run(torch_side.write(graph), arrays)[0], exact, rtol=0, atol=1e-15)


@pytest.mark.filterwarnings("ignore:.*does not support masking")
def test_which_of_these_layers_pass_masks_on(tmp_path: Path) -> None:
    ids = keras.Input((None,), dtype="int32", name="ids")
    x = layers.Embedding(9, 4, mask_zero=True)(ids)
    passing = (layers.Rescaling(0.5), layers.GroupNormalization(2), layers.UnitNormalization())
    norms = (*passing, layers.Normalization(mean=0.5, variance=2.0), layers.RMSNormalization())
    ends = [layers.GlobalAveragePooling1D(name=f"after_{norm.name}")(norm(x)) for norm in norms]
    graph = check_everywhere(quiet_model(ids, ends), tmp_path)
    ends = [node for node in graph.nodes if isinstance(node.op, ops.GlobalAveragePooling1D)]
    assert [node.masks[0] is not None for node in ends] == [True, True, True, True, False]


class Normal(nn.Module):
    """Torch's own layers, as a person writes them."""

    def __init__(self) -> None:
        super().__init__()
        self.groups = nn.GroupNorm(2, 4, affine=False)
        self.rms = nn.RMSNorm(4, eps=0.01, elementwise_affine=False)
        self.flat = nn.GroupNorm(2, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Over ``(N, T, 4)``."""
        return self.flat(self.rms(self.groups(x.transpose(1, 2)).transpose(1, 2)).mean(dim=1))


def test_torch_layers_of_these_are_read() -> None:
    module = Normal().eval()
    nn.init.uniform_(module.flat.weight, 0.5, 2.0)
    graph = torch_side.read(module, [Value("x", ("N", "T", 4), "float32")])
    assert {type(node.op) for node in graph.nodes} >= {ops.GroupNormalization, ops.RMSNormalization}
    # Not of few steps, whose means are nearly equal: a norm of these is made of rounding.
    inputs = [np.random.default_rng(0).normal(size=(6, 9, 4)).astype("float32")]
    report = verify(torch_side.write(graph), keras_side.write(graph), graph, inputs=inputs, float64=True)
    assert report.ok, report.table
    x = torch.randn(3, 5, 4)
    torch.testing.assert_close(torch_side.write(graph)(x), module(x))
    smallest = torch_side.read(nn.Sequential(nn.RMSNorm(3)), [Value("input", ("N", 3), "float32")])
    assert smallest["0"].op.settings()["epsilon"] == np.finfo("float32").eps


def test_more_refusals() -> None:
    x = keras.Input((4, 3), name="x")
    for layer, message in (
        (layers.RMSNormalization(axis=[1]), "axis"),
        (layers.Rescaling(np.ones((2, 3))), "scale"),
        (layers.GroupNormalization(-1, axis=1, scale=False, center=False), ""),
    ):
        y = layer(x)
        if message:
            with pytest.raises(UnsupportedError, match=message):
                keras_side.read(keras.Model(x, y))
    for bad in (
        lambda: ops.GroupNormalization(groups=2, weight=np.ones(3, "float32"), bias=None),
        lambda: ops.Normalization(mean=np.zeros((2, 2), "float32"), variance=np.ones((2, 2), "float32")),
        lambda: ops.Normalization(mean=np.zeros(2, "float32"), variance=-np.ones(2, "float32")),
        lambda: ops.RMSNormalization(weight=np.ones((), "float32")),
        lambda: ops.Rescaling(scale=()),
        lambda: ops.Rescaling(scale=float("nan")),
    ):
        with pytest.raises((GraphError, WeightError)):
            bad()


def test_statistics_are_loaded_where_there_is_room_for_them() -> None:
    """Into an adapted layer, which computes with them at once; one that was given its own says so."""
    graph = keras_side.read(adapted((3,), -1, False))
    x = keras.Input((3,), name="x")
    name = graph.nodes[0].name
    model = keras.Model(x, layers.Normalization(name=name)(x))
    assert keras_side.load(model, graph).filled == (name,)
    assert verify(model, graph).ok
    given = keras.Model(x, layers.Normalization(mean=0.5, variance=2.0, name=name)(x))
    with pytest.raises(WeightError, match=f"layer '{name}' has no weights"):
        keras_side.load(given, graph)
