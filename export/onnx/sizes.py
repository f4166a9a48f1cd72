"""Sizes at run time: numbers, or what is computed from the shapes of the graph's inputs, each once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from biport.dims import Arithmetic, Dim, computed, letters_in
from biport.graph import Value
from biport.inputs import check_letters, letter_axes
from export.onnx.builder import Builder, Operand
from export.onnx.lazy_value import LazyValue


class RuntimeSizes:
    """The sizes of one graph while it runs, as int64.

    Args:
        builder: where the nodes go.
        values: the inputs of the graph.
        inputs: the same in the file.
        least: by letters, of which size the model needs them to be; ``None`` where nobody has looked.
    """

    def __init__(
        self,
        builder: Builder,
        values: Sequence[Value],
        inputs: Mapping[str, LazyValue],
        least: Mapping[str, int] | None = None,
    ) -> None:
        self._scope = builder.scope("sizes")
        self._inputs = inputs
        self._letters = letter_axes(values)
        self._least = least
        self.ensured: dict[str, int] = {}
        """By letters, of which size the file has to see to it that they are."""
        self._vectors: dict[str, ir.Value] = {}
        self._scalars: dict[str, ir.Value] = {}

    def vector(self, owner: str, dims: Sequence[Dim]) -> Operand:
        """The sizes one after the other, ``(len(dims),)``; a list of numbers where none varies.

        Raises:
            UnsupportedError: no input tells one; ``owner`` needs it.
        """
        check_letters(owner, dims, self._letters)
        parts: list[Operand] = []
        for dim in dims:
            if isinstance(dim, int) and parts and isinstance(parts[-1], list):
                parts[-1] = [*parts[-1], dim]
            else:
                parts.append([dim] if isinstance(dim, int) else self._varying(dim))
        if not any(isinstance(part, ir.Value) for part in parts):
            return [dim for dim in dims if isinstance(dim, int)]
        return parts[0] if len(parts) == 1 else self._scope("Concat", *parts, axis=0)

    def scalar(self, owner: str, dim: Dim) -> ir.Value:
        """One size, ``()``.

        Raises:
            UnsupportedError: no input tells it; ``owner`` needs it.
        """
        check_letters(owner, [dim], self._letters)
        if isinstance(dim, int):
            return self._scope.constant(np.asarray(dim, "int64"), str(dim))
        text = str(dim)
        if text not in self._scalars:
            self._scalars[text] = self._scope("Squeeze", self._varying(dim), [0])
        return self._scalars[text]

    def ensure(self, dim: Dim) -> bool:
        """Whether a size that the model needs to be large enough is so where the inputs are."""
        letters = letters_in(dim)
        if self._least is None or len(letters) != 1:
            return False
        self.ensured |= {letter: self._least[letter] for letter in letters & self._least.keys()}
        return True

    def _varying(self, dim: Dim) -> ir.Value:
        """A size that varies, ``(1,)``."""
        text = str(dim)
        if text not in self._vectors:
            letters = (
                {} if isinstance(dim, int) else {name: self._letter(name) for name in sorted(dim.letters)}
            )
            by = Arithmetic[Operand](
                lambda number: [number],
                self._of("Add"),
                self._of("Mul"),
                self._floor_divided,
                self._of("Max"),
                self._of("Min"),
            )
            value = computed(dim, letters, by)
            assert isinstance(value, ir.Value)
            self._vectors[text] = value
        return self._vectors[text]

    def _letter(self, name: str) -> Operand:
        if name not in self._vectors:
            value, axis = self._letters[name]
            self._vectors[name] = self._scope("Shape", self._inputs[value].value(), start=axis, end=axis + 1)
        return self._vectors[name]

    def _of(self, op_type: str) -> Callable[[Operand, Operand], Operand]:
        return lambda one, two: self._scope(op_type, one, two)

    def _floor_divided(self, one: Operand, two: Operand) -> Operand:
        """Towards minus infinity, where ``Div`` cuts towards zero; ``Mod`` has the sign of the divisor."""
        return self._scope("Div", self._scope("Sub", one, self._scope("Mod", one, two)), two)
