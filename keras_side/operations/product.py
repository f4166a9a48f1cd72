"""Operations that multiply and add up.

Source:
    keras/src/backend/tensorflow/numpy.py of 3.15.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

from biport import ops
from keras_side.operations.registry import OperationCall, is_whole, reads
from keras_side.operations.shaping import flat, reshaped
from keras_side.operations.terms import Term, apply, as_float, cast, common_dtype, compute, is_float


@reads("Matmul", takes=("x1", "x2"))
def matmul(call: OperationCall) -> Term:
    """In floats; of integers made integers again."""
    return _in_floats(call, lambda x1, x2: apply(ops.MatMul(), x1, x2))


def _in_floats(call: OperationCall, product) -> Term:
    x1, x2 = call.terms("x1", "x2")
    return cast(product(as_float(x1), as_float(x2)), common_dtype(x1.dtype, x2.dtype))


@reads("Dot", takes=("x1", "x2"))
def dot(call: OperationCall) -> Term:
    """The last axis of the one and the last but one of the other."""

    def product(x1: Term, x2: Term) -> Term:
        if not x1.rank or not x2.rank:
            return compute("multiply", x1, x2)
        return tensor_product(x1, x2, [x1.rank - 1], [max(x2.rank - 2, 0)])

    return _in_floats(call, product)


@reads("Inner", takes=("x1", "x2"))
def inner(call: OperationCall) -> Term:
    """The last axes of both."""

    def product(x1: Term, x2: Term) -> Term:
        if not x1.rank or not x2.rank:
            return compute("multiply", x1, x2)
        return tensor_product(x1, x2, [x1.rank - 1], [x2.rank - 1])

    return _in_floats(call, product)


@reads("Vdot", takes=("x1", "x2"))
def vdot(call: OperationCall) -> Term:
    """Of all elements."""
    return _in_floats(call, lambda x1, x2: apply(ops.MatMul(), flat(x1), flat(x2)))


@reads("Outer", takes=("x1", "x2"))
def outer(call: OperationCall) -> Term:
    """Every element times every other."""
    terms = call.terms("x1", "x2")
    x1, x2 = (cast(term, common_dtype(*(term.dtype for term in terms))) for term in terms)
    return compute("multiply", reshaped(x1, (-1, 1)), flat(x2))


@reads("Tensordot", takes=("x1", "x2"))
def tensordot(call: OperationCall) -> Term:
    """Over as many axes as are said, or over pairs of axes."""
    x1, x2 = _floats(call, call.terms("x1", "x2"))
    match call.setting("axes", 2):
        case count if is_whole(count) and 0 <= count <= min(x1.rank, x2.rank):
            pairs = list(range(x1.rank - count, x1.rank)), list(range(count))
        case [one, two] if is_whole(one) and is_whole(two):
            pairs = [one], [two]
        case [list() | tuple() as one, list() | tuple() as two]:
            pairs = list(one), list(two)
        case axes:
            raise call.refusal("axes", axes, "a number, or two lists of axes")
    for x, axes in zip((x1, x2), pairs, strict=True):
        if not all(is_whole(axis) and -x.rank <= axis < x.rank for axis in axes):
            raise call.refusal("axes", call.setting("axes"), f"axes of {x.rank} dimensions")
    if len(pairs[0]) != len(pairs[1]):
        raise call.refusal("axes", call.setting("axes"), "as many axes of the one as of the other")
    return tensor_product(
        x1, x2, [axis % x1.rank for axis in pairs[0]], [axis % x2.rank for axis in pairs[1]]
    )


def _floats(call: OperationCall, terms: Sequence[Term]) -> Sequence[Term]:
    """Tensors of floats among others; integers alone Keras multiplies as integers."""
    if not any(map(is_float, terms)):
        raise call.refusal("dtype", terms[0].dtype, "floats: cast integers first")
    return [as_float(term) for term in terms]


def tensor_product(x1: Term, x2: Term, axes1: Sequence[int], axes2: Sequence[int]) -> Term:
    """Products added up over pairs of axes; the axes that are left, of the one and then of the other."""
    plain = list(axes1) == [x1.rank - 1] and list(axes2) == [0]
    if plain and x2.rank <= 2:
        return apply(ops.MatMul(), x1, x2)
    letters = string.ascii_letters
    one, two = letters[: x1.rank], list(letters[x1.rank : x1.rank + x2.rank])
    for axis1, axis2 in zip(axes1, axes2, strict=True):
        two[axis2] = one[axis1]
    left = [axis for position, axis in enumerate(one) if position not in axes1]
    left += [axis for position, axis in enumerate(two) if position not in axes2]
    return apply(ops.Einsum(equation=f"{one},{''.join(two)}->{''.join(left)}"), x1, x2)


@reads("Einsum", takes=("*operands",))
def einsum(call: OperationCall) -> Term:
    """With the output written out, and letters in place of dots."""
    terms = _floats(call, call.several("operands"))
    subscripts = call.setting("subscripts")
    if not isinstance(subscripts, str):
        raise call.refusal("subscripts", subscripts, "an equation")
    equation = written_out(call, subscripts.replace(" ", ""), [term.rank for term in terms])
    return apply(ops.Einsum(equation=equation), *terms)


def written_out(call: OperationCall, equation: str, ranks: Sequence[int]) -> str:
    """An equation with its output and without dots."""
    inputs, arrow, output = equation.partition("->")
    terms = inputs.split(",")
    if len(terms) != len(ranks) or not all(
        re.fullmatch(r"[A-Za-z]*(\.\.\.)?[A-Za-z]*", term) for term in [*terms, output]
    ):
        raise call.refusal("subscripts", equation, f"letters for the axes of {len(ranks)} tensors")
    if not arrow:
        # What is there once, behind what the dots stand for: in the order of the alphabet over most backends,
        # in that of the inputs over TensorFlow (``_normalize_einsum_subscripts``).
        names = "".join(terms).replace(".", "")
        output = "".join(name for name in names if names.count(name) == 1)
        if sorted(output) != list(output):
            raise call.refusal(
                "subscripts", equation, "an arrow: backends of Keras order these axes differently"
            )
        output = f"...{output}" if "..." in inputs else output
    free = [letter for letter in string.ascii_letters if letter not in equation]
    widths = [
        rank - len(term.replace("...", "")) if "..." in term else 0
        for term, rank in zip(terms, ranks, strict=True)
    ]
    dots = free[: max(widths, default=0)]
    if min(widths) < 0 or len(dots) < max(widths):
        raise call.refusal("subscripts", equation, "as many letters as there are axes")
    whole = [
        term.replace("...", "".join(dots[len(dots) - width :]))
        for term, width in zip(terms, widths, strict=True)
    ]
    return f"{','.join(whole)}->{output.replace('...', ''.join(dots))}"
