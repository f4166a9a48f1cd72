"""Random bodies of a `Scan`, as people write cells; no two sizes equal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from biport import ops
from biport.dims import letter
from biport.graph import Graph, Node, Value, scan_over
from testing.graphs import cell, dense, normal

I, H = 5, 3
"""Sizes of x and of the state."""

IMAGE = 5, 4, 2
"""Height, width and channels of x, where it is an image."""


class Body:
    """The graph of a step, written down an op at a time."""

    def __init__(
        self, rng: np.random.Generator, dtype: str = "float32", **constants: tuple[Any, ...]
    ) -> None:
        self.rng = rng
        self.dtype = dtype
        self.nodes: list[Node] = []
        self.constants = constants

    def __call__(self, name: str, op: ops.Op, *inputs: str, masks: tuple[str | None, ...] = ()) -> str:
        """One more node; the name of its output."""
        self.nodes.append(Node(name, op, inputs, masks=masks))
        return name

    def dense(self, name: str, x: str, width: int, size: int) -> str:
        """A layer with a bias."""
        return self(name, dense(self.rng, width, size).astype(self.dtype), x)

    def function(self, function: str, *inputs: str, name: str = "") -> str:
        """An elementwise function or an activation."""
        one = len(inputs) == 1
        op = ops.Activation(function=function) if one else ops.Elementwise(function=function)
        return self(name or f"{function}_{len(self.nodes)}", op, *inputs)

    def graph(self, states: Mapping[str, int], results: tuple[str, ...], width: int = I) -> Graph:
        """The step with these states."""
        arguments = {"x": ("N", width)} | {name: ("N", size) for name, size in states.items()}
        values = [Value(name, shape, self.dtype) for name, shape in (arguments | self.constants).items()]
        return Graph(tuple(values), tuple(self.nodes), results)

    def scan(self, states: Mapping[str, int], results: tuple[str, ...], **settings: Any) -> ops.Scan:
        """The recurrence over it."""
        return scan_over(self.graph(states, results), len(states), **settings)


def _norm(rng: np.random.Generator, size: int, dtype: str) -> ops.LayerNormalization:
    weight, bias = normal(rng, size, dtype=dtype) + 1, normal(rng, size, dtype=dtype)
    return ops.LayerNormalization(weight=weight.astype(dtype), bias=bias)


def layer_norm_lstm(rng: np.random.Generator, dtype: str = "float32", **settings: Any) -> ops.Scan:
    """An LSTM whose projections and cell state are normalised (Ba et al. 2016)."""
    body = Body(rng, dtype)
    gates = []
    for gate in "ifco":
        wide = body(f"norm.x_{gate}", _norm(rng, H, dtype), body.dense(f"x_{gate}", "x", I, H))
        deep = body(f"norm.h_{gate}", _norm(rng, H, dtype), body.dense(f"h_{gate}", "h", H, H))
        total = body(f"sum_{gate}", ops.Add(), wide, deep)
        gates.append(body.function("tanh" if gate == "c" else "sigmoid", total, name=gate))
    i, f, candidate, o = gates
    kept = body.function("multiply", f, "c_before")
    c = body.function("add", kept, body.function("multiply", i, candidate), name="c_after")
    h = body.function("multiply", o, body.function("tanh", body("norm_c", _norm(rng, H, dtype), c)))
    return body.scan({"h": H, "c_before": H}, (h, h, c), **settings)


def peephole_lstm(rng: np.random.Generator, dtype: str = "float32", **settings: Any) -> ops.Scan:
    """An LSTM whose gates see the cell state (Gers and Schmidhuber 2000)."""
    body = Body(rng, dtype)

    def gate(name: str, c: str | None) -> str:
        total = body(
            f"{name}/sum", ops.Add(), body.dense(f"x_{name}", "x", I, H), body.dense(f"h_{name}", "h", H, H)
        )
        if c is not None:
            peephole = body(f"{name}.peephole", ops.Parameter(value=normal(rng, H, dtype=dtype)))
            total = body.function("add", total, body.function("multiply", peephole, c))
        return body.function("tanh" if c is None else "sigmoid", total, name=name)

    i, f = gate("i", "c"), gate("f", "c")
    kept = body.function("multiply", f, "c")
    c = body.function("add", kept, body.function("multiply", i, gate("g", None)), name="new_c")
    h = body.function("multiply", gate("o", c), body.function("tanh", c), name="y")
    return body.scan({"h": H, "c": H}, (h, h, c), **settings)


def ind_rnn(rng: np.random.Generator, dtype: str = "float32", **settings: Any) -> ops.Scan:
    """A recurrence in which each unit sees itself alone (Li et al. 2018)."""
    body = Body(rng, dtype)
    own = body.function("multiply", body("u", ops.Parameter(value=normal(rng, H, dtype=dtype))), "h")
    h = body.function("relu", body.function("add", body.dense("x_h", "x", I, H), own), name="y")
    return body.scan({"h": H}, (h, h), **settings)


def attention_cell(rng: np.random.Generator, dtype: str = "float32", **settings: Any) -> ops.Scan:
    """A cell that looks at a memory ``(N, S, 4)`` at every step, under its mask, and shows what it saw."""
    body = Body(rng, dtype, memory=("N", "S", 4))
    query = body("query", ops.ExpandDims(axes=(1,)), body.dense("query_of_h", "h", H, 4))
    keys = body.dense("keys", "memory", 4, 4)
    seen = body("attention", ops.Attention(scale=None, score_weight=None), query, "memory", keys)
    context = body("context", ops.Squeeze(axes=(1,)), seen)
    both = body("both", ops.Concatenate(axis=-1), "x", context)
    h = body.function(
        "tanh",
        body("sum", ops.Add(), body.dense("x_h", both, I + 4, H), body.dense("h_h", "h", H, H)),
        name="new_h",
    )
    y = body("y", ops.Concatenate(axis=-1), h, context)
    return body.scan({"h": H}, (y, h), **settings)


def nested_cells(rng: np.random.Generator, dtype: str = "float32", **settings: Any) -> ops.Scan:
    """A GRU and an LSTM of other sizes on top of it, as one step: the recurrent layers see one step each."""
    body = Body(rng, dtype)
    x = body("step", ops.ExpandDims(axes=(1,)), "x")
    low = cell(rng, ops.GRU, I, H, dtype=dtype)
    high = cell(rng, ops.LSTM, H, 4, dtype=dtype, return_state=True)
    h = body("low", low, x, "h0")
    up = body("up", ops.ExpandDims(axes=(1,)), h)
    body.nodes.append(Node("high", high, (up, "h1", "c1"), ("y", "after_h", "after_c")))
    return body.scan({"h0": H, "h1": 4, "c1": 4}, ("y", h, "after_h", "after_c"), **settings)


def grid_cell(rng: np.random.Generator, dtype: str = "float32", **settings: Any) -> ops.Scan:
    """Rows and columns that are summed into a state of another rank, and an output that is a grid again."""
    (height, width, size), body = IMAGE, Body(rng, dtype)
    of_x = body.dense("x_grid", "x", size, H)
    h = body.function("tanh", body("sum", ops.Add(), of_x, body.dense("h_grid", "h", H, H)), name="new_h")
    total = body("rows", ops.Reduction(function="mean", axes=(1, 2)), h)
    total = body.function("subtract", total, "total", name="new_total")
    turned = body("turned", ops.PermuteDims(axes=(0, 2, 1, 3)), body.function("multiply", h, h))
    y = body("y", ops.Reduction(function="max", axes=(3,)), turned)
    values = {"x": (height, width, size), "h": (height, width, H), "total": (H,)}
    arguments = tuple(Value(name, ("N", *shape), dtype) for name, shape in values.items())
    return scan_over(Graph(arguments, tuple(body.nodes), (y, h, total)), 2, **settings)


def convolving_cell(rng: np.random.Generator, dtype: str = "float32", **settings: Any) -> ops.Scan:
    """A gated unit over images, whose output is smaller than its state: all have axes of their own."""
    (height, width, size), body = IMAGE, Body(rng, dtype)

    def convolution(name: str, x: str, to: int, **more: Any) -> str:
        # Small, so that 90 steps do not drive two programs apart.
        weight = (0.3 * normal(rng, to, size if x == "x" else H, 3, 2)).astype(dtype)
        sizes = {"input_size": weight.shape[1], "output_size": to, "kernel_size": (3, 2), **more}
        return body(name, ops.Conv2D(**sizes, weight=weight, bias=normal(rng, to, dtype=dtype)), x)

    of_x, of_h = (convolution(f"{name}_gates", name, 2 * H, padding="same") for name in ("x", "h"))
    body.nodes.append(
        Node("gates", ops.Split(sizes=(H, H), axis=-1), (body.function("add", of_x, of_h),), ("z", "new"))
    )
    old = body.function("multiply", body.function("sigmoid", "z"), "h")
    h = body.function("add", old, body.function("tanh", "new"), name="after_h")
    y = convolution("y", h, 2, strides=(2, 1))
    total = body.function("add", "total", body("mean", ops.GlobalAveragePooling2D(), h), name="after_total")
    values = {"x": (height, width, size), "h": (height, width, H), "total": (H,)}
    arguments = tuple(Value(name, ("N", *shape), dtype) for name, shape in values.items())
    return scan_over(Graph(arguments, tuple(body.nodes), (y, h, total)), 2, **settings)


def counter(rng: np.random.Generator, dtype: str = "float32", **settings: Any) -> ops.Scan:
    """A body that is hardly one: the sum of all that came, and x itself as the output."""
    body = Body(rng, dtype)
    total = body.function("add", "x", "total", name="sum")
    return body.scan({"total": I}, ("x", total), **settings)


class RandomBody(Body):
    """Some operations one after the other, each of what there is by then: x, states and constants."""

    def __init__(self, rng: np.random.Generator, dtype: str) -> None:
        super().__init__(rng, dtype, memory=("N", "S", 4), vector=("N", 6))
        self.widths = {"x": I, "vector": 6}
        self.sequences = {"memory": 4}

    def some(self, names: Mapping[str, int]) -> tuple[str, int]:
        """One of the values and its width."""
        return list(names.items())[self.rng.integers(len(names))]

    def step(self) -> None:
        """One more value ``(N, width)``, or ``(N, S, width)``."""
        makers = [self._layer, self._layer, self._joined, self._compared, self._reshaped, self._normed]
        makers += [self._scaled, self._of_memory, self._over_memory, self._looked_up]
        makers[self.rng.integers(len(makers))](f"v{len(self.nodes)}")

    def vector(self, width: int) -> str:
        """One of the values in some width."""
        x, size = self.some(self.widths)
        name = f"v{len(self.nodes)}"
        return x if size == width else self.dense(f"{name}.to_{width}", x, size, width)

    def _layer(self, name: str) -> None:
        x, width = self.some(self.widths)
        size = int(self.rng.integers(2, 7))
        self.widths[self.function("tanh", self.dense(f"{name}.dense", x, width, size), name=name)] = size

    def _joined(self, name: str) -> None:
        (a, one), (b, two) = self.some(self.widths), self.some(self.widths)
        self.widths[self(name, ops.Concatenate(axis=-1), a, b)] = one + two

    def _compared(self, name: str) -> None:
        a, width = self.some(self.widths)
        condition = self.function("greater", a, self.vector(width), name=f"{name}.condition")
        self.widths[self(name, ops.Where(), condition, a, self.vector(width))] = width

    def _reshaped(self, name: str) -> None:
        x, width = self.some(self.widths)
        wide = self(f"{name}.wide", ops.ReshapeTo(shape=(letter("N"), width, 1)), x)
        turned = self(f"{name}.turned", ops.PermuteDims(axes=(0, 2, 1)), wide)
        flipped = self(f"{name}.flipped", ops.Flip(axes=(2,)), turned)
        self.widths[self(name, ops.Squeeze(axes=(1,)), flipped)] = width

    def _normed(self, name: str) -> None:
        x, width = self.some(self.widths)
        self.widths[self(name, _norm(self.rng, width, self.dtype), x)] = width

    def _scaled(self, name: str) -> None:
        x, width = self.some(self.widths)
        factor = self(f"{name}.factor", ops.Parameter(value=normal(self.rng, width, dtype=self.dtype)))
        self.widths[self.function("multiply", x, factor, name=name)] = width

    def _of_memory(self, name: str) -> None:
        x, width = self.some(self.sequences)
        layer = cell(self.rng, ops.GRU, width, 3, dtype=self.dtype, return_sequences=True)
        self.sequences[self(name, layer, x)] = 3

    def _over_memory(self, name: str) -> None:
        x, width = self.some(self.sequences)
        self.widths[self(name, ops.Reduction(function="max", axes=(1,)), x)] = width

    def _looked_up(self, name: str) -> None:
        x, width = self.some(self.sequences)
        query = self(f"{name}.query", ops.ExpandDims(axes=(1,)), self.vector(width))
        seen = self(f"{name}.seen", ops.Attention(scale=None, score_weight=None), query, x)
        self.widths[self(name, ops.Squeeze(axes=(1,)), seen)] = width


def random_scan(rng: np.random.Generator, dtype: str = "float32", **settings: Any) -> ops.Scan:
    """A cell that nobody would think of; its states and its output are between -1 and 1."""
    body = RandomBody(rng, dtype)
    sizes = {f"s{number}": number + 2 for number in range(rng.integers(1, 4))}
    body.widths |= sizes
    for _ in range(10):
        body.step()
    wide = "x", *sizes, list(body.widths)[-1]
    joined = body("all", ops.Concatenate(axis=-1), *wide)
    width = sum(body.widths[name] for name in wide)
    results = [
        body.function("tanh", body.dense(f"to_{name}", joined, width, size), name=f"new_{name}")
        for name, size in sizes.items()
    ]
    y = body.function("tanh", body.dense("to_y", joined, width, 4), name="y")
    output = (y, results[0], "x")[rng.integers(3)]
    return body.scan(sizes, (output, *results), **settings)


CELLS: dict[str, Callable[..., ops.Scan]] = {
    "layer norm": layer_norm_lstm,
    "peephole": peephole_lstm,
    "IndRNN": ind_rnn,
    "attention": attention_cell,
    "nested": nested_cells,
    "counter": counter,
    "grid": grid_cell,
    "images": convolving_cell,
}


def graph_of(op: ops.Scan, *, masked: bool = True, states: bool = False) -> Graph:
    """``x`` and ``ids`` that say which steps are valid through ``op``; states and constants are inputs."""
    dtype = op.dtype
    inputs = [Value("x", ("N", "T", *op.step_shape), dtype)]
    inputs += [Value("ids", ("N", "T"), "int32")] if masked else []
    shapes = op.state_shapes() if states else ()
    given = [Value(f"state{number}", ("N", *shape), dtype) for number, shape in enumerate(shapes)]
    given += [Value(value.name, value.shape, value.dtype) for value in op.constant_arguments]
    names = tuple(f"y:{number}" for number in range(op.output_count))
    nodes = [Node("mask", ops.NotEqual(), ("ids",))] if masked else []
    reads = ("x", *(value.name for value in given))
    masks = ("mask" if masked else None, *(None for _ in given))
    return Graph((*inputs, *given), (*nodes, Node("cell", op, reads, names, masks)), names)
