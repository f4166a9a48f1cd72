"""Random graphs: written, run against the oracle, and read back bit for bit."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import torch_side
from biport import ops
from biport.graph import Graph, Node, Value
from biport.ops import ACTIVATIONS, MERGE_MODES
from testing.torch_graphs import BIASES, GENERATOR, bidirectional, dense, embedding, error, lstm

sizes = st.integers(1, 5)
names = st.text("ab.é/_- ", max_size=4)


@st.composite
def graphs(draw) -> Graph:
    """Embedding, some masks, recurrent layers with or without one, pooling, a head."""
    count = iter(range(100))

    def name() -> str:
        return draw(names) + str(next(count))

    def emit(op: ops.Op, *inputs: str, mask: str | None = None, outputs: int = 1) -> str:
        values = tuple(name() for _ in range(outputs))
        nodes.append(Node(name(), op, inputs, values, (mask,) if mask else ()))
        return (
            values[0]
            if outputs == 1
            else emit(ops.Concatenate(axis=draw(st.sampled_from([-1, len_]))), *values)
        )

    nodes: list[Node] = []
    ids = Value(name(), ("N", "T"), draw(st.sampled_from(["int32", "int64"])))
    width = draw(sizes)
    x = emit(embedding(9, width, mask_zero=draw(st.booleans())), ids.name)
    masks = [
        emit(ops.NotEqual(value=draw(st.integers(0, 3))), ids.name) for _ in range(draw(st.integers(1, 3)))
    ]
    if len(masks) > 1:
        masks.append(emit(draw(st.sampled_from([ops.LogicalAnd(), ops.LogicalOr()])), *masks))
    if draw(st.booleans()):
        x = emit(ops.SpatialDropout1D(rate=0.25), x)
    depth, sequences = draw(st.integers(1, 3)), False
    for level in range(depth):
        sequences = level < depth - 1 or draw(st.booleans())
        len_ = 2 if sequences else 1
        mask = draw(st.sampled_from([None, *masks]))
        H = draw(sizes)
        common = {"return_sequences": sequences, "bias": draw(st.sampled_from(BIASES)), "seed": level}
        common["dropout"] = draw(st.sampled_from([0.0, 0.5]))
        common["recurrent_dropout"] = draw(st.sampled_from([0.0, 0.25]))
        if draw(st.booleans()):
            merge = draw(st.sampled_from(MERGE_MODES))
            op: ops.Op = bidirectional(width, H, merge=merge, **common)
            x = emit(op, x, mask=mask, outputs=2 if merge is None else 1)
            width = 2 * H if merge in ("concat", None) else H
        else:
            flags = {flag: draw(st.booleans()) for flag in ("reverse", "zero_output_for_mask")}
            x = emit(lstm(width, H, **common, **flags), x, mask=mask)
            width = H
    if sequences and draw(st.booleans()):
        x = emit(ops.GlobalAveragePooling1D(), x, mask=draw(st.sampled_from([None, *masks])))
    x = emit(ops.Dropout(rate=0.5), x)
    head = emit(dense(width, draw(sizes), draw(st.sampled_from(ACTIVATIONS)), bias=draw(st.booleans())), x)
    return Graph((ids,), tuple(nodes), (head, *draw(st.lists(st.sampled_from(masks), max_size=1))))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(graph=graphs(), N=st.integers(0, 4), T=st.integers(1, 5), seed=st.integers(0, 99))
def test_a_graph_comes_back_bit_for_bit_and_computes_what_the_oracle_does(graph, N, T, seed):
    ids = GENERATOR(seed).integers(0, 9, size=(N, T)) * GENERATOR(seed).integers(0, 2, size=(N, T))

    module = torch_side.write(graph)

    back = torch_side.read(module)
    assert back == graph
    assert back.digest() == graph.digest()
    with np.errstate(all="ignore"):
        assert error(graph, [ids]) <= 1e-12
