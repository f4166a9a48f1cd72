"""Random graphs and inputs for tests: trained-scale weights, non-zero biases, no two sizes equal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from biport import ops
from biport.graph import Graph, Node, Value
from biport.ops.conv_lstm import CONV_LSTMS
from testing.masks import VOCABULARY

MERGES = ("concat", "sum", "mul", "ave", None)


def normal(rng: np.random.Generator, *shape: int, dtype: str = "float32") -> np.ndarray:
    """Weights of the scale training leaves."""
    return (rng.normal(size=shape) * 0.6).astype(dtype)


def cell(
    rng: np.random.Generator,
    kind: type[ops.Cell],
    input_size: int,
    hidden_size: int,
    *,
    biases: int = 1,
    dtype: str = "float32",
    **settings: Any,
) -> ops.Cell:
    """A cell with none, one or two biases, as many as it needs at the least."""

    def gates(*shape: int) -> dict[str, np.ndarray]:
        return {gate: normal(rng, *shape, dtype=dtype) for gate in kind.gates}

    two = biases == 2 or (biases == 1 and kind is ops.GRU and settings.get("reset_after", True))
    return kind(
        input_size=input_size,
        hidden_size=hidden_size,
        weight_ih=gates(hidden_size, input_size),
        weight_hh=gates(hidden_size, hidden_size),
        bias_ih=gates(hidden_size) if biases else None,
        bias_hh=gates(hidden_size) if two else None,
        **settings,
    )


def conv_lstm(
    rng: np.random.Generator,
    dimensions: int,
    input_size: int,
    hidden_size: int,
    kernel_size: Sequence[int],
    *,
    biased: bool = True,
    dtype: str = "float32",
    **settings: Any,
) -> ops.ConvolutionalLSTM:
    """A ConvLSTM over one axis, two or three."""
    kind = CONV_LSTMS[dimensions]

    def gates(*shape: int) -> dict[str, np.ndarray]:
        return {gate: normal(rng, *shape, dtype=dtype) for gate in kind.gates}

    return kind(
        input_size=input_size,
        hidden_size=hidden_size,
        kernel_size=tuple(kernel_size),
        weight_ih=gates(hidden_size, input_size, *kernel_size),
        weight_hh=gates(hidden_size, hidden_size, *kernel_size),
        bias=gates(hidden_size) if biased else None,
        **settings,
    )


def lstm(
    rng: np.random.Generator, input_size: int, hidden_size: int, biases: int = 1, **settings: Any
) -> ops.LSTM:
    """An LSTM with ``biases`` biases, none of them zero."""
    op = cell(rng, ops.LSTM, input_size, hidden_size, biases=biases, **settings)
    assert isinstance(op, ops.LSTM)
    return op


def bidirectional(
    rng: np.random.Generator,
    input_size: int,
    hidden_size: int,
    merge: str | None = "concat",
    return_sequences: bool = False,
    biases: int = 1,
) -> ops.Bidirectional:
    """A BiLSTM."""
    rule = {"return_sequences": return_sequences, "zero_output_for_mask": return_sequences}
    return ops.Bidirectional(
        forward=lstm(rng, input_size, hidden_size, biases, **rule),
        backward=lstm(rng, input_size, hidden_size, biases, reverse=True, **rule),
        merge=merge,
    )


def dense(
    rng: np.random.Generator, input_size: int, output_size: int, activation: str = "linear"
) -> ops.Dense:
    """A Dense with a bias."""
    return ops.Dense(
        input_size=input_size,
        output_size=output_size,
        activation=activation,
        weight=normal(rng, output_size, input_size),
        bias=normal(rng, output_size),
    )


def embedding(
    rng: np.random.Generator, size: int, rows: int = VOCABULARY, masked: bool = True
) -> ops.Embedding:
    """An Embedding."""
    return ops.Embedding(
        num_embeddings=rows, embedding_dim=size, mask_zero=masked, weight=normal(rng, rows, size)
    )


def classifier(
    rng: np.random.Generator,
    merge: str | None = "concat",
    masked: bool = True,
    units: Sequence[int] = (4,),
    classes: int = 3,
    biases: int = 1,
) -> Graph:
    """Ids to class probabilities through one BiLSTM layer or more."""
    mask = "mask" if masked else None
    nodes = [Node("embedding", embedding(rng, 5, masked=masked), ("ids",))]
    nodes += [Node("mask", ops.NotEqual(), ("ids",))] if masked else []
    x, width = "embedding", 5
    for number, size in enumerate(units, start=1):
        name = f"bilstm_{number}"
        op = bidirectional(rng, width, size, merge, number < len(units), biases)
        outputs = (f"{name}:0", f"{name}:1") if merge is None else (name,)
        nodes.append(Node(name, op, (x,), outputs, (mask,)))
        x, width = name, 2 * size if merge in ("concat", None) else size
        if merge is None:
            x = f"concatenate_{number}"
            nodes.append(Node(x, ops.Concatenate(), outputs))
    activation = "sigmoid" if classes == 1 else "softmax"
    nodes.append(Node("head", dense(rng, width, classes, activation), (x,)))
    return Graph((Value("ids", ("N", "T"), "int32"),), tuple(nodes), ("head",))


def two_inputs(seed: int = 0) -> Graph:
    """Masks, a shared op, two outputs of one node, biases of every number, a transposed weight."""
    V, E, H = 11, 5, 3
    rng = np.random.default_rng(seed)
    table = ops.Embedding(num_embeddings=V, embedding_dim=E, mask_zero=True, weight=normal(rng, V, E))
    rules = {"return_sequences": True, "zero_output_for_mask": True}
    both = ops.Bidirectional(
        forward=lstm(rng, E, H, 1, **rules), backward=lstm(rng, E, H, 2, **rules, reverse=True), merge=None
    )
    return Graph(
        inputs=(Value("one", ("N", "T"), "int32"), Value("two", ("N", "T"), "int64")),
        nodes=(
            Node("table", table, ("one",)),
            Node("table@1", table, ("two",)),
            Node("valid", ops.NotEqual(), ("one",)),
            Node("both", both, ("table",), ("both:0", "both:1"), ("valid",)),
            Node("joined", ops.Concatenate(axis=2), ("both:0", "both:1")),
            Node("outer.last", lstm(rng, 2 * H, 4, 0, dropout=0.25), ("joined",), masks=("valid",)),
            Node("drop", ops.Dropout(rate=0.5), ("outer.last",)),
            Node(
                "head",
                ops.Dense(
                    input_size=4, output_size=2, activation="softmax", weight=normal(rng, 4, 2).T, bias=None
                ),
                ("drop",),
            ),
        ),
        outputs=("head", "table@1"),
        origin={"framework": "keras", "version": "3.15.1"},
    )
