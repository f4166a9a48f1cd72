"""The step of a cell, and of a convolutional layer, as a graph of layers and operations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from biport.dims import Dim
from biport.errors import UnsupportedError
from biport.graph import Graph, Node, Value, scan_over
from biport.ops import (
    GRU,
    LSTM,
    Activation,
    Add,
    Cell,
    Constant,
    ConvolutionalLSTM,
    Dense,
    Elementwise,
    Op,
    PermuteDims,
    Scan,
    Split,
)


def step_of(cell: Cell) -> Graph:
    """What `cell` computes at each step, of x ``(N, I)`` and its states.

    Two biases that always act as their sum are that sum.

    Example:
        >>> gates = dict.fromkeys(("weight_ih", "weight_hh"), {"h": np.ones((3, 3), "float32")})
        >>> from biport.ops import RNN
        >>> print(step_of(RNN(input_size=3, hidden_size=3, **gates, bias_ih=None, bias_hh=None)))
        graph(x: float32 (N, 3), h: float32 (N, 3)) -> y, y
          x_h   : float32 (N, 3) = Dense(input_size=3, output_size=3, bias=None)(x)
          h_h   : float32 (N, 3) = Dense(input_size=3, output_size=3, bias=None)(h)
          sum_h : float32 (N, 3) = Add()(x_h, h_h)
          y     : float32 (N, 3) = Activation(function=tanh)(sum_h)
    """
    return _Step(cell).graph()


def scan_of(op: ConvolutionalLSTM, step: Sequence[Dim], channels_first: bool = False) -> Scan:
    """What ``op`` computes as a recurrence over a body of layers and operations.

    Args:
        op: the layer.
        step: x of a step behind the rows, ``(*S, I)``.
        channels_first: whether states and output are ``(N, H, *S')``, for frameworks whose convolutions are
            over that; activations that look at all features have no meaning then.

    Raises:
        UnsupportedError: one of these sizes varies.

    Example:
        >>> weights = {name: dict.fromkeys("ifco", np.ones((4, 4, 3), "float32")) for name in ("ih", "hh")}
        >>> from biport.ops import ConvLSTM1D
        >>> sizes = {"input_size": 4, "hidden_size": 4, "kernel_size": 3}
        >>> op = ConvLSTM1D(**sizes, weight_ih=weights["ih"], weight_hh=weights["hh"], bias=None)
        >>> scan_of(op, (8, 4)).output_shape()
        (6, 4)
    """
    fixed = [size for size in step if isinstance(size, int)]
    if len(fixed) < len(step):
        supported = f"fixed sizes behind the time steps, found {tuple(map(str, step))}"
        raise UnsupportedError(op.kind, "input", "images of a size that varies", supported)
    *sizes, width = op.output_shape(fixed)
    after = (width, *sizes) if channels_first else (*sizes, width)
    dtype = op.dtype or "float32"
    shapes = {"x": tuple(fixed)} | dict.fromkeys(op.states, after)
    arguments = tuple(Value(name, ("N", *shape), dtype) for name, shape in shapes.items())
    names = "reverse", "return_sequences", "return_state", "zero_output_for_mask"
    settings = {name: getattr(op, name) for name in names}
    nodes = (*_convolutions(op, channels_first), *_gates(op, axis=1 if channels_first else -1))
    return scan_over(Graph(arguments, nodes, ("y", "y", "c_after")), len(op.states), **settings)


def _convolutions(op: ConvolutionalLSTM, channels_first: bool) -> tuple[Node, ...]:
    """One of x and one of the state, for all gates."""
    if not channels_first:
        return Node("of_x", op.input_convolution, ("x",)), Node("of_h", op.state_convolution, ("h",))
    first = PermuteDims(axes=(0, op.rank, *range(1, op.rank)))
    return (
        Node("last_x", op.input_convolution, ("x",)),
        Node("of_x", first, ("last_x",)),
        Node("last_h", PermuteDims(axes=(0, *range(2, op.rank + 1), 1)), ("h",)),
        Node("convolved_h", op.state_convolution, ("last_h",)),
        Node("of_h", first, ("convolved_h",)),
    )


def _gates(op: ConvolutionalLSTM, axis: int) -> tuple[Node, ...]:
    """The new states, of what the convolutions gave."""
    recurrent, activation = (Activation(function=name) for name in (op.recurrent_activation, op.activation))
    multiply, add = (Elementwise(function=name) for name in ("multiply", "add"))
    functions = {gate: activation if gate == "c" else recurrent for gate in op.gates}
    split = Split(sizes=(op.hidden_size,) * len(op.gates), axis=axis)
    return (
        Node("sum", add, ("of_x", "of_h")),
        Node("gates", split, ("sum",), tuple(f"sum_{gate}" for gate in op.gates)),
        *(Node(f"gate_{gate}", functions[gate], (f"sum_{gate}",)) for gate in op.gates),
        Node("kept", multiply, ("gate_f", "c")),
        Node("new", multiply, ("gate_i", "gate_c")),
        Node("c_after", add, ("kept", "new")),
        Node("shown", activation, ("c_after",)),
        Node("y", multiply, ("gate_o", "shown")),
    )


class _Step:
    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.dtype = cell.dtype or "float32"
        self.nodes: list[Node] = []

    def graph(self) -> Graph:
        """The output is the first state."""
        match self.cell:
            case LSTM():
                after = self._lstm()
            case GRU():
                after = [self._gru(self.cell)]
            case _:
                after = [self._gate("h", "h", "y")]
        sizes = {"x": self.cell.input_size} | dict.fromkeys(self.cell.states, self.cell.hidden_size)
        values = (Value(name, ("N", size), self.dtype) for name, size in sizes.items())
        return Graph(tuple(values), tuple(self.nodes), (after[0], *after))

    def _lstm(self) -> list[str]:
        i, o, f, candidate = (self._gate(gate, "h", f"gate_{gate}") for gate in "iofc")
        kept, new = (
            self._function("multiply", "kept", f, "c"),
            self._function("multiply", "new", i, candidate),
        )
        c = self._function("add", "c_after", kept, new)
        return [self._function("multiply", "y", o, self._activated(self.cell.activation, "shown", c)), c]

    def _gru(self, cell: GRU) -> str:
        update, reset = (self._gate(gate, "h", f"gate_{gate}") for gate in "zr")
        if cell.reset_after:
            inner = self._function("multiply", "inner", reset, self._of_state("h", "h"))
            total = self._apply("sum_h", Add(), self._of_input("h"), inner)
            candidate = self._activated(cell.activation, "gate_h", total)
        else:
            candidate = self._gate("h", self._function("multiply", "reset", reset, "h"), "gate_h")
        one = self._apply("one", Constant(value=np.ones((), self.dtype)))
        rest = self._function("multiply", "new", self._function("subtract", "rest", one, update), candidate)
        return self._function("add", "y", self._function("multiply", "kept", update, "h"), rest)

    def _gate(self, gate: str, h: str, name: str) -> str:
        """A gate of x and of the state, or what stands for it."""
        cell = self.cell
        total = self._apply(f"sum_{gate}", Add(), self._of_input(gate), self._of_state(gate, h))
        return self._activated(cell.activation if gate == cell.gates[-1] else cell.recurrent, name, total)

    def _late(self, gate: str) -> bool:
        """Whether the second bias waits for the state."""
        return not self.cell.one_bias and gate == self.cell.gates[-1]

    def _of_input(self, gate: str) -> str:
        first, second = self.cell.bias_ih, self.cell.bias_hh
        bias = None if first is None else first[gate]
        if bias is not None and second is not None and not self._late(gate):
            bias = bias + second[gate]
        return self._dense(f"x_{gate}", self.cell.weight_ih[gate], bias, "x")

    def _of_state(self, gate: str, h: str) -> str:
        late = self.cell.bias_hh[gate] if self.cell.bias_hh is not None and self._late(gate) else None
        return self._dense(f"h_{gate}", self.cell.weight_hh[gate], late, h)

    def _dense(self, name: str, weight: np.ndarray, bias: np.ndarray | None, x: str) -> str:
        size, width = weight.shape
        return self._apply(name, Dense(input_size=width, output_size=size, weight=weight, bias=bias), x)

    def _activated(self, function: str, name: str, x: str) -> str:
        return self._apply(name, Activation(function=function), x)

    def _function(self, function: str, name: str, *inputs: str) -> str:
        return self._apply(name, Elementwise(function=function), *inputs)

    def _apply(self, name: str, op: Op, *inputs: str) -> str:
        self.nodes.append(Node(name, op, inputs))
        return name
