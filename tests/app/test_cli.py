"""The command line as a user meets it: what is printed, what is written, the exit code."""

import json
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from biport import bundle, reference
from biport.app.cli import app
from testing.graphs import classifier

pytestmark = pytest.mark.usefixtures("fewer_steps")


def biport(*arguments: object):
    """Run a command; any traceback but a clean exit fails the test."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def tokens(tmp_path):
    path = tmp_path / "tokens.npz"
    np.savez(path, tokens=np.array([[1, 2, 3, 0], [0, 0, 4, 5], [0, 0, 0, 0]]))
    return path


@pytest.fixture(scope="module")
def onnx_file(keras_file, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "m.onnx"
    assert biport("port", keras_file, "--to", "onnx", "-o", path, "--no-verify").exit_code == 0
    return path


def test_port_to_every_target_and_verify(keras_file, tmp_path) -> None:
    targets = [("torch", "ported"), ("bundle", "b"), ("onnx", "m.onnx"), ("keras", "again.keras")]
    sources = {"keras": "ported", "onnx": "b", "bundle": "ported"}
    for target, name in targets:
        source = tmp_path / sources[target] if target in sources else keras_file
        result = biport("port", source, "--to", target, "-o", tmp_path / name)
        assert result.exit_code == 0, result.output
        assert "parameters" in result.stdout
    forms = keras_file, *(tmp_path / name for _, name in targets)
    result = biport("verify", *forms, "--float64")
    assert result.exit_code == 0, result.output
    assert "verdict: same" in result.stdout
    assert result.stdout.count("equal bit for bit") == 3
    data = json.loads(biport("verify", *forms[1:3], "--json").stdout)
    assert data["ok"]
    assert {line["form"] for line in data["lines"]} == {"ported", "b"}


def test_a_different_model_ends_with_1_and_is_named(keras_file, onnx_file, tmp_path) -> None:
    graph = bundle.read(bundle_of(keras_file, tmp_path))
    dense = graph["classifier"].op
    dense.bias[0] += 0.01  # type: ignore[attr-defined]
    bundle.write(graph, tmp_path / "changed")
    result = biport("verify", keras_file, tmp_path / "changed", onnx_file)
    assert result.exit_code == 1
    assert "verdict: different; at fault: changed" in result.stdout
    assert "L0 weights of changed: 1 differ: classifier.bias" in result.stdout


def bundle_of(keras_file, tmp_path):
    assert biport("port", keras_file, "--to", "bundle", "-o", tmp_path / "b").exit_code == 0
    return tmp_path / "b"


def test_verify_and_run_on_the_users_inputs(keras_file, onnx_file, tmp_path, tokens) -> None:
    assert biport("verify", keras_file, onnx_file, "--input", tokens).exit_code == 0
    result = biport("run", onnx_file, "--input", tokens, "-o", tmp_path / "out.npz", "--json")
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)["outputs"]["classifier"]
    exact = reference.run(bundle.read(bundle_of(keras_file, tmp_path)), [np.load(tokens)["tokens"]])[0]
    np.testing.assert_allclose(data["values"], exact, atol=1e-6)
    np.testing.assert_allclose(np.load(tmp_path / "out.npz")["classifier"], exact, atol=1e-6)
    again = biport("run", onnx_file, "--input", tokens, "-o", tmp_path / "out.npz")
    assert again.exit_code == 2
    assert "--force" in again.stderr
    assert biport("run", onnx_file, "--input", tokens, "-o", tmp_path / "out.npz", "--force").exit_code == 0


@pytest.mark.sweep
def test_nothing_is_overwritten_without_force(keras_file, tmp_path) -> None:
    for target, name in [("torch", "b"), ("onnx", "m.onnx"), ("keras", "k.keras")]:
        command = ["port", keras_file, "--to", target, "-o", tmp_path / name]
        assert biport(*command).exit_code == 0
        before = sorted(path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file())
        result = biport(*command)
        assert result.exit_code == 2
        assert "exists already" in result.stderr
        assert "--force" in result.stderr
        assert before == sorted(path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file())
        assert biport(*command, "--force").exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "k.keras", "m.onnx"]


BAD = {
    "no such file": (["port", "absent.keras", "--to", "onnx", "-o", "m.onnx"], "no such file"),
    "wrong ending": (["port", "SOURCE", "--to", "onnx", "-o", "m.bin"], "ends in .onnx"),
    "no such folder": (["port", "SOURCE", "--to", "onnx", "-o", "absent/m.onnx"], "does not exist"),
    "onnx as source": (["port", "x.onnx", "--to", "torch", "-o", "b"], "no such file"),
    "the source as output": (["port", "SOURCE", "--to", "keras", "-o", "SOURCE", "--force"], "is the source"),
    "one model": (["verify", "SOURCE"], "two or more"),
    "unknown form": (["verify", "SOURCE", "TEXT"], "is not a model"),
    "not a model": (["port", "TEXT", "--to", "onnx", "-o", "m.onnx"], "is a zip archive"),
    "no inputs": (["run", "TEXT", "--input", "absent.npz"], "TEXT"),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_usage_is_told_in_a_line(fault: str, keras_file, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = tmp_path / "TEXT"
    text.write_text("not a model")
    arguments, message = BAD[fault]
    arguments = [str(keras_file) if argument == "SOURCE" else argument for argument in arguments]
    before = keras_file.read_bytes()
    result = biport(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["TEXT"]
    assert keras_file.read_bytes() == before
    data = json.loads(biport(*arguments, "--json").stdout)
    assert message in data["error"]["message"]


@pytest.mark.parametrize(
    "array, message",
    [
        (np.ones((2, 3)), "expected integer ids"),
        (np.array([[1, -1]]), "found -1"),
        (np.array([[23]]), r"ids should be in [0, 23), found 23"),
        (np.array([1, 2]), "expected int32 (N, T)"),
    ],
)
def test_bad_inputs_are_told_in_a_line(array, message, keras_file, onnx_file, tmp_path) -> None:
    np.save(tmp_path / "x.npy", array)
    for command in (["run", onnx_file], ["verify", keras_file, onnx_file]):
        result = biport(*command, "--input", tmp_path / "x.npy")
        assert result.exit_code == 2
        assert message in result.stderr


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"\x80\x04pickle"])
def test_a_damaged_input_file_is_told_in_a_line(content: bytes, onnx_file, tmp_path) -> None:
    (tmp_path / "x.npz").write_bytes(content)
    result = biport("run", onnx_file, "--input", tmp_path / "x.npz")
    assert result.exit_code == 2
    assert ".npz or .npy" in result.stderr
    assert "allow_pickle" not in result.stderr


def test_an_unsupported_model_ends_with_3_and_all_reasons(tmp_path) -> None:
    import keras

    layers = keras.layers
    cells = [layers.GRU(4, return_sequences=True, stateful=True, name="gru")]
    cells += [layers.LSTM(2, stateful=True, name="lstm")]
    model = keras.Sequential([keras.Input(batch_shape=(2, 5, 3)), *cells])
    model.save(tmp_path / "m.keras")
    result = biport("port", tmp_path / "m.keras", "--to", "onnx", "-o", tmp_path / "m.onnx")
    assert result.exit_code == 3
    reason = "layer 'gru' (GRU), layer 'lstm' (LSTM): stateful=True is not supported; supported: False"
    assert result.stderr.count(reason) == 1
    offers = "--states explicit reads states as inputs and outputs, --states zero as zeros"
    assert offers in result.stderr
    assert offers in biport("inspect", tmp_path / "m.keras").stdout
    data = json.loads(
        biport("port", tmp_path / "m.keras", "--to", "onnx", "-o", tmp_path / "m.onnx", "--json").stdout
    )
    assert [reason["setting"] for reason in data["error"]["reasons"]] == ["stateful", "stateful"]
    assert not (tmp_path / "m.onnx").exists()


def test_a_layer_written_as_a_loop_is_noted(tmp_path) -> None:
    import keras

    layer = keras.layers.GRU(4, activation="gelu", name="it")
    keras.Sequential([keras.Input((None, 3)), layer]).save(tmp_path / "m.keras")
    note = "node 'it': activation gelu is not fused by ONNX; written as a Scan"
    arguments = "port", tmp_path / "m.keras", "--to", "onnx", "-o", tmp_path / "m.onnx"
    assert note in biport(*arguments).stdout
    assert json.loads(biport(*arguments, "--force", "--json").stdout)["notes"] == [note]


def test_layers_lists_every_layer_people_know() -> None:
    rows = json.loads(biport("layers", "--json").stdout)["layers"]
    assert {"LSTM", "Bidirectional", "Embedding"} <= {name for row in rows for name in row["keras"]}
    assert "nn.LSTM" in {name for row in rows for name in row["torch"]}
    shown = biport("layers").stdout
    assert "`LSTM`, `GRU`" in shown
    assert "logsumexp, matmul" in " ".join(shown.split())


def test_a_missing_package_is_told_with_what_to_install(tmp_path, monkeypatch) -> None:
    bundle.write(classifier(np.random.default_rng(0)), tmp_path / "b")
    for name in [name for name in sys.modules if name.partition(".")[0] == "export"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnx_ir", None)
    result = biport("port", tmp_path / "b", "--to", "onnx", "-o", tmp_path / "m.onnx")
    assert result.exit_code == 2
    assert "pip install" in result.stderr


def test_a_model_is_verified_where_its_framework_is_missing(keras_file, onnx_file, tmp_path, tokens) -> None:
    folder = bundle_of(keras_file, tmp_path)
    missing = "import sys; sys.modules |= dict.fromkeys(['torch', 'keras', 'tensorflow'])"
    arguments = ["verify", str(folder), str(keras_file), str(onnx_file), "--input", str(tokens)]
    command = f"{missing}; from biport.app.cli import app; app({arguments})"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "b (read in numpy, no torch here)" in done.stdout
    assert "model.keras (read in numpy, no keras here)" in done.stdout
    assert "m.onnx" in done.stdout


@pytest.mark.sweep
def test_the_demo(tmp_path) -> None:
    folder = tmp_path / "demo"
    result = biport("demo", "-o", folder, "--epochs", "1", "--json")
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert data["ok"]
    assert data["weights_equal"]
    assert [row["form"] for row in data["rows"]][1:] == ["Keras", "PyTorch", "ONNX fused", "ONNX tf2onnx"]
    assert all(row["agreement"] == 1 and row["error"] < 1e-5 for row in data["rows"])
    nodes = {row["form"]: row["nodes"] for row in data["rows"]}
    assert nodes["ONNX fused"] < nodes["ONNX tf2onnx"]
    assert {path.name for path in folder.iterdir()} >= {"sentiment.keras", "fused.onnx", "report.json"}
    assert biport("verify", folder / "sentiment.keras", folder / "sentiment-torch").exit_code == 0

    assert "--force" in biport("demo", "-o", folder, "--epochs", "1").stderr
    (folder / "thesis.txt").write_text("mine")
    result = biport("demo", "-o", folder, "--epochs", "1", "--force")
    assert result.exit_code == 2
    assert "thesis.txt" in result.stderr
    assert (folder / "fused.onnx").exists()
