"""Python source as a tree of its syntax."""

from __future__ import annotations

import ast

TRIES = 5


def parsed(text: str) -> ast.Module:
    """The statements of a source; raises as `ast.parse` does."""
    tree = _parsed(text, "exec")
    assert isinstance(tree, ast.Module)
    return tree


def parsed_expression(text: str) -> ast.expr:
    """A single expression; raises as `ast.parse` does."""
    tree = _parsed(text, "eval")
    assert isinstance(tree, ast.Expression)
    return tree.body


def _parsed(text: str, mode: str) -> ast.AST:
    """`ast.parse`, tried again where another thread came in between.

    In early releases of 3.11 and 3.12 the threads of a process share the count of how deep they are in a
    tree, and where two parse at a time one may get a SystemError, whatever the text (CPython gh-106905).
    """
    for _ in range(TRIES - 1):
        try:
            return ast.parse(text, mode=mode)
        except SystemError:
            continue
    return ast.parse(text, mode=mode)
