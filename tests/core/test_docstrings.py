"""The examples in the neutral core's docstrings do what they show."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import biport

ROOT = Path(biport.__file__).parent
MODULES = [
    module.name
    for module in pkgutil.walk_packages([str(ROOT)], "biport.")
    if not module.name.startswith(("biport.app", "biport.__main__"))
]
SHOWN = {
    *("biport.graph", "biport.ops.base", "biport.registry", "biport.bundle", "biport.files", "biport.gates"),
    *("biport.decoding.greedy", "biport.decoding.beam", "biport.decoding.agreement"),
    *("biport.rewrite.encoder_decoder", "biport.inputs"),
}


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(name))
    assert not result.failed
    assert result.attempted or name not in SHOWN
