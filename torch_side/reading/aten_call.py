"""One operator of aten, as the read functions of `torch_side.reading.aten` see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import fx

from biport import ops
from biport.dims import Dim
from biport.errors import UnsupportedError
from biport.ops import Op, Tensor
from torch_side.reading.dtypes import common_dtype, graph_dtype
from torch_side.reading.program_reader import ProgramReader

FLOAT = "float32"


class AtenCall:
    """An operator and its arguments, by the names that torch's schema has for them.

    Args:
        reader: what reads the program.
        node: the statement.
    """

    def __init__(self, reader: ProgramReader, node: fx.Node) -> None:
        self.reader = reader
        self.node = node
        schema: Any = node.target._schema  # type: ignore[union-attr]
        given = dict(zip((argument.name for argument in schema.arguments), node.args, strict=False))
        self._defaults = {argument.name: argument.default_value for argument in schema.arguments}
        self.arguments: dict[str, Any] = self._defaults | given | dict(node.kwargs)

    @property
    def owner(self) -> str:
        """Where it is, for errors."""
        return self.reader.owner(self.node)

    @property
    def name(self) -> str:
        """The operator, without its overload: ``"linear"``."""
        return str(self.node.target).split(".")[1]

    def __getitem__(self, name: str) -> Any:
        """An argument as the program has it."""
        return self.arguments[name]

    def has(self, name: str) -> bool:
        """Whether an argument is there and not ``None``."""
        return self.arguments.get(name) is not None

    def value(self, argument: Any) -> str:
        """The name of the value of a tensor argument, given by its name or as it is."""
        argument = self.arguments[argument] if isinstance(argument, str) else argument
        return self.reader.value(self.node, argument)

    def values(self, name: str) -> list[str]:
        """The names of the values of a list of tensors."""
        return [self.value(argument) for argument in self.arguments[name]]

    def tensor(self, value: str) -> Tensor:
        """Shape and dtype of a value."""
        return self.reader.tensors[value]

    def rank(self, value: str) -> int:
        """How many axes a value has."""
        return len(self.tensor(value).shape)

    def dtype(self, value: str) -> str:
        """The dtype of a value."""
        return self.tensor(value).dtype

    def size(self, argument: Any) -> Dim:
        """A size that an argument, given by its name or as it is, stands for."""
        argument = self.arguments[argument] if isinstance(argument, str) else argument
        return self.reader.size(self.node, argument)

    def known(self, argument: Any) -> Any:
        """What torch knows an argument as: a number, a ``SymInt``, or a tensor without numbers."""
        argument = self.arguments[argument] if isinstance(argument, str) else argument
        return argument.meta["val"] if isinstance(argument, fx.Node) else argument

    def note(self, text: str) -> None:
        """Something that a user should know of what was read."""
        self.reader.note(self.node, text)

    def sizes(self, argument: Any) -> tuple[Dim, ...]:
        """`size` of each."""
        argument = self.arguments[argument] if isinstance(argument, str) else argument
        return tuple(map(self.size, argument))

    def number(self, name: str) -> Any:
        """An argument that is a number that does not vary."""
        number = self.arguments[name]
        if isinstance(number, fx.Node):
            raise UnsupportedError(self.owner, name, "a size that varies", "a number")
        return number

    def axis(self, value: str, name: str = "dim") -> int:
        """An axis counted from the first, of a value."""
        return self.arguments[name] % max(self.rank(value), 1)

    def axes(self, value: str, name: str = "dim") -> tuple[int, ...]:
        """Axes counted from the first; all of them where none is given."""
        given, rank = self.arguments.get(name), self.rank(value)
        given = [given] if isinstance(given, int) else given
        return tuple(range(rank)) if not given else tuple(sorted(axis % max(rank, 1) for axis in given))

    def array(self, argument: Any) -> np.ndarray | None:
        """The numbers of an argument that is a parameter, or made of parameters alone; ``None`` of none.

        Raises:
            UnsupportedError: it is computed from the inputs.
        """
        given = self.arguments[argument] if isinstance(argument, str) else argument
        if given is None:
            return None
        return self.reader.array(self.node, given, argument if isinstance(argument, str) else "weight")

    def is_static(self, argument: Any) -> bool:
        """Whether `array` has it."""
        given = self.arguments[argument] if isinstance(argument, str) else argument
        return given is None or self.reader.is_static(given)

    def is_shared(self, argument: Any) -> bool:
        """Whether a trainable parameter in it is computed with, or used by other statements in other ways."""
        given = self.arguments[argument] if isinstance(argument, str) else argument
        return given is not None and self.reader.is_shared(given)

    @property
    def results(self) -> Any:
        """What torch says it gives: a tensor, or several, without numbers."""
        return self.node.meta["val"]

    @property
    def result_dtype(self) -> str:
        """The dtype of the one tensor that it gives."""
        return graph_dtype(self.results.dtype, self.owner)

    @property
    def result_shape(self) -> tuple[Dim, ...]:
        """The shape of the one tensor that it gives."""
        return tuple(map(self.size, self.results.shape))

    def used(self, position: int) -> bool:
        """Whether the output at a place is used."""
        return any(user.args[1] == position and user.users for user in self.node.users)

    def emit(
        self,
        op: Op,
        *inputs: str,
        masks: Sequence[str | None] = (),
        name: str | None = None,
        key: Any = None,
    ) -> tuple[str, ...]:
        """Apply an op; the names of all it gives.

        Args:
            op: what is applied.
            inputs: the names of values.
            masks: as in `biport.graph.Node`.
            name: of the node; by default that of the submodule, or of the op.
            key: the weights the op has; one of the same key is the same op, with shared weights.
        """
        return self.reader.emit(self.node, op, inputs, masks, name, key)

    def apply(self, op: Op, *inputs: str, **options: Any) -> str:
        """Apply an op that gives one value."""
        (output,) = self.emit(op, *inputs, **options)
        return output

    def compute(self, function: str, *inputs: str) -> str:
        """An elementwise function of inputs of one dtype."""
        return self.apply(ops.Elementwise(function=function), *inputs)

    def constant(self, value: Any) -> str:
        """A number or an array of a dtype that a graph has."""
        array = np.asarray(value)
        if array.ndim or array.dtype.kind != "f" or not np.isnan(array):
            return self.reader.constant(array)
        # Constants are numbers.
        zero = self.reader.constant(np.zeros_like(array))
        return self.compute("divide", zero, zero)

    def like(self, number: float, value: str) -> str:
        """A number in the dtype of a value."""
        return self.constant(np.asarray(number, self.dtype(value)))

    def cast(self, value: str, dtype: str) -> str:
        """The same numbers in another dtype."""
        if self.dtype(value) == dtype:
            return value
        return self.apply(ops.Cast(output_dtype=dtype), value)

    def operand(self, argument: Any, dtype: str) -> str:
        """A tensor, or a number or a size as a tensor without axes, in a dtype."""
        argument = self.arguments[argument] if isinstance(argument, str) else argument
        if isinstance(argument, bool | int | float):
            return self.constant(np.asarray(argument, dtype))
        if isinstance(argument, fx.Node) and not isinstance(argument.meta["val"], torch.Tensor):
            return self.cast(self.reader.number(self.node, argument), dtype)
        return self.cast(self.value(argument), dtype)

    def promoted(self, *arguments: Any) -> list[str]:
        """Tensors and numbers, given by name or as they are, in the dtype that torch computes with."""
        given = [self.arguments[name] if isinstance(name, str) else name for name in arguments]
        dtype = graph_dtype(common_dtype(given), self.owner)
        return [self.operand(part, dtype) for part in given]

    def refuse(self, setting: str, value: Any, supported: Any) -> UnsupportedError:
        """The error that says what is not supported, in words, a list or a value; to be raised."""
        said = supported if isinstance(supported, str | list | tuple) else repr(supported)
        return UnsupportedError(self.owner, setting, value, said)

    def require(self, **wanted: Any) -> None:
        """Refuse unless arguments are these.

        Raises:
            UnsupportedError: one is not.
        """
        for name, value in wanted.items():
            if self.arguments[name] != value:
                raise self.refuse(name, self.arguments[name], repr(value))
