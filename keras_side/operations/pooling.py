"""Pooling and resizing as functions.

Source:
    keras/src/ops/nn.py, keras/src/ops/image.py and keras/src/backend/tensorflow of 3.15.
"""

from __future__ import annotations

from collections.abc import Mapping

from biport import ops
from biport.dims import Dim, quotient
from biport.ops import Op, Pooling
from biport.ops.pooling import MAXIMA, MEANS
from keras_side.operations.convolution import over_axes, padding_word, sizes
from keras_side.operations.registry import OperationCall, reads
from keras_side.operations.terms import Term

KINDS: Mapping[str, Mapping[int, type[Pooling]]] = {"AveragePool": MEANS, "MaxPool": MAXIMA}


@reads(*KINDS)
def pool(call: OperationCall) -> Term:
    """One number for each window."""

    def make(dimensions: int) -> Op:
        pool_size = sizes(call, "pool_size", dimensions)
        strides = sizes(call, "strides", dimensions, pool_size)
        return KINDS[call.class_name][dimensions](
            pool_size=pool_size, strides=strides, padding=padding_word(call)
        )

    return over_axes(call, call.term(), make)


@reads("Resize")
def resize(call: OperationCall) -> Term:
    """To some times as many rows and columns: ``keras.ops.image.resize``."""
    for name in ("antialias", "crop_to_aspect_ratio", "pad_to_aspect_ratio"):
        call.require(**{name: False})
    for name in ("fill_mode", "fill_value"):
        call.setting(name)
    wanted = call.setting("size")
    known = list(wanted) if isinstance(wanted, list | tuple) else [wanted]
    first = call.setting("data_format") == "channels_first"
    x = call.term()
    return enlarged(call, x, known, x.tensor.shape[2:] if first else x.tensor.shape[1:-1])


def enlarged(call: OperationCall, x: Term, wanted: list[Dim], given: tuple[Dim, ...]) -> Term:
    """Rows and columns, ``given``, as many as are ``wanted``: a whole number of times as many."""
    times = [quotient(size, own) for size, own in zip(wanted, given, strict=False)]
    whole = [number for number in times if isinstance(number, int) and number > 0]
    if x.rank != 4 or len(whole) != 2 or len(wanted) != 2:
        raise call.refusal("size", wanted, f"rows and columns a whole number of times those of {x.tensor}")
    interpolation = call.setting("interpolation", "bilinear")
    if interpolation not in ("bilinear", "nearest"):
        raise call.refusal("interpolation", interpolation, ("bilinear", "nearest"))
    return over_axes(
        call, x, lambda _: ops.UpSampling2D(size=(whole[0], whole[1]), interpolation=interpolation)
    )
