"""Keras' layers that only move numbers <-> `ops.Reshape` and the others of the family; the mask ends here.

Between two elements of `ops.UpSampling2D` there may be others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from biport import ops
from biport.ops import Op
from biport.ops.shape import CROPPINGS, INTERPOLATIONS, UP_SAMPLINGS, ZERO_PADDINGS, UpSampling
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes
from keras_side.shared.sizes import take_pairs, take_sizes, written_sizes

LISTS: Mapping[str, tuple[type[Op], str]] = {
    "Permute": (ops.Permute, "dims"),
    "Reshape": (ops.Reshape, "target_shape"),
}
"""Layers with one list of integers, which Keras and the graph call the same."""

EDGES: Mapping[str, tuple[type[ops.ZeroPadding] | type[ops.Cropping], str]] = {
    **{kind.__name__: (kind, "padding") for kind in ZERO_PADDINGS.values()},
    **{kind.__name__: (kind, "cropping") for kind in CROPPINGS.values()},
}
"""Layers that add or take away at the edges, and what they call how much."""

REPEATS: Mapping[str, type[UpSampling]] = {kind.__name__: kind for kind in UP_SAMPLINGS.values()}

WITHOUT_FORMAT = (ops.Cropping1D, ops.UpSampling1D)
"""Layers over an axis or more that Keras does not ask which axis has the features."""


@reads({name: kind for name, (kind, _) in LISTS.items()})
def read_list(record: LayerRecord) -> Op:
    """Read a layer with a list; the mask ends even where a Permute or Reshape changes nothing."""
    kind, setting = LISTS[record.class_name]
    with record.settings() as config:
        sizes = config.take(setting, (list, tuple))
    settings: dict[str, Any] = {setting: tuple(sizes)}
    return kind(**settings)


@reads({name: kind for name, (kind, _) in EDGES.items()})
def read_edges(record: LayerRecord) -> Op:
    """Read a padding with zeros, or a cropping."""
    kind, setting = EDGES[record.class_name]
    with record.settings() as config:
        settings: dict[str, Any] = {setting: take_pairs(config, setting, kind.dimensions)}
        config.require(data_format="channels_last")
    return kind(**settings)


@reads("RepeatVector")
def read_repeat_vector(record: LayerRecord) -> ops.RepeatVector:
    """Read a layer that repeats each vector."""
    with record.settings() as config:
        return ops.RepeatVector(n=config.take("n", int))


@reads(REPEATS)
def read_up_sampling(record: LayerRecord) -> UpSampling:
    """Read a layer that makes several elements of one."""
    kind = REPEATS[record.class_name]
    with record.settings() as config:
        settings: dict[str, Any] = {"size": take_sizes(config, "size", kind.dimensions)}
        if kind is ops.UpSampling2D:
            settings["interpolation"] = config.choose("interpolation", INTERPOLATIONS, default="nearest")
        config.require(data_format="channels_last")
    return kind(**settings)


@reads("Flatten")
def read_flatten(record: LayerRecord) -> ops.Flatten:
    """Read a Flatten."""
    with record.settings() as config:
        config.require(data_format="channels_last")
    return ops.Flatten()


@writes(ops.Flatten, *ZERO_PADDINGS.values(), *CROPPINGS.values(), *(kind for kind, _ in LISTS.values()))
def write_shape(op: Op) -> WrittenLayer:
    """Write a layer whose settings Keras and the graph call the same."""
    settings = {name: _unpaired(value) for name, value in op.settings().items()}
    return WrittenLayer(op.kind, settings | _format(op))


@writes(ops.RepeatVector)
def write_repeat_vector(op: ops.RepeatVector) -> WrittenLayer:
    """Write a RepeatVector."""
    return WrittenLayer(op.kind, {"n": op.n})


@writes(*UP_SAMPLINGS.values())
def write_up_sampling(op: UpSampling) -> WrittenLayer:
    """Write a layer that makes several elements of one."""
    return WrittenLayer(op.kind, op.settings() | {"size": written_sizes(op.size)} | _format(op))


def _unpaired(value: Any) -> Any:
    """The pair of the one axis there is, without the list around it."""
    match value:
        case [[before, behind]] | ((before, behind),):
            return [before, behind]
    return value


def _format(op: Op) -> dict[str, str]:
    asked = isinstance(op, ops.Flatten | ops.ZeroPadding | ops.Cropping | UpSampling)
    return {"data_format": "channels_last"} if asked and not isinstance(op, WITHOUT_FORMAT) else {}
