"""Fixtures of the torch tests."""

import pytest

import torch_side.layers.scan


@pytest.fixture(params=["scan_aligned", "scan_packed"])
def way(request, monkeypatch) -> None:
    """Both ways to scan, the one for GPUs too."""
    chosen = getattr(torch_side.layers.scan, request.param)
    for name in ("scan_aligned", "scan_packed"):
        monkeypatch.setattr(torch_side.layers.scan, name, chosen)
