"""Random ops, masks and graphs for the export tests; no two sizes equal."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import export
import testing.masks
from biport import ops, reference
from biport.graph import Graph, Node, Value, sum_lengths
from testing.graphs import lstm
from testing.graphs import normal as array
from testing.masks import MASKS as MASKS

V, I, H, O = 13, 5, 3, 4


def bidirectional(
    rng: np.random.Generator,
    input_size: int,
    hidden_size: int,
    *,
    sequences: bool,
    merge: str | None = "concat",
    biases: tuple[int, int] = (1, 1),
    other_size: int | None = None,
) -> ops.Bidirectional:
    rules = {"return_sequences": sequences, "zero_output_for_mask": sequences}
    return ops.Bidirectional(
        forward=lstm(rng, input_size, hidden_size, biases[0], **rules),
        backward=lstm(rng, input_size, other_size or hidden_size, biases[1], reverse=True, **rules),
        merge=merge,
    )


def embedding(rng: np.random.Generator) -> ops.Embedding:
    return ops.Embedding(num_embeddings=V, embedding_dim=I, weight=array(rng, V, I))


def dense(rng: np.random.Generator, input_size: int, activation: str, bias: bool = True) -> ops.Dense:
    return ops.Dense(
        input_size=input_size,
        output_size=O,
        activation=activation,
        weight=array(rng, O, input_size),
        bias=array(rng, O) if bias else None,
    )


def chain(rng: np.random.Generator, *layers: ops.Op, masked: bool = True, ids: str = "int32") -> Graph:
    """``ids -> embedding -> layers``, all under one mask; every layer's outputs are outputs."""
    nodes = [Node("mask", ops.NotEqual(), ("ids",)), Node("table", embedding(rng), ("ids",))]
    value, outputs = "table", []
    for number, op in enumerate(layers, 1):
        two = isinstance(op, ops.Bidirectional) and op.merge is None
        names = (f"layer_{number}:0", f"layer_{number}:1") if two else (f"layer_{number}",)
        masks = ("mask",) if masked and op.masked else ()
        nodes.append(Node(f"layer_{number}", op, (value,), names, masks))
        value = names[0]
        outputs += names
    return Graph((Value("ids", ("N", "T"), ids),), tuple(nodes), tuple(outputs))


def padded_ids(rng: np.random.Generator, pattern: str, N: int = 6, T: int = 7) -> np.ndarray:
    """Ids ``(N, T)`` of a pattern of padding."""
    return testing.masks.padded_ids(pattern, N, T, rng, V)


def tolerance(graph: Graph) -> float:
    """The float32 half of the tolerance policy, with room for one layer behind another."""
    return 8 * float(np.finfo("float32").eps) * max(sum_lengths(graph), default=1) ** 0.5


def exported(graph: Graph, folder: Path, lowering: str = "auto") -> export.Session:
    """The graph written and opened."""
    export.write(graph, folder / "model.onnx", overwrite=True, vectors=False, lowering=lowering)
    return export.Session(folder / "model.onnx", device="cpu", threads=1)


def worst(graph: Graph, session: export.Session, *inputs: np.ndarray) -> float:
    """The largest error against the oracle; shapes, dtypes and NaNs must agree."""
    wanted, outputs = reference.run(graph, inputs), session.run(inputs)
    assert [a.shape for a in outputs] == [a.shape for a in wanted]
    assert [a.dtype.name for a in outputs] == [graph.tensors[name].dtype for name in graph.outputs]
    errors = [0.0]
    for one, two in zip(wanted, outputs, strict=True):
        np.testing.assert_array_equal(np.isnan(one), np.isnan(two))
        difference = np.abs(one.astype("float64") - two.astype("float64"))
        errors.append(float(np.nanmax(difference, initial=0.0)))
    return max(errors)
