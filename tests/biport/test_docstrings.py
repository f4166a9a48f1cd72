"""The examples in the neutral core's docstrings do what they show."""

import doctest
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import biport

ROOT = Path(biport.__file__).parent
MODULES = [
    module.name
    for module in pkgutil.walk_packages([str(ROOT)], "biport.")
    if not module.name.startswith(("biport.app", "biport.__main__"))
    if ">>> " in Path(inspect.getfile(importlib.import_module(module.name))).read_text()
]
SHOWN = {
    *("biport.graph", "biport.ops.base", "biport.registry", "biport.bundle", "biport.files", "biport.gates"),
    *("biport.decoding.greedy", "biport.decoding.beam", "biport.decoding.agreement"),
    *("biport.rewrite.encoder_decoder", "biport.inputs"),
}


def test_the_main_modules_have_examples() -> None:
    assert set(MODULES) >= SHOWN


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted
    assert not result.failed
