"""What programs of tensor operations say of layers, said by the layers: exact rules, each of a few lines.

A state taken out of a stack is that state, the last step of a recurrent layer is what it gives without its
sequence, a product with a parameter is a Dense. Every rule gives the same numbers for every input, or the
same in exact arithmetic where a sum is grouped in another way; none of them looks at what weights there are.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from biport import ops
from biport.graph import Graph, Node
from biport.ops.shaping import WHOLE, Moving
from biport.reference.registry import REFERENCES

MAX_FOLDED = 2**16
"""Elements of a constant that is computed beforehand; larger ones are computed by whoever needs them."""

Rule = Callable[["_Pass", Node], "Node | Sequence[str] | None"]
"""Another node in place of one, or the values its outputs are already; or ``None``: it does not apply."""


def simplify(graph: Graph) -> Graph:
    """The same model with layers in place of the tensor operations that make them up.

    Inputs and outputs keep their names, and layers theirs; tensor operations that nothing needs are left out.

    Example:
        >>> from biport.graph import Value
        >>> transposed = ops.PermuteDims(axes=(0, 2, 1))
        >>> nodes = (
        ...     Node("there", transposed, ("x",)),
        ...     Node("back", transposed, ("there",)),
        ...     Node("y", ops.Activation(function="tanh"), ("back",)),
        ... )
        >>> print(simplify(Graph((Value("x", ("N", "T", 3), "float32"),), nodes, ("y",))))
        graph(x: float32 (N, T, 3)) -> y
          y : float32 (N, T, 3) = Activation(function=tanh)(x)
    """
    simplifier = _Pass(graph)
    for node in graph.nodes:
        simplifier.take(node)
    return simplifier.graph()


class _Pass:
    """One way through a graph, each node matched with those already behind."""

    def __init__(self, graph: Graph) -> None:
        self.tensors = dict(graph.tensors)
        self.outputs = frozenset(graph.outputs)
        self._source = graph
        self._nodes: dict[str, Node] = {}
        self._maker: dict[str, str] = {}
        self._same: dict[str, str] = {}
        self._uses = Counter(graph.outputs)
        self._calls = Counter(id(node.op) for node in graph.nodes)
        for node in graph.nodes:
            self._uses.update(_read(node))

    def take(self, node: Node) -> None:
        """The next node, or what is in its place."""
        node = self._renamed(node)
        for rule in RULES:
            result = rule(self, node)
            if isinstance(result, Node):
                self._uses.subtract(_read(node))
                self._uses.update(_read(result))
                self._calls[id(result.op)] += result.op is not node.op
                node = result
            elif result is not None and tuple(result) == node.outputs:
                self._uses.subtract(_read(node))
                return
            elif result is not None and self.outputs.isdisjoint(node.outputs):
                self._uses.subtract(_read(node))
                for value, same in zip(node.outputs, result, strict=True):
                    self._same[value] = same
                    self._uses[same] += self._uses.pop(value, 0)
                return
        self.put(node)

    def put(self, node: Node) -> None:
        """Add a node, or another one under the name of one that is there."""
        self._nodes[node.name] = node
        self._maker |= dict.fromkeys(node.outputs, node.name)

    def maker(self, value: str) -> Node | None:
        """The node that makes a value; ``None`` of an input."""
        name = self._maker.get(value)
        return None if name is None else self._nodes[name]

    def producer(self, value: str, kind: type[ops.Op]) -> Node | None:
        """The node that makes a value, where its op is of this kind."""
        node = self.maker(value)
        return node if node is not None and isinstance(node.op, kind) else None

    def used(self, value: str) -> int:
        """How often nodes or the model's outputs read a value."""
        return self._uses[value]

    def owned(self, node: Node) -> bool:
        """Whether its op is that of no other node."""
        return self._calls[id(node.op)] == 1

    def replace(self, node: Node, op: ops.Op, outputs: Sequence[str]) -> None:
        """Have a node that is there compute something else."""
        self._calls[id(op)] += 1
        changed = dataclasses.replace(node, op=op, outputs=tuple(outputs))
        self.put(changed)
        inferred = op.infer([self.tensors[name] for name in node.inputs])
        self.tensors |= zip(outputs, inferred, strict=True)

    def constant(self, value: str) -> np.ndarray | None:
        """The array that a value always is, where it is a small constant of the program."""
        node = self.maker(value)
        if node is None or not isinstance(node.op, CONSTANTS) or node.op.letters:
            return None
        if not _is_small(self.tensors[value]):
            return None
        return REFERENCES.lookup(type(node.op), node.name)(node.op, [], [])[0]

    def graph(self) -> Graph:
        """What is left, without tensor operations that nothing reads."""
        nodes: list[Node] = []
        needed = set(self.outputs)
        for node in reversed(self._nodes.values()):
            if isinstance(node.op, ops.TensorOperation) and needed.isdisjoint(node.outputs):
                continue
            needed.update(_read(node))
            nodes.append(node)
        source = self._source
        return Graph(source.inputs, tuple(reversed(nodes)), source.outputs, source.origin)

    def _renamed(self, node: Node) -> Node:
        if not any(value in self._same for value in _read(node)):
            return node
        inputs = tuple(self._same.get(value, value) for value in node.inputs)
        masks = tuple(None if mask is None else self._same.get(mask, mask) for mask in node.masks)
        return dataclasses.replace(node, inputs=inputs, masks=masks)


CONSTANTS = (ops.Arange, ops.Constant, ops.Full, ops.SizeOf)


EXACT = (ops.Cast, Moving)
"""Operations that give floats of constants without rounding; a graph may be cast to another dtype later."""


def _read(node: Node) -> Iterator[str]:
    yield from node.inputs
    yield from (mask for mask in node.masks if mask is not None)


def _is_small(tensor: ops.Tensor) -> bool:
    count = 1
    for dim in tensor.shape:
        if not isinstance(dim, int):
            return False
        count *= dim
    return count <= MAX_FOLDED


def constants(simplifier: _Pass, node: Node) -> Node | None:
    """What is made of constants alone is a constant, where no dtype rounds it."""
    if not isinstance(node.op, ops.TensorOperation) or len(node.outputs) != 1 or not node.inputs:
        return None
    if simplifier.tensors[node.outputs[0]].dtype in ops.FLOATS and not isinstance(node.op, EXACT):
        return None
    if node.op.letters or not _is_small(simplifier.tensors[node.outputs[0]]):
        return None
    arrays = [simplifier.constant(name) for name in node.inputs]
    known = [array for array in arrays if array is not None]
    if len(known) < len(arrays):
        return None
    (result,) = REFERENCES.lookup(type(node.op), node.name)(node.op, known, [None] * len(known))
    if np.isnan(result).any():
        return None
    return Node(node.name, ops.Constant(value=np.array(result)), (), node.outputs)


def fixed_size(simplifier: _Pass, node: Node) -> Node | None:
    """A size that does not vary is a number."""
    if isinstance(node.op, ops.SizeOf) and not node.op.letters:
        (value,) = REFERENCES.lookup(ops.SizeOf, node.name)(node.op, [], [])
        return Node(node.name, ops.Constant(value=value), (), node.outputs)
    return None


def nothing_done(simplifier: _Pass, node: Node) -> Sequence[str] | None:
    """An operation that gives its input back."""
    match node.op:
        case ops.Cast(output_dtype=dtype):
            same = simplifier.tensors[node.inputs[0]].dtype == dtype
        case ops.ReshapeTo() | ops.BroadcastTo():
            same = simplifier.tensors[node.inputs[0]].shape == simplifier.tensors[node.outputs[0]].shape
        case ops.PermuteDims(axes=axes):
            same = axes == tuple(range(len(axes)))
        case ops.Slice(items=items):
            same = all(item == WHOLE for item in items)
        case ops.Tile(repetitions=counts):
            same = len(counts) == len(simplifier.tensors[node.inputs[0]].shape) and set(counts) == {1}
        case ops.ExpandDims(axes=()) | ops.Squeeze(axes=()) | ops.Reduction(axes=()):
            same = not isinstance(node.op, ops.Reduction) or node.op.function in ("sum", "max", "min", "prod")
        case _:
            return None
    return node.inputs if same else None


def permuted_twice(simplifier: _Pass, node: Node) -> Node | Sequence[str] | None:
    """Two permutations are one, or none."""
    if not isinstance(node.op, ops.PermuteDims):
        return None
    first = simplifier.producer(node.inputs[0], ops.PermuteDims)
    if first is None:
        return None
    assert isinstance(first.op, ops.PermuteDims)
    axes = tuple(first.op.axes[axis] for axis in node.op.axes)
    if axes == tuple(range(len(axes))):
        return first.inputs
    return Node(node.name, ops.PermuteDims(axes=axes), first.inputs, node.outputs)


def reshaped_twice(simplifier: _Pass, node: Node) -> Node | None:
    """Behind another shape, or axes of size 1 that come or go, a reshape alone says what there is."""
    if not isinstance(node.op, ops.ReshapeTo):
        return None
    first = simplifier.maker(node.inputs[0])
    if first is None or not isinstance(first.op, ops.ReshapeTo | ops.ExpandDims | ops.Squeeze):
        return None
    return Node(node.name, node.op, first.inputs, node.outputs)


def new_axis_lost(simplifier: _Pass, node: Node) -> Sequence[str] | None:
    """A new axis that is taken away again."""
    if not isinstance(node.op, ops.Squeeze | ops.ExpandDims):
        return None
    other = ops.ExpandDims if isinstance(node.op, ops.Squeeze) else ops.Squeeze
    first = simplifier.producer(node.inputs[0], other)
    if first is None:
        return None
    assert isinstance(first.op, ops.Squeeze | ops.ExpandDims)
    wide = node.inputs[0] if isinstance(node.op, ops.Squeeze) else node.outputs[0]
    rank = len(simplifier.tensors[wide].shape)
    same = {axis % rank for axis in first.op.axes} == {axis % rank for axis in node.op.axes}
    # A squeezed axis that varies is promised to be 1, which is lost with it.
    fixed = all(isinstance(dim, int) for dim in simplifier.tensors[wide].shape)
    return first.inputs if same and (isinstance(node.op, ops.Squeeze) or fixed) else None


def _position(simplifier: _Pass, node: Node) -> tuple[int, int] | None:
    """The axis and the position of ``x[:, :, 2]``, an index that takes one axis away and no more."""
    if not isinstance(node.op, ops.Slice):
        return None
    items = node.op.items
    wanted = [axis for axis, item in enumerate(items) if item != WHOLE]
    if len(wanted) != 1 or not isinstance(items[wanted[0]], int):
        return None
    position = items[wanted[0]]
    assert isinstance(position, int)
    return wanted[0], position


def element_of_a_stack(simplifier: _Pass, node: Node) -> Sequence[str] | None:
    """A position along the axis that things were stacked on is one of them."""
    index = _position(simplifier, node)
    stack = simplifier.producer(node.inputs[0], ops.Stack) if index else None
    if index is None or stack is None:
        return None
    assert isinstance(stack.op, ops.Stack)
    axis, position = index
    if stack.op.axis % len(simplifier.tensors[node.inputs[0]].shape) != axis:
        return None
    return [stack.inputs[position]]


def last_step(simplifier: _Pass, node: Node) -> Sequence[str] | None:
    """The last step of a recurrent layer that has one direction and no mask is what it gives by itself."""
    layer = simplifier.maker(node.inputs[0]) if node.inputs else None
    if layer is None or not isinstance(layer.op, ops.Recurrent) or layer.masks[0] is not None:
        return None
    sequence = layer.outputs[0]
    last = _position(simplifier, node) == (1, -1) and sequence == node.inputs[0]
    if not last or not layer.op.return_sequences or simplifier.used(sequence) != 1:
        return None
    if not simplifier.owned(layer) or len(simplifier.tensors[sequence].shape) != 3:
        return None
    op = dataclasses.replace(layer.op, return_sequences=False, zero_output_for_mask=False)
    # The value of the last step goes by the name that the step had.
    simplifier.replace(layer, op, (node.outputs[0], *layer.outputs[1:]))
    return node.outputs


def joined_states(simplifier: _Pass, node: Node) -> Sequence[str] | None:
    """The final states ``h`` of both directions side by side are what the layer gives but for sequences."""
    if not isinstance(node.op, ops.Concatenate) or len(node.inputs) != 2:
        return None
    if node.op.axis % len(simplifier.tensors[node.outputs[0]].shape) != 1:
        return None
    layer = simplifier.producer(node.inputs[0], ops.Bidirectional)
    if layer is None or len(layer.inputs) > 1 or not simplifier.owned(layer):
        return None
    op = layer.op
    assert isinstance(op, ops.Bidirectional)
    if not op.forward.return_state or not all(isinstance(d, ops.Cell) for d in (op.forward, op.backward)):
        return None
    sequences = 2 if op.merge is None else 1
    states = layer.outputs[sequences:]
    both = states[0], states[len(op.forward.state_sizes)]
    if node.inputs != both:
        return None
    if op.merge == "concat" and not op.forward.return_sequences:
        return layer.outputs[:1]
    if any(map(simplifier.used, layer.outputs[:sequences])):
        return None
    settings = {"return_sequences": False, "zero_output_for_mask": False}
    more = any(simplifier.used(state) > (state in both) for state in states)
    one, two = (
        dataclasses.replace(direction, return_state=more, **settings)
        for direction in (op.forward, op.backward)
    )
    merged = ops.Bidirectional(forward=one, backward=two, merge="concat")
    simplifier.replace(layer, merged, (node.outputs[0], *(states if more else ())))
    return node.outputs


def dense(simplifier: _Pass, node: Node) -> Node | None:
    """A product with a trainable matrix, and the sum of that and a trainable vector."""
    if isinstance(node.op, ops.MatMul):
        weight = _parameter(simplifier, node.inputs[1], rank=2)
        if weight is None or len(simplifier.tensors[node.inputs[0]].shape) < 2:
            return None
        size, width = weight.shape
        op = ops.Dense(input_size=size, output_size=width, weight=weight.T, bias=None)
        return Node(node.name, op, node.inputs[:1], node.outputs)
    if not isinstance(node.op, ops.Elementwise) or node.op.function != "add":
        return None
    for product, vector in (node.inputs, node.inputs[::-1]):
        layer, bias = simplifier.producer(product, ops.Dense), _parameter(simplifier, vector, rank=1)
        if layer is None or bias is None or simplifier.used(product) != 1 or not simplifier.owned(layer):
            continue
        assert isinstance(layer.op, ops.Dense)
        plain = layer.op.bias is None and layer.op.activation == "linear"
        if plain and bias.shape == (layer.op.output_size,):
            return Node(layer.name, dataclasses.replace(layer.op, bias=bias), layer.inputs, node.outputs)
    return None


def _parameter(simplifier: _Pass, value: str, rank: int) -> np.ndarray | None:
    """The array of a trainable parameter that is used once."""
    node = simplifier.producer(value, ops.Parameter)
    if node is None or simplifier.used(value) != 1 or not simplifier.owned(node):
        return None
    assert isinstance(node.op, ops.Parameter)
    return node.op.value if node.op.value.ndim == rank and node.op.trainable else None


RULES: Sequence[Rule] = (
    fixed_size,
    constants,
    nothing_done,
    permuted_twice,
    reshaped_twice,
    new_axis_lost,
    element_of_a_stack,
    last_step,
    joined_states,
    dense,
)
