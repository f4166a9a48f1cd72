"""The README's example runs as it stands."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def example() -> str:
    found = re.search(r"<!-- example -->\n```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert found is not None
    return found[1]


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
    text = (ROOT / "README.md").read_text()
    assert text.startswith("# biport\n\n```\nmake demo\nmake test\n```\n")
