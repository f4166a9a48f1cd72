"""What pyproject.toml promises of other packages is what constraints.txt and constraints-oldest.txt test."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NEVER_INSTALLED_HERE = {"onnxruntime-gpu", "biport"}
TOOLS = {"ruff", "pyright", "pytest", "pytest-xdist", "hypothesis", "httpx2", "tokenizers"}
NOT_AMONG_THE_OLDEST = {"pyarrow", "ray", "fastapi", "uvicorn"}


def _pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text().splitlines()
    pairs = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {_normal(package): version for package, version in pairs}


def _normal(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


def _declared() -> dict[str, Requirement]:
    lines = [
        *PROJECT["dependencies"],
        *(line for lines in PROJECT["optional-dependencies"].values() for line in lines),
    ]
    wanted = {_normal(r.name): r for r in map(Requirement, lines)}
    return {name: wanted[name] for name in sorted(wanted.keys() - NEVER_INSTALLED_HERE)}


DECLARED = _declared()


@pytest.mark.parametrize("name", DECLARED)
def test_the_tested_version_is_one_that_is_allowed(name):
    assert DECLARED[name].specifier.contains(_pins("constraints.txt")[name])


@pytest.mark.parametrize("name", sorted(DECLARED.keys() - TOOLS - NOT_AMONG_THE_OLDEST))
def test_the_oldest_tested_version_is_the_oldest_allowed(name):
    (bound,) = DECLARED[name].specifier
    assert bound.operator == ">="
    assert Version(bound.version) == Version(_pins("constraints-oldest.txt")[name])


def test_torch_stays_the_build_without_cuda():
    assert _pins("constraints.txt")["torch"] == _pins("constraints-oldest.txt")["torch"] == "2.13.0"
