"""Words numbered as Keras numbers them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biport.data.vocabulary import tokenize, words
from biport.data.word_index import WordIndex
from biport.errors import FileError, InputError

TEXTS = ["The plot, the plot!<br />", "Don't: the acting."]


@given(st.text() | st.text("ab_'\u2019- .\u0301<"))
def test_words_are_the_tokens_that_are_no_marks(text: str) -> None:
    assert words(text) == [token for token in tokenize(text) if any(c.isalnum() or c == "_" for c in token)]


def test_ids_are_those_of_keras() -> None:
    index = WordIndex.fit(TEXTS, num_words=7)
    assert index.words == ("the", "plot", "acting", "br", "don't")
    # 1 starts, 4 is the most frequent word, 2 is any word that 7 ids have no room for.
    assert index.encode("The plot? The ACTING don't stop") == [1, 4, 5, 4, 6, 2, 2]
    assert index.encode("") == [1]
    assert index.encode_batch(["plot", "the the the the", ""], length=3).tolist() == [
        [0, 1, 5],
        [4, 4, 4],
        [0, 0, 1],
    ]
    assert index.encode_batch(["plot", ""]).tolist() == [[1, 5], [0, 1]]
    assert index.decode([0, 0, 1, 4, 2, 6, 3]) == "the ? acting"


@pytest.mark.parametrize("num_words, ids", [(4, [1, 2, 2]), (5, [1, 4, 2]), (100, [1, 4, 5])])
def test_ids_stay_below_num_words(num_words: int, ids: list[int]) -> None:
    assert WordIndex.fit(TEXTS, num_words).encode("the plot") == ids


def test_the_file_is_that_of_keras(tmp_path: Path) -> None:
    path = tmp_path / "index.json"
    index = WordIndex.fit(TEXTS, num_words=7)
    index.save(path)
    assert json.loads(path.read_text()) == {"the": 1, "plot": 2, "acting": 3, "br": 4, "don't": 5}
    assert WordIndex.load(path, 7) == index
    # Keras' own file is in no order.
    path.write_text('{"plot": 2, "the": 1}')
    assert WordIndex.load(path, 100).words == ("the", "plot")


@pytest.mark.parametrize(
    "content, reason",
    [
        ("", "not JSON"),
        ("[1]", "expected words with their ranks"),
        ('{"a": "1"}', "expected words with their ranks"),
        ('{"a": true}', "expected words with their ranks"),
        ('{"a": 1, "b": 1}', "expected the ranks from 1 to 2"),
        ('{"a": 0, "b": 1}', "expected the ranks from 1 to 2"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "index.json"
    path.write_text(content)
    with pytest.raises(FileError, match=reason) as caught:
        WordIndex.load(path, 10)
    assert str(path) in str(caught.value)


def test_refused() -> None:
    with pytest.raises(InputError, match="num_words=3"):
        WordIndex.fit(TEXTS, 3)
    with pytest.raises(InputError, match="num_words=3"):
        WordIndex(("a",), 3)
    with pytest.raises(InputError, match="repeat"):
        WordIndex(("a", "a"), 10)
    for number in (-1, 9):
        with pytest.raises(InputError, match=f"id {number} "):
            WordIndex.fit(TEXTS, 100).decode([4, number])
    for call in (lambda text: WordIndex.fit(text, 10), WordIndex.fit(TEXTS, 10).encode_batch):
        with pytest.raises(InputError, match="several texts"):
            call("the plot")
