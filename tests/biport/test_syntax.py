from __future__ import annotations

import ast

import pytest

from biport.syntax import TRIES, parsed, parsed_expression


def test_a_thread_that_came_in_between_is_no_fault_of_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    parse, left = ast.parse, [SystemError("AST constructor recursion depth mismatch")] * (TRIES - 1)

    def disturbed(text: str, mode: str) -> ast.AST:
        if left:
            raise left.pop()
        return parse(text, mode=mode)

    monkeypatch.setattr(ast, "parse", disturbed)
    assert isinstance(parsed_expression("T-2"), ast.BinOp)
    assert len(parsed("a = 1\nb = 2").body) == 2


def test_what_is_no_python_is_refused() -> None:
    with pytest.raises(SyntaxError):
        parsed("def")
