"""Files are told by their content, whatever they are called, and each has somebody who takes it or nobody."""

from __future__ import annotations

import io
import json
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from biport import bundle
from biport.data.vocabulary import Vocabulary
from biport.errors import FileError
from biport.file_kind import FileKind, file_kind, foreign


def zipped(*names: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in names:
            archive.writestr(name, "{}")
    return data.getvalue()


def array() -> bytes:
    data = io.BytesIO()
    np.save(data, np.zeros(2))
    return data.getvalue()


def text(**values: object) -> bytes:
    return json.dumps(values).encode()


BYTES: dict[FileKind, list[bytes]] = {
    FileKind.KERAS_ARCHIVE: [zipped("metadata.json", "config.json", "model.weights.h5")],
    FileKind.DAMAGED_ZIP: [b"PK\3\4broken"],
    FileKind.HDF5: [b"\x89HDF\r\n\x1a\n" + bytes(90)],
    # ir_version 8, producer_name "pt", an empty graph, an empty opset_import
    FileKind.ONNX: [b"\x08\x08\x12\x02pt\x3a\x00\x42\x00", b"\x08\x0a\x3a\x80\x80\x80\x01" + bytes(50)],
    FileKind.TORCH: [
        zipped("a/data.pkl", "a/data/0", "a/version"),
        b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",
    ],
    FileKind.TORCHSCRIPT: [zipped("a/data.pkl", "a/code/__torch__.py", "a/constants.pkl")],
    FileKind.EXPORTED: [
        zipped("d/archive_format", "d/models/model.json"),
        zipped("serialized_exported_program.json", "version"),
    ],
    FileKind.COMPILED: [zipped("d/archive_format", "d/data/aotinductor/model/model.so")],
    FileKind.SAFETENSORS: [save({"a": np.zeros(3, "float32")})],
    FileKind.PICKLE: [pickle.dumps({"a": 1})],
    FileKind.TFLITE: [b"\x1c\0\0\0TFL3" + bytes(20)],
    FileKind.SAVED_MODEL: [b"\x08\x01\x12\xe4\x87\x01\x0a" + bytes(40)],
    FileKind.GGUF: [b"GGUF\3\0\0\0"],
    FileKind.ARRAYS: [array(), zipped("x.npy", "y.npy")],
    FileKind.COMPRESSED: [b"\x1f\x8b\x08\0", bytes(257) + b"ustar\0"],
    FileKind.ZIP: [zipped("notes.txt")],
    FileKind.TOKENIZER: [text(version="1.0", added_tokens=[{"id": 0}], model={"type": "BPE"})],
    FileKind.HUB: [text(architectures=["A"], model_type="a")],
    FileKind.KERAS_CONFIG: [text(class_name="Sequential", config={"layers": []})],
    FileKind.BUNDLE_PART: [text(format=1, digest="", nodes=[])],
    FileKind.JSON: [text(a=1), b"[1, 2]", text(inner={"class_name": 1, "config": 2})],
    FileKind.LFS: [b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"],
    FileKind.WEB_PAGE: [b"\n<!DOCTYPE html><html></html>"],
    FileKind.TEXT: ["Gr\u00f6\u00dfe\n".encode()],
    FileKind.EMPTY: [b""],
    FileKind.UNKNOWN: [bytes(range(256)), b"\x08\x08\x12\x02pt"],
}


@pytest.mark.parametrize("kind", BYTES, ids=lambda kind: kind.name)
def test_a_file_is_told_by_its_content(kind: FileKind, tmp_path: Path) -> None:
    for number, data in enumerate(BYTES[kind]):
        path = tmp_path / f"{number}.keras"
        path.write_bytes(data)
        assert file_kind(path) is kind
        message = str(foreign(path, "a bundle"))
        assert message == f"{path}: is not a bundle but {kind.what}; {kind.advice}"


FOLDERS: dict[FileKind, list[str]] = {
    FileKind.BUNDLE: ["graph.json", "model.safetensors"],
    FileKind.SAVED_MODEL: ["saved_model.pb", "variables"],
    FileKind.HUB: ["config.json", "model.safetensors"],
    FileKind.RUN: ["recipe.json", "model"],
    FileKind.CHECKPOINT: ["checkpoint", "ckpt-1.index"],
    FileKind.FOLDER: ["README.md"],
}


@pytest.mark.parametrize("kind", FOLDERS, ids=lambda kind: kind.name)
def test_a_folder_is_told_by_its_files(kind: FileKind, tmp_path: Path) -> None:
    for name in FOLDERS[kind]:
        (tmp_path / name).write_bytes(b"")
    assert file_kind(tmp_path) is kind


def test_the_weights_of_a_bundle_are_a_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "graph.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(save({"a": np.zeros(3, "float32")}))
    assert file_kind(tmp_path / "model.safetensors") is FileKind.BUNDLE_PART


@pytest.mark.parametrize("reader", [bundle.read, Vocabulary.load], ids=["bundle", "vocabulary"])
def test_a_reader_says_what_it_was_given(reader: Callable[[Path], object], tmp_path: Path) -> None:
    for kind in (FileKind.TORCH, FileKind.TOKENIZER, FileKind.ONNX):
        (tmp_path / kind.name).write_bytes(BYTES[kind][0])
        with pytest.raises(FileError, match=f"{kind.name}: is not .* but {re.escape(kind.what)}"):
            reader(tmp_path / kind.name)
    Vocabulary.fit(["a b"]).save(tmp_path / "vocabulary.json")
    assert file_kind(tmp_path / "vocabulary.json") is FileKind.VOCABULARY


def test_a_long_list_of_members_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(zipped(*(f"{number:0200}" for number in range(5000))))
    assert file_kind(path) is FileKind.DAMAGED_ZIP


@pytest.mark.parametrize("length", [0x0280, 0x0580, 0x4B50], ids=["pickle 2", "pickle 5", "zip"])
def test_weights_whose_header_is_as_long_as_other_kinds_begin(length: int, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(save({"a": np.zeros(3, "float32")}, {"padding": "x" * (length - 200)}))
    header = int.from_bytes(path.read_bytes()[:8], "little")
    path.write_bytes(save({"a": np.zeros(3, "float32")}, {"padding": "x" * (length - 200 + length - header)}))
    assert int.from_bytes(path.read_bytes()[:8], "little") == length
    assert file_kind(path) is FileKind.SAFETENSORS
