"""The mask a Keras ``Masking`` starts <-> `ops.FeaturesNotEqual`."""

from __future__ import annotations

from collections.abc import Sequence

from biport import ops
from keras_side.masks import FeaturesUnequal, Mask
from keras_side.records import WrittenLayer
from keras_side.registry import writes


def start_mask(
    op: ops.Op, name: str, inputs: Sequence[str], masks: Sequence[Mask | None]
) -> Sequence[Mask | None]:
    """A mask of the layer's own, made from its input; one that the input carries ends."""
    assert isinstance(op, ops.Masking)
    return (FeaturesUnequal(inputs[0], op.mask_value, f"{name}_mask"),)


@writes(ops.FeaturesNotEqual)
def write_features_not_equal(op: ops.FeaturesNotEqual) -> WrittenLayer:
    """Write the operations Keras itself records for a Masking."""
    return WrittenLayer(
        class_name="not_equal", config={"x2": op.value}, is_operation=True, then=(("any", {"axis": -1}),)
    )
