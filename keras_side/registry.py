"""Which function reads and writes which layer, and how its masks travel."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from biport import ops
from biport.errors import UnsupportedError
from biport.ops import Op
from biport.registry import Registry
from keras_side.masks import Mask, stop_mask
from keras_side.records import LayerRecord, WrittenLayer, WrittenOperation
from keras_side.shared.attention import CallReader
from keras_side.shared.cells import with_learning
from keras_side.shared.learning import read_learning

MaskRule = Callable[[Op, str, Sequence[str], Sequence[Mask | None]], Sequence[Mask | None]]
"""``(op, layer name, input values, input masks) -> output masks``, one for each output."""


@dataclass(frozen=True)
class Taken:
    """Which of the tensors that a layer is called with its op reads.

    Args:
        count: the first so many are its inputs.
        letters: for each letter in its settings: which tensor has that size, and on which axis.
    """

    count: int
    letters: Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class LayerReader:
    """How a layer is read.

    Args:
        read: makes the op.
        op: its type; around one cell an ``RNN`` gives that of the cell.
        masks: which masks the outputs carry.
        refuse_masked: raises where the layer, as it is set, cannot be read when it gets a mask.
        states: whether the layer takes an ``initial_state`` beside its input.
        constants: whether it takes ``constants`` too.
        calls: how an attention is called; ``None`` for all other layers.
        taken: which tensors the op reads, where those of a call are not its inputs.
    """

    read: Callable[[LayerRecord], Op]
    op: type[Op]
    masks: MaskRule
    refuse_masked: Callable[[LayerRecord, Op], None] | None = None
    states: bool = False
    constants: bool = False
    calls: CallReader | None = None
    taken: Callable[[LayerRecord], Taken] | None = None


OpType = TypeVar("OpType", bound=Op)

READERS: Registry[str, LayerReader] = Registry("Keras layer")
Written: TypeAlias = WrittenLayer | WrittenOperation
WRITERS: Registry[type[Op], Callable[..., Written]] = Registry("op of the Keras writer")
WriterOf = TypeVar("WriterOf", bound=Callable[..., Written])


def writes(*kinds: type[Op]) -> Callable[[WriterOf], WriterOf]:
    """Decorate the function that writes ops of some kinds; how their weights are trained is added to it."""

    def keep(function: WriterOf) -> WriterOf:
        @functools.wraps(function)
        def write(op: Op) -> Written:
            return with_learning(function(op), op)

        WRITERS.register(*kinds)(write)
        return function

    return keep


def written_layer(op: Op, owner: str) -> WrittenLayer:
    """An op that Keras has a layer for.

    Raises:
        UnsupportedError: it has an operation, or nothing.
    """
    written = WRITERS.lookup(type(op), owner)(op)
    if not isinstance(written, WrittenLayer):
        raise UnsupportedError(owner, "layer", op.kind, "ops that are layers in Keras")
    return written


def reads(
    classes: str | Mapping[str, type[Op]],
    *,
    masks: MaskRule = stop_mask,
    refuse_masked: Callable[[LayerRecord, Op], None] | None = None,
    states: bool = False,
    constants: bool = False,
    calls: CallReader | None = None,
    taken: Callable[[LayerRecord], Taken] | None = None,
) -> Callable[[Callable[[LayerRecord], OpType]], Callable[[LayerRecord], OpType]]:
    """Decorate the function that reads the layers of some classes.

    Args:
        classes: the Keras class, which the op is named after; or several, and the op of each.
        masks: what `compute_mask` of these layers does; by default the mask ends here.
        refuse_masked: see `LayerReader`.
        states: see `LayerReader`.
        constants: see `LayerReader`.
        calls: see `LayerReader`.
        taken: see `LayerReader`.
    """

    kinds = {classes: getattr(ops, classes)} if isinstance(classes, str) else classes

    def keep(function: Callable[[LayerRecord], OpType]) -> Callable[[LayerRecord], OpType]:
        @functools.wraps(function)
        def read(record: LayerRecord) -> Op:
            return read_learning(function(record), record.config)

        for name, op in kinds.items():
            reader = LayerReader(read, op, masks, refuse_masked, states, constants, calls, taken)
            READERS.register(name)(reader)
        return function

    return keep
