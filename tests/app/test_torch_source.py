"""A module in the user's own Python with its checkpoint, and a program of torch.export, as sources."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import torch_side
from biport import reference
from biport.app.cli import app
from biport.app.examples import parse_examples
from biport.app.source import Source
from biport.app.user_module import make_module
from biport.errors import InputError
from biport.graph import Value

TAGGER = """
import helpers
import torch
from torch import nn

WIDTH = helpers.WIDTH


class Tagger(nn.Module):
    def __init__(self, vocab=9, hidden=3):
        super().__init__()
        self.embed = nn.Embedding(vocab, WIDTH)
        self.rnn = nn.LSTM(WIDTH, hidden, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * hidden, 2)

    def forward(self, ids, state=None):
        x, (h, _) = self.rnn(self.embed(ids), state)
        return {"tags": self.out(x), "last": h}


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(WIDTH, 3, batch_first=True)

    def forward(self, x):
        y, _ = self.rnn(x)
        if y.sum() > 0:
            return y
        return -y


class Broken(nn.Module):
    def __init__(self):
        raise RuntimeError("no data")


def make(hidden):
    return Tagger(hidden=hidden)


def number():
    return 3


made = Tagger(hidden=2)
"""


def biport(*arguments: object) -> Any:
    """Run a command; any traceback but a clean exit fails the test."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a module, what that imports, and weights, which is where one is."""
    (tmp_path / "helpers.py").write_text("WIDTH = 4\n")
    (tmp_path / "tagger.py").write_text(TAGGER)
    monkeypatch.chdir(tmp_path)
    before = {*sys.modules}
    yield tmp_path
    for name in {*sys.modules} - before:
        if name.startswith(("tagger", "helpers")):
            del sys.modules[name]


@pytest.fixture
def trained(folder: Path) -> Any:
    """The module with other weights than it is made with, which a checkpoint has."""
    module = make_module("tagger.py:Tagger", {"hidden": 5})
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    state = {f"model.{name}": tensor for name, tensor in module.state_dict().items()}
    torch.save({"epoch": 2, "state_dict": state}, folder / "tagger.ckpt")
    return module


OPTIONS = ("--checkpoint", "tagger.ckpt", "--args", '{"hidden": 5}', "--example", "ids=int64[N,T]")


def test_a_module_is_ported_with_its_checkpoint_and_verified(trained: Any, folder: Path) -> None:
    path = list(sys.path)
    result = biport("port", "tagger.py:Tagger", *OPTIONS, "--to", "torch", "-o", "ported", "--json")
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert data["verified"]["ok"]
    assert data["notes"][:2] == [
        "tagger.ckpt: weights taken from 'state_dict'",
        "tagger.ckpt: prefix 'model.' taken off",
    ]
    graph = torch_side.read_folder(folder / "ported")
    assert graph.outputs == ("tags", "last")
    ids = np.random.default_rng(0).integers(0, 9, (3, 6))
    with torch.no_grad():
        wanted = trained(torch.tensor(ids))
    for one, two in zip(reference.run(graph, [ids], "float32"), wanted.values(), strict=True):
        np.testing.assert_allclose(one, two.numpy(), atol=1e-6)
    (folder / "args.json").write_text('{"hidden": 5}')
    options = ("--checkpoint", "tagger.ckpt", "--args", "@args.json")
    same = biport("verify", "tagger.py:Tagger", "ported", *options, "--float64", "--json")
    assert same.exit_code == 0, same.output
    assert {line["form"] for line in json.loads(same.stdout)["lines"]} == {"tagger.py:Tagger", "ported"}
    assert sys.path == path


def test_what_stops_a_module_is_shown_beside_its_layers(folder: Path) -> None:
    refused = biport("inspect", "tagger.py:Branches")
    assert refused.exit_code == 3
    assert "rnn" in refused.stdout
    assert "if y.sum() > 0" in refused.stdout


def test_a_program_is_a_source(folder: Path) -> None:
    class Scaled(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2 + 1

    rows = ({0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO},)
    program = torch.export.export(Scaled(), (torch.rand(2, 3, 4),), dynamic_shapes=rows)
    torch.export.save(program, folder / "m.pt2")
    result = biport("export", "m.pt2", "-o", "m.onnx")
    assert result.exit_code == 0, result.output
    assert "program of torch.export" in biport("inspect", "m.pt2").stdout
    refused = biport("inspect", "m.pt2", "--checkpoint", "m.pt2")
    assert refused.exit_code == 2
    assert "--checkpoint: goes with a module in Python" in refused.stderr


@pytest.mark.sweep
@pytest.mark.filterwarnings("ignore:two biases were added up")
def test_every_command_takes_a_module(trained: Any, folder: Path) -> None:
    for line in (
        "inspect tagger.py:Tagger",
        "port tagger.py:Tagger --to onnx -o m.onnx",
        "port tagger.py:Tagger --to keras -o m.keras",
        "verify tagger.py:Tagger m.onnx m.keras --float64 --trace --gradients",
        "export tagger.py:Tagger -o again.onnx",
        "export tagger.py:Tagger -o traced.onnx --route tf2onnx",
        "bench tagger.py:Tagger --form fused --batches 1 --steps 3 --seconds 0.001",
    ):
        result = biport(*line.split(), *OPTIONS)
        assert result.exit_code == 0, (line, result.output)
    without = biport("verify", "tagger.py:Tagger", "m.onnx", "--args", '{"hidden": 5}')
    assert without.exit_code == 1
    assert Source("tagger.py:Tagger").stem == "tagger"


SCRIPTS = {
    "exits.py": "import sys\nsys.exit(3)\n",
    "misses.py": "import not_installed_anywhere\n",
    "raises.py": "x = 1\ny = x / 0\n",
    "wrong.py": "def f(:\n",
}
BAD = {
    "no such file": (["absent.py:X"], "absent.py: no such file"),
    "no name": (
        ["tagger.py"],
        "say which module of it, such as tagger.py:NAME; its classes are Tagger, Branches",
    ),
    "another name": (["tagger.py:Tager"], "tagger.py:Tager: has no Tager; its modules are Tagger"),
    "no module": (
        ["tagger.py:WIDTH"],
        "should be a torch.nn.Module, a class of one, or a function that gives",
    ),
    "makes no module": (["tagger.py:number"], "what tagger.py:number gives: should be a torch.nn.Module"),
    "cannot be made": (["tagger.py:Broken"], "cannot be made: RuntimeError: no data (tagger.py, line 35)"),
    "ends": (["exits.py:X"], "ends the program when it is imported"),
    "misses": (["misses.py:X"], "'not_installed_anywhere' is not installed"),
    "raises": (
        ["raises.py:X"],
        "cannot be imported: ZeroDivisionError: division by zero (raises.py, line 2)",
    ),
    "no Python": (["wrong.py:X"], "cannot be imported: SyntaxError"),
    "no package": (["no_such_package.x:X"], "'no_such_package' is not installed"),
    "an argument is missing": (["tagger.py:make"], "takes (hidden); by --args: missing a required argument"),
    "an argument too many": (
        ["tagger.py:Tagger", "--args", '{"width": 3}'],
        "takes (vocab=9, hidden=3); by --args: got an unexpected keyword argument 'width'",
    ),
    "arguments of a module": (
        ["tagger.py:made", "--args", '{"hidden": 3}'],
        "--args: tagger.py:made is a module",
    ),
    "no JSON": (["tagger.py:Tagger", "--args", "hidden=3"], "--args hidden=3: should be JSON"),
    "a list": (["tagger.py:Tagger", "--args", "[3]"], "--args '[3]': should be a mapping"),
    "no file of JSON": (["tagger.py:Tagger", "--args", "@absent"], "--args @absent: cannot be read"),
    "no dtype": (
        ["tagger.py:Tagger", "--example", "ids=int46[N,T]"],
        "--example 'ids=int46[N,T]': 'int46' is none of",
    ),
    "no argument": (
        ["tagger.py:Tagger", "--example", "ids=int64[N,T],x=bool[N]"],
        "--example: Tagger.forward takes ids, state; found x",
    ),
    "another dtype": (["tagger.py:Tagger", "--example", "ids=float32[N,T]"], "Tagger does not take"),
    "a checkpoint of another": (
        ["tagger.py:Tagger", "--checkpoint", "other.pt"],
        "other.pt: the weights do not fit Tagger: missing embed.weight",
    ),
    "a checkpoint alone": (
        ["other.pt"],
        "give the class that they are weights of too: biport port FILE.py:CLASS",
    ),
    "options of another": (["absent.keras", "--args", "{}"], "--args: goes with a module in Python"),
}


@pytest.mark.parametrize("fault", BAD)
def test_what_is_wrong_is_told_in_a_line(fault: str, folder: Path) -> None:
    for name, text in SCRIPTS.items():
        (folder / name).write_text(text)
    torch.save({"a": torch.ones(2)}, folder / "other.pt")
    arguments, message = BAD[fault]
    path, modules = list(sys.path), {*sys.modules}
    result = biport("inspect", *arguments)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert sys.path == path
    assert {name for name in {*sys.modules} - modules if name in ("exits", "raises", "wrong")} == set()


def test_options_of_two_modules_are_not_mixed_up(folder: Path) -> None:
    result = biport("verify", "tagger.py:Tagger", "tagger.py:made", "--args", '{"hidden": 2}')
    assert result.exit_code == 2
    assert "options of a module are those of one" in result.stderr


def test_a_module_is_made_the_same_each_time(folder: Path) -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    one, two = (make_module("tagger.py:Tagger", {}) for _ in range(2))
    assert torch.equal(one.out.weight, two.out.weight)
    assert torch.equal(torch.random.get_rng_state(), before)


WRONG_EXAMPLES = (
    *("ids", "ids=", "ids=int64", "ids=int64[N", "=int64[N]", "ids=int64[N]x", "a=(int64[N]", "a=$"),
    *("ids=int64[-1]", "a=int64[N],a=bool[N]", "a=int64[N,]"),
)


def test_examples_are_parsed() -> None:
    assert parse_examples(["ids=int64[N, T],x=float32[N,T,40]", "h = bool[]"]) == {
        "ids": Value("ids", ("N", "T"), "int64"),
        "x": Value("x", ("N", "T", 40), "float32"),
        "h": Value("h", (), "bool"),
    }
    states = (Value("s_0", (1, "N", 3), "float32"), Value("s_1", (1, "N", 3), "float32"))
    assert parse_examples(["s=(float32[1,N,3], float32[1,N,3])"]) == {"s": states}
    for text in WRONG_EXAMPLES:
        with pytest.raises(InputError, match="should be like ids=int64"):
            parse_examples([text])
