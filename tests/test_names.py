"""Identifiers are words of the field; none of those that only this house understood comes back."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("biport", "keras_side", "torch_side", "export")
HOUSE_WORDS = {
    *("walk", "walks", "walked", "walking", "half", "halves", "hold", "holds", "held", "found"),
    *("place", "places", "timely", "blame", "unlike", "nearest", "made", "got"),
}


def identifiers(code: str) -> Iterator[tuple[int, str]]:
    """Names that a file gives: of variables, parameters, fields, functions, classes and imports."""
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name
            case ast.arg(arg=name) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield node.lineno, name
            case ast.ExceptHandler(name=str(name)) | ast.alias(asname=str(name)):
                yield node.lineno, name


def words(name: str) -> set[str]:
    """``first_half`` and ``FirstHalf`` are ``{"first", "half"}``; ``in_place`` is a word of the field."""
    snake = re.sub(r"([A-Z])", r"_\1", name).lower()
    return set(re.findall(r"[a-z]+", snake.replace("in_place", "inplace")))


def house_words(path: Path) -> list[str]:
    names = [(0, path.stem), *identifiers(path.read_text())]
    return sorted({f"line {line}: {name}" for line, name in names if words(name) & HOUSE_WORDS})


@pytest.mark.parametrize("package", PACKAGES)
def test_no_house_words(package: str) -> None:
    guilty = {
        str(path.relative_to(ROOT)): names
        for path in sorted((ROOT / package).rglob("*.py"))
        if (names := house_words(path))
    }
    assert guilty == {}


@pytest.mark.parametrize(
    "code",
    [
        "found = 1",
        "def f(first_half): ...",
        "class FirstHalf: ...",
        "def walk(): ...",
        "self.held = 1",
        "for place, x in y: ...",
        "[made for made in x]",
        "import x as got",
        "def f(*, nearest=1): ...",
        "(blame := 1)",
        "with x as held: ...",
        "class A:\n    halves: int",
    ],
)
def test_a_guilty_name_is_seen(code: str, tmp_path: Path) -> None:
    path = tmp_path / "guilty.py"
    path.write_text(code)
    assert len(house_words(path)) == 1


def test_ordinary_names_and_prose_are_not_guilty(tmp_path: Path) -> None:
    path = tmp_path / "walk.py"
    path.write_text('"""Found in place of half."""\nplaceholder = walkman = behalf = os.walk(x).found\n')
    assert house_words(path) == ["line 0: walk"]
