"""Bundles: what is written is read back; what is damaged is refused, what is somebody else's left."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from biport import bundle, ops
from biport.errors import BiportError, FileError, InputError
from biport.graph import Graph, Node, Value, all_learning, with_learning
from testing.graphs import normal as array
from testing.graphs import two_inputs as model

V, E, H = 11, 5, 3
GRAPH, WEIGHTS, README = "graph.json", "model.safetensors", "README.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return bundle.write(model(), tmp_path / "model")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_round_trip(dtype: str, tmp_path: Path) -> None:
    graph = model().astype(dtype)
    folder = bundle.write(graph, tmp_path / "model")
    assert folder == tmp_path / "model"
    read = bundle.read(folder)
    assert read == graph
    assert str(read) == str(graph)
    assert read.digest() == graph.digest()
    assert read.origin == graph.origin
    assert read["table"].op is read["table@1"].op
    assert read.parameter_count() == graph.parameter_count()
    assert bundle.read(str(folder)) == graph


def test_the_files_of_a_bundle(folder: Path) -> None:
    assert sorted(entry.name for entry in folder.iterdir()) == [README, GRAPH, WEIGHTS]
    assert sorted(entry.name for entry in folder.parent.iterdir()) == ["model"]
    assert folder.stat().st_mode & 0o777 == 0o755
    arrays = load_file(folder / WEIGHTS)
    assert sum(array.size for array in arrays.values()) == model().parameter_count()
    np.testing.assert_array_equal(arrays["head/weight"], model()["head"].op.weights()["weight"])
    data = json.loads((folder / GRAPH).read_text())
    assert data["digest"] == model().digest()


def test_a_graph_without_weights(tmp_path: Path) -> None:
    x = Value("x", ("N", "T", E), "float32")
    graph = Graph((x,), (Node("largest", ops.GlobalMaxPooling1D(), ("x",)),), ("largest",))
    assert bundle.read(bundle.write(graph, tmp_path / "m")) == graph


def test_how_weights_are_trained(tmp_path: Path) -> None:
    said = {"head": {"": {"frozen": ["weight"], "penalties": {"bias": {"l1": 0.1}}, "unported": ["x: 1"]}}}
    folder = bundle.write(with_learning(model(), said), tmp_path / "m")
    assert all_learning(bundle.read(folder)) == said
    data = json.loads((folder / GRAPH).read_text())
    (folder / GRAPH).write_text(json.dumps(data | {"learning": {"head": {"": {"frozen": ["kernel"]}}}}))
    with pytest.raises(FileError, match="kernel"):
        bundle.read(folder)
    # Of a bundle from before there was such a thing.
    del data["learning"]
    (folder / GRAPH).write_text(json.dumps(data))
    assert all_learning(bundle.read(folder)) == {}


def test_names_of_which_one_begins_with_the_other(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    one = ops.Dense(input_size=2, output_size=3, weight=array(rng, 3, 2), bias=array(rng, 3))
    two = ops.Dense(input_size=3, output_size=2, weight=array(rng, 2, 3), bias=array(rng, 2))
    nodes = (Node("a", one, ("x",)), Node("a/b", two, ("a",)))
    graph = Graph((Value("x", ("N", 2), "float32"),), nodes, ("a/b",))
    assert bundle.read(bundle.write(graph, tmp_path / "m")) == graph


def test_relative_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert bundle.read(bundle.write(model(), "model")) == model()


def test_an_existing_bundle_is_kept(folder: Path) -> None:
    with pytest.raises(InputError, match="exists already"):
        bundle.write(model(1), folder)
    assert bundle.read(folder) == model()


def test_an_existing_bundle_is_replaced_when_asked(folder: Path) -> None:
    bundle.write(model(1), folder, overwrite=True)
    assert bundle.read(folder) == model(1)
    assert sorted(entry.name for entry in folder.parent.iterdir()) == ["model"]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("strange", ["notes.txt", ".git", "README.md.bak"])
def test_other_files_are_never_touched(overwrite: bool, strange: str, folder: Path) -> None:
    (folder / strange).write_text("mine")
    before = {entry.name: entry.read_bytes() for entry in folder.iterdir()}
    with pytest.raises(InputError, match="model"):
        bundle.write(model(1), folder, overwrite=overwrite)
    assert {entry.name: entry.read_bytes() for entry in folder.iterdir()} == before
    assert sorted(entry.name for entry in folder.parent.iterdir()) == ["model"]


def test_a_folder_with_only_a_readme_is_no_bundle(tmp_path: Path) -> None:
    """Somebody's README is not a bundle, whatever its name."""
    target = tmp_path / "mine"
    target.mkdir()
    (target / README).write_text("mine")
    with pytest.raises(InputError, match="not a bundle"):
        bundle.write(model(), target, overwrite=True)
    assert (target / README).read_text() == "mine"


def test_a_folder_of_the_same_names_inside_is_no_bundle(folder: Path) -> None:
    (folder / README).unlink()
    (folder / README).mkdir()
    (folder / README / "mine").write_text("mine")
    with pytest.raises(InputError, match="not a bundle"):
        bundle.write(model(1), folder, overwrite=True)
    assert (folder / README / "mine").read_text() == "mine"


def test_a_file_is_never_replaced(tmp_path: Path) -> None:
    target = tmp_path / "model"
    target.write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(InputError):
            bundle.write(model(), target, overwrite=overwrite)
    assert target.read_text() == "mine"


def test_no_parent_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        bundle.write(model(), tmp_path / "nowhere" / "model")


@pytest.mark.parametrize("there", [False, True])
def test_a_failed_write_leaves_nothing_behind(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "model"
    if there:
        bundle.write(model(), target)

    def fail(*args: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("safetensors.numpy.save_file", fail)
    with pytest.raises(FileError, match="model: cannot be written: disk full"):
        bundle.write(model(1), target, overwrite=True)
    assert [entry.name for entry in tmp_path.iterdir()] == (["model"] if there else [])
    if there:
        assert bundle.read(target) == model()


def test_a_failed_exchange_keeps_the_old_bundle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if Path(target) == folder and self.name == "new":
            raise OSError("no")
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", fail)
        with pytest.raises(FileError, match="model: cannot be written: no"):
            bundle.write(model(1), folder, overwrite=True)
    assert bundle.read(folder) == model()
    assert [entry.name for entry in folder.parent.iterdir()] == ["model"]


def refused(folder: Path, *words: str) -> str:
    with pytest.raises(FileError) as caught:
        bundle.read(folder)
    text = str(caught.value)
    assert str(folder) in text
    assert not [word for word in words if word not in text], text
    return text


def test_no_bundle(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "no such file or folder")
    refused(tmp_path, "not a bundle")
    (tmp_path / "file").write_text("x")
    refused(tmp_path / "file", "not a bundle")


@pytest.mark.parametrize("name", [GRAPH, WEIGHTS])
def test_a_missing_file(name: str, folder: Path) -> None:
    (folder / name).unlink()
    refused(folder, name)


@pytest.mark.parametrize("name", [GRAPH, WEIGHTS])
def test_a_folder_instead_of_a_file(name: str, folder: Path) -> None:
    (folder / name).unlink()
    (folder / name).mkdir()
    refused(folder, name)


def test_the_readme_may_go(folder: Path) -> None:
    (folder / README).unlink()
    assert bundle.read(folder) == model()


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"format": 1}', b'{"format": 2}']
)
def test_a_damaged_structure(text: bytes, folder: Path) -> None:
    (folder / GRAPH).write_bytes(text)
    refused(folder)


def edit(folder: Path, change: Callable[[dict], None]) -> None:
    data = json.loads((folder / GRAPH).read_text())
    change(data)
    (folder / GRAPH).write_text(json.dumps(data))


def layer_of_layers(data: Any) -> None:
    settings: dict[str, Any] = {"kind": "Flatten"}
    for _ in range(900):
        settings = {"kind": "TimeDistributed", "layer": settings}
    data["nodes"][7].update(kind=settings.pop("kind"), settings=settings)


EDITS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "unknown op": (lambda d: d["nodes"][7].update(kind="Conv1D"), "Conv1D"),
    "op is a list": (lambda d: d["nodes"][7].update(kind=[]), ""),
    "inside of each other": (layer_of_layers, ""),
    "input without axes": (lambda d: d["inputs"][1].update(shape=[]), ""),
    "unknown setting": (lambda d: d["nodes"][7]["settings"].update(groups=2), "groups"),
    "missing setting": (lambda d: d["nodes"][7]["settings"].pop("input_size"), "input_size"),
    "setting of a wrong type": (lambda d: d["nodes"][7]["settings"].update(input_size="4"), "input_size"),
    "setting that is a mapping": (lambda d: d["nodes"][7]["settings"].update(activation={}), ""),
    "activation": (lambda d: d["nodes"][7]["settings"].update(activation="glu"), "glu"),
    "rate is text": (lambda d: d["nodes"][6]["settings"].update(rate="x"), ""),
    "inner kind": (lambda d: d["nodes"][3]["settings"]["forward"].update(kind="Dense"), ""),
    "inner is none": (lambda d: d["nodes"][3]["settings"].update(forward=None), ""),
    "settings are a list": (lambda d: d["nodes"][7].update(settings=[]), ""),
    "shares nothing": (lambda d: d["nodes"][1].update(shares="nowhere"), ""),
    "nodes are null": (lambda d: d.update(nodes=None), ""),
    "a node is null": (lambda d: d["nodes"].insert(0, None), ""),
    "no outputs": (lambda d: d.update(outputs=[]), "outputs"),
    "unknown output": (lambda d: d.update(outputs=["nowhere"]), "nowhere"),
    "input without a name": (lambda d: d["inputs"][0].pop("name"), ""),
    "input dtype": (lambda d: d["inputs"][0].update(dtype="string"), ""),
    "input shape": (lambda d: d["inputs"][0].update(shape=["N"]), ""),
    "unknown input": (lambda d: d["nodes"][0].update(inputs=["nowhere"]), "nowhere"),
    "mask of another value": (lambda d: d["nodes"][5].update(masks=["table"]), "table"),
    "format": (lambda d: d.update(format=99), "99"),
    "no format": (lambda d: d.pop("format"), "None"),
    "no digest": (lambda d: d.pop("digest"), "digest"),
    "digest": (lambda d: d.update(digest="0" * 64), "digest"),
    "rate": (lambda d: d["nodes"][6]["settings"].update(rate=0.25), "digest"),
    "origin is a list": (lambda d: d.update(origin=[1]), ""),
    "no origin": (lambda d: d.pop("origin"), ""),
}


@pytest.mark.parametrize("change, word", EDITS.values(), ids=EDITS)
def test_a_changed_structure(change: Callable[[dict], Any], word: str, folder: Path) -> None:
    edit(folder, change)
    refused(folder, word)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 0.99])
def test_truncated_weights(share: float, folder: Path) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[: int(len(data) * share)])
    refused(folder, WEIGHTS)


@pytest.mark.parametrize(
    "data",
    [b"not safetensors", b"\xff" * 8 + b"{}", (2**40).to_bytes(8, "little") + b"{}", b"\x02" + b"\0" * 7],
)
def test_foreign_weights(data: bytes, folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(data)
    refused(folder, WEIGHTS)


def change_weights(folder: Path, change: Callable[[dict[str, np.ndarray]], Any]) -> None:
    arrays = load_file(folder / WEIGHTS)
    change(arrays)
    save_file(arrays, folder / WEIGHTS)


@pytest.mark.parametrize(
    "change, word",
    [
        (lambda a: a["head/weight"].__setitem__((0, 0), 1.5), "digest"),
        (lambda a: a["head/weight"].__setitem__((0, 0), np.nan), "NaN"),
        (lambda a: a.pop("head/weight"), "weight"),
        (lambda a: a.pop("both/backward.bias_hh.i"), "bias_hh"),
        (lambda a: a.update({"head/bias": np.ones(2, "f4")}), "digest"),
        (lambda a: a.update({"nobody/weight": np.ones(2, "f4")}), "nobody"),
        (lambda a: a.update({"head/strange": np.ones(2, "f4")}), "strange"),
        (lambda a: a.update({"head/weight": np.ones((4, 2), "f4")}), "shape"),
        (lambda a: a.update({"head/weight": np.ones((2, 4), "f8")}), ""),
        (lambda a: a.update({"head/weight": np.ones((2, 4), "i4")}), "int32"),
        (lambda a: a.update({"head/weight": np.ones((2, 4), "f2")}), "float16"),
    ],
)
def test_changed_weights(change: Callable[[dict[str, np.ndarray]], Any], word: str, folder: Path) -> None:
    change_weights(folder, change)
    refused(folder, word)


def test_weights_of_a_dtype_numpy_has_not(folder: Path) -> None:
    """bfloat16 in the header: safetensors knows it, numpy does not."""
    header = json.dumps({"head/weight": {"dtype": "BF16", "shape": [2, 4], "data_offsets": [0, 16]}}).encode()
    (folder / WEIGHTS).write_bytes(len(header).to_bytes(8, "little") + header + bytes(16))
    refused(folder)


@pytest.mark.parametrize("turns", [60, pytest.param(400, marks=pytest.mark.sweep)])
def test_random_damage(folder: Path, turns: int) -> None:
    """Either the very graph or an error of biport's own."""
    rng, original = random.Random(0), model()
    whole = {name: (folder / name).read_bytes() for name in (GRAPH, WEIGHTS)}
    refusals = 0
    for turn in range(turns):
        name = (GRAPH, WEIGHTS)[turn % 2]
        data = bytearray(whole[name])
        for _ in range(rng.randint(1, 6)):
            data[rng.randrange(len(data) if turn % 4 < 2 else 400)] = rng.randrange(256)
        (folder / name).write_bytes(data)
        try:
            assert bundle.read(folder) == original
        except BiportError as error:
            refusals += isinstance(error, FileError) and str(folder) in str(error)
        else:
            refusals += 1
        (folder / name).write_bytes(whole[name])
    assert refusals == turns
    assert bundle.read(folder) == original


def test_a_bundle_can_be_moved(folder: Path, tmp_path: Path) -> None:
    shutil.move(folder, tmp_path / "elsewhere")
    assert bundle.read(tmp_path / "elsewhere") == model()
