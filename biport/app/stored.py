"""Models in folders of biport's own: bundles, training runs, plain PyTorch. Reading one executes nothing.

A bundle is the neutral graph on disk: ``graph.json`` and an array for each gate, for biport's own use. A
folder of plain PyTorch is for whoever has torch and not biport; see `torch_side.folder`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from biport import bundle
from biport.app.runs import labels_of_run, read_run
from biport.data.images import ImageSettings
from biport.file_kind import FileKind, file_kind
from biport.graph import Graph

STORED = {
    FileKind.BUNDLE: "biport bundle",
    FileKind.TORCH_FOLDER: "folder of plain PyTorch",
    FileKind.RUN: "training run",
}
"""The kinds of folder, and what people call them."""


def is_stored(source: Path) -> bool:
    """Whether a model comes from a folder of biport's own."""
    return source.is_dir() and file_kind(source) in STORED


def read_stored(folder: Path) -> Graph:
    """The model in a folder, which need not be one of biport's own.

    Raises:
        FileError: it is none, damaged, or was changed since it was written.
    """
    if file_kind(folder) is FileKind.TORCH_FOLDER:
        import torch_side

        return torch_side.read_folder(folder)
    if file_kind(folder) is FileKind.RUN:
        return read_run(folder)
    return bundle.read(folder)


def texts_of(source: Path) -> Mapping[str, Any]:
    """The labels, and what is said of pictures, that travel with a model; its tokenisers are its graph's.

    Raises:
        FileError: they are damaged.
    """
    if not is_stored(source):
        return {}
    labels = (labels_of_run if file_kind(source) is FileKind.RUN else bundle.read_labels)(source)
    own = {"labels": labels, "images": bundle.read_image_settings(source)}
    return {name: value for name, value in own.items() if value is not None}


def with_images(options: Mapping[str, Any], images: ImageSettings) -> dict[str, Any]:
    """Options of what writes a model, with what is said of pictures before what travels with it."""
    said = images.over(options.get("images") or ImageSettings())
    return {**options, "images": said} if said.given else dict(options)
