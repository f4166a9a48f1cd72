"""Random ops, masks and graphs, and the comparison with the oracle."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

import biport.reference
import torch_side
from biport import ops
from biport.graph import Graph, Node, Value
from torch_side.shared.recurrent import KINDS

GENERATOR = np.random.default_rng

BIASES = ("none", "one", "two")
MASKS = ("none", "right", "left", "holes", "one all-pad row", "all pad", "all valid")


def gates(rng: np.random.Generator, *shape: int, dtype: str = "float64") -> dict[str, np.ndarray]:
    return {gate: rng.normal(scale=0.6, size=shape).astype(dtype) for gate in "iofc"}


def lstm(
    I: int, H: int, *, seed: int = 0, bias: str = "one", dtype: str = "float64", **settings: Any
) -> ops.LSTM:
    rng = GENERATOR(seed)
    return ops.LSTM(
        input_size=I,
        hidden_size=H,
        weight_ih=gates(rng, H, I, dtype=dtype),
        weight_hh=gates(rng, H, H, dtype=dtype),
        bias_ih=None if bias == "none" else gates(rng, H, dtype=dtype),
        bias_hh=gates(rng, H, dtype=dtype) if bias == "two" else None,
        **settings,
    )


def bidirectional(
    I: int,
    H: int,
    *,
    return_sequences: bool = True,
    merge: str | None = "concat",
    seed: int = 0,
    **settings: Any,
) -> ops.Bidirectional:
    settings |= {"return_sequences": return_sequences, "zero_output_for_mask": return_sequences}
    return ops.Bidirectional(
        forward=lstm(I, H, seed=seed, **settings),
        backward=lstm(I, H, seed=seed + 1, reverse=True, **settings),
        merge=merge,
    )


def dense(I: int, O: int, activation: str = "linear", *, bias: bool = True, seed: int = 0) -> ops.Dense:
    rng = GENERATOR(seed)
    return ops.Dense(
        input_size=I,
        output_size=O,
        activation=activation,
        weight=rng.normal(size=(O, I)),
        bias=rng.normal(size=O) if bias else None,
    )


def embedding(V: int, O: int, *, seed: int = 0, mask_zero: bool = False) -> ops.Embedding:
    weight = GENERATOR(seed).normal(size=(V, O))
    return ops.Embedding(num_embeddings=V, embedding_dim=O, mask_zero=mask_zero, weight=weight)


def mask(pattern: str, N: int, T: int) -> np.ndarray | None:
    lengths = 1 + np.arange(N) * 2 % T
    right = np.arange(T) < lengths[:, None]
    match pattern:
        case "none":
            return None
        case "right":
            return right
        case "left":
            return right[:, ::-1].copy()
        case "holes":
            return GENERATOR(5).random((N, T)) < 0.5
        case "one all-pad row":
            valid = GENERATOR(6).random((N, T)) < 0.6
            valid[N // 2] = False
            return valid
        case "all pad":
            return np.zeros((N, T), bool)
        case _:
            return np.ones((N, T), bool)


def one(op: ops.Op, I: int, masked: bool, dtype: str = "float64") -> Graph:
    """A graph of one op over ``x`` ``(N, T, I)``, and ``mask`` where it is masked."""
    inputs = [Value("x", ("N", "T", I), dtype)]
    inputs += [Value("mask", ("N", "T"), "bool")] if masked else []
    outputs = ("y", "z") if getattr(op, "merge", "") is None else ("y",)
    node = Node("layer", op, ("x",), outputs, ("mask",) if masked else ())
    return Graph(tuple(inputs), (node,), outputs)


def worst(actual: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> float:
    """The largest absolute difference, after shapes and dtypes."""
    assert len(actual) == len(wanted)
    differences = [0.0]
    for mine, yours in zip(actual, wanted, strict=True):
        assert mine.shape == yours.shape
        np.testing.assert_array_equal(np.isnan(mine), np.isnan(yours))
        if mine.size:
            differences.append(float(np.nanmax(np.abs(mine.astype("float64") - yours), initial=0)))
    return max(differences)


def error(graph: Graph, inputs: Sequence[np.ndarray]) -> float:
    """How far the written module is from the float64 oracle."""
    return worst(torch_side.run(torch_side.write(graph), inputs), biport.reference.run(graph, inputs))


def data(N: int, T: int, I: int, pattern: str, dtype: str = "float64") -> list[np.ndarray]:
    """A batch ``(N, T, I)``, and its mask where the pattern has one."""
    x = GENERATOR(9).normal(size=(N, T, I)).astype(dtype)
    valid = mask(pattern, N, T)
    return [x] if valid is None else [x, valid]


def plant_order(monkeypatch, order: str) -> None:
    """Have LSTMs written with another gate order than torch's."""
    kind = KINDS.lookup(ops.LSTM, "test")
    monkeypatch.setitem(KINDS._functions, ops.LSTM, dataclasses.replace(kind, order=order))
