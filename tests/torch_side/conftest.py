"""Fixtures of the torch tests."""

import testing.frameworks  # noqa: F401
