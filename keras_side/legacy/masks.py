"""How masks travelled in other releases of Keras, where that is not how they travel in 3.15."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from biport import ops
from biport.ops import Op
from keras_side.masks import Full, Mask, all_of, in_time, stop_mask
from keras_side.registry import MaskRule
from keras_side.release import Release


@dataclass(frozen=True)
class MaskRules:
    """What a Keras does with masks.

    Args:
        of_layers: rules in place of those of the readers, by class name.
        unmasked: layers that compute the same with a mask and without.
        given_goes_on: whether a mask given as an argument is handed on, in place of the one the input has.
        beside_states: whether a recurrent layer called with an initial state gets its input's mask.
        directions_repeat: whether the directions of a Bidirectional repeat their outputs at masked steps, in
            place of zeros.
    """

    of_layers: Mapping[str, MaskRule] = field(default_factory=dict)
    unmasked: frozenset[str] = frozenset()
    given_goes_on: bool = True
    beside_states: bool = False
    directions_repeat: bool = False


def _all_there(
    op: Op, name: str, inputs: Sequence[str], masks: Sequence[Mask | None]
) -> Sequence[Mask | None]:
    """A step is valid where every mask there is says so; an unmasked input has no say.

    Source:
        keras/layers/merge.py of 2.2.4, ``_Merge.compute_mask``; keras/layers/merging/base_merge.py of 2.15.
    """
    present = [mask for mask in masks if mask is not None]
    return (all_of(present, f"{name}_mask") if present else None,)


def _concatenated(
    op: Op, name: str, inputs: Sequence[str], masks: Sequence[Mask | None]
) -> Sequence[Mask | None]:
    """Side by side a step is valid where every input's is; an unmasked input's always are.

    Source:
        keras/layers/merge.py of 2.2.4, ``Concatenate.compute_mask``; Keras 3 has "any" for "all".
    """
    assert isinstance(op, ops.Concatenate)
    if all(mask is None for mask in masks):
        return (None,)
    full = [Full(value) if mask is None else mask for value, mask in zip(inputs, masks, strict=True)]
    join = in_time if op.axis in (1, -2) else all_of
    return (join(full, f"{name}_mask"),)


ENDING = ("Normalization", "Rescaling")
"""Layers that end the mask in Keras 2, measured on 2.21, and pass it on in Keras 3."""

MERGES = ("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract")

KERAS_3 = MaskRules()
"""Measured on 3.15, and the same in its sources since 3.11."""

KERAS_3_4 = MaskRules(given_goes_on=False)
"""keras/src/layers/layer.py of 3.10, ``Layer.__call__``: ``previous_mask``."""

KERAS_3_0 = MaskRules(
    of_layers=dict.fromkeys((*MERGES, "Concatenate"), stop_mask),
    unmasked=frozenset(MERGES),
    given_goes_on=False,
)
"""keras/src/layers/layer.py of 3.3: a list of inputs has no ``_keras_mask``."""


def mask_rules(origin: Release) -> MaskRules:
    """How masks travel in the models of this Keras."""
    if origin.generation == 3:
        older = KERAS_3_0 if origin.before(3, 4) else KERAS_3_4
        return older if origin.before(3, 11) and len(origin.numbers) > 1 else KERAS_3
    # Softmax has taken masks since TensorFlow 2.4, keras/layers/advanced_activations.py.
    softmax = ("Softmax",) if origin.before(2, 4) else ()
    return MaskRules(
        of_layers=dict.fromkeys(MERGES, _all_there)
        | dict.fromkeys(ENDING, stop_mask)
        | {"Concatenate": _concatenated},
        unmasked=frozenset((*MERGES, *softmax)),
        beside_states=True,
        # keras/layers/wrappers.py of 2.3.1 has nothing like TensorFlow's ``force_zero_output_for_mask``.
        directions_repeat=origin.standalone,
    )
