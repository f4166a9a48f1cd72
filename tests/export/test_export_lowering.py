"""A fused node, a loop, or both behind an ``If``: the same numbers, and the rule that chooses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import export
from biport import ops
from biport.compare.tolerance import Verdict
from biport.errors import InputError
from export.deploy.precision import write_precision
from export.recurrent import lowering
from export.recurrent.lowering import LOOP_FROM, LOWERINGS
from testing.masks import MASKS
from testing.onnx_graphs import chain, dense, padded_ids
from testing.recurrent_graphs import (
    KINDS,
    H,
    I,
    both_ways,
    cases_of,
    cell,
    counts,
    graph_of,
    inputs_of,
    stack,
    verdicts,
)

CHOSEN = [kind for kind, (cls, _) in KINDS.items() if cls in LOOP_FROM]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(23)


@pytest.fixture
def from_three(monkeypatch):
    """Batches of 3 rows and more are large; the cases have such of 0, 1, 2, 4 and 6 rows."""
    for kind in LOOP_FROM:
        monkeypatch.setitem(LOOP_FROM, kind, (3 * H, 3 * H))


@pytest.fixture
def small_groups(monkeypatch, request):
    """Groups of 2 rows, or of as many as asked for: from 4 rows on they are worth while."""
    size = getattr(request, "param", 2)
    monkeypatch.setattr(lowering, "GROUP", (size, size))


def same(graph, path: Path, rng: np.random.Generator, how: str) -> None:
    export.write(graph, path, lowering=how, overwrite=True, vectors=False)
    verdict_of = verdicts(graph, path, cases_of(graph, rng))
    assert all(verdict is Verdict.SAME for verdict, _ in verdict_of.values()), (how, verdict_of)


def inside(path: Path) -> set[str]:
    """The kinds of nodes in the branches of a file, and in those of these."""

    def kinds(graph) -> set[str]:
        parts = [part.g for node in graph.node if node.op_type == "If" for part in node.attribute]
        found = {inner.op_type for part in parts for inner in part.node}
        return found.union(*map(kinds, parts))

    return kinds(onnx.load(path).graph)


def bodies(path: Path) -> list[set[str]]:
    """The kinds of nodes in the body of each ``Loop`` over groups."""

    loops = [node for node in ir.load(path).graph.all_nodes() if node.op_type == "Loop"]
    return [{inner.op_type for inner in node.attributes["body"].as_graph()} for node in loops]


@pytest.mark.cover(2)
@pytest.mark.parametrize("masked", [True, False], ids=["masked", ""])
@pytest.mark.parametrize("how", ["auto", "loop"])
@pytest.mark.parametrize("states", [False, True], ids=["", "states"])
@pytest.mark.parametrize("sequences", [False, True], ids=["last", "sequences"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("kind", KINDS)
def test_one_direction(kind, reverse, sequences, states, how, masked, rng, tmp_path, from_three):
    op = cell(rng, kind, I, H, reverse=reverse, return_sequences=sequences, return_state=states)
    same(graph_of(op, masked=masked, states=states), tmp_path / "model.onnx", rng, how)
    kinds = inside(tmp_path / "model.onnx")
    assert ({op.kind, "Scan"} <= kinds) == (how == "auto" and kind in CHOSEN)


@pytest.mark.cover(2)
@pytest.mark.parametrize("gives", [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("merge", ops.MERGE_MODES)
@pytest.mark.parametrize("kind", CHOSEN)
def test_two_directions(kind, merge, gives, rng, tmp_path, from_three):
    sequences, states = gives
    settings = {"return_sequences": sequences, "return_state": states}
    one, two = (cell(rng, kind, I, H, biases, **settings) for biases in (2, 0))
    op = both_ways(one, two, merge)
    same(graph_of(op, masked=not states, states=states), tmp_path / "model.onnx", rng, "auto")
    assert {op.forward.kind, "Scan"} <= inside(tmp_path / "model.onnx")


def test_stacks_and_directions_that_differ(rng, tmp_path, from_three):
    op = both_ways(stack(rng, ["gru", "rnn"], I, return_sequences=True), cell(rng, "rnn", I, H))
    for how in LOWERINGS:
        same(graph_of(op), tmp_path / f"{how}.onnx", rng, how)
    assert counts(tmp_path / "loop.onnx") == {"Scan": 3}
    assert counts(tmp_path / "fused.onnx") == {"GRU": 1, "RNN": 2}
    assert counts(tmp_path / "auto.onnx") == {"Loop": 3}


def test_an_lstm_is_always_fused(rng, tmp_path):
    export.write(graph_of(cell(rng, "lstm", I, H), masked=False), tmp_path / "model.onnx")
    assert counts(tmp_path / "model.onnx") == {"LSTM": 1}
    assert not inside(tmp_path / "model.onnx")


@pytest.mark.cover(2)
@pytest.mark.parametrize("small_groups", [2, 3], indirect=True)
@pytest.mark.parametrize("states", [False, True], ids=["", "states"])
@pytest.mark.parametrize("carry", [False, True], ids=["zeros", "carry"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("kind", KINDS)
def test_groups_of_rows(kind, reverse, carry, states, rng, tmp_path, small_groups, from_three):
    settings = {"zero_output_for_mask": not carry, "return_sequences": True, "return_state": states}
    op = cell(rng, kind, I, H, reverse=reverse, **settings)
    same(graph_of(op, states=states), tmp_path / "model.onnx", rng, "auto")
    (body,) = bodies(tmp_path / "model.onnx")
    looped = kind in CHOSEN and lowering.GROUP[0] == 3
    assert {"Scan" if looped else op.kind} == body & {"Scan", op.kind}


@pytest.mark.parametrize("merge", ops.MERGE_MODES)
def test_groups_of_two_directions_and_stacks(merge, rng, tmp_path, small_groups):
    one, two = (stack(rng, ["lstm", "gru"], I, return_sequences=True) for _ in range(2))
    same(graph_of(both_ways(one, two, merge)), tmp_path / "model.onnx", rng, "auto")
    assert len(bodies(tmp_path / "model.onnx")) == 4


@pytest.mark.parametrize("contract", [None, "right-padded"])
def test_layers_hand_groups_over(contract, rng, tmp_path, small_groups):
    def layer(kind: str, size: int, every: bool) -> ops.Bidirectional:
        one, two = (cell(rng, kind, size, H, return_sequences=every) for _ in range(2))
        return both_ways(one, two)

    graph = chain(rng, layer("lstm", I, True), layer("lstm", 2 * H, True), layer("rnn", 2 * H, False))
    path = tmp_path / "model.onnx"
    export.write(graph, path, contract=contract, vectors=False)
    patterns = ("right", "full", "all padding") if contract else MASKS
    cases = {f"{kind} {N}": inputs_of(graph, rng, kind, N, 9) for kind in patterns for N in (1, 4, 5, 11)}
    verdict_of = verdicts(graph, path, cases)
    assert all(verdict is Verdict.SAME for verdict, _ in verdict_of.values()), verdict_of


def test_padding_is_not_computed(rng, tmp_path, small_groups):
    """Of a batch that pays for groups each has its own longest row's steps, and one behind it."""
    graph = chain(rng, cell(rng, "lstm", I, H, return_sequences=True))
    path = tmp_path / "model.onnx"
    export.write(graph, path, vectors=False)
    model = onnx.load(path)
    forms = json.loads(next(p.value for p in model.metadata_props if p.key == "biport.values"))
    source = next(form["source"] for form in forms.values() if "source" in form)
    model.graph.output.append(onnx.helper.make_tensor_value_info(source, onnx.TensorProto.INT64, None))
    onnx.save(model, path)
    session = export.Session(path, device="cpu", threads=1)

    def steps(*lengths: int) -> tuple[int, ...]:
        ids = (np.arange(9) < np.asarray(lengths)[:, None]).astype("int32")
        return session.run([ids])[-1].shape

    assert steps(9, 1, 2, 9, 1) == (2 * 9 + 2 * 3 + 1 * 2, 1)
    assert steps(3, 3, 3, 3) == (4, 4)
    assert steps(9, 1, 1) == (9, 3)


@pytest.mark.parametrize("N", [4, 5])
def test_groups_of_a_batch_that_is_known(N, rng, tmp_path, small_groups):
    graph = graph_of(cell(rng, "lstm", I, H, return_sequences=True), N=N)
    path = tmp_path / "model.onnx"
    export.write(graph, path, vectors=False)
    assert len(bodies(path)) == 1
    cases = {kind: inputs_of(graph, rng, kind, N) for kind in MASKS}
    assert verdicts(graph, path, cases)["y"][0] is Verdict.SAME


@pytest.mark.parametrize("kind", CHOSEN)
def test_a_batch_that_is_known_needs_no_branch(kind, rng, tmp_path, from_three):
    op = both_ways(cell(rng, kind, I, H), cell(rng, kind, I, H))
    for N, nodes in ((2, {op.forward.kind: 1}), (3, {"Scan": 2})):
        graph = graph_of(op, N=N)
        report = export.write(graph, tmp_path / "model.onnx", overwrite=True)
        assert counts(tmp_path / "model.onnx") == nodes
        assert bool(report.notes) == (N == 3)
        verdict_of = verdicts(graph, tmp_path / "model.onnx", {"holes": inputs_of(graph, rng, "holes", N)})
        assert verdict_of["y"][0] is Verdict.SAME


def test_which_batch_is_large_depends_on_the_size(rng):
    wanted = {8: 32, 16: 16, 64: 4, 100: 3, 1024: 1}
    least = {size: lowering._least(cell(rng, "rnn", I, size), "auto", masked=True) for size in wanted}
    assert least == wanted


@pytest.mark.parametrize("branch_name", ["then_branch", "else_branch"])
def test_each_branch_is_run(branch_name, rng, tmp_path, from_three):
    """A fault in either is seen by the batches that go there, and by no others."""
    graph = graph_of(cell(rng, "rnn", I, H, biases=1), masked=False)
    path = tmp_path / "model.onnx"
    export.write(graph, path)
    model = onnx.load(path)
    (choice,) = [node for node in model.graph.node if node.op_type == "If"]
    (branch,) = [part.g for part in choice.attribute if part.name == branch_name]
    name = next(n.input[1] for n in branch.node if n.op_type in ("RNN", "Gemm"))
    (weight,) = [item for item in model.graph.initializer if item.name == name]
    weight.raw_data = (np.frombuffer(weight.raw_data, "float32") + 1).tobytes()
    onnx.save(model, path)
    cases = {N: inputs_of(graph, rng, "right", N, 7) for N in (1, 2, 3, 4)}
    wrong = {N for N, x in cases.items() if verdicts(graph, path, {str(N): x})["y"][0] is Verdict.DIFFERENT}
    assert wrong == ({3, 4} if branch_name == "then_branch" else {1, 2})


def test_another_lowering_is_refused(rng, tmp_path):
    with pytest.raises(InputError, match="auto, fused, loop, found 'scan'"):
        export.write(graph_of(cell(rng, "rnn", I, H)), tmp_path / "model.onnx", lowering="scan")
    assert not list(tmp_path.iterdir())


def test_a_trace_sees_the_weights_inside_of_a_branch(rng, tmp_path):
    op = both_ways(cell(rng, "gru", I, H), cell(rng, "gru", I, H))
    graph = graph_of(op)
    cases = {"holes": inputs_of(graph, rng, "holes")}
    for how in LOWERINGS:
        path = tmp_path / f"{how}.onnx"
        export.write(graph, path, lowering=how)
        traced = export.trace(path, cases, graph)
        assert not traced.remarks
        assert list(traced.ops) == ([] if how == "loop" else ["y"])


@pytest.mark.parametrize("kind", CHOSEN)
def test_half_precision_leaves_the_loop_out(kind, rng, tmp_path, from_three):
    op = both_ways(cell(rng, kind, I, H), cell(rng, kind, I, H))
    graph = chain(rng, op, dense(rng, 2 * H, "tanh"))
    export.write(graph, tmp_path / "exact.onnx")
    assert {op.forward.kind, "Scan"} <= inside(tmp_path / "exact.onnx")
    write_precision(tmp_path / "exact.onnx", tmp_path / "small.onnx", "float16")
    small = onnx.load(tmp_path / "small.onnx").graph
    assert counts(tmp_path / "small.onnx") == {op.forward.kind: 1}
    read = {name for node in small.node for name in node.input}
    assert {weight.name for weight in small.initializer} <= read
    exact, small = (
        export.Session(tmp_path / f"{name}.onnx", device="cpu", threads=1) for name in ("exact", "small")
    )
    for N in (2, 5):
        ids = padded_ids(rng, "holes", N)
        for one, two in zip(exact.run([ids]), small.run([ids]), strict=True):
            np.testing.assert_allclose(two, one, atol=0.02)
