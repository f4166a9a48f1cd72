"""Files made for inputs padded on the right: exact on those, and an error on all others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from typer.testing import CliRunner

import biport
import export
from biport import bundle, ops
from biport.app.cli import app
from biport.compare.tolerance import Verdict
from biport.errors import InputError
from biport.graph import Graph
from testing.onnx_graphs import chain
from testing.onnx_graphs import dense as dense_layer
from testing.recurrent_graphs import KINDS, H, I, both_ways, cell, graph_of, inputs_of, stack, verdicts

RIGHT = "right-padded"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(31)


def kept(graph: Graph, rng: np.random.Generator) -> dict[str, list[np.ndarray]]:
    """Inputs that keep the contract, rows without any step and empty ones too."""
    cases = {mask: inputs_of(graph, rng, mask) for mask in ("right", "full", "all padding")}
    cases |= {f"{size}": inputs_of(graph, rng, "right", *size) for size in ((1, 1), (1, 6), (0, 4), (3, 0))}
    cases["empty row"] = [array.copy() for array in cases["right"]]
    cases["empty row"][1][2] = 0
    # T beyond the longest row.
    cases["long"] = inputs_of(graph, rng, "right", 4, 20)
    cases["long"][1][:, 5:] = 0
    return cases


def written(graph: Graph, folder: Path, how: str = "auto") -> Path:
    return export.write(graph, folder / "model.onnx", overwrite=True, contract=RIGHT, lowering=how).path


@pytest.mark.cover(3)
@pytest.mark.parametrize("how", ["fused", "loop"])
@pytest.mark.parametrize("states", [False, True], ids=["", "states"])
@pytest.mark.parametrize("sequences", [False, True], ids=["last", "sequences"])
@pytest.mark.parametrize("carry", [False, True], ids=["zeros", "carry"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("kind", KINDS)
def test_right_padded_inputs(kind, reverse, carry, sequences, states, how, rng, tmp_path):
    settings = {"reverse": reverse, "return_sequences": sequences, "return_state": states}
    graph = graph_of(cell(rng, kind, I, H, zero_output_for_mask=not carry, **settings), states=states)
    verdict_of = verdicts(graph, written(graph, tmp_path, how), kept(graph, rng))
    assert all(verdict is Verdict.SAME for verdict, _ in verdict_of.values()), verdict_of


@pytest.mark.cover(2)
@pytest.mark.parametrize("stacked", [True, False], ids=["stacks", "cells"])
@pytest.mark.parametrize("sequences", [False, True], ids=["last", "sequences"])
@pytest.mark.parametrize("merge", ops.MERGE_MODES)
def test_both_ways(merge, sequences, stacked, rng, tmp_path):
    def direction() -> ops.Recurrent:
        if stacked:
            return stack(rng, ["gru", "lstm"], I, return_sequences=sequences)
        return cell(rng, "lstm", I, H, return_sequences=sequences)

    one, two = direction(), direction()
    graph = graph_of(both_ways(one, two, merge))
    verdict_of = verdicts(graph, written(graph, tmp_path), kept(graph, rng))
    assert all(verdict is Verdict.SAME for verdict, _ in verdict_of.values()), verdict_of


def broken(rng: np.random.Generator, N: int, T: int) -> list[np.ndarray]:
    """Masks of which one row, whichever, has one valid step too far on the right."""
    masks = []
    for row in range(N):
        mask = np.arange(T) < rng.integers(0, T - 1, (N, 1))
        mask[row, rng.integers(mask[row].sum() + 1, T)] = True
        masks.append(mask.astype("int32"))
    return masks


@pytest.mark.parametrize("how", ["fused", "loop"])
@pytest.mark.parametrize("kind", ["lstm", "rnn"])
def test_any_other_input_is_an_error(kind, how, rng, tmp_path):
    for op in (cell(rng, kind, I, H), cell(rng, kind, I, H, reverse=True, return_sequences=True)):
        graph = graph_of(op)
        path = written(graph, tmp_path, how)
        session = export.Session(path, device="cpu", threads=1)
        bare = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for N, T in ((1, 2), (1, 9), (4, 6), (5, 3)):
            x = rng.normal(size=(N, T, I)).astype("float32")
            for ids in broken(rng, N, T):
                with pytest.raises(InputError, match=r"behind a masked one; .* contract 'right-padded'"):
                    session.run([x, ids])
                with pytest.raises(Exception, match="/right-padded/Reshape"):
                    bare.run(None, {"x": x, "ids": ids})
        # The session still runs what keeps the contract.
        x, ids = inputs_of(graph, rng, "right")
        assert len(session.run([x, ids])) == 1


def test_nothing_is_moved_that_is_in_front(rng, tmp_path):
    graph = chain(rng, cell(rng, "lstm", I, I, return_sequences=True), cell(rng, "lstm", I, H))
    free, bound = tmp_path / "free.onnx", tmp_path / "bound.onnx"
    more = export.write(graph, free, lowering="fused").nodes
    less = export.write(graph, bound, lowering="fused", contract=RIGHT).nodes
    assert {"ScatterElements", "CumSum"} <= more.keys()
    assert not {"ScatterElements", "CumSum"} & less.keys()
    assert export.Session(bound, device="cpu").contract == "right-padded"
    assert export.Session(free, device="cpu").contract is None


def test_an_unmasked_model_has_nothing_to_check(rng, tmp_path):
    graph = chain(rng, cell(rng, "lstm", I, H), dense_layer(rng, H, "tanh"), masked=False)
    paths = tmp_path / "one.onnx", tmp_path / "two.onnx"
    export.write(graph, paths[0])
    export.write(graph, paths[1], contract=RIGHT)
    one, two = (onnx.load(path) for path in paths)
    assert one.graph == two.graph


def test_another_contract_is_refused(rng, tmp_path):
    with pytest.raises(InputError, match="contract should be one of None, right-padded, found 'sorted'"):
        export.write(graph_of(cell(rng, "rnn", I, H)), tmp_path / "model.onnx", contract="sorted")


def test_verify_and_trace_keep_the_contract(rng, tmp_path):
    graph = chain(rng, cell(rng, "gru", I, H))
    path = written(graph, tmp_path)
    report = biport.verify(graph, path)
    assert report.ok, report.table
    assert "left" not in report.cases
    traced = export.trace(path, {"right": [np.array([[3, 2, 0], [4, 0, 0]], "int32")]}, graph)
    assert not traced.remarks
    assert traced.values["right"]["layer_1"].shape == (2, H)


def test_on_the_command_line(rng, tmp_path):
    bundle.write(chain(rng, cell(rng, "gru", I, H)), tmp_path / "ported")
    path = tmp_path / "model.onnx"
    run = CliRunner().invoke
    given = ["export", str(tmp_path / "ported"), "-o", str(path), "--json"]
    done = run(app, [*given, "--lowering", "loop", "--contract", "right-padded"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["notes"] == ["node 'layer_1': asked for as a loop; written as a Scan"]
    np.savez(tmp_path / "left.npz", ids=np.array([[0, 3]], "int32"))
    done = run(
        app, ["run", str(path), "--input", str(tmp_path / "left.npz"), "-o", str(tmp_path / "out.npz")]
    )
    assert done.exit_code == 2
    assert "contract 'right-padded'" in done.output
    done = run(
        app, ["port", str(tmp_path / "ported"), "--to", "keras", "-o", "x.keras", "--lowering", "loop"]
    )
    assert done.exit_code == 2
    assert "--to onnx" in done.output
