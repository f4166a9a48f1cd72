"""A module of the user's own: a Python file is imported, and what it names is made."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.util
import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from biport.errors import Argument, BiportError, InputError

FILE = re.compile(r"(?P<file>.+\.py):(?P<name>[A-Za-z_][\w.]*)")
PACKAGE = re.compile(r"(?P<package>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):(?P<name>[A-Za-z_][\w.]*)")


def names_module(text: str) -> bool:
    """Whether a source names something in Python: ``tagger.py:Tagger`` or ``package.module:Tagger``."""
    return (FILE.fullmatch(text) or PACKAGE.fullmatch(text)) is not None and not Path(text).exists()


def parse_arguments(text: str | None) -> dict[str, Any]:
    """Keyword arguments of a constructor, from JSON or, with an @ before it, a file of JSON.

    Raises:
        InputError: it is no mapping in JSON.
    """
    if text is None:
        return {}
    path = Path(text[1:]) if text.startswith("@") else None
    try:
        given = json.loads(text if path is None else path.read_text())
    except OSError as error:
        raise InputError(Argument("args", text), f": cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(
            Argument("args", text), f': should be JSON like {{"hidden": 64}}: {error}'
        ) from error
    if not isinstance(given, dict):
        raise InputError(Argument("args", text), ": should be a mapping of names to values in JSON")
    return given


def make_module(text: str, arguments: Mapping[str, Any]) -> Any:
    """The module that a source names: a class or a function is called, a module is taken as it is.

    The file that it is in is imported, with its folder on the path: whatever it does at its outermost level
    is done.

    Args:
        text: ``tagger.py:Tagger`` or ``package.module:Tagger``.
        arguments: by keyword, of a class or a function.

    Raises:
        InputError: there is no such file or name, it cannot be imported or made, or is no module.
    """
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        # So that one command makes the weights that another made.
        torch.manual_seed(0)
        target = _target(text)
        if not isinstance(target, nn.Module) and callable(target):
            module = _called(text, target, arguments)
            if isinstance(module, nn.Module):
                return module
            raise _no_module(f"what {text} gives", module)
    if not isinstance(target, nn.Module):
        raise _no_module(text, target)
    if arguments:
        raise InputError(Argument("args"), f": {text} is a module already, and takes none")
    return target


def _target(text: str) -> Any:
    match = FILE.fullmatch(text)
    if match is not None:
        return _named(text, import_file(Path(match["file"])), match["name"])
    match = PACKAGE.fullmatch(text)
    assert match is not None
    return _named(text, _import_package(match["package"]), match["name"])


def classes_in(path: Path) -> list[str]:
    """What classes a Python file has, which is not imported."""
    return re.findall(r"^class (\w+)", path.read_text(errors="replace"), re.MULTILINE)


def _no_module(what: str, value: Any) -> InputError:
    wanted = "a torch.nn.Module, a class of one, or a function that gives one"
    return InputError(f"{what}: should be {wanted}; is of class {type(value).__name__}")


def import_file(path: Path) -> ModuleType:
    """A Python file, run with its folder on the path.

    Raises:
        InputError: it is not there, or cannot be imported.
    """
    if not path.is_file():
        raise InputError(f"{path}: is a folder" if path.is_dir() else f"{path}: no such file")
    # A name that another module has is left to that.
    name = path.stem if path.stem.isidentifier() and path.stem not in sys.modules else f"{path.stem}.source"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    python = importlib.util.module_from_spec(spec)
    sys.modules[name] = python
    try:
        with _importing(str(path), path.resolve().parent):
            spec.loader.exec_module(python)
    except BaseException:
        del sys.modules[name]
        raise
    return python


def _import_package(name: str) -> ModuleType:
    with _importing(name, Path.cwd()):
        return importlib.import_module(name)


@contextlib.contextmanager
def _importing(what: str, folder: Path) -> Iterator[None]:
    """A folder first on the path; whatever goes wrong is said of what was imported.

    Raises:
        InputError: it cannot be imported.
    """
    before = list(sys.path)
    sys.path.insert(0, str(folder))
    try:
        yield
    except BiportError:
        raise
    except ModuleNotFoundError as error:
        raise InputError(f"{what}: cannot be imported: {error.name!r} is not installed") from error
    except SystemExit as error:
        advice = "put what it runs below: if __name__ == '__main__'"
        raise InputError(f"{what}: ends the program when it is imported; {advice}") from error
    except Exception as error:
        raise InputError(f"{what}: cannot be imported: {_reason(error)}") from error
    finally:
        sys.path[:] = before


def _named(text: str, python: ModuleType, name: str) -> Any:
    target: Any = python
    for part in name.split("."):
        if not hasattr(target, part):
            raise InputError(f"{text}: has no {part}{_alike(target, part)}")
        target = getattr(target, part)
    return target


def _alike(target: Any, part: str) -> str:
    from torch import nn

    own = [
        name
        for name, value in vars(target).items()
        if isinstance(value, nn.Module) or (isinstance(value, type) and issubclass(value, nn.Module))
    ]
    alike = difflib.get_close_matches(part, own, 5, 0.0)
    return f"; its modules are {', '.join(alike)}" if alike else ""


def _called(text: str, target: Any, arguments: Mapping[str, Any]) -> Any:
    try:
        signature = inspect.signature(target)
    except ValueError:
        # What is written in C says nothing of its arguments.
        signature = None
    if signature is not None:
        try:
            signature.bind(**arguments)
        except TypeError as error:
            shown = ", ".join(map(str, signature.parameters.values()))
            raise InputError(f"{text} takes ({shown}); by ", Argument("args"), f": {error}") from error
    try:
        return target(**arguments)
    except BiportError:
        raise
    except Exception as error:
        raise InputError(f"{text}: cannot be made: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """What was raised, and the innermost line of the user's that raised it."""
    trace = error.__traceback__
    lines = []
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        if path.suffix == ".py" and "site-packages" not in path.parts and path != Path(__file__):
            lines.append(f"{path.name}, line {trace.tb_lineno}")
        trace = trace.tb_next
    if isinstance(error, SyntaxError):
        # Its text has the line.
        lines = []
    where = f" ({lines[-1]})" if lines else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{where}"
