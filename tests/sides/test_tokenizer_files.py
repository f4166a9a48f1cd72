"""Files of tokenisers against those that wrote them: Keras and Hugging Face, on hostile texts."""

from __future__ import annotations

import dataclasses
import json
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras import layers
from keras.src.legacy.preprocessing.text import Tokenizer as KerasTokenizer
from keras.utils import pad_sequences

from biport.text import read_tokenizer
from biport.text.samples import ODD

ALPHABET = [
    *"abcABC'.,!-\"#$ \t\n\v\f\r\x1c\x85\u00a0\u2028\u200b\u200d\u3000\u0130\u0131\u015e\u00e9\u00c9\u00df",
    *"\u03a3\u03c3\u03c2\u0301\u4e2d<>OVo0_\u24b6\uff11\u00b2\u0488\u0903",
    *("\U0001f44d\U0001f3fd", "[PAD]", "[UNK]", "[CLS]", "[PA", "D]"),
]
"""Letters whose small form hangs on others, blanks that divide in one library alone, marks inside words."""


def text(rng: random.Random, longest: int = 40) -> str:
    return "".join(rng.choices(ALPHABET, k=rng.choice([0, 1, 3, 10, longest])))


def texts(rng: random.Random) -> list[str]:
    return [*(text(rng, 400) for _ in range(6)), *ODD]


def fitted(rng: random.Random, kind: type = KerasTokenizer) -> Any:
    """A tokeniser of Keras with settings of any kind."""
    settings: dict[str, Any] = {
        "num_words": rng.choice([None, 0, 1, 3, 10, 50]),
        "lower": rng.random() < 0.7,
        "char_level": rng.random() < 0.3,
        # A token of the texts may be the one for unknown ones too: its id is then where it comes last.
        "oov_token": rng.choice([None, "<OOV>", "a"]),
        "split": rng.choice([" ", " ", ",", ", ", "\t", "a", None]),
    }
    if rng.random() < 0.5:
        settings["filters"] = rng.choice(["", "abc", ".,", "\u0130 "])
    tokenizer = kind(**settings)
    tokenizer.fit_on_texts([text(rng) for _ in range(rng.choice([1, 5, 20]))])
    return tokenizer


def save(tokenizer: Any, path: Path, rng: random.Random) -> None:
    as_json = tokenizer.to_json()
    ways = [as_json, json.dumps(as_json), pickle.dumps(tokenizer, rng.choice([2, 3, 4, 5]))]
    content = rng.choice(ways)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def check_keras(kinds: list[type], seed: int, path: Path) -> None:
    rng = random.Random(seed)
    tokenizer = fitted(rng, rng.choice(kinds))
    save(tokenizer, path, rng)
    read = read_tokenizer(path)
    given = texts(rng)
    rows = tokenizer.texts_to_sequences(given)
    np.testing.assert_array_equal(read.encode_batch(given), pad_sequences(rows))
    ends, length, padding_id = ["pre", "post"], rng.choice([None, 1, 5, 80]), rng.choice([0, 7])
    padding, truncating = rng.choice(ends), rng.choice(ends)
    wanted = pad_sequences(rows, length, padding=padding, truncating=truncating, value=padding_id)
    layout: dict[str, Any] = {"padding": padding, "truncating": truncating, "padding_id": padding_id}
    own = dataclasses.replace(read, length=length, **layout)
    np.testing.assert_array_equal(own.encode_batch(given), wanted)


def test_of_keras(tmp_path: Path) -> None:
    for seed in range(30):
        check_keras([KerasTokenizer], seed, tmp_path / "tokenizer.json")


@pytest.mark.sweep
def test_of_keras_and_tf_keras(tmp_path: Path) -> None:
    tf_keras = pytest.importorskip("tf_keras")
    kinds = [KerasTokenizer, tf_keras.preprocessing.text.Tokenizer]
    for seed in range(1500):
        check_keras(kinds, seed, tmp_path / "tokenizer.json")


def test_of_a_text_vectorization(tmp_path: Path) -> None:
    layer = layers.TextVectorization()
    layer.adapt(["good, bad \u00c9", "Good film", "\u00e9"])
    layer.save_assets(tmp_path)
    (tmp_path / "list.json").write_text(json.dumps(layer.get_vocabulary()))
    given = ["GOOD film!", "", *ODD[2:], "never \u00c9 \u00e9"]
    for name in ("vocabulary.txt", "list.json"):
        read = read_tokenizer(tmp_path / name)
        np.testing.assert_array_equal(read.encode_batch(given), layer(np.array(given, object)))


def word_level(rng: random.Random) -> Any:
    """A tokeniser of Hugging Face's, of word level, with settings of any kind that is read."""
    tokenizers = pytest.importorskip("tokenizers")
    steps, division = tokenizers.normalizers, tokenizers.pre_tokenizers
    one = tokenizers.Tokenizer(tokenizers.models.WordLevel(unk_token="[UNK]"))
    kinds = [steps.NFC, steps.NFD, steps.NFKC, steps.NFKD, steps.Lowercase, steps.StripAccents]
    chosen = [kind() for kind in rng.choices(kinds, k=rng.choice([0, 1, 2, 3]))]
    if chosen:
        one.normalizer = chosen[0] if len(chosen) == 1 else steps.Sequence(chosen)
    one.pre_tokenizer = rng.choice([division.Whitespace, division.WhitespaceSplit])()
    special = rng.sample(["[UNK]", "[PAD]", "[CLS]", "[SEP]"], 4)
    trainer = tokenizers.trainers.WordLevelTrainer(special_tokens=special, vocab_size=rng.choice([8, 30, 99]))
    one.train_from_iterator([text(rng) for _ in range(5)], trainer)
    names = [(name, one.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    template = rng.choice([None, "[CLS] $A [SEP]", "$A [SEP]", "[CLS] $A"])
    if template:
        processor = tokenizers.processors.TemplateProcessing(single=template, special_tokens=names)
        one.post_processor = processor
    sides, most = ["left", "right"], rng.choice([None, 3, 8])
    padding = {"pad_id": one.token_to_id("[PAD]"), "pad_token": "[PAD]", "direction": rng.choice(sides)}
    if most is not None:
        one.enable_truncation(most, direction=rng.choice(sides))
    one.enable_padding(length=None if most is None else rng.choice([None, most, most + 2]), **padding)
    return one


def check_word_level(seed: int, path: Path) -> None:
    rng = random.Random(seed)
    one = word_level(rng)
    one.save(str(path))
    given = texts(rng)
    wanted = [row.ids for row in one.encode_batch(given)]
    assert read_tokenizer(path).encode_batch(given).tolist() == wanted, seed


def test_of_hugging_face(tmp_path: Path) -> None:
    for seed in range(30):
        check_word_level(seed, tmp_path / "tokenizer.json")


@pytest.mark.sweep
def test_of_hugging_face_widely(tmp_path: Path) -> None:
    for seed in range(30, 1500):
        check_word_level(seed, tmp_path / "tokenizer.json")


@pytest.mark.sweep
def test_every_character_is_of_the_kind_that_hugging_face_says() -> None:
    """But for characters that came after the Unicode of this Python."""
    import unicodedata

    from biport.text.ids import kind_of_letter

    divide = pytest.importorskip("tokenizers").pre_tokenizers.Whitespace().pre_tokenize_str
    for number in range(0x110000):
        letter = chr(number)
        if unicodedata.category(letter) not in ("Cs", "Cn"):
            parts = [part for part, _ in divide(f"a{letter}")]
            kind = {1: "word" if parts[0] == f"a{letter}" else "blank", 2: "mark"}[len(parts)]
            assert kind_of_letter(letter) == kind, hex(number)
