"""The tests of this folder use the frameworks."""

import pytest

import testing.frameworks  # noqa: F401


@pytest.fixture(autouse=True)
def _fewer_steps(fewer_steps: None) -> None:
    """In all of them: that numbers do not drift is tested in ``tests/sides/test_equivalence.py``."""
