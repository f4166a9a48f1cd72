"""`masked_axes` against the oracle: where it says so, zeros behind a row change nothing before its end."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from biport import ops, reference
from biport.analysis.padding import masked_axes
from biport.dims import size
from biport.graph import Graph, Node, Value
from testing.graphs import VOCABULARY, bidirectional, cell, dense, embedding, normal

LENGTHS, PADDING = (1, 2, 5, 7), 4
E = 3


def rng() -> np.random.Generator:
    return np.random.default_rng(4)


def lstm(width: int = E, kind: type[ops.Cell] = ops.LSTM, **settings) -> ops.Cell:
    return cell(rng(), kind, width, 4, **settings)


def moved(graph: Graph, axes: dict[str, tuple[int, ...]]) -> float:
    """By how much padding moves what stands before the end of a row of ids."""
    graph = graph.astype("float64")
    worst = 0.0
    for length in LENGTHS:
        ids = rng().integers(1, VOCABULARY, (3, length)).astype("int32")
        padded = np.pad(ids, ((0, 0), (0, PADDING)))
        for name, one, two in zip(
            graph.outputs, reference.run(graph, [ids]), reference.run(graph, [padded]), strict=True
        ):
            kept = tuple(slice(0, length) if axis in axes[name] else slice(None) for axis in range(two.ndim))
            assert two[kept].shape == one.shape
            worst = max(worst, float(np.abs(two[kept] - 1.0 * one).max(initial=0)))
    return worst


def graph_of(*nodes: Node, outputs: tuple[str, ...] = (), steps: int | str = "T") -> Graph:
    first = (Node("mask", ops.NotEqual(), ("ids",)), Node("table", embedding(rng(), E), ("ids",)))
    return Graph((Value("ids", ("N", steps), "int32"),), first + nodes, outputs or nodes[-1].outputs)


def chain(*layers: ops.Op, masked: bool = True, last: str = "mask") -> Graph:
    value, nodes = "table", []
    for number, op in enumerate(layers):
        name, count = f"l{number}", op.output_count
        outputs = tuple(f"{name}:{n}" for n in range(count)) if count > 1 else (name,)
        mask = (last if masked else None,) if op.masked and not isinstance(op, ops.Softmax) else ()
        nodes.append(Node(name, op, (value,), outputs, mask))
        value = outputs[0]
    return graph_of(*nodes)


def attended(op: ops.Op, *masks: str | None) -> Graph:
    scanned = Node("h", bidirectional(rng(), E, 2, return_sequences=True), ("table",), (), ("mask",))
    outputs = tuple(f"y:{n}" for n in range(op.output_count)) if op.output_count > 1 else ("y",)
    return graph_of(scanned, Node("y", op, ("h", "h"), outputs, masks))


def heads(**settings) -> ops.MultiHeadAttention:
    sizes = {"query": (6, 4), "key": (6, 4), "value": (10, 4), "output": (5, 10)}
    weights = {f"{part}_weight": normal(rng(), *size) for part, size in sizes.items()}
    biases = {f"{part}_bias": normal(rng(), size[0]) for part, size in sizes.items()}
    return ops.MultiHeadAttention(num_heads=2, key_size=3, value_size=5, **weights, **biases, **settings)


def pooled(axes: tuple[int, int] = (1, 1), masked: bool = True) -> Graph:
    """Attention as `attentive_sentiment` has it: a softmax over time and a weighted sum."""
    return graph_of(
        Node("h", lstm(return_sequences=True), ("table",), (), ("mask",)),
        Node("one", dense(rng(), 4, 1), ("h",)),
        Node("flat", ops.Reshape(target_shape=(-1,)), ("one",)),
        Node("share", ops.Softmax(), ("flat",), (), ("mask" if masked else None,)),
        Node("y", ops.Dot(axes=axes), ("share", "h")),
        outputs=("y", "share"),
    )


def counted(
    function: str = "sum",
    axes: tuple[int, ...] = (1,),
    product: ops.Op | None = None,
    cast: bool = True,
    **settings,
) -> Graph:
    """A sum over time of what a mask in numbers is multiplied with, and the number of valid steps."""
    product = ops.Elementwise(function="multiply") if product is None else product
    zeros = "column" if cast else "ones"
    return graph_of(
        Node("h", lstm(return_sequences=True), ("table",), (), ("mask",)),
        Node("number", ops.Cast(output_dtype="float32"), ("mask",)),
        Node("column", ops.ExpandDims(axes=(2,)), ("number",)),
        Node("ones", ops.Elementwise(function="equal"), ("h", "h")),
        Node("one", ops.Cast(output_dtype="float32"), ("ones",)),
        Node("kept", product, ("h", "column" if zeros == "column" else "one")),
        Node("y", ops.Reduction(function=function, axes=axes, **settings), ("kept",)),
        Node("length", ops.Reduction(function="sum", axes=(1,)), ("number",)),
        outputs=("y", "length"),
    )


def packed(compared: str = "less", least: int = 1, seen: str = "greater") -> Graph:
    """As PyTorch programs pack rows: the lengths are how many ids are not 0."""
    steps, lengths = ("steps", "column") if compared.startswith("less") else ("column", "steps")
    return graph_of(
        Node("nothing", ops.Constant(value=np.array(0, "int32")), ()),
        Node("words", ops.Elementwise(function=seen), ("ids", "nothing")),
        Node("ones", ops.Cast(output_dtype="int64"), ("words",)),
        Node("length", ops.Reduction(function="sum", axes=(1,)), ("ones",)),
        Node("one", ops.Clip(min=least), ("length",)),
        Node("column", ops.ExpandDims(axes=(1,)), ("one",)),
        Node("steps", ops.Arange(stop=size("T")), ()),
        Node("valid", ops.Elementwise(function=compared), (steps, lengths)),
        Node("y", bidirectional(rng(), E, 2, return_sequences=True), ("table",), (), ("valid",)),
        outputs=("y", "length"),
    )


def any_of(second: str) -> Graph:
    """Whether any step of a row is valid by the mask and by something else."""
    return graph_of(
        Node("other", ops.NotEqual(value=3), ("ids",)),
        Node("both", ops.Elementwise(function=second), ("other", "mask")),
        Node("y", ops.Reduction(function="any", axes=(1,)), ("both",)),
    )


normalised = ops.LayerNormalization(weight=None, bias=None)


def luong(**settings) -> ops.Attention:
    return ops.Attention(scale=None, score_weight=None, **settings)


MASKED = {
    "packed": (packed(), [(1,), ()]),
    "packed the other way round": (packed("greater", seen="not_equal"), [(1,), ()]),
    "last": (chain(lstm()), [()]),
    "every step": (chain(lstm(return_sequences=True), dense(rng(), 4, 2)), [(1,)]),
    "reversed, last": (chain(lstm(kind=ops.GRU, reverse=True)), [()]),
    "both ways, left apart": (
        chain(bidirectional(rng(), E, 2, merge=None, return_sequences=True)),
        [(1,), (1,)],
    ),
    "two layers": (chain(bidirectional(rng(), E, 2, return_sequences=True), lstm(4, kind=ops.RNN)), [()]),
    "states": (chain(lstm(return_state=True, return_sequences=True)), [(1,), (), ()]),
    "mean": (chain(ops.GlobalAveragePooling1D()), [()]),
    "weighted sum": (pooled(), [(), (1,)]),
    "attention": (
        attended(luong(return_scores=True), None, "mask"),
        [(1,), (1, 2)],
    ),
    "additive, causal": (attended(ops.AdditiveAttention(scale=None, causal=True), "mask", "mask"), [(1,)]),
    "heads": (attended(heads(return_scores=True), "mask", "mask"), [(1,), (2, 3)]),
    "normalised": (
        chain(ops.LayerNormalization(weight=None, bias=None), ops.Activation(function="softmax"), lstm()),
        [()],
    ),
    "sum of what is masked by numbers": (counted(), [(), ()]),
    "norm of it": (counted("norm", (-2,), keepdims=True), [(), ()]),
    "sum of a layer's product": (counted(product=ops.Multiply()), [(), ()]),
    "any valid step": (any_of("logical_and"), [()]),
    "over features": (counted("max", (2,)), [(1,), ()]),
}
SEEN = {
    "packed one step too far": packed("less_equal"),
    "packed by two steps at least": packed(least=2),
    "packed by what is no length": packed(seen="less"),
    "no mask": chain(lstm(), masked=False),
    "the last of two without": graph_of(
        Node("a", lstm(return_sequences=True), ("table",), (), ("mask",)), Node("b", lstm(4), ("a",))
    ),
    "reversed sequence": chain(lstm(reverse=True, return_sequences=True)),
    "maximum": chain(ops.GlobalMaxPooling1D()),
    "mean without": chain(ops.GlobalAveragePooling1D(), masked=False),
    "windows": chain(ops.AveragePooling1D(pool_size=(2,), strides=(2,), padding="same")),
    "flipped": chain(ops.Flip(), lstm()),
    "padded": chain(ops.ZeroPadding1D(padding=((1, 0),)), ops.GlobalMaxPooling1D()),
    "softmax over time": chain(ops.Softmax(axis=1), ops.GlobalAveragePooling1D()),
    "weights without": pooled(masked=False),
    "attention without": attended(luong(), "mask", None),
    "heads without": attended(heads(), "mask", None),
    "sum without": counted(cast=False),
    "mean of what is masked": counted("mean"),
    "largest of what is masked": counted("max"),
    "norm of order infinity": counted("norm", order=float("inf")),
    "product of what is masked": counted("prod"),
    "zeros added to": counted(product=ops.Elementwise(function="add")),
    "over rows too": counted(axes=(0, 1)),
    "any by either": any_of("logical_or"),
    "running sum": chain(ops.CumulativeSum(axis=1), ops.GlobalAveragePooling1D()),
    "sorted": chain(ops.Sort(axis=1), lstm()),
    "over rows": chain(ops.Softmax(axis=0), lstm()),
}


@pytest.mark.parametrize("name", MASKED)
def test_masked(name: str) -> None:
    graph, wanted = MASKED[name]
    axes = masked_axes(graph)
    assert axes is not None
    assert [axes[output] for output in graph.outputs] == wanted
    assert moved(graph, axes) < 1e-12


@pytest.mark.parametrize("name", SEEN)
def test_seen(name: str) -> None:
    graph = SEEN[name]
    assert masked_axes(graph) is None


@pytest.mark.parametrize(
    "name",
    [
        *("no mask", "maximum", "reversed sequence", "attention without", "heads without"),
        *("sum without", "mean of what is masked", "zeros added to", "sorted"),
    ],
)
def test_what_is_seen_does_move(name: str) -> None:
    """The refusals are not for nothing."""
    graph = SEEN[name]
    steps = {
        output: (1,) * (len(graph.tensors[output].shape) == 3 and graph.tensors[output].shape[1] == "T")
        for output in graph.outputs
    }
    assert moved(graph, steps) > 1e-4


def test_other_masks_than_of_id_0() -> None:
    nodes = (Node("other", ops.NotEqual(value=3), ("ids",)), Node("ones", ops.OnesLike(), ("table",)))
    joined = (
        Node("and", ops.LogicalAnd(), ("mask", "other")),
        Node("or", ops.LogicalOr(), ("mask", "ones")),
    )
    for mask, known in {"other": False, "ones": False, "and": True, "or": False, "mask": True}.items():
        graph = graph_of(*nodes, *joined, Node("y", lstm(), ("table",), (), (mask,)))
        assert (masked_axes(graph) is not None) == known, mask
        if known:
            assert moved(graph, {"y": ()}) < 1e-12


def test_inputs_that_are_not_looked_into() -> None:
    node = Node("y", lstm(), ("x",))
    assert masked_axes(Graph((Value("x", ("N", "T", E), "float32"),), (node,), ("y",))) is None
    two = Graph(
        (Value("ids", ("N", "T"), "int32"), Value("s", ("N", 4), "float32")),
        (*graph_of(Node("y", lstm(), ("table",), (), ("mask",))).nodes, Node("z", ops.Add(), ("y", "s"))),
        ("z",),
    )
    assert masked_axes(two) is None


def test_fixed_lengths() -> None:
    graph = chain(lstm(return_sequences=True))
    fixed = dataclasses.replace(graph, inputs=(Value("ids", ("N", 6), "int32"),))
    assert masked_axes(fixed) == {"l0": (1,)}
    assert masked_axes(dataclasses.replace(graph, inputs=(Value("ids", ("N", 1), "int32"),))) is None
