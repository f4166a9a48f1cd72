"""From a traced program to a graph: each operator read by who is registered for it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import fx

from biport import ops
from biport.dims import Dim
from biport.errors import GraphError, UnsupportedError, WeightError, raise_unsupported
from biport.graph import Graph, Node, Value
from biport.ops import Op, Tensor
from biport.registry import snake_case
from biport.weight_files import own_array
from torch_side.reading.dtypes import graph_dtype
from torch_side.reading.layer_call import arrays
from torch_side.reading.program import Program
from torch_side.reading.sizes import expression, size_of
from torch_side.registry import ATEN, aten_key

Bound = str | tuple
"""What a statement gives: the name of a value, or several."""


class PoisonedError(Exception):
    """The statement depends on one that could not be read."""


class ProgramReader:
    """A graph in the making, read from a traced program.

    Args:
        program: what was traced.
        names: of its inputs, in order.
        letters: for each symbol of its sizes.
        call: makes of this and a statement what the functions of `ATEN` take.
    """

    def __init__(
        self,
        program: Program,
        names: Sequence[str],
        letters: Mapping[str, Dim],
        call: Callable[[ProgramReader, fx.Node], Any],
    ) -> None:
        self.program = program
        self._call = call
        self.nodes: list[Node] = []
        self.tensors: dict[str, Tensor] = {}
        self.bound: dict[fx.Node, Bound] = {}
        self.notes: list[str] = []
        self._letters = dict(letters)
        self._names = dict(zip(program.inputs, names, strict=True))
        self._ops: dict[Any, Op] = {}
        self._taken: set[str] = set()
        self._counts: dict[str, int] = {}
        self._constants: dict[Any, str] = {}
        self._static: dict[fx.Node, Any] = {}
        self.give_all: set[str] = set()
        """Nodes that give all they can, whatever is used of it: nobody said what they should give."""
        self.kept: set[str] = set()
        """Nodes that are layers of the module, for `simplify`."""
        self._needed: set[fx.Node] = set()

    def read(self, outputs: Sequence[fx.Node]) -> Graph:
        """The graph; its outputs are identities of what the model gives, see `with_bare_outputs`.

        Args:
            outputs: the statements that give the outputs of the model.

        Raises:
            UnsupportedModelError: all that is not supported.
        """
        values, problems = [], []
        self._needed = _needed(outputs)
        for node in self.program.graph.nodes:
            try:
                if node not in self._needed and node.name not in self._names:
                    continue
                if node.op == "placeholder" and node.name in self._names:
                    values.append(self._input(node))
                elif node.op == "call_function":
                    self._read(node)
            except PoisonedError:
                continue
            except UnsupportedError as error:
                problems.append(error)
        raise_unsupported(self.program.name, problems)
        results = [
            self.emit(node, ops.Identity(), [self.value(node, node)], (), None, None)[0] for node in outputs
        ]
        origin = {"framework": "torch", "version": torch.__version__}
        return Graph(tuple(values), tuple(self.nodes), tuple(results), origin)

    def _input(self, node: fx.Node) -> Value:
        known, name = node.meta["val"], self._names[node.name]
        owner = f"{self.program.name}: input {name!r}"
        shape = tuple(size_of(size, self._letters, owner) for size in known.shape)
        value = Value(name, shape, graph_dtype(known.dtype, owner))
        self.tensors[name] = value.tensor
        self._taken.add(name)
        self.bound[node] = name
        return value

    def _read(self, node: fx.Node) -> None:
        if not _is_tensor(node.meta.get("val")):
            return
        if node.target is operator.getitem:
            source, index = node.args
            self.bound[node] = self.look(source)[index]  # type: ignore[index]
            return
        if not self.is_static(node):
            self._read_now(node)

    def _read_now(self, node: fx.Node) -> None:
        function = ATEN.lookup(aten_key(node.target), self.owner(node))
        try:
            self.bound[node] = function(self._call(self, node))
        except (GraphError, WeightError) as error:
            raise type(error)(f"{self.owner(node)}: {error}") from error
        self._learn_sizes(node)

    def _learn_sizes(self, node: fx.Node) -> None:
        """Have a size that torch has another expression for called as the graph calls it."""
        value, known = self.bound[node], node.meta["val"]
        if not isinstance(value, str) or not isinstance(known, torch.Tensor):
            return
        for size, dim in zip(known.shape, self.tensors[value].shape, strict=False):
            term = expression(size)
            if not isinstance(size, int) and not isinstance(dim, int) and not term.is_Symbol:
                self._letters.setdefault(str(term), dim)

    def owner(self, node: fx.Node) -> str:
        """Where a statement is, for errors: its submodule and the line of ``forward``."""
        path, kind = self.position(node)
        line = line_of_statement(node)
        where = f"{path} ({kind})" if path else "forward"
        return f"{self.program.name}: {where}" + (f", {line}" if line else "")

    def position(self, node: fx.Node) -> tuple[str, str]:
        """The path of the submodule that a statement belongs to, and its class."""
        stack = list((node.meta.get("nn_module_stack") or {}).values())
        path, kind = stack[-1] if stack else ("", "")
        path = path.split("@")[0].removeprefix("L['self'].").removeprefix("L__self__.")
        path = "" if path == "module" else path.removeprefix("module.")
        return path, str(kind).rsplit(".", 1)[-1]

    def look(self, argument: Any) -> Bound:
        """What a statement gives.

        Raises:
            PoisonedError: it could not be read.
        """
        if argument not in self.bound:
            raise PoisonedError
        return self.bound[argument]

    def value(self, node: fx.Node, argument: Any) -> str:
        """The name of the value that an argument of ``node`` is."""
        if isinstance(argument, fx.Node) and argument not in self.bound and self.is_static(argument):
            if argument.op == "call_function" and self._is_read(argument):
                self._read_now(argument)
            else:
                self.bound[argument] = self._parameter(argument)
        if not isinstance(argument, fx.Node):
            raise UnsupportedError(self.owner(node), "argument", argument, "a tensor made by the model")
        bound = self.look(argument)
        assert isinstance(bound, str)
        return bound

    def _parameter(self, node: fx.Node) -> str:
        """A parameter, a buffer or a constant as a value of its own."""
        array = self._evaluated(node)
        path = self.program.paths.get(node.name)
        if path is not None and path in self.program.trainable and array.dtype.is_floating_point:
            op: Op = ops.Parameter(value=_numpy(array, path), trainable=True)
        else:
            op = ops.Constant(value=_numpy(array, path or self.owner(node)))
        name = path if path is not None and "lifted_tensor" not in path else None
        return self.emit(node, op, [], (), name, ("value", node))[0]

    def _is_read(self, node: fx.Node) -> bool:
        """Whether what is computed of parameters alone is computed by the graph, so that these can train."""
        known = str(node.target).removeprefix("aten.") in ATEN
        sources = [source for source in node.all_input_nodes if source.op == "call_function"]
        return known and bool(self._trained(node)) and all(map(self._is_read, sources))

    def _trained(self, argument: fx.Node) -> list[fx.Node]:
        """The trainable parameters that a statement is made of, by nothing but statements made of them."""
        if argument.name in self.program.arrays:
            trainable = self.program.paths.get(argument.name) in self.program.trainable
            return [argument] if trainable else []
        if not self.is_static(argument):
            return []
        return [root for source in argument.all_input_nodes for root in self._trained(source)]

    def is_shared(self, argument: fx.Node) -> bool:
        """Whether a trainable parameter in ``argument`` is computed with, or used in more than one way.

        The same weights in the same operator with the same settings are one way, however often.
        """
        if argument.op == "call_function" and self._is_read(argument):
            return True
        return any(len({*self._ways(root)}) > 1 for root in self._trained(argument))

    def _ways(self, node: fx.Node) -> Iterator[tuple]:
        for user in node.users:
            if self.is_static(user):
                yield from self._ways(user)
            elif user in self._needed:
                leaves = fx.map_arg((user.args, user.kwargs), self._way_of)  # type: ignore[arg-type]
                yield user.target, str(leaves)

    def _way_of(self, argument: fx.Node) -> Any:
        return argument.name if self.is_static(argument) else None

    def note(self, node: fx.Node, text: str) -> None:
        """Something that a user should know of a statement that was read."""
        self.notes.append(f"{self.owner(node)}: {text}")

    def is_static(self, argument: Any) -> bool:
        """Whether a statement is a parameter, a buffer or a constant, or made of these alone."""
        if not isinstance(argument, fx.Node):
            return False
        if argument.name in self.program.arrays:
            return True
        if argument.op != "call_function" or not _is_tensor(argument.meta.get("val")):
            return False
        if argument not in self._static:
            sources = argument.all_input_nodes
            self._static[argument] = bool(sources) and all(map(self.is_static, sources))
        return self._static[argument]

    def _evaluated(self, node: fx.Node) -> Any:
        if node.name in self.program.arrays:
            return self.program.arrays[node.name].detach()
        args, kwargs = fx.map_arg((node.args, node.kwargs), self._evaluated)  # type: ignore[arg-type]
        target: Any = node.target
        with torch.no_grad():
            return target(*args, **kwargs)

    def array(self, node: fx.Node, argument: Any, what: str) -> np.ndarray:
        """The numbers of weights.

        Raises:
            UnsupportedError: they are computed from the inputs, or are no floats a graph has.
        """
        if not self.is_static(argument):
            supported = "parameters of the module, or what is computed from these alone"
            raise UnsupportedError(self.owner(node), what, "computed from the inputs", supported)
        return arrays(self.owner(node), {what: self._evaluated(argument)})[what]

    def is_zero(self, argument: fx.Node) -> bool:
        """Whether a statement gives zeros, whatever the inputs are."""
        name = str(argument.target).removeprefix("aten.").split(".")[0]
        if name in ZEROS:
            return True
        if name in FILLED:
            return argument.args[-1 if len(argument.args) < 3 else 2] in (0, 0.0, False)
        return name in MOVED and bool(argument.all_input_nodes) and self.is_zero(argument.all_input_nodes[0])

    def shape_of(self, argument: fx.Node) -> tuple[Dim, ...]:
        """The shape of what a statement gives."""
        return tuple(self.size(argument, size) for size in argument.meta["val"].shape)

    def size(self, node: fx.Node, argument: Any) -> Dim:
        """A size: a number, or what a statement that computes with sizes stands for."""
        known = argument.meta["val"] if isinstance(argument, fx.Node) else argument
        return size_of(known, self._letters, self.owner(node))

    def number(self, node: fx.Node, argument: fx.Node) -> str:
        """A size that is computed with, as a tensor without axes; floats where torch has floats."""
        known = argument.meta["val"]
        if isinstance(known, torch.SymInt):
            return self.emit(node, ops.SizeOf(size=self.size(node, argument)), [], (), None, None)[0]
        function = FLOAT_FUNCTIONS.get(getattr(argument.target, "__name__", ""))
        if function is None:
            raise UnsupportedError(
                self.owner(node), "number", str(expression(known)), sorted(FLOAT_FUNCTIONS)
            )
        inputs = [self._float(node, part) for part in argument.args]
        if not function:
            return inputs[0]
        return self.emit(node, ops.Elementwise(function=function), inputs, (), None, None)[0]

    def _float(self, node: fx.Node, argument: Any) -> str:
        if isinstance(argument, fx.Node):
            name = self.number(node, argument)
            if self.tensors[name].dtype == "float32":
                return name
            return self.emit(node, ops.Cast(output_dtype="float32"), [name], (), None, None)[0]
        return self.constant(np.asarray(argument, "float32"))

    def constant(self, array: np.ndarray) -> str:
        """A constant; the same one each time it is asked for."""
        key = (array.dtype.name, array.shape, array.tobytes())
        if key not in self._constants:
            name = self._unique("constant")
            op = ops.Constant(value=array)
            self.nodes.append(Node(name, op, ()))
            self.tensors[name] = op.infer([])[0]
            self._constants[key] = name
        return self._constants[key]

    def emit(
        self,
        node: fx.Node,
        op: Op,
        inputs: Sequence[str],
        masks: Sequence[str | None],
        name: str | None,
        key: Any,
    ) -> tuple[str, ...]:
        """Add a node; the names of its values.

        Raises:
            GraphError: the op does not suit its inputs.
        """
        if key is not None:
            known = self._ops.setdefault((op.kind, key), op)
            op = known if known == op else op
        results = op.infer([self.tensors[source] for source in inputs])
        name = self._unique(name or self._name(node, op))
        count = len(results)
        outputs = (name, *(self._unique(f"{name}_{i}") for i in range(1, count)))
        self.nodes.append(Node(name, op, tuple(inputs), outputs, tuple(masks)))
        self.tensors |= zip(outputs, results, strict=True)
        return outputs

    def _unique(self, name: str) -> str:
        """``name``, or the first of ``name_1``, ``name_2`` ... that nothing has yet."""
        candidate = name
        while candidate in self._taken:
            self._counts[name] = self._counts.get(name, 0) + 1
            candidate = f"{name}_{self._counts[name]}"
        self._taken.add(candidate)
        return candidate

    def _name(self, node: fx.Node, op: Op) -> str:
        path, _ = self.position(node)
        own = op.settings().get("function") if isinstance(op, ops.TensorOperation) else None
        short = snake_case(str(own or op.kind))
        if not path:
            return short
        return (
            path if is_layer_of_torch(node) and not isinstance(op, ops.TensorOperation) else f"{path}.{short}"
        )

    def replace(self, output: str, op: Op) -> None:
        """Another op in place of the one that gives a value."""
        for position, node in enumerate(self.nodes):
            if output in node.outputs:
                self.nodes[position] = Node(node.name, op, node.inputs, node.outputs, node.masks)

    def is_only_use(self, node: fx.Node, value: str) -> bool:
        """Whether ``node`` is all that looks at a value, by whatever name."""
        names = {source for source, bound in self.bound.items() if bound == value}
        return {user for name in names for user in name.users} <= {node, *names}

    def maker(self, value: str) -> Node | None:
        """The node that gives a value."""
        return next((node for node in reversed(self.nodes) if value in node.outputs), None)


ZEROS = ("zeros", "zeros_like", "new_zeros")
FILLED = ("full", "full_like", "new_full")
MOVED = (
    *("clone", "view", "reshape", "_unsafe_view", "expand", "transpose", "permute", "slice", "select"),
    *("unsqueeze", "squeeze", "to", "_to_copy", "contiguous", "detach", "detach_", "alias", "repeat"),
)
"""Functions that give zeros of zeros, of one tensor."""

FLOAT_FUNCTIONS: Mapping[str, str] = {
    "sym_float": "",
    "truediv": "divide",
    "mul": "multiply",
    "add": "add",
    "sub": "subtract",
    "neg": "negative",
    "sym_max": "maximum",
    "sym_min": "minimum",
    "pow": "pow",
    "_sym_sqrt": "sqrt",
    "sym_sqrt": "sqrt",
}
"""What torch computes of sizes as floats, by the name of its function."""


def is_layer_of_torch(node: fx.Node) -> bool:
    """Whether a statement belongs to a layer of `torch.nn`."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return bool(stack) and str(stack[-1][1]).startswith(("torch.nn.modules.", "torch_side.layers."))


def line_of_statement(node: fx.Node) -> str | None:
    """The line of the user's code that a statement comes from."""
    trace = node.meta.get("stack_trace") or ""
    lines = [line.strip() for line in trace.splitlines()]
    own = [
        (head, code)
        for head, code in pairwise(lines)
        if head.startswith("File ") and "/torch/" not in head and "torch_side/reading" not in head
    ]
    return own[-1][1] if own else None


def _needed(outputs: Sequence[fx.Node]) -> set[fx.Node]:
    """The statements that tensors come from; a size says itself what it is."""
    needed: set[fx.Node] = set()
    left = list(outputs)
    while left:
        node = left.pop()
        if node not in needed and _is_tensor(node.meta.get("val")):
            needed.add(node)
            left.extend(node.all_input_nodes)
    return needed


def _is_tensor(known: Any) -> bool:
    if isinstance(known, tuple | list):
        return any(map(_is_tensor, known))
    return isinstance(known, torch.Tensor)


def _numpy(tensor: torch.Tensor, owner: str) -> np.ndarray:
    array = own_array(tensor.detach().cpu().numpy())
    return array.astype(graph_dtype(tensor.dtype, owner), copy=False)
