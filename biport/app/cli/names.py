"""Names: of arguments as options, and of packages that something else may have taken."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from biport.errors import Argument, InputError
from biport.extras import EXTRAS

OPTIONS = {
    "overwrite": "--force",
    "inputs": "--input",
    "column": "--text",
    "verify": "--verify",
    "ir_version": "--ir",
    "float16": "--fp16",
}
"""The options that are not called as the argument they give; all others are."""
PRECISIONS = {"int8": "--int8", "float16": "--fp16"}
OWN = ("export", "keras_side", "torch_side")
"""biport's packages beside ``biport`` itself."""
OTHERS = sorted(
    {"numpy", "safetensors", "onnx_ir"}
    | {package.partition("[")[0] for packages in EXTRAS.values() for package in packages}
)


def spelled(command: Any) -> Callable[[Argument], str]:
    """How a message of ``command`` names an argument: as its option, where it has one for it."""
    known = set() if command is None else {name for each in command.params for name in each.opts}

    def spell(argument: Argument) -> str:
        if argument.name == "precision" and argument.value in PRECISIONS:
            return PRECISIONS[argument.value]
        option = OPTIONS.get(argument.name, "--" + argument.name.replace("_", "-"))
        if option not in known:
            return str(argument)
        return option if argument.value in (..., True) else f"{option} {shlex.quote(str(argument.value))}"

    return spell


def check_packages() -> None:
    """Refuse to start where a file or folder of the user's is imported in place of a package.

    Raises:
        InputError: naming it.
    """
    root = Path(__file__).resolve().parents[3]
    for name in OWN:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None and Path(spec.origin).resolve().parent != root / name:
            raise _taken(name, Path(spec.origin))
    first = Path(sys.path[0] or ".").resolve()
    if first != Path.cwd() or first == root:
        return
    for name in OTHERS:
        for path in (first / f"{name}.py", first / name / "__init__.py"):
            if path.exists():
                raise _taken(name, path)


def _taken(name: str, path: Path) -> InputError:
    return InputError(
        f"{path}: Python imports this in place of the package {name!r}, which biport needs; "
        "rename it, or start biport in another folder"
    )
