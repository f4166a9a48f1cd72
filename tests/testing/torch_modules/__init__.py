"""Modules written as people publish them; none has anything to do with how biport works."""

from testing.torch_modules import (
    agents,
    cells,
    classifiers,
    feature_maps,
    images,
    language_models,
    seq2seq,
    speech,
    stateful,
    taggers,
    time_series,
)
from testing.torch_modules.cases import CASES, Case

__all__ = [
    "CASES",
    "Case",
    "agents",
    "cells",
    "classifiers",
    "feature_maps",
    "images",
    "language_models",
    "seq2seq",
    "speech",
    "stateful",
    "taggers",
    "time_series",
]
