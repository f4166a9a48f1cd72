"""Files in half precision: valid, run by onnxruntime, and the numbers are right within half precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import export
from biport import ops, reference
from biport.dims import letter
from biport.graph import Graph, Node, Value
from biport.ops.attention import Attends
from export.deploy.float16 import float16
from export.deploy.precision import write_precision
from testing.examples import EXAMPLES, Example
from testing.recurrent_graphs import KINDS, H, I, both_ways, cell, graph_of, inputs_of

LOOPED = {"activation": "softplus"}


def leaves_nothing_to_look_at(x: Example) -> bool:
    """Whether some query may look at nothing: off its scores is 1e9, and what is left is rounding."""
    limits = [getattr(x.op, "causal", False), len(x.masks) > 1 and x.masks[1] is not None]
    if getattr(x.op, "has_attention_mask", False):
        limits += [True] if x.inputs[-1].any(axis=-1).all() else [True, True]
    nothing = any(mask is not None and not mask.any(axis=-1).all() for mask in x.masks[1:])
    return sum(limits) > 1 or (isinstance(x.op, Attends) and nothing)


def is_a_batch(x: Example) -> bool:
    """Whether all inputs have as many rows, which a session asks for."""
    return all(array.ndim for array in x.inputs) and len({len(array) for array in x.inputs}) < 2


DEFINED = [x for x in EXAMPLES if is_a_batch(x) and not leaves_nothing_to_look_at(x)]
TWO_IN_THREE = [x for at, x in enumerate(DEFINED) if at % 3 != 2]
ONE_OF_EACH = {(x.op.kind, any(mask is not None for mask in x.masks)): x for x in DEFINED}


def alone(example: Example) -> tuple[Graph, list[np.ndarray]]:
    """The op of an example as a graph, in float32, and its inputs."""
    op, arrays = example.op.astype("float32"), [*example.inputs]
    names, masks = [f"x{at}" for at in range(len(arrays))], []
    for at, mask in enumerate(example.masks):
        masks.append(None if mask is None else f"m{at}")
        arrays += [] if mask is None else [mask]
    arrays = [array.astype("float32") if array.dtype.kind == "f" else array for array in arrays]
    called = [*names, *(mask for mask in masks if mask is not None)]
    # The inputs of a tensor operation need not be rows.
    rows = () if isinstance(op, ops.TensorOperation) else ("N",)
    values = [
        Value(name, (*rows, *x.shape[len(rows) :]), x.dtype.name)
        for name, x in zip(called, arrays, strict=True)
    ]
    outputs = tuple(f"y:{at}" for at in range(op.output_count))
    return Graph(tuple(values), (Node("y", op, tuple(names), outputs, tuple(masks)),), outputs), arrays


def narrow(graph: Graph, folder: Path, lowering: str = "auto") -> export.Session:
    export.write(graph, folder / "exact.onnx", overwrite=True, lowering=lowering, vectors=False)
    write_precision(folder / "exact.onnx", folder / "narrow.onnx", "float16", overwrite=True)
    model = onnx.load(folder / "narrow.onnx")
    assert not any(weight.data_type == onnx.TensorProto.FLOAT for weight in model.graph.initializer)
    return export.Session(folder / "narrow.onnx", device="cpu", threads=1)


def compare(session: export.Session, graph: Graph, arrays: list[np.ndarray], allowed: float = 4e-3) -> None:
    for given, exact in zip(session.run(arrays), reference.run(graph, arrays), strict=True):
        assert given.dtype == ("float32" if exact.dtype.kind == "f" else exact.dtype)
        np.testing.assert_allclose(given, exact, rtol=allowed, atol=allowed)


@pytest.mark.parametrize("example", ONE_OF_EACH.values(), ids=lambda example: example.label)
def test_every_op(example, tmp_path):
    graph, arrays = alone(example)
    # What is rounded at one step of a recurrence is put in at the next one.
    allowed = 1e-2 if isinstance(example.op, ops.Scan) else 4e-3
    compare(narrow(graph, tmp_path), graph, arrays, allowed)


@pytest.mark.sweep
@pytest.mark.parametrize("example", TWO_IN_THREE, ids=lambda example: example.label)
def test_many_settings_of_every_op(example, tmp_path):
    graph, arrays = alone(example)
    compare(narrow(graph, tmp_path), graph, arrays, 1e-2 if isinstance(example.op, ops.Scan) else 4e-3)


@pytest.mark.parametrize("lowering", ["auto", "loop"])
@pytest.mark.parametrize("more", [{}, LOOPED], ids=["fused", "scan"])
@pytest.mark.parametrize("kind", KINDS)
def test_recurrent_layers_under_masks_and_with_states(kind, more, lowering, tmp_path):
    rng = np.random.default_rng(5)
    op = cell(rng, kind, I, H, return_sequences=True, return_state=True, **more)
    graph = graph_of(both_ways(op, op), states=True)
    session = narrow(graph, tmp_path, lowering=lowering)
    for mask in ("holes", "all padding"):
        compare(session, graph, inputs_of(graph, rng, mask))
    assert session.run(inputs_of(graph, rng, "full", N=0))[0].shape == (0, 7, 2 * H)


def test_masks_of_operations_by_large_numbers(tmp_path):
    """-1e9 is beyond half precision: none of it becomes infinite, or NaN."""
    values = Value("scores", ("N", "T"), "float32"), Value("mask", ("N", "T"), "bool")
    nodes = (
        Node("low", ops.Constant(value=np.array(-1e9, "float32")), ()),
        Node("lows", ops.Full(shape=(letter("N"), letter("T")), value=-1e9), ()),
        Node("chosen", ops.Where(), ("mask", "scores", "low")),
        Node("everywhere", ops.Where(), ("mask", "scores", "lows")),
        Node("padded", ops.Elementwise(function="logical_not"), ("mask",)),
        Node("numbers", ops.Cast(output_dtype="float32"), ("padded",)),
        Node("penalties", ops.Elementwise(function="multiply"), ("numbers", "low")),
        Node("added", ops.Elementwise(function="add"), ("scores", "penalties")),
        *(Node(f"shares_{name}", ops.Softmax(axis=1), (name,)) for name in ("chosen", "everywhere", "added")),
    )
    graph = Graph(values, nodes, tuple(node.name for node in nodes[-3:]))
    mask = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0]], bool)
    scores = np.random.default_rng(0).normal(size=(4, 4)).astype("float32") * 9
    session = narrow(graph, tmp_path)
    compare(session, graph, [scores[:3], mask[:3]])
    # What is left of a row that is all padding is rounding.
    for shares in session.run([scores, mask]):
        np.testing.assert_allclose(shares.sum(axis=1), 1, atol=4e-3)


def ran(model: onnx.ModelProto, *arrays: np.ndarray) -> list[np.ndarray]:
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feed = dict(zip((value.name for value in model.graph.input), arrays, strict=True))
    return [np.asarray(output) for output in session.run(None, feed)]


def test_what_has_no_half_precision_stays_between_casts():
    """The scales of a Resize, also inside of a branch, where one of them is computed."""
    model = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["": 18]>
        m (float[N, 2] x, float[2] s, bool b) => (float[N, M] y, float[2] z)
        <float[2] bias = {0.25, 1e9}, float tiny = {1e-12}, float[1] low = {-inf}> {
            z = Max (s, tiny)
            t = Resize <mode = "nearest"> (x, , z)
            c = If (b) <
                then_branch = g () => (float[K, M] p) {
                    q = Resize <mode = "nearest"> (t, , z)
                    p = Add (q, tiny)
                },
                else_branch = h () => (float[K, M] r) { o = Max (t, low)  r = Identity (o) }
            >
            y = Identity (c)
        }
        """)
    x, s = np.array([[1.5, -2.25], [0.5, 3]], "float32"), np.array([1, 2], "float32")
    narrowed = float16(model)
    assert [value.type.tensor_type.elem_type for value in narrowed.graph.output] == [1, 1]
    weights = {w.name: onnx.numpy_helper.to_array(w) for w in narrowed.graph.initializer}
    # Not infinite, not 0, and infinite as it was.
    np.testing.assert_array_equal(weights["bias"], np.array([0.25, 65504], "float16"))
    assert 0 < weights["tiny"] < 1e-7
    assert np.isneginf(weights["low"]).all()
    for branch in (True, False):
        arrays = x, s, np.array(branch)
        for one, two in zip(ran(model, *arrays), ran(narrowed, *arrays), strict=True):
            assert one.dtype == two.dtype == np.float32
            np.testing.assert_array_equal(one, two)


def test_an_output_that_others_read_and_one_that_has_no_half_precision():
    model = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["": 18, "com.microsoft": 1]>
        m (float[N, 2] x) => (float[N, 2] y, float[N, 2] z) {
            y = com.microsoft.Gelu (x)
            z = Add (y, x)
        }
        """)
    x = np.array([[1.5, -2.25], [0.5, 3]], "float32")
    narrowed = float16(model)
    assert [value.name for value in narrowed.graph.output] == ["y", "z"]
    for one, two in zip(ran(model, x), ran(narrowed, x), strict=True):
        np.testing.assert_allclose(one, two, rtol=2e-3)
