"""The tests of this folder use the frameworks."""

import pytest

import testing.frameworks  # noqa: F401


@pytest.fixture(autouse=True)
def _fewer_steps(request: pytest.FixtureRequest) -> None:
    """In all but one file: that is where numbers could drift over many steps."""
    if request.path.stem != "test_equivalence":
        request.getfixturevalue("fewer_steps")
