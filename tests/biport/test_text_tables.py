"""Text tables: aligned, without cells too."""

from biport.tables import markdown_table, text_table


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    rows = [["form", "ms"], ["torch", "1.25"], ["x", ""]]
    assert text_table(rows) == ["form   ms", "torch  1.25", "x"]
    assert text_table(rows, ">") == [" form    ms", "torch  1.25", "    x"]
    assert text_table(rows, "<>") == ["form     ms", "torch  1.25", "x"]


def test_a_table_may_have_no_columns_and_no_rows() -> None:
    assert text_table([[], []]) == ["", ""]
    assert text_table([["only", "a head"]]) == ["only  a head"]


def test_markdown_has_a_head_and_a_rule() -> None:
    assert (
        markdown_table([["a", "b", "c"], [1, 2.5, "x"]], "<>")
        == "| a | b | c |\n|---|---:|---:|\n| 1 | 2.5 | x |"
    )
