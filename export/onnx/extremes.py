"""The largest and the smallest of numbers some of which may be NaN."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from export.onnx.site import Site


def extreme(
    site: Site,
    x: ir.Value,
    choose: Callable[[ir.Value], ir.Value],
    largest: Callable[[ir.Value], ir.Value] | None = None,
) -> ir.Value:
    """``choose(x)``, and NaN where there is one among the numbers: onnxruntime 1.31 may leave it out.

    Args:
        site: where the op stands.
        x: the numbers.
        choose: the largest or the smallest of them.
        largest: the largest of the same numbers, where ``choose`` is something else.
    """
    if not site.may_be_nan:
        return choose(x)
    undefined = (largest or choose)(site.scope("Cast", site.scope("IsNaN", x), to=ir.DataType.FLOAT))
    undefined = site.scope("Greater", undefined, np.zeros((), "float32"))
    return site.scope("Where", undefined, np.asarray(np.nan, "float32"), choose(x))
