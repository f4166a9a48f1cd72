"""What an operation computes, before it has a name in a graph: ops applied to values and to each other.

Floats are float32 here, whatever the graph's float dtype will be: a graph has one, that of its weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from biport import ops
from biport.ops import FLOATS, INTEGERS, Op, Tensor
from biport.ops.tensor import BOOLEANS
from keras_side.operations.known_sizes import Sizes, known_sizes

FLOAT = "float32"
"""The float dtype of a model that is being read."""

LOOK_UP: frozenset[type[Op]] = frozenset((ops.CategoryEncoding, ops.Embedding, ops.IntegerLookup))
"""Ops whose input is ids."""

TAKE_IDS: frozenset[type[Op]] = LOOK_UP | {ops.NotEqual}
"""Ops of integers that Keras gives floats too."""


@dataclass(frozen=True, eq=False)
class Application:
    """An op applied."""

    op: Op
    inputs: tuple[Term, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Term:
    """A value of the graph, or one that an application gives.

    Args:
        tensor: its shape and dtype.
        source: the name of the value, or the application.
        position: among the outputs of the application.
        sizes: what it is, where it is known to be sizes of tensors.
    """

    tensor: Tensor
    source: str | Application
    position: int = 0
    sizes: Sizes | None = None

    @property
    def dtype(self) -> str:
        """Its dtype; float32 for every float."""
        return self.tensor.dtype

    @property
    def rank(self) -> int:
        """How many axes it has."""
        return len(self.tensor.shape)

    @property
    def constant(self) -> np.ndarray | None:
        """Its elements, where they are known."""
        if isinstance(self.source, Application) and isinstance(self.source.op, ops.Constant):
            return self.source.op.value
        return None


def inferred(op: Op, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """What an op gives, where every float is of the graph's float dtype, whatever that is.

    Raises:
        GraphError: the inputs do not suit the op.

    Example:
        >>> inferred(ops.Elementwise(function="exp"), [Tensor(("N", 4), "float32")])
        (Tensor(shape=(N, 4), dtype='float32'),)
    """
    own = op.dtype or FLOAT
    given = [Tensor(tensor.shape, own if tensor.dtype in FLOATS else tensor.dtype) for tensor in tensors]
    if type(op) in TAKE_IDS and given[0].dtype in FLOATS:
        given[0] = Tensor(given[0].shape, "int32")
    return tuple(
        Tensor(tensor.shape, FLOAT if tensor.dtype in FLOATS else tensor.dtype) for tensor in op.infer(given)
    )


def apply_all(op: Op, *inputs: Term) -> list[Term]:
    """All outputs of an op."""
    outputs = inferred(op, [term.tensor for term in inputs])
    application = Application(op, inputs, outputs)
    sizes = known_sizes(op, [term.sizes for term in inputs])
    return [Term(tensor, application, position, sizes[position]) for position, tensor in enumerate(outputs)]


def apply(op: Op, *inputs: Term) -> Term:
    """The output of an op that has one."""
    (output,) = apply_all(op, *inputs)
    return output


def compute(function: str, *inputs: Term) -> Term:
    """An elementwise function of inputs of one dtype."""
    return apply(ops.Elementwise(function=function), *inputs)


def constant(value: Any) -> Term:
    """A number or an array; its own dtype where that is one of a graph's."""
    return apply(ops.Constant(value=np.asarray(value)))


def number(value: float, like: Term) -> Term:
    """A number in the dtype of another term."""
    return cast(constant(float(value) if like.dtype == FLOAT else value), like.dtype)


def cast(term: Term, dtype: str) -> Term:
    """The same numbers in another dtype, itself where it has that one."""
    if term.dtype == dtype:
        return term
    if term.constant is not None:
        # float64, of which the graph takes what its own dtype holds.
        with np.errstate(invalid="ignore"):
            return constant(term.constant.astype("float64" if dtype == FLOAT else dtype))
    return apply(ops.Cast(output_dtype=dtype), term)


def common_dtype(*dtypes: str) -> str:
    """What Keras promotes dtypes to; ``int`` and ``float`` are Python's numbers, which take the others' size.

    Source:
        keras/src/backend/common/dtypes.py of 3.15, ``result_type``, over TensorFlow.

    Example:
        >>> common_dtype("int64", "float"), common_dtype("bool", "int"), common_dtype("int32", "int64")
        ('float32', 'int32', 'int64')
    """
    if FLOAT in dtypes or "float" in dtypes:
        return FLOAT
    if "int64" in dtypes:
        return "int64"
    return "int32" if "int32" in dtypes or "int" in dtypes else "bool"


def is_float(term: Term) -> bool:
    """Whether it holds floats."""
    return term.dtype == FLOAT


def is_integer(term: Term) -> bool:
    """Whether it holds integers."""
    return term.dtype in INTEGERS


def is_boolean(term: Term) -> bool:
    """Whether it holds booleans."""
    return term.dtype in BOOLEANS


def as_float(term: Term) -> Term:
    """Integers and booleans as floats."""
    return cast(term, FLOAT)


def as_number(term: Term) -> Term:
    """Booleans as int32, what Keras sums and multiplies."""
    return cast(term, "int32") if is_boolean(term) else term
