"""The source of ``model.py``: it computes what the module does, under the same keys, whatever the names."""

from __future__ import annotations

import ast
import unicodedata

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import nn

from biport import ops
from biport.graph import Graph, Node, Value
from testing.examples import EXAMPLES, Example
from testing.graphs import bidirectional, dense, embedding
from testing.model_source import check_same
from torch_side.shared.activations import ACTIVATION_MODULES
from torch_side.writing.constructors import constructor

HOSTILE = (
    *("forward", "load", "Model", "torch", "nn", "self", "Tensor", "check", "state_dict", "lambda", "None"),
    *("x", "h", "mask", "max", "functional", "MaskedLSTM", "__init__", "__private", "1", "0", "a.b", "a.0"),
    *('"""', "\\", "'''", "\n", "\x00", "a\nimport os", '\\"""\nimport os', "{name}", "%s", "# fmt: off"),
    *("\u202eevil", "ﬁ", "naïve", "编码器", "x²", "..", "a..b", "keys.values", "encoder@1.lstm", "é"),
    *("a" * 120, "encoder.lstm", "encoder.dense", "list.0.x", "list.1.x", "\ud800", "``"),
)
NAMES = st.sampled_from(HOSTILE) | st.text(max_size=12)


def graph_of(example: Example) -> tuple[Graph, list[np.ndarray]]:
    """An example alone."""
    names = [f"x{number}" for number in range(len(example.inputs))]
    masks = [None if mask is None else f"m{number}" for number, mask in enumerate(example.masks)]
    values = [Value(name, x.shape, x.dtype.name) for name, x in zip(names, example.inputs, strict=True)]
    given = [(name, mask) for name, mask in zip(masks, example.masks, strict=True) if name is not None]
    values += [Value(name, mask.shape, "bool") for name, mask in given if mask is not None]
    outputs = tuple(f"y{number}" for number in range(example.op.output_count))
    node = Node("layer", example.op, tuple(names), outputs, tuple(masks))
    arrays = [*example.inputs, *(mask for mask in example.masks if mask is not None)]
    return Graph(tuple(values), (node,), outputs), arrays


@pytest.mark.parametrize("kind", sorted({example.op.kind for example in EXAMPLES}))
def test_every_op_is_printed(kind: str) -> None:
    (first, *rest) = [example for example in EXAMPLES if example.op.kind == kind]
    for example in (first, *rest[-1:]):
        check_same(*graph_of(example))


@pytest.mark.sweep
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.label)
def test_every_example_is_printed(example: Example) -> None:
    check_same(*graph_of(example))


def hostile_graph(names: list[str]) -> Graph:
    """A masked classifier of which every name is given, with a parameter and a table."""
    ids, start, table, mask, lstm, end, scale, total = names
    rng = np.random.default_rng(0)
    array = rng.normal(size=(1, 6)).astype("float32")
    nodes = (
        Node(table, embedding(rng, 4, 9), (ids,)),
        Node(mask, ops.NotEqual(), (ids,)),
        Node(lstm, bidirectional(rng, 4, 3), (table,), masks=(mask,)),
        Node(end, dense(rng, 6, 6, "tanh"), (lstm,)),
        Node(scale, ops.Parameter(value=array), ()),
        Node(total, ops.Add(), (end, scale, start)),
    )
    inputs = Value(ids, ("N", "T"), "int32"), Value(start, ("N", 6), "float32")
    return Graph(inputs, nodes, (total, lstm), {"framework": names[0], "version": names[1]})


@settings(max_examples=12, deadline=None, phases=[Phase.generate])
@given(st.lists(NAMES.filter(bool), min_size=8, max_size=8, unique=True))
def test_names_are_the_attackers_to_choose(names: list[str]) -> None:
    rng = np.random.default_rng(1)
    ids = rng.integers(0, 9, (3, 5)).astype("int32")
    start = rng.normal(size=(3, 6)).astype("float32")
    source = check_same(hostile_graph(names), [ids, start])
    hidden = [sign for sign in source if unicodedata.category(sign) in ("Cf", "Cc", "Cs", "Zl", "Zp")]
    assert set(hidden) == {"\n"}
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert "os" not in [alias.name for node in imports for alias in node.names]


@pytest.mark.parametrize("name", ACTIVATION_MODULES)
def test_an_activation_inside_of_a_layer_is_printed(name: str) -> None:
    module = ACTIVATION_MODULES[name]()
    code = constructor(module).text
    assert repr(eval(code, {"nn": nn, type(module).__name__: type(module)})) == repr(module)
