"""Attention: what every side computes of it under every pattern of mask, and what becomes of the masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import export
import keras_side
import torch_side
from biport import ops, reference, verify
from biport.errors import GraphError, UnsupportedError, WeightError
from biport.graph import Graph, Node, Value
from keras_side.release import Release
from keras_side.shared.attention import refuse_old
from testing.attention import (
    FAULTS,
    I,
    O,
    S,
    T,
    arrays_of,
    check_empty,
    check_fault,
    embedded,
    looking,
    written_by,
)
from testing.graphs import normal
from testing.masks import MASKS
from testing.models import check_everywhere, quiet_model

layers: Any = keras.layers  # Keras annotates fewer types than it takes.

ONE_HEAD: dict[str, Callable[..., Any]] = {
    "dot": lambda **more: layers.Attention(**more),
    "scaled dot": lambda **more: layers.Attention(use_scale=True, dropout=0.3, **more),
    "concat": lambda **more: layers.Attention(score_mode="concat", **more),
    "scaled concat": lambda **more: layers.Attention(score_mode="concat", use_scale=True, **more),
    "additive": lambda **more: layers.AdditiveAttention(dropout=0.3, **more),
    "additive without a scale": lambda **more: layers.AdditiveAttention(use_scale=False, **more),
}


def test_one_head_on_every_side(tmp_path: Path) -> None:
    """Masks carried and given, causal, keys of their own, scores; layers called in two ways."""
    ids, (query, value) = embedded()
    keys = layers.Dense(I, name="keys")(value)
    wide = layers.Dense(O, name="wide")(value)
    outputs = []
    for kind, make in ONE_HEAD.items():
        layer = make(name=kind.replace(" ", "_"))
        first = layer([query, wide, keys], return_attention_scores=True, use_causal_mask=True)
        outputs += [*first, layer([value, query, query], mask=[None, keras.ops.not_equal(ids[0], 3)])]
    outputs.append(layers.GlobalAveragePooling1D(name="behind")(outputs[0]))
    graph = check_everywhere(quiet_model(ids, outputs), tmp_path)
    for kind in ONE_HEAD:
        name = kind.replace(" ", "_")
        assert [mask is None for mask in graph[name].masks] == [False, False, True]
        assert [mask is None for mask in graph[f"{name}@1"].masks] == [True, False, True]
    assert graph["behind"].masks == graph["dot"].masks[:1]


@pytest.mark.parametrize("kind", ONE_HEAD)
def test_one_head_over_nothing(kind: str, tmp_path: Path) -> None:
    for causal in (False, True):
        check_empty(looking(one_head(kind, causal=causal, return_scores=True)), tmp_path)


def one_head(kind: str, width: int = I, **settings: Any) -> ops.Op:
    """An op with random weights."""
    rng = np.random.default_rng(3)
    if kind.startswith("additive"):
        return ops.AdditiveAttention(scale=None if "without" in kind else normal(rng, width), **settings)
    mode = "concat" if "concat" in kind else "dot"
    scale = np.array(0.7, "float32") if "scaled" in kind else None
    weight = np.array(-1.3, "float32") if mode == "concat" else None
    return ops.Attention(score_mode=mode, scale=scale, score_weight=weight, **settings)


@pytest.mark.parametrize("kind", ONE_HEAD)
def test_one_head_in_float64(kind: str) -> None:
    """Keras itself, where a query has a step to look at, and torch everywhere."""
    for causal in (False, True):
        op = one_head(kind, causal=causal, return_scores=True)
        graph = looking(op).astype("float64")
        module = torch_side.write(graph)
        layer = ONE_HEAD[kind](dtype="float64")
        layer.build([(None, S, I), (None, T, O), (None, T, I)])
        layer.set_weights(list(op.weights().values()))
        for pattern in MASKS:
            arrays = arrays_of(graph, pattern)
            exact = reference.run(graph, arrays)
            query, value, key, queries, values = (keras.ops.convert_to_tensor(array) for array in arrays)
            found = layer(
                [query, value, key],
                mask=[queries, values],
                return_attention_scores=True,
                use_causal_mask=causal,
            )
            looks = arrays[-1][:, None] & (np.tri(S, T, dtype=bool) if causal else np.ones((S, T), bool))
            some = looks.any(axis=-1)
            for one, two, three in zip(exact, found, torch_side.run(module, arrays), strict=True):
                np.testing.assert_allclose(np.asarray(two)[some], one[some], rtol=0, atol=1e-12)
                np.testing.assert_allclose(three, one, rtol=0, atol=1e-12)
            np.testing.assert_allclose(exact[1][~some], 1 / T, rtol=0, atol=1e-15)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", ["scaled concat", "additive"])
def test_a_fault_is_found(kind: str, fault: str, tmp_path: Path) -> None:
    check_fault(looking(one_head(kind, width=O, causal=True), width=O), fault, tmp_path)


def test_masks_that_are_inputs_of_the_model(tmp_path: Path) -> None:
    """Of an attention, and of a softmax over ``(N, T)``."""
    for graph in (looking(one_head("scaled dot"), ("queries", "values")), softmax()):
        export.write(graph, tmp_path / "fused.onnx", overwrite=True)
        model, module = keras_side.write(graph), torch_side.write(graph)
        assert torch_side.read(module) == graph
        assert keras_side.read(model).nodes == graph.nodes
        assert verify(graph, model, module, tmp_path / "fused.onnx", float64=True).ok


def softmax() -> Graph:
    """A softmax under a mask."""
    values = Value("x", ("N", "T"), "float32"), Value("mask", ("N", "T"), "bool")
    return Graph(values, (Node("y", ops.Softmax(), ("x",), masks=("mask",)),), ("y",))


@pytest.mark.filterwarnings("ignore:.*does not support masking.*")
def test_masks_reach_an_attention_inside_a_model_that_was_not_told_of_them(tmp_path: Path) -> None:
    ids, (query, _) = embedded()
    x = keras.Input((None, I))
    inner = keras.Model(x, layers.Attention(name="looks")([x, x]), name="inner")
    graph = check_everywhere(quiet_model(ids[0], inner(query)), tmp_path)
    assert None not in graph["inner.looks"].masks


def test_float64_under_a_mask_of_the_values_is_refused() -> None:
    """Keras then weighs a row of padding alone by its scores, which float32 has lost."""
    ids, _ = embedded()
    tables = [layers.Embedding(9, I, mask_zero=True, dtype="float64")(x) for x in ids]
    model = keras.Model(ids, layers.Attention(dtype="float64", name="looks")(tables))
    with pytest.raises(UnsupportedError, match=r"'looks'.*float64.*float32 where the values have a mask"):
        keras_side.read(model)
    with pytest.raises(UnsupportedError, match="float32 where the values have a mask"):
        keras_side.write(looking(one_head("dot"), ("queries", "values")).astype("float64"))
    assert keras_side.write(looking(one_head("dot"), ("queries", None)).astype("float64")) is not None


def test_attention_of_an_older_keras(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    for masked in (False, True):
        ids, tables = embedded(masked)
        model = keras.Model(ids, layers.Attention(name="looks")(tables))
        model.save(path)
        written_by(path, "3.10.0")
        if not masked:
            assert keras_side.read(path) == keras_side.read(model)
    with pytest.raises(UnsupportedError, match=r"3\.11 and later"):
        keras_side.read(path)
    with pytest.raises(UnsupportedError, match=r"2\.15 and later"):
        refuse_old(Release("2.14.0"), "the layer", one_head("dot"), True)


BAD: dict[str, Callable[[], Any]] = {
    "a weight too many": lambda: ops.Attention(scale=None, score_weight=np.ones((), "float32")),
    "a weight too few": lambda: ops.Attention(score_mode="concat", scale=None, score_weight=None),
    "a vector for a scale": lambda: ops.Attention(scale=np.ones(1, "float32"), score_weight=None),
    "score_mode": lambda: ops.Attention(score_mode="cosine", scale=None, score_weight=None),
    "dropout": lambda: ops.AdditiveAttention(dropout=1.5, scale=None),
    "one input": lambda: ops.AdditiveAttention(scale=None).infer([ops.Tensor(("N", S, I), "float32")]),
    "widths": lambda: one_head("dot").infer([ops.Tensor(("N", S, n), "float32") for n in (I, O)]),
    "steps": lambda: one_head("dot").infer([ops.Tensor(("N", n, I), "float32") for n in (S, T, S)]),
    "the scale's width": lambda: one_head("additive").infer([ops.Tensor(("N", S, O), "float32")] * 2),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_settings_are_no_ops(what: str) -> None:
    with pytest.raises((GraphError, WeightError)):
        BAD[what]()
