"""An op that takes wider inputs gives, feature for feature, what it gave."""

from typing import Any

import numpy as np
import pytest

from biport import ops
from biport.errors import UnsupportedError
from biport.graph import Graph, Node, Value
from biport.reference import REFERENCES, run
from biport.rewrite.bidirectional import bidirect
from biport.rewrite.bidirectional.widening import Widening, doubled, take
from testing.examples import EXAMPLES, Example, of_each_kind


def widening(size: int) -> Widening:
    """Some features twice, in no order, the shares of each adding up to 1."""
    of = np.concatenate([np.arange(size)[::-1], [size - 1, 0]])
    return Widening(of, np.array([1 / np.count_nonzero(of == feature) for feature in of]))


def taken(example: Example) -> tuple[ops.Op, Widening | None] | None:
    """The op for wider inputs, and how its output is wider; nothing where it refuses them."""
    names = tuple(f"x{number}" for number in range(len(example.inputs)))
    outputs = tuple(f"y{number}" for number in range(example.op.output_count))
    node = Node("layer", example.op, names, outputs)
    try:
        wider = [widening(x.shape[-1]) for x in example.inputs]
        return take(node, example.op, example.tensors, wider)
    except UnsupportedError:
        return None


WIDE = [
    example
    for example in EXAMPLES
    if example.inputs and all(x.ndim > 1 and x.dtype == float for x in example.inputs)
]


def check_take(example: Example) -> None:
    wider = taken(example)
    if wider is None:
        return
    op, output = wider
    inputs = [np.take(x, widening(x.shape[-1]).of, axis=-1) for x in example.inputs]
    # Where steps are features too, a mask over them is as much wider.
    masks = [
        mask if mask is None or x.ndim > 2 else np.take(mask, widening(x.shape[-1]).of, axis=-1)
        for x, mask in zip(example.inputs, example.masks, strict=True)
    ]
    compute = REFERENCES.lookup(type(op), "")
    before, after = compute(example.op, example.inputs, example.masks), compute(op, inputs, masks)
    for one, two in zip(before, after, strict=True):
        expected = one if output is None else np.take(one, output.of, axis=-1)
        np.testing.assert_allclose(two, expected, rtol=0, atol=1e-12)


test_take = of_each_kind(WIDE, check_take)


def test_taking_ops() -> None:
    """Those of the test above, so that none is lost."""
    taking = {type(example.op).__name__ for example in WIDE if taken(example)}
    refusing = {"AdditiveAttention", "Attention", "Dot", "Embedding", "FeaturesNotEqual", "LogicalAnd"}
    refusing |= {"CategoryEncoding", "IntegerLookup"}
    refusing |= {"LogicalOr", "NotEqual", "OnesLike", "Permute", "RMSNormalization", "Reshape", "Scan"}
    refusing |= {"BroadcastTo", "MatMul", "ReshapeTo", "Tile"}
    refusing |= {
        *("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"),
        "Conv1DTranspose",
        "Conv2DTranspose",
        "Conv3DTranspose",
        "SeparableConv1D",
        "SeparableConv2D",
    }
    every = {type(example.op).__name__ for example in WIDE} | {"Embedding", "LogicalAnd"}
    layers = {op.__name__ for op in ops.op_classes() if not issubclass(op, ops.TensorOperation)}
    assert layers - every <= refusing
    assert taking == every - refusing


@pytest.mark.parametrize("steps", [4, "T"])
def test_flatten_inside(steps: int | str) -> None:
    """Flatten in a TimeDistributed lays the features of one step flat, not those of all."""
    op = ops.TimeDistributed(layer=ops.Flatten())
    node = Node("flat", op, ("x",))
    _, output = take(node, op, [ops.Tensor(("N", steps, 3), "float32")], [doubled(3, 0.5)])
    assert output is not None
    assert output.equals(doubled(3, 0.5))


def test_log_softmax() -> None:
    """It looks at all features, so that no wider ones go through it."""
    rng = np.random.default_rng(0)
    gates: Any = {"weight_ih": {"h": rng.normal(size=(2, 3))}, "weight_hh": {"h": rng.normal(size=(2, 2))}}
    layer = ops.RNN(input_size=3, hidden_size=2, return_sequences=True, bias_ih=None, bias_hh=None, **gates)
    inputs = (Value("x", ("N", "T", 3), "float64"),)
    for function in ("log_softmax", "softmax", "tanh"):
        nodes = (Node("rnn", layer, ("x",)), Node("y", ops.Activation(function=function), ("rnn",)))
        graph = Graph(inputs, nodes, ("y",))
        if function == "tanh":
            wider = bidirect(graph).graph
            x = rng.normal(size=(2, 5, 3))
            np.testing.assert_array_equal(run(wider, [x])[0][..., :2], run(graph, [x])[0])
            continue
        with pytest.raises(UnsupportedError, match=r"layer 'y'.*wider by a backward direction"):
            bidirect(graph)


def test_a_product_is_as_wide_as_its_right_factor() -> None:
    """Weights of steps by the steps' features, as attention by operations has it."""
    node = Node("context", ops.MatMul(), ("weights", "steps"))
    inputs = [ops.Tensor(("N", 1, "T"), "float32"), ops.Tensor(("N", "T", 3), "float32")]
    _, output = take(node, node.op, inputs, [None, doubled(3, 0.5)])
    assert output is not None
    assert output.equals(doubled(3, 0.5))
    with pytest.raises(UnsupportedError, match="context"):
        take(node, node.op, inputs, [doubled(3, 0.5), None])
