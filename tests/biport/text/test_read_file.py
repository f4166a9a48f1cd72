"""Files of tokenisers; `tests/sides/test_tokenizer_files.py` compares them with those that wrote them."""

from __future__ import annotations

import collections
import dataclasses
import json
import pickle
import sys
import types
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from biport.data import Vocabulary
from biport.errors import BiportError, FileError, InputError, UnsupportedError
from biport.text import Tokenizer, read_tokenizer
from biport.text.inputs import to_data

TEXT = "Good, bad  so-so!\u00a0GOOD"
PLAIN: dict[str, Any] = {"standardize": "lower", "split": "whitespace"}
KERAS: dict[str, Any] = {
    "num_words": 4,
    "filters": ",!",
    "lower": True,
    "split": " ",
    "char_level": False,
    "oov_token": "<OOV>",
    "document_count": 2,
    "word_counts": '{"good": 2}',
    "word_index": json.dumps({"<OOV>": 1, "good": 2, "bad": 3, "so-so": 4}),
}
WORD_LEVEL: dict[str, Any] = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [],
    "normalizer": {"type": "Lowercase"},
    "pre_tokenizer": {"type": "Whitespace"},
    "post_processor": None,
    "decoder": None,
    "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "[PAD]": 3, "good": 1}, "unk_token": "[UNK]"},
}


def saved(folder: Path, content: Any, name: str = "t.json") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def pickled(state: dict[str, Any], module: str, protocol: int) -> bytes:
    """A pickle of an object of a class of that module, which is not there when it is read."""
    parts = module.split(".")
    names = [".".join(parts[: count + 1]) for count in range(len(parts))]
    fakes: dict[str, Any] = {name: types.ModuleType(name) for name in names}
    one: Any = type("Tokenizer", (), {"__module__": module})()
    fakes[module].Tokenizer = type(one)
    vars(one).update(state)
    # With the package itself in its place, pickle imports nothing when it looks for the class.
    with mock.patch.dict(sys.modules, fakes):
        return pickle.dumps(one, protocol)


def test_what_biport_writes(tmp_path: Path) -> None:
    vocabulary = Vocabulary.fit(["good good bad"])
    vocabulary.save(tmp_path / "v.json")
    assert read_tokenizer(tmp_path / "v.json") == vocabulary.tokenizer()
    assert read_tokenizer(tmp_path / "v.json").encode("Good <pad>!") == vocabulary.encode("Good <pad>!")
    one = Tokenizer(("a", "b"), split="separator", separator=",", padding="pre", start=0, ids=(7, 9))
    assert read_tokenizer(saved(tmp_path, one.to_data())) == one
    assert read_tokenizer(saved(tmp_path, to_data({"ids": one}))) == one
    with pytest.raises(FileError, match="expected one"):
        read_tokenizer(saved(tmp_path, to_data({"ids": one, "more": one})))
    older = {name: value for name, value in Tokenizer(("a",)).to_data().items() if name != "padding"}
    assert read_tokenizer(saved(tmp_path, older)) == Tokenizer(("a",))


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("unit", ["word", "character"])
def test_a_vocabulary_and_its_tokenizer_give_the_same_ids(unit: Any, ends: bool) -> None:
    vocabulary = Vocabulary.fit(["Good, bad", "don\u2019t \u00c9"], unit=unit, ends=ends)
    for text in ("", TEXT, "DON'T e\u0301 <unk> x", " \n"):
        assert vocabulary.tokenizer().encode(text) == vocabulary.encode(text)
    assert vocabulary.tokenizer("review").source == "review"


def test_of_keras(tmp_path: Path) -> None:
    # "so-so" is the fourth word, beyond num_words; the no-break space divides nothing.
    wanted = [2, 3, 1, 1]
    whole = {"class_name": "Tokenizer", "config": KERAS}
    for content in (whole, json.dumps(whole), json.dumps(json.dumps(whole)), KERAS):
        tokenizer = read_tokenizer(saved(tmp_path, content))
        assert tokenizer.encode(TEXT) == wanted
        assert (tokenizer.padding, tokenizer.truncating) == ("pre", "pre")
    dropped = {**KERAS, "oov_token": None}
    assert read_tokenizer(saved(tmp_path, dropped)).encode(TEXT) == [2, 3]
    assert read_tokenizer(saved(tmp_path, {**dropped, "num_words": None})).encode("so-so x") == [4]
    letters = {**KERAS, "char_level": True, "word_index": {"<OOV>": 1, "g": 2, "o": 3}}
    assert read_tokenizer(saved(tmp_path, letters)).encode("Goo!") == [2, 3, 3, 1]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("module", ["keras_preprocessing.text", "keras.src.legacy.preprocessing.text"])
def test_of_a_pickle_that_is_not_run(module: str, protocol: int, tmp_path: Path) -> None:
    state = {name: value for name, value in KERAS.items() if name != "word_index"}
    index = collections.OrderedDict({"<OOV>": 1, "good": 2, "bad": 3, "so-so": 4})
    counts = collections.defaultdict(int, {"good": 2})
    state |= {"word_index": index, "word_docs": counts, "index_word": {1: "<OOV>"}, "analyzer": None}
    path = saved(tmp_path, pickled(state, module, protocol), "t.pickle")
    assert read_tokenizer(path) == read_tokenizer(saved(tmp_path, KERAS))
    with pytest.raises(FileError, match=r"names 'os\.nowhere', 'Tokenizer'"):
        read_tokenizer(saved(tmp_path, pickled(state, "os.nowhere", protocol), "t.pickle"))
    for plain in ({"<pad>": 0, "good": 2}, ["<pad>", "bad", "good"]):
        read = read_tokenizer(saved(tmp_path, pickle.dumps(plain, protocol), "t.pickle"), **PLAIN)
        assert read.encode("good") == [2]


class _Runs:
    def __reduce__(self) -> Any:
        return print, ("this was run",)


def test_pickles_of_anything_else_are_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    hostile = [_Runs(), {"word_index": _Runs()}, print, {("a",): 1}, {"a": {1.5}}]
    for content in [*map(pickle.dumps, hostile), b"\x80\x04K\x01.", b"\x80\x02}(X\x01\x00\x00\x00aK\x01u"]:
        with pytest.raises(BiportError):
            read_tokenizer(saved(tmp_path, content, "t.pickle"))
    assert capfd.readouterr().out == ""


def test_of_text_vectorization(tmp_path: Path) -> None:
    tokens = ["", "[UNK]", "good", "bad"]
    lines = saved(tmp_path, "\n".join(tokens).encode(), "vocabulary.txt")
    for path in (lines, saved(tmp_path, tokens)):
        assert read_tokenizer(path) == Tokenizer(("good", "bad"))
    assert read_tokenizer(lines, standardize="none").encode("Good good") == [1, 2]


def test_of_tokens_alone(tmp_path: Path) -> None:
    tokens = ["<unk>", "<pad>", "good", "bad"]
    stoi = {token: number for number, token in enumerate(tokens)}
    contents: list[Any] = [tokens, stoi, {"itos": tokens, "stoi": stoi}, dict(enumerate(tokens))]
    for content in contents:
        read = read_tokenizer(saved(tmp_path, content), **PLAIN)
        assert read.encode_batch(["GOOD x", ""]).tolist() == [[2, 0], [1, 1]]
    for ending in ("\n", "\r\n", ""):
        path = saved(tmp_path, "\n".join(tokens).encode() + ending.encode(), "vocab.txt")
        assert read_tokenizer(path, **PLAIN) == read_tokenizer(saved(tmp_path, tokens), **PLAIN)
    gaps = read_tokenizer(saved(tmp_path, {"<pad>": 0, "b": 7, "a": 5}), **PLAIN)
    assert (gaps.encode("a b"), gaps.largest_id, gaps.refuses) == ([5, 7], 7, True)
    with pytest.raises(InputError, match="'x' is not in the vocabulary"):
        gaps.encode("a x")
    path = saved(tmp_path, {"good": 0, "bad": 1})
    with pytest.raises(InputError, match="padding_id"):
        read_tokenizer(path, **PLAIN)
    assert read_tokenizer(path, **PLAIN, padding_id=2).padding_id == 2
    with pytest.raises(InputError, match=r"standardize=.*lower.*split=.*whitespace"):
        read_tokenizer(path)


def test_of_word_level(tmp_path: Path) -> None:
    read = read_tokenizer(saved(tmp_path, WORD_LEVEL))
    assert read.encode_batch(["Good_x GOOD", ""]).tolist() == [[0, 1], [3, 3]]
    padding = {"strategy": {"Fixed": 4}, "direction": "Left", "pad_id": 3}
    cut = {"direction": "Left", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    fixed = read_tokenizer(saved(tmp_path, {**WORD_LEVEL, "padding": padding, "truncation": cut}))
    assert fixed.encode_batch(["good x y z good"]).tolist() == [[3, 0, 0, 1]]
    with pytest.raises(UnsupportedError, match=r"Fixed 4.* not cut"):
        read_tokenizer(saved(tmp_path, {**WORD_LEVEL, "padding": padding}))


@pytest.mark.parametrize(
    "content, message",
    [
        ({**KERAS, "oov_token": "x"}, "'x' is not in the word_index"),
        ({**KERAS, "oov_token": True}, "oov_token=True"),
        ({**KERAS, "split": ""}, "split=''"),
        ({**KERAS, "analyzer": "f"}, "analyzer='f'"),
        ({**KERAS, "more": 1}, "more=1"),
        ({**KERAS, "word_index": "[1]"}, "words and their ids"),
        ({**KERAS, "word_index": "{"}, "not JSON"),
        ({**WORD_LEVEL, "model": {"type": "BPE"}}, "type='BPE'"),
        ({**WORD_LEVEL, "normalizer": {"type": "Replace"}}, "normalizer='Replace'"),
        ({**WORD_LEVEL, "pre_tokenizer": {"type": "ByteLevel"}}, "pre_tokenizer='ByteLevel'"),
        ({**WORD_LEVEL, "pre_tokenizer": None}, "pre_tokenizer=None"),
        ({**WORD_LEVEL, "post_processor": {"type": "BertProcessing"}}, "post_processor='BertProcessing'"),
        ({**WORD_LEVEL, "padding": {"pad_to_multiple_of": 8}}, "pad_to_multiple_of=8"),
        ({**WORD_LEVEL, "added_tokens": [{"id": 9, "content": "good"}]}, "good=9"),
        ({**WORD_LEVEL, "added_tokens": [{"id": 1, "content": "good", "lstrip": True}]}, "lstrip=True"),
        ({**WORD_LEVEL, "truncation": {"max_length": {}}}, "max_length should be a whole number"),
        ({**WORD_LEVEL, "post_processor": {"type": "TemplateProcessing", "single": 7}}, "does not describe"),
        ({**WORD_LEVEL, "pre_tokenizer": {"type": {}}}, "does not describe a tokenizer"),
        (["<pad>", "a", "a"], "'a' is there more than once"),
        (["<pad>", 1], "a list of tokens"),
        (["<pad>", "a", "##b"], "pieces of words"),
        ({"a": "b"}, "no tokenizer that biport knows"),
        ("abc", "not JSON"),
        (3, "no tokenizer"),
    ],
)
def test_what_is_refused(content: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(BiportError, match=message):
        read_tokenizer(saved(tmp_path, content))


@pytest.mark.parametrize(
    "data, name", [(b"a\tb\n", "v.txt"), (b"a\n\nb", "v.txt"), (b"\xff", "v.txt"), (b"PK\x03\x04", "v.json")]
)
def test_files_of_something_else(data: bytes, name: str, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=name):
        read_tokenizer(saved(tmp_path, data, name), **PLAIN)
    with pytest.raises(FileError):
        read_tokenizer(tmp_path)
    with pytest.raises(FileError, match="cannot be read"):
        read_tokenizer(tmp_path / "nowhere.json")


def test_rows_are_cut_and_padded_at_either_end() -> None:
    rows = [["a"], ["a", "b", "c"]]
    tokenizer = Tokenizer(("a", "b", "c"), first_id=1, mask_token=None, length=2)
    texts = [" ".join(row) for row in rows]
    for padding, truncating, wanted in (
        ("post", "post", [[1, 0], [1, 2]]),
        ("post", "pre", [[1, 0], [2, 3]]),
        ("pre", "post", [[0, 1], [1, 2]]),
        ("pre", "pre", [[0, 1], [2, 3]]),
    ):
        own = dataclasses.replace(tokenizer, padding=padding, truncating=truncating)
        assert own.encode_batch(texts).tolist() == wanted
    ends = dataclasses.replace(tokenizer, length=None, max_length=3, start=8, end=9)
    assert ends.encode_batch(texts).tolist() == [[8, 1, 9], [8, 1, 9]]
    with pytest.raises(InputError, match="no room for the 2 ids"):
        dataclasses.replace(ends, max_length=1)
