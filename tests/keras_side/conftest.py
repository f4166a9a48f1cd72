"""What Keras and tensorflow warn of."""

from __future__ import annotations

from pathlib import Path

import pytest

import testing.frameworks  # noqa: F401

HERE = Path(__file__).parent
# The first comes from inside tensorflow and Keras under NumPy 2, the second from Keras where a layer ends a
# mask, which is what many of these models are about. Marks, because the command line's -W error would go
# before the settings file.
THIRD_PARTY = (
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",
    "ignore:Layer '.*' .of type .* was passed an input with a mask attached to it:UserWarning",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == HERE:
            for entry in THIRD_PARTY:
                item.add_marker(pytest.mark.filterwarnings(entry))
