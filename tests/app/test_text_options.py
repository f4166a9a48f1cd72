"""Commands over texts: tokenisers of others, and rows cut and padded as they were in training."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras.src.legacy.preprocessing.text import Tokenizer as KerasTokenizer
from keras.utils import pad_sequences
from typer.testing import CliRunner, Result

import export
import torch_side
from biport.app.cli import app

TEXTS = ["The film was GOOD!", "a bad, bad film", "", "it is what it is, and so on and on and on; bad"]


@pytest.fixture(scope="module")
def tokenizer() -> KerasTokenizer:
    one = KerasTokenizer(num_words=9, oov_token="<OOV>")
    one.fit_on_texts(TEXTS)
    return one


@pytest.fixture(scope="module")
def folder(tokenizer: KerasTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that sees padding, what made its ids, and texts."""
    folder = tmp_path_factory.mktemp("texts")
    keras.utils.set_random_seed(5)
    layers = [keras.Input((None,), dtype="int32", name="ids"), keras.layers.Embedding(9, 4)]
    layers += [keras.layers.GRU(3), keras.layers.Dense(1, "sigmoid", name="dense")]
    model = keras.Sequential(layers)
    for variable in model.trainable_variables:
        variable.assign(np.random.default_rng(0).normal(size=variable.shape))
    model.save(folder / "m.keras")
    (folder / "tokenizer.json").write_text(tokenizer.to_json())
    rows = pad_sequences(tokenizer.texts_to_sequences(TEXTS), 8)
    np.save(folder / "wanted.npy", model(rows))
    with (folder / "texts.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["text"], *([text] for text in TEXTS)])
    return folder


def biport(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def done(*arguments: object) -> Result:
    result = biport(*arguments)
    assert result.exit_code == 0, result.output
    return result


def test_a_tokenizer_of_keras_travels(folder: Path, tokenizer: KerasTokenizer, tmp_path: Path) -> None:
    told = ("--vocabulary", folder / "tokenizer.json", "--maxlen", 8, "--no-verify")
    result = done("export", folder / "m.keras", "-o", tmp_path / "m.onnx", *told)
    assert "cut or padded to 8, padded in front, cut in front" in result.output
    wanted = np.load(folder / "wanted.npy")
    (scores,) = export.Session(tmp_path / "m.onnx", device="cpu").run([TEXTS])
    np.testing.assert_allclose(scores, wanted, atol=1e-6)
    done("port", folder / "m.keras", "--to", "torch", "-o", tmp_path / "torch", *told)
    ids = torch_side.read_folder(tmp_path / "torch").tokenizers["ids"].encode_batch(TEXTS)
    np.testing.assert_array_equal(ids, pad_sequences(tokenizer.texts_to_sequences(TEXTS), 8))
    rows = json.loads(done("run", tmp_path / "torch", *TEXTS, "--json").stdout)["rows"]
    np.testing.assert_allclose([row["outputs"]["dense"] for row in rows], wanted, atol=1e-5)


def test_the_length_is_said_when_a_model_is_run(folder: Path, tmp_path: Path) -> None:
    done("export", folder / "m.keras", "-o", tmp_path / "m.onnx", "--no-verify")
    run = ("run", tmp_path / "m.onnx", TEXTS[0])
    assert "does not say how ids are made of texts" in biport(*run).stderr
    assert "no tokeniser" in biport(*run, "--maxlen", 8).stderr
    told = ("--vocabulary", folder / "tokenizer.json", "--maxlen", 8)
    (row,) = json.loads(done(*run, *told, "--json").stdout)["rows"]
    assert row["outputs"]["dense"] == pytest.approx(np.load(folder / "wanted.npy")[0], abs=1e-5)
    other = json.loads(done(*run, *told, "--padding", "post", "--json").stdout)["rows"][0]
    assert other["outputs"]["dense"] != pytest.approx(row["outputs"]["dense"], abs=1e-4)


def test_models_are_compared_over_texts(folder: Path, tmp_path: Path) -> None:
    done("export", folder / "m.keras", "-o", tmp_path / "m.onnx", "--no-verify")
    verify = ("verify", folder / "m.keras", tmp_path / "m.onnx", "--input", folder / "texts.csv")
    assert "no tokeniser" in biport(*verify).stderr
    told = ("--vocabulary", folder / "tokenizer.json", "--maxlen", 8, "--min-agreement", 1)
    assert "0 of 4 rows differ" in done(*verify, *told).output


def test_what_does_not_go_together(folder: Path, tmp_path: Path) -> None:
    export_it = ("export", folder / "m.keras", "-o", tmp_path / "m.onnx")
    (tmp_path / "vocab.txt").write_text("<pad>\n<unk>\nfilm\n")
    alone = ("--vocabulary", tmp_path / "vocab.txt")
    for arguments, message in (
        (("--maxlen", 8), "no tokeniser; say --vocabulary"),
        (("--split", "words"), "go with --vocabulary"),
        (alone, "does not say how texts become such; say --standardize"),
        (("--vocabulary", folder / "tokenizer.json", "--split", "words"), "says itself how"),
        ((*alone, "--split", "words", "--standardize", "none", "--padding-id", 9), "padded with 9"),
    ):
        result = biport(*export_it, *arguments)
        assert result.exit_code == 2, result.output
        assert message in " ".join(result.stderr.split())
    assert not (tmp_path / "m.onnx").exists()
    result = done(*export_it, *alone, "--split", "words", "--standardize", "none")
    assert "nothing says to how many steps" in " ".join(result.output.split())
