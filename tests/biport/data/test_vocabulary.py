"""Text to ids and back, and the file in between."""

from __future__ import annotations

import json
import os
import stat
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biport.data.vocabulary import PAD_ID, UNK_ID, Side, Vocabulary, tokenize
from biport.errors import FileError, InputError

TEXTS = ["the plot was not dull", "the acting was superb", "dull, dull, dull!"]
VOCABULARY = Vocabulary.fit(TEXTS)


@pytest.mark.parametrize(
    "text, tokens",
    [
        ("", []),
        (" \t\n", []),
        ("The PLOT", ["the", "plot"]),
        ("don't, won\u2019t!", ["don't", ",", "won't", "!"]),
        ("'rock 'n' roll'", ["'", "rock", "'", "n", "'", "roll", "'"]),
        ("so-so...", ["so", "-", "so", ".", ".", "."]),
        ("3.5 of 5", ["3", ".", "5", "of", "5"]),
        ("cafe\u0301 CAF\u00c9", ["caf\u00e9", "caf\u00e9"]),
        ("<pad> <unk>", ["<", "pad", ">", "<", "unk", ">"]),
    ],
)
def test_tokenize(text: str, tokens: list[str]) -> None:
    assert tokenize(text) == tokens


@given(st.text())
def test_tokens_split_into_themselves_and_lose_nothing_but_space(text: str) -> None:
    tokens = tokenize(text)
    assert tokenize(" ".join(tokens)) == tokens
    assert all(token and not any(character.isspace() for character in token) for token in tokens)
    plain = unicodedata.normalize("NFC", text.lower()).replace("\u2019", "'")
    assert "".join(tokens) == "".join(plain.split())


def test_fit_ranks_by_count_then_by_alphabet() -> None:
    assert VOCABULARY.tokens == (
        *("<pad>", "<unk>", "dull", ",", "the", "was"),
        *("!", "acting", "not", "plot", "superb"),
    )
    assert Vocabulary.fit(reversed(TEXTS)) == VOCABULARY
    assert len(VOCABULARY) == 11


def test_fit_keeps_max_size_tokens_the_special_ones_counted() -> None:
    assert Vocabulary.fit(TEXTS, max_size=4).tokens == ("<pad>", "<unk>", "dull", ",")
    assert Vocabulary.fit(TEXTS, max_size=2).tokens == ("<pad>", "<unk>")
    assert Vocabulary.fit(TEXTS, max_size=99) == VOCABULARY
    assert Vocabulary.fit([]).tokens == ("<pad>", "<unk>")


def test_one_text_is_not_taken_for_several() -> None:
    with pytest.raises(InputError, match="several texts"):
        Vocabulary.fit("the plot")
    with pytest.raises(InputError, match="several texts"):
        VOCABULARY.encode_batch("the plot")


def test_encode_names_unknown_tokens_1() -> None:
    assert VOCABULARY.encode("The plot stank!") == [4, 9, UNK_ID, 6]
    assert VOCABULARY.encode("<pad>") == [UNK_ID, UNK_ID, UNK_ID]
    assert VOCABULARY.decode([4, 9, UNK_ID, 6, PAD_ID]) == "the plot <unk> !"


@pytest.mark.parametrize(
    "padding, truncating, rows",
    [
        ("right", "right", [[4, 9, 5], [2, 0, 0], [0, 0, 0]]),
        ("left", "right", [[4, 9, 5], [0, 0, 2], [0, 0, 0]]),
        ("right", "left", [[5, 8, 2], [2, 0, 0], [0, 0, 0]]),
        ("left", "left", [[5, 8, 2], [0, 0, 2], [0, 0, 0]]),
    ],
)
def test_encode_batch_pads_and_truncates(padding: Side, truncating: Side, rows: list[list[int]]) -> None:
    batch = VOCABULARY.encode_batch(
        ["the plot was not dull", "dull", ""], length=3, padding=padding, truncating=truncating
    )
    assert batch.dtype == np.int32
    assert batch.tolist() == rows


@pytest.mark.parametrize(
    "texts, shape", [([], (0, 1)), ([""], (1, 1)), (["", " "], (2, 1)), (["dull dull", "dull"], (2, 2))]
)
def test_the_longest_text_sets_the_length(texts: list[str], shape: tuple[int, int]) -> None:
    assert VOCABULARY.encode_batch(texts).shape == shape


@pytest.mark.parametrize(
    "setting", [{"length": 0}, {"length": -1}, {"padding": "pre"}, {"truncating": "post"}]
)
def test_encode_batch_refuses_settings(setting: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(setting))):
        VOCABULARY.encode_batch(TEXTS, **setting)


@pytest.mark.parametrize("number", [-1, 11])
def test_decode_refuses_ids_outside(number: int) -> None:
    with pytest.raises(InputError, match=f"id {number} "):
        VOCABULARY.decode([2, number])


@given(st.lists(st.text()), st.sampled_from(["left", "right"]))
def test_known_texts_come_back(texts: list[str], padding: Side) -> None:
    vocabulary = Vocabulary.fit(texts)
    batch = vocabulary.encode_batch(texts, padding=padding)
    assert [vocabulary.decode(row).split(" ") for row in batch] == [tokenize(text) or [""] for text in texts]


@given(
    st.lists(st.text(alphabet="ab ,'", max_size=12)),
    st.integers(1, 8),
    st.sampled_from(["left", "right"]),
    st.sampled_from(["left", "right"]),
)
def test_rows_have_the_ids_in_order_and_padding_on_one_side(
    texts: list[str], length: int, padding: Side, truncating: Side
) -> None:
    vocabulary = Vocabulary.fit(["a b , ' aa"])
    batch = vocabulary.encode_batch(texts, length, padding, truncating)
    assert batch.shape == (len(texts), length)
    for text, row in zip(texts, batch.tolist(), strict=True):
        ids = vocabulary.encode(text)
        kept = ids[:length] if truncating == "right" else ids[max(0, len(ids) - length) :]
        gap = [PAD_ID] * (length - len(kept))
        assert row == (kept + gap if padding == "right" else gap + kept)


@pytest.mark.parametrize(
    "tokens, reason",
    [
        ((), "first two tokens"),
        (("<unk>", "<pad>"), "first two tokens"),
        (("<pad>", "a", "<unk>"), "first two tokens"),
        (("<pad>", "<unk>", "a", "a"), "'a' is there more than once"),
        (("<pad>", "<unk>", "<unk>"), "'<unk>' is there more than once"),
        (("<pad>", "<unk>", 3), "token 2 is 3, not text"),
        (["<pad>", "<unk>"], "tokens is a list"),
    ],
)
def test_a_vocabulary_has_different_tokens_after_the_special_ones(tokens: Any, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        Vocabulary(tokens)


@given(st.lists(st.text()))
def test_saving_and_loading_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    path = tmp_path_factory.mktemp("vocabulary") / "vocabulary.json"
    vocabulary = Vocabulary.fit(texts)
    vocabulary.save(path)
    assert Vocabulary.load(path) == vocabulary


def test_saving_replaces_the_file_with_ordinary_rights(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.json"
    plain = tmp_path / "plain"
    plain.touch()
    path.write_text("old")
    VOCABULARY.save(str(path))
    assert Vocabulary.load(str(path)) == VOCABULARY
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    assert sorted(tmp_path.iterdir()) == [plain, path]


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        assert Path(source).parent.parent == Path(target).parent
        raise PermissionError("no")

    path = tmp_path / "vocabulary.json"
    path.write_text("old")
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(FileError, match="cannot be written: no"):
        VOCABULARY.save(path)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("vocabulary.json", "old")]


def _file(tokens: object) -> bytes:
    return json.dumps({"format": "biport-vocabulary-1", "tokens": tokens}).encode()


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "not JSON"),
        (b'{"format": "biport-voc', "not JSON"),
        (b"\xff\x00\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"3", "not a vocabulary file"),
        (b'["<pad>", "<unk>"]', "not a vocabulary file"),
        (b'{"tokens": ["<pad>", "<unk>"]}', "not a vocabulary file"),
        (_file("<pad>"), "tokens is not a list"),
        (_file(None), "tokens is not a list"),
        (_file(["<pad>", "<unk>", 7]), "token 2 is 7, not text"),
        (_file(["<pad>", "<unk>", ["a"]]), "token 2 is"),
        (_file(["<pad>", "<unk>", "a", "b", "a"]), "'a' is there more than once"),
        (_file(["a", "b"]), "first two tokens"),
        (_file([]), "first two tokens"),
    ],
)
def test_load_names_the_file_and_the_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "vocabulary.json"
    path.write_bytes(content)
    with pytest.raises(FileError, match=reason) as caught:
        Vocabulary.load(path)
    assert str(path) in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_load_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"nowhere\.json: cannot be read"):
        Vocabulary.load(tmp_path / "nowhere.json")


def test_characters_are_taken_as_they_are() -> None:
    vocabulary = Vocabulary.fit(["3 May", "3rd"], unit="character")
    assert vocabulary.tokens == ("<pad>", "<unk>", "3", " ", "M", "a", "d", "r", "y")
    assert vocabulary.encode("3 may") == [2, 3, UNK_ID, 5, 8]
    assert vocabulary.decode([4, 5, 8, PAD_ID]) == "May"


def test_encoded_texts_stand_between_start_and_end() -> None:
    vocabulary = Vocabulary.fit(["ba", "b"], unit="character", ends=True)
    assert vocabulary.tokens == ("<pad>", "<unk>", "<start>", "<end>", "b", "a")
    assert vocabulary.ends
    assert not VOCABULARY.ends
    batch = vocabulary.encode_batch(["ab", ""])
    assert batch.tolist() == [[2, 5, 4, 3], [2, 3, 0, 0]]
    assert [vocabulary.decode(row) for row in batch] == ["ab", ""]
    assert vocabulary.decode([5, 3, 4, 4]) == "a"


def test_a_model_that_never_ends_is_decoded_to_the_last_id() -> None:
    vocabulary = Vocabulary.fit(["so it goes"], ends=True)
    assert vocabulary.decode(vocabulary.encode("it goes")[:-1]) == "it goes"
    # Without ends, 2 and 3 are tokens like any other.
    assert VOCABULARY.decode([2, 3]) == "dull ,"


def test_the_ends_are_counted_in_max_size() -> None:
    assert len(Vocabulary.fit(TEXTS, max_size=5, ends=True)) == 5
    with pytest.raises(InputError, match="four special tokens"):
        Vocabulary.fit(TEXTS, max_size=3, ends=True)


@given(st.lists(st.text()), st.sampled_from(["left", "right"]), st.booleans())
def test_known_characters_come_back(texts: list[str], padding: Side, ends: bool) -> None:
    vocabulary = Vocabulary.fit(texts, unit="character", ends=ends)
    batch = vocabulary.encode_batch(texts, padding=padding)
    assert [vocabulary.decode(row) for row in batch] == texts


@pytest.mark.parametrize("ends", [False, True])
def test_the_file_keeps_unit_and_ends(tmp_path: Path, ends: bool) -> None:
    vocabulary = Vocabulary.fit(TEXTS, unit="character", ends=ends)
    vocabulary.save(tmp_path / "vocabulary.json")
    assert Vocabulary.load(tmp_path / "vocabulary.json") == vocabulary


def test_an_unknown_unit_is_refused(tmp_path: Path) -> None:
    unit: Any = "byte"
    with pytest.raises(InputError, match="unit='byte'"):
        Vocabulary.fit([], unit=unit)
    path = tmp_path / "vocabulary.json"
    path.write_text('{"format": "biport-vocabulary-1", "tokens": ["<pad>", "<unk>"], "unit": ["word"]}')
    with pytest.raises(FileError, match="unit="):
        Vocabulary.load(path)
