"""The model of a training run, with its vocabulary, its labels, and how it cut rows."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from biport import bundle
from biport.analysis.text_model import with_tokenizer
from biport.errors import FileError
from biport.graph import Graph
from biport.text import read_tokenizer
from biport.training import folder as files
from biport.training.recipe import Recipe

VOCABULARY = "vocabulary.json"


def read_run(run: Path) -> Graph:
    """The best model of a run, which makes ids of texts as the run did.

    Raises:
        FileError: it is damaged.
    """
    graph = bundle.read(run / files.MODEL)
    path = run / VOCABULARY
    if graph.tokenizers or not path.is_file() or len(graph.inputs) != 1:
        return graph
    recipe = Recipe.from_json(files.read_description(run)["recipe"])
    return with_tokenizer(graph, dataclasses.replace(read_tokenizer(path), max_length=recipe.max_length))


def labels_of_run(run: Path) -> tuple[str, ...] | None:
    """What the classes of a run's model are called; ``None`` where its data have no names for them.

    Raises:
        FileError: it is damaged.
    """
    data: Any = files.read_description(run).get("data")
    labels = data.get("labels") if isinstance(data, dict) else None
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise FileError(f"{run / files.RECIPE}: does not say what the classes are called")
    return tuple(labels) or None
