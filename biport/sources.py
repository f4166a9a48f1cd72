"""What a path that a model comes from is."""

from __future__ import annotations

from pathlib import Path


def is_bundle(source: Path) -> bool:
    """Whether a folder is biport's; a SavedModel is one too, and refused with advice of its own."""
    return source.is_dir() and not (source / "saved_model.pb").exists()
