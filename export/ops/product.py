"""Products: ``MatMul``, and Einstein's notation in terms of it.

Not ``Einsum``: onnxruntime 1.31 ends the process over one of nothing. Nothing is reshaped, so that sizes
may vary: what would be merged stands side by side, sizes of 1 stretched.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from biport.ops import Dim, Einsum, MatMul
from export.onnx.builder import Scope
from export.onnx.empty_axes import reduced
from export.onnx.lazy_value import LazyValue, StepForm
from export.onnx.matrices import multiplied
from export.onnx.site import Site
from export.registry import writes


@writes(MatMul)
def write_mat_mul(op: MatMul, site: Site) -> tuple[LazyValue, ...]:
    """``a @ b``, a vector as a matrix; in step form between recurrent layers where b is one for all steps."""
    scope, (a, b) = site.scope, site.inputs
    one, two = (x.tensor.shape for x in site.inputs)

    def write() -> ir.Value:
        left, right = a.value(), b.value()
        left = left if len(one) > 1 else scope("Unsqueeze", left, [0])
        right = right if len(two) > 1 else scope("Unsqueeze", right, [1])
        rows, columns = one if len(one) > 1 else (1, *one), two if len(two) > 1 else (*two, 1)
        product = multiplied(scope, left, rows, right, columns)
        vectors = [axis for axis, shape in ((-2, one), (-1, two)) if len(shape) == 1]
        return scope("Squeeze", product, vectors) if vectors else product

    def write_steps(layout: StepForm) -> ir.Value:
        return scope("MatMul", a.steps(layout), b.value())

    if len(one) == 3 and len(two) == 2:
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
    shapes = (x.tensor.shape for x in site.inputs)
    sizes = {
        axis: dim
        for term, shape in zip(op.terms, shapes, strict=True)
        for axis, dim in zip(term, shape, strict=True)
    }
    contraction = _Contraction(site.scope, sizes, site.inputs[0].tensor.dtype)

    def write() -> ir.Value:
        first, *others = (_Term(x.value(), term) for x, term in zip(site.inputs, op.terms, strict=True))
        for number, other in enumerate(others, start=2):
            kept = {*op.output, *"".join(op.terms[number:])}
            first = contraction.product(first, other, kept)
        return contraction.arranged(contraction.summed(first, set(op.output)), op.output)

    return (site.lazy(write),)


@dataclass(frozen=True)
class _Contraction:
    """What products are made of.

    Args:
        scope: where they are written.
        sizes: of each axis.
        dtype: of all terms.
    """

    scope: Scope
    sizes: dict[str, Dim]
    dtype: str

    def product(self, a: _Term, b: _Term, kept: set[str]) -> _Term:
        """The product of two terms, without the axes that are not kept."""
        a, b = self.summed(a, kept | set(b.axes)), self.summed(b, kept | set(a.axes))
        if len(a.axes) < len(b.axes):
            # What has more axes stands in front: a matrix behind it is stretched by itself.
            a, b = b, a
        common = [axis for axis in a.axes if axis in b.axes]
        summed = [axis for axis in common if axis not in kept]
        rows, columns = _only(a, b), _only(b, a)
        if not summed or not (rows or columns):
            axes = a.axes + columns
            value = self.scope("Mul", self.arranged(a, axes), self.arranged(b, axes))
            return self.summed(_Term(value, axes), kept)
        # All but one axis of each kind stand in front, where sizes of 1 are stretched.
        front = "".join(axis for axis in common if axis != summed[-1]) + rows[:-1] + columns[:-1]
        row, column = rows[-1:] or "?", columns[-1:] or "?"
        left, right = front + row + summed[-1], front + summed[-1] + column
        value = multiplied(
            self.scope,
            self.arranged(a, left),
            self._shape(a, left),
            self.arranged(b, right),
            self._shape(b, right),
        )
        if "?" in (row, column):
            value = self.scope("Squeeze", value, [-2 if row == "?" else -1])
        return self.summed(_Term(value, front + rows[-1:] + columns[-1:]), kept)

    def summed(self, term: _Term, kept: set[str]) -> _Term:
        """Without the axes that are not kept."""
        gone = [position for position, axis in enumerate(term.axes) if axis not in kept]
        if not gone:
            return term
        axes = "".join(axis for axis in term.axes if axis in kept)
        shape = [self.sizes[axis] for axis in term.axes]
        return _Term(reduced(self.scope, "ReduceSum", term.value, shape, self.dtype, gone, False), axes)

    def arranged(self, term: _Term, axes: str) -> ir.Value:
        """The axes in another order, of size 1 where the term has none of that name, those in front aside."""
        order = [term.axes.index(axis) for axis in axes if axis in term.axes]
        value = term.value if order == sorted(order) else self.scope("Transpose", term.value, perm=order)
        shown = axes[-len(self._shape(term, axes)) :]
        missing = [position for position, axis in enumerate(shown) if axis not in term.axes]
        return self.scope("Unsqueeze", value, missing) if missing else value

    def _shape(self, term: _Term, axes: str) -> list[Dim]:
        """That of the term arranged by ``axes``, without sizes of 1 in front of a matrix."""
        front = next((at for at, axis in enumerate(axes) if axis in term.axes), len(axes))
        shown = axes[min(front, max(len(axes) - 2, 0)) :]
        return [self.sizes[axis] if axis in term.axes else 1 for axis in shown]


def _only(term: _Term, other: _Term) -> str:
    return "".join(axis for axis in term.axes if axis not in other.axes)
