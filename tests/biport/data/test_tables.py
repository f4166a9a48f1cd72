"""Pairs, CSV and JSON lines: what is read, and what is refused, by file and line."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biport.data import split
from biport.data.lines import MAX_LINE_BYTES, read_lines
from biport.data.records import Pairs, Texts
from biport.data.tables import read_csv, read_jsonl, read_pairs
from biport.errors import FileError, InputError

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(
    str.strip
)
LABEL = st.sampled_from(["pos", "neg", "so-so"])


@pytest.fixture(scope="module", autouse=True)
def _own_limit() -> Iterator[None]:
    """Python has one limit of fields a process, which others may have raised."""
    before = csv.field_size_limit(2**17)
    yield
    csv.field_size_limit(before)


@pytest.fixture
def file(tmp_path: Path) -> Callable[[bytes | str], Path]:
    def make(content: bytes | str) -> Path:
        path = tmp_path / "corpus.txt"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make


@pytest.mark.parametrize(
    "content, lines",
    [
        (b"", []),
        (b"a", ["a"]),
        (b"a\nb\r\n\nc", ["a", "b", "", "c"]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb", ["a", "\ufeffb"]),
        ("a\u2028b\x0bc\rd\n", ["a\u2028b\x0bc\rd"]),
    ],
)
def test_lines_end_where_files_end_them(file: Any, content: bytes | str, lines: list[str]) -> None:
    assert list(read_lines(file(content))) == list(enumerate(lines, start=1))


@pytest.mark.parametrize(
    "content, reason",
    [
        (
            "ä\n".encode() * 2 + "ä\n".encode("latin-1"),
            "line 3: expected UTF-8 text, found byte 0xe4 at place 0",
        ),
        ("ab\n".encode("utf-16"), "line 1: .* zero byte"),
        (b"ok\nab\0c\n", "line 2: .* zero byte"),
        (b"ok\n" + b"x" * (MAX_LINE_BYTES + 1), "line 2: expected a line of text"),
        (b"ok\n" + "ä".encode()[:1], "line 2: expected UTF-8"),
    ],
)
def test_what_is_no_text_is_refused_with_its_line(file: Any, content: bytes, reason: str) -> None:
    path = file(content)
    with pytest.raises(FileError, match=reason) as caught:
        list(read_lines(path))
    assert str(path) in str(caught.value)


def test_a_line_as_long_as_allowed_is_read(file: Any) -> None:
    assert len(next(read_lines(file(b"x" * (MAX_LINE_BYTES - 1) + b"\n")))[1]) == MAX_LINE_BYTES - 1


@pytest.mark.parametrize("read", [read_pairs, read_csv, read_jsonl])
def test_missing_files_and_folders_are_named(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(FileError, match="cannot be read") as caught:
            read(path)
        assert str(path) in str(caught.value)


PAIRS = "Go on.\tWeiter.\tCC-BY 2.0 #1 (anna)\r\nGo on.\tMach weiter.\n\n She sings.\tSie singt. \n"


def test_pairs_are_read_in_order(file: Any) -> None:
    assert read_pairs(file(PAIRS)) == Pairs(
        ["Go on.", "Go on.", "She sings."],
        ["Weiter.", "Mach weiter.", "Sie singt."],
        ["CC-BY 2.0 #1 (anna)", "", ""],
    )
    assert read_pairs(file(PAIRS), limit=2).targets == ["Weiter.", "Mach weiter."]
    # What lies behind the limit is not looked at.
    assert len(read_pairs(file(PAIRS.encode() + b"\xff"), limit=3)) == 3


@pytest.mark.parametrize(
    "content, reason",
    [
        ("", "expected pairs of sentences, found none"),
        ("\n  \n", "expected pairs of sentences, found none"),
        ("a\tb\n\nalone\n", r"line 3: .* found 1 column\."),
        ("a\tb\nc\td\te\tf\n", r"line 2: .* found 4 columns\."),
        ("a\tb\nc\t \n", "line 2: expected a target, found nothing"),
        ("\tb\n", "line 1: expected a source, found nothing"),
        ("a\tb\nc\td\xff".encode("latin-1"), "line 2: expected UTF-8"),
    ],
)
def test_pairs_refused(file: Any, content: bytes | str, reason: str) -> None:
    with pytest.raises(FileError, match=reason) as caught:
        read_pairs(file(content))
    assert "corpus.txt" in str(caught.value)


def test_a_limit_is_at_least_one(file: Any) -> None:
    with pytest.raises(InputError, match="limit=0"):
        read_pairs(file(PAIRS), limit=0)


def _content(texts: Texts) -> tuple[list[str], list[int], tuple[str, ...]]:
    assert texts.labels.dtype == np.int32
    return texts.texts, texts.labels.tolist(), texts.names


def test_csv_is_read_as_spreadsheets_write_it(file: Any) -> None:
    content = '\ufeffid,review,sentiment\r\n1,"Long, and\n""dull"".",negative\r\n\r\n2,Fine, positive \r\n'
    read = read_csv(file(content))
    assert _content(read) == (['Long, and\n"dull".', "Fine"], [0, 1], ("negative", "positive"))
    assert len(read) == 2
    reviews = split(read.texts, read.labels, 0.5, seed=0)
    assert sorted(reviews.train_texts + reviews.test_texts) == sorted(read.texts)


def test_columns_and_names_are_chosen(file: Any) -> None:
    path = file("text;label;stars\nso;x;3\nlala;y;10\n")
    assert _content(read_csv(path, delimiter=";")) == (["so", "lala"], [0, 1], ("x", "y"))
    assert _content(read_csv(path, "label", "stars", delimiter=";")) == (["x", "y"], [0, 1], ("3", "10"))
    chosen = read_csv(path, delimiter=";", names=["z", "y", "x"])
    assert _content(chosen) == (["so", "lala"], [2, 1], ("z", "y", "x"))


@pytest.mark.parametrize(
    "labels, numbers, names",
    [
        (["1", "0", "1"], [1, 0, 1], ("0", "1")),
        (["10", "9", "-1"], [2, 1, 0], ("-1", "9", "10")),
        (["b", "10", "9"], [2, 0, 1], ("10", "9", "b")),
        (["spam", "ham", "spam"], [1, 0, 1], ("ham", "spam")),
    ],
)
def test_labels_are_numbered_by_size_or_alphabet(
    file: Any, labels: list[str], numbers: list[int], names: tuple[str, ...]
) -> None:
    content = "text,label\n" + "".join(f"t{n},{label}\n" for n, label in enumerate(labels))
    assert _content(read_csv(file(content))) == (["t0", "t1", "t2"], numbers, names)


@pytest.mark.parametrize(
    "content, reason",
    [
        ("", "line 1: expected a column 'text' or .*, found nothing"),
        (
            "title,label\na,b\n",
            "line 1: expected a column 'text' or .*text names another.*, found 'title', 'label'",
        ),
        (
            "text,mark\na,b\n",
            r"line 1: expected a column 'label' or .*label names another.*, found 'text', 'mark'",
        ),
        ("text,text,label\na,b,c\n", "line 1: expected one column 'text', found 2"),
        ("text,label\n", "expected texts with labels, found none"),
        ("text,label\na,x\n\nb\n", "line 4: expected the 2 fields of the first row, found 1"),
        ("text,label\na,x,y\n", "line 2: expected the 2 fields of the first row, found 3"),
        ('text,label\n"a\nb",x\n , y\n', "line 4: expected a text, found ' '"),
        ("text,label\na,x\n,\n", "line 3: expected a text, found ''"),
        ("text,label\na,\n", "line 2: expected a label, .* found ''"),
        ('text,label\na,x\n"never\nends,x\n', "line 3: expected a row of CSV"),
        ('text,label\n"a"b,x\n', "line 2: expected a row of CSV"),
        ("text,label\na\rb,x\n", "line 2: expected a row of CSV"),
        ('text,label\na,x\n"b"c\nd,"e\n",x\n', "line 3: expected a row of CSV"),
        ('text,label\na,"x\nb,"y\nc,z\n', "line 2: .* a quote that is opened .* up to line 3"),
        ('text,label\n"' + ("a" * 999_999 + "\n") * 5 + '",x\n', "line 2: .* a quote that .*limit"),
        (b"text,label\nok,x\n\xe4,x\n", "line 3: expected UTF-8"),
        ("text,label\n" + "".join(f"a,{n}\n" for n in range(1002)), "line 1002: .* at most 1000 different"),
    ],
)
def test_csv_refused(file: Any, content: bytes | str, reason: str) -> None:
    with pytest.raises(FileError, match=reason) as caught:
        read_csv(file(content))
    assert "corpus.txt" in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("read", [read_csv, read_jsonl])
def test_a_label_of_no_name_is_refused(file: Any, read: Callable[..., Texts]) -> None:
    content = {
        read_csv: "text,label\na,neg\nb,positiv\n",
        read_jsonl: '{"text": "a", "label": "neg"}\n\n{"text": "b", "label": "positiv"}\n',
    }[read]
    with pytest.raises(FileError, match=r"line 3: expected a label of \['neg', 'pos'\], found 'positiv'"):
        read(file(content), names=("neg", "pos"))
    with pytest.raises(InputError, match="all different"):
        read(file(content), names=("neg", "neg"))
    with pytest.raises(InputError, match="several texts"):
        read(file(content), names="neg")


@pytest.mark.parametrize("delimiter", ["", ";;", '"', "\n"])
def test_a_delimiter_is_one_character(file: Any, delimiter: str) -> None:
    with pytest.raises(InputError, match="delimiter="):
        read_csv(file("text,label\na,x\n"), delimiter=delimiter)


def test_json_lines_are_read(file: Any) -> None:
    rows = [
        {"text": "so\nso", "label": 10},
        {"label": 9, "more": [1], "text": "\u2028la"},
        {"sentence": "other names", "sentiment": "9"},
    ]
    path = file("\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    assert _content(read_jsonl(path)) == (["so\nso", "\u2028la", "other names"], [1, 0, 0], ("9", "10"))
    path = file('{"q": "a", "spam": true}\n{"q": "b", "spam": false}')
    assert _content(read_jsonl(path, "q", "spam")) == (["a", "b"], [1, 0], ("false", "true"))


@pytest.mark.parametrize(
    "line, reason",
    [
        ('{"text": "b"', "expected an object in JSON"),
        ("[" * 200_000, "expected an object in JSON"),
        ('["b", 1]', "expected an object in JSON, found list"),
        ('{"label": 1}', "expected a column 'text' or"),
        ('{"text": "b", "lable": 1}', "expected a column 'label' or .* found 'text', 'lable'"),
        ('{"text": 3, "label": 1}', "expected a text, found 3"),
        ('{"text": null, "label": 1}', "expected a text, found None"),
        ('{"text": "b", "label": null}', "expected a label, .* found None"),
        ('{"text": "b", "label": 0.5}', r"expected a label, .* found 0\.5"),
        ('{"text": "b", "label": ["x"]}', "expected a label, "),
        ('{"text": "b", "label": 1' + "0" * 5000 + "}", "expected an object in JSON"),
        ('{"text": "b", "label": 1' + "0" * 50 + "}", "expected a label"),
    ],
)
def test_json_lines_refused(file: Any, line: str, reason: str) -> None:
    with pytest.raises(FileError, match=f"line 2: {reason}") as caught:
        read_jsonl(file('{"text": "a", "label": 1}\n' + line))
    assert "corpus.txt" in str(caught.value)
    assert len(str(caught.value)) < 600


def test_an_empty_file_of_json_lines_is_refused(file: Any) -> None:
    with pytest.raises(FileError, match="expected texts with labels, found none"):
        read_jsonl(file(" \n\n"))


def _same(read: Texts, rows: list[tuple[str, str]]) -> bool:
    labels = [read.names[label] for label in read.labels]
    return list(zip(read.texts, labels, strict=True)) == rows and list(read.names) == sorted(read.names)


@given(st.lists(st.tuples(TEXT, LABEL), min_size=1))
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("tables")
    lines = [json.dumps({"text": text, "label": label}, ensure_ascii=False) for text, label in rows]
    (folder / "t.jsonl").write_bytes("\n".join(lines).encode())
    assert _same(read_jsonl(folder / "t.jsonl"), rows)
    table = io.StringIO(newline="")
    csv.writer(table, quoting=csv.QUOTE_ALL).writerows([("text", "label"), *rows])
    (folder / "t.csv").write_bytes(table.getvalue().encode())
    # Both ways of ending a line are one in a text.
    assert _same(read_csv(folder / "t.csv"), [(text.replace("\r\n", "\n"), label) for text, label in rows])
    pairs = [(" ".join(text.split()), label) for text, label in rows]
    (folder / "t.tsv").write_bytes("".join(f"{a}\t{b}\n" for a, b in pairs).encode())
    read = read_pairs(folder / "t.tsv")
    assert list(zip(read.sources, read.targets, strict=True)) == pairs


def test_a_field_may_be_longer_than_the_limit_of_the_csv_module(file: Any) -> None:
    text = "word " * 60_000
    assert read_csv(file(f"text,label\n{text},x\nshort,y\n")).texts == [text, "short"]


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_as_a_file(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("bytes") / "corpus"
    for head, read in (
        (b"", read_pairs),
        (b"text,label\n", read_csv),
        (b'{"text":"a","label":1}\n', read_jsonl),
    ):
        path.write_bytes(head + content)
        with contextlib.suppress(FileError):
            read(path)
