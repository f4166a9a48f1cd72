"""The body of a ``Scan``: the step of a recurrence, which the writers of its ops write.

Of a step only what depends on a state is in the body. What is made of the constants alone is computed once,
and what is made of x alone, row by row, for the rows of all steps at once. What is added to a product of a
state is part of its Gemm, which onnxruntime makes one node with the activation behind it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from enum import Enum, auto
from functools import cached_property, partial

import onnx_ir as ir

from biport.analysis.undefined import may_be_nan
from biport.dims import letters_in
from biport.errors import UnsupportedError
from biport.graph import Graph, Node, body_of, scan_over
from biport.ops import Add, Cell, Dense, Elementwise, Scan, Tensor, Value
from biport.ops.rows import rows_meet
from biport.rewrite.steps import step_of
from export.nodes import NodeWriter
from export.onnx.builder import Builder
from export.onnx.lazy_value import LazyValue
from export.onnx.site import Site
from export.onnx.sizes import RuntimeSizes
from export.onnx.step_layout import StepLayout
from export.onnx.step_layouts import StepLayouts
from export.recurrent.scan import Step, looped


def scanned(
    site: Site,
    op: Scan,
    layout: StepLayout,
    x: ir.Value,
    valid: ir.Value | None,
    initial: Sequence[ir.Value | None],
    wanted: Sequence[bool],
    constants: Sequence[LazyValue] = (),
    ahead: bool = True,
) -> list[ir.Value | None]:
    """A Scan over the step form ``(S, N', ...)``; see `looped`.

    Args:
        site: where it is written.
        initial: the initial states, ``None`` for zeros.
        wanted: which of the results somebody reads: every step's output, and each state.
        constants: what every step is given as it is.
        ahead: whether what is made of x alone is computed for all steps before the loop; for large batches a
            step at a time is faster, of what the caches still hold.

    Returns:
        Every step's output, and the final states; and, where every step's is not wanted and it is no state,
        the last output.
    """
    zeros, body = layout.sizes.zeros, Body(op, site, layout, x, constants, ahead)
    states = [
        (name, zeros(site.scope, shape) if given is None else given)
        for name, shape, given in zip(op.states, op.state_shapes(), initial, strict=True)
    ]
    carried = not wanted[0] and last_state(op) == -1
    if carried:
        states.append(("output", zeros(site.scope, op.output_shape())))

    def advance(step: Step, before: Sequence[ir.Value]) -> tuple[ir.Value, Sequence[ir.Value]]:
        output, *after = body.written(step, before[: op.state_count])
        return output, [*after, output] if carried else after

    ranks = [len(shape) for shape in (op.output_shape(), *op.state_shapes())]
    ranks += ranks[:1] * carried
    return looped(site.scope, advance, op.reverse, valid, states, [*wanted, *[True] * carried], ranks)


def cell_scanned(
    site: Site,
    cell: Cell,
    reverse: bool,
    layout: StepLayout,
    x: ir.Value,
    valid: ir.Value | None,
    initial: Sequence[ir.Value | None],
    wanted: Sequence[bool],
    ahead: bool = True,
) -> list[ir.Value | None]:
    """A drop-in for the fused node of a cell; see `scanned`."""
    op = scan_over(step_of(cell), len(cell.states), reverse=reverse)
    return scanned(site, op, layout, x, valid, initial, wanted, ahead=ahead)


def last_state(op: Scan) -> int:
    """Which state the output is; -1 where it is none."""
    output, *states = op.results
    return states.index(output) if output in states else -1


class _When(Enum):
    """When a value of the body is computed."""

    ONCE = auto()
    """Before the loop: it is made of constants alone."""
    AHEAD = auto()
    """Before the loop, for the rows of all steps together: it is made of x alone."""
    STEP = auto()
    """At every step: it takes a state."""


class Body:
    """The step of a Scan on its way into a file.

    Args:
        x: the sequence in step form, ``(S, N', ...)``.
        constants: what every step is given as it is.
        ahead: whether what is made of x alone is computed before the loop.
    """

    def __init__(
        self,
        op: Scan,
        site: Site,
        layout: StepLayout,
        x: ir.Value,
        constants: Sequence[LazyValue],
        ahead: bool,
    ) -> None:
        self.ahead = ahead
        self.op = op
        self.site = site
        self.graph = body_of(op)
        self.x = x
        self.undefined = set(self.graph.tensors) if site.may_be_nan else may_be_nan(self.graph)
        self.constants = {
            value.name: LazyValue(
                value.tensor, site.scope, partial(self._constant, layout, value.tensor, given)
            )
            for value, given in zip(op.constant_arguments, constants, strict=True)
        }

    def _constant(self, layout: StepLayout, tensor: Tensor, given: LazyValue) -> ir.Value:
        """A constant, of as many rows as the step form has."""
        value, rows = given.value(), self.op.arguments[0].shape[0]
        for axis, dim in enumerate(tensor.shape):
            if dim == rows:
                value = layout.sizes.pad_batch(self.site.scope, value, len(tensor.shape), axis)
            elif letters_in(dim) & letters_in(rows):
                supported = f"constants of {rows} rows"
                raise UnsupportedError(self.site.owner, "constant", str(tensor), supported)
        return value

    def written(self, step: Step, states: Sequence[ir.Value]) -> list[ir.Value]:
        """The output and the new states, every node where it is computed."""
        outer, tensors = self.site.scope.builder, self.graph.tensors
        x, once = self.op.arguments[0], self.constants.copy()
        ahead = {x.name: LazyValue(x.tensor, self.site.scope, self._all_rows)} | once
        before = zip(self.op.states, states, strict=True)
        of_step = step.builder.scope(self.site.name)
        inside = once | {
            name: LazyValue(tensors[name], of_step, lambda value=value: value) for name, value in before
        }
        rooms = {
            _When.ONCE: (self._writer(outer, once), once),
            _When.AHEAD: (self._writer(outer, ahead), ahead),
            _When.STEP: (self._writer(step.builder, inside), inside),
        }
        inside[x.name] = LazyValue(x.tensor, of_step, lambda: step.of(self.x, x.name))
        moments = _moments(self.op, self.graph, self.ahead)
        sums = _sums(self.graph, moments)
        for node in self.graph.nodes:
            when = moments[node.outputs[0]]
            write, values = rooms[when]
            if node.name in sums:
                inside |= self._sum(step, node, *sums[node.name], inside, ahead)
                continue
            new = write(node, values)
            values |= new
            if when is _When.ONCE:
                ahead |= new
                inside |= new
            if when is _When.AHEAD:
                inside |= {name: self._of_step(step, name, value) for name, value in new.items()}
        results = [inside[name].value() for name in self.op.results]
        if not step.sequences:
            # What says how many steps there are.
            inside[x.name].value()
        return results

    def _writer(self, builder: Builder, inputs: dict[str, LazyValue]) -> NodeWriter:
        """Of nodes whose sizes are told by ``inputs``, by the first that has a letter."""
        values = [Value(name, value.tensor.shape, value.tensor.dtype) for name, value in inputs.items()]
        return NodeWriter(
            builder=builder,
            tensors=self.graph.tensors,
            layouts=StepLayouts(builder),
            sizes=RuntimeSizes(builder, values, inputs.copy()),
            # Of one step a loop beside the fused node would be seldom the faster.
            lowering="fused" if self.site.lowering == "auto" else self.site.lowering,
            undefined=self.undefined,
            owner=f"{self.site.name}/",
        )

    def _sum(
        self,
        step: Step,
        node: Node,
        product: Node,
        other: str,
        inside: dict[str, LazyValue],
        ahead: dict[str, LazyValue],
    ) -> dict[str, LazyValue]:
        """A product of a state and what is added to it as one ``Gemm``; a bias is added ahead."""
        dense, (output,) = product.op, node.outputs
        assert isinstance(dense, Dense)
        name = f"{self.site.name}/{product.name}"
        scope, outside = step.builder.scope(name), self.site.scope.builder.scope(name)
        addend = inside[other]
        if dense.bias is not None:
            rows = ahead[other]
            bias = outside.constant(dense.bias, "bias")
            summed = LazyValue(rows.tensor, outside, lambda: outside("Add", rows.value(), bias))
            addend = self._of_step(step, other, summed)

        def write() -> ir.Value:
            x, weight = inside[product.inputs[0]].value(), scope.constant(dense.weight, "weight")
            return scope("Gemm", x, weight, addend.value(), transB=1)

        return {output: LazyValue(self.graph.tensors[output], scope, write)}

    def _all_rows(self) -> ir.Value:
        """x of all steps, ``(S·N', ...)``."""
        return self.site.scope("Reshape", self.x, [-1, *self.op.step_shape])

    def _of_step(self, step: Step, name: str, rows: LazyValue) -> LazyValue:
        """At one step, ``(N', ...)``, what is computed for the rows of all, ``(S·N', ...)``."""

        def write() -> ir.Value:
            value, scope, behind = rows.value(), self.site.scope, rows.tensor.shape[1:]
            fixed = [dim for dim in behind if isinstance(dim, int)]
            rest = fixed if len(fixed) == len(behind) else scope("Shape", value, start=1)
            shape = scope("Concat", self._lead, *([rest] if behind else []), axis=0)
            return step.of(scope("Reshape", value, shape, allowzero=1), name, rows.tensor.dtype)

        return LazyValue(rows.tensor, step.builder.scope(f"{self.site.name}/{name}"), write)

    @cached_property
    def _lead(self) -> ir.Value:
        """``[S, N']``."""
        return self.site.scope("Shape", self.x, start=0, end=2)


def _moments(op: Scan, graph: Graph, ahead: bool) -> dict[str, _When]:
    """When each value of the body is computed."""
    x, *rest = (value.name for value in op.arguments)
    when = {x: _When.AHEAD} | dict.fromkeys(rest, _When.ONCE) | dict.fromkeys(op.states, _When.STEP)
    known = letters_in(tuple(value.shape for value in op.constant_arguments))
    for node in graph.nodes:
        used = [*node.inputs, *(mask for mask in node.masks if mask is not None)]
        moments = {when[name] for name in used}
        if _When.STEP in moments or not (moments or node.op.letters <= known):
            moment = _When.STEP
        elif _When.AHEAD in moments:
            of_x = {name for name in used if when[name] is _When.AHEAD}
            moment = _When.AHEAD if ahead and _row_by_row(op, graph, node, of_x) else _When.STEP
        else:
            moment = _When.ONCE
        when |= dict.fromkeys(node.outputs, moment)
    return when


def _sums(graph: Graph, moments: Mapping[str, _When]) -> dict[str, tuple[Node, str]]:
    """The nodes that add something to a product of a state which nothing else reads: it, and what is added.

    Each is a node less at every step, of which onnxruntime makes one with the activation behind it.
    """
    makers = {name: node for node in graph.nodes for name in node.outputs}
    uses = Counter([*graph.outputs, *(name for node in graph.nodes for name in node.inputs)])
    sums: dict[str, tuple[Node, str]] = {}
    for node in graph.nodes:
        if (node.op != Add() and node.op != Elementwise(function="add")) or len(node.inputs) != 2:
            continue
        for product, other in (node.inputs, node.inputs[::-1]):
            maker = makers.get(product)
            tensors = graph.tensors[product], graph.tensors[other]
            alike = len(tensors[0].shape) == 2 and tensors[0] == tensors[1]
            if maker is None or not alike or uses[product] != 1 or moments[product] is not _When.STEP:
                continue
            if not isinstance(maker.op, Dense) or maker.op.activation != "linear":
                continue
            if maker.op.bias is None or moments[other] is _When.AHEAD:
                sums[node.name] = maker, other
                break
    return sums


def _row_by_row(op: Scan, graph: Graph, node: Node, of_x: Set[str]) -> bool:
    """Whether a node can be given the rows of all steps in place of those of one."""
    rows = letters_in(op.arguments[0].shape[0])
    used = [*node.inputs, *(mask for mask in node.masks if mask is not None)]
    if any(letters_in(graph.tensors[name].shape) & rows for name in used if name not in of_x):
        return False
    inputs, outputs = ([graph.tensors[name] for name in names] for names in (node.inputs, node.outputs))
    return not rows_meet(node.op, inputs, outputs, rows)
