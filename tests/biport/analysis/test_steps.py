"""What is said of a graph without running it, where one of its ops is a `Scan` with ops inside."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biport import ops, reference
from biport.analysis.padding import masked_axes
from biport.analysis.rows import where_rows_meet
from biport.analysis.summary import inspect_graph
from biport.analysis.undefined import may_be_nan
from biport.compare.finite_differences import Slopes
from biport.compare.localize.positions import every_step, output_scans
from biport.compare.settings import differing_settings, layer_ops
from biport.decoding import reference_stepper, split
from biport.decoding.stepper import Stepper
from biport.errors import InputError, UnsupportedError
from biport.graph import Graph, Node, Value, body_of, scan_over, trained
from biport.inputs import check_inputs, id_bounds
from biport.rewrite.simplify import simplify
from testing import scans
from testing.graphs import dense, embedding, lstm, normal

RNG = np.random.default_rng(0)
I, H = scans.I, scans.H


def behind_ids(op: ops.Scan, *constants: Node) -> Graph:
    """Ids with 0 for padding, their vectors, and the recurrence over them."""
    names = [node.name for node in constants]
    nodes = (
        Node("mask", ops.NotEqual(), ("ids",)),
        Node("vectors", embedding(RNG, I), ("ids",)),
        *constants,
        Node("cell", op, ("vectors", *names), masks=("mask", *[None] * len(names))),
    )
    return Graph((Value("ids", ("N", "T"), "int32"),), nodes, ("cell",))


def mixing() -> ops.Scan:
    body = scans.Body(RNG, "float32")
    mean = body("mean", ops.Reduction(function="mean", axes=(0,), keepdims=True), "x")
    h = body.function("add", body.function("subtract", "x", mean), "h", name="new")
    return body.scan({"h": I}, (h, h))


def test_padding_is_skipped() -> None:
    assert masked_axes(behind_ids(scans.ind_rnn(RNG))) == {"cell": ()}
    assert masked_axes(behind_ids(scans.ind_rnn(RNG, return_sequences=True))) == {"cell": (1,)}
    assert masked_axes(behind_ids(scans.ind_rnn(RNG, return_sequences=True, reverse=True))) is None
    # Of rows that meet one sees the other's padding, and so does who looks at it as a memory.
    assert masked_axes(behind_ids(mixing())) is None
    memory = Node("memory", dense(RNG, I, 4), ("vectors",))
    assert masked_axes(behind_ids(scans.attention_cell(RNG), memory)) is None


def test_where_rows_meet() -> None:
    graph = behind_ids(mixing())
    assert where_rows_meet(graph) is graph["cell"]
    for make in scans.CELLS.values():
        assert where_rows_meet(scans.graph_of(make(RNG))) is None


def divided(by: str) -> ops.Scan:
    body = scans.Body(RNG, "float32")
    divisor = body.function("multiply", "h", "h", name="square")
    if by == "more than 0":
        one = body("one", ops.Constant(value=np.ones((), "float32")))
        divisor = body.function("add", divisor, one, name="more")
    h = body.function("divide", "x", divisor, name="new")
    return body.scan({"h": I}, (h, h))


def test_where_numbers_may_be_undefined() -> None:
    assert may_be_nan(scans.graph_of(divided("0"))) == {"y:0"}
    assert not may_be_nan(scans.graph_of(divided("more than 0")))
    assert not may_be_nan(scans.graph_of(scans.layer_norm_lstm(RNG)))


def test_ids_that_a_step_looks_up() -> None:
    body, table = scans.Body(RNG, "float32"), embedding(RNG, H)
    values = [Value("x", ("N", I), "float32"), Value("h", ("N", H), "float32")]
    values.append(Value("words", ("N", "S"), "int32"))
    seen = body("most", ops.Reduction(function="max", axes=(1,)), body("table", table, "words"))
    h = body.function("add", seen, "h", name="new")
    op = scan_over(Graph(tuple(values), tuple(body.nodes), (h, h)), 1)
    graph = scans.graph_of(op, masked=False)
    assert id_bounds(graph) == {"words": table.num_embeddings}
    with pytest.raises(InputError, match=r"'words': ids should be in \[0, "):
        check_inputs(graph, [np.zeros((1, 1, I), "float32"), np.full((1, 2), table.num_embeddings)])


def test_constants_of_a_step_are_not_trained() -> None:
    graph = scans.graph_of(divided("more than 0"))
    assert "cell.body.one.value" in {f"cell.{path}" for path in graph["cell"].op.weights()}
    assert graph["cell"].op.constant_weights() == {"body.one.value"}
    assert not trained(graph)
    assert graph.parameter_count() == 0


def test_an_inspection_says_what_is_inside() -> None:
    graph = scans.graph_of(scans.attention_cell(RNG))
    (row,) = (row for row in inspect_graph(Path("model"), {}, graph).rows if row.name == "cell")
    assert "body=(4 Dense, ExpandDims, Attention, Squeeze, 2 Concatenate, Add, Activation)" in row.what
    assert "constants=(memory float32 (N, S, 4))" in row.what
    assert row.parameters == graph.parameter_count()


def test_every_step_of_what_gives_the_last() -> None:
    op = scans.attention_cell(RNG, "float64", return_state=True)
    x, memory = RNG.normal(size=(2, 4, I)), RNG.normal(size=(2, 3, 4))
    (steps,) = every_step(op, [x, memory], None).values()
    last, state = reference.run(scans.graph_of(op, masked=False), [x, memory])
    np.testing.assert_array_equal(steps[:, -1], last)
    (scan,) = output_scans(op, 1, state, state, None)
    assert scan.state == "h"


def test_slopes_of_the_weights_inside() -> None:
    graph = scans.graph_of(scans.nested_cells(RNG, "float64"), masked=False)
    slopes = Slopes(graph, [RNG.normal(size=(2, 3, I))])
    path = "cell.body.low.weight_hh.r"
    weight, direction = trained(graph)[path], slopes[path].direction
    assert direction.shape == weight.shape
    moved = []
    for sign in (-1, 1):
        op = graph["cell"].op
        weights = op.weights() | {"body.low.weight_hh.r": weight + sign * 1e-4 * direction}
        node = dataclasses.replace(graph["cell"], op=type(op).build(op.settings(), weights))
        (y,) = reference.run(Graph(graph.inputs, (node,), graph.outputs), [slopes._values["x"]])
        assert slopes.cotangents[0] is not None
        moved.append((y * slopes.cotangents[0]).sum())
    assert slopes[path].central == pytest.approx((moved[1] - moved[0]) / 2e-4, rel=1e-5)


def test_settings_of_a_step() -> None:
    """Layers inside are compared by their names, like those of a model; where they are called so, by them."""
    graph = scans.graph_of(scans.ind_rnn(np.random.default_rng(1)))

    def differing(op: ops.Scan) -> list[tuple[str, str]]:
        node = dataclasses.replace(graph["cell"], op=op)
        other = Graph(graph.inputs, (graph["mask"], node), graph.outputs)
        return [(one.layer, one.setting) for one in differing_settings(layer_ops(other), graph)]

    same: Any = graph["cell"].op
    assert differing(same) == []
    assert differing(dataclasses.replace(same, reverse=True)) == [("cell", "reverse")]
    tanh = ops.Activation(function="tanh")
    assert differing(same.with_parts({"body.y": tanh})) == [("cell.y", "function")]


def test_operations_inside_are_said_by_layers() -> None:
    """As a cell of one's own has them: products with its parameters."""
    body = scans.Body(RNG, "float32")
    wide = body("kernel", ops.Parameter(value=normal(RNG, I, H)))
    deep = body("recurrent", ops.Parameter(value=normal(RNG, H, H)))
    bias = body("bias", ops.Parameter(value=normal(RNG, H)))
    x = body.function("add", body("x_kernel", ops.MatMul(), "x", wide), bias, name="biased")
    total = body.function("add", x, body("h_recurrent", ops.MatMul(), "h", deep), name="total")
    h = body.function("tanh", total, name="new")
    graph = scans.graph_of(body.scan({"h": H}, (h, h), return_sequences=True))
    simple = simplify(graph)
    op: Any = simple["cell"].op
    assert [node.op.kind for node in body_of(op).nodes] == ["Dense", "Dense", "Elementwise", "Activation"]
    assert op.return_sequences
    assert op.states == ("h",)
    assert simplify(simple) == simple
    arrays = [RNG.normal(size=(2, 3, I)), np.ones((2, 3), "int32")]
    for one, two in zip(reference.run(simple, arrays), reference.run(graph, arrays), strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-12)


def translator(op: ops.Scan, memory: str = "encoder") -> Graph:
    """A decoder with attention inside of its cell, which starts from the encoder's last state."""
    table = embedding(RNG, I)
    nodes = (
        Node("read", table, ("source",)),
        Node("encoder", lstm(RNG, I, 4, return_sequences=True), ("read",)),
        Node("start", lstm(RNG, 4, H), ("encoder",)),
        Node("known", table, ("target",)),
        Node("seen", dense(RNG, I, 4), ("known",)),
        Node("cell", op, ("known", "start", memory)),
        Node("next", dense(RNG, H + 4, 11, "softmax"), ("cell",)),
    )
    inputs = Value("source", ("N", "S"), "int32"), Value("target", ("N", "T"), "int32")
    return Graph(inputs, nodes, ("next",))


def test_a_decoder_with_attention_in_its_cell_is_stepped() -> None:
    op = scans.attention_cell(RNG, return_sequences=True)
    graph = translator(op)
    model = split(graph)
    assert [value.name for value in model.step.inputs] == ["target", "encoder", "cell_h"]
    stepper = reference_stepper(model)
    assert isinstance(stepper, Stepper)
    source, target = RNG.integers(1, 11, (2, 5)), RNG.integers(1, 11, (2, 4))
    (whole,) = reference.run(graph, [source, target])
    read, *states = stepper.encode([source])
    for step in range(4):
        probabilities, *states = stepper.advance([target[:, step : step + 1], read, *states])
        np.testing.assert_allclose(probabilities[:, 0], whole[:, step], rtol=0, atol=1e-6)
    with pytest.raises(UnsupportedError, match=r"'cell' \(Scan\): constants=\"of the target's side\""):
        split(translator(op, "seen"))
