"""Keras ``Dot`` <-> `ops.Dot`."""

from __future__ import annotations

from biport import ops
from biport.errors import FileError
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("Dot")
def read_dot(record: LayerRecord) -> ops.Dot:
    """Read a Dot; one axis stands for the same one in both inputs. It ends the masks."""
    with record.settings() as config:
        axes = config.take("axes", (int, list, tuple))
        normalize = config.take("normalize", bool, default=False)
    both = [axes, axes] if isinstance(axes, int) else list(axes)
    if len(both) != 2:
        raise FileError(f"{record.owner}: axes should be an integer or two, found {axes!r}")
    return ops.Dot(axes=(both[0], both[1]), normalize=normalize)


@writes(ops.Dot)
def write_dot(op: ops.Dot) -> WrittenLayer:
    """Write a Dot."""
    return WrittenLayer(
        class_name="Dot", config={"axes": list(op.axes), "normalize": op.normalize}, takes_list=True
    )
