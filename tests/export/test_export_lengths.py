"""Texts of models that see padding: cut and padded as they were when the model was trained, or said aloud."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest

import export
from biport import bundle
from biport.data import Vocabulary
from biport.errors import FileError, InputError, RowError, UnsupportedError
from biport.graph import Graph, Value
from biport.text import Tokenizer
from testing.onnx_graphs import H, I, chain, lstm

WORDS = Vocabulary(("<pad>", "<unk>", "good", "film", "not", "!", "bad"))
TEXTS = ["Good film!", "", "not good, not BAD, not good", "what?"]
FRONT = dataclasses.replace(WORDS.tokenizer(), length=5, padding="pre", truncating="pre")


def model(masked: bool) -> Graph:
    rng = np.random.default_rng(3)
    return chain(rng, lstm(rng, I, H), masked=masked)


def opened(path: Path) -> export.Session:
    return export.Session(path, device="cpu", threads=1)


@pytest.mark.parametrize("masked", [True, False])
def test_rows_are_as_they_were_in_training(masked: bool, tmp_path: Path) -> None:
    written = export.write(model(masked), tmp_path / "m.onnx", vocabulary=FRONT, vectors=False)
    assert not any("padding" in note for note in written.notes)
    session = opened(written.path)
    assert session.tokenizer == FRONT
    ids = FRONT.encode_batch(TEXTS)
    assert ids.tolist()[0] == [0, 0, 2, 3, 5]
    (wanted,) = session.run([ids.astype("int32")])
    np.testing.assert_array_equal(session.run([TEXTS])[0], wanted)
    for (output,), row in zip(session.predict(TEXTS), wanted, strict=True):
        np.testing.assert_allclose(output, row, atol=1e-6)


def test_lengths_that_nothing_says_are_spoken_of_once(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    written = export.write(model(False), path, vocabulary=WORDS, vectors=False)
    (note,) = written.notes
    assert "nothing says to how many steps" in note
    session = opened(path)
    with pytest.warns(RuntimeWarning, match="may see padding"):
        list(session.predict(TEXTS))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(session.predict(TEXTS))
        session.run([TEXTS])
        list(session.predict([[2, 3]]))
        session.tokenizer = FRONT
        session.run([TEXTS])
    assert session.tokenizer == dataclasses.replace(FRONT, source="ids")
    masked = export.write(model(True), path, vocabulary=WORDS, vectors=False, overwrite=True)
    assert not masked.notes


def test_rows_of_one_length(tmp_path: Path) -> None:
    varying = model(False)
    fixed = Graph((Value("ids", ("N", 5), "int32"),), varying.nodes, varying.outputs)
    written = export.write(fixed, tmp_path / "m.onnx", vocabulary=WORDS, vectors=False)
    assert "others than of 5 tokens are refused" in written.notes[0]
    session = opened(written.path)
    with pytest.raises(RowError, match=r"row 1, .*so none is added, found 3; of texts padding"):
        list(session.predict(TEXTS))
    session.tokenizer = FRONT
    assert len(list(session.predict(TEXTS))) == len(TEXTS)
    with pytest.raises(InputError, match="cut or padded to 6, and the model takes 5 steps"):
        session.tokenizer = dataclasses.replace(FRONT, length=6)


def test_ids_that_the_model_has_not(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    for tokenizer, message in (
        (Tokenizer(("a",), ids=(13,)), "ids up to 13 and the model ids below 13"),
        (Tokenizer(("a",), unknown_id=70), "ids up to 70"),
        (Tokenizer(("a",), end=13), "ids up to 13"),
        (Tokenizer(("a",), padding_id=13), "rows are padded with 13"),
    ):
        with pytest.raises(InputError, match=message):
            export.write(model(True), path, vocabulary=tokenizer)
    spoken = dataclasses.replace(model(True), tokenizers={"ids": FRONT})
    with pytest.raises(InputError, match="a tokeniser of its own"):
        export.write(spoken, path, vocabulary=WORDS)
    session = opened(export.write(model(True), path, vectors=False).path)
    assert session.tokenizer is None
    with pytest.raises(InputError, match="ids up to 13"):
        session.tokenizer = Tokenizer(("a",), ids=(13,))
    features = Graph((Value("x", ("N", "T", I), "float32"),), (), ("x",))
    with pytest.raises(UnsupportedError, match="one input of ids"):
        export.write(features, path, vocabulary=WORDS, overwrite=True)


def test_what_earlier_versions_wrote(tmp_path: Path) -> None:
    import json

    path = export.write(model(True), tmp_path / "m.onnx", vectors=False).path
    older = onnx.load(path)
    metadata = {entry.key: entry.value for entry in older.metadata_props}
    metadata["biport.vocabulary"] = json.dumps(WORDS.to_data())
    onnx.helper.set_model_props(older, metadata)
    onnx.save(older, path)
    assert opened(path).tokenizer == WORDS.tokenizer()
    folder = bundle.write(model(True), tmp_path / "b")
    WORDS.save(folder / "vocabulary.json")
    assert bundle.read(folder).tokenizers == {"ids": WORDS.tokenizer()}
    (folder / "vocabulary.json").write_text("{}")
    with pytest.raises(FileError, match=r"vocabulary\.json"):
        bundle.read(folder)
