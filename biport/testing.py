"""Equivalence tests for one's own repository: `assert_same` and `assert_weights_equal`.

Both are plain functions that raise `AssertionError`, for whatever runs tests; pytest has the fixture
``biport_same`` besides, and the options ``--biport-inputs`` and ``--biport-report``.

Example::

    from biport.testing import assert_same

    def test_the_port_is_the_model():
        assert_same("model.keras", "model.onnx")
"""

from __future__ import annotations

from biport.app.testing.same import assert_same
from biport.app.testing.weights import assert_weights_equal
from biport.compare.localize.weights import WeightReport
from biport.compare.report import Report

__all__ = ["Report", "WeightReport", "assert_same", "assert_weights_equal"]
