"""The step of a cell as a graph of layers and operations."""

from __future__ import annotations

import numpy as np

from biport.graph import Graph, Node, Value
from biport.ops import GRU, LSTM, Activation, Add, Cell, Constant, Dense, Elementwise, Op


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
