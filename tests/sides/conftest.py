"""The tests of this folder use the frameworks."""

import testing.frameworks  # noqa: F401
