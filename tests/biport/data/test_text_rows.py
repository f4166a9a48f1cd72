"""Texts with what stands beside them: no row is lost, none is one off, and a bad one has a name."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biport.data.lines import MAX_LINE_BYTES
from biport.data.text_rows import BadRow, read_rows, read_texts
from biport.errors import FileError, InputError


def rows(path: Path, content: str | bytes, **options: Any) -> list[tuple[int, str, dict[str, Any]]]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [(row.number, row.text, dict(row.fields)) for row in read_rows(path, **options)]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_an_empty_line_of_one_column_is_a_row(end: str, mark: str, tmp_path: Path) -> None:
    lines = ["text", "one", "", '""', "  ", "five", ""]
    wanted = [(1, "one", {}), (2, "", {}), (3, "", {}), (4, "  ", {}), (5, "five", {}), (6, "", {})]
    for name in ("a.csv", "a.tsv", "A.CSV"):
        assert rows(tmp_path / name, mark + end.join([*lines, ""])) == wanted
        # The end of the file ends its last line.
        assert rows(tmp_path / name, mark + end.join(lines)) == wanted[:-1]


def test_blank_lines_of_a_wider_table_and_of_json_are_none(tmp_path: Path) -> None:
    table = '\n\n id , my text ,\n1,a,x\n\n""\n   \n2,,y\n3,"b, ""c""\nd",z\n,,\n'
    wanted = [
        (1, "a", {"id": "1", "": "x"}),
        (2, "", {"id": "2", "": "y"}),
        (3, 'b, "c"\nd', {"id": "3", "": "z"}),
        (4, "", {"id": "", "": ""}),
    ]
    for column in ("my text", " my text "):
        assert rows(tmp_path / "a.csv", table, column=column) == wanted
    objects = '\n{"text": "a", "n": 1.5, "tags": ["x"]}\n\n{"n": null, "text": ""}\n'
    assert rows(tmp_path / "a.jsonl", objects) == [(1, "a", {"n": 1.5, "tags": ["x"]}), (2, "", {"n": None})]
    assert rows(tmp_path / "a.txt", "one\n\n three \n") == [(1, "one", {}), (2, "", {}), (3, " three ", {})]


def test_what_says_which_format_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = "id;text\n1;a, b\n2;c\n"
    assert rows(tmp_path / "a.dat", table, format="csv", delimiter=";")[0] == (1, "a, b", {"id": "1"})
    assert rows(tmp_path / "a.tsv", "id\ttext\n1\ta, b\n")[0] == (1, "a, b", {"id": "1"})
    assert list(read_texts(tmp_path / "a.tsv")) == ["a, b"]
    refused: list[tuple[str, dict[str, Any], str]] = [
        ("a.dat", {}, r"end in \.txt, \.csv, \.tsv, \.jsonl; format says"),
        ("-", {}, "standard input has no name .* format: txt, csv, tsv or jsonl"),
        ("a.csv", {"format": "xml"}, "format='xml': should be one of txt"),
        ("a.txt", {"delimiter": ";"}, "delimiter=';': of tables alone"),
        ("a.csv", {"delimiter": ";;"}, "one character"),
    ]
    for name, options, message in refused:
        with pytest.raises(InputError, match=message):
            read_rows(name, **options)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"text\na\nb,c\n")))
    read = read_rows("-", format="csv")
    assert next(read).owner == "standard input: line 2: row 1, 'a'"
    with pytest.raises(FileError, match="standard input: line 3: expected the 1 field of the first row"):
        next(read)


def test_names_in_capitals_are_known_unasked(tmp_path: Path) -> None:
    assert rows(tmp_path / "a.csv", "Id,Review\n1,a\n") == [(1, "a", {"Id": "1"})]
    assert rows(tmp_path / "a.csv", "TEXT,text\n1,a\n") == [(1, "a", {"TEXT": "1"})]
    assert rows(tmp_path / "a.jsonl", '{"Text": "a"}\n') == [(1, "a", {})]
    for content, options in (("Text,TEXT\n1,2\n", {}), ("Review\na\n", {"column": "review"})):
        with pytest.raises(FileError, match="line 1: expected a column"):
            rows(tmp_path / "a.csv", content, **options)


def test_names_that_are_there_twice(tmp_path: Path) -> None:
    read = rows(tmp_path / "a.csv", "x,text,,x,\n1,a,2,3,4\n")
    assert read == [(1, "a", {"x": "1", "": "2", "x_2": "3", "_2": "4"})]
    with pytest.raises(FileError, match="line 1: expected one column 'x', found 2"):
        rows(tmp_path / "a.csv", "x,text,x\n1,a,2\n", column="x")


BAD = {
    "csv": (
        b'id,text\n1,a\n2\n3,"b"c\n4,\xff\n5,d\n6,e,f\n7,g\0\n8,"h\n\xe9"\n9,i\n10,"j',
        [(1, "a"), (5, "d"), (9, "i")],
        {
            2: ("2", "expected the 2 fields of the first row, found 1"),
            3: ('3,"b"c', "expected a row of CSV"),
            4: (r"4,\xff", "expected UTF-8 text, found byte 0xff at place 2"),
            6: ("6,e,f", "found 3"),
            7: (r"7,g\x00", "zero byte"),
            8: ('8,"h\n\\xe9"', "line 10: expected UTF-8 text, found byte 0xe9 at place 0"),
            10: ('10,"j', "expected a row of CSV"),
        },
    ),
    "jsonl": (
        b'{"text": "a"}\n{"text": 3}\nnonsense\n\n{"tex": "b"}\n{"text": "\\ud83d\\ude00"}\n{"text": "c", '
        b'"x": "\\ud800"}\n{"text": "\xff"}\n',
        [(1, "a"), (5, "\U0001f600")],
        {
            2: ('{"text": 3}', "expected a text, found int"),
            3: ("nonsense", "expected an object in JSON"),
            4: ('{"tex": "b"}', "expected a column 'text'"),
            6: ('{"text": "c", "x": "\\ud800"}', "lone surrogate"),
            7: ('{"text": "\\xff"}', "expected UTF-8"),
        },
    ),
    "txt": (
        b"a\n\xff\n\n" + b"x" * (2 * MAX_LINE_BYTES + 5) + b"\nend\n",
        [(1, "a"), (3, ""), (5, "end")],
        {2: (r"\xff", "expected UTF-8"), 4: ("x" * (MAX_LINE_BYTES + 1), "without an end")},
    ),
}


@pytest.mark.parametrize("format", BAD)
def test_bad_rows_have_names_and_the_rest_goes_on(format: str, tmp_path: Path) -> None:
    content, wanted, reasons = BAD[format]
    path, bad = tmp_path / f"a.{format}", list[BadRow]()
    path.write_bytes(content)
    read = list(read_rows(path, bad=bad.append))
    assert [(row.number, row.text) for row in read] == wanted
    assert {one.row.number: one.row.text for one in bad} == {n: text for n, (text, _) in reasons.items()}
    for one in bad:
        assert reasons[one.row.number][1] in one.reason
        assert one.row.where.startswith(f"{path}: line ")
        assert len(one.row.owner) < 300
    with pytest.raises(FileError, match=r"line \d"):
        list(read_rows(path))


def test_a_quote_that_eats_other_rows_is_no_fault_of_one(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('text,n\n"a,1\nb,2\n"c",3\nd,4\n')
    with pytest.raises(FileError, match=r"line 2: .* up to line 4"):
        list(read_rows(path, bad=lambda _: None))


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\ufeff"))


@given(st.lists(st.tuples(TEXT, TEXT)), st.sampled_from(["\n", "\r\n"]))
def test_what_csv_writes_is_read_row_by_row(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]], end: str
) -> None:
    path = tmp_path_factory.mktemp("rows") / "a.csv"
    for columns in (1, 2):
        table = io.StringIO(newline="")
        csv.writer(table, lineterminator=end).writerows([row[:columns] for row in [("text", "n"), *pairs]])
        path.write_bytes(table.getvalue().encode())
        read = list(read_rows(path))
        assert [row.number for row in read] == [*range(1, len(pairs) + 1)]
        assert [row.text for row in read] == [text for text, _ in pairs]
        assert columns == 1 or [row.fields["n"] for row in read] == [other for _, other in pairs]
    path = path.with_suffix(".jsonl")
    path.write_bytes("".join(json.dumps({"text": a, "n": b}) + end for a, b in pairs).encode())
    assert [(row.text, row.fields["n"]) for row in read_rows(path)] == pairs
