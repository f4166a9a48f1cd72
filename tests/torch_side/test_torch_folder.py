"""A folder of plain PyTorch: what is in it, what it proves, and how it is read back."""

from __future__ import annotations

import dataclasses
import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import torch_side
import torch_side.layers
from biport import bundle, ops, reference
from biport.compare import check_vectors
from biport.compare.check_vectors import CheckVectors
from biport.data.vocabulary import Vocabulary
from biport.errors import FileError, InputError
from biport.file_kind import FileKind, file_kind
from biport.graph import Graph, Node, Value
from testing import scans
from testing.graphs import classifier, dense, lstm, two_inputs
from torch_side import recipient
from torch_side.writing.definitions import Definitions

RUFF = Path(sys.executable).with_name("ruff")


def nested(rng: np.random.Generator) -> Graph:
    """A nested model called twice, of another each, a number in place, and a list of layers."""
    layer, projection = lstm(rng, 3, 4), dense(rng, 4, 2, "relu")
    two = ops.Constant(value=np.asarray(2, "float32"))
    nodes = (
        Node("encoder.lstm", layer, ("a",)),
        Node("encoder.projection", projection, ("encoder.lstm",)),
        Node("encoder@1.lstm", layer, ("b",)),
        Node("encoder@1.projection", projection, ("encoder@1.lstm",)),
        Node("sum", ops.Add(), ("encoder.projection", "encoder@1.projection")),
        Node("two", two, ()),
        Node("product", ops.Elementwise(function="multiply"), ("sum", "two")),
        Node("layers.0", dense(rng, 2, 3, "tanh"), ("product",)),
        Node("layers.1", dense(rng, 3, 2), ("layers.0",)),
    )
    values = (Value(name, ("N", letter, 3), "float32") for name, letter in (("a", "T"), ("b", "U")))
    return Graph(tuple(values), nodes, ("layers.1", "encoder.projection"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return torch_side.write_folder(classifier(np.random.default_rng(0)), tmp_path / "m")


@pytest.mark.parametrize("weights", ["safetensors", "pt"])
@pytest.mark.parametrize("model", [lambda: classifier(np.random.default_rng(0)), two_inputs, "nested"])
def test_a_folder_is_the_model(model, weights, tmp_path: Path) -> None:
    graph = nested(np.random.default_rng(0)) if model == "nested" else model()
    folder = torch_side.write_folder(graph, tmp_path / "m", weights=weights)
    assert file_kind(folder) is FileKind.TORCH_FOLDER
    assert torch_side.read_folder(folder) == graph
    module = torch_side.load_folder(folder)
    assert not module.training
    live = torch_side.write(graph)
    assert list(module.state_dict()) == list(live.state_dict())
    assert all(torch.equal(one, live.state_dict()[name]) for name, one in module.state_dict().items())
    assert recipient.check(module, folder / "check.npz") == 0
    vectors = CheckVectors.from_bytes((folder / "check.npz").read_bytes())
    assert vectors.judge(lambda arrays: torch_side.run(module, arrays)).ok
    assert vectors.digest == graph.digest()


def test_nested_models_are_classes_and_lists_are_lists(tmp_path: Path) -> None:
    folder = torch_side.write_folder(nested(np.random.default_rng(0)), tmp_path / "m")
    source = (folder / "model.py").read_text()
    assert "class Encoder(nn.Module):" in source
    assert "encoder_1 = self.encoder(b)" in source
    assert "self.layers = nn.ModuleList([nn.Linear(2, 3), nn.Linear(3, 2)])" in source
    assert "fix_second_bias(self.lstm)" in source


def test_blocks_that_are_alike_are_one_class(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    nodes, x = [], "x"
    for number in range(3):
        names = [f"blocks.{number}.{name}" for name in ("wide.0", "narrow", "sum")]
        ops_of = dense(rng, 4, 6, "tanh"), dense(rng, 6, 4), ops.Add()
        inputs = (x,), (names[0],), (x, names[1])
        nodes += map(Node, names, ops_of, inputs)
        x = names[-1]
    graph = Graph((Value("x", ("N", 4), "float32"),), tuple(nodes), (x,))
    folder = torch_side.write_folder(graph, tmp_path / "m")
    assert torch_side.read_folder(folder) == graph
    assert recipient.check(torch_side.load_folder(folder), folder / "check.npz") == 0
    source = (folder / "model.py").read_text()
    assert "self.blocks = nn.ModuleList([Block(), Block(), Block()])" in source
    assert source.count("class Block(nn.Module):") == 1
    assert "blocks_1 = self.blocks[1](blocks_0)" in source


def test_what_the_model_reads_travels_along(tmp_path: Path) -> None:
    graph = classifier(np.random.default_rng(0))
    bound = graph["embedding"].op.settings()["num_embeddings"]
    vocabulary = Vocabulary.fit([" ".join(f"word{number}" for number in range(bound - 2))])
    labels = ["no", "yes", "perhaps"]
    folder = torch_side.write_folder(graph, tmp_path / "m", vocabulary=vocabulary, labels=labels)
    assert torch_side.read_folder(folder).tokenizers == {"ids": vocabulary.tokenizer()}
    assert bundle.read_labels(folder) == tuple(labels)


def test_weights_that_were_trained_on_are_read_as_they_are(folder: Path) -> None:
    before = torch_side.read_folder(folder)
    module = torch_side.load_folder(folder).train()
    optimizer = torch.optim.SGD([one for one in module.parameters() if one.requires_grad], lr=0.5)
    module(torch.tensor([[1, 2, 0]])).square().sum().backward()
    optimizer.step()
    from safetensors.torch import save_file

    save_file(module.state_dict(), folder / "model.safetensors")
    graph = torch_side.read_folder(folder)
    assert graph != before
    ids = np.array([[1, 2, 0], [3, 0, 0]], "int32")
    wanted = torch_side.run(module.eval(), [ids])
    np.testing.assert_allclose(reference.run(graph, [ids], "float32")[0], wanted[0], atol=1e-6)


@pytest.mark.parametrize("biases", ["one", "two"])
def test_the_second_bias_is_trained_on_request(biases, tmp_path: Path) -> None:
    graph = classifier(np.random.default_rng(0))
    module = torch_side.load_folder(torch_side.write_folder(graph, tmp_path / "m", biases=biases))
    trained = [name for name, one in module.named_parameters() if one.requires_grad and "bias_hh" in name]
    assert bool(trained) is (biases == "two")


def test_a_changed_source_is_refused(folder: Path) -> None:
    with (folder / "model.py").open("a") as file:
        file.write("# mine\n")
    with pytest.raises(FileError, match=r"model\.py was changed since.*model\.py:Model"):
        torch_side.read_folder(folder)


def test_damage_is_told(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    for change, match in (
        ({"format": 9}, "format 9"),
        ({"weights": "pickle"}, "weights should be"),
        ({"nodes": [{"name": "x"}]}, "does not describe a graph"),
        ({"outputs": ["nothing"]}, "used before it is made"),
    ):
        broken = {**config, "biport": {**config["biport"], **change}}
        (folder / "config.json").write_text(json.dumps(broken))
        with pytest.raises(FileError, match=match):
            torch_side.read_folder(folder)
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(FileError, match=r"model\.safetensors"):
        torch_side.read_folder(folder)
    with pytest.raises(FileError, match="is not a folder of plain PyTorch"):
        torch_side.read_folder(folder.parent)


def test_only_what_biport_wrote_is_replaced(folder: Path) -> None:
    graph = classifier(np.random.default_rng(1))
    with pytest.raises(InputError, match="exists already"):
        torch_side.write_folder(graph, folder)
    (folder / "__pycache__").mkdir()
    assert torch_side.read_folder(torch_side.write_folder(graph, folder, overwrite=True)) == graph
    (folder / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="holds other files too"):
        torch_side.write_folder(graph, folder, overwrite=True)
    bundle.write(graph, folder.parent / "b")
    torch_side.write_folder(graph, folder.parent / "b", overwrite=True)
    assert file_kind(folder.parent / "b") is FileKind.TORCH_FOLDER


def test_what_is_refused_leaves_nothing(tmp_path: Path) -> None:
    def refuse(path: Path) -> None:
        assert (path / "model.py").exists()
        raise InputError("no")

    with pytest.raises(InputError, match="no"):
        torch_side.write_folder(two_inputs(), tmp_path / "m", check=refuse)
    assert list(tmp_path.iterdir()) == []


def test_the_check_tells_what_differs(folder: Path, capsys: pytest.CaptureFixture) -> None:
    module = torch_side.load_folder(folder)
    with torch.no_grad():
        module.get_parameter("head.bias")[0] += 0.01
    assert recipient.check(module, folder / "check.npz") == 1
    assert "head: different, error" in capsys.readouterr().out
    assert recipient.check(nn.Flatten(0), folder / "check.npz") == 1
    assert "instead of" in capsys.readouterr().out


def test_errors_and_verdicts_are_those_of_the_check_vectors() -> None:
    inf, nan = float("inf"), float("nan")
    expected = torch.tensor([1.0, -4.0, nan, inf])
    assert recipient.measure(torch.tensor([1.0, -4.5, nan, inf]), expected) == pytest.approx(0.125)
    assert recipient.measure(torch.tensor([1.0, -4.0, 1.0, inf]), expected) == inf
    assert recipient.measure(torch.tensor([nan, -4.0, nan, inf]), expected) == inf
    assert recipient.measure(torch.tensor([]), torch.tensor([])) == 0
    assert recipient.judge(inf, None, 1e-5) == "ill-conditioned"
    assert recipient.judge(inf, 1e-2, 1e-5) == "different"
    assert recipient.judge(1.0, 1e-2, 1e-5) == "ill-conditioned"
    assert recipient.judge(1e-5, 1e-6, 1e-5) == "same"
    assert recipient.judge(2e-5, 1e-6, 1e-5) == "different"


def test_ruff_has_nothing_to_say(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    cells = scans.graph_of(scans.attention_cell(rng)), scans.graph_of(scans.peephole_lstm(rng), states=True)
    for number, graph in enumerate((classifier(rng), nested(rng), *cells)):
        torch_side.write_folder(graph, tmp_path / f"m{number}")
    for command in (("check",), ("format", "--check", "--diff")):
        done = subprocess.run(
            [RUFF, *command, "--isolated", tmp_path], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.sweep
def test_pyright_has_nothing_to_say(folder: Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("pyright"), "--pythonpath", sys.executable, folder],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.sweep
def test_torch_suffices(folder: Path) -> None:
    blocker = (
        "import sys\n"
        "class Without:\n"
        "    def __init__(self, finder):\n"
        "        self.finder = finder\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        others = 'biport', 'torch_side', 'numpy', 'safetensors', 'keras', 'onnx'\n"
        "        missing = name.partition('.')[0] in others\n"
        "        return None if missing else self.finder.find_spec(name, path, target)\n"
        "sys.meta_path = [Without(finder) for finder in sys.meta_path]\n"
        f"import runpy; sys.argv = ['model.py', '--check']; runpy.run_path({str(folder / 'model.py')!r}, "
        "run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-W", "ignore", "-c", blocker], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "head: same" in done.stdout


def test_names_of_layers_are_those_of_one_file() -> None:
    """Any of them may be copied beside any other."""
    definitions = Definitions("torch_side.")
    for module in pkgutil.iter_modules(torch_side.layers.__path__, "torch_side.layers."):
        names = [name for name in vars(importlib.import_module(module.name)) if not name.startswith("__")]
        definitions.add(module.name, names)
    assert "MaskedLSTM" in definitions.sources


def test_inputs_that_are_too_large_do_not_travel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_vectors, "MAX_BYTES", 100)
    folder = torch_side.write_folder(two_inputs(), tmp_path / "m")
    assert not (folder / "check.npz").exists()
    assert "too large to travel" in (folder / "README.md").read_text()


def test_what_training_on_needs_is_in_the_card_and_in_the_source(tmp_path: Path) -> None:
    learning = ops.Learning(
        penalties={"weight": ops.Penalty(l1=0.5, l2=0.25)},
        activity=ops.Penalty(l2=0.125),
        unported=("kernel_constraint: MaxNorm(2)",),
    )
    one, two = (dense(np.random.default_rng(seed), 3, 3) for seed in (0, 1))
    nodes = (
        Node("one", dataclasses.replace(one, learning=learning), ("x",)),
        Node(
            "two",
            dataclasses.replace(two, learning=ops.Learning(frozen=frozenset({"weight", "bias"}))),
            ("one",),
        ),
    )
    graph = Graph((Value("x", ("N", 3), "float32"),), nodes, ("two",))
    folder = torch_side.write_folder(graph, tmp_path / "m")
    card = (folder / "README.md").read_text()
    for line in (
        "- `one.weight`: 0.5 Σ\\|w\\| + 0.25 Σw²",
        "- `two.weight`",
        "- one: kernel_constraint: MaxNorm(2)",
        "- one: activity_regularizer, 0.125 Σw² of its output",
    ):
        assert line in card.splitlines()
    module: Any = torch_side.load_folder(folder)
    assert [name for name, p in module.named_parameters() if p.requires_grad] == ["one.weight", "one.bias"]
    wanted = 0.5 * np.abs(one.weight).sum() + 0.25 * np.square(one.weight).sum()
    assert float(module.penalty().detach()) == pytest.approx(wanted, rel=1e-6)
    assert (
        "## Training on"
        not in torch_side.write_folder(classifier(np.random.default_rng(0)), tmp_path / "n")
        .joinpath("README.md")
        .read_text()
    )
