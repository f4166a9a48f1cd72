"""Broken and hostile files: each ends in an error of biport's own that names the file, and soon."""

from __future__ import annotations

import io
import json
import random
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import keras_side
from biport.errors import BiportError, FileError, GraphError, InputError, UnsupportedError, WeightError
from testing.keras_models import Members, edited, layer_config, members, tiny, write_members

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
TABLE = "layers/embedding/vars/0"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "tiny.keras"
    tiny().save(path)
    return path


@pytest.fixture(scope="module")
def parts(good: Path) -> Members:
    return members(good)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hostile.keras"


def refused(path: Path, *words: str, kind: type[BiportError] = FileError) -> str:
    """Read the file, which must fail as ``kind``, name it, and be over within five seconds."""
    start = time.perf_counter()
    with pytest.raises(kind) as caught:
        keras_side.read(path)
    assert time.perf_counter() - start < 5
    text = str(caught.value)
    assert path.name in text
    assert not [word for word in words if word not in text], text
    return text


def test_the_file_is_good_before_it_is_broken(good: Path, parts: Members, path: Path) -> None:
    assert keras_side.read(write_members(path, parts)) == keras_side.read(good)
    assert keras_side.read(str(good)) == keras_side.read(good)
    compressed = write_members(path, parts, zipfile.ZIP_DEFLATED)
    assert keras_side.read(compressed) == keras_side.read(good)


def test_no_file(path: Path) -> None:
    refused(path, "no such file")


def test_a_folder(path: Path) -> None:
    path.mkdir()
    refused(path, "folder")


def test_an_empty_file(path: Path) -> None:
    path.write_bytes(b"")
    refused(path, "empty")


def test_a_text_file(path: Path) -> None:
    path.write_text("PyTorch, not Keras")
    refused(path, "zip archive")


def test_a_file_without_permission(good: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(good.read_bytes())

    def denied(*args: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", denied)
    refused(path)


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.99, 0.9999])
def test_a_truncated_file(share: float, good: Path, path: Path) -> None:
    data = good.read_bytes()
    path.write_bytes(data[: max(3, int(len(data) * share))])
    refused(path, "truncated")


def test_hdf5_without_a_model(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["x"] = 1
    refused(path, "HDF5", "no Keras model", "there is x")
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = []
    refused(path, "weights alone", "as config", kind=InputError)
    config = {"class_name": "Sequential", "config": {"name": "m", "layers": []}}
    with pytest.raises(FileError, match="without layers"):
        keras_side.read(path, config)


@pytest.mark.parametrize("name", [CONFIG, METADATA, WEIGHTS])
def test_a_missing_member(name: str, parts: Members, path: Path) -> None:
    write_members(path, {key: data for key, data in parts.items() if key != name})
    refused(path, name, "not")


@pytest.mark.parametrize("name", [CONFIG, METADATA, WEIGHTS])
def test_a_member_there_twice(name: str, parts: Members, path: Path) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")
        for member, data in [*parts.items(), (name, parts[name])]:
            archive.writestr(member, data)
    refused(path, name, "twice")


def test_no_member_at_all(path: Path) -> None:
    write_members(path, {})
    refused(path, "a zip archive, though none of Keras")


@pytest.mark.parametrize("name", [CONFIG, METADATA])
@pytest.mark.parametrize(
    "data, word",
    [
        (b"{", "JSON"),
        (b"", "JSON"),
        (b"\xff\xfe\x00", "JSON"),
        (b"[1, 2]", "mapping"),
        (b"null", "mapping"),
        (b"[" * 100_000 + b"]" * 100_000, "JSON"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "JSON"),
        (b'{"a": ' + b"1" * 5000 + b"}", "JSON"),
    ],
    ids=["cut", "empty", "binary", "list", "null", "deep list", "deep mapping", "long number"],
)
def test_json_that_is_none(name: str, data: bytes, word: str, parts: Members, path: Path) -> None:
    write_members(path, parts | {name: data})
    refused(path, name, word)


@pytest.mark.parametrize("name", [CONFIG, METADATA, WEIGHTS])
def test_a_bomb(name: str, parts: Members, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in parts.items():
            if member != name:
                archive.writestr(member, data)
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_DEFLATED
        with archive.open(info, "w") as file:
            for _ in range(200):
                file.write(b" " * 2**20)
    assert path.stat().st_size < 2**20
    refused(path, name, str(200 * 2**20))


def test_encrypted_and_exotic_members(good: Path, path: Path) -> None:
    data = bytearray(good.read_bytes())
    for flag, value in ((8, 1), (10, 99)):  # in the central directory: encryption flag, compression method
        changed = bytearray(data)
        start = changed.index(b"PK\x01\x02")
        while start >= 0:
            changed[start + flag] |= value
            start = changed.find(b"PK\x01\x02", start + 4)
        path.write_bytes(changed)
        refused(path)


def test_names_that_leave_the_folder(good: Path, parts: Members, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    path = write_members(
        folder / "hostile.keras", parts | {"../../evil.txt": b"x", f"{tmp_path}/evil.txt": b"x"}
    )
    assert keras_side.read(path) == keras_side.read(good)
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "a", folder, path]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_truncated_weights(share: float, parts: Members, path: Path) -> None:
    data = parts[WEIGHTS]
    write_members(path, parts | {WEIGHTS: data[: int(len(data) * share)]})
    refused(path, WEIGHTS)


def with_weights(parts: Members, path: Path, change: Callable[[h5py.File], Any]) -> Path:
    weights = path.with_suffix(".h5")
    weights.write_bytes(parts[WEIGHTS])
    with h5py.File(weights, "r+") as file:
        change(file)
    return write_members(path, parts | {WEIGHTS: weights.read_bytes()})


def test_links(parts: Members, path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["x"] = np.ones((13, 5), "float32")

    def soft(file: h5py.File) -> None:
        file.move(TABLE, "elsewhere")
        file[TABLE] = h5py.SoftLink("/elsewhere")

    def external(file: h5py.File) -> None:
        del file[TABLE]
        file[TABLE] = h5py.ExternalLink(str(other), "/x")

    def group(file: h5py.File) -> None:
        file.move("layers/embedding", "elsewhere")
        file["layers/embedding"] = h5py.SoftLink("/elsewhere")

    for change in (soft, external, group):
        refused(with_weights(parts, path, change), "link", "embedding")


def test_numbers_in_other_files(parts: Members, path: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw.bin"
    raw.write_bytes(np.ones((13, 5), "float32").tobytes())
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["x"] = np.ones((13, 5), "float32")

    def external(file: h5py.File) -> None:
        del file[TABLE]
        file.create_dataset(TABLE, (13, 5), "float32", external=[(str(raw), 0, h5py.h5f.UNLIMITED)])

    def virtual(file: h5py.File) -> None:
        del file[TABLE]
        layout = h5py.VirtualLayout((13, 5), "float32")
        layout[:] = h5py.VirtualSource(str(other), "x", shape=(13, 5))
        file.create_virtual_dataset(TABLE, layout)

    for change in (external, virtual):
        refused(with_weights(parts, path, change), "another file", "embedding")


@pytest.mark.parametrize("options", [{"chunks": (2**10,)}, {"chunks": (2**10,), "compression": "gzip"}, {}])
def test_sizes_that_are_only_declared(options: dict[str, Any], parts: Members, path: Path) -> None:
    def change(file: h5py.File) -> None:
        del file[TABLE]
        file.create_dataset(TABLE, (10**9,), "float32", **options)

    refused(with_weights(parts, path, change), "4000000000", "embedding")


def test_a_compressed_bomb_in_the_weights(parts: Members, path: Path) -> None:
    def change(file: h5py.File) -> None:
        del file[TABLE]
        file.create_dataset(TABLE, (10**7,), "float32", compression="gzip", fillvalue=0)[:] = 0

    refused(with_weights(parts, path, change), "40000000")


@pytest.mark.parametrize("dtype", ["int32", "complex64", "S4", "bool"])
def test_weights_of_another_type(dtype: str, parts: Members, path: Path) -> None:
    def change(file: h5py.File) -> None:
        del file[TABLE]
        file[TABLE] = np.ones((13, 5)).astype(dtype)

    refused(with_weights(parts, path, change), "embedding", "float32", kind=UnsupportedError)


def test_a_group_or_a_type_in_place_of_a_weight(parts: Members, path: Path) -> None:
    def group(file: h5py.File) -> None:
        del file[TABLE]
        file.create_group(TABLE)

    def datatype(file: h5py.File) -> None:
        del file[TABLE]
        file[TABLE] = np.dtype("float32")

    def array(file: h5py.File) -> None:
        del file["layers/embedding"]
        file["layers/embedding"] = np.ones(3)

    for change in (group, datatype):
        refused(with_weights(parts, path, change), "expected an array")
    refused(with_weights(parts, path, array), "'embedding'", kind=WeightError)


def test_an_empty_dataset(parts: Members, path: Path) -> None:
    def change(file: h5py.File) -> None:
        del file[TABLE]
        file[TABLE] = h5py.Empty("float32")

    refused(with_weights(parts, path, change), "embedding", kind=BiportError)


def test_mixed_dtypes(parts: Members, path: Path) -> None:
    def change(file: h5py.File) -> None:
        data = file["layers/dense/vars/0"]
        assert isinstance(data, h5py.Dataset)
        wide = data[()].astype("float64")
        del file["layers/dense/vars/0"]
        file["layers/dense/vars/0"] = wide

    refused(with_weights(parts, path, change), "head", kind=WeightError)


def layer(data: dict, name: str) -> dict:
    return next(entry for entry in data["config"]["layers"] if entry["config"]["name"] == name)


def keras2_nodes(data: dict) -> None:
    layer(data, "lstm")["inbound_nodes"] = [[["embedding", 0, 0, {}]]]


def cycle(data: dict) -> None:
    layer(data, "embedding")["inbound_nodes"] = layer(data, "head")["inbound_nodes"]


def unknown_source(data: dict) -> None:
    text = json.dumps(layer(data, "head")["inbound_nodes"]).replace('"lstm"', '"nowhere"')
    layer(data, "head")["inbound_nodes"] = json.loads(text)


def same_names(data: dict) -> None:
    layer(data, "head")["config"]["name"] = "lstm"


def _set(*keys: Any, value: Any) -> Callable[[dict], None]:
    def change(data: dict) -> None:
        inside: Any = data
        for key in keys[:-1]:
            inside = inside[key]
        inside[keys[-1]] = value

    return change


CONFIGS: dict[str, Callable[[dict], None]] = {
    "keras 2": keras2_nodes,
    "cycle": cycle,
    "unknown source": unknown_source,
    "same names": same_names,
    "no layers": _set("config", "layers", value=[]),
    "layers are a number": _set("config", "layers", value=3),
    "a layer is a number": _set("config", "layers", 1, value=3),
    "a layer is null": _set("config", "layers", 1, value=None),
    "config is a list": _set("config", value=[]),
    "config is null": _set("config", value=None),
    "layer config is a list": _set("config", "layers", 1, "config", value=[]),
    "class is a list": _set("class_name", value=[]),
    "module is a number": _set("config", "layers", 1, "module", value=3),
    "layer class is a mapping": _set("config", "layers", 1, "class_name", value={}),
    "no inputs": _set("config", "input_layers", value=None),
    "empty inputs": _set("config", "input_layers", value=[]),
    "strange inputs": _set("config", "input_layers", value=[["tokens", "a", 0]]),
    "input is no InputLayer": _set("config", "input_layers", value=["lstm", 0, 0]),
    "output is unknown": _set("config", "output_layers", value=["nowhere", 0, 0]),
    "output call is unknown": _set("config", "output_layers", value=["head", 7, 0]),
    "output part is unknown": _set("config", "output_layers", value=["head", 0, 3]),
    "no outputs": _set("config", "output_layers", value=[]),
    "inbound is a mapping": _set("config", "layers", 1, "inbound_nodes", value={}),
    "args is null": _set("config", "layers", 1, "inbound_nodes", value=[{"args": None, "kwargs": {}}]),
    "no args": _set("config", "layers", 1, "inbound_nodes", value=[{"args": [], "kwargs": {}}]),
    "args are numbers": _set("config", "layers", 1, "inbound_nodes", value=[{"args": [1], "kwargs": {}}]),
    "history is null": _set(
        "config",
        "layers",
        1,
        "inbound_nodes",
        value=[{"args": [{"class_name": "__keras_tensor__", "config": None}], "kwargs": {}}],
    ),
    "history is short": _set(
        "config",
        "layers",
        1,
        "inbound_nodes",
        value=[
            {"args": [{"class_name": "__keras_tensor__", "config": {"keras_history": ["a"]}}], "kwargs": {}}
        ],
    ),
    "batch_shape is null": _set("config", "layers", 0, "config", "batch_shape", value=None),
    "batch_shape is text": _set("config", "layers", 0, "config", "batch_shape", value=["a"]),
    "batch_shape is empty": _set("config", "layers", 0, "config", "batch_shape", value=[]),
    "batch_shape is negative": _set("config", "layers", 0, "config", "batch_shape", value=[None, -3]),
    "batch_shape is flat": _set("config", "layers", 0, "config", "batch_shape", value=[None]),
    "input dtype is a list": _set("config", "layers", 0, "config", "dtype", value=["int32"]),
    "input dtype is text": _set("config", "layers", 0, "config", "dtype", value="string"),
    "units are text": lambda data: layer_config(data, "lstm").update(units="3"),
    "units are true": lambda data: layer_config(data, "lstm").update(units=True),
    "units are negative": lambda data: layer_config(data, "lstm").update(units=-3),
    "units are huge": lambda data: layer_config(data, "lstm").update(units=10**30),
    "rate is too large": lambda data: layer_config(data, "lstm").update(dropout="much"),
    "mask is a number": lambda data: layer(data, "lstm")["inbound_nodes"][0]["kwargs"].update(mask=3),
    "mask is a list": lambda data: layer(data, "lstm")["inbound_nodes"][0]["kwargs"].update(mask=[None]),
    "mask is a mapping": lambda data: layer(data, "lstm")["inbound_nodes"][0]["kwargs"].update(mask={"a": 1}),
    "dtype is a list": lambda data: layer_config(data, "lstm").update(dtype=[1]),
    "dtype is a mapping": lambda data: layer_config(data, "lstm").update(dtype={"config": {"name": [1]}}),
    "activation is a mapping": lambda data: layer_config(data, "head").update(activation={"a": 1}),
    "input_dim is a float": lambda data: layer_config(data, "embedding").update(input_dim=13.0),
}


@pytest.mark.parametrize("change", CONFIGS.values(), ids=CONFIGS)
def test_a_malformed_configuration(change: Callable[[dict], None], good: Path, path: Path) -> None:
    refused(edited(good, path, change), kind=BiportError)


def test_models_nested_too_deep(good: Path, path: Path) -> None:
    def nest(data: dict) -> None:
        for depth in range(200):
            entry = {"module": "keras", "class_name": data["class_name"], "config": data["config"]}
            first = {
                "module": "keras.layers",
                "class_name": "InputLayer",
                "config": {"batch_shape": [None, None], "dtype": "int32", "name": f"in{depth}"},
            }
            data |= {
                "class_name": "Sequential",
                "config": {"name": f"outer{depth}", "layers": [first, entry]},
            }

    refused(edited(good, path, nest), "32")


def read_or_refuse(path: Path, original: Any) -> bool:
    """Whether the file was refused; a file that is read must give the very graph."""
    try:
        graph = keras_side.read(path)
    except BiportError as error:
        assert path.name in str(error)  # noqa: PT017
        return True
    return graph != original


def test_random_damage_of_a_compressed_file(parts: Members, good: Path, path: Path) -> None:
    data = write_members(path, parts, zipfile.ZIP_DEFLATED).read_bytes()
    original, rng = keras_side.read(good), random.Random(3)
    outcomes = set()
    for _ in range(60):
        changed = bytearray(data)
        for _ in range(rng.randint(1, 30)):
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        outcomes.add(read_or_refuse(path, original))
    assert True in outcomes


def test_random_damage(good: Path, path: Path) -> None:
    """Whatever is done to the bytes of a file, it is read right or refused in biport's own words."""
    data, original, rng = good.read_bytes(), keras_side.read(good), random.Random(0)
    refusals = 0
    for _ in range(150):
        changed = bytearray(data)
        match rng.randrange(4):
            case 0:
                changed = changed[: rng.randrange(len(changed))]
            case 1:
                for _ in range(rng.randint(1, 20)):
                    changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
            case 2:
                start = rng.randrange(len(changed))
                changed[start : start + rng.randint(1, 200)] = b""
            case _:
                start = rng.randrange(len(changed))
                changed[start:start] = rng.randbytes(rng.randint(1, 200))
        path.write_bytes(changed)
        refusals += read_or_refuse(path, original)
    assert refusals > 100


@pytest.mark.parametrize("name", [WEIGHTS, CONFIG])
def test_random_damage_inside_the_archive(name: str, good: Path, parts: Members, path: Path) -> None:
    """The same behind a correct checksum, where a changed number cannot be told from a right one."""
    rng = random.Random(1)
    original, outcomes = keras_side.read(good), set[bool]()
    for _ in range(150):
        changed = bytearray(parts[name])
        for _ in range(rng.randint(1, 8)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        write_members(path, parts | {name: bytes(changed)})
        outcomes.add(read_or_refuse(path, original))
    assert True in outcomes


def test_random_settings(good: Path, path: Path) -> None:
    """Any value in any place of the configuration is read or refused, never a crash."""
    rng = random.Random(2)
    values = [None, True, -1, 0, 7, 1e300, "x", "", [], {}, [[]], {"a": 1}, ["lstm", 0, 0]]

    def slots(item: Any) -> list[tuple[Any, Any]]:
        inside = []
        entries = item.items() if isinstance(item, dict) else enumerate(item)
        for key, value in entries:
            inside.append((item, key))
            if isinstance(value, dict | list):
                inside += slots(value)
        return inside

    def change(data: dict) -> None:
        for _ in range(rng.randint(1, 3)):
            holder, key = rng.choice(slots(data))
            if rng.random() < 0.2 and isinstance(holder, dict):
                del holder[key]
            else:
                holder[key] = rng.choice(values)

    for _ in range(300):
        edited(good, path, change)
        try:
            keras_side.read(path)
        except BiportError as error:
            assert path.name in str(error)  # noqa: PT017


def test_graph_errors_name_the_file(good: Path, path: Path) -> None:
    def change(data: dict) -> None:
        layer_config(data, "tokens")["batch_shape"] = [None]
        (lstm,) = [entry for entry in data["config"]["layers"] if entry["class_name"] == "LSTM"]
        lstm["inbound_nodes"][0]["kwargs"] = {}

    refused(edited(good, path, change), kind=GraphError)


def test_memory_files_are_not_left_open(good: Path) -> None:
    """Reading must not keep the file open: it can be replaced and read again at once."""
    data = good.read_bytes()
    before = keras_side.read(good)
    good.unlink()
    good.write_bytes(io.BytesIO(data).getvalue())
    assert keras_side.read(good) == before
