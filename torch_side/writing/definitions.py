"""The source of functions and classes with all that they need of some packages, for a file of their own.

What is asked for is copied as it stands, with the definitions that it names, those that these name, and so
on, each behind what it needs. Imports from outside of the package are collected.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

from biport.syntax import parsed

Definition = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


@dataclass(frozen=True)
class Module:
    """A module of the package, taken apart.

    Args:
        name: dotted.
        text: its source.
        definitions: what it defines, by name.
        own: what it imports from modules of the package: the name there and the module.
        foreign: what it imports from outside, as the statement that does so.
    """

    name: str
    text: str
    definitions: Mapping[str, Definition]
    own: Mapping[str, tuple[str, str]]
    foreign: Mapping[str, str]


@dataclass
class Definitions:
    """Sources to be written into one file.

    Args:
        package: the beginnings of what is copied; everything else is imported.
    """

    package: str | tuple[str, ...]
    sources: dict[str, str] = field(default_factory=dict)
    """By name, each behind what it needs."""
    imports: set[str] = field(default_factory=set)
    """Statements."""
    _origin: dict[str, str] = field(default_factory=dict)

    def add(self, module: str, names: Iterable[str]) -> None:
        """Take definitions of a module, and what they need.

        Raises:
            ValueError: two modules define something of one name.
        """
        parsed = _parsed(module, self.package)
        for name in names:
            if name in parsed.own:
                own_name, source = parsed.own[name]
                if own_name != name:
                    raise ValueError(f"{module} imports {own_name} under another name, {name}")
                self.add(source, [name])
            elif name in parsed.definitions:
                self._take(parsed, name)
            elif name in parsed.foreign:
                self.imports.add(parsed.foreign[name])

    def _take(self, module: Module, name: str) -> None:
        if self._origin.setdefault(name, module.name) != module.name:
            raise ValueError(f"{name} is defined in {module.name} and in {self._origin[name]}")
        if name in self.sources:
            return
        node = module.definitions[name]
        # What it names comes first; a name that is its own parameter is looked for in vain, or not needed.
        self.sources[name] = ""
        self.add(module.name, (used for used in _names(node) if used != name))
        del self.sources[name]
        self.sources[name] = _text(module, node)


def _names(node: ast.AST) -> list[str]:
    """What a definition names of its module, in annotations too, in the order in which it does."""
    names: dict[str, None] = {}

    def look(part: ast.AST, local: frozenset[str]) -> None:
        if isinstance(part, ast.Name) and part.id not in local:
            names[part.id] = None
        if isinstance(part, ast.FunctionDef | ast.Lambda):
            local |= _locals(part)
        for child in ast.iter_child_nodes(part):
            look(child, local)

    look(node, frozenset())
    return list(names)


def _locals(function: ast.FunctionDef | ast.Lambda) -> frozenset[str]:
    """The arguments of a function and what it assigns to."""
    parts = list(ast.walk(function))
    given = {part.arg for part in parts if isinstance(part, ast.arg)}
    return frozenset(
        given | {part.id for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
    )


def _text(module: Module, node: Definition) -> str:
    lines = module.text.splitlines()
    first = min([node.lineno, *(part.lineno for part in getattr(node, "decorator_list", ()))])
    last = node.end_lineno or node.lineno
    # A comment above belongs to it, and a text below is what an assignment has for a docstring.
    while lines[first - 2].startswith("#"):
        first -= 1
    text = re.sub(r"  # noqa\b.*", "", "\n".join(lines[first - 1 : last]))
    return re.sub(r"\b(?:\w+\.)*torch_side\.layers\.(?:\w+\.)*(?=\w)", "", text)


@cache
def _parsed(name: str, package: str | tuple[str, ...]) -> Module:
    module = sys.modules.get(name) or importlib.import_module(name)
    text = inspect.getsource(module)
    definitions: dict[str, Definition] = {}
    own: dict[str, tuple[str, str]] = {}
    foreign: dict[str, str] = {}
    for node in parsed(text).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            definitions[node.name] = node
        elif isinstance(node, ast.Assign):
            definitions |= {target.id: node for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            definitions[node.target.id] = node
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(package):
            own |= {alias.asname or alias.name: (alias.name, str(node.module)) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            foreign |= {
                alias.asname or alias.name: f"from {node.module} import {_alias(alias)}"
                for alias in node.names
            }
        elif isinstance(node, ast.Import):
            foreign |= {
                (alias.asname or alias.name).partition(".")[0]: f"import {_alias(alias)}"
                for alias in node.names
            }
    return Module(name, text, definitions, own, foreign)


def _alias(alias: ast.alias) -> str:
    return alias.name if alias.asname is None else f"{alias.name} as {alias.asname}"


def import_lines(statements: Iterable[str]) -> list[str]:
    """Import statements sorted as ``ruff`` does: the standard library, then torch."""
    plain: set[str] = set()
    named: dict[str, set[str]] = {}
    for statement in statements:
        if statement.startswith("import "):
            plain.add(statement.removeprefix("import "))
        else:
            source, _, name = statement.removeprefix("from ").partition(" import ")
            named.setdefault(source, set()).add(name)
    blocks: list[list[str]] = []
    for standard in (True, False):
        modules = sorted(name for name in plain if _is_standard(name) is standard)
        lines = [f"import {name}" for name in modules]
        sources = sorted(name for name in named if _is_standard(name) is standard and name != "__future__")
        lines += [
            f"from {source} import {', '.join(sorted(named[source], key=_import_order))}"
            for source in sources
        ]
        if lines:
            blocks.append(lines)
    return [line for block in blocks for line in ("", *block)]


def _import_order(name: str) -> tuple[int, str]:
    """Constants, classes, then the rest."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def _is_standard(name: str) -> bool:
    return name.partition(".")[0] in sys.stdlib_module_names


def stacked(sources: Iterable[str]) -> str:
    """Definitions below imports and each other, with the blank lines that belong there."""
    text, before = "", False
    for source in sources:
        spacious = re.match(r"(#.*\n|\n)*(@|def |class )", source) is not None
        text += "\n\n" if spacious or before else "" if text else "\n"
        text += source.rstrip() + "\n"
        before = spacious
    return text.rstrip()
