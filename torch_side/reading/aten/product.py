"""Products of matrices, and sums of products by Einstein's notation."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase
from typing import Any

from torch import fx

from biport import ops
from biport.ops.base import Op
from torch_side.reading.aten.dense import dense
from torch_side.reading.aten_call import AtenCall
from torch_side.registry import reads_aten


def operands(call: AtenCall, *names: str) -> list[str]:
    """The values of a product, which are floats."""
    values = [call.value(name) for name in names]
    for value in values:
        _need_floats(call, value)
    return values


def _need_floats(call: AtenCall, value: str) -> None:
    if call.dtype(value) not in ops.FLOATS:
        raise call.refuse("dtype", call.dtype(value), list(ops.FLOATS))


@reads_aten("matmul.default", "mm.default", "bmm.default", "mv.default", "dot.default", "vdot.default",
            "linalg_matmul.default")  # fmt: skip
def read_matmul(call: AtenCall) -> str:
    """``a @ b``, ``torch.bmm(a, b)``."""
    names = list(call.arguments)[:2]
    weight = _turned_weight(call, names[1])
    if weight is not None and len(call.known(names[0]).shape) > 1:
        return dense(call, call.value(names[0]), weight, None)
    return call.apply(ops.MatMul(), *operands(call, *names))


def _turned_weight(call: AtenCall, name: str) -> fx.Node | None:
    """The weights ``(O, I)`` of ``x @ weight.t()``, where nothing else uses them: those of a linear layer."""
    node = call[name]
    if str(node.target) not in ("aten.t.default", "aten.transpose.int", "aten.permute.default"):
        return None
    weight = node.args[0]
    matrix = call.is_static(weight) and weight.op == "placeholder" and weight.meta["val"].dim() == 2
    return weight if matrix and not call.is_shared(weight) else None


@reads_aten("inner.default")
def read_inner(call: AtenCall) -> str:
    """``torch.inner(a, b)``: sums over the last axis of both."""
    one, two = operands(call, "self", "other")
    if 0 in (call.rank(one), call.rank(two)):
        return call.compute("multiply", one, two)
    left, right = call.rank(one) - 1, call.rank(two) - 1
    return contracted(call, one, two, [left], [right])


@reads_aten("outer.default", "ger.default")
def read_outer(call: AtenCall) -> str:
    """``torch.outer(a, b)``."""
    one, two = call.promoted("self", "vec2")
    return call.compute("multiply", call.apply(ops.ExpandDims(axes=(1,)), one), two)


@reads_aten("addmm.default", "addbmm.default", "baddbmm.default", "addmv.default", "addr.default")
def read_addmm(call: AtenCall) -> str:
    """``beta * x + alpha * (a @ b)``; where beta is 0, ``x`` is not read."""
    names = list(call.arguments)[1:3]
    weight, bias = _turned_weight(call, names[1]), call["self"]
    plain = call["alpha"] == call["beta"] == 1 and call.is_static(bias) and not call.is_shared(bias)
    if call.name == "addmm" and weight is not None and plain and bias.meta["val"].dim() == 1:
        return dense(call, call.value(names[0]), weight, bias)
    one, two = operands(call, *names)
    if call.name == "addr":
        product = call.compute("multiply", call.apply(ops.ExpandDims(axes=(1,)), one), two)
    else:
        product = call.apply(ops.MatMul(), one, two)
    if call.name == "addbmm":
        product = call.apply(ops.Reduction(function="sum", axes=(0,)), product)
    product = _scaled(call, product, call["alpha"])
    if call["beta"] == 0:
        return product
    return call.compute("add", _scaled(call, call.value("self"), call["beta"]), product)


def _scaled(call: AtenCall, x: str, factor: Any) -> str:
    return x if factor == 1 else call.compute("multiply", x, call.operand(factor, call.dtype(x)))


@reads_aten("linalg_multi_dot.default", "chain_matmul.default")
def read_multi_dot(call: AtenCall) -> str:
    """A product of several matrices."""
    first, *others = call.values(next(iter(call.arguments)))
    for other in others:
        first = call.apply(ops.MatMul(), first, other)
    return first


@reads_aten("linalg_vecdot.default")
def read_vecdot(call: AtenCall) -> str:
    """``torch.linalg.vecdot(a, b)``: a sum of products along an axis."""
    one, two = call.promoted("x", "y")
    product = call.compute("multiply", one, two)
    return call.apply(ops.Reduction(function="sum", axes=(call.axis(product),)), product)


@reads_aten("einsum.default")
def read_einsum(call: AtenCall) -> str:
    """``torch.einsum("nti,nsi->nts", a, b)``, dots and sizes of 1 that broadcast no exception."""
    values = call.values("tensors")
    for value in values:
        _need_floats(call, value)
    terms, output = _terms(call, _in_small_letters(call["equation"]), [call.rank(value) for value in values])
    return einsum(call, values, terms, output)


def _in_small_letters(equation: str) -> str:
    """Not all forms know others."""
    free = [letter for letter in ascii_lowercase if letter not in equation]
    capitals = sorted({letter for letter in equation if letter.isupper()})
    return equation.translate({ord(letter): other for letter, other in zip(capitals, free, strict=False)})


def einsum(call: AtenCall, values: Sequence[str], terms: Sequence[str], output: str) -> str:
    """Sums of products, a letter an axis; an axis of size 1 goes with any other."""
    wide = {
        letter
        for term, value in zip(terms, values, strict=True)
        for letter, size in zip(term, call.tensor(value).shape, strict=True)
        if size != 1
    }
    given, left = [], []
    for term, value in zip(terms, values, strict=True):
        shape = call.tensor(value).shape
        ones = [axis for axis, letter in enumerate(term) if shape[axis] == 1 and letter in wide]
        given.append(call.apply(ops.Squeeze(axes=tuple(ones)), value) if ones else value)
        left.append("".join(letter for axis, letter in enumerate(term) if axis not in ones))
    return call.apply(ops.Einsum(equation=f"{','.join(left)}->{output}"), *given)


def _terms(call: AtenCall, equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """The axes of each input and of the output, in which dots are letters too."""
    front, arrow, output = equation.replace(" ", "").partition("->")
    terms = front.split(",")
    free = [letter for letter in ascii_lowercase if letter not in equation]
    widths = [rank - len(term.replace("...", "")) for term, rank in zip(terms, ranks, strict=True)]
    longest = max([width for width, term in zip(widths, terms, strict=True) if "." in term], default=0)
    dots = "".join(free[:longest])
    if not arrow:
        once = sorted(letter for letter in {*front} - {*",."} if front.count(letter) == 1)
        output = ("..." if "." in front else "") + "".join(once)
    terms = [
        term.replace("...", dots[len(dots) - width :] if width else "")
        for term, width in zip(terms, widths, strict=True)
    ]
    for term in (*terms, output):
        if len({*term} - {"."}) < len(term.replace(".", "")):
            raise call.refuse("equation", equation, "no axis twice in one input, such as 'nti,nsi->nts'")
    return terms, output.replace("...", dots)


def contracted(call: AtenCall, one: str, two: str, left: Sequence[int], right: Sequence[int]) -> str:
    """Sums of products over pairs of axes; the other axes of the first, and then those of the second."""
    letters = iter(ascii_lowercase)
    first = [next(letters) for _ in range(call.rank(one))]
    second = [next(letters) for _ in range(call.rank(two))]
    for a, b in zip(left, right, strict=True):
        second[b] = first[a]
    kept = [letter for axis, letter in enumerate(first) if axis not in left]
    kept += [letter for axis, letter in enumerate(second) if axis not in right]
    return einsum(call, [one, two], ["".join(first), "".join(second)], "".join(kept))


@reads_aten("tensordot.default")
def read_tensordot(call: AtenCall) -> str:
    """``torch.tensordot(a, b, dims=([2], [1]))``."""
    one, two = operands(call, "self", "other")
    left = [axis % call.rank(one) for axis in call["dims_self"]]
    right = [axis % call.rank(two) for axis in call["dims_other"]]
    return contracted(call, one, two, left, right)


@reads_aten("bilinear.default")
def read_bilinear(call: AtenCall) -> str:
    """`nn.Bilinear`: for each output the sum of all products of two features, each weighted."""
    one, two, weight = operands(call, "input1", "input2", "weight")
    *front, x, y, z = ascii_lowercase[: call.rank(one) + 2]
    rows = "".join(front)
    product = einsum(call, [one, weight, two], [rows + x, z + x + y, rows + y], rows + z)
    return call.compute("add", product, call.value("bias")) if call.has("bias") else product


@reads_aten("cosine_similarity.default")
def read_cosine_similarity(call: AtenCall) -> str:
    """``F.cosine_similarity(a, b, dim)``: neither length counts as less than eps."""
    one, two = call.promoted("x1", "x2")
    product = call.compute("multiply", one, two)
    axis = call.axis(product)
    lengths = []
    for x in (one, two):
        behind = axis - call.rank(product)
        norm = ops.Reduction(function="norm", axes=(call.rank(x) + behind,))
        lengths.append(call.apply(ops.Clip(min=float(call["eps"])), call.apply(norm, x)))
    total = call.apply(ops.Reduction(function="sum", axes=(axis,)), product)
    return call.compute("divide", total, call.compute("multiply", *lengths))


@reads_aten("pairwise_distance.default")
def read_pairwise_distance(call: AtenCall) -> str:
    """``F.pairwise_distance(a, b)``."""
    if call["p"] not in (1, 2):
        raise call.refuse("p", call["p"], "1 or 2")
    one, two = call.promoted("x1", "x2")
    difference = call.compute("subtract", one, two)
    difference = call.compute("add", difference, call.like(call["eps"], difference))
    op: Op = ops.Reduction(
        function="norm", axes=(call.rank(difference) - 1,), order=call["p"], keepdims=call["keepdim"]
    )
    return call.apply(op, difference)
