"""Fixtures of the torch tests."""

import pytest

import torch_side.layers.walk


@pytest.fixture(params=["walk_aligned", "walk_packed"])
def way(request, monkeypatch) -> None:
    """Both ways to walk, the one for GPUs too."""
    chosen = getattr(torch_side.layers.walk, request.param)
    for name in ("walk_aligned", "walk_packed"):
        monkeypatch.setattr(torch_side.layers.walk, name, chosen)
