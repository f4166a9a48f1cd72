"""``biport check``: a table, an exit code, and nothing that a file says is believed."""

from __future__ import annotations

import dataclasses
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

import export
from biport import bundle, ops
from biport.app.cli import app
from biport.compare.check_vectors import make_vectors
from biport.graph import Graph, Node, Value
from export.check_vectors import carried, read_vectors
from export.deploy.precision import write_precision
from testing.graphs import classifier, dense
from testing.junit import check_document

MODULE = """
from pathlib import Path

import numpy as np
import torch
from torch import nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(4, 2)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        return self.dropout(self.dense(x))


def load(folder):
    module = Model()
    module.load_state_dict(torch.load(Path(folder) / "model.pt", weights_only=True))
    return module
"""


def check(*arguments: object) -> Any:
    result = CliRunner().invoke(app, ["check", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    graph = classifier(np.random.default_rng(0))
    export.write(graph, folder / "m.onnx")
    write_precision(folder / "m.onnx", folder / "int8.onnx", "int8")
    export.write(graph, folder / "none.onnx", vectors=False)
    model = onnx.load(folder / "m.onnx")
    (bias,) = [weight for weight in model.graph.initializer if weight.name == "head/bias"]
    bias.CopyFrom(onnx.numpy_helper.from_array(np.array([0.1, 0, 0], "float32"), "head/bias"))
    onnx.save(model, folder / "changed.onnx")
    with_vectors_of_another(folder / "m.onnx", folder / "names.onnx")
    bundle.write(graph, folder / "b")
    (folder / "zeros.onnx").write_bytes(bytes(100))
    with zipfile.ZipFile(folder / "model.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    return folder


def with_vectors_of_another(other: Path, path: Path) -> None:
    op = ops.PReLU(alpha=np.ones((1, 3), "float32"))
    graph = Graph((Value("x", ("N", 2, 3), "float32"),), (Node("head", op, ("x",)),), ("head",))
    export.write(graph, path)
    model, metadata = onnx.load(path), export.Session(other, device="cpu").metadata
    onnx.helper.set_model_props(model, {"biport.check": metadata["biport.check"]})
    onnx.save(model, path)


def linear_folder(folder: Path, code: str = MODULE) -> Path:
    import torch

    op = dense(np.random.default_rng(0), 4, 2)
    graph = Graph((Value("x", ("N", "T", 4), "float32"),), (Node("dense", op, ("x",)),), ("dense",))
    folder.mkdir()
    (folder / "check.npz").write_bytes(make_vectors(graph).to_bytes())
    assert op.bias is not None
    state = {"dense.weight": torch.tensor(op.weight), "dense.bias": torch.tensor(op.bias)}
    torch.save(state, folder / "model.pt")
    (folder / "model.py").write_text(code)
    return folder


def test_a_whole_file_ends_with_0_and_a_changed_one_with_1(models: Path) -> None:
    result = check(models / "m.onnx")
    assert result.exit_code == 0
    assert "check vectors of biport" in result.stdout
    assert "all padding" in result.stdout
    assert "verdict: same" in result.stdout
    result = check(models / "changed.onnx")
    assert result.exit_code == 1
    assert "verdict: different; at fault: changed.onnx" in result.stdout


def test_as_json(models: Path) -> None:
    result = check(models / "m.onnx", "--json")
    data = json.loads(result.stdout)
    assert data["ok"]
    (model,) = data["models"]
    assert (model["verdict"], model["precision"], model["lines"][0]["output"]) == ("same", "float32", "head")


def test_no_character_of_a_file_moves_the_cursor(models: Path, tmp_path: Path) -> None:
    session = export.Session(models / "m.onnx", device="cpu")
    vectors = read_vectors(session.path, session.metadata)
    assert vectors is not None
    cases = {f"{name}\x1b[2J": case for name, case in vectors.cases.items()}
    hostile = dataclasses.replace(vectors, version="9\x1b[31m\r", cases=cases)
    model = onnx.load(models / "m.onnx")
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, session.metadata | dict(carried(hostile).properties))
    onnx.save(model, tmp_path / "m.onnx")
    result = check(tmp_path / "m.onnx")
    assert result.exit_code == 0
    assert result.stdout.replace("\n", "").isprintable()


def test_several_each_have_a_verdict_and_the_worst_ends_the_command(models: Path) -> None:
    names = "m.onnx", "changed.onnx", "none.onnx", "absent.onnx"
    result = check(*(models / name for name in names))
    assert result.exit_code == 2
    assert result.stdout.count("verdict: same") == result.stdout.count("verdict: different") == 1
    assert result.stdout.count("not checked\nerror: ") == 2
    data = json.loads(check(*(models / name for name in names), "--json").stdout)
    assert [model.get("verdict") for model in data["models"]] == ["same", "different", None, None]
    assert data["models"][2]["error"]["kind"] == "FileError"
    results = models / "results.xml"
    assert check(models / "m.onnx", models / "changed.onnx", "--junit", results).exit_code == 1
    counts = check_document(results.read_bytes()).attrib
    assert (counts["tests"], counts["failures"], counts["errors"]) == ("2", "1", "0")
    assert check(models / "none.onnx", models / "m.onnx", "--junit", results, "--force").exit_code == 2
    counts = check_document(results.read_bytes()).attrib
    assert (counts["tests"], counts["failures"], counts["errors"]) == ("2", "0", "1")
    assert "exists already" in check(models / "m.onnx", "--junit", results).stderr


def test_smaller_numbers_are_held_to_themselves_and_that_is_said(models: Path) -> None:
    result = check(models / "int8.onnx")
    assert result.exit_code == 0
    assert "note: int8: allowed is four times the error that the file had" in result.stdout
    assert " L2 " not in result.stdout


@pytest.mark.parametrize(
    "name, message",
    [
        ("none.onnx", "none.onnx: carries no check vectors; export the model once more"),
        ("absent", "absent: no such file or folder"),
        ("model.keras", "is not a model with check vectors .* but a Keras archive"),
        (".", "is not a model with check vectors .* but a folder of other files"),
        ("names.onnx", "names.onnx: its check vectors are of other inputs or outputs than its own"),
        ("zeros.onnx", "is not an ONNX file, or is truncated"),
    ],
)
def test_what_cannot_be_checked_ends_with_2(name: str, message: str, models: Path) -> None:
    result = check(models / name)
    assert result.exit_code == 2
    assert re.search(message, result.output)


def test_a_bundle_says_what_was_run(models: Path) -> None:
    result = check(models / "b")
    assert result.exit_code == 0
    assert "note: a bundle carries no check vectors; they were made of it" in result.stdout


def test_the_folder_of_a_module_is_imported_and_run_at_inference(tmp_path: Path) -> None:
    folder = linear_folder(tmp_path / "linear")
    assert check(folder).exit_code == 0
    assert (
        check(linear_folder(tmp_path / "other", MODULE.replace("self.dense(x)", "-self.dense(x)"))).exit_code
        == 1
    )
    result = check(linear_folder(tmp_path / "raises", MODULE.replace("self.dense(x)", "self.dense(x, 3)")))
    assert result.exit_code == 1
    assert "TypeError" in result.stdout
    result = check(linear_folder(tmp_path / "no_load", MODULE.replace("def load", "def open_it")))
    assert result.exit_code == 2
    assert "has no load" in result.output
    result = check(linear_folder(tmp_path / "broken", "import nothing_of_that_name"))
    assert result.exit_code == 2
    assert "'nothing_of_that_name' is not installed" in result.output
    (folder / "check.npz").write_bytes(b"PK")
    result = check(folder)
    assert result.exit_code == 2
    assert "check.npz: truncated or damaged" in result.output
