"""Batch and layer normalisation, along every axis, under masks, and trained in torch."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest
import torch
from keras import layers
from torch import nn

import export
import keras_side
import torch_side
from biport import ops, reference, verify
from biport.compare.tolerance import Verdict
from biport.errors import UnsupportedError, WeightError
from biport.graph import Graph, Value
from testing.models import check_everywhere, quiet_model

AFFINE = [(True, True), (True, False), (False, True), (False, False)]


@pytest.mark.parametrize(("scale", "center"), AFFINE)
@pytest.mark.parametrize(
    ("shape", "axis"), [((3,), -1), ((3,), 1), ((None, 3), -1), ((4, 3), 1), ((4, 3), 2), ((4, 2, 3), -2)]
)
def test_batch_normalization(shape, axis: int, scale: bool, center: bool, tmp_path: Path) -> None:
    x = keras.Input(shape, name="x")
    made = layers.BatchNormalization(axis=axis, scale=scale, center=center, epsilon=0.01, momentum=0.9)(x)
    graph = check_everywhere(quiet_model(x, made), tmp_path)
    empty = np.zeros((0, *(size or 0 for size in shape)), "float32")
    assert export.Session(tmp_path / "fused.onnx").run([empty])[0].shape == empty.shape
    assert graph.nodes[0].op.settings()["momentum"] == 0.9


@pytest.mark.parametrize(("scale", "center"), AFFINE)
@pytest.mark.parametrize(
    ("shape", "axis"), [((3,), -1), ((None, 3), -1), ((4, 3), [1, 2]), ((4, 3), 1), ((4, 2, 3), [-2, -3])]
)
def test_layer_normalization(shape, axis, scale: bool, center: bool, tmp_path: Path) -> None:
    x = keras.Input(shape, name="x")
    check_everywhere(
        quiet_model(x, layers.LayerNormalization(axis=axis, scale=scale, center=center)(x)), tmp_path
    )
    empty = np.zeros((0, *(size or 0 for size in shape)), "float32")
    assert export.Session(tmp_path / "fused.onnx").run([empty])[0].shape == empty.shape


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


def test_a_normalization_of_another_norm_is_refused() -> None:
    class Scaled(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.normalize(x, p=1.0, dim=-1)

    with pytest.raises(UnsupportedError, match=r"p=1\.0"):
        torch_side.read(Scaled())


def test_masks_go_through_and_steps_stay(tmp_path: Path) -> None:
    ids = keras.Input((None,), dtype="int32", name="ids")
    x = layers.Embedding(9, 3, mask_zero=True)(ids)
    for norm in (layers.BatchNormalization(), layers.LayerNormalization(), layers.UnitNormalization()):
        x = layers.LSTM(4, return_sequences=True)(norm(x))
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
    assert verify(written, keras_side.write(graph), float64=True).ok
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
                layers.LayerNormalization(axis=[-1, 1])(x),  # pyright: ignore[reportArgumentType]
            )
        )
    for bad, message in [
        (nn.BatchNorm1d(3, track_running_stats=False), "track_running_stats"),
        (nn.BatchNorm1d(3, momentum=None), "cumulative_average"),
    ]:
        with pytest.raises(UnsupportedError, match=message):
            torch_side.read(nn.Sequential(bad), [Value("input", ("N", 3), "float32")])
    ones = np.ones(2, "float32")
    with pytest.raises(WeightError, match="negative"):
        ops.BatchNormalization(size=2, weight=None, bias=None, mean=ones, variance=-ones)
