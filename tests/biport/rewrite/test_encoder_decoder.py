"""A decoder that reads what is the same in every row, which a search must not pick rows of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from biport import ops
from biport.decoding import beam, reference_stepper, split
from biport.dims import letter
from biport.errors import UnsupportedError
from biport.graph import Graph, Node, Value
from biport.reference import run
from testing.graphs import dense, lstm, normal

WORDS, I, H = 9, 4, 3


def translator(*between: Node, x: str) -> Graph:
    rng = np.random.default_rng(0)
    table = ops.Embedding(num_embeddings=WORDS, embedding_dim=I, weight=2 * normal(rng, WORDS, I))
    encoder, decoder = lstm(rng, I, H, return_state=True), lstm(rng, I, H, return_sequences=True)
    nodes = (
        Node("read", table, ("source",)),
        Node("encoder", encoder, ("read",), ("encoded", "h", "c")),
        Node("known", table, ("target",)),
        *between,
        Node("decoder", decoder, (x, "h", "c")),
        Node("next", dense(rng, H, WORDS, "softmax"), ("decoder",)),
    )
    inputs = Value("source", ("N", "S"), "int32"), Value("target", ("N", "T"), "int32")
    return Graph(inputs, nodes, ("next",))


def test_constants_belong_to_the_step() -> None:
    rng = np.random.default_rng(1)
    between = (
        Node("w", ops.Parameter(value=normal(rng, 1, I)), ()),
        Node("k", ops.Constant(value=normal(rng, I)), ()),
        Node("offset", ops.Elementwise(function="multiply"), ("w", "k")),
        Node("x", ops.Elementwise(function="add"), ("known", "offset")),
    )
    model = split(translator(*between, x="x"))
    assert [value.name for value in model.step.inputs] == ["target", "decoder_h", "decoder_c"]
    stepper, source = reference_stepper(model), rng.integers(1, WORDS, (3, 4)).astype("int32")
    settings: Any = {"start": 2, "end": 3, "width": 3, "best": 2, "max_length": 6}
    together = beam(stepper, list(source), **settings)
    for row, hypothesis in zip(source, together, strict=True):
        (alone,) = beam(stepper, [row], **settings)
        assert alone.tokens == hypothesis.tokens
        assert alone.score == pytest.approx(hypothesis.score, abs=1e-12)


def test_a_matrix_has_no_steps() -> None:
    """What multiplies every step is the same for each of them, and the whole is what its steps are."""
    rng = np.random.default_rng(1)
    between = (
        Node("w", ops.Parameter(value=normal(rng, I, I)), ()),
        Node("turned", ops.MatMul(), ("known", "w")),
        Node("x", ops.Einsum(equation="nti,ki->ntk"), ("turned", "w")),
    )
    graph = translator(*between, x="x").astype("float64")
    model, source = split(graph), rng.integers(1, WORDS, (2, 4)).astype("int32")
    target = rng.integers(1, WORDS, (2, 3)).astype("int32")
    (whole,), reading = run(graph, [source, target]), reference_stepper(model).start(source)
    for step in range(3):
        np.testing.assert_allclose(reading.next(target[:, step]), np.log(whole[:, step]), rtol=0, atol=1e-12)


def test_values_without_rows_are_refused() -> None:
    between = (
        Node("length", ops.SizeOf(size=letter("S")), ()),
        Node("number", ops.Cast(output_dtype="float32"), ("length",)),
        Node("x", ops.Elementwise(function="add"), ("known", "number")),
    )
    with pytest.raises(UnsupportedError, match=r"'number': shape='float32 \(\)'"):
        split(translator(*between, x="x"))
