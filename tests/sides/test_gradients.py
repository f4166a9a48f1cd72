"""The gradients of Keras and torch are one, and those of the numpy reference; faults in either are named."""

from __future__ import annotations

import dataclasses
import functools
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch
from every_side import quiet_model, randomize
from random_graphs import bidirectional, cell, dense, embedding, normal
from torch import nn
from typer.testing import CliRunner

import export
import keras_side
import torch_side
from biport import bundle, ops, verify
from biport.cli import app
from biport.compare import Report, Verdict
from biport.errors import InputError
from biport.graph import Graph, Node, Value
from biport.slopes import Slopes
from biport.verification import random_cases
from keras_side.models.attentive_sentiment import attentive_sentiment as keras_attentive_sentiment
from keras_side.models.seq2seq import seq2seq as keras_seq2seq
from keras_side.models.tagger import tagger as keras_tagger
from torch_side.models import attentive_sentiment, seq2seq, tagger

layers: Any = keras.layers  # Keras annotates fewer types than it takes.


def every_mask(graph: Graph, steps: int = 7) -> list[np.ndarray]:
    """Rows of `random_cases` with every pattern of mask, as one short batch."""
    cases = random_cases(graph)
    rows = [cases[name] for name in ("full", "right", "left", "holes", "all padding")]
    return [np.concatenate([array[:3, :steps] for array in arrays]) for arrays in zip(*rows, strict=True)]


def compared(*forms: Any, graph: Graph | None = None) -> Report:
    """The report over every pattern of mask."""
    graph = keras_side.read(forms[0]) if graph is None else graph
    return verify(*forms, inputs=every_mask(graph), gradients=True)


def check_both(model: Any, module: Any) -> None:
    """Both have the reference's gradients, and each other's."""
    report = compared(model, module)
    lines = [line for line in report.lines if line.level == "L3"]
    assert [line.form for line in lines] == ["keras"] * 2 + ["torch"] * 3, report.table
    assert report.verdict is Verdict.SAME, report.table
    assert lines[-1].allowed == 1e-10
    assert "against keras" in lines[-1].error.note


FAMILIES: dict[str, tuple[Callable[..., Any], Callable[..., Any], dict[str, Any]]] = {
    "sentiment": (
        keras_attentive_sentiment,
        attentive_sentiment,
        {"vocabulary_size": 13, "embedding_size": 5, "units": (4, 3), "attention_units": 6, "classes": 3},
    ),
    "tagger": (
        keras_tagger,
        tagger,
        {"features": 6, "units": 4, "lstm_units": 3, "join": "learned", "tags": 3},
    ),
    "tagger of ids": (
        keras_tagger,
        tagger,
        {"vocabulary_size": 13, "embedding_size": 5, "units": 4, "lstm_units": 3},
    ),
    "seq2seq": (
        keras_seq2seq,
        seq2seq,
        {
            "source_size": 13, "target_size": 11, "embedding_size": 5, "units": (4,), "cell": "gru",
            "attention": "additive",
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_families(family: str) -> None:
    make_keras, make_torch, settings = FAMILIES[family]
    model, twin = randomize(make_keras(**settings)), make_torch(**settings)
    torch_side.load(twin, keras_side.read(model))
    check_both(model, twin)


def recurrent(op: ops.Op, width: int) -> Graph:
    """Masked ids through one recurrent op and a Dense."""
    rng = np.random.default_rng(3)
    nodes = (
        Node("embedding", embedding(rng, 5), ("ids",)),
        Node("mask", ops.NotEqual(), ("ids",)),
        Node("walk", op, ("embedding",), masks=("mask",)),
        Node("head", dense(rng, width, 2), ("walk",)),
    )
    return Graph((Value("ids", ("N", "T"), "int32"),), nodes, ("head",))


CELLS: dict[str, tuple[type[ops.Cell], dict[str, Any]]] = {
    "LSTM": (ops.LSTM, {}),
    "LSTM, two biases": (ops.LSTM, {"biases": 2}),
    "GRU": (ops.GRU, {}),
    "GRU reset before, two biases": (ops.GRU, {"reset_after": False, "biases": 2}),
    "RNN": (ops.RNN, {"biases": 2}),
    "RNN, no bias": (ops.RNN, {"biases": 0}),
}


@pytest.mark.parametrize("which", CELLS)
def test_recurrent_layers_both_ways(which: str) -> None:
    kind, settings = CELLS[which]
    rng = np.random.default_rng(1)
    rule = {"return_sequences": True, "zero_output_for_mask": True}
    one, two = (cell(rng, kind, 5, 4, reverse=reverse, **rule, **settings) for reverse in (False, True))
    graph = recurrent(ops.Bidirectional(forward=one, backward=two), 8)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="two biases were added up")
        model, module = keras_side.write(graph), torch_side.write(graph)
        for sources in ((graph, model, module), (module, model)):
            report = verify(*sources, inputs=every_mask(graph), gradients=True)
            assert report.verdict is Verdict.SAME, report.table
            compared_with = [line.error.note for line in report.lines if line.allowed == 1e-10]
            assert len(compared_with) == 1, report.table
