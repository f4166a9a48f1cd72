"""Files an attacker could write, by name: each function makes one in a folder and says what to read.

They need neither keras nor a model that was trained: the good file each one spoils is written here too. What
becomes of them is measured by `hostile_run`, tabled by `hostile_table`, tested by ``test_keras_hostile.py``.
"""

from __future__ import annotations

import copy
import io
import itertools
import json
import os
import re
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

ARCHIVE, HDF5, WEIGHTS = ".keras", ".h5", "weights and JSON"
Data = dict[str, Any]
Source = tuple[Path, Path | None]
"""What to read, and the configuration beside it."""


@dataclass(frozen=True)
class Hostile:
    """One file.

    Args:
        name: what is wrong with it.
        container: `ARCHIVE`, `HDF5`, `WEIGHTS`, or "" where that says nothing.
        make: writes it into a folder.
        reads: ``None`` where it has to be refused; else the name of the good file it has to equal, or ""
            where it is a model of its own.
    """

    name: str
    container: str
    make: Callable[[Path], Source]
    reads: str | None = None


FILES: dict[str, list[Hostile]] = {}
"""By group; each group runs in a process of its own."""


def add(
    group: str, name: str, container: str, make: Callable[[Path], Source], reads: str | None = None
) -> None:
    FILES.setdefault(group, []).append(Hostile(name, container, make, reads))


# The good file: tokens -> Embedding -> LSTM -> Dense.

V, E, H, O = 13, 5, 3, 2
RNG = np.random.default_rng(0)
ARRAYS = {
    "embedding": {"embeddings": (V, E)},
    "lstm": {"kernel": (E, 4 * H), "recurrent_kernel": (H, 4 * H), "bias": (4 * H,)},
    "head": {"kernel": (H, O), "bias": (O,)},
}
NUMBERS = {
    layer: {name: RNG.normal(size=shape).astype("float32") for name, shape in arrays.items()}
    for layer, arrays in ARRAYS.items()
}


def tensor(name: Any, call: Any = 0, output: Any = 0) -> Data:
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, call, output]}}


def call(*sources: Any, **options: Any) -> Data:
    args = [tensor(source) if isinstance(source, str) else source for source in sources]
    return {"args": [args[0] if len(args) == 1 else args], "kwargs": options}


def entry(class_name: str, name: Any, *calls: Data, **settings: Any) -> Data:
    own = {"name": name} | ({} if class_name == "InputLayer" else {"trainable": True})
    return {
        "module": "keras.layers",
        "class_name": class_name,
        "config": own | settings,
        "name": name,
        "inbound_nodes": list(calls),
    }


def start(name: str = "tokens", dtype: str = "int32", rank: int = 2) -> Data:
    return entry("InputLayer", name, batch_shape=[None] * rank, dtype=dtype)


def functional(layers: list[Data], inputs: Any, outputs: Any, name: str = "model") -> Data:
    config = {"name": name, "layers": layers, "input_layers": inputs, "output_layers": outputs}
    return {"module": "keras", "class_name": "Functional", "config": config}


def good() -> Data:
    layers = [
        start(),
        entry("Embedding", "embedding", call("tokens"), input_dim=V, output_dim=E, mask_zero=True),
        entry("LSTM", "lstm", call("embedding"), units=H),
        entry("Dense", "head", call("lstm"), units=O),
    ]
    return functional(layers, [["tokens", 0, 0]], [["head", 0, 0]])


def weightless(layers: list[Data], output: str, first: str = "x") -> Data:
    return functional(layers, [[first, 0, 0]], [[output, 0, 0]])


@dataclass(frozen=True)
class Layout:
    """Where the weights are in an HDF5 file."""

    root: str
    by_name: bool

    def array(self, layer: str, name: str) -> str:
        if self.by_name:
            return f"{self.root}{layer}/{layer}/{name}"
        path = {"embedding": "embedding", "lstm": "lstm/cell", "head": "dense"}[layer]
        return f"layers/{path}/vars/{list(ARRAYS[layer]).index(name)}"

    def layer(self, name: str) -> str:
        if self.by_name:
            return f"{self.root}{name}"
        return "layers/" + {"embedding": "embedding", "lstm": "lstm", "head": "dense"}[name]

    @property
    def table(self) -> str:
        return self.array("embedding", "embeddings")


LAYOUTS = {
    ARCHIVE: Layout("", by_name=False),
    HDF5: Layout("model_weights/", by_name=True),
    WEIGHTS: Layout("", by_name=True),
}
Change = Callable[[h5py.File, Layout], Any]


def fill(file: h5py.File, layout: Layout) -> None:
    """Write the good weights."""
    for layer, arrays in NUMBERS.items():
        for name, numbers in arrays.items():
            file[layout.array(layer, name)] = numbers
        if layout.by_name:
            names = [f"{layer}/{name}".encode() for name in arrays]
            file[layout.layer(layer)].attrs["weight_names"] = names
    if layout.by_name:
        top = file[layout.root or "/"]
        top.attrs["layer_names"] = [b"tokens", *(layer.encode() for layer in ARRAYS)]
        file.create_group(f"{layout.root}tokens").attrs["weight_names"] = []


def weights(path: Path, layout: Layout, change: Change | None = None, empty: bool = False) -> Path:
    with h5py.File(path, "w") as file:
        if not empty:
            fill(file, layout)
        elif not layout.by_name:
            file.create_group("layers")
        if change is not None:
            change(file, layout)
    return path


def text_of(data: Data | str | bytes) -> bytes:
    text = data if isinstance(data, str | bytes) else json.dumps(data)
    return text.encode() if isinstance(text, str) else text


def zipped(path: Path, members: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", how, compresslevel=1) as archive:
        warnings.simplefilter("ignore")
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def metadata(version: Any = "3.15.1") -> bytes:
    return json.dumps({"keras_version": version}).encode()


def members(
    folder: Path, data: Any = None, change: Change | None = None, empty: bool = False
) -> dict[str, bytes]:
    stored = weights(folder / "weights.h5", LAYOUTS[ARCHIVE], change, empty)
    every = {
        "metadata.json": metadata(),
        "config.json": text_of(good() if data is None else data),
        "model.weights.h5": stored.read_bytes(),
    }
    stored.unlink()
    return every


def whole(
    folder: Path,
    container: str,
    data: Any = None,
    change: Change | None = None,
    empty: bool = False,
    version: Any = "3.15.1",
) -> Source:
    """A file of any container, whole but for what ``data`` and ``change`` spoil."""
    layout = LAYOUTS[container]
    text = text_of(good() if data is None else data)
    if container == ARCHIVE:
        parts = members(folder, text, change, empty) | {"metadata.json": metadata(version)}
        return zipped(folder / "hostile.keras", parts), None

    def both(file: h5py.File, layout: Layout) -> None:
        top = file.require_group(layout.root or "/")
        for key, value in (("keras_version", version), ("backend", "tensorflow")):
            file.attrs[key] = top.attrs[key] = value
        if container == HDF5:
            file.attrs["model_config"] = text.decode()
        if empty:
            top.attrs["layer_names"] = []
        if change is not None:
            change(file, layout)

    path = weights(folder / "hostile.h5", layout, both, empty)
    if container == HDF5:
        return path, None
    beside = folder / "hostile.json"
    beside.write_bytes(text)
    return path, beside


def everywhere(
    group: str, name: str, data: Callable[[], Any], reads: str | None = None, empty: bool = False
) -> None:
    """A configuration, in each of the containers."""
    for container in LAYOUTS:
        add(
            group,
            name,
            container,
            lambda folder, container=container: whole(folder, container, data(), empty=empty),
            reads,
        )


def in_weights(
    group: str,
    name: str,
    change: Change,
    reads: str | None = None,
    containers: tuple[str, ...] = tuple(LAYOUTS),
) -> None:
    """A change of the weights, in each of the containers."""
    for container in containers:
        add(
            group,
            name,
            container,
            lambda folder, container=container: whole(folder, container, change=change),
            reads,
        )


for _container in LAYOUTS:
    add("good", "nothing", _container, lambda folder, c=_container: whole(folder, c), "good")


# Paths.


def _path(make: Callable[[Path], Any]) -> Callable[[Path], Source]:
    def source(folder: Path) -> Source:
        path = folder / "hostile.h5"
        other = make(path)
        return other if isinstance(other, Path) else path, None

    return source


def _cut(container: str, share: float) -> Callable[[Path], Source]:
    def source(folder: Path) -> Source:
        path, beside = whole(folder, container)
        content = path.read_bytes()
        path.write_bytes(content[: max(int(len(content) * share), 9)])
        return path, beside

    return source


PATHS: dict[str, Callable[[Path], Any]] = {
    "nothing there": lambda path: None,
    "an empty file": lambda path: path.touch(),
    "a folder": lambda path: path.mkdir(),
    "a pipe that nobody writes to": lambda path: os.mkfifo(path),
    "a link to itself": lambda path: path.symlink_to(path),
    "a device that never ends": lambda path: Path("/dev/zero"),
    "text": lambda path: path.write_text("\x1b[2J not a model"),
    "a name of 5,000 characters": lambda path: path.with_name("x" * 5000),
    "the first eight bytes of HDF5": lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n"),
    "HDF5 of something else": lambda path: h5py.File(path, "w").close(),
}
for _name, _make in PATHS.items():
    add("paths", _name, "", _path(_make))
for _container in LAYOUTS:
    for _share in (0.0001, 0.3, 0.7, 0.99, 0.9999):
        add("paths", f"cut at {_share:.2%}", _container, _cut(_container, _share))


# Archives.


def _archive(make: Callable[[Path, dict[str, bytes]], Any]) -> Callable[[Path], Source]:
    def source(folder: Path) -> Source:
        path = folder / "hostile.keras"
        make(path, members(folder))
        return path, None

    return source


def _bomb(name: str) -> Callable[[Path, dict[str, bytes]], Any]:
    return lambda path, parts: zipped(path, parts | {name: b" " * (200 << 20)}, zipfile.ZIP_DEFLATED)


def _patched(
    how: int, patches: Callable[[bytes], Iterator[tuple[int, bytes]]]
) -> Callable[[Path, dict[str, bytes]], Any]:
    """An archive with bytes put over others."""

    def patched(path: Path, parts: dict[str, bytes]) -> None:
        content = bytearray(zipped(path, parts, how).read_bytes())
        for offset, patch in list(patches(bytes(content))):
            content[offset : offset + len(patch)] = patch
        path.write_bytes(content)

    return patched


def _headers(content: bytes, signature: bytes = b"PK\1\2") -> Iterator[int]:
    offset = content.find(signature)
    while offset >= 0:
        yield offset
        offset = content.find(signature, offset + 4)


def _liar(path: Path, parts: dict[str, bytes]) -> None:
    """Weights that declare 10,000 bytes and unfold to a gigabyte."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in ("metadata.json", "config.json"):
            archive.writestr(name, parts[name])
        with archive.open("model.weights.h5", "w") as member:
            for _ in range(1000):
                member.write(b" " * 2**20)
    content = bytearray(buffer.getvalue())
    *_, last = _headers(bytes(content))
    content[last + 24 : last + 28] = struct.pack("<I", 10_000)
    path.write_bytes(content)


def _overlapping(content: bytes) -> Iterator[tuple[int, bytes]]:
    for offset in _headers(content):
        yield offset + 42, bytes(4)


def _crc(content: bytes) -> Iterator[tuple[int, bytes]]:
    for offset in _headers(content):
        yield offset + 16, b"\0\1\2\3"


def _end(content: bytes, offset: int, value: bytes) -> Iterator[tuple[int, bytes]]:
    yield content.rfind(b"PK\5\6") + offset, value


def _crowd(path: Path, parts: dict[str, bytes]) -> None:
    zipped(path, {f"{number}.txt": b"" for number in range(30_000)} | parts)


def _escaping(path: Path, parts: dict[str, bytes]) -> None:
    zipped(path, {"../../evil.txt": b"x", f"{path.parent}/evil.txt": b"x", "..\\evil.txt": b"x"} | parts)


def _huge_weights(folder: Path) -> Source:
    """A table of 240 MB in an archive of 4 MB, as large as it may be."""
    numbers = np.zeros((2**19, 120), "float32")
    numbers[::60] = RNG.normal(size=(len(numbers[::60]), 120))
    data = good()
    data["config"]["layers"][1]["config"] |= {"input_dim": 2**19, "output_dim": 120}

    def change(file: h5py.File, layout: Layout) -> None:
        del file[layout.table], file[layout.array("lstm", "kernel")]
        file[layout.table] = numbers
        file[layout.array("lstm", "kernel")] = np.ones((120, 4 * H), "float32")

    return zipped(folder / "hostile.keras", members(folder, data, change), zipfile.ZIP_DEFLATED), None


ARCHIVES: dict[str, Callable[[Path, dict[str, bytes]], Any]] = {
    "bomb: the configuration": _bomb("config.json"),
    "bomb: the metadata": _bomb("metadata.json"),
    "bomb: the weights": _bomb("model.weights.h5"),
    "bomb that declares 10 kB": _liar,
    "30,000 other members": _crowd,
    "a list of members of 4 GB": _patched(0, lambda c: _end(c, 12, b"\xff\xff\xff\xff")),
    "a list of members that begins elsewhere": _patched(0, lambda c: _end(c, 16, b"\xff\xff\xff\x7f")),
    "encrypted": _patched(0, lambda c: ((offset + 8, b"\1") for offset in _headers(c))),
    "unknown compression": _patched(0, lambda c: ((offset + 10, b"\x63") for offset in _headers(c))),
    "bzip2": lambda path, parts: zipped(path, parts, zipfile.ZIP_BZIP2),
    "LZMA": lambda path, parts: zipped(path, parts, zipfile.ZIP_LZMA),
    "members that overlap": _patched(0, _overlapping),
    "wrong checksums": _patched(0, _crc),
    "wrong checksums, compressed": _patched(zipfile.ZIP_DEFLATED, _crc),
    "no weights": lambda path, parts: zipped(path, parts | {"model.weights.h5": b""}),
    "weights that are an archive": lambda path, parts: zipped(
        path, parts | {"model.weights.h5": zipped(path, parts).read_bytes()}
    ),
    "names with escape codes alone": lambda path, parts: zipped(path, {"\x1b[31m\n\x07": b""}),
    "metadata without words": lambda path, parts: zipped(path, parts | {"metadata.json": b"[]"}),
}
for _name, _spoil in ARCHIVES.items():
    add("archives", _name, ARCHIVE, _archive(_spoil))
add("archives", "names that leave the folder (not extracted)", ARCHIVE, _archive(_escaping), "good")
add(
    "archives",
    "a second configuration in a folder",
    ARCHIVE,
    _archive(lambda path, parts: zipped(path, {"x/config.json": b"{}"} | parts)),
    "good",
)
add(
    "archives",
    "65,535 members declared (not believed)",
    ARCHIVE,
    _archive(_patched(0, lambda c: _end(c, 8, b"\xff\xff\xff\xff"))),
    "good",
)
add("archives", "240 MB of weights in 4 MB", ARCHIVE, _huge_weights, "")
for _twice in ("config.json", "metadata.json", "model.weights.h5"):

    def _double(path: Path, parts: dict[str, bytes], name: str = _twice) -> None:
        zipped(path, parts)
        with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
            warnings.simplefilter("ignore")
            archive.writestr(name, parts[name])

    add("archives", f"{_twice} twice", ARCHIVE, _archive(_double))


# Configurations.


def spoilt(change: Callable[[Data, dict[str, Data]], Any]) -> Callable[[], Data]:
    """The good configuration with something changed; ``change`` gets it and its layers by name."""

    def configuration() -> Data:
        data = copy.deepcopy(good())
        change(data, {layer["name"]: layer for layer in data["config"]["layers"]})
        return data

    return configuration


def setting(layer: str, **values: Any) -> Callable[[], Data]:
    return spoilt(lambda data, layers: layers[layer]["config"].update(values))


def renamed(name: Any) -> Callable[[], Data]:
    def change(data: Data, layers: dict[str, Data]) -> None:
        layers["head"]["name"] = layers["head"]["config"]["name"] = name
        data["config"]["output_layers"] = [[name, 0, 0]]

    return spoilt(change)


def called(layer: str, *calls: Data) -> Callable[[], Data]:
    return spoilt(lambda data, layers: layers[layer].update(inbound_nodes=list(calls)))


CONFIGS: dict[str, Callable[[], Any]] = {
    "100,000 brackets": lambda: "[" * 100_000 + "]" * 100_000,
    "100,000 nested mappings": lambda: '{"a":' * 100_000 + "1" + "}" * 100_000,
    "nested just so that it can be parsed": lambda: '{"config":' + "[" * 900 + "]" * 900 + "}",
    "a list": lambda: "[]",
    "nothing": lambda: "",
    "half a pair": lambda: '{"\\ud800": "\\udfff"}',
    "9 MB of blanks": lambda: " " * (9 << 20),
    "8 MB of empty mappings": lambda: '{"config":[' + "{}," * 2_790_000 + "{}]}",
    "a number of 5,000 digits": lambda: json.dumps(good()).replace('"units": 3', '"units": ' + "9" * 5000),
    "units of NaN": setting("lstm", units=float("nan")),
    "units of infinity": setting("lstm", units=float("inf")),
    "units of 10**12": setting("lstm", units=10**12),
    "units below zero": setting("lstm", units=-3),
    "units of zero": setting("head", units=0),
    "units that are true": setting("lstm", units=True),
    "dropout of NaN": setting("lstm", dropout=float("nan")),
    "dropout 'NaN'": setting("lstm", dropout="NaN"),
    "dropout of 10**400": lambda: json.dumps(good()).replace('"units": 3', '"units": 3, "dropout": 1e400'),
    "a vocabulary of 10**12": setting("embedding", input_dim=10**12),
    "dtype that is a list": setting("lstm", dtype=["float32"]),
    "a model with itself as a setting": setting("lstm", cell=good()),
    "an input of a million dimensions": setting("tokens", batch_shape=[None] * 10**6),
    "an input of 10**19 steps": setting("tokens", batch_shape=[None, 10**19]),
    "an input below zero": setting("tokens", batch_shape=[None, -1]),
    "call number below zero": called("lstm", call(tensor("embedding", -1))),
    "output number 10**15": called("lstm", call(tensor("embedding", 0, 10**15))),
    "output number below zero": called("lstm", call(tensor("embedding", 0, -1))),
    "a layer that waits for itself": called("lstm", call("lstm")),
    "layers that wait for each other": called("embedding", call("head")),
    "a layer that is not there": called("lstm", call("nowhere")),
    "called with itself nested 500 deep": called("lstm", call(json.loads("[" * 500 + "]" * 500))),
    "called with a million numbers": called("lstm", call(*[1] * 10**6)),
    "a name with a newline and an escape code": renamed("a\n\x1b[31mred\x07"),
    "a name half of a pair": renamed("\ud800"),
    "a name that turns the line round": renamed("\u202egnp.exe"),
    "a name of 100,000 characters": renamed("x" * 100_000),
    "a name that is a list": renamed(["a"]),
    "a name that is a number": renamed(7),
    "a name that is true": renamed(True),
    "two layers of one name": renamed("lstm"),
    "a class name of 6 MB": spoilt(lambda data, layers: layers["lstm"].update(class_name="Ab" * (3 << 20))),
    "a class name with escape codes": spoilt(
        lambda data, layers: layers["lstm"].update(class_name="\x1b]0;x\x07\n")
    ),
    "code of its own": spoilt(lambda data, layers: layers["lstm"].update(module="os", class_name="system")),
    "400,000 outputs": spoilt(
        lambda data, layers: data["config"].update(output_layers=[["head", 0, 0]] * 400_000)
    ),
    "the same input 100,000 times": spoilt(
        lambda data, layers: data["config"].update(input_layers=[["tokens", 0, 0]] * 10**5)
    ),
}
for _name, _data in CONFIGS.items():
    everywhere("configurations", _name, _data)


# Keras 3.0 and 3.1 counted calls of other models; as there is one call only, it is that one.
everywhere("configurations", "call number 10**15", called("lstm", call(tensor("embedding", 10**15))), "good")


# Configurations that grow.


def _tiny_layers(count: int) -> str:
    one = '{"class_name":"Add","config":{}}'
    return '{"class_name":"Sequential","config":{"layers":[' + ",".join([one] * count) + "]}}"


def _chain(count: int, class_name: str = "Identity", **settings: Any) -> list[Data]:
    names = ["x", *(f"layer{number}" for number in range(count))]
    pairs = itertools.pairwise(names)
    layers = [entry(class_name, name, call(before), **settings) for before, name in pairs]
    return [start("x", "float32", 3), *layers]


def _reverse_chain() -> Data:
    return weightless(_chain(5000)[::-1], "layer4999")


def steps() -> Data:
    """An input of three steps."""
    return entry("InputLayer", "x", batch_shape=[None, 3, 2], dtype="float32")


def _joined(axis: int, levels: int) -> Data:
    """Masks of which each holds the one before twice."""
    layers = [steps(), entry("Masking", "level0", call("x"), mask_value=0.0)]
    for level in range(levels):
        before = f"level{level}"
        layers.append(entry("Concatenate", f"level{level + 1}", call(before, before), axis=axis))
    return weightless([*layers, entry("GlobalAveragePooling1D", "mean", call(f"level{levels}"))], "mean")


def _crossed(levels: int) -> Data:
    """Masks of which each holds two that are equal and not the same."""
    masked = [entry("Masking", f"{side}0", call("x"), mask_value=0.0) for side in "ab"]
    layers = [steps(), *masked]
    for level in range(levels):
        both = call(f"a{level}", f"b{level}")
        layers += [entry("Concatenate", f"{side}{level + 1}", both, axis=1) for side in "ab"]
    layers.append(entry("Add", "sum", call(f"a{levels}", f"b{levels}")))
    return weightless([*layers, entry("GlobalAveragePooling1D", "mean", call("sum"))], "mean")


def _laughs(levels: int, name: str = "inner") -> Data:
    """Models that call the one inside them twice."""
    inner = weightless([start("x", "float32", 3), entry("Identity", "last", call("x"))], "last")
    for level in range(levels):
        model = entry("Functional", f"{name}{level}", call("x"), call(tensor(f"{name}{level}", 0)))
        model["config"] = inner["config"] | {"name": f"{name}{level}"}
        inner = functional(
            [start("x", "float32", 3), model], [["x", 0, 0]], [[f"{name}{level}", 2, 0]], f"{name}{level}"
        )
    return inner


def _nested(levels: int) -> str:
    """Models inside models."""
    head = '{"class_name":"Sequential","config":{"name":"m","layers":['
    return head * levels + json.dumps(start("x", "float32", 3)) + "]}}" * levels


def _many_inputs() -> Data:
    names = [f"x{number}" for number in range(5000)]
    layers = [start(name, "float32", 3) for name in names]
    layers += [entry("Identity", f"of_{name}", call(name)) for name in names]
    return functional(layers, [[n, 0, 0] for n in names], [[f"of_{n}", 0, 0] for n in names])


def _growing_letters() -> Data:
    """Lengths that take twice as many letters with every layer."""
    layers = [start("x", "float32", 3)]
    before = "x"
    for level in range(60):
        layers.append(entry("AveragePooling1D", f"pool{level}", call(before), pool_size=2))
        layers.append(entry("Add", f"sum{level}", call(before, f"pool{level}")))
        before = f"sum{level}"
    return weightless(layers, before)


def _growing_sizes() -> Data:
    """Lengths that grow by twelve digits with every layer."""
    return weightless([steps(), *_chain(3000, "UpSampling1D", size=10**12)[1:]], "layer2999")


def _colliding_names() -> Data:
    """Masks that would all have one name."""
    layers = [start("x", "float32", 3)]
    for number in range(1500):
        layers.append(entry("Masking", f"a{number}", call("x"), mask_value=float(number)))
        layers.append(entry("LSTM", "_" * number + "a_mask", call(f"a{number}"), units=H))
    return weightless(layers, "a_mask")


def _unknown_settings() -> Data:
    layers = _chain(1, "Identity", **{f"setting{number}": number for number in range(300_000)})
    return weightless(layers, "layer0")


def _unknown_layers() -> Data:
    return weightless(_chain(20_000, "Nonsense" * 8), "layer19999")


def _bidirectionals(levels: int) -> Data:
    """A Bidirectional inside a Bidirectional, which have two directions each."""
    inner = entry("LSTM", "lstm", units=H)
    for level in range(levels):
        inner = entry("Bidirectional", f"both{level}", layer=inner)
    return weightless([start("x", "float32", 3), inner | {"inbound_nodes": [call("x")]}], inner["name"])


def _wrapped_bidirectionals() -> Data:
    """The same through cells, inside of a layer that takes no setting called so."""
    inner: Data = entry("LSTMCell", "cell", units=H)
    for level in range(60):
        inner = entry("Bidirectional", f"both{level}", layer=entry("RNN", f"rnn{level}", cell=inner))
    return weightless(
        [start("x", "float32", 3), entry("Dense", "dense", call("x"), units=H, layer=inner)], "dense"
    )


GROWING: dict[str, Callable[[], Any]] = {
    "400,000 tiny layers in 13 MB": lambda: _tiny_layers(400_000),
    "240,000 tiny layers": lambda: _tiny_layers(240_000),
    "models nested 10,000 deep": lambda: _nested(10_000),
    "models nested 100 deep": lambda: _nested(100),
    "models that call the one inside twice, 30 deep": lambda: _laughs(30),
    "the same with names of 300 characters": lambda: _laughs(30, "i" * 300),
    "the same with names of 9,000 characters": lambda: _laughs(30, "i" * 9000),
    "5,000 masks one inside the other": lambda: _joined(1, 5000),
    "lengths of exponential size": _growing_letters,
    "lengths of 36,000 digits": _growing_sizes,
    "1,500 masks of one name": _colliding_names,
    "300,000 unknown settings": _unknown_settings,
    "20,000 unknown layers": _unknown_layers,
    "Bidirectional in Bidirectional, 60 deep": lambda: _bidirectionals(60),
    "Bidirectional in cells, 60 deep": _wrapped_bidirectionals,
    "a shape of a million sizes": lambda: weightless(
        _chain(1, "Reshape", target_shape=[2] * 10**6), "layer0"
    ),
}
READ: dict[str, Callable[[], Any]] = {
    "60 masks in time, each the one before twice": lambda: _joined(1, 60),
    "60 masks in time, each of two equal ones": lambda: _crossed(60),
    "a chain of 5,000 layers, the last first": _reverse_chain,
    "5,000 inputs and outputs": _many_inputs,
}
# In the containers in turn: what grows is read by the same code from each of them.
for (_name, _data), _container in zip((GROWING | READ).items(), itertools.cycle(LAYOUTS)):
    add(
        "growing",
        _name,
        _container,
        lambda folder, c=_container, data=_data: whole(folder, c, data(), empty=True),
        "" if _name in READ else None,
    )


# The words of Keras 1 and 2.


def _old(layer: Data) -> Data:
    """A Sequential model of one layer."""
    config = layer["config"] | {"batch_input_shape": [None, None, E]}
    return {"class_name": "Sequential", "config": {"name": "model", "layers": [layer | {"config": config}]}}


def _old_bidirectionals(levels: int) -> Data:
    inner: Data = {"class_name": "LSTM", "config": {"name": "lstm", "units": H}}
    for level in range(levels):
        inner = {"class_name": "Bidirectional", "config": {"name": f"both{level}", "layer": inner}}
    return _old(inner)


def _old_wrapped() -> Data:
    """The same through cells, inside of a layer that takes no setting called so."""
    inner: Data = {"class_name": "LSTMCell", "config": {"name": "cell", "units": H}}
    for level in range(60):
        rnn = {"class_name": "RNN", "config": {"name": f"rnn{level}", "cell": inner}}
        inner = {"class_name": "Bidirectional", "config": {"name": f"both{level}", "layer": rnn}}
    return _old({"class_name": "Dense", "config": {"name": "dense", "units": H, "layer": inner}})


def _old_calls(nodes: Any) -> Callable[[], Data]:
    def model() -> Data:
        layers = [
            {
                "class_name": "InputLayer",
                "name": "x",
                "config": {"name": "x", "batch_input_shape": [None, None, E], "dtype": "float32"},
                "inbound_nodes": [],
            },
            {
                "class_name": "Dense",
                "name": "head",
                "config": {"name": "head", "units": O},
                "inbound_nodes": nodes,
            },
        ]
        config = {"layers": layers, "input_layers": [["x", 0, 0]], "output_layers": [["head", 0, 0]]}
        return {"class_name": "Model", "config": config}

    return model


def _node_def() -> Data:
    layers = _old_calls([[["x", 0, 0, {}]]])()
    operation = {"name": "op", "node_def": "[" * 100_000, "constants": {"x": 1}}
    layers["config"]["layers"][1] |= {"class_name": "TensorFlowOpLayer", "config": operation}
    return layers


OLD: dict[str, Callable[[], Any]] = {
    "Bidirectional in cells, 60 deep": _old_wrapped,
    "a Bidirectional inside a Bidirectional, 60 deep": lambda: _old_bidirectionals(60),
    "calls that are numbers": _old_calls([3]),
    "calls that are mappings": _old_calls([[{"a": 1}]]),
    "calls of nothing": _old_calls([[[]]]),
    "a call nested 500 deep": _old_calls([json.loads("[" * 500 + "]" * 500)]),
    "call number below zero": _old_calls([[["x", -1, 0, {}]]]),
    "a call of itself": _old_calls([[["head", 0, 0, {}]]]),
    "a message of 100,000 brackets": _node_def,
    "240,000 tiny layers": lambda: _tiny_layers(240_000),
    "400,000 outputs": lambda: (
        _old_calls([[["x", 0, 0, {}]]])()
        | {"config": _old_calls([])()["config"] | {"output_layers": [["head", 0, 0]] * 400_000}}
    ),
    "a call with 400,000 inputs": _old_calls([[["x", 0, 0]] * 400_000]),
}
for _name, _data in OLD.items():
    for _container in LAYOUTS:
        for _version in ("2.2.4", "1.2.2"):
            if _container == HDF5 or (_version != "1.2.2" and "000" not in _name):
                add(
                    "old words",
                    f"{_name} ({_version})",
                    _container,
                    lambda folder, c=_container, v=_version, d=_data: whole(
                        folder, c, d(), empty=True, version=v
                    ),
                )

VERSIONS = {
    "a number": 3,
    "a list": [3, 15],
    "9 five thousand times": "9" * 5000,
    "empty": "",
    "escape codes": "\x1b[31m",
    "NaN": float("nan"),
}
for _name, _version in VERSIONS.items():
    for _container in LAYOUTS:
        _reads = "good" if isinstance(_version, str) and (_version != "" or _container == ARCHIVE) else None
        add(
            "old words",
            f"a version that is {_name}",
            _container,
            lambda folder, c=_container, v=_version: whole(folder, c, version=v),
            _reads,
        )


# Weights.


def replaced(make: Callable[[np.ndarray], Any], **options: Any) -> Change:
    """The table as something else."""

    def change(file: h5py.File, layout: Layout) -> None:
        numbers = NUMBERS["embedding"]["embeddings"].copy()
        del file[layout.table]
        file.create_dataset(layout.table, data=make(numbers), **options)

    return change


def declared(shape: tuple[int, ...], **options: Any) -> Change:
    def change(file: h5py.File, layout: Layout) -> None:
        del file[layout.table]
        file.create_dataset(layout.table, shape, "float32", **options)

    return change


def linked(make: Callable[[h5py.File], Any], where: str = "table") -> Change:
    """Something else in place of an array, or of the group of a layer, which goes elsewhere."""

    def change(file: h5py.File, layout: Layout) -> None:
        path = layout.table if where == "table" else layout.layer("embedding")
        file.move(path, "elsewhere")
        file[path] = make(file)

    return change


def _with_value(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def changed(numbers: np.ndarray) -> np.ndarray:
        numbers[3, 2] = value
        return numbers

    return changed


def _virtual(file: h5py.File, layout: Layout) -> None:
    del file[layout.table]
    source = h5py.VirtualLayout((V, E), "float32")
    source[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(V, E))
    file.create_virtual_dataset(layout.table, source)


def _bytes_elsewhere(file: h5py.File, layout: Layout) -> None:
    del file[layout.table]
    file.create_dataset(layout.table, (V, E), "float32", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])


def _two_names(file: h5py.File, layout: Layout) -> None:
    del file[layout.array("head", "bias")]
    file[layout.array("head", "bias")] = file[layout.array("lstm", "bias")]


def _cycle(file: h5py.File, layout: Layout) -> None:
    group = file[layout.layer("embedding")]
    assert isinstance(group, h5py.Group)
    group["again"] = group
    group["top"] = file["/"]


def _deep_groups(file: h5py.File, layout: Layout) -> None:
    group = file[layout.layer("embedding")].id
    for _ in range(20_000):
        group = h5py.h5g.create(group, b"g")
    h5py.h5d.create(group, b"x", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((1,)))


def _many_groups(file: h5py.File, layout: Layout) -> None:
    group = file[layout.layer("embedding")].id
    for number in range(20_000):
        h5py.h5g.create(group, b"%d" % number)


def _swapped(file: h5py.File, layout: Layout) -> None:
    file.move(layout.array("lstm", "kernel"), "aside")
    file.move(layout.array("lstm", "recurrent_kernel"), layout.array("lstm", "kernel"))
    file.move("aside", layout.array("lstm", "recurrent_kernel"))


def _more_members(file: h5py.File, layout: Layout) -> None:
    """Beside the arrays of a layer, and so that the group is of the newer kind and large."""
    group = file.require_group(layout.table.rpartition("/")[0])
    for number in range(20):
        group[f"link{number}"] = h5py.ExternalLink("/etc/passwd", "x")


def _left_over(file: h5py.File, layout: Layout) -> None:
    if layout.by_name:
        group = file.create_group(f"{layout.root}more")
        group.attrs["weight_names"] = [b"x"]
        group["x"] = np.ones(3, "float32")
        top = file[layout.root or "/"]
        top.attrs["layer_names"] = [b"tokens", b"embedding", b"lstm", b"head", b"more"]
    else:
        file["layers/more/vars/0"] = np.ones(3, "float32")


ARRAYS_SPOILT: dict[str, Change] = {
    "a soft link to an array": linked(lambda file: h5py.SoftLink("/elsewhere")),
    "a soft link to itself": linked(lambda file: h5py.SoftLink("embeddings")),
    "an external link": linked(lambda file: h5py.ExternalLink("/etc/passwd", "x")),
    "a soft link in the middle of a path": linked(lambda file: h5py.SoftLink("/elsewhere"), "layer"),
    "an external link in the middle of a path": linked(
        lambda file: h5py.ExternalLink("/etc/passwd", "/"), "layer"
    ),
    "numbers in another file": _bytes_elsewhere,
    "numbers of another array": _virtual,
    "4 GB declared, nothing stored": declared((10**9,)),
    "2**64 elements declared, in chunks": declared((2**32, 2**32), chunks=(2**10, 1)),
    "2**64 + 4 bytes declared": declared((2**31 + 1, 2**31 - 1), chunks=(2**10, 1)),
    "a size of zero beside one of 2**62": declared((0, 2**62)),
    "gzip, unfolds a thousandfold": replaced(
        lambda numbers: np.zeros(10**7, "float32"), compression="gzip", chunks=(10**6,)
    ),
    "gzip": replaced(lambda numbers: numbers, compression="gzip"),
    "in chunks": replaced(lambda numbers: numbers, chunks=(5, 5)),
    "NaN": replaced(_with_value(np.nan)),
    "infinity": replaced(_with_value(np.inf)),
    "float64 beside float32": replaced(lambda numbers: numbers.astype("float64")),
    "int8": replaced(lambda numbers: numbers.astype("int8")),
    "int32": replaced(lambda numbers: numbers.astype("int32")),
    "complex": replaced(lambda numbers: numbers.astype("complex64")),
    "booleans": replaced(lambda numbers: numbers > 0),
    "text": replaced(lambda numbers: numbers.astype("S8")),
    "structures": replaced(lambda numbers: np.zeros(V, [("a", "f4"), ("b", "f4")])),
    "lists of any length": lambda file, layout: _lists(file, layout),
    "a float nobody knows": lambda file, layout: _odd_float(file, layout),
    "turned round": replaced(lambda numbers: numbers.T),
    "flat": replaced(np.ravel),
    "a row short": replaced(lambda numbers: numbers[1:]),
    "a single number": replaced(lambda numbers: numbers[0, 0]),
    "of 30 dimensions": replaced(lambda numbers: numbers.reshape((V, E) + (1,) * 28)),
    "an array of nothing": lambda file, layout: _nothing(file, layout),
    "a group in place of an array": linked(lambda file: file.create_group("group")),
    "a type in place of an array": linked(lambda file: np.dtype("float32")),
    "an array in place of a layer": linked(lambda file: np.ones(3, "float32"), "layer"),
    "an array under two names": _two_names,
    "missing": lambda file, layout: file.__delitem__(layout.table),
    "a layer missing": lambda file, layout: file.__delitem__(layout.layer("lstm")),
    "of no layer of the model": _left_over,
    "kernels swapped": _swapped,
}


def _odd_float(file: h5py.File, layout: Layout) -> None:
    numbers = file[layout.table][()]  # type: ignore[index]
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_ebias(100)
    del file[layout.table]
    space = h5py.h5s.create_simple((V, E))
    parent, name = layout.table.rsplit("/", 1)
    h5py.h5d.create(file.require_group(parent).id, name.encode(), kind, space).write(
        h5py.h5s.ALL, h5py.h5s.ALL, numbers
    )


def _lists(file: h5py.File, layout: Layout) -> None:
    del file[layout.table]
    file.create_dataset(layout.table, (V,), h5py.vlen_dtype(np.dtype("float32")))[0] = np.ones(E, "float32")


def _nothing(file: h5py.File, layout: Layout) -> None:
    del file[layout.table]
    file[layout.table] = h5py.Empty("float32")


for _name, _change in ARRAYS_SPOILT.items():
    in_weights("arrays", _name, _change)
in_weights("arrays", "float16", replaced(lambda numbers: numbers.astype("float16")), "these numbers")
in_weights("arrays", "big-endian", replaced(lambda numbers: numbers.astype(">f4")), "good")
in_weights("arrays", "20 external links beside an array", _more_members, containers=(ARCHIVE,))
in_weights(
    "arrays", "20 external links beside an array (not followed)", _more_members, "good", (HDF5, WEIGHTS)
)
in_weights("groups", "groups that hold themselves", _cycle, "good")
in_weights("groups", "groups nested 20,000 deep", _deep_groups, containers=(ARCHIVE,))
in_weights("groups", "groups nested 20,000 deep (not looked at)", _deep_groups, "good", (HDF5, WEIGHTS))
in_weights("groups", "20,000 empty groups", _many_groups, "good")


def _same_layers(count: int) -> Callable[[Path], Source]:
    """One group of weights under the names of many layers."""

    def source(folder: Path) -> Source:
        layers = [start("x", "float32", 2)]
        layers += [entry("Dense", f"d{number}", call("x"), units=64) for number in range(count)]
        data = weightless(layers, f"d{count - 1}")

        def change(file: h5py.File, layout: Layout) -> None:
            group = file.create_group("shared")
            group["kernel"] = np.ones((256, 64), "float32")
            group["bias"] = np.ones(64, "float32")
            group.attrs["weight_names"] = [b"kernel", b"bias"]
            top = file.require_group(layout.root)
            names = [f"d{number}" for number in range(count)]
            for name in names:
                top[name] = group
            for piece in range(0, count, 1000):
                top.attrs[f"layer_names{piece // 1000}"] = [n.encode() for n in names[piece : piece + 1000]]
            del top.attrs["layer_names"]

        return whole(folder, HDF5, data, change, empty=True)

    return source


add("groups", "one array under 3,000 layers", HDF5, _same_layers(3000))


def _patched_hdf5(
    container: str, change: Change, patch: Callable[[bytes], bytes], reads: str | None, name: str
) -> None:
    def source(folder: Path) -> Source:
        path, beside = whole(folder, container, change=change)
        path.write_bytes(patch(path.read_bytes()))
        return path, beside

    add("attributes", name, container, source, reads)


def _user_block(folder: Path) -> Source:
    path, _ = whole(folder, HDF5)
    path.write_bytes(bytes(512) + path.read_bytes())
    return path, None


def _user_block_inside(folder: Path) -> Source:
    parts = members(folder)
    stored = folder / "weights.h5"
    with h5py.File(stored, "w", userblock_size=512) as file:
        fill(file, LAYOUTS[ARCHIVE])
    return zipped(folder / "hostile.keras", parts | {"model.weights.h5": stored.read_bytes()}), None


def _newest(container: str) -> Callable[[Path], Source]:
    """Written with the newest parts of the format."""

    def source(folder: Path) -> Source:
        path = folder / "hostile.h5"
        layout = LAYOUTS[container]
        with h5py.File(path, "w", libver="latest") as file:
            fill(file, layout)
            file.attrs["keras_version"] = "3.15.1"
            if container == HDF5:
                file.attrs["model_config"] = json.dumps(good())
        if container == ARCHIVE:
            parts = members(folder) | {"model.weights.h5": path.read_bytes()}
            return zipped(folder / "hostile.keras", parts), None
        return path, None

    return source


add("groups", "a user block", HDF5, _user_block)
add("groups", "a user block", ARCHIVE, _user_block_inside)
add("groups", "the newest parts of the format", HDF5, _newest(HDF5), "good")
add("groups", "the newest parts of the format", ARCHIVE, _newest(ARCHIVE), "good")


def _overlapping_arrays(folder: Path) -> Source:
    """1,000 arrays of 4 MB over the same 4 MB."""
    count, side = 1000, 1024
    layers = [start("x", "float32", 2)]
    layers += [entry("Dense", f"d{number}", call("x"), units=side, use_bias=False) for number in range(count)]
    data = functional(layers, [["x", 0, 0]], [[f"d{number}", 0, 0] for number in range(count)])

    def change(file: h5py.File, layout: Layout) -> None:
        file["aside"] = np.ones((side, side), "float32")
        for number in range(count):
            key = f"dense_{number}" if number else "dense"
            file.create_dataset(f"layers/{key}/vars/0", (side, side), "float32")

    parts = members(folder, data, change, empty=True)
    stored = folder / "aside.h5"
    stored.write_bytes(parts["model.weights.h5"])
    with h5py.File(stored) as file:
        offset = file["aside"].id.get_offset()  # type: ignore[union-attr]
    size = struct.pack("<Q", 4 * side * side)
    parts["model.weights.h5"] = parts["model.weights.h5"].replace(
        b"\xff" * 8 + size, struct.pack("<Q", offset) + size
    )
    return zipped(folder / "hostile.keras", parts), None


add("groups", "1,000 arrays over the same 4 MB", ARCHIVE, _overlapping_arrays)


# Attributes.


def attribute(name: str, value: Any, on: str = "embedding", **options: Any) -> Change:
    """Another value of an attribute, of a layer's group, of the one around ("top") or of the file ("/")."""

    def change(file: h5py.File, layout: Layout) -> None:
        path = {"top": layout.root or "/", "/": "/"}.get(on, layout.layer(on))
        target = file[path]
        if name in target.attrs:
            del target.attrs[name]
        data = value(file) if callable(value) else value
        target.attrs.create(name, data, **options)

    return change


def _hugely(name: str, on: str) -> Callable[[bytes], bytes]:
    """The size of an attribute of 77 elements as 2**40."""
    return lambda content: content.replace(struct.pack("<Q", 77), struct.pack("<Q", 2**40))


OBJECTS = h5py.string_dtype()
SPOILT_ATTRIBUTES: dict[str, tuple[Any, dict[str, Any]]] = {
    "bytes that are no text": (np.array([b"\xff\xfe"]), {}),
    "any length, bytes that are no text": (np.array([b"\xff\xfe"], object), {"dtype": OBJECTS}),
    "integers": (np.arange(3), {}),
    "references": (lambda file: np.array([file["/"].ref], h5py.ref_dtype), {}),
    "structures": (np.zeros(2, [("a", "S4"), ("b", "f4")]), {}),
    "nothing": (h5py.Empty("S4"), {}),
    "an empty list": ([], {}),
    "a single text": ("embedding/embeddings", {"dtype": OBJECTS}),
    "one name 2,000 times": ([b"embedding/embeddings"] * 2000, {}),
    "an array of 10,000 names of one byte": (np.array([b"x"] * 10_000), {}),
}
for _name, (_value, _options) in SPOILT_ATTRIBUTES.items():
    for _key, _on in (("weight_names", "embedding"), ("layer_names", "top")):
        _reads = "good" if (_name, _key) == ("a single text", "weight_names") else None
        in_weights(
            "attributes",
            f"{_key}: {_name}",
            attribute(_key, _value, _on, **_options),
            _reads,
            (HDF5, WEIGHTS),
        )
    if _name not in ("an empty list", "a single text"):
        in_weights(
            "attributes",
            f"model_config: {_name}",
            attribute("model_config", _value, "/", **_options),
            None,
            (HDF5,),
        )

NAMES = {
    "a group": "embedding",
    "nothing there": "embedding/nowhere",
    "..": "../embedding/embedding/embeddings",
    "a path from the top": "/model_weights/embedding/embedding/embeddings",
    "two strokes": "embedding//embeddings",
    "a dot": "./embedding/embeddings",
    "empty": "",
    "a path of 10,000 groups that hold themselves": "again/" * 10_000 + "embedding/embeddings",
    "escape codes": "\x1b[31m\n",
}


def _weight_name(name: str) -> Change:
    def change(file: h5py.File, layout: Layout) -> None:
        group = file[layout.layer("embedding")]
        assert isinstance(group, h5py.Group)
        group["again"] = group
        group.attrs["weight_names"] = [name.encode()]

    return change


for _label, _name in NAMES.items():
    in_weights("attributes", f"weight_names: {_label}", _weight_name(_name), None, (HDF5, WEIGHTS))


def _pieces(count: int) -> Change:
    """The names of the layers in pieces, as Keras splits long lists."""

    def change(file: h5py.File, layout: Layout) -> None:
        top = file[layout.root or "/"]
        names = list(top.attrs["layer_names"])  # type: ignore[arg-type]
        del top.attrs["layer_names"]
        for number in range(count):
            top.attrs[f"layer_names{number}"] = names[number : number + 1]

    return change


in_weights("attributes", "layer_names in 4 pieces", _pieces(4), "good", (HDF5, WEIGHTS))
in_weights("attributes", "layer_names in 1,500 pieces", _pieces(1500), "good", (HDF5, WEIGHTS))
for _key, _on in (("weight_names", "embedding"), ("layer_names", "top")):
    _patched_hdf5(
        HDF5,
        attribute(_key, np.array([b"%03d" % n for n in range(77)]), _on),
        _hugely(_key, _on),
        None,
        f"{_key}: 2**40 names declared",
    )


def _one_text_many_times(content: bytes) -> bytes:
    """All 4,000 names of any length are the same megabyte."""
    match = re.search(
        re.escape(struct.pack("<I", 2**20)) + rb".{12}" + struct.pack("<I", 1), content, re.DOTALL
    )
    assert match is not None
    start = match.start()
    return content[:start] + content[start : start + 16] * 4000 + content[start + 16 * 4000 :]


_patched_hdf5(
    HDF5,
    attribute("weight_names", np.array(["x" * 2**20, *"y" * 3999], object), dtype=OBJECTS),
    _one_text_many_times,
    None,
    "weight_names: 4,000 times the same megabyte",
)
add(
    "attributes",
    "a configuration beside a file that has its own",
    HDF5,
    lambda folder: (whole(folder, HDF5)[0], _beside(folder)),
)
add(
    "attributes", "weights without a configuration", WEIGHTS, lambda folder: (whole(folder, WEIGHTS)[0], None)
)
add(
    "attributes",
    "a configuration that is a pipe",
    WEIGHTS,
    lambda folder: (whole(folder, WEIGHTS)[0], _pipe(folder / "pipe.json")),
)


def _pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def _beside(folder: Path) -> Path:
    path = folder / "beside.json"
    path.write_bytes(text_of(good()))
    return path
