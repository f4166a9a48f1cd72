"""Properties of every model, drawn by hypothesis.

Keras models of every layer are the same in every form. Recurrent graphs keep what must hold of any program
that respects its masks, whatever the numbers: what lies under a mask changes nothing, nor do the other rows
of the batch, nor more padding.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

import export
import keras_side
import torch_side
from biport import bundle, reference, verify
from biport.analysis.lengths import needed_steps
from biport.compare.tolerance import Verdict
from biport.dims import known
from biport.errors import UnsupportedError
from biport.graph import Graph
from biport.ops import INTEGERS, Bidirectional, FeaturesNotEqual, Op, Recurrent
from testing.strategies import ROWS, keras_models, recurrent_graphs

REFUSALS = (
    "backward_layer states",  # Keras takes the backward half's states for copies of the forward half's.
    "mask='(N, T) over",  # A Softmax that is not over (N, T).
    "unroll=True",  # Keras itself zeroes the wrong steps.
    "mask='a mask of the steps'",  # TimeDistributed around a layer that takes masks.
)
"""What the models drawn here may be refused for."""


def six_masks(steps: int, rng: np.random.Generator) -> np.ndarray:
    """Masks ``(6, T)``: padded right, left, with holes, all padding, full, one valid step."""
    place, lengths = np.arange(steps), rng.integers(1, steps + 1, 2)
    rows = [place < lengths[0], place >= steps - lengths[1], rng.random(steps) < 0.6]
    rows += [place < 0, place >= 0, place == rng.integers(steps)]
    return np.stack(rows)


def mixed_inputs(graph: Graph, steps: int, seed: int) -> list[np.ndarray]:
    """One batch of six rows, each with another pattern of padding."""
    rng = np.random.default_rng(seed)
    steps = max(steps, *(least.size for least in needed_steps(graph).values()), 1)
    features = {
        node.inputs[0]: node.op.value for node in graph.nodes if isinstance(node.op, FeaturesNotEqual)
    }
    arrays = []
    for value in graph.inputs:
        shape = [6, *(dim if isinstance(dim, int) else steps for dim in value.shape[1:])]
        valid = six_masks(shape[1], rng)
        if value.dtype in INTEGERS:
            arrays.append(np.where(valid, rng.integers(1, ROWS, shape), 0).astype(value.dtype))
            continue
        x = rng.normal(size=shape)
        if value.name in features:
            x[~valid] = features[value.name]
        arrays.append(x.astype(value.dtype))
    return arrays


def check_keras(model: Any, folder: Path, seed: int = 0, tf2onnx: bool = False, steps: int = 6) -> str:
    """What came of one model: ``"same"``, ``"ill-conditioned"``, or why some form cannot be had."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not support masking.*")
        warnings.filterwarnings("ignore", message=".*using a softmax over axis.*")
        try:
            graph = keras_side.read(model)
        except UnsupportedError as refusal:
            if not any(known in str(refusal) for known in REFUSALS):
                raise
            return f"refused: {refusal}"
        module = _ported(model, graph, folder)
        inputs = mixed_inputs(graph, steps, seed)
        try:
            keras_side.run(model, inputs, graph)
        except ValueError as error:
            return f"Keras does not run it: {' '.join(str(error).split())[:1200]}"
        sources: list[Any] = [model, module, folder / "fused.onnx"]
        sources += _rewritten(graph)
        sources += _tf2onnx(model, folder / "tf2onnx.onnx") if tf2onnx else []
        report = verify(*sources, inputs=inputs, float64=True)
    assert report.verdict is not Verdict.DIFFERENT, f"{graph}\n{report.table}"
    assert not any(report.weights.values()), f"{graph}\n{report.table}"
    return str(report.verdict)


def _ported(model: Any, graph: Graph, folder: Path) -> Any:
    """The torch module; every way round gives the very same graph."""
    model.save(folder / "model.keras")
    assert keras_side.read(folder / "model.keras") == graph
    assert bundle.read(bundle.write(graph, folder / "bundle", overwrite=True)) == graph
    module = torch_side.write(graph)
    assert torch_side.read(module) == graph
    export.write(graph, folder / "fused.onnx", overwrite=True, vectors=False)
    return module


def _rewritten(graph: Graph) -> list[Any]:
    """The Keras model of ``graph``; none where Keras cannot be told its masks."""
    try:
        return [keras_side.write(graph)]
    except UnsupportedError as refusal:
        if refusal.setting != "mask":
            raise
        event(f"not rewritten: {refusal.setting}")
        return []


def _tf2onnx(model: Any, path: Path) -> list[Path]:
    """The file tf2onnx makes; none where it does not know one of TensorFlow's operators."""
    try:
        export.write_tf2onnx(model, path, overwrite=True)
    except UnsupportedError as refusal:
        if refusal.setting != "operator":
            raise
        event("not converted by tf2onnx")
        return []
    return [path]


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("properties")


@pytest.mark.sweep
@settings(max_examples=max(settings().max_examples // 2, 4))  # each takes a second
@given(keras_models(), st.integers(0, 2**16), st.sampled_from([6, 6, 6, 3, 1]), st.integers(0, 7))
def test_keras_models_are_the_same_everywhere(folder, model, seed: int, steps: int, lot: int) -> None:
    found = check_keras(model, folder, seed, tf2onnx=lot == 7, steps=steps)
    event(found.partition(":")[0])


Run = Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]


def opened(form: str, graph: Graph, folder: Path) -> tuple[Run, float]:
    """One form of a graph and the rounding it is allowed."""
    match form:
        case "reference":
            double = graph.astype("float64")
            return lambda arrays: reference.run(double, arrays), 1e-12
        case "torch":
            module = torch_side.write(graph)
            return lambda arrays: torch_side.run(module, arrays), 2e-6
        case "Keras":
            model = keras_side.write(graph)
            return lambda arrays: keras_side.run(model, arrays, graph), 2e-6
    export.write(graph, folder / "graph.onnx", overwrite=True, vectors=False)
    return export.Session(folder / "graph.onnx", "cpu").run, 2e-6


def assert_same(found: Sequence[np.ndarray], wanted: Sequence[np.ndarray], allowed: float, what: str) -> None:
    for one, two in zip(found, wanted, strict=True):
        scale = max(1.0, float(np.abs(two).max(initial=0.0)))
        np.testing.assert_allclose(one / scale, two / scale, rtol=0, atol=allowed, err_msg=what)


def sequence_inputs(graph: Graph, steps: int, seed: int) -> list[np.ndarray]:
    """``x`` and a mask of every pattern."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(6, steps, known(graph.inputs[0].shape[2]))).astype("float32")
    return [x, six_masks(steps, rng)]


def last_op(graph: Graph) -> Recurrent:
    """The op of the last layer, or the forward half of it."""
    op = graph.nodes[-1].op
    half = op.forward if isinstance(op, Bidirectional) else op
    assert isinstance(half, Recurrent)
    return half


def padding_changes_nothing(graph: Graph, run: Run, arrays: Sequence[np.ndarray], seed: int, allowed: float):
    """Other numbers under the mask, and more steps under it at the places an rng chooses."""
    rng = np.random.default_rng(seed)
    x, mask = arrays
    before = run(arrays)
    garbage = np.where(mask[..., None], x, rng.normal(size=x.shape) * 9).astype("float32")
    assert_same(run([garbage, mask]), before, allowed, "what lies under the mask")
    T = x.shape[1]
    for what, added in {"right": [T] * 2, "left": [0] * 3, "inside": rng.integers(0, T + 1, 3)}.items():
        wider = np.insert(garbage, added, 7.0, axis=1), np.insert(mask, added, False, axis=1)
        kept = np.flatnonzero(~np.insert(np.zeros(T, bool), added, True))
        found = run(wider)
        if last_op(graph).return_sequences:
            found = [_at_kept(graph, found[0], kept, wider[1].shape[1])]
        assert_same(found, before, allowed, f"padding added: {what}")


def _at_kept(graph: Graph, y: np.ndarray, kept: np.ndarray, steps: int) -> np.ndarray:
    """The outputs at the steps there were before; at those added, it checks, is zero or the step before."""
    op = last_op(graph)
    y = y[:, ::-1] if op.reverse else y
    order = range(steps)[::-1] if op.reverse else range(steps)
    held = np.zeros_like(y[:, 0])
    for step in order:
        if step not in kept:
            np.testing.assert_array_equal(y[:, step], 0 * held if op.zero_output_for_mask else held)
        held = y[:, step]
    y = y[:, kept]
    return y[:, ::-1] if op.reverse else y


def rows_are_apart(run: Run, arrays: Sequence[np.ndarray], seed: int, allowed: float) -> None:
    """The order of the batch orders the results, and a row alone gives what it gives among others."""
    before = run(arrays)
    order = np.random.default_rng(seed).permutation(len(arrays[0]))
    found = run([array[order] for array in arrays])
    assert_same(found, [array[order] for array in before], allowed, "the order of the batch")
    alone = [run([array[row : row + 1] for array in arrays]) for row in range(len(arrays[0]))]
    joined = [np.concatenate(parts) for parts in zip(*alone, strict=True)]
    assert_same(joined, before, allowed, "a row alone")


def check_masks(form: str, graph: Graph, folder: Path, seed: int, steps: int) -> None:
    arrays = sequence_inputs(graph, steps, seed)
    run, allowed = opened(form, graph, folder)
    padding_changes_nothing(graph, run, arrays, seed, allowed)
    rows_are_apart(run, arrays, seed, allowed)


@given(recurrent_graphs(), st.integers(0, 2**16), st.integers(1, 6))
def test_padding_and_the_rest_of_the_batch_change_nothing(folder, graph, seed: int, steps: int) -> None:
    for form in ("reference", "torch", "ONNX"):
        check_masks(form, graph, folder, seed, steps)


@pytest.mark.sweep
@settings(max_examples=settings().max_examples // 4)
@given(recurrent_graphs(), st.integers(0, 2**16), st.integers(1, 6))
def test_padding_and_the_rest_of_the_batch_change_nothing_in_keras(folder, graph, seed: int, steps: int):
    check_masks("Keras", graph, folder, seed, steps)


def blind(graph: Graph) -> Graph:
    """The graph with a first layer that does not see its mask."""
    first = dataclasses.replace(graph.nodes[0], masks=(None,))
    return Graph(graph.inputs, (first, *graph.nodes[1:]), graph.outputs)


@given(recurrent_graphs(), st.integers(0, 2**16))
def test_a_layer_blind_to_its_mask_is_found(graph, seed: int) -> None:
    arrays = sequence_inputs(graph, 6, seed)
    faulty = blind(graph)
    with pytest.raises(AssertionError):
        padding_changes_nothing(faulty, lambda given: reference.run(faulty, given), arrays, seed, 1e-12)


@given(recurrent_graphs(), st.integers(0, 2**16))
def test_a_fault_in_the_weights_is_found(graph, seed: int) -> None:
    nodes = [dataclasses.replace(node, op=_bent(node.op)) for node in graph.nodes[:1]]
    faulty = Graph(graph.inputs, (*nodes, *graph.nodes[1:]), graph.outputs)
    report = verify(graph, torch_side.write(faulty), inputs=sequence_inputs(graph, 6, seed))
    assert report.verdict is Verdict.DIFFERENT
    assert report.at_fault == ["torch"]


def _bent(op: Op) -> Op:
    """The op with one number of its first weight another."""
    weights = op.weights()
    path = min(weights)
    bent = weights[path].copy()
    bent.flat[0] += 0.5
    return type(op).build(op.settings(), weights | {path: bent})
