"""Which function reads and writes which layer, and how its masks travel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from biport.ops import Op
from biport.registry import Registry
from keras_side.attention import CallReader
from keras_side.masks import Mask, stop_mask
from keras_side.records import LayerRecord, WrittenLayer

MaskRule = Callable[[Op, str, Sequence[str], Sequence[Mask | None]], Sequence[Mask | None]]
"""``(op, layer name, input values, input masks) -> output masks``, one for each output."""


@dataclass(frozen=True)
class Reader:
    """How a layer is read.

    Args:
        read: makes the op.
        masks: which masks the outputs carry.
        refuse_masked: raises where the layer, as it is set, cannot be read when it gets a mask.
        states: whether the layer takes an ``initial_state`` beside its input.
        calls: how an attention is called; ``None`` for all other layers.
    """

    read: Callable[[LayerRecord], Op]
    masks: MaskRule
    refuse_masked: Callable[[LayerRecord, Op], None] | None = None
    states: bool = False
    calls: CallReader | None = None


Made = TypeVar("Made", bound=Op)

READERS: Registry[str, Reader] = Registry("Keras layer")
WRITERS: Registry[type[Op], Callable[..., WrittenLayer]] = Registry("op of the Keras writer")
writes = WRITERS.register


def reads(
    *class_names: str,
    masks: MaskRule = stop_mask,
    refuse_masked: Callable[[LayerRecord, Op], None] | None = None,
    states: bool = False,
    calls: CallReader | None = None,
) -> Callable[[Callable[[LayerRecord], Made]], Callable[[LayerRecord], Made]]:
    """Decorate the function that reads the layers called ``class_names``.

    Args:
        class_names: Keras class names.
        masks: what `compute_mask` of these layers does; by default the mask ends here.
        refuse_masked: see `Reader`.
        states: see `Reader`.
        calls: see `Reader`.
    """

    def keep(function: Callable[[LayerRecord], Made]) -> Callable[[LayerRecord], Made]:
        READERS.register(*class_names)(Reader(function, masks, refuse_masked, states, calls))
        return function

    return keep
