"""Random programs of tensor operations over random layers, drawn by hypothesis.

Numbers stay of the size of one: what grows is squashed. Every value of a program is made of ``x`` (N, T, I),
``y`` (N, U) of integers and a mask (N, T), so that sizes are expressions of three letters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

from biport import ops
from biport.dims import Dim
from biport.graph import Graph, Node, Value
from testing.graphs import cell, dense, normal

CLASSES = 5
MAX_RANK = 4
SMOOTH = ("negative", "sin", "cos", "erf", "abs", "square", "atan", "asinh", "expm1")
"""Of one number; squashed before where they grow."""
STEPPED = ("floor", "ceil", "round", "sign", "trunc")
"""That jump: rounding of their input may move their output by one."""
COMPARISONS = ("less", "less_equal", "greater", "greater_equal", "not_equal")


@dataclass
class Program:
    """The program while it is drawn."""

    draw: Any
    jumps: bool
    rng: np.random.Generator
    inputs: Sequence[Value]
    nodes: list[Node] = field(default_factory=list)
    tensors: dict[str, ops.Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tensors = {value.name: value.tensor for value in self.inputs}

    def add(self, op: ops.Op, *inputs: str, mask: str | None = None) -> str:
        """One more node; the name of its first output."""
        masks = (mask, *[None] * (len(inputs) - 1)) if mask else ()
        results = op.infer([self.tensors[name] for name in inputs])
        name = f"{op.kind.lower()}_{len(self.nodes)}"
        outputs = (name,) if len(results) == 1 else tuple(f"{name}:{i}" for i in range(len(results)))
        self.nodes.append(Node(name, op, inputs, outputs, masks))
        self.tensors |= zip(outputs, results, strict=True)
        return self.one_of(outputs)

    def one_of(self, choices: Sequence[Any]) -> Any:
        """One of several things."""
        return self.draw(st.sampled_from(list(choices)))

    def yes(self) -> bool:
        """A coin."""
        return self.draw(st.booleans())

    def value(
        self, *, ranks: Sequence[int] = range(MAX_RANK + 1), dtypes: Sequence[str] = ops.FLOATS
    ) -> str | None:
        """A value of some rank and dtype, one of the last more often."""
        fit = [name for name, x in self.tensors.items() if len(x.shape) in ranks and x.dtype in dtypes]
        return self.one_of(fit[-3:] if self.yes() else fit) if fit else None

    def rank(self, name: str) -> int:
        """How many axes a value has."""
        return len(self.tensors[name].shape)

    def axis(self, name: str, least: int = 0) -> int:
        """One of its axes, sometimes counted from the end."""
        axis = self.draw(st.integers(least, self.rank(name) - 1))
        return axis - self.rank(name) if self.yes() else axis

    def axes(self, name: str, least: int = 0) -> tuple[int, ...]:
        """One of its axes or several."""
        return tuple(self.draw(st.sets(st.integers(least, self.rank(name) - 1), min_size=1, max_size=2)))

    def constant(self, *shape: int) -> str:
        """An array of the program."""
        return self.add(ops.Constant(value=normal(self.rng, *shape)))

    def constant_of(self, number: float) -> str:
        """A number of the program."""
        return self.add(ops.Constant(value=np.asarray(number, "float32")))


Make = Callable[[Program], "str | None"]


def squashed(program: Program) -> str | None:
    name = program.value(ranks=range(1, 5))
    function = program.one_of(["tanh", "sigmoid", "softsign"])
    return (
        None
        if name is None or program.rank(name) < 2
        else program.add(ops.Activation(function=function), name)
    )


def unary(program: Program) -> str | None:
    name = program.value()
    if name is None:
        return None
    if program.jumps and program.one_of([False, False, True]):
        return program.add(ops.Elementwise(function=program.one_of(STEPPED)), name)
    function = program.one_of(SMOOTH)
    if function in ("square", "expm1"):
        name = program.add(ops.Elementwise(function="sin"), name)
    return program.add(ops.Elementwise(function=function), name)


def partner(program: Program, name: str) -> str:
    """Something that broadcasts with a value."""
    shape = program.tensors[name].shape
    kind = program.one_of(["same", "scalar", "mean", "vector", "parameter"])
    if kind == "mean" and len(shape) > 1:
        return program.add(ops.Reduction(function="mean", axes=(len(shape) - 1,), keepdims=True), name)
    if kind in ("vector", "parameter") and shape and isinstance(shape[-1], int):
        if kind == "vector":
            return program.constant(shape[-1])
        return program.add(ops.Parameter(value=normal(program.rng, shape[-1])))
    if kind == "same":
        alike = [other for other, x in program.tensors.items() if x == program.tensors[name]]
        return program.one_of(alike)
    return program.constant()


def binary(program: Program) -> str | None:
    name = program.value()
    if name is None:
        return None
    other = partner(program, name)
    function = program.one_of(["add", "subtract", "multiply", "maximum", "minimum", "divide", "pow"])
    if function == "divide":
        square = program.add(ops.Elementwise(function="square"), other)
        other = program.add(ops.Elementwise(function="add"), square, program.constant_of(2.0))
    if function == "pow":
        name = program.add(
            ops.Elementwise(function="abs"), program.add(ops.Elementwise(function="sin"), name)
        )
        other = program.constant_of(program.one_of([2.0, 3.0]))
    pair = (name, other) if function == "pow" or program.yes() else (other, name)
    return program.add(ops.Elementwise(function=function), *(pair if function != "divide" else (name, other)))


def chosen(program: Program) -> str | None:
    """``where(a < b, a, b)`` and its like; with jumps the comparison as numbers."""
    name = program.value()
    if name is None:
        return None
    other = partner(program, name)
    condition = program.add(ops.Elementwise(function=program.one_of(COMPARISONS[:4])), name, other)
    if program.yes():
        condition = program.add(ops.Elementwise(function="logical_not"), condition)
    if program.jumps and program.yes():
        return program.add(ops.Cast(output_dtype="float32"), condition)
    # Where the two are next to each other it does not matter which of them it is.
    return program.add(ops.Where(), condition, name, other)


def clipped(program: Program) -> str | None:
    name = program.value()
    return None if name is None else program.add(ops.Clip(min=-0.5, max=program.one_of([None, 0.25])), name)


def reduced(program: Program) -> str | None:
    name = program.value(ranks=range(2, 5))
    if name is None:
        return None
    function = program.one_of(["sum", "mean", "max", "min", "logsumexp", "norm", "var", "prod"])
    if function == "prod":
        name = program.add(ops.Elementwise(function="cos"), name)
    # Of an empty batch there is no mean.
    axes = program.axes(name, least=0 if function in ("sum", "prod", "logsumexp") else 1)
    shape = program.tensors[name].shape
    if function in ("max", "min") and not all(never_nothing(shape[axis]) for axis in axes):
        function = "sum"
    op = ops.Reduction(function=function, axes=axes, keepdims=program.yes())
    result = program.add(op, name)
    return program.add(ops.Elementwise(function="atan"), result)


def along(program: Program) -> str | None:
    name = program.value(ranks=range(2, 5))
    if name is None:
        return None
    axis = program.axis(name, least=1)
    kinds: list[ops.Op] = [ops.Softmax(axis=axis), ops.LogSoftmax(axis=axis), ops.CumulativeSum(axis=axis)]
    kinds.append(ops.Sort(axis=axis, descending=program.yes()))
    return program.add(program.one_of(kinds), name)


def moved(program: Program) -> str | None:
    name = program.value(ranks=range(1, 5))
    if name is None:
        return None
    rank, axis = program.rank(name), program.axis(name)
    kinds: list[ops.Op] = [
        ops.PermuteDims(axes=tuple(program.draw(st.permutations(range(rank))))),
        ops.Flip(axes=program.axes(name)),
        ops.Roll(shift=program.one_of([-1, 2]), axis=axis),
        ops.Repeat(repeats=2, axis=axis),
        ops.Tile(repetitions=tuple(2 if a == axis % rank else 1 for a in range(rank))),
        ops.Pad(widths=tuple((1, 2) if a == axis % rank and a else (0, 0) for a in range(rank)), value=0.5),
    ]
    if rank < MAX_RANK:
        kinds.append(ops.ExpandDims(axes=(program.draw(st.integers(0, rank)),)))
    ones = [a for a, dim in enumerate(program.tensors[name].shape) if dim == 1]
    kinds += [ops.Squeeze(axes=(a,)) for a in ones[:1]]
    return program.add(program.one_of(kinds), name)


def reshaped(program: Program) -> str | None:
    name = program.value(ranks=range(2, 5))
    if name is None:
        return None
    shape = program.tensors[name].shape
    first = program.draw(st.integers(0, len(shape) - 2))
    merged: tuple[Dim, ...] = (*shape[:first], shape[first] * shape[first + 1], *shape[first + 2 :])
    flat = program.add(ops.ReshapeTo(shape=merged), name)
    return program.add(ops.ReshapeTo(shape=shape), flat) if program.yes() else flat


def never_nothing(dim: Dim) -> bool:
    """Whether there is an element always: T and U are 1 or more, N may be nothing."""
    return dim > 0 if isinstance(dim, int) else dim.is_letter and dim != "N"


def sliced(program: Program) -> str | None:
    name = program.value(ranks=range(2, 5))
    if name is None:
        return None
    items: list[Any] = []
    for dim in program.tensors[name].shape:
        position = [-1, 0] if never_nothing(dim) else []
        bounds = st.one_of(st.none(), st.integers(-3, 4))
        cut = st.tuples(bounds, bounds, st.sampled_from([1, 1, 2, -1, -2]))
        items.append(program.draw(st.one_of(st.just((None, None, 1)), cut, *map(st.just, position))))
    if program.yes():
        items.insert(program.draw(st.integers(0, len(items))), None)
    op = ops.Slice(items=tuple(items))
    (result,) = op.infer([program.tensors[name]])
    if len(result.shape) > MAX_RANK or any(dim == 0 for dim in result.shape):
        return None
    return program.add(op, name)


def joined(program: Program) -> str | None:
    name = program.value(ranks=range(1, 4))
    if name is None:
        return None
    other = program.add(ops.Elementwise(function="sin"), name)
    axis = program.axis(name)
    kinds = [ops.Stack(axis=axis)] + [ops.Concatenate(axis=axis)] * (axis % program.rank(name) > 0)
    return program.add(program.one_of(kinds), name, other)


def parted(program: Program) -> str | None:
    name = program.value(ranks=range(2, 5))
    if name is None:
        return None
    axis = program.axis(name)
    dim = program.tensors[name].shape[axis]
    if not isinstance(dim, int) or dim > 4:
        return None
    if program.yes() or dim < 2:
        return program.add(ops.Unstack(count=dim, axis=axis), name)
    return program.add(ops.Split(sizes=(1, dim - 1), axis=axis), name)


def looked_up(program: Program) -> str | None:
    name = program.value(ranks=range(2, 4))
    if name is None:
        return None
    axis = program.axis(name, least=1)
    dim = program.tensors[name].shape[axis]
    if not isinstance(dim, int):
        return None
    kind = program.one_of(["take", "one_hot", "top"])
    if kind == "top":
        return (
            program.add(ops.TopK(k=program.draw(st.integers(1, dim)), axis=axis), name).split(":")[0] + ":0"
        )
    if kind == "one_hot":
        integers = program.value(dtypes=("int32",))
        return None if integers is None else program.add(ops.OneHot(num_classes=CLASSES), integers)
    places = np.asarray(program.rng.integers(-dim, dim, size=program.one_of([(), (2,), (1, 3)])), "int64")
    if program.rank(name) - 1 + places.ndim > MAX_RANK:
        return None
    return program.add(ops.Take(axis=axis), name, program.add(ops.Constant(value=places)))


def multiplied(program: Program) -> str | None:
    name = program.value(ranks=range(2, 5))
    if name is None:
        return None
    width = program.tensors[name].shape[-1]
    rank = program.rank(name)
    if isinstance(width, int) and program.yes():
        weight = program.add(ops.Parameter(value=normal(program.rng, width, program.one_of([1, 3]))))
        return program.add(ops.MatMul(), name, weight)
    turned = program.add(ops.PermuteDims(axes=(*range(rank - 2), rank - 1, rank - 2)), name)
    if rank == 3 and program.yes():
        products = program.add(ops.Einsum(equation="nab,nbc->nac"), name, turned)
    elif rank > 2:
        products = program.add(ops.MatMul(), name, turned)
    else:
        return None
    return program.add(ops.Elementwise(function="atan"), products)


def layer(program: Program) -> str | None:
    name = program.value(ranks=(3,))
    if name is None:
        return None
    x = program.tensors[name]
    width = x.shape[-1]
    if not isinstance(width, int) or x.shape[0] != "N" or width > 12:
        return None
    if program.yes():
        return program.add(dense(program.rng, width, 3, "tanh"), name)
    op = cell(program.rng, program.one_of([ops.LSTM, ops.GRU]), width, 2, return_sequences=program.yes())
    masked = program.yes() and x.shape[1] == "T"
    return program.add(op, name, mask="mask" if masked else None)


def counted(program: Program) -> str | None:
    """Sizes of the inputs, as numbers, positions and shapes of what is made of nothing."""
    name = program.value(ranks=(2, 3))
    if name is None:
        return None
    shape = program.tensors[name].shape
    match program.one_of(["size", "arange", "full"]):
        case "size":
            size = program.add(ops.SizeOf(size=shape[1]))
            number = program.add(ops.Cast(output_dtype="float32"), size)
            scaled = program.add(ops.Elementwise(function="add"), number, program.constant_of(1.0))
            return program.add(ops.Elementwise(function="divide"), name, scaled)
        case "arange":
            steps = program.add(ops.Arange(stop=shape[-1], output_dtype="float32"))
            return program.add(ops.Elementwise(function="sin"), steps)
    full = program.add(ops.Full(shape=(*shape[:-1], 2), value=0.5))
    return program.add(ops.Concatenate(axis=-1), name, full)


MAKERS: Sequence[Make] = (
    *(
        squashed,
        unary,
        binary,
        binary,
        chosen,
        clipped,
        reduced,
        along,
        moved,
        moved,
        reshaped,
        sliced,
        sliced,
    ),
    *(joined, parted, looked_up, multiplied, layer, layer, counted),
)


@st.composite
def operation_graphs(draw: Any, jumps: bool = True, most: int = 8) -> Graph:
    """A program of up to ``most`` steps, with weights in float32.

    Args:
        draw: of hypothesis.
        jumps: whether its outputs may jump where its inputs change a little.
        most: of the steps.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    inputs = (
        Value("x", ("N", "T", draw(st.sampled_from([1, 2, 3]))), "float32"),
        Value("y", ("N", "U"), "int32"),
        Value("mask", ("N", "T"), "bool"),
    )
    program = Program(draw, jumps, rng, inputs)
    last = "x"
    for _ in range(draw(st.integers(1, most))):
        last = program.one_of(MAKERS)(program) or last
    made = [name for name in program.tensors if name not in {v.name for v in inputs}][-4:]
    outputs: list[str] = list(dict.fromkeys([*made, *([last] if last != "x" else [])]))
    if not outputs:
        outputs = [program.add(ops.Elementwise(function="sin"), "x")]
    return Graph(inputs, tuple(program.nodes), tuple(outputs))


def inputs_of(graph: Graph, N: int, T: int, U: int, seed: int) -> list[np.ndarray]:
    """Random inputs for such a program: integers beyond the classes too, masks of every pattern."""
    rng = np.random.default_rng(seed)
    width = graph.inputs[0].shape[-1]
    assert isinstance(width, int)
    mask = rng.random((N, T)) < 0.7
    if N:
        mask[0] = False
    return [
        rng.normal(size=(N, T, width)).astype("float32").astype(graph.inputs[0].dtype),
        rng.integers(-1, CLASSES + 1, (N, U)).astype("int32"),
        mask,
    ]
