"""What the README and the tour show is run as it stands."""

import re
from pathlib import Path

import testing.frameworks  # noqa: F401  # isort: skip

import keras
import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
TOUR = (ROOT / "docs/tour.md").read_text()


def example() -> str:
    marked = re.search(r"<!-- example -->\n```python\n(.*?)```", README, re.DOTALL)
    assert marked is not None
    return marked[1]


def test_the_example_runs(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(example(), "README.md", "exec"), names)
    assert names["probabilities"].shape == (2, 1)
    printed = capsys.readouterr().out
    assert "verdict: same" in printed
    assert "bilstm_1" in printed


def test_the_example_is_about_twenty_lines() -> None:
    lines = [line for line in example().splitlines() if line.strip()]
    assert 15 <= len(lines) <= 20


def test_the_two_commands_come_first() -> None:
    assert README.startswith("# biport\n\n```\nmake demo\nmake test\n```\n")


def test_the_tour_runs(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    # Keras numbers the layers of a process.
    keras.utils.clear_session()
    blocks = re.findall(r"```python\n(.*?)```", TOUR, re.DOTALL)
    exec(compile("\n".join(blocks), "docs/tour.md", "exec"), {})
    printed = capsys.readouterr().out
    (shown,) = re.findall(r"^# (graph.*(?:\n#   .*)*)", TOUR, re.MULTILINE)
    assert shown.replace("\n# ", "\n") in printed
    assert "verdict: same" in printed


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.name)
def test_every_path_that_the_docs_name_is_there(page: Path) -> None:
    """Paths from the root, and links to other pages."""
    text = page.read_text()
    named = re.findall(r"`((?:biport|keras_side|torch_side|export|tests|benchmarks)/[\w/.]+)`", text)
    links = [link for link in re.findall(r"\]\(([^)#:]+)\)", text) if not link.startswith("http")]
    assert [path for path in named if not (ROOT / path).exists()] == []
    assert [link for link in links if not (page.parent / link).exists()] == []
