"""What a file or a folder is, by its content, and what takes it: for whoever is handed another one.

No more than the beginning of a file and the list of a zip archive's members is read, and nothing is executed.
"""

from __future__ import annotations

import io
import os
import re
import sys
import zipfile
from collections.abc import Callable, Collection, Iterable, Sequence
from enum import Enum
from pathlib import Path

from biport.errors import FileError

START = 2**16
"""Bytes of a file that are looked at."""
MAX_DIRECTORY = 2**20
"""Bytes of the list of members of an archive, of which one of Keras has a handful."""

_CLASS = "give the class that they are weights of too: biport port FILE.py:CLASS --checkpoint"


class FileKind(Enum):
    """What a file may be: in words, and what is to be done with it."""

    KERAS_ARCHIVE = (
        "a Keras archive (.keras)",
        "'biport port', 'export' and 'verify' take it, keras_side.read too",
    )
    HDF5 = "an HDF5 file", "of those, Keras models (.h5) are taken by 'biport port', 'export' and 'verify'"
    ONNX = "an ONNX graph", "biport writes these and runs them ('biport run', 'verify', export.Session)"
    BUNDLE = "a bundle", "'biport port', 'export' and 'verify' take it, bundle.read too"
    TORCH_FOLDER = (
        "a folder of plain PyTorch, written by biport",
        "'biport port', 'export' and 'verify' take it, torch_side.read_folder too",
    )
    RUN = "the folder of a training run", "'biport port', 'export', 'run' and 'verify' take it"
    BUNDLE_PART = "a part of a bundle", "give the folder that it is in"
    VOCABULARY = "a vocabulary of biport", "'biport export --vocabulary' takes it, Vocabulary.load too"
    KERAS_CONFIG = (
        "the configuration of a Keras model, without weights",
        "it goes beside a file of weights, as the config of that",
    )
    TORCH = "a PyTorch checkpoint (torch.save), weights without a model", _CLASS
    TORCHSCRIPT = (
        "a TorchScript module, which is code",
        "no command takes it: give torch_side.read the live module, or its class and a checkpoint to "
        "biport port FILE.py:CLASS --checkpoint",
    )
    EXPORTED = (
        "a program of torch.export (.pt2)",
        "'biport port', 'export' and 'verify' take it, torch_side.read too",
    )
    COMPILED = (
        "a program of torch that was compiled, which is code",
        "no command takes it: save the exported program itself with torch.export.save",
    )
    SAFETENSORS = "weights alone (safetensors), without a model", _CLASS
    HUB = (
        "a model of the Hugging Face hub",
        "no command takes the folder: biport port FILE.py:FUNCTION, where the function makes its module",
    )
    TOKENIZER = (
        "a tokenizer of the Hugging Face hub",
        "'biport export --vocabulary' takes one of word level",
    )
    SAVED_MODEL = (
        "a SavedModel, a graph of TensorFlow",
        "no command takes it: load it with the Keras that wrote it and save it as one file, "
        "tf_keras.models.load_model(folder).save('model.h5')",
    )
    CHECKPOINT = (
        "a checkpoint of TensorFlow, weights without a model",
        "no command takes it: load it into its Keras model and save that as one file",
    )
    TFLITE = "a TFLite model", "no command takes it: give the Keras model that it was converted from"
    GGUF = "a GGUF file of llama.cpp", "no command takes it"
    PICKLE = "a pickle, which can run anything and is never loaded", "no command takes it"
    ARRAYS = "arrays of NumPy", "'biport run' and 'verify' take them as inputs of a model"
    LFS = "a Git LFS pointer in place of the file itself", "fetch that with 'git lfs pull'"
    WEB_PAGE = "a web page, as a download that failed leaves", "fetch the file itself"
    COMPRESSED = "a compressed file or an archive of files", "unpack it first"
    ZIP = "a zip archive, though none of Keras", "unpack it first"
    DAMAGED_ZIP = "a zip archive that is truncated or damaged", "fetch or write it again"
    JSON = "JSON, though nothing that biport knows", "no command takes it"
    TEXT = (
        "a text file",
        "'biport run' takes texts as its input; a .keras file is a zip archive, an .h5 is HDF5",
    )
    EMPTY = "an empty file", "no command takes it"
    FOLDER = "a folder of other files", "no command takes it"
    UNKNOWN = "something that biport does not know", "a .keras file is a zip archive, an .h5 file is HDF5"

    def __init__(self, what: str, advice: str) -> None:
        self.what = what
        self.advice = advice


def file_kind(path: str | os.PathLike[str]) -> FileKind:
    """What is at a path, which is there.

    Raises:
        OSError: it cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "model.bin"
        ...     _ = path.write_bytes(bytes([28, 0, 0, 0]) + b"TFL3" + bytes(20))
        ...     print(file_kind(path).what)
        a TFLite model
    """
    path = Path(path)
    if path.is_dir():
        return _folder(path, {entry.name for entry in path.iterdir()})
    with path.open("rb") as file:
        start = file.read(START)
    size = path.stat().st_size
    # These begin with the length of their header, which may be what other kinds begin with.
    if start.startswith(b"PK") and not _is_safetensors(start, size):
        return _archive(path)
    kind = next((kind for kind, matches in _STARTS if matches(start, size)), FileKind.UNKNOWN)
    in_bundle = kind is FileKind.SAFETENSORS and (path.parent / "graph.json").exists()
    return FileKind.BUNDLE_PART if in_bundle else kind


def foreign(path: str | os.PathLike[str], wanted: str) -> FileError:
    """The error for something else than what a reader takes: what it is, and what takes it.

    Args:
        path: what the reader was given.
        wanted: what it takes: ``"a bundle"``.
    """
    path = Path(path)
    if not path.exists():
        return FileError(f"{path}: no such file or folder")
    if not (path.is_file() or path.is_dir()):
        return FileError(f"{path}: is not a file")
    try:
        kind = file_kind(path)
    except OSError as error:
        return FileError(f"{path}: cannot be read ({error.strerror})")
    return FileError(f"{path}: is not {wanted} but {kind.what}; {kind.advice}")


def _folder(path: Path, names: Collection[str]) -> FileKind:
    if "graph.json" in names:
        return FileKind.BUNDLE
    if {"model.py", "config.json"} <= set(names) and _is_own_config(path / "config.json"):
        return FileKind.TORCH_FOLDER
    if not {"saved_model.pb", "keras_metadata.pb"}.isdisjoint(names):
        return FileKind.SAVED_MODEL
    if {"recipe.json", "model"} <= set(names):
        return FileKind.RUN
    weights = [name for name in names if name.endswith((".safetensors", ".bin", ".gguf"))]
    if "config.json" in names and (weights or "tokenizer.json" in names):
        return FileKind.HUB
    if "checkpoint" in names or any(name.endswith(".index") for name in names):
        return FileKind.CHECKPOINT
    return FileKind.FOLDER


def _is_own_config(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return re.search(rb'"model_type"\s*:\s*"biport"', file.read(START)) is not None
    except OSError:
        return False


class BoundedFile(io.BufferedReader):
    """A file of which no more than ``bound`` bytes are read at once.

    Args:
        path: the file, or what errors call it.
        data: what it holds, where it is in memory.

    Raises:
        FileError: more are asked for, as a list of members does that says it is longer.
    """

    bound = MAX_DIRECTORY

    def __init__(self, path: Path | str, data: bytes | None = None) -> None:
        super().__init__(io.FileIO(path) if data is None else io.BytesIO(data))
        self.path = path

    def read(self, size: int | None = -1, /) -> bytes:
        """So many bytes, no more than the bound."""
        if size is not None and size > self.bound:
            raise FileError(f"{self.path}: declares a list of members of {size} bytes")
        return super().read(size)

    def unbounded(self) -> None:
        """Take the bound away, once the list is read."""
        self.bound = sys.maxsize


def _archive(path: Path) -> FileKind:
    """What a zip archive is, by the names of its members."""
    try:
        with BoundedFile(path) as file, zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (FileError, ValueError, OSError, zipfile.BadZipFile, NotImplementedError):
        return FileKind.DAMAGED_ZIP
    inner = {name.partition("/")[2] or name for name in names}
    if not {"config.json", "metadata.json", "model.weights.h5"}.isdisjoint(names):
        return FileKind.KERAS_ARCHIVE
    if not {"serialized_exported_program.json", "models/model.json"}.isdisjoint(inner | set(names)):
        return FileKind.EXPORTED
    if "archive_format" in inner or any("data/aotinductor/" in name for name in names):
        return FileKind.COMPILED
    if "constants.pkl" in inner or any(name.startswith("code/") for name in inner):
        return FileKind.TORCHSCRIPT
    if "data.pkl" in inner:
        return FileKind.TORCH
    if names and all(name.endswith(".npy") for name in names):
        return FileKind.ARRAYS
    return FileKind.ZIP


def _is_safetensors(start: bytes, size: int) -> bool:
    return len(start) > 8 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= size - 8


def _fields(start: bytes) -> Iterable[tuple[int, int]]:
    """The fields of a protobuf message, by number and wire type, as far as ``start`` has them."""
    position = 0
    while position < len(start):
        tag, position = _varint(start, position)
        yield tag >> 3, tag & 7
        if tag & 7 == 0:
            _, position = _varint(start, position)
        elif tag & 7 == 2:
            length, position = _varint(start, position)
            position += length
        else:
            position += {1: 8, 5: 4}.get(tag & 7, len(start))


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(data) and shift < 64:
        byte = data[position]
        value |= (byte & 127) << shift
        position, shift = position + 1, shift + 7
        if not byte & 128:
            return value, position
    return 0, len(data)


_ONNX_FIELDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
"""ModelProto of onnx.proto: numbers of fields and their wire types."""


def _is_onnx(start: bytes, size: int) -> bool:
    fields = list(_fields(start))[:20]
    numbers = [number for number, _ in fields]
    known = all(_ONNX_FIELDS.get(number) == wire for number, wire in fields)
    return known and numbers[:1] == [1] and 7 in numbers


def _is_saved_model(start: bytes, size: int) -> bool:
    return start[:2] == b"\x08\x01" and start[2:3] == b"\x12"


def _is_text(start: bytes, size: int) -> bool:
    try:
        text = start.decode() if len(start) == size else start[: -4 or None].decode(errors="ignore")
    except UnicodeDecodeError:
        return False
    odd = sum(not char.isprintable() and not char.isspace() for char in text[:4096])
    return bool(text) and odd == 0


def _json_keys(start: bytes) -> set[str]:
    """The keys of the outermost mapping of JSON, as far as ``start`` has them."""
    keys: set[str] = set()
    depth = 0
    for match in re.finditer(rb'"((?:[^"\\]|\\.)*)"(\s*:)?|[\[\]{}]', start):
        token = match[0][:1]
        if token in b"[{":
            depth += 1
        elif token in b"]}":
            depth -= 1
        elif depth == 1 and match[2] is not None:
            keys.add(match[1].decode(errors="replace"))
    return keys


def _json(*needed: str, text: bytes = b"") -> Callable[[bytes, int], bool]:
    """Whether it is JSON whose outermost mapping has all these keys."""

    def matches(start: bytes, size: int) -> bool:
        if start.lstrip()[:1] not in (b"{", b"[") or not _is_text(start, size):
            return False
        return text in start and set(needed) <= _json_keys(start)

    return matches


def _begins(*beginnings: bytes, at: int = 0) -> Callable[[bytes, int], bool]:
    return lambda start, size: start[at:].lower().startswith(beginnings)


_STARTS: Sequence[tuple[FileKind, Callable[[bytes, int], bool]]] = (
    (FileKind.EMPTY, lambda start, size: not size),
    (FileKind.SAFETENSORS, _is_safetensors),
    (FileKind.HDF5, _begins(b"\x89hdf\r\n\x1a\n")),
    (FileKind.TFLITE, _begins(b"tfl3", at=4)),
    (FileKind.GGUF, _begins(b"gguf")),
    (FileKind.ARRAYS, _begins(b"\x93numpy")),
    (FileKind.COMPRESSED, _begins(b"\x1f\x8b", b"bzh", b"\xfd7zxz", b"7z\xbc\xaf\x27\x1c", b"rar!")),
    (FileKind.COMPRESSED, _begins(b"ustar", at=257)),
    (FileKind.TORCH, _begins(b"\x80\x02\x8a\nl\xfc\x9cf\xf9 j\xa8p\x19.")),
    (FileKind.PICKLE, lambda start, size: start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05"),
    (FileKind.BUNDLE_PART, _json("format", "nodes", "digest")),
    (FileKind.VOCABULARY, _json("format", text=b"biport-vocabulary-")),
    (FileKind.KERAS_CONFIG, _json("class_name", "config")),
    (FileKind.TOKENIZER, _json("added_tokens")),
    (FileKind.TOKENIZER, _json("tokenizer_class")),
    (FileKind.HUB, _json("model_type")),
    (FileKind.HUB, _json("architectures")),
    (FileKind.JSON, _json()),
    (FileKind.LFS, _begins(b"version https://git-lfs")),
    (FileKind.WEB_PAGE, lambda start, size: start.lstrip()[:9].lower() in (b"<!doctype", b"<html>")),
    (FileKind.TEXT, _is_text),
    (FileKind.SAVED_MODEL, _is_saved_model),
    (FileKind.ONNX, _is_onnx),
)
"""By what comes first in the file; the first that matches."""
