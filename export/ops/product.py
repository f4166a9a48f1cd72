"""Products: ``MatMul``, and Einstein's notation in terms of it.

Not ``Einsum``: onnxruntime 1.31 ends the process over one of nothing. Nothing is reshaped, so that sizes may
vary: what would be merged stands side by side, sizes of 1 stretched.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from biport.ops import Einsum, MatMul
from export.onnx.builder import Scope
from export.onnx.lazy_value import LazyValue, StepForm
from export.onnx.site import Site
from export.registry import writes


@writes(MatMul)
def write_mat_mul(op: MatMul, site: Site) -> tuple[LazyValue, ...]:
    """``a @ b``; between recurrent layers in step form where b is one matrix for all steps."""
    a, b = site.inputs

    def write() -> ir.Value:
        return site.scope("MatMul", a.value(), b.value())

    def write_steps(layout: StepForm) -> ir.Value:
        return site.scope("MatMul", a.steps(layout), b.value())

    if len(a.tensor.shape) == 3 and len(b.tensor.shape) == 2:
        return (site.lazy(write, write_steps, root=a),)
    return (site.lazy(write),)


@dataclass(frozen=True)
class _Term:
    """A value and the letters of its axes."""

    value: ir.Value
    axes: str


@writes(Einsum)
def write_einsum(op: Einsum, site: Site) -> tuple[LazyValue, ...]:
    """Two terms at a time, from the first on; an axis is summed as soon as nobody needs it any more."""
    scope = site.scope

    def write() -> ir.Value:
        values = (x.value() for x in site.inputs)
        first, *others = map(_Term, values, op.terms)
        for number, other in enumerate(others, start=2):
            kept = {*op.output, *"".join(op.terms[number:])}
            first = _product(scope, _summed(scope, first, kept | set(other.axes)), other, kept)
        return _arranged(scope, _summed(scope, first, set(op.output)), op.output)

    return (site.lazy(write),)


def _product(scope: Scope, a: _Term, b: _Term, kept: set[str]) -> _Term:
    """The product of two terms, without the axes that are not kept."""
    b = _summed(scope, b, kept | set(a.axes))
    common = [axis for axis in a.axes if axis in b.axes]
    summed = [axis for axis in common if axis not in kept]
    rows, columns = _only(a, b), _only(b, a)
    if not summed or not (rows or columns):
        axes = a.axes + columns
        value = scope("Mul", _arranged(scope, a, axes), _arranged(scope, b, axes))
        return _summed(scope, _Term(value, axes), kept)
    # All but one axis of each kind stand in front, where sizes of 1 are stretched.
    front = "".join(axis for axis in common if axis != summed[-1]) + rows[:-1] + columns[:-1]
    left = _arranged(scope, a, front, rows[-1:] or "?", summed[-1])
    right = _arranged(scope, b, front, summed[-1], columns[-1:] or "?")
    value = scope("MatMul", left, right)
    if not (rows and columns):
        value = scope("Squeeze", value, [-2 if columns else -1])
    return _summed(scope, _Term(value, front + rows[-1:] + columns[-1:]), kept)


def _only(term: _Term, other: _Term) -> str:
    return "".join(axis for axis in term.axes if axis not in other.axes)


def _summed(scope: Scope, term: _Term, kept: set[str]) -> _Term:
    """Without the axes that are not kept."""
    gone = [position for position, axis in enumerate(term.axes) if axis not in kept]
    if not gone:
        return term
    axes = "".join(axis for axis in term.axes if axis in kept)
    return _Term(scope("ReduceSum", term.value, gone, keepdims=0), axes)


def _arranged(scope: Scope, term: _Term, *wanted: str) -> ir.Value:
    """The axes in another order, of size 1 where the term has none of that name."""
    target = "".join(wanted)
    order = [term.axes.index(axis) for axis in target if axis in term.axes]
    value = term.value
    if order != sorted(order):
        value = scope("Transpose", value, perm=order)
    missing = [position for position, axis in enumerate(target) if axis not in term.axes]
    # Sizes of 1 in front are added by broadcasting, as long as a matrix is left.
    front = next((at for at, axis in enumerate(target[:-2]) if axis in term.axes), max(len(target) - 2, 0))
    inside = [position - front for position in missing if position >= front]
    return scope("Unsqueeze", value, inside) if inside else value
