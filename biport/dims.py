"""Sizes: numbers, and expressions over the letters of sizes that vary, ``N * T`` or ``T - 2``.

An expression is kept as a sum of products of letters, so that two are equal when they are equal however they
came about. It is exact integer arithmetic, but for one rule of writing: a minus never goes below 0, since no
size does. ``"T-2"`` is ``max(T - 2, 0)``; what may be negative is written ``"T+-2"``.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Generic, NamedTuple, SupportsIndex, TypeAlias, TypeVar

from biport.errors import GraphError
from biport.syntax import parsed_expression

MAX_TEXT = 2000
"""Characters of a size; of two sizes a layer may make one that is as long as both."""
MAX_TERMS = 200
"""Terms of a sum, and sizes that one is the largest of."""
MAX_DEPTH = 40
"""Divisions within divisions."""
LARGEST = 2**63
"""Beyond the elements of any array."""


@dataclass(frozen=True)
class Call:
    """A function of sizes that is no sum or product: ``max``, ``min`` or ``//``."""

    function: str
    arguments: tuple[Dim, ...]

    @property
    def depth(self) -> int:
        """How many calls it is of each other."""
        return 1 + max(dim.depth for dim in self.arguments if isinstance(dim, Size))

    def __str__(self) -> str:
        if self.function in ("max", "min"):
            return f"{self.function}({', '.join(map(str, self.arguments))})"
        left, right = self.arguments
        return f"{_factor(left)}{self.function}{_factor(right)}"


Atom: TypeAlias = str | Call
Product: TypeAlias = tuple[Atom, ...]
"""Letters and calls multiplied; empty for the number alone."""


class Size:
    """A size that varies.

    Sizes add up, multiply and divide with each other and with numbers; a result that does not vary is an
    `int`. A size equals the text it is written as.

    Example:
        >>> N, T = letter("N"), letter("T")
        >>> str(N * T * 2), str(T + 1 + 1), 2 * T - T == T, T - T
        ('N*T*2', 'T+2', True, 0)
        >>> (T * 4) // 2 == T + T, str((T + 1) // 2), longest(T, 5).at({"T": 9})
        (True, '(T+1)//2', 9)
    """

    __slots__ = ("_terms", "_text", "depth")

    def __init__(self, terms: Mapping[Product, int]) -> None:
        if len(terms) > MAX_TERMS:
            raise GraphError(f"a size that is a sum of more than {MAX_TERMS} terms")
        if any(abs(count) >= LARGEST for count in terms.values()):
            raise GraphError("a size is longer than any array")
        calls = [atom for atoms in terms for atom in atoms if isinstance(atom, Call)]
        self.depth: int = max((call.depth for call in calls), default=0)
        """How many calls, such as divisions, it is of each other."""
        if self.depth > MAX_DEPTH:
            raise GraphError(f"a size of more than {MAX_DEPTH} divisions within each other")
        self._terms = dict(sorted(terms.items(), key=lambda term: _order(term[0])))
        self._text = _sum_text(self)
        if len(self._text) > MAX_TEXT:
            raise GraphError(f"it takes more than {MAX_TEXT} characters to say how long it is")

    @property
    def is_letter(self) -> bool:
        """Whether it is a single letter, nothing added or multiplied."""
        match list(self._terms.items()):
            case [((str(),), 1)]:
                return True
        return False

    @property
    def letters(self) -> frozenset[str]:
        """The letters in it."""
        return frozenset().union(*(_letters(atom) for product in self._terms for atom in product))

    def at(self, sizes: Mapping[str, Dim]) -> Dim:
        """The size with numbers, or other sizes, in place of some letters.

        Example:
            >>> size("T-2").at({"T": 1}), size("N*T").at({"T": size("S+1")})
            (0, N+N*S)
        """
        total: Dim = 0
        for product, count in self._terms.items():
            total += reduce(lambda whole, atom: whole * _at(atom, sizes), product, count)
        return total

    def __add__(self, other: Dim) -> Dim:
        terms = dict(self._terms)
        for product, count in _terms(other).items():
            terms[product] = terms.get(product, 0) + count
        return _simplest(terms)

    def __mul__(self, other: Dim) -> Dim:
        terms: dict[Product, int] = {}
        others = _terms(other)
        if len(self._terms) * len(others) > 10 * MAX_TERMS:
            raise GraphError(f"a product of sums of {len(self._terms)} and {len(others)} terms")
        for one, first in self._terms.items():
            for two, second in others.items():
                product = tuple(sorted((*one, *two), key=_atom_order))
                terms[product] = terms.get(product, 0) + first * second
        return _simplest(terms)

    def __neg__(self) -> Dim:
        return self * -1

    def __sub__(self, other: Dim) -> Dim:
        return self + -other

    def __rsub__(self, other: int) -> Dim:
        return -self + other

    def __floordiv__(self, other: Dim) -> Dim:
        return _divided(self, other)

    def __rfloordiv__(self, other: int) -> Dim:
        return _divided(other, self)

    def __mod__(self, other: Dim) -> Dim:
        return self - (self // other) * other

    def __rmod__(self, other: int) -> Dim:
        return -((other // self) * self) + other

    __radd__ = __add__
    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Size):
            return self._terms == other._terms
        return isinstance(other, str) and (str(self) == other or self == size(other))

    def __hash__(self) -> int:
        return hash(self._text)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return str(self)

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)


Dim: TypeAlias = int | Size
"""A size: a number, or an expression of letters."""


def letter(name: str) -> Size:
    """The size called ``name``."""
    return Size({(name,): 1})


def size(text: Dim | str | SupportsIndex) -> Dim:
    """The size that a text stands for; a text that is no expression is a letter by itself.

    Raises:
        GraphError: the text is longer, or what it says larger, than any size is.

    Example:
        >>> size("T-2") == longest(letter("T") - 2, 0), size("2*3"), size("some axis")
        (True, 6, some axis)
    """
    if isinstance(text, Size):
        return text
    if not isinstance(text, str):
        return operator.index(text)
    if text.isidentifier():
        return letter(text)
    if len(text) > MAX_TEXT:
        raise GraphError(f"a size of more than {MAX_TEXT} characters: {text[:20]}...")
    try:
        return _read(parsed_expression(text))
    except GraphError:
        raise
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return letter(text)


def sizes(dims: Iterable[Dim | str | SupportsIndex]) -> tuple[Dim, ...]:
    """`size` of each."""
    return tuple(map(size, dims))


def plain(value: Any) -> Any:
    """Sizes, in tuples and mappings as well, as JSON can hold them; `size` reads them again.

    Example:
        >>> plain(5), plain(size("T-2")), plain({"shape": (letter("T"), 4)})
        (5, 'T-2', {'shape': ('T', 4)})
        >>> size(plain(letter("T") - 2)) == letter("T") - 2
        True
    """
    match value:
        case Size():
            return str(value)
        case list() | tuple():
            return type(value)(map(plain, value))
        case Mapping():
            return {key: plain(part) for key, part in value.items()}
    return value


def bound(value: Any, sizes: Mapping[str, Dim]) -> Any:
    """`Size.at` of a size, and of those in nested tuples; the very same object where nothing changes.

    Example:
        >>> bound((letter("T") + 1, (4, "T")), {"T": 5})
        (6, (4, 'T'))
    """
    if isinstance(value, Size):
        return value.at(sizes) if value.letters & sizes.keys() else value
    if isinstance(value, tuple):
        parts = tuple(bound(part, sizes) for part in value)
        return value if all(map(operator.is_, parts, value)) else parts
    return value


def letters_in(value: Any) -> frozenset[str]:
    """The letters of a size, and of those in nested tuples."""
    if isinstance(value, Size):
        return value.letters
    return frozenset().union(*map(letters_in, value)) if isinstance(value, tuple) else frozenset()


def known(dim: Dim) -> int:
    """A size that does not vary.

    Raises:
        GraphError: it does.
    """
    if not isinstance(dim, int):
        raise GraphError(f"a size that varies, {dim}, where a number is needed")
    return dim


def numbers(dims: Iterable[Dim]) -> tuple[int, ...]:
    """`known` of each.

    Raises:
        GraphError: one varies.
    """
    return tuple(map(known, dims))


def length(dim: Dim) -> Dim:
    """``max(dim, 0)``: what a number of elements is.

    Example:
        >>> T = letter("T")
        >>> length(T), length(T - 3), length(-3)
        (T, T-3, 0)
    """
    return longest(dim, 0)


def longest(*dims: Dim) -> Dim:
    """The largest of sizes."""
    return _extreme("max", dims)


def shortest(*dims: Dim) -> Dim:
    """The smallest of sizes."""
    return _extreme("min", dims)


def product(dims: Sequence[Dim]) -> Dim:
    """The sizes multiplied, 1 of none."""
    return reduce(lambda one, two: one * two, dims, 1)


def quotient(dim: Dim, divisor: Dim) -> Dim | None:
    """``dim`` over ``divisor`` where that is a whole number whatever the letters are; else ``None``.

    Example:
        >>> N, T = letter("N"), letter("T")
        >>> quotient(N * T * 6, N * 2), quotient(T * 5, 2), quotient(N * T + 2 * N, T + 2)
        (T*3, None, N)
    """
    if not divisor:
        return None
    (lead, count), quotients = _leading(divisor), []
    for _ in range(MAX_TERMS):
        if dim == 0:
            return sum(quotients)
        atoms, number = _leading(dim)
        left = _without(atoms, lead)
        if left is None or number % count:
            return None
        quotients.append(_simplest({left: number // count}))
        dim -= quotients[-1] * divisor
    return None


def _leading(dim: Dim) -> tuple[Product, int]:
    """The term that is divided first: of the most factors, and of those the first in order."""
    terms = _terms(dim)
    first = min(terms, key=lambda atoms: (-len(atoms), list(map(_atom_order, atoms))))
    return first, terms[first]


def _without(atoms: Product, factors: Product) -> Product | None:
    left = list(atoms)
    for factor in factors:
        if factor not in left:
            return None
        left.remove(factor)
    return tuple(left)


def is_length(dim: Dim) -> bool:
    """Whether it cannot be negative, whatever the letters are."""
    return all(
        count >= 0 and all(isinstance(atom, str) or _never_negative(atom) for atom in atoms)
        for atoms, count in _terms(dim).items()
    )


Number = TypeVar("Number")


class Arithmetic(NamedTuple, Generic[Number]):
    """How a form computes with sizes while it runs.

    Args:
        number: what stands for a number that is known.
        add: of two.
        multiply: of two.
        floor_divide: of two, towards minus infinity.
        maximum: of two.
        minimum: of two.
    """

    number: Callable[[int], Number]
    add: Callable[[Number, Number], Number]
    multiply: Callable[[Number, Number], Number]
    floor_divide: Callable[[Number, Number], Number]
    maximum: Callable[[Number, Number], Number]
    minimum: Callable[[Number, Number], Number]


def computed(dim: Dim, sizes: Mapping[str, Number], by: Arithmetic[Number]) -> Number:
    """A size computed by a form from those of its letters.

    Args:
        dim: the size.
        sizes: what stands for each letter.
        by: how to compute with them.

    Example:
        >>> python = Arithmetic(int, int.__add__, int.__mul__, int.__floordiv__, max, min)
        >>> computed(size("(T-1)//2+N"), {"T": 8, "N": 3}, python)
        6
    """
    if isinstance(dim, int):
        return by.number(dim)
    functions = {"max": by.maximum, "min": by.minimum, "//": by.floor_divide}

    def of_atom(atom: Atom) -> Number:
        if isinstance(atom, str):
            return sizes[atom]
        return reduce(functions[atom.function], [computed(part, sizes, by) for part in atom.arguments])

    parts = []
    for atoms, count in dim._terms.items():
        factors = [of_atom(atom) for atom in atoms]
        factors = factors if count == 1 and factors else [*factors, by.number(count)]
        parts.append(reduce(by.multiply, factors))
    return reduce(by.add, parts)


def _terms(dim: Dim) -> Mapping[Product, int]:
    if isinstance(dim, Size):
        return dim._terms
    return {(): dim} if dim else {}


def _simplest(terms: Mapping[Product, int]) -> Dim:
    left = {atoms: count for atoms, count in terms.items() if count}
    if not left or list(left) == [()]:
        return left.get((), 0)
    return Size(left)


def _of(call: Call) -> Dim:
    return Size({(call,): 1})


def _divided(dim: Dim, divisor: Dim) -> Dim:
    if divisor == 0:
        raise GraphError(f"a size divided by 0: {dim}")
    if isinstance(dim, int) and isinstance(divisor, int):
        return dim // divisor
    if not isinstance(divisor, int):
        whole = quotient(dim, divisor)
        return _of(Call("//", (dim, divisor))) if whole is None else whole
    # Whole multiples of the divisor come out: (2T + 3) // 2 is T + 1 + 1 // 2.
    outside = _simplest(
        {atoms: count // divisor for atoms, count in _terms(dim).items() if count % divisor == 0}
    )
    inside = _simplest({atoms: count for atoms, count in _terms(dim).items() if count % divisor})
    if isinstance(inside, int):
        return outside + inside // divisor
    number = _terms(inside).get((), 0)
    varying, rest = inside - number, number % divisor
    # (2T + 1) // 4 is T // 2.
    common = math.gcd(divisor, *_terms(varying).values()) if divisor > 0 else 1
    whole = _simplest({atoms: count // common for atoms, count in _terms(varying).items()})
    return outside + number // divisor + _nested(whole, rest // common, divisor // common)


def _nested(dim: Dim, rest: int, divisor: int) -> Dim:
    """``(dim + rest) // divisor``, of a division within it one: ``(T // 2 + 1) // 3`` is ``(T + 2) // 6``."""
    call = _only_call(dim)
    if call is not None and call.function == "//" and divisor > 0:
        inside, other = call.arguments
        if isinstance(other, int) and other > 0:
            return _divided(inside + rest * other, other * divisor)
    return _of(Call("//", (dim + rest, divisor)))


def _extreme(name: str, dims: Sequence[Dim]) -> Dim:
    flat: list[Dim] = []
    for dim in dims:
        call = _only_call(dim)
        flat += call.arguments if call is not None and call.function == name else [dim]
    if name == "max" and 0 in flat:
        flat = [_joined_clamps(dim) for dim in flat]
    flat = list(dict.fromkeys(flat))
    if len(flat) > MAX_TERMS:
        raise GraphError(f"a size that is the {name} of more than {MAX_TERMS}")
    beats = (lambda a, b: is_length(a - b)) if name == "max" else (lambda a, b: is_length(b - a))
    best = [dim for dim in flat if not any(beats(other, dim) for other in flat if other != dim)]
    numbers, varying = ([dim for dim in best if isinstance(dim, int) is fixed] for fixed in (True, False))
    arguments = (*sorted(varying, key=str), *numbers)
    return arguments[0] if len(arguments) == 1 else _of(Call(name, arguments))


def _joined_clamps(dim: Dim) -> Dim:
    """``max(a, 0) - b`` as ``a - b``, which is the same once it is cut at 0 itself."""
    terms = dict(_terms(dim))
    clamps = [
        atoms for atoms, count in terms.items() if count == 1 and len(atoms) == 1 and _clamped(atoms[0])
    ]
    if len(clamps) != 1:
        return dim
    rest = _simplest({atoms: count for atoms, count in terms.items() if atoms != clamps[0]})
    if not is_length(-rest):
        return dim
    inside = _clamped(clamps[0][0])
    assert inside is not None
    return inside + rest


def _clamped(atom: Atom) -> Dim | None:
    """``a`` of ``max(a, 0)``."""
    if (
        isinstance(atom, Call)
        and atom.function == "max"
        and len(atom.arguments) == 2
        and atom.arguments[1] == 0
    ):
        return atom.arguments[0]
    return None


def _only_call(dim: Dim) -> Call | None:
    """The call that a size is, nothing added or multiplied."""
    match list(_terms(dim).items()):
        case [((Call() as call,), 1)]:
            return call
    return None


def _never_negative(call: Call) -> bool:
    if call.function == "max":
        return any(map(is_length, call.arguments))
    return all(map(is_length, call.arguments))


def _letters(atom: Atom) -> frozenset[str]:
    if isinstance(atom, str):
        return frozenset([atom])
    return frozenset().union(*(dim.letters for dim in atom.arguments if isinstance(dim, Size)))


def _at(atom: Atom, given: Mapping[str, Dim]) -> Dim:
    if isinstance(atom, str):
        return given.get(atom, letter(atom))
    arguments = [dim.at(given) if isinstance(dim, Size) else dim for dim in atom.arguments]
    match atom.function:
        case "max":
            return longest(*arguments)
        case "min":
            return shortest(*arguments)
    return _divided(*arguments)


def _atom_order(atom: Atom) -> tuple[int, str]:
    # Cut differences in front: what is subtracted behind one would be cut with it.
    if isinstance(atom, str):
        return 1, atom
    return (0 if _clamped(atom) is not None else 2), str(atom)


def _order(atoms: Product) -> tuple:
    return (not atoms, [_atom_order(atom) for atom in atoms])


def _difference(atom: Atom) -> Dim | None:
    """``a`` of ``max(a, 0)`` where something is subtracted in it: a minus that never goes below 0."""
    inside = _clamped(atom)
    return None if inside is None or not any(map(_is_subtracted, _terms(inside).items())) else inside


def _is_subtracted(term: tuple[Product, int]) -> bool:
    # Cut twice is cut once only where what is subtracted is no less than 0.
    atoms, count = term
    return count < 0 and is_length(_simplest({atoms: -count}))


def _sum_text(dim: Dim, cut: bool = False) -> str:
    """A sum; with ``cut`` its negative terms are subtracted, and it never goes below 0."""
    call = _only_call(dim)
    inside = None if call is None or cut else _difference(call)
    if inside is not None:
        return _sum_text(inside, cut=True)
    last = [term for term in _terms(dim).items() if cut and _is_subtracted(term)]
    first = [term for term in _terms(dim).items() if term not in last]
    parts = [
        _product_text(*term, leading=number == 0 and len(first) > 1) for number, term in enumerate(first)
    ]
    return "+".join(parts or ["0"]) + "".join(f"-{_product_text(atoms, -count)}" for atoms, count in last)


def _product_text(atoms: Product, count: int, leading: bool = False) -> str:
    if len(atoms) == count == 1:
        text = _atom_text(atoms[0])
        return text if leading or isinstance(atoms[0], str) or _difference(atoms[0]) is None else f"({text})"
    return "*".join([*map(_factor_text, atoms), *([str(count)] if count != 1 or not atoms else [])])


def _atom_text(atom: Atom) -> str:
    inside = _difference(atom)
    return str(atom) if inside is None else _sum_text(inside, cut=True)


def _factor_text(atom: Atom) -> str:
    text = _atom_text(atom)
    called = isinstance(atom, Call) and atom.function in ("max", "min") and _difference(atom) is None
    return text if called or text.isidentifier() else f"({text})"


def _factor(dim: Dim) -> str:
    """A size as one side of a division."""
    if isinstance(dim, int) or dim.is_letter:
        return str(dim)
    return f"({dim})"


def _read(node: ast.expr) -> Dim:
    match node:
        case ast.Name(name):
            return letter(name)
        case ast.Constant(int(number)) if not isinstance(number, bool):
            return number
        case ast.UnaryOp(ast.USub(), operand):
            return -_read(operand)
        case ast.BinOp(left, ast.Add(), right):
            return _read(left) + _read(right)
        case ast.BinOp(left, ast.Sub(), right):
            return length(_read(left) - _read(right))
        case ast.BinOp(left, ast.Mult(), right):
            return _read(left) * _read(right)
        case ast.BinOp(left, ast.Div() | ast.FloorDiv(), right):
            return _divided(_read(left), _read(right))
        case ast.Call(ast.Name("max"), [*arguments], []) if arguments:
            return longest(*map(_read, arguments))
        case ast.Call(ast.Name("min"), [*arguments], []) if arguments:
            return shortest(*map(_read, arguments))
    raise ValueError(ast.dump(node))
